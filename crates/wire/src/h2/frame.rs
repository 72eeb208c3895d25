//! Frames (RFC 9113, sections 4 and 6): their headers, their sizes, and the small ones whole.
//!
//! Owns layout, and what the size and the stream of a frame must be for its type. What frames mean, and when they may come,
//! belongs to [`super::connection`].

use super::error::{ConnectionError, ErrorCode};
use super::settings::{MAX_FRAME_BYTES, SETTING_BYTES};

/// Bytes of a frame's header.
pub(super) const HEADER_BYTES: usize = 9;
/// What a client sends first (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// END_STREAM, of DATA and HEADERS.
pub(super) const END_STREAM: u8 = 0x1;
/// ACK, of SETTINGS and PING.
pub(super) const ACK: u8 = 0x1;
/// END_HEADERS, of HEADERS and CONTINUATION.
pub(super) const END_HEADERS: u8 = 0x4;
/// PADDED, of DATA and HEADERS.
pub(super) const PADDED: u8 = 0x8;
/// PRIORITY, of HEADERS.
pub(super) const PRIORITY: u8 = 0x20;

/// Types of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// Of an extension that we do not know.
    Other,
}

impl Type {
    const fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::RstStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            _ => Self::Other,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Headers => 1,
            Self::Priority => 2,
            Self::RstStream => 3,
            Self::Settings => 4,
            Self::PushPromise => 5,
            Self::Ping => 6,
            Self::GoAway => 7,
            Self::WindowUpdate => 8,
            Self::Continuation => 9,
            Self::Other => 0xff,
        }
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the payload.
    pub(super) length: u32,
    pub(super) kind: Type,
    pub(super) flags: u8,
    /// 0 for the connection.
    pub(super) stream: u32,
}

impl Header {
    /// Reads a header at the front of `bytes`; none if it is not whole.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [length @ .., kind, flags, a, b, c, d] = bytes.first_chunk::<HEADER_BYTES>()?;
        let [high, middle, low] = *length;
        Some(Self {
            length: u32::from_be_bytes([0, high, middle, low]),
            kind: Type::of(*kind),
            flags: *flags,
            stream: u32::from_be_bytes([*a, *b, *c, *d]) & 0x7fff_ffff,
        })
    }

    #[inline]
    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Checks the size, and whether a frame of this type may be about this stream or about none.
    #[inline]
    pub(super) fn check(self) -> Result<(), ConnectionError> {
        if self.length > MAX_FRAME_BYTES {
            return Err(ConnectionError::frame_size("frame larger than SETTINGS_MAX_FRAME_SIZE"));
        }
        match self.kind {
            Type::Data | Type::Headers | Type::Continuation if self.stream == 0 => {
                Err(ConnectionError::protocol("DATA, HEADERS or CONTINUATION on stream 0"))
            }
            Type::Data | Type::Headers | Type::Continuation | Type::Other => Ok(()),
            _ => self.check_control(),
        }
    }

    fn check_control(self) -> Result<(), ConnectionError> {
        let on_stream = self.stream != 0;
        let size = self.length as usize;
        match self.kind {
            Type::Priority | Type::RstStream if !on_stream => {
                Err(ConnectionError::protocol("PRIORITY or RST_STREAM on stream 0"))
            }
            Type::Settings | Type::Ping | Type::GoAway if on_stream => {
                Err(ConnectionError::protocol("SETTINGS, PING or GOAWAY on a stream"))
            }
            Type::PushPromise => Err(ConnectionError::protocol("PUSH_PROMISE, which nobody asked for")),
            Type::RstStream if size != 4 => Err(ConnectionError::frame_size("RST_STREAM of a wrong size")),
            Type::WindowUpdate if size != 4 => Err(ConnectionError::frame_size("WINDOW_UPDATE of a wrong size")),
            Type::Ping if size != 8 => Err(ConnectionError::frame_size("PING of a wrong size")),
            Type::GoAway if size < 8 => Err(ConnectionError::frame_size("GOAWAY of a wrong size")),
            Type::Settings if self.has(ACK) && size != 0 => {
                Err(ConnectionError::frame_size("acknowledgement of SETTINGS with a payload"))
            }
            Type::Settings if !size.is_multiple_of(SETTING_BYTES) => {
                Err(ConnectionError::frame_size("SETTINGS of a wrong size"))
            }
            _ => Ok(()),
        }
    }
}

/// Writes a frame's header.
#[inline]
pub(super) fn put_header(out: &mut Vec<u8>, header: Header) {
    let [_, high, middle, low] = header.length.to_be_bytes();
    let [a, b, c, d] = header.stream.to_be_bytes();
    out.extend_from_slice(&[high, middle, low, header.kind.byte(), header.flags, a, b, c, d]);
}

/// Writes the length of a frame whose header is at `at` and whose payload is what follows.
#[inline]
pub(super) fn set_length(out: &mut [u8], at: usize, length: usize) {
    let [_, high, middle, low] = u32::try_from(length).unwrap_or(0).to_be_bytes();
    if let Some(to) = out.get_mut(at..at + 3) {
        to.copy_from_slice(&[high, middle, low]);
    }
}

/// Writes a frame with a payload of four bytes.
fn put_number(out: &mut Vec<u8>, kind: Type, stream: u32, number: u32) {
    put_header(out, Header { length: 4, kind, flags: 0, stream });
    out.extend_from_slice(&number.to_be_bytes());
}

/// Writes RST_STREAM.
pub(super) fn put_reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    put_number(out, Type::RstStream, stream, code.0);
}

/// Writes WINDOW_UPDATE, for the connection if `stream` is 0.
pub(super) fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put_number(out, Type::WindowUpdate, stream, increment);
}

/// Writes PING, or the answer to one.
pub(super) fn put_ping(out: &mut Vec<u8>, flags: u8, payload: [u8; 8]) {
    put_header(out, Header { length: 8, kind: Type::Ping, flags, stream: 0 });
    out.extend_from_slice(&payload);
}

/// Writes the acknowledgement of SETTINGS.
pub(super) fn put_settings_ack(out: &mut Vec<u8>) {
    put_header(out, Header { length: 0, kind: Type::Settings, flags: ACK, stream: 0 });
}

/// Writes GOAWAY; `why` is for whoever reads a trace of it.
pub(super) fn put_goaway(out: &mut Vec<u8>, last: u32, code: ErrorCode, why: &str) {
    let length = u32::try_from(8 + why.len()).unwrap_or(8);
    put_header(out, Header { length, kind: Type::GoAway, flags: 0, stream: 0 });
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(why.as_bytes());
}
