//! What is known of an exchange while it runs, for decisions, our own answers and the log.

use std::net::IpAddr;
use std::time::Instant;

use policy::plan::{PoolId, RouteId};
use policy::rng::Rng;
use wire::head::{Name, Request};

use crate::cause::Cause;
use crate::seam::Peer;

/// Longest request id that is kept from a trusted peer, in bytes.
const KEPT_ID_BYTES: usize = 128;
const MADE_ID_BYTES: usize = 32;

/// A request id, made or kept.
#[derive(Clone)]
pub(crate) struct RequestId {
    bytes: [u8; KEPT_ID_BYTES],
    len: u8,
    /// The field that came is forwarded as it is.
    pub(crate) kept: bool,
}

impl RequestId {
    pub(crate) fn new(request: &Request, buf: &[u8], peer: &Peer, rng: &mut Rng) -> Self {
        let mut bytes = [0; KEPT_ID_BYTES];
        if peer.trusted
            && let Some(id) = request.fields.iter().find(|f| f.known == Name::XRequestId).map(|f| f.value.of(buf))
            && (1..=KEPT_ID_BYTES).contains(&id.len())
        {
            bytes[..id.len()].copy_from_slice(id);
            return Self { bytes, len: u8::try_from(id.len()).unwrap_or(0), kept: true };
        }
        for half in 0..2 {
            let mut bits = rng.next_u64();
            for byte in &mut bytes[half * 16..half * 16 + 16] {
                *byte = b"0123456789abcdef"[(bits & 15) as usize];
                bits >>= 4;
            }
        }
        Self { bytes, len: MADE_ID_BYTES as u8, kept: false }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Backends tried by one exchange.
#[derive(Clone, Copy, Default)]
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
    /// The last attempt began.
    pub(crate) attempted: Option<Instant>,
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
    pub(crate) tried: Tried,
    /// Status that the client got; 0 if none.
    pub(crate) status: u16,
    pub(crate) cause: Option<Cause>,
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
