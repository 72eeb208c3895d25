//! HTTP/2 on sockets; what bytes mean is [`wire::h2`].
//!
//! A client's connection is one task ([`session`]) that reads, runs the exchanges of its streams by turns and writes once a
//! turn. An exchange sees its stream as [`client::ClientStream`]; what both sides share is [`core`], and [`ready`] tells
//! which exchanges can go on.

mod backend;
mod client;
mod core;
mod dialogue;
mod fields;
mod ready;
mod session;
mod websocket;

pub(crate) use backend::BackendStream;
pub(crate) use dialogue::{Dialogues, Turn};
pub(crate) use session::{Opened, serve};
pub(crate) use websocket::{is_asked as is_websocket, is_proved};
