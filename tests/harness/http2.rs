//! An HTTP/2 client that makes each frame by hand, right or wrong, and reads answers by rules of its own.
//!
//! It tells the balancer to use no dynamic table; of heads it reads the status alone, which comes first in them. What
//! fields come is looked at through curl and nghttp.

use super::message::text;
use super::wire::{Broken, Wire};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

const HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// What a client sends first (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap();
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// A number of four bytes in the payload: an error code.
    pub(crate) fn number_at(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// What came on a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Those before it.
    pub(crate) interim: Vec<u16>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

impl Answer {
    pub(crate) fn body_text(&self) -> String {
        text(&self.body)
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    Whole,
    /// With RST_STREAM and this code.
    Reset(u32),
}

/// A connection of a client.
pub(crate) struct Http2 {
    pub(crate) wire: Wire,
    next: u32,
}

impl Http2 {
    /// With windows that never stop anything.
    pub(crate) fn connect(address: &str) -> Self {
        let mut client = Self::with(address, &[(INITIAL_WINDOW_SIZE, 0x3fff_ffff)]);
        client.send(WINDOW_UPDATE, 0, 0, 0x3fff_ffffu32.to_be_bytes());
        client
    }

    /// With these settings.
    pub(crate) fn with(address: &str, settings: &[(u16, u32)]) -> Self {
        Self::over(Wire::connect(address), settings)
    }

    /// On a connection, the preface comes next.
    pub(crate) fn over(mut wire: Wire, settings: &[(u16, u32)]) -> Self {
        wire.send(PREFACE);
        let mut client = Self { wire, next: 1 };
        let all = [(HEADER_TABLE_SIZE, 0)].into_iter().chain(settings.iter().copied());
        let payload: Vec<u8> = all.flat_map(|(id, value)| setting(id, value)).collect();
        client.send(SETTINGS, 0, 0, payload);
        client
    }

    /// Sends a frame; a balancer that does not listen any more is found out by reading.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) {
        let _ = self.wire.try_send(Frame::new(kind, flags, stream, payload).bytes());
    }

    /// The number of the next stream of the client.
    pub(crate) fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Asks for this path, with more fields.
    pub(crate) fn get(&mut self, path: &str, more: &[(&str, &str)]) -> u32 {
        let stream = self.next_stream();
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, request("GET", path, more));
        stream
    }

    /// Begins a POST whose body follows.
    pub(crate) fn post(&mut self, path: &str, more: &[(&str, &str)]) -> u32 {
        let stream = self.next_stream();
        self.send(HEADERS, END_HEADERS, stream, request("POST", path, more));
        stream
    }

    /// Cancels a stream.
    pub(crate) fn cancel(&mut self, stream: u32) {
        self.send(RST_STREAM, 0, stream, 8u32.to_be_bytes());
    }

    /// Reads a frame as it came.
    pub(crate) fn frame(&mut self) -> Result<Frame, Broken> {
        let head = self.wire.read_exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        let payload = self.wire.read_exactly(length)?;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads the next frame that is not about the connection; SETTINGS and PING are answered.
    pub(crate) fn next_frame(&mut self) -> Result<Frame, Broken> {
        loop {
            let frame = self.frame()?;
            match frame.kind {
                SETTINGS | PING if !frame.has(ACK) => {
                    let payload = if frame.kind == PING { frame.payload } else { Vec::new() };
                    self.send(frame.kind, ACK, 0, payload);
                }
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => return Ok(frame),
            }
        }
    }

    /// Reads to the end of this stream; others, and GOAWAY, are passed over.
    pub(crate) fn answer_on(&mut self, stream: u32) -> Result<Answer, Broken> {
        let mut answer = Answer::default();
        loop {
            let frame = self.next_frame()?;
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                HEADERS if answer.status == 0 => match status(&frame.payload) {
                    interim @ 100..200 => answer.interim.push(interim),
                    status => answer.status = status,
                },
                DATA => answer.body.extend(&frame.payload),
                RST_STREAM => {
                    answer.end = End::Reset(frame.number_at(0));
                    return Ok(answer);
                }
                _ => {}
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.has(END_STREAM) {
                return Ok(answer);
            }
        }
    }

    /// As [`Self::answer_on`], which must come.
    #[track_caller]
    pub(crate) fn answer(&mut self, stream: u32) -> Answer {
        self.answer_on(stream).unwrap_or_else(|broken| panic!("no answer on stream {stream}: {broken:?}"))
    }

    /// The status of the head that comes next on this stream.
    #[track_caller]
    pub(crate) fn status_on(&mut self, stream: u32) -> u16 {
        loop {
            let frame = self.next_frame().unwrap();
            if frame.stream == stream && frame.kind == HEADERS {
                return status(&frame.payload);
            }
            assert!(frame.stream != stream, "{frame:?} before a head");
        }
    }

    /// Data that comes next on this stream; none at its end.
    #[track_caller]
    pub(crate) fn data_on(&mut self, stream: u32) -> Vec<u8> {
        loop {
            let frame = self.next_frame().unwrap();
            if frame.stream == stream && frame.kind == DATA && (!frame.payload.is_empty() || frame.has(END_STREAM)) {
                return frame.payload;
            }
            assert!(frame.stream != stream || frame.kind == DATA, "{frame:?} instead of data");
        }
    }

    /// Reads to the end of the connection: the code of the last GOAWAY before it. A reset may swallow it.
    pub(crate) fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Ok(frame) = self.frame() {
            if frame.kind == GOAWAY {
                code = Some(frame.number_at(4));
            }
        }
        code
    }
}

/// A setting on the wire.
pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// The block of a request's head.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let line = [(":method", method), (":scheme", "http"), (":authority", "shop.example"), (":path", path)];
    block(line.iter().chain(more))
}

/// Fields as literals without an index (RFC 7541, section 6.2.2).
pub(crate) fn block<'a>(fields: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        put_text(&mut block, name);
        put_text(&mut block, value);
    }
    block
}

fn put_text(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        block.push(u8::try_from(length).unwrap());
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(u8::try_from(length % 128).unwrap() | 128);
            length /= 128;
        }
        block.push(u8::try_from(length).unwrap());
    }
    block.extend(text.as_bytes());
}

/// The status that a head begins with; 0 where it begins with something else, as trailers do.
fn status(block: &[u8]) -> u16 {
    // Changes of the table's size come first.
    let block = &block[block.iter().take_while(|&&byte| byte & 0xe0 == 0x20).count()..];
    match block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x08 | 0x18 | 0x48, length, rest @ ..] => {
            let value = &rest[..usize::from(length & 0x7f)];
            let digits = if length & 0x80 == 0 { text(value) } else { digits(value) };
            digits.parse().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Three digits in the code of RFC 7541, appendix B: 0 to 2 have five bits, the others six.
fn digits(huffman: &[u8]) -> String {
    let bits: Vec<u8> = huffman.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let (mut at, mut digits) = (0, String::new());
    for _ in 0..3 {
        let take = |length: usize| bits[at..at + length].iter().fold(0, |code, bit| code << 1 | bit);
        let (digit, length) = match take(5) {
            short @ 0..=2 => (short, 5),
            _ => (take(6) - 0b01_1001 + 3, 6),
        };
        digits.push(char::from(b'0' + digit));
        at += length;
    }
    digits
}
