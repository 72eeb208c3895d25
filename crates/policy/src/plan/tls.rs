//! TLS: what a listener shows and asks for, what a pool believes. Files are named here and read by whoever needs them.

use std::path::PathBuf;
use std::time::Duration;

/// `tls` of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Where its certificates are; at least one. The first that is found serves clients that name no host.
    pub certs: Vec<CertSource>,
    /// Versions and suites.
    pub preset: Preset,
    /// Whether clients show certificates; `None` asks for none.
    pub client: Option<ClientAuth>,
    /// For a handshake, from accept to its end; `None` is off.
    pub handshake_timeout: Option<Duration>,
}

/// Where certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertSource {
    /// A folder in which certificates and keys are found, or one file with both.
    Place(PathBuf),
    /// A file with a chain, one with its key, and perhaps one with a stapled answer.
    Pair {
        /// The chain, in PEM.
        cert: PathBuf,
        /// The key, in PEM.
        key: PathBuf,
        /// An OCSP answer, in DER.
        ocsp: Option<PathBuf>,
    },
}

/// Versions and suites that go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preset {
    /// TLS 1.3 alone.
    Modern,
    /// TLS 1.2 and 1.3.
    #[default]
    Intermediate,
}

impl Preset {
    /// The word in configuration and status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Intermediate => "intermediate",
        }
    }
}

/// How clients identify themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// Files with the certificates of those who issue theirs, in PEM.
    pub ca: Vec<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub required: bool,
    /// Whether backends get the whole certificate (RFC 9440).
    pub whole: bool,
}

/// `tls` of a pool: how backends of `https://` are spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BackendTls {
    /// Files with the certificates of those who issue theirs, in PEM; empty is what the system trusts.
    pub ca: Vec<PathBuf>,
    /// The name that their certificates must have, and that they are asked for; `None` is the host of each address.
    pub name: Option<String>,
    /// The certificate that we show: chain and key, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether a certificate is believed whatever it says.
    pub unverified: bool,
    /// Versions and suites.
    pub preset: Preset,
}

/// Text that no log, status or debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for deriving keys.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}
