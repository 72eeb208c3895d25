//! What certificates say (RFC 5280), and stapled answers about them (RFC 6960): as far as choosing, judging and naming
//! them needs it.
//!
//! Owns reading; whether a signature holds is for the TLS library. Everything is borrowed from the bytes that came.

mod der;
mod name;
mod ocsp;
mod time;

use der::Der;
pub use name::show_name;
pub use ocsp::{Stapled, stapled};

/// `2.5.29.17`.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// `2.5.29.19`.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// `1.3.6.1.5.5.7.1.1`.
const AUTHORITY_INFORMATION: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];
/// `1.3.6.1.5.5.7.48.2`.
const ISSUERS_CERTIFICATE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
/// Names of one certificate that are heeded; more are no certificate of a web site.
const NAMES: usize = 10_000;

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// Its serial number, without leading zeros.
    pub serial: &'a [u8],
    /// Who issued it: a distinguished name in DER, see [`show_name`].
    pub issuer: &'a [u8],
    /// Whom it is about: a distinguished name in DER.
    pub subject: &'a [u8],
    /// Seconds since 1970 from which on it is valid.
    pub not_before: i64,
    /// Seconds since 1970 after which it is valid no more.
    pub not_after: i64,
    /// The names it is for.
    pub names: Vec<AltName<'a>>,
    /// Whether it may issue others.
    pub is_ca: bool,
    /// Whether it says where its issuer's certificate can be fetched.
    pub names_issuers_place: bool,
}

/// A name in `subjectAltName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AltName<'a> {
    /// A host name, perhaps with `*.` before it.
    Dns(&'a str),
    /// An IP address: 4 or 16 bytes.
    Ip(&'a [u8]),
    /// A mail address.
    Mail(&'a str),
    /// A URI.
    Uri(&'a str),
}

impl Certificate<'_> {
    /// Whether it is its own issuer, by name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

/// Reads a certificate; `None` if it is none.
#[must_use]
pub fn parse(der: &[u8]) -> Option<Certificate<'_>> {
    let mut outer = Der::new(der);
    let mut fields = outer.sequence()?.sequence()?;
    fields.optional(der::context(0));
    let serial = der::unsigned(fields.expect(der::INTEGER)?);
    fields.expect(der::SEQUENCE)?;
    let issuer = fields.whole(der::SEQUENCE)?;
    let mut validity = fields.sequence()?;
    let subject = fields.whole(der::SEQUENCE)?;
    fields.expect(der::SEQUENCE)?;
    let mut certificate = Certificate {
        serial,
        issuer,
        subject,
        not_before: time::next(&mut validity)?,
        not_after: time::next(&mut validity)?,
        names: Vec::new(),
        is_ca: false,
        names_issuers_place: false,
    };
    // Unique identifiers, which nobody uses.
    fields.optional(der::context_bits(1));
    fields.optional(der::context_bits(2));
    if let Some(extensions) = fields.optional(der::context(3)) {
        let mut extensions = Der::new(extensions).sequence()?;
        while !extensions.is_empty() {
            extension(&mut certificate, extensions.sequence()?)?;
        }
    }
    Some(certificate)
}

fn extension<'a>(certificate: &mut Certificate<'a>, mut extension: Der<'a>) -> Option<()> {
    let id = extension.expect(der::OBJECT_ID)?;
    extension.optional(der::BOOLEAN);
    let mut value = Der::new(extension.expect(der::OCTETS)?);
    match id {
        SUBJECT_ALT_NAME => {
            let mut names = value.sequence()?;
            while !names.is_empty() && certificate.names.len() < NAMES {
                let (tag, name) = names.next()?;
                certificate.names.extend(alt_name(tag, name));
            }
        }
        BASIC_CONSTRAINTS => {
            certificate.is_ca = value.sequence()?.optional(der::BOOLEAN).is_some_and(|flag| flag != [0]);
        }
        AUTHORITY_INFORMATION => {
            let mut places = value.sequence()?;
            while !places.is_empty() {
                let method = places.sequence()?.expect(der::OBJECT_ID)?;
                certificate.names_issuers_place |= method == ISSUERS_CERTIFICATE;
            }
        }
        _ => {}
    }
    Some(())
}

/// Text must be ASCII (IA5String); what is not names nobody.
fn alt_name(tag: u8, name: &[u8]) -> Option<AltName<'_>> {
    let text = || std::str::from_utf8(name).ok().filter(|text| text.is_ascii());
    match tag & !der::CONTEXT {
        1 => text().map(AltName::Mail),
        2 => text().map(AltName::Dns),
        6 => text().map(AltName::Uri),
        7 if matches!(name.len(), 4 | 16) => Some(AltName::Ip(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
