//! HTTP/1.x on the wire (RFC 9112): heads, chunked bodies, encoding of heads.
//!
//! Owns the grammar and its refusals. `engine` reads bytes, hands them in and obeys.

mod answer;
pub mod chunked;
pub mod encode;
mod facts;
mod fields;
mod request;
mod target;

pub use crate::Malformed;
pub use answer::parse_answer;
pub use request::parse_request;

pub(crate) use request::method_of;
pub(crate) use target::read_path;

/// Limits on a head; each has its own refusal.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a whole head, start line included.
    pub head_bytes: usize,
    /// Number of field lines.
    pub fields: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
}

/// What a parser found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole head; so many bytes of the buffer belong to it (empty lines before a request included).
    Complete(usize),
    /// More bytes are needed.
    Partial,
}

/// Why a request is refused: the status to answer with and the cause to name. The connection closes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 400, 414, 417, 431, 501 or 505.
    pub status: u16,
    /// What is wrong, in a few plain words (for `Proxy-Status` details and the log).
    pub why: &'static str,
}

impl Refusal {
    /// 400 Bad Request.
    pub(crate) const fn bad(why: &'static str) -> Self {
        Self { status: 400, why }
    }
}

/// Why reading a head ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The bytes so far are fine, but there are more to come.
    Partial,
    /// Refused. Answers use only the cause.
    Refused(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Shorthand for a 400 with its cause.
const fn bad(why: &'static str) -> Stop {
    Stop::Refused(Refusal::bad(why))
}

/// Heads beyond so many bytes are first searched for their end: a client that drips a long head byte by byte then costs
/// a search a byte and not a parse. Shorter ones are parsed at once, which also finds faults before the head is whole.
const SEARCH_FIRST_BYTES: usize = 4096;

/// Whether `buf` is long and certainly holds no whole head.
#[inline]
fn is_surely_partial(buf: &[u8]) -> bool {
    buf.len() > SEARCH_FIRST_BYTES && memchr::memmem::find(buf, b"\r\n\r\n").is_none()
}
