//! Why a handshake failed: a closed list for logs, status and counters.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Why a handshake with a backend failed, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// Its certificate is over.
    Expired,
    /// Its certificate is not valid yet.
    NotYetValid,
    /// Its certificate is for another name.
    WrongName,
    /// Nobody who is trusted has issued its certificate.
    UnknownIssuer,
    /// It has issued its certificate itself.
    SelfSigned,
    /// Something else is wrong with its certificate.
    BadCertificate,
    /// It wants a certificate of ours, or another.
    WantsCertificate,
    /// It refuses the handshake.
    Refused,
    /// It speaks no version or suite that we do.
    Incompatible,
    /// It does not agree to speak HTTP/2.
    NoHttp2,
    /// It does not speak TLS.
    NotTls,
    /// It ended the connection within the handshake.
    Closed,
    /// No settings: files could not be read.
    Unset,
}

impl TlsFault {
    /// What to tell people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Expired => "the backend's certificate has expired",
            Self::NotYetValid => "the backend's certificate is not valid yet",
            Self::WrongName => "the backend's certificate is for another name",
            Self::UnknownIssuer => "the backend's certificate was issued by nobody who is trusted",
            Self::SelfSigned => "the backend's certificate is self-signed",
            Self::BadCertificate => "the backend's certificate is not acceptable",
            Self::WantsCertificate => "the backend wants a client certificate that it accepts",
            Self::Refused => "the backend refused the TLS handshake",
            Self::Incompatible => "the backend speaks no TLS version or suite that is offered",
            Self::NoHttp2 => "the backend does not agree to speak HTTP/2 (ALPN); `https://` would speak HTTP/1.1",
            Self::NotTls => "the backend does not speak TLS on this port",
            Self::Closed => "the backend closed the connection during the TLS handshake",
            Self::Unset => "the certificates to verify the backend with cannot be read",
        }
    }

    /// Whether it is about certificates (RFC 9209, section 2.3.17).
    #[must_use]
    pub const fn is_certificate(self) -> bool {
        matches!(
            self,
            Self::Expired
                | Self::NotYetValid
                | Self::WrongName
                | Self::UnknownIssuer
                | Self::SelfSigned
                | Self::BadCertificate
        )
    }

    /// What an error of the handshake with a backend means.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown => Self::WantsCertificate,
                AlertDescription::NoApplicationProtocol => Self::NoHttp2,
                AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => Self::Incompatible,
                _ => Self::Refused,
            },
            Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => Self::Incompatible,
            Error::PeerIncompatible(_) => Self::Incompatible,
            Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Refused,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Other(other) if other.0.is::<SelfSigned>() => Self::SelfSigned,
            _ => Self::BadCertificate,
        }
    }
}

/// Marks a certificate that has issued itself.
#[derive(Debug)]
pub(super) struct SelfSigned;

impl std::fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("self-signed")
    }
}

impl std::error::Error for SelfSigned {}
