//! Answer heads.
use super::{Limits, Malformed, Parsed};
use crate::head::{Answer, Method};
/// Parses an answer head at the front of `buf`.
///
/// # Errors
/// What cannot be trusted.
pub fn parse_answer(_buf: &[u8], _limits: &Limits, _method: Method, _out: &mut Answer) -> Result<Parsed, Malformed> {
    Ok(Parsed::Partial)
}
