//! Field sections and messages (RFC 9113, section 8): what a decoded block means.
//!
//! Owns which sections are malformed and which requests we do not take, by the same rules as HTTP/1.1 has here: what could
//! be read in two ways goes no further. Compression belongs to [`super::hpack`].

mod answer;
mod request;
mod trailers;

pub(super) use answer::{Asked, read_answer};
pub(super) use request::{Ends, read_request};
pub(super) use trailers::read_trailers;

use super::abuse::Abuse;
use super::error::ConnectionError;
use super::hpack::{Decoder, ENTRY_OVERHEAD_BYTES, Line};
use crate::grammar::decimal;
use crate::h1::{Limits, Refusal};
use crate::head::{Answer, Field, Name, Request};

/// Where heads are decoded to; reused from one to the next. The spans of all of them point into `buf`, which holds
/// `name: value` lines as HTTP/1.1 has them: between the name of a field and the value of the next one in `fields` there is
/// nothing but those two lines, unless `hop_by_hop` says that one of them is not to be forwarded.
#[derive(Debug, Default)]
pub struct HeadSlot {
    /// The bytes.
    pub buf: Vec<u8>,
    /// A request, when [`super::Event::Head`] or [`super::Event::Refused`] comes from a client.
    pub request: Request,
    /// An answer, when [`super::Event::Head`] comes from a backend.
    pub answer: Answer,
    /// Trailers, when [`super::Event::Trailers`] comes.
    pub trailers: Vec<Field>,
}

/// Why a section is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadFault {
    /// RFC 9113, section 8.1.1: a stream error.
    Malformed(&'static str),
    /// Well-formed, but not for us: answered with a status.
    Refused(Refusal),
}

/// A section may grow to so many times the limit of its size before the whole connection is cut off; what is beyond the
/// limit is not kept.
const BOMB_FACTOR: usize = 8;

/// A section that is decoded line by line, within limits.
struct Section<'a> {
    block: &'a [u8],
    at: usize,
    limits: &'a Limits,
    /// As RFC 9113, section 6.5.2, counts it.
    size: usize,
    lines: usize,
    /// A limit was exceeded: lines are decoded, since the context depends on them, but not kept.
    is_over: bool,
}

impl<'a> Section<'a> {
    fn begin(decoder: &mut Decoder, block: &'a [u8], limits: &'a Limits) -> Result<Self, ConnectionError> {
        let at = decoder.begin(block)?;
        Ok(Self { block, at, limits, size: 0, lines: 0, is_over: false })
    }

    /// The next line within the limits, at the end of `buf`; none at the end.
    #[inline]
    fn next(&mut self, decoder: &mut Decoder, buf: &mut Vec<u8>) -> Result<Option<Line>, ConnectionError> {
        while self.at < self.block.len() {
            let start = buf.len();
            let line = decoder.line(self.block, &mut self.at, buf)?;
            self.lines += 1;
            self.size += buf.len() - start - 4 + ENTRY_OVERHEAD_BYTES;
            self.is_over |= self.size > self.limits.head_bytes || self.lines > self.limits.fields;
            if !self.is_over {
                return Ok(Some(line));
            }
            buf.truncate(start);
            if self.size > self.limits.head_bytes.saturating_mul(BOMB_FACTOR) {
                return Err(Abuse::HeaderBomb.into());
            }
        }
        Ok(None)
    }
}

/// Decodes a section that nobody wants: the context depends on it.
pub(super) fn pass_over(decoder: &mut Decoder, block: &[u8], limits: &Limits) -> Result<(), ConnectionError> {
    let mut section = Section::begin(decoder, block, limits)?;
    let mut unused = Vec::new();
    while section.next(decoder, &mut unused)?.is_some() {
        unused.clear();
    }
    Ok(())
}

/// What fields of requests, answers and trailers have in common.
#[derive(Debug, Default)]
struct Common {
    /// The first thing that makes the section malformed.
    fault: Option<&'static str>,
    length: Option<u64>,
}

impl Common {
    #[inline]
    fn blame(&mut self, why: &'static str) {
        self.fault.get_or_insert(why);
    }

    /// Takes note of a field; `buf` holds it.
    #[inline]
    fn note(&mut self, known: Name, field: &Field, buf: &[u8]) {
        match known {
            // RFC 9113, section 8.2.2.
            Name::Connection | Name::KeepAlive | Name::ProxyConnection | Name::TransferEncoding | Name::Upgrade => {
                self.blame("connection-specific field");
            }
            Name::ContentLength => self.note_length(field.value.of(buf)),
            _ => {}
        }
    }

    fn note_length(&mut self, value: &[u8]) {
        match decimal(value) {
            _ if self.length.is_some() => self.blame("more than one Content-Length"),
            None => self.blame("invalid Content-Length"),
            length => self.length = length,
        }
    }
}
