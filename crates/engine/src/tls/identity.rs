//! Who a client says it is by its certificate, in fields for backends.
//!
//! Such fields come from here or from nobody: where any listener asks for certificates, those of clients are dropped.

use std::fmt::Write;
use std::rc::Rc;

use aws_lc_rs::digest;
use policy::plan::ClientAuth;
use rustls::pki_types::CertificateDer;
use wire::x509::{self, AltName};

use crate::seam::Downstream;
use crate::worker::Worker;

/// Bytes of the names that are shown.
const NAMES: usize = 2048;

/// The fields about a client's certificate in a request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Identity<'a> {
    /// Such fields are dropped when they come from the client.
    pub(crate) strips: bool,
    /// Whole lines to add.
    pub(crate) lines: &'a [u8],
}

impl Worker {
    /// What is said of the client's certificate.
    #[inline(always)]
    pub(crate) fn identity<'a, D: Downstream>(&self, down: &'a D) -> Identity<'a> {
        if !self.asks_for_certs {
            return Identity::default();
        }
        let lines = down.identity();
        // A proxy that is trusted may have asked for certificates itself.
        Identity { strips: !(down.peer().trusted && lines.is_empty()), lines }
    }
}

/// Whether a field is one of those, also for backends to whom `-` and `_` are the same.
#[cold]
pub(crate) fn is_identity_field(name: &[u8]) -> bool {
    const OURS: &[u8] = b"x-client-cert-";
    let is = |name: &[u8], text: &[u8]| {
        name.len() == text.len()
            && name.iter().zip(text).all(|(byte, wanted)| {
                byte.to_ascii_lowercase() == *wanted || (*wanted == b'-' && !byte.is_ascii_alphanumeric())
            })
    };
    name.get(..OURS.len()).is_some_and(|start| is(start, OURS))
        || is(name, b"client-cert")
        || is(name, b"client-cert-chain")
}

/// The fields of a client that has shown this certificate, or none; it was verified in the handshake.
pub(crate) fn identity_lines(asked: &ClientAuth, shown: Option<&CertificateDer<'_>>) -> Rc<[u8]> {
    let parsed = shown.and_then(|der| Some((der, x509::parse(der)?)));
    let Some((der, cert)) = parsed else { return Rc::from(&b"X-Client-Cert-Verified: no\r\n"[..]) };
    let mut lines = String::from("X-Client-Cert-Verified: yes\r\n");
    let fingerprint = digest::digest(&digest::SHA256, der);
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(lines, "{name}: {value}\r\n");
        }
    };
    put("X-Client-Cert-Subject", &x509::show_name(cert.subject));
    put("X-Client-Cert-Issuer", &x509::show_name(cert.issuer));
    put("X-Client-Cert-San", &names(&cert.names));
    put("X-Client-Cert-Serial", &hex(cert.serial));
    put("X-Client-Cert-Sha256", &hex(fingerprint.as_ref()));
    if asked.whole {
        // RFC 9440, section 2.2: a byte sequence of structured fields.
        put("Client-Cert", &format!(":{}:", base64(der)));
    }
    Rc::from(lines.into_bytes())
}

/// `DNS:a.example, URI:spiffe://example/a`; what could be taken for two is left out.
fn names(names: &[AltName<'_>]) -> String {
    let mut text = String::new();
    for name in names {
        let shown = match name {
            AltName::Dns(name) => format!("DNS:{name}"),
            AltName::Mail(name) => format!("email:{name}"),
            AltName::Uri(name) => format!("URI:{name}"),
            AltName::Ip(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                (Ok(four), _) => format!("IP:{}", std::net::Ipv4Addr::from(four)),
                (_, Ok(sixteen)) => format!("IP:{}", std::net::Ipv6Addr::from(sixteen)),
                _ => continue,
            },
        };
        let is_plain = shown.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if is_plain && text.len() + shown.len() + 2 <= NAMES {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(&shown);
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = if at <= three.len() { LETTERS[bits >> (18 - 6 * at) & 63] } else { b'=' };
            text.push(char::from(letter));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foobar"), "Zm9vYmFy");
    }

    #[test]
    fn every_spelling_is_ours() {
        for name in ["X-Client-Cert-Subject", "x_client_cert_verified", "Client-Cert", "client_cert_chain"] {
            assert!(is_identity_field(name.as_bytes()), "{name}");
        }
        for name in ["X-Client-Certificate", "Client-Certs", "X-Client", "Client-Ip"] {
            assert!(!is_identity_field(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn nothing_that_splits_a_list_is_shown() {
        let shown = [
            AltName::Dns("a.example"),
            AltName::Uri("x,URI:y"),
            AltName::Mail("a@b\r\nX: y"),
            AltName::Ip(&[1, 2, 3, 4]),
        ];
        assert_eq!(names(&shown), "DNS:a.example, IP:1.2.3.4");
    }

    #[test]
    fn whoever_shows_nothing_is_not_verified() {
        let asked = ClientAuth { ca: Vec::new(), required: false, whole: true };
        assert_eq!(&*identity_lines(&asked, None), b"X-Client-Cert-Verified: no\r\n");
    }
}
