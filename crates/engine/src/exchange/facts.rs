//! What is known of an exchange while it runs, for decisions, our own answers and the log.

use std::net::IpAddr;
use std::time::Duration;

use policy::plan::{PoolId, RouteId};
use policy::rng::Rng;
use wire::head::{Name, Request, Span};

use super::grpc::Call;
use super::hedge::Hedged;
use crate::cause::Cause;
use crate::clock::Instant;
use crate::seam::Peer;

/// Longest request id that is kept from a trusted peer, in bytes.
const KEPT_ID_BYTES: usize = 128;
const MADE_ID_BYTES: usize = 32;

/// A request id.
#[derive(Clone, Copy)]
pub(crate) enum RequestId {
    /// Made by us.
    Made([u8; MADE_ID_BYTES]),
    /// Came in the head from a trusted peer, and is forwarded as it is.
    Kept(Span),
}

impl RequestId {
    pub(crate) fn new(request: &Request, buf: &[u8], peer: &Peer, rng: &mut Rng) -> Self {
        if peer.trusted
            && let Some(field) = request.fields.iter().find(|f| f.known == Name::XRequestId)
            && (1..=KEPT_ID_BYTES).contains(&field.value.of(buf).len())
        {
            return Self::Kept(field.value);
        }
        let mut bytes = [0; MADE_ID_BYTES];
        for half in bytes.as_chunks_mut::<16>().0 {
            *half = hex(rng.next_u64());
        }
        Self::Made(bytes)
    }

    /// The bytes, with the buffer that the request head's spans point into.
    pub(crate) fn bytes<'a>(&'a self, buf: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Made(bytes) => bytes,
            Self::Kept(span) => span.of(buf),
        }
    }

    /// What is to be added to a request that goes on.
    pub(crate) fn made(&self) -> Option<&[u8]> {
        match self {
            Self::Made(bytes) => Some(bytes),
            Self::Kept(_) => None,
        }
    }
}

/// The digits of a number, lowest first: eight at a time, a byte each.
fn hex(bits: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&eight_digits(bits & 0xFFFF_FFFF));
    digits[8..].copy_from_slice(&eight_digits(bits >> 32));
    digits
}

fn eight_digits(bits: u64) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let pairs = (bits | bits << 16) & 0x0000_FFFF_0000_FFFF;
    let bytes = (pairs | pairs << 8) & 0x00FF_00FF_00FF_00FF;
    let digits = (bytes | bytes << 4) & (0x0F * EACH);
    // Those from ten on have this bit when six is added.
    let letters = (digits + 6 * EACH) >> 4 & EACH;
    (digits + u64::from(b'0') * EACH + letters * u64::from(b'a' - b'0' - 10)).to_le_bytes()
}

/// Backends tried by one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    backends: [u16; 8],
    len: u8,
}

impl Tried {
    /// Beyond eight, the earliest are forgotten: they may be tried again.
    pub(crate) fn push(&mut self, backend: usize) {
        let backend = u16::try_from(backend).unwrap_or(u16::MAX);
        if self.backends[..usize::from(self.len)].contains(&backend) {
            return;
        }
        if usize::from(self.len) == self.backends.len() {
            self.backends.rotate_left(1);
            self.len -= 1;
        }
        self.backends[usize::from(self.len)] = backend;
        self.len += 1;
    }

    pub(crate) fn list(&self) -> &[u16] {
        &self.backends[..usize::from(self.len)]
    }
}

/// When what happened.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    /// The first byte of the request head came.
    pub(crate) arrived: Instant,
    /// The head was complete.
    pub(crate) started: Instant,
    /// Time spent in the pool's queue, over all attempts.
    pub(crate) queued: Option<Duration>,
    /// The last attempt began.
    pub(crate) attempted: Option<Instant>,
    /// From here on the backend alone is waited for: since the attempt began, or the client last kept us waiting.
    pub(crate) asked: Option<Instant>,
    /// It had its connection.
    pub(crate) connected: Option<Instant>,
    /// The answer's head was complete.
    pub(crate) first_byte: Option<Instant>,
}

/// The facts of one exchange.
pub(crate) struct Facts {
    pub(crate) times: Times,
    pub(crate) client: IpAddr,
    pub(crate) request_id: RequestId,
    pub(crate) route: Option<RouteId>,
    pub(crate) rest_at: usize,
    pub(crate) pool: Option<PoolId>,
    pub(crate) backend: Option<usize>,
    pub(crate) attempts: u32,
    /// Two of them ran side by side.
    pub(crate) hedged: Option<Hedged>,
    pub(crate) tried: Tried,
    /// Status that the client got; 0 if none.
    pub(crate) status: u16,
    pub(crate) cause: Option<Cause>,
    /// What is known of it as a gRPC call, if it is one.
    pub(crate) call: Option<Call>,
    pub(crate) request_bytes: u64,
    pub(crate) answer_bytes: u64,
    /// The answer's head has been handed to the client's side: no own answer is possible any more.
    pub(crate) answer_begun: bool,
}

/// The trusted client address: the nearest hop in `X-Forwarded-For` that is no trusted proxy.
pub(crate) fn client_ip(request: &Request, buf: &[u8], peer: &Peer, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut nearest = peer.ip();
    if !peer.trusted {
        return nearest;
    }
    for field in request.fields.iter().rev().filter(|f| f.known == Name::XForwardedFor) {
        for hop in field.value.of(buf).rsplit(|&byte| byte == b',') {
            let Some(ip) = parse_hop(hop) else { return nearest };
            nearest = ip;
            if !is_trusted(ip) {
                return nearest;
            }
        }
    }
    nearest
}

/// An address as it stands in `X-Forwarded-For`: perhaps in brackets, perhaps with a port.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let ip = text.parse().ok().or_else(|| text.parse().ok().map(|addr: std::net::SocketAddr| addr.ip()));
    ip.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()).map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests;
