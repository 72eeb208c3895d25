//! Warnings that a certificate will be over: three weeks, one week, one day before, and when it is.

use std::collections::HashMap;

use certs::DAY_S;

use super::Records;

/// Days before the end at which it is told.
const DAYS: [i64; 4] = [21, 7, 1, 0];

/// What was told of each certificate: how many of [`DAYS`] had come.
#[derive(Debug, Default)]
pub(super) struct Warned(HashMap<(usize, String), usize>);

impl Warned {
    /// Tells what is new.
    pub(super) fn look(&mut self, records: &Records, now_s: i64) {
        for line in self.news(records, now_s) {
            tracing::warn!("{line}");
        }
    }

    fn news(&mut self, records: &Records, now_s: i64) -> Vec<String> {
        let mut news = Vec::new();
        for (listener, record) in records.all().iter().enumerate() {
            for certificate in record.iter().flat_map(|record| &record.certificates) {
                let left = certificate.not_after - now_s;
                let come = DAYS.iter().filter(|days| left <= **days * DAY_S).count();
                let told = self.0.entry((listener, certificate.serial.clone())).or_default();
                if come > std::mem::replace(told, come) {
                    let (name, file) = (&certificate.name, certificate.file.display());
                    news.push(match left {
                        ..=0 => format!("the certificate of {name} in {file} has expired: clients refuse it"),
                        _ => format!("the certificate of {name} in {file} expires in {} days", left / DAY_S),
                    });
                }
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CertificateStatus, TlsStatus};
    use super::*;

    #[test]
    fn each_step_is_told_once() {
        let certificate = CertificateStatus {
            name: "shop.example".to_owned(),
            names: Vec::new(),
            kind: "ecdsa",
            issuer: String::new(),
            serial: "01".to_owned(),
            file: "shop.pem".into(),
            not_after: 100 * DAY_S,
            stapled: false,
        };
        let records = Records::default();
        *records.all() = vec![Some(TlsStatus { certificates: vec![certificate], ..TlsStatus::default() })];
        let mut warned = Warned::default();
        let mut told = |day: i64| warned.news(&records, day * DAY_S).len();
        assert_eq!([70, 79, 80, 92, 93, 94, 99, 99, 100, 101].map(&mut told), [0, 1, 0, 0, 1, 0, 1, 0, 1, 0]);
    }
}
