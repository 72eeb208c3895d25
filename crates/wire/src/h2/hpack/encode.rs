//! Encoding header blocks (RFC 7541, section 6).
//!
//! Owns the writing side's dynamic table and what goes into it: a line that was written a little while ago and comes again.
//! Values that never come again, such as request ids, so push out nobody. Secrets are never put into it: the table is shared
//! by all who use the connection.

use super::integer::put;
use super::table::Table;
use super::{ENTRY_OVERHEAD_BYTES, MAX_TABLE_BYTES, huffman, static_table};

/// The largest table that we use, whatever the peer would allow.
const LARGEST_TABLE: u32 = 4096;
/// Lines of which is known that they were written once.
const SEEN: usize = 16;
/// Places to find entries by. Two that share one are written into the table by turns, which costs bytes alone.
const PLACES: usize = 64;

/// How a literal is marked (RFC 7541, section 6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Goes into the table.
    Indexed,
    /// Does not.
    Plain,
    /// Does not, nor into any table behind us.
    Never,
}

/// What is noted beside a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    hash: u32,
    /// The static entry with the same name, or 0.
    index: u8,
}

/// The encoding context of a connection.
#[derive(Debug)]
pub(in crate::h2) struct Encoder {
    table: Table<Note>,
    /// Entries that ever came into the table; wraps around.
    inserted: u16,
    /// By the hash of its line, the number of the last such entry. It may be gone, or another's: that is seen there.
    places: [u16; PLACES],
    /// The smallest size that the table had since the last block, and what it has now, if that must be told.
    resized: Option<(u32, u32)>,
    /// Hashes of lines that were written and did not go into the table.
    seen: [u32; SEEN],
    next_seen: usize,
}

impl Encoder {
    /// With the table that each peer allows until it says otherwise.
    pub(in crate::h2) fn new() -> Self {
        Self {
            table: Table::new(LARGEST_TABLE as usize),
            inserted: 0,
            places: [0; PLACES],
            resized: None,
            seen: [0; SEEN],
            next_seen: 0,
        }
    }

    /// The peer allows a table of this size.
    pub(in crate::h2) fn set_limit(&mut self, limit: u32) {
        let size = limit.min(LARGEST_TABLE).min(MAX_TABLE_BYTES);
        if size as usize == self.table.max_size() && self.resized.is_none() {
            return;
        }
        let smallest = self.resized.map_or(size, |(smallest, _)| smallest.min(size));
        self.resized = Some((smallest, size));
        self.table.set_max_size(size as usize);
    }

    /// Begins a block.
    #[inline]
    pub(in crate::h2) fn begin(&mut self, out: &mut Vec<u8>) {
        if self.resized.is_some() {
            self.put_sizes(out);
        }
    }

    #[cold]
    fn put_sizes(&mut self, out: &mut Vec<u8>) {
        let Some((smallest, size)) = self.resized.take() else { return };
        if smallest < size {
            put::<5>(out, 0x20, smallest as usize);
        }
        put::<5>(out, 0x20, size as usize);
    }

    /// Writes `:status`.
    #[inline]
    pub(in crate::h2) fn put_status(&mut self, status: u16, out: &mut Vec<u8>) {
        let index = match status {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digit = |place: u16| b'0' + u8::try_from(status / place % 10).unwrap_or_default();
                out.extend_from_slice(&[8, 3, digit(100), digit(10), digit(1)]);
                return;
            }
        };
        out.push(0x80 | index);
    }

    /// Writes `:method`.
    #[inline]
    pub(in crate::h2) fn put_method(&mut self, method: &[u8], out: &mut Vec<u8>) {
        match method {
            b"GET" => out.push(0x82),
            b"POST" => out.push(0x83),
            _ => self.put_indexable(2, b":method", method, out),
        }
    }

    /// Writes `:scheme`.
    #[inline]
    pub(in crate::h2) fn put_scheme(&mut self, scheme: &[u8], out: &mut Vec<u8>) {
        match scheme {
            b"http" => out.push(0x86),
            b"https" => out.push(0x87),
            _ => self.put_indexable(6, b":scheme", scheme, out),
        }
    }

    /// Writes `:authority`.
    #[inline]
    pub(in crate::h2) fn put_authority(&mut self, authority: &[u8], out: &mut Vec<u8>) {
        self.put_indexable(1, b":authority", authority, out);
    }

    /// Writes `:path` from its two parts.
    #[inline]
    pub(in crate::h2) fn put_path(&mut self, path: &[u8], query: Option<&[u8]>, out: &mut Vec<u8>) {
        match query {
            None if path == b"/" => out.push(0x84),
            None => put_literal(4, b"", path, Mark::Plain, out),
            Some(query) => {
                put::<4>(out, 0, 4);
                put::<7>(out, 0, path.len() + 1 + query.len());
                out.extend_from_slice(path);
                out.push(b'?');
                out.extend_from_slice(query);
            }
        }
    }

    /// Writes `:protocol` (RFC 8441, section 4).
    pub(in crate::h2) fn put_protocol(&mut self, protocol: &[u8], out: &mut Vec<u8>) {
        self.put_indexable(0, b":protocol", protocol, out);
    }

    /// Writes a field; its name in lower case, whatever case it has.
    #[inline]
    pub(in crate::h2) fn put_field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let index = static_table::find(name);
        if is_secret(index) {
            put_literal(index, name, value, Mark::Never, out);
        } else {
            self.put_indexable(index, name, value, out);
        }
    }

    /// Writes a field that no table may hold, here or further on.
    pub(in crate::h2) fn put_secret(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        put_literal(static_table::find(name), name, value, Mark::Never, out);
    }

    #[inline]
    fn put_indexable(&mut self, index: u8, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if self.table.max_size() < name.len() + value.len() + ENTRY_OVERHEAD_BYTES {
            return put_literal(index, name, value, Mark::Plain, out);
        }
        let hash = hash_of(name, value);
        if let Some(age) = self.find(Note { hash, index }, name, value) {
            return put::<7>(out, 0x80, static_table::LENGTH + 1 + age);
        }
        // A fold and not a search: all are compared at once.
        if self.seen.iter().fold(false, |any, seen| any | (*seen == hash)) {
            self.insert(Note { hash, index }, (name, value), out);
        } else {
            self.seen[self.next_seen] = hash;
            self.next_seen = (self.next_seen + 1) % SEEN;
            put_literal(index, name, value, Mark::Plain, out);
        }
    }

    /// The age of the line's entry.
    #[inline]
    fn find(&self, wanted: Note, name: &[u8], value: &[u8]) -> Option<usize> {
        let age = usize::from(self.inserted.wrapping_sub(self.places[place(wanted.hash)]));
        let entry = self.table.get(age)?;
        if entry.note != wanted {
            return None;
        }
        let line = self.table.line(entry);
        let name_bytes = entry.name_bytes();
        let same_name = wanted.index != 0 || line[..name_bytes].eq_ignore_ascii_case(name);
        (same_name && line[name_bytes + 2..line.len() - 2] == *value).then_some(age)
    }

    #[inline(never)]
    fn insert(&mut self, note: Note, (name, value): (&[u8], &[u8]), out: &mut Vec<u8>) {
        // The line is put together where the block grows, and taken away again.
        let start = out.len();
        out.extend_from_slice(name);
        out[start..].make_ascii_lowercase();
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
        self.table.insert(&out[start..], name.len(), note);
        self.inserted = self.inserted.wrapping_add(1);
        self.places[place(note.hash)] = self.inserted;
        out.truncate(start);
        put_literal(note.index, name, value, Mark::Indexed, out);
    }

    /// Holds no more memory than it needs.
    pub(in crate::h2) fn shrink(&mut self) {
        self.table.shrink();
    }
}

/// Credentials and cookies: `authorization`, `cookie`, `proxy-authorization`, `set-cookie` (RFC 7541, section 7.1.3).
#[inline]
fn is_secret(index: u8) -> bool {
    matches!(index, 23 | 32 | 49 | 55)
}

/// Writes a literal; its name by `index` unless that is 0.
#[inline]
fn put_literal(index: u8, name: &[u8], value: &[u8], mark: Mark, out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 8);
    let index = usize::from(index);
    match mark {
        Mark::Indexed => put::<6>(out, 0x40, index),
        Mark::Plain => put::<4>(out, 0, index),
        Mark::Never => put::<4>(out, 0x10, index),
    }
    if index == 0 {
        put::<7>(out, 0, name.len());
        let start = out.len();
        out.extend_from_slice(name);
        out[start..].make_ascii_lowercase();
    }
    // What is written once is worth the work; what is written each time is not: bytes are cheaper than cycles here.
    let encoded = if mark == Mark::Indexed { huffman::encoded_bytes(value) } else { value.len() };
    if encoded < value.len() {
        put::<7>(out, 0x80, encoded);
        huffman::encode(value, out);
    } else {
        put::<7>(out, 0, value.len());
        out.extend_from_slice(value);
    }
}

/// Where the number of an entry is kept.
#[inline]
fn place(hash: u32) -> usize {
    (hash >> 1) as usize % PLACES
}

/// Tells lines apart quickly; the case of the name falls out. Never 0, which stands for nothing seen.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the upper half is folded in")]
fn hash_of(name: &[u8], value: &[u8]) -> u32 {
    const LOWER: u64 = u64::from_ne_bytes([0x20; 8]);
    let hash = mix_in(name.len() as u64, name, LOWER);
    let hash = mix_in(hash ^ (value.len() as u64) << 32, value, 0);
    (hash ^ hash >> 32) as u32 | 1
}

/// Words are mixed in one after the other; the last ones may overlap.
#[inline]
fn mix_in(mut hash: u64, text: &[u8], bits: u64) -> u64 {
    let mut mix = |word: u64| {
        hash = (hash ^ (word | bits)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
    };
    match (text.last_chunk::<8>(), text.last_chunk::<4>()) {
        (Some(last), _) => {
            text.chunks_exact(8).filter_map(<[u8]>::first_chunk::<8>).for_each(|word| mix(u64::from_le_bytes(*word)));
            mix(u64::from_le_bytes(*last));
        }
        (None, Some(last)) => {
            let first = text.first_chunk::<4>().map_or(0, |first| u32::from_le_bytes(*first));
            mix(u64::from(first) << 32 | u64::from(u32::from_le_bytes(*last)));
        }
        _ => text.iter().for_each(|byte| mix(u64::from(*byte))),
    }
    hash
}
