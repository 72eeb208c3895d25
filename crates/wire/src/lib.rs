//! What bytes mean: HTTP/1.1 messages and the PROXY protocol.
//!
//! Owns parsing, framing and encoding as pure functions and small machines over byte slices. Sockets, buffers that
//! grow, deadlines and decisions belong to `engine` and `policy`, which drive it.

pub mod h1;
pub mod head;
pub mod path;
pub mod proxy;
