//! What a PEM file holds.

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Certificates and keys of one file, in order.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) certs: Vec<CertificateDer<'static>>,
    pub(crate) keys: Vec<PrivateKeyDer<'static>>,
    /// There is a key that a password protects.
    pub(crate) is_locked: bool,
}

/// Reads a file.
///
/// # Errors
/// It looks like PEM and is broken: why.
pub(crate) fn read(bytes: &[u8]) -> Result<Contents, String> {
    let mut contents = Contents::default();
    let text = String::from_utf8_lossy(bytes);
    contents.is_locked = text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED");
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let (kind, der) = section.map_err(|error| format!("it is no PEM: {error}"))?;
        match kind {
            SectionKind::Certificate => contents.certs.push(CertificateDer::from(der)),
            SectionKind::PrivateKey => contents.keys.push(PrivateKeyDer::Pkcs8(der.into())),
            SectionKind::RsaPrivateKey => contents.keys.push(PrivateKeyDer::Pkcs1(der.into())),
            SectionKind::EcPrivateKey => contents.keys.push(PrivateKeyDer::Sec1(der.into())),
            _ => {}
        }
    }
    Ok(contents)
}
