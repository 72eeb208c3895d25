//! HTTP/2 on the wire (RFC 9113, RFC 7541, RFC 8441), for both roles: a server towards clients, a client towards backends.
//!
//! Owns frames, header compression, the states of streams, both directions of flow control, settings, the ends of a
//! connection, and where a peer's useless work is cut off. It owns no socket and no clock; `engine` drives it:
//!
//! ```text
//!   bytes read ──► receive(input, slot, now, out) ──► Event: Head, Data, Trailers, Reset, …
//!                        │                                        │
//!                        │ answers to control frames              ▼ what the exchanges decide
//!                        ▼                                 put_answer / put_request, put_data, put_trailers,
//!   one write ◄──── out: Vec<u8> ◄──────────────────────── consumed, reset, release, drain
//! ```
//!
//! # Reading
//! [`Connection::receive`] takes a step and returns an event, or none when it has seen all of the input that it can use. A
//! few bytes, never more than [`MAX_LEFT_BYTES`], may be left: keep them in front of what is read next. Nothing else needs
//! a buffer of the caller: DATA comes piece by piece as ranges of the input, however large its frame is, and heads that
//! are not whole are gathered inside (up to a limit; [`Connection::is_within_head`] says for deadlines that one is).
//!
//! Heads are decoded into a [`HeadSlot`] of the caller, who exchanges its parts for those of an earlier stream before the
//! next call, which writes over them. Its buffer holds `name: value` lines with CRLF between them, as HTTP/1.1 heads do, so that fields are copied in runs to
//! HTTP/1.1 whichever way they came.
//!
//! # Writing
//! Everything is appended to one output of the caller, who writes it once a turn. Stop calling `receive` while the peer
//! does not take the output: answers to PING and SETTINGS go there too, so that it is what bounds them.
//!
//! Heads are written field by field through a [`HeadWriter`], so that rules about fields run over them without a copy.
//! [`Connection::put_data`] writes one frame as far as windows allow; when it does not take all, the stream waits, and
//! [`Connection::next_writable`] names it when its turn has come, one frame for each in their order. Ask for it after each
//! batch of events, and after each write that made room in the output.
//!
//! # Streams
//! A stream is named by a [`Handle`]; it has its place from its head until [`Connection::release`], whatever the peer does:
//! a stream that the client has reset but whose exchange still runs counts against the limit of streams, so that backends
//! never see more work at once than that. `release` also tells the peer what it must know when the stream has not ended.
//! After [`Event::Reset`] nothing more comes for the stream, and writing to it fails with [`Gone`].

mod abuse;
mod connection;
mod error;
mod flow;
mod frame;
mod head;
mod hpack;
mod settings;
mod stream;
mod streams;

pub use abuse::Abuse;
pub use connection::{By, Config, Connection, Event, Full, HeadWriter, Input, MAX_LEFT_BYTES, More, RequestLine};
pub use error::{ConnectionError, ErrorCode, Gone};
pub use head::HeadSlot;
pub use streams::Handle;

/// What a client sends first (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = frame::PREFACE;
