//! HTTP/1.x on the wire (RFC 9112): heads, chunked bodies, encoding of heads.
//!
//! Owns the grammar and its refusals. `engine` reads bytes, hands them in and obeys.

mod answer;
pub mod chunked;
mod fields;
mod request;

pub use answer::parse_answer;
pub use request::parse_request;

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
    /// 400, 414, 431, 501 or 505.
    pub status: u16,
    /// What is wrong, in a few plain words (for `Proxy-Status` details and the log).
    pub why: &'static str,
}

/// Why an answer (or its body) cannot be trusted; the client gets 502 or a visible truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong, in a few plain words.
    pub why: &'static str,
}
