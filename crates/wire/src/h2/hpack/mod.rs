//! Header compression (RFC 7541).
//!
//! Owns the two coding contexts of a connection. Field lines are decoded to `name: value` and a line's end, the way that
//! HTTP/1.1 heads hold them, so that whoever forwards a head copies runs of lines whatever the version it came by. What
//! the fields mean is the business of [`super::head`].

mod decode;
mod encode;
mod huffman;
mod integer;
mod static_table;
mod table;

pub(super) use decode::{Decoder, Line};
pub(super) use encode::Encoder;

use crate::head::Name;

/// Why the compression context is lost, and the connection with it (RFC 9113, section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CompressionError(pub(super) &'static str);

/// What counts for an entry beside its bytes (RFC 7541, section 4.1).
pub(super) const ENTRY_OVERHEAD_BYTES: usize = 32;

/// Most bytes that a dynamic table of ours may have, whatever is configured or asked for.
pub(super) const MAX_TABLE_BYTES: u32 = 64 * 1024 - 1;

/// What a field line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A field.
    Field(Name),
    /// A pseudo-header field.
    Pseudo(Pseudo),
}

/// The pseudo-header fields (RFC 9113, section 8.3; RFC 8441, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pseudo {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Status,
}

impl Pseudo {
    /// The one of this name, which starts with a colon.
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            b":status" => Self::Status,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
