//! A connection: what holds its parts together, and what can be asked of it.
//!
//! Owns the order of things on a connection. Reading is in [`receive`], [`data`], [`blocks`] and [`control`], writing in
//! [`send`]; this file holds what both need. Driven by `engine`, as [`super`] describes.

mod blocks;
mod control;
mod data;
mod receive;
mod send;

use std::collections::VecDeque;
use std::ops::Range;

pub use receive::{Input, MAX_LEFT_BYTES};
pub use send::{HeadWriter, More, RequestLine};

use super::abuse::{Abuse, Budgets};
use super::error::{ConnectionError, ErrorCode};
use super::flow::{INITIAL_WINDOW, ReceiveWindow, SendWindow};
use super::frame::{self, Header, Type};
use super::hpack::{Decoder, Encoder};
use super::settings::{OwnSettings, PeerSettings, Sender};
use super::stream::{Expects, State, Stream, Waits};
use super::streams::{Handle, Past, Streams};
use crate::h1::{Limits, Refusal};
use receive::Expect;

/// Limits of a connection, and what the peer is told of them.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Limits on heads. `head_bytes` counts 32 bytes more for each field than its name and value have (RFC 9113, section
    /// 6.5.2) and is told to the peer.
    pub limits: Limits,
    /// Streams at once: of the client for a server, and the most that we open for a client, whatever the server allows.
    pub max_streams: u32,
    /// Bytes of one stream that the peer may send before they are consumed: what one stalled exchange can make us hold.
    pub stream_window: u32,
    /// The same for all streams together: what the peer can make us hold at all. Never below 65,535.
    pub connection_window: u32,
    /// Bytes of the table that the peer compresses heads with.
    pub table_bytes: u32,
    /// Servers: clients may ask for tunnels by CONNECT with `:protocol` (RFC 8441).
    pub extended_connect: bool,
}

impl Default for Config {
    /// 100 streams; 64 KiB for each, as much as TCP has in flight on most paths, and four times that for all, so that one
    /// stalled upload does not hold up the others while a connection cannot pin more than 256 KiB.
    fn default() -> Self {
        Self {
            limits: Limits { head_bytes: 32 * 1024, fields: 100, target_bytes: 8 * 1024 },
            max_streams: 100,
            stream_window: 64 * 1024,
            connection_window: 256 * 1024,
            table_bytes: 4096,
            extended_connect: true,
        }
    }
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A head is in the slot: a request, or an answer, interim ones (1xx) included.
    Head {
        /// A new stream for a server; one of ours for a client.
        stream: Handle,
        /// Nothing follows.
        ends: bool,
    },
    /// Servers: a request that must be refused with this answer. What could be read of its line is in the slot. The
    /// stream is like any other from here on.
    Refused {
        /// The new stream.
        stream: Handle,
        /// The status to answer with, and why.
        refusal: Refusal,
        /// Nothing follows.
        ends: bool,
    },
    /// Bytes of a body. Say so with [`Connection::consumed`] when they are done with.
    Data {
        /// Whose they are.
        stream: Handle,
        /// Where they are in the input; empty where there is nothing but an end.
        range: Range<usize>,
        /// Nothing follows.
        ends: bool,
    },
    /// Trailers are in the slot, and nothing follows.
    Trailers {
        /// Whose they are.
        stream: Handle,
    },
    /// The stream is closed before its end. It still has its place.
    Reset {
        /// Which one.
        stream: Handle,
        /// Why, in the peer's words or in ours.
        code: ErrorCode,
        /// Who did it.
        by: By,
    },
    /// Servers: a request that is no request (RFC 9113, section 8.1.1) was answered with RST_STREAM; it has no stream.
    Malformed {
        /// What is wrong, in a few plain words.
        why: &'static str,
    },
    /// The peer will process no stream after `last`: those of ours that are can be repeated elsewhere. They have got
    /// [`ErrorCode::REFUSED_STREAM`] and still have their places. The others go on.
    GoAway {
        /// The last stream that it will, or may have, processed.
        last: u32,
        /// Why.
        code: ErrorCode,
    },
    /// The answer to our PING.
    Pong,
}

/// Who has reset a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The peer.
    Peer,
    /// We, since what the peer sent on it was wrong in this way.
    Us(&'static str),
}

/// No stream can be opened now: try another connection. After GOAWAY and when the ids are used up, that is for good; see
/// [`Connection::takes_streams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Which side we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Server,
    Client,
}

/// How far the end of the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    /// The client has been told that we leave, and may still open streams until it knows (RFC 9113, section 6.8).
    Announced,
    /// Streams after this one are passed over.
    After(u32),
}

/// One HTTP/2 connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    config: Config,
    expect: Expect,
    block: Option<blocks::Block>,
    /// The header block that comes in several pieces.
    gathered: Vec<u8>,
    decoder: Decoder,
    encoder: Encoder,
    peer: PeerSettings,
    has_peer_settings: bool,
    /// The peer has acknowledged our settings.
    is_acknowledged: bool,
    send_window: SendWindow,
    receive_window: ReceiveWindow,
    streams: Streams,
    /// Streams that may send as soon as the connection's window allows, in their order.
    turns: VecDeque<Handle>,
    /// The last stream that the client opened (as a server), or that we did.
    last_stream: u32,
    /// The last stream that the peer will process, once it has said so.
    peer_leaves_after: Option<u32>,
    leaving: Leaving,
    /// When our PING went out.
    ping_sent_ms: Option<u64>,
    budgets: Budgets,
}

impl Connection {
    /// The server's side, before the client's preface.
    #[must_use]
    pub fn server(config: Config) -> Self {
        Self::new(Role::Server, config)
    }

    /// The client's side.
    #[must_use]
    pub fn client(config: Config) -> Self {
        Self::new(Role::Client, config)
    }

    fn new(role: Role, config: Config) -> Self {
        let connection_window = config.connection_window.max(INITIAL_WINDOW);
        let config = Config { connection_window, ..config };
        Self {
            role,
            config,
            expect: if role == Role::Server { Expect::Preface(0) } else { Expect::Header },
            block: None,
            gathered: Vec::new(),
            // Until it knows our settings, the peer may use the table that everybody starts with.
            decoder: Decoder::new(config.table_bytes.max(4096)),
            encoder: Encoder::new(),
            peer: PeerSettings::default(),
            has_peer_settings: false,
            is_acknowledged: false,
            send_window: SendWindow::new(INITIAL_WINDOW),
            receive_window: ReceiveWindow::new(connection_window),
            streams: Streams::default(),
            turns: VecDeque::new(),
            last_stream: 0,
            peer_leaves_after: None,
            leaving: Leaving::No,
            ping_sent_ms: None,
            budgets: Budgets::default(),
        }
    }

    /// Writes what opens the connection: a client's preface, our settings, and the window of the connection. A server
    /// need not wait for the client's preface.
    pub fn start(&mut self, out: &mut Vec<u8>) {
        if self.role == Role::Client {
            out.extend_from_slice(frame::PREFACE);
        }
        let at = out.len();
        frame::put_header(out, Header { length: 0, kind: Type::Settings, flags: 0, stream: 0 });
        self.own_settings().put(out);
        let length = out.len() - at - frame::HEADER_BYTES;
        frame::set_length(out, at, length);
        if self.config.connection_window > INITIAL_WINDOW {
            frame::put_window_update(out, 0, self.config.connection_window - INITIAL_WINDOW);
        }
    }

    fn own_settings(&self) -> OwnSettings {
        OwnSettings {
            sender: if self.role == Role::Server { Sender::Server } else { Sender::Client },
            header_table_size: self.config.table_bytes,
            max_streams: self.config.max_streams,
            initial_window: self.config.stream_window,
            max_header_list: u32::try_from(self.config.limits.head_bytes).unwrap_or(u32::MAX),
            extended_connect: self.config.extended_connect,
        }
    }

    /// Streams that have a place.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Clients: how many more streams can be opened now.
    #[must_use]
    pub fn room(&self) -> usize {
        if !self.takes_streams() {
            return 0;
        }
        let most = self.config.max_streams.min(self.peer.max_streams) as usize;
        most.saturating_sub(self.streams.len())
    }

    /// Clients: whether streams can be opened on this connection now or later.
    #[must_use]
    pub fn takes_streams(&self) -> bool {
        const LAST_ID: u32 = 0x7fff_ffff;
        self.peer_leaves_after.is_none() && self.leaving == Leaving::No && self.last_stream < LAST_ID
    }

    /// Whether the peer's settings have come: the first thing that it says.
    #[must_use]
    pub fn has_peer_settings(&self) -> bool {
        self.has_peer_settings
    }

    /// Whether the peer has acknowledged our settings.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.is_acknowledged
    }

    /// Whether the peer takes CONNECT with `:protocol` (RFC 8441).
    #[must_use]
    pub fn takes_extended_connect(&self) -> bool {
        self.peer.extended_connect
    }

    /// Whether a header block has begun and not ended: for the deadline of slow heads.
    #[must_use]
    pub fn is_within_head(&self) -> bool {
        self.block.is_some()
    }

    /// Whether one of the sides has said that it leaves and no stream is left: time to close.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let leaves = matches!(self.leaving, Leaving::After(_)) || self.peer_leaves_after.is_some();
        leaves && self.streams.len() == 0
    }

    /// Gives back memory while nothing happens.
    pub fn shrink(&mut self) {
        self.decoder.shrink();
        self.encoder.shrink();
        self.streams.shrink();
        if self.block.is_none() {
            self.gathered = Vec::new();
        }
        self.turns.shrink_to_fit();
    }

    /// The application has taken so many bytes of a stream's DATA: the peer may send as many again.
    pub fn consumed(&mut self, stream: Handle, bytes: usize, out: &mut Vec<u8>) {
        let size = self.config.stream_window;
        let Some(found) = self.streams.get(stream) else { return };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(found.held);
        found.held -= bytes;
        if found.state.can_receive()
            && let Some(told) = found.receive_window.give_back(bytes, size)
        {
            frame::put_window_update(out, stream.id, told);
        }
        self.give_back(bytes, out);
    }

    /// So many bytes of the connection's window are done with.
    fn give_back(&mut self, bytes: u32, out: &mut Vec<u8>) {
        if let Some(told) = self.receive_window.give_back(bytes, self.config.connection_window) {
            frame::put_window_update(out, 0, told);
        }
    }

    /// The next stream that waited to send and may do so now. Write to it before asking again: what it takes is not there
    /// for the next. Ask until there is none, or the output is full; then send the output and ask again. Whoever waits for
    /// input instead, while [`Connection::has_writable`], may wait for ever: the peer has said all that it has to say.
    pub fn next_writable(&mut self) -> Option<Handle> {
        while self.send_window.available() > 0 {
            let stream = self.turns.pop_front()?;
            if let Some(found) = self.streams.get(stream).filter(|found| found.waits == Waits::Turn) {
                found.waits = Waits::No;
                return Some(stream);
            }
        }
        None
    }

    /// Whether a stream waits to send and may.
    #[must_use]
    pub fn has_writable(&self) -> bool {
        self.send_window.available() > 0 && !self.turns.is_empty()
    }

    /// Resets a stream. It keeps its place until it is released.
    pub fn reset(&mut self, stream: Handle, code: ErrorCode, out: &mut Vec<u8>) {
        if self.streams.get(stream).is_some_and(|found| found.state.sent_reset()) {
            frame::put_reset(out, stream.id, code);
        }
    }

    /// The application is done with a stream: its place is free. What has not ended is reset: by a server that has
    /// answered with NO_ERROR, so that the rest of the request need not come (RFC 9113, section 8.1).
    pub fn release(&mut self, stream: Handle, out: &mut Vec<u8>) {
        let Some(found) = self.streams.get(stream) else { return };
        let code = match (self.role, found.state) {
            (Role::Server, State::HalfClosedLocal) => ErrorCode::NO_ERROR,
            (Role::Server, _) => ErrorCode::INTERNAL_ERROR,
            (Role::Client, _) => ErrorCode::CANCEL,
        };
        if found.state.sent_reset() {
            frame::put_reset(out, stream.id, code);
        }
        let (held, waits) = (std::mem::take(&mut found.held), found.waits);
        let past = match found.state {
            State::Closed(cause) => cause.into(),
            _ => Past::ByUs,
        };
        self.streams.remove(stream, past);
        self.give_back(held, out);
        if waits == Waits::Turn {
            self.turns.retain(|waiting| *waiting != stream);
        }
    }

    /// Says that we leave. A server's client may open streams until it has heard of it, so that none is lost; then, and
    /// for a client at once, no more are taken. When [`Connection::is_done`], close.
    pub fn drain(&mut self, out: &mut Vec<u8>) {
        if self.leaving != Leaving::No {
            return;
        }
        if self.role == Role::Client {
            return self.leave(ErrorCode::NO_ERROR, "", out);
        }
        self.leaving = Leaving::Announced;
        frame::put_goaway(out, 0x7fff_ffff, ErrorCode::NO_ERROR, "");
        frame::put_ping(out, 0, control::DRAIN_PING);
    }

    /// Says that we leave, and that streams which the client opens from now on are not processed.
    pub fn leave(&mut self, code: ErrorCode, why: &str, out: &mut Vec<u8>) {
        let last = match (self.role, self.leaving) {
            (Role::Client, _) => 0,
            (Role::Server, Leaving::After(last)) => last,
            (Role::Server, _) => self.last_stream,
        };
        self.leaving = Leaving::After(last);
        frame::put_goaway(out, last, code, why);
    }

    /// Asks the peer whether it is there; [`Event::Pong`] says so. Only one is asked at a time.
    pub fn ping(&mut self, now_ms: u64, out: &mut Vec<u8>) {
        if self.ping_sent_ms.is_none() {
            self.ping_sent_ms = Some(now_ms);
            frame::put_ping(out, 0, control::KEEP_ALIVE_PING);
        }
    }

    /// When the PING was sent that has no answer yet.
    #[must_use]
    pub fn ping_sent_ms(&self) -> Option<u64> {
        self.ping_sent_ms
    }

    /// A new stream in its place.
    fn open(&mut self, id: u32, state: State, expects: Expects, left: u64) -> Handle {
        // Until it knows our settings, the peer may send as much as everybody may at first.
        let known = if self.is_acknowledged { 0 } else { INITIAL_WINDOW };
        self.streams.insert(Stream {
            id,
            state,
            expects,
            waits: Waits::No,
            send_window: SendWindow::new(self.peer.initial_window),
            receive_window: ReceiveWindow::new(self.config.stream_window.max(known)),
            held: 0,
            left,
        })
    }

    /// What the peer sent on a stream is wrong: resets it.
    fn fault(
        &mut self,
        stream: Handle,
        (code, why): (ErrorCode, &'static str),
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, ConnectionError> {
        self.budgets.charge(Abuse::ProvokedReset, now_ms)?;
        frame::put_reset(out, stream.id, code);
        let was_open = self.streams.get(stream).is_some_and(|found| found.state.sent_reset());
        Ok(was_open.then_some(Event::Reset { stream, code, by: By::Us(why) }))
    }
}
