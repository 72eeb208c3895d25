//! Request heads.
use super::{Limits, Parsed, Refusal};
use crate::head::Request;
/// Parses a request head at the front of `buf`.
///
/// # Errors
/// What must be refused.
pub fn parse_request(_buf: &[u8], _limits: &Limits, _out: &mut Request) -> Result<Parsed, Refusal> {
    Ok(Parsed::Partial)
}
