//! The chunked transfer coding (RFC 9112, section 7.1): a decoder that never copies, and the encoder's lines.
//!
//! Owns the framing of a chunked body and what may stand in trailers. The bytes stay where they are: the decoder says
//! which are framing and which are body. `engine` keeps the buffer.

use super::fields::next_line;
use super::{Malformed, Stop, encode};
use crate::head::{Field, Name};
use crate::scan::after_text;

/// Bytes of chunk extensions beyond the bytes of body that came with them. Extensions are dropped, so that a body of
/// them would be work for nothing.
pub const MAX_EXTENSION_BYTES: u64 = 16 * 1024;
/// Bytes of the trailer section, its empty line included. The caller's buffer must be able to hold them.
pub const MAX_TRAILER_BYTES: usize = 8 * 1024;
/// Digits of a chunk size; 16 fill a u64.
const MAX_SIZE_DIGITS: u8 = 16;

/// Ends the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// Ends a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Comes before trailer fields; [`TRAILERS_END`] follows them.
pub const LAST_CHUNK_BEFORE_TRAILERS: &[u8] = b"0\r\n";
/// Ends the trailer section.
pub const TRAILERS_END: &[u8] = b"\r\n";

/// Writes the line that opens a chunk of `len` bytes; `len` must not be 0, which would end the body.
#[inline]
pub fn put_chunk_size(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "a chunk of no bytes ends the body");
    encode::put_hexadecimal(out, len as u64);
    out.extend_from_slice(CHUNK_END);
}

/// What the decoder found at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Skip `skip` bytes of framing; then `data` bytes of body follow (more of the same chunk may come later).
    Data {
        /// Bytes of framing before the data.
        skip: usize,
        /// Bytes of body.
        data: usize,
    },
    /// `used` bytes of framing are consumed; more input is needed.
    More {
        /// Bytes consumed.
        used: usize,
    },
    /// The body ends after `used` bytes. If `trailers` is not empty it is the range within the input, relative to its
    /// start, that holds the trailer field lines, each ended by CRLF, without the final empty line.
    End {
        /// Bytes consumed, the final CRLF included.
        used: usize,
        /// Where the trailer section is.
        trailers: (usize, usize),
    },
}

/// Where in the coding the next byte stands.
///
/// ```text
///           digit         SP, ;             ;                CR          LF, size > 0
/// SizeStart ─────► Size ─────────► Blank ──────► Extension ──────► SizeLf ──────────► Data
///     ▲              └─────────────── CR ────────────────────────►   │                 │ all read
///     │      LF                CR                                    │ LF, size 0      ▼
///     └───────────── DataLf ◄────────────────────────────────────────┼────────────── DataCr
///                                                                    ▼   empty line
///                                                                Trailers ──────────► Ended
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit of a chunk size.
    SizeStart,
    /// Among the digits of a chunk size.
    Size { digits: u8 },
    /// In white space between the size and its extensions.
    Blank,
    /// Within chunk extensions.
    Extension,
    /// After the CR of a size line.
    SizeLf,
    /// Within a chunk's data.
    Data,
    /// After a chunk's data.
    DataCr,
    /// After the CR that follows a chunk's data.
    DataLf,
    /// In the trailer section; so many bytes of it are whole lines and already checked.
    Trailers { checked: usize },
    /// After the body.
    Ended,
}

/// Decodes one chunked body.
///
/// The caller takes the bytes of each [`Step`] away before the next call, and calls again with what follows. Two things
/// to know: bytes of the trailer section are not consumed until it is whole (`More { used: 0 }` asks for the same bytes
/// and more), and after an error or [`Step::End`] the decoder is spent.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// The size of the chunk while it is read, then what is left of its data.
    size: u64,
    /// Bytes of extensions, less the bytes of body that came with them.
    extensions: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder before the first byte of a body.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::SizeStart, size: 0, extensions: 0 }
    }

    /// Finds the next piece of body or the body's end.
    ///
    /// # Errors
    /// Why the body cannot be trusted: the message must be cut off visibly.
    #[inline]
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        let mut at = 0;
        loop {
            match self.state {
                State::Data if self.size > 0 => return Ok(self.take_data(input, at)),
                State::Data => self.state = State::DataCr,
                State::Trailers { checked } => return self.read_trailers(input, at, checked),
                State::Ended => return Ok(Step::End { used: at, trailers: (at, at) }),
                _ => match input.get(at) {
                    Some(byte) => at += self.read_framing(*byte, &input[at..])?,
                    None => return Ok(Step::More { used: at }),
                },
            }
        }
    }

    #[inline]
    fn take_data(&mut self, input: &[u8], skip: usize) -> Step {
        let available = input.len() - skip;
        if available == 0 {
            return Step::More { used: skip };
        }
        let data = usize::try_from(self.size).map_or(available, |left| left.min(available));
        self.size -= data as u64;
        self.extensions = self.extensions.saturating_sub(data as u64);
        Step::Data { skip, data }
    }

    /// Reads framing at the front of `rest`, whose first byte is `byte`; returns how many bytes.
    #[inline]
    fn read_framing(&mut self, byte: u8, rest: &[u8]) -> Result<usize, Malformed> {
        self.state = match (self.state, byte) {
            (State::SizeStart, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.size = hex_value(byte);
                State::Size { digits: 1 }
            }
            (State::Size { digits: MAX_SIZE_DIGITS }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                return Err(Malformed { why: "chunk size too large" });
            }
            (State::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.size = self.size << 4 | hex_value(byte);
                State::Size { digits: digits + 1 }
            }
            (State::Size { .. } | State::Extension, b'\r') => State::SizeLf,
            (State::SizeLf, b'\n') if self.size == 0 => State::Trailers { checked: 0 },
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::SizeStart,
            (State::Size { .. } | State::Blank, b' ' | b'\t') => return self.pass_extension(State::Blank, 1),
            (State::Size { .. } | State::Blank, b';') => return self.pass_extension(State::Extension, 1),
            (State::Extension, _) => return self.pass_extension(State::Extension, rest.len() - after_text(rest).len()),
            _ => return Err(self.misplaced()),
        };
        Ok(1)
    }

    /// Counts bytes of extensions. None at all means that a control character stands among them.
    fn pass_extension(&mut self, next: State, bytes: usize) -> Result<usize, Malformed> {
        self.extensions += bytes as u64;
        if bytes == 0 {
            return Err(Malformed { why: "control character in a chunk extension" });
        }
        if self.extensions > MAX_EXTENSION_BYTES {
            return Err(Malformed { why: "too many bytes of chunk extensions" });
        }
        self.state = next;
        Ok(bytes)
    }

    #[cold]
    fn misplaced(&self) -> Malformed {
        let why = match self.state {
            State::DataCr | State::DataLf => "chunk data not followed by CRLF",
            State::SizeLf => "bare CR in a chunk size line",
            State::Blank => "white space after a chunk size",
            _ => "invalid chunk size",
        };
        Malformed { why }
    }

    /// Reads the trailer section that starts at `start`; nothing of it is consumed before it is whole, so that its range
    /// lies within one input.
    fn read_trailers(&mut self, input: &[u8], start: usize, checked: usize) -> Result<Step, Malformed> {
        let section = &input[start..input.len().min(start + MAX_TRAILER_BYTES)];
        let mut at = checked;
        loop {
            match next_line(&section[at..], &mut false) {
                Ok(Some(line)) => at = section.len() - line.rest.len(),
                Ok(None) => {
                    self.state = State::Ended;
                    let end = start + at;
                    return Ok(Step::End { used: end + CHUNK_END.len(), trailers: (start, end) });
                }
                Err(Stop::Partial) if section.len() == MAX_TRAILER_BYTES => {
                    return Err(Malformed { why: "trailer section too large" });
                }
                Err(Stop::Partial) => {
                    self.state = State::Trailers { checked: at };
                    return Ok(Step::More { used: start });
                }
                Err(Stop::Refused(refusal)) => return Err(Malformed { why: refusal.why }),
            }
        }
    }
}

/// The value of a hexadecimal digit.
#[inline]
fn hex_value(digit: u8) -> u64 {
    u64::from(if digit <= b'9' { digit - b'0' } else { (digit | 0x20) - b'a' + 10 })
}

/// Reads the field lines of a trailer section as [`Step::End`] gives it; spans point into `section`. Fields that may not
/// come late are dropped: those that frame, route, authenticate or describe the message are decided on before its body
/// is read (RFC 9110, section 6.5.1), and those that belong to one connection.
///
/// # Errors
/// What no decoder would have let through.
pub fn trailer_fields(section: &[u8], out: &mut Vec<Field>) -> Result<(), Malformed> {
    out.clear();
    let mut at = 0;
    while at < section.len() {
        match next_line(&section[at..], &mut false) {
            Ok(Some(line)) => {
                let field = line.field(section, &section[at..]);
                if may_come_late(&field, section) {
                    out.push(field);
                }
                at = section.len() - line.rest.len();
            }
            Err(Stop::Refused(refusal)) => return Err(Malformed { why: refusal.why }),
            Ok(None) | Err(Stop::Partial) => return Err(Malformed { why: "trailer section out of bounds" }),
        }
    }
    Ok(())
}

/// Whether a field may stand in trailers.
pub(crate) fn may_come_late(field: &Field, section: &[u8]) -> bool {
    /// Besides those with a [`Name`], none of which may come late.
    const FORBIDDEN: [&[u8]; 15] = [
        b"age",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"date",
        b"expires",
        b"location",
        b"pragma",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"vary",
        b"www-authenticate",
    ];
    let name = field.name.of(section);
    Name::of_unusual(name) == Name::Other && !FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}
