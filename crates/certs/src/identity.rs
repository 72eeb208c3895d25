//! A certificate with its key: what a server shows for a name.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};
use wire::x509::{self, AltName, Certificate};

/// A chain and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// For the handshake.
    pub key: Arc<CertifiedKey>,
    /// The host names it is for, in lower case, perhaps with `*.` before them.
    pub names: Vec<String>,
    /// Seconds since 1970 from which on it is valid.
    pub not_before: i64,
    /// Seconds since 1970 until which it is valid.
    pub not_after: i64,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// Whom it is about.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// The file it came from.
    pub file: PathBuf,
    /// Which of the sources.
    pub source: usize,
}

impl Identity {
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
        (source, file): (usize, PathBuf),
    ) -> Option<Self> {
        let leaf = x509::parse(chain.first()?)?;
        let names = names(&leaf);
        let (serial, not_before, not_after) = (hex(leaf.serial), leaf.not_before, leaf.not_after);
        let (subject, issuer) = (x509::show_name(leaf.subject), x509::show_name(leaf.issuer));
        let key = Arc::new(CertifiedKey::new(chain, key));
        Some(Self { key, names, not_before, not_after, serial, subject, issuer, file, source })
    }

    /// Elliptic curves cost servers a tenth of what RSA does.
    pub(crate) fn is_rsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::RSA
    }

    /// Whether it is valid at a time.
    #[must_use]
    pub fn is_valid(&self, now_s: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now_s)
    }

    /// How people call it: its first name, else its subject.
    #[must_use]
    pub fn title(&self) -> &str {
        match self.names.first() {
            Some(name) => name,
            None if self.subject.is_empty() => "(no name)",
            None => &self.subject,
        }
    }

    /// `ecdsa`, `rsa` or `ed25519`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.key.key.algorithm() {
            SignatureAlgorithm::RSA => "rsa",
            SignatureAlgorithm::ECDSA => "ecdsa",
            SignatureAlgorithm::ED25519 => "ed25519",
            _ => "other",
        }
    }
}

fn names(leaf: &Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for name in &leaf.names {
        if let AltName::Dns(name) = name {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
