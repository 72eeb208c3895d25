//! The PROXY protocol, versions 1 and 2: who the client behind the connection is.
//!
//! Owns the header that a proxy writes before the first byte of a connection. Whether the peer is one whose word counts
//! is for `engine` to ask of the plan, before it reads one.

mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::Malformed;

pub use v1::encode_v1;
pub use v2::encode_v2;

/// Bytes of the longest header of either version that is read: address, TLVs and all.
pub const MAX_HEADER_BYTES: usize = v2::MAX_BYTES;

/// What a PROXY header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// The proxy speaks for itself, as for a health check: the connection's own addresses count.
    Local,
    /// A client of the proxy, but not who: the connection's own addresses count.
    Unknown,
    /// A TCP connection.
    Tcp {
        /// The client.
        source: SocketAddr,
        /// What the client connected to.
        destination: SocketAddr,
    },
    /// UDP datagrams.
    Udp {
        /// The client.
        source: SocketAddr,
        /// What the client sent to.
        destination: SocketAddr,
    },
    /// A Unix socket, of streams or datagrams.
    Unix(Box<UnixPaths>),
}

/// The two ends of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixPaths {
    /// Whether it is a datagram socket.
    pub kind: UnixKind,
    /// The client's path, padded with NUL.
    pub source: [u8; 108],
    /// The path that the client connected to, padded with NUL.
    pub destination: [u8; 108],
}

/// Which kind of Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnixKind {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
}

/// Reads a PROXY header of either version at the front of `buf`: the header and how many bytes it takes, or none while
/// it is not whole. Call again with the same bytes and more; [`MAX_HEADER_BYTES`] are always enough.
///
/// # Errors
/// What is wrong; also that there is no PROXY header at all, which is known from the first bytes.
pub fn parse(buf: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    match buf.first() {
        None => Ok(None),
        Some(b'P') => v1::parse(buf),
        Some(_) => v2::parse(buf),
    }
}

const NO_HEADER: Malformed = Malformed { why: "no PROXY header" };

/// Whether `buf` starts with `prefix`; none while it may still do so.
fn starts_with(buf: &[u8], prefix: &[u8]) -> Result<Option<()>, Malformed> {
    let length = buf.len().min(prefix.len());
    if buf[..length] != prefix[..length] {
        return Err(NO_HEADER);
    }
    Ok((length == prefix.len()).then_some(()))
}

/// Two addresses of one family, as both versions need them on the wire.
enum Pair {
    V4(SocketAddrV4, SocketAddrV4),
    V6(SocketAddrV6, SocketAddrV6),
}

impl Pair {
    /// IPv4 if both are, also when they come mapped from a socket of both families; else IPv6.
    fn of(source: SocketAddr, destination: SocketAddr) -> Self {
        match (source.ip().to_canonical(), destination.ip().to_canonical()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                Self::V4(SocketAddrV4::new(from, source.port()), SocketAddrV4::new(to, destination.port()))
            }
            _ => Self::V6(to_v6(source), to_v6(destination)),
        }
    }
}

fn to_v6(address: SocketAddr) -> SocketAddrV6 {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddrV6::new(ip, address.port(), 0, 0)
}
