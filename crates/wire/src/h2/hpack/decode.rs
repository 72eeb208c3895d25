//! Decoding header blocks (RFC 7541, sections 3.2 and 6).
//!
//! Owns the reading side's dynamic table. Names and values are looked at once: what is in the table is known to be fine, or
//! not to be.

use super::integer::read;
use super::static_table;
use super::table::Table;
use super::{CompressionError, Kind, MAX_TABLE_BYTES, Pseudo, huffman};
use crate::grammar::{after_lower_name, is_token};
use crate::head::{Field, Name, Span};
use crate::scan::after_text;

/// What is wrong with the bytes of a line (RFC 9113, section 8.2.1). A message with such a line is malformed, but the
/// compression context is not lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::h2) struct Fault(u8);

impl Fault {
    const NAME: Self = Self(1);
    const VALUE: Self = Self(2);

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is wrong, in a few plain words; none if the line is fine.
    #[inline]
    pub(in crate::h2) fn why(self) -> Option<&'static str> {
        match self.0 {
            0 => None,
            2 => Some("control character or white space around a field value"),
            _ => Some("field name that is no lower-case token or no known pseudo-header"),
        }
    }
}

/// A decoded line; its field's spans point into the buffer that it was appended to.
#[derive(Clone, Copy, Debug)]
pub(in crate::h2) struct Line {
    pub(in crate::h2) field: Field,
    pub(in crate::h2) kind: Kind,
    pub(in crate::h2) fault: Fault,
}

/// What is known of a line in the table.
#[derive(Clone, Copy, Debug)]
struct Known {
    kind: Kind,
    fault: Fault,
}

/// A name, and how to get it.
struct Named {
    name_bytes: usize,
    kind: Kind,
    fault: Fault,
}

/// The decoding context of a connection.
#[derive(Debug)]
pub(in crate::h2) struct Decoder {
    table: Table<Known>,
    /// The largest table that the peer may use.
    limit: usize,
    /// The peer knows of a lower limit and must say first that it keeps to it.
    must_update: bool,
}

impl Decoder {
    /// With the table that the peer may use before it knows our settings.
    pub(in crate::h2) fn new(limit: u32) -> Self {
        let limit = limit.min(MAX_TABLE_BYTES) as usize;
        Self { table: Table::new(limit.min(4096)), limit, must_update: false }
    }

    /// The peer has taken note of our limit.
    pub(in crate::h2) fn set_limit(&mut self, limit: u32) {
        self.limit = limit.min(MAX_TABLE_BYTES) as usize;
        self.must_update = self.table.max_size() > self.limit;
    }

    /// Reads the size updates that a block may begin with, and returns where its lines begin.
    #[inline]
    pub(in crate::h2) fn begin(&mut self, block: &[u8]) -> Result<usize, CompressionError> {
        let mut at = 0;
        while let Some(0x20..=0x3f) = block.get(at) {
            let size = read::<5>(block, &mut at)?;
            if size > self.limit {
                return Err(CompressionError("table size update beyond what was allowed"));
            }
            self.table.set_max_size(size);
            self.must_update = false;
        }
        if self.must_update {
            return Err(CompressionError("no table size update although the limit was lowered"));
        }
        Ok(at)
    }

    /// Decodes the line at `block[*at..]`, which is not empty, and appends it to `buf`.
    #[inline]
    pub(in crate::h2) fn line(
        &mut self,
        block: &[u8],
        at: &mut usize,
        buf: &mut Vec<u8>,
    ) -> Result<Line, CompressionError> {
        let first = block.get(*at).copied().unwrap_or_default();
        let index = match first {
            0x80.. => {
                let index = read::<7>(block, at)?;
                return self.indexed(index, buf);
            }
            0x40..=0x7f => read::<6>(block, at)?,
            0x20..=0x3f => return Err(CompressionError("table size update within a header block")),
            0..=0x1f => read::<4>(block, at)?,
        };
        let start = buf.len();
        let named = if index == 0 { read_name(block, at, buf)? } else { self.name(index, buf)? };
        let value = buf.len();
        read_string(block, at, buf)?;
        let fault = named.fault.and(fault_of_value(&buf[value..]));
        let line = made(start, named.name_bytes, buf.len(), Known { kind: named.kind, fault });
        buf.extend_from_slice(b"\r\n");
        if first >= 0x40 {
            self.table.insert(&buf[start..], named.name_bytes, Known { kind: named.kind, fault });
        }
        let never_indexed = first & 0xf0 == 0x10;
        Ok(Line { field: Field { never_indexed, ..line.field }, ..line })
    }

    /// A whole line of one of the tables.
    #[inline]
    fn indexed(&self, index: usize, buf: &mut Vec<u8>) -> Result<Line, CompressionError> {
        let start = buf.len();
        let (line, name_bytes, known) = self.entry(index)?;
        buf.extend_from_slice(line);
        Ok(made(start, name_bytes, start + line.len() - 2, known))
    }

    /// Appends the name of an entry and what follows it.
    #[inline]
    fn name(&self, index: usize, buf: &mut Vec<u8>) -> Result<Named, CompressionError> {
        let (line, name_bytes, known) = self.entry(index)?;
        buf.extend_from_slice(&line[..name_bytes + 2]);
        Ok(Named { name_bytes, kind: known.kind, fault: Fault(known.fault.0 & Fault::NAME.0) })
    }

    #[inline]
    fn entry(&self, index: usize) -> Result<(&[u8], usize, Known), CompressionError> {
        if let Some(entry) = index.checked_sub(1).and_then(|at| static_table::ENTRIES.get(at)) {
            return Ok((entry.line, entry.name().len(), Known { kind: entry.kind, fault: Fault::default() }));
        }
        match index.checked_sub(static_table::LENGTH + 1).and_then(|age| self.table.get(age)) {
            Some(entry) => Ok((self.table.line(entry), entry.name_bytes(), entry.note)),
            None => Err(CompressionError("index of no table entry")),
        }
    }

    /// Holds no more memory than it needs.
    pub(in crate::h2) fn shrink(&mut self) {
        self.table.shrink();
    }
}

/// The line from `start` on whose value ends at `end`.
#[inline]
fn made(start: usize, name_bytes: usize, end: usize, known: Known) -> Line {
    let (name, hop_by_hop) = match known.kind {
        Kind::Field(name) => (name, name != Name::Other && name.is_hop_by_hop()),
        Kind::Pseudo(_) => (Name::Other, false),
    };
    let field = Field {
        name: Span::new(start, start + name_bytes),
        value: Span::new(start + name_bytes + 2, end),
        known: name,
        hop_by_hop,
        never_indexed: false,
    };
    Line { field, kind: known.kind, fault: known.fault }
}

/// Appends the name in `block` and what follows it in a line.
#[inline]
fn read_name(block: &[u8], at: &mut usize, buf: &mut Vec<u8>) -> Result<Named, CompressionError> {
    let start = buf.len();
    read_string(block, at, buf)?;
    let name = &buf[start..];
    let (kind, fault) = if after_lower_name(name).is_empty() && !name.is_empty() {
        (Kind::Field(Name::of(name)), Fault::default())
    } else {
        other_name(name)
    };
    let name_bytes = name.len();
    buf.extend_from_slice(b": ");
    Ok(Named { name_bytes, kind, fault })
}

/// Names that are not of lower-case letters, digits and hyphens only.
#[inline(never)]
fn other_name(name: &[u8]) -> (Kind, Fault) {
    if let Some(pseudo) = Pseudo::of(name) {
        return (Kind::Pseudo(pseudo), Fault::default());
    }
    let fine = is_token(name) && !name.iter().any(u8::is_ascii_uppercase);
    if fine { (Kind::Field(Name::of_unusual(name)), Fault::default()) } else { (Kind::Field(Name::Other), Fault::NAME) }
}

/// RFC 9113, section 8.2.1, and no other control characters either, as in HTTP/1.1.
#[inline]
fn fault_of_value(value: &[u8]) -> Fault {
    let padded = matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']);
    if padded || !after_text(value).is_empty() { Fault::VALUE } else { Fault::default() }
}

/// RFC 7541, section 5.2.
#[inline]
fn read_string(block: &[u8], at: &mut usize, buf: &mut Vec<u8>) -> Result<(), CompressionError> {
    let is_huffman = block.get(*at).is_some_and(|first| first & 0x80 != 0);
    let length = read::<7>(block, at)?;
    let Some(text) = block[*at..].get(..length) else {
        return Err(CompressionError("header block ends within a string"));
    };
    *at += length;
    if is_huffman {
        return huffman::decode(text, buf);
    }
    buf.extend_from_slice(text);
    Ok(())
}
