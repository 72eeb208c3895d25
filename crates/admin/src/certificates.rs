//! Certificates in the status.

use control::{CertificateStatus, TlsStatus};
use serde::Serialize;

#[derive(Default, Serialize)]
pub(crate) struct Tls<'a> {
    preset: Option<&'static str>,
    certificates: Vec<Certificate<'a>>,
    reloads: u64,
    failed_reloads: u64,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Certificate<'a> {
    name: &'a str,
    names: &'a [String],
    kind: &'static str,
    issuer: &'a str,
    serial: &'a str,
    file: String,
    until_ms: i64,
    stapled: bool,
}

impl<'a> Tls<'a> {
    pub(crate) fn of(status: Option<&'a TlsStatus>) -> Self {
        let Some(status) = status else { return Self::default() };
        Self {
            preset: Some(status.preset),
            certificates: status.certificates.iter().map(Certificate::from).collect(),
            reloads: status.reloads,
            failed_reloads: status.failed_reloads,
            error: status.error.as_deref(),
        }
    }
}

impl<'a> From<&'a CertificateStatus> for Certificate<'a> {
    fn from(status: &'a CertificateStatus) -> Self {
        Self {
            name: &status.name,
            names: &status.names,
            kind: status.kind,
            issuer: &status.issuer,
            serial: &status.serial,
            file: status.file.display().to_string(),
            until_ms: status.not_after.saturating_mul(1000),
            stapled: status.stapled,
        }
    }
}
