//! What bytes mean: HTTP/1.1 and HTTP/2 messages, the PROXY protocol, certificates, what gRPC says in HTTP/2.
//!
//! Owns parsing, framing and encoding as pure functions and small machines over byte slices. Sockets, buffers that
//! grow, deadlines and decisions belong to `engine` and `policy`, which drive it.

mod grammar;
pub mod grpc;
pub mod h1;
pub mod h2;
pub mod head;
pub mod host;
pub mod path;
pub mod proxy;
mod scan;
pub mod x509;

/// Why what a backend or a proxy before us sent cannot be trusted: an answer, a body, a PROXY header. The client gets 502
/// or a visible truncation, or the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong, in a few plain words.
    pub why: &'static str,
}
