//! Answers about certificates that servers staple to them (RFC 6960).

use super::der::{self, Der};
use super::time;

/// What an answer says of its first certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stapled<'a> {
    /// The serial number of the certificate.
    pub serial: &'a [u8],
    /// Whether it is good: neither revoked nor unknown.
    pub is_good: bool,
    /// Seconds since 1970 from which on it holds.
    pub this_update: i64,
    /// Seconds since 1970 after which there is a newer one.
    pub next_update: Option<i64>,
}

/// Reads an answer; `None` if it is none, or says of nothing.
#[must_use]
pub fn stapled(der: &[u8]) -> Option<Stapled<'_>> {
    let mut outer = Der::new(der);
    let mut response = outer.sequence()?;
    (response.expect(der::ENUMERATED)? == [0]).then_some(())?;
    let mut typed = Der::new(response.expect(der::context(0))?).sequence()?;
    typed.expect(der::OBJECT_ID)?;
    let mut basic = Der::new(typed.expect(der::OCTETS)?).sequence()?;
    let mut data = basic.sequence()?;
    data.optional(der::context(0));
    // Who answers, and when.
    data.next()?;
    data.next()?;
    let mut one = data.sequence()?.sequence()?;
    let mut id = one.sequence()?;
    id.expect(der::SEQUENCE)?;
    id.expect(der::OCTETS)?;
    id.expect(der::OCTETS)?;
    let serial = der::unsigned(id.expect(der::INTEGER)?);
    let (status, _) = one.next()?;
    let this_update = time::next(&mut one)?;
    let next_update = one.optional(der::context(0)).and_then(|next| time::next(&mut Der::new(next)));
    Some(Stapled { serial, is_good: status & 0x1f == 0, this_update, next_update })
}
