//! The other side of a connection, by hand: raw frames in, parsed frames out.

use std::collections::BTreeMap;

use wire::h2::{Config, Connection, ConnectionError, ErrorCode, Event, HeadSlot, Input, MAX_LEFT_BYTES};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// END_STREAM, and ACK.
pub(crate) const END: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITISED: u8 = 32;

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Settings as a payload.
pub(crate) fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    pairs.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect()
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(crate) fn rst_stream(stream: u32, code: ErrorCode) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

/// A header block of literals that are not indexed.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            let mut length = text.len();
            if length < 127 {
                out.push(u8::try_from(length).expect("small"));
            } else {
                out.push(127);
                length -= 127;
                while length >= 128 {
                    out.push(u8::try_from(length % 128).expect("seven bits") | 128);
                    length /= 128;
                }
                out.push(u8::try_from(length).expect("seven bits"));
            }
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// What every request has.
pub(crate) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "example.com"), (":path", "/")];
pub(crate) const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "https"), (":authority", "example.com"), (":path", "/")];

/// HEADERS with a whole block.
pub(crate) fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

/// A GET that ends its stream.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    headers(stream, END, &GET)
}

/// A POST whose body follows.
pub(crate) fn post(stream: u32) -> Vec<u8> {
    headers(stream, 0, &POST)
}

/// A frame that we wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Written {
    /// The number that is the payload, or at `at` in it.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(*self.payload[at..].first_chunk().expect("four bytes"))
    }
}

/// Cuts output into frames.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Written> {
    let mut found = Vec::new();
    while let Some(([a, b, c, kind, flags, stream @ ..], rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let stream = u32::from_be_bytes(*stream);
        found.push(Written { kind: *kind, flags: *flags, stream, payload: rest[..length].to_vec() });
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "whole frames");
    found
}

/// A side under test.
pub(crate) struct Side {
    pub(crate) connection: Connection,
    pub(crate) slot: HeadSlot,
    pub(crate) out: Vec<u8>,
    pub(crate) now_ms: u64,
    input: Vec<u8>,
    at: usize,
    /// Bytes of all DATA that came.
    pub(crate) data: Vec<u8>,
    /// The same, of each stream.
    pub(crate) bodies: BTreeMap<u32, Vec<u8>>,
}

impl Side {
    pub(crate) fn new(connection: Connection) -> Self {
        let mut side = Self {
            connection,
            slot: HeadSlot::default(),
            out: Vec::new(),
            now_ms: 0,
            input: Vec::new(),
            at: 0,
            data: Vec::new(),
            bodies: BTreeMap::new(),
        };
        side.connection.start(&mut side.out);
        side
    }

    /// A server after the client's preface and empty settings, with nothing left to say.
    pub(crate) fn server() -> Self {
        Self::server_with(Config::default())
    }

    pub(crate) fn server_with(config: Config) -> Self {
        let mut side = Self::new(Connection::server(config));
        let hello = [wire::h2::PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, END, 0, &[])].concat();
        assert_eq!(side.receive(&hello), Ok(vec![]));
        side.out.clear();
        side
    }

    /// A client after the server's settings.
    pub(crate) fn client() -> Self {
        let mut side = Self::new(Connection::client(Config::default()));
        let hello = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, END, 0, &[])].concat();
        assert_eq!(side.receive(&hello), Ok(vec![]));
        side.out.clear();
        side
    }

    /// All events of some input. What is left over comes before the next.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, ConnectionError> {
        self.feed(bytes);
        let mut events = Vec::new();
        while let Some(event) = self.next_event()? {
            events.push(event);
        }
        Ok(events)
    }

    /// Some input arrives.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.drain(..std::mem::take(&mut self.at));
        self.input.extend_from_slice(bytes);
    }

    /// The next event of what has arrived.
    pub(crate) fn next_event(&mut self) -> Result<Option<Event>, ConnectionError> {
        let mut input = Input { bytes: &self.input, at: self.at };
        let event = self.connection.receive(&mut input, &mut self.slot, self.now_ms, &mut self.out);
        self.at = input.at;
        if let Ok(Some(Event::Data { stream, range, .. })) = &event {
            let data = &self.input[range.clone()];
            self.bodies.entry(stream.id).or_default().extend_from_slice(data);
            self.data.extend_from_slice(data);
        }
        let left = self.input.len() - self.at;
        assert!(event != Ok(None) || left <= MAX_LEFT_BYTES, "{left} bytes are left");
        event
    }

    /// The same, byte by byte.
    pub(crate) fn drip(&mut self, bytes: &[u8]) -> Result<Vec<Event>, ConnectionError> {
        let mut events = Vec::new();
        for byte in bytes {
            events.extend(self.receive(&[*byte])?);
        }
        Ok(events)
    }

    /// What was written since the last time.
    pub(crate) fn written(&mut self) -> Vec<Written> {
        frames(&std::mem::take(&mut self.out))
    }

    /// The only event of some input.
    pub(crate) fn event(&mut self, bytes: &[u8]) -> Event {
        let events = self.receive(bytes).expect("the connection goes on");
        assert_eq!(events.len(), 1, "{events:?}");
        events.into_iter().next().expect("there is one")
    }

    /// Input that must end the connection: what GOAWAY says.
    pub(crate) fn fails(&mut self, bytes: &[u8]) -> ErrorCode {
        let error = self.receive(bytes).expect_err("the connection ends");
        let last = self.written().pop().expect("it says so");
        assert_eq!((last.kind, last.stream), (GOAWAY, 0));
        assert_eq!(ErrorCode(last.number(4)), error.code, "{error:?}");
        error.code
    }

    /// Input that must end a stream: what RST_STREAM says. The connection goes on.
    pub(crate) fn resets(&mut self, bytes: &[u8]) -> (u32, ErrorCode) {
        self.receive(bytes).expect("the connection goes on");
        let resets: Vec<_> = self.written().into_iter().filter(|frame| frame.kind == RST_STREAM).collect();
        assert_eq!(resets.len(), 1, "{resets:?}");
        assert_eq!(self.receive(&frame(PING, 0, 0, b"01234567")), Ok(vec![]));
        assert!(self.written().iter().any(|frame| frame.kind == PING && frame.flags == END));
        (resets[0].stream, ErrorCode(resets[0].number(0)))
    }
}
