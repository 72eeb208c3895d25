//! The plan: a validated configuration, whole and immutable, with a generation number.
//!
//! Owns the types that say what is wanted. `config` is the only maker; `engine`, `control` and `admin` read it and never
//! check it again. Indices ([`PoolId`], [`RouteId`], [`ListenerId`]) are valid by construction.

mod breaker;
mod buffer;
mod caps;
mod eject;
mod health;
mod hedge;
mod matching;
mod overload;
mod tiers;
mod tls;
mod waiting;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use breaker::{Breaker, Panic};
pub use buffer::{Beyond, Buffer};
pub use caps::{Adaptive, Caps};
pub use eject::{Eject, FailureRate, LatencyRule};
pub use health::{Agent, Expected, HealthCheck, ProbeKind, Question, Talk};
pub use hedge::{Hedge, HedgeAfter};
pub use matching::{FieldMatch, FieldTest, HostMatch, Match, MethodName, PathMatch, Pattern};
pub use overload::Overload;
pub use tiers::{SpillOver, Subset};
pub use tls::{BackendTls, CertSource, ClientAuth, ListenerTls, Preset, Secret};
pub use waiting::{Queue, Urgency};
use wire::grpc::Statuses;

use crate::access::{AccessList, CidrSet};
use crate::hashing::{HashKey, Hashing};
use crate::limit::RateLimit;
use crate::pace::Floors;
use crate::route::Router;

/// Index into [`Plan::listeners`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u16);
/// Index into [`Plan::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);
/// Index into [`Plan::pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u32);

/// Everything that is wanted.
#[derive(Debug)]
pub struct Plan {
    /// Which plan of this process it is; the first is 1.
    pub generation: u64,
    /// Number of workers; 0 is one for each core.
    pub workers: usize,
    /// Where the admin interface listens.
    pub admin: Admin,
    /// Limits of the whole process.
    pub limits: Limits,
    /// When the node itself is short of something.
    pub overload: Overload,
    /// The access log.
    pub access_log: AccessLog,
    /// Addresses we accept on.
    pub listeners: Vec<Listener>,
    /// Routes in file order; listeners' default pools come last as routes of their own.
    pub routes: Vec<Route>,
    /// The compiled matcher over `routes`.
    pub router: Router,
    /// Named sets of backends.
    pub pools: Vec<Pool>,
    /// Own bodies for our own error answers, by status; the first that fits wins.
    pub error_pages: Vec<ErrorPage>,
    /// What the nodes of a cluster share; `None` where each is for itself.
    pub secret: Option<Secret>,
}

/// `[admin]`.
#[derive(Clone, Debug, Default)]
pub struct Admin {
    /// TCP addresses.
    pub bind: Vec<SocketAddr>,
    /// Unix socket path tried beside them; failing to make it is not an error.
    pub socket: Option<PathBuf>,
    /// Bearer token; needed beyond loopback.
    pub token: Option<String>,
}

/// `[limits]`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Client connections of the whole process.
    pub connections: usize,
    /// Bytes of a request head, and of an answer head.
    pub header_bytes: usize,
    /// Field lines in a head.
    pub header_fields: usize,
    /// Bytes of a request target.
    pub target_bytes: usize,
    /// Bytes of a request body; `None` is no limit.
    pub body_bytes: Option<u64>,
    /// Bytes of bodies that are buffered at once.
    pub buffered: usize,
    /// TLS handshakes under way at once; more wait in the order in which they came.
    pub handshakes: usize,
}

/// `[access_log]`.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Which exchanges are written.
    pub write: LogWrite,
    /// Where to.
    pub to: LogTarget,
    /// For `sampled`: one in so many (errors are always written).
    pub one_in: u32,
}

/// Which exchanges the access log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogWrite {
    /// None.
    Off,
    /// Those that we answered ourselves with an error, that were cut short, or that a backend answered with 5xx.
    Errors,
    /// Errors and a sample.
    Sampled,
    /// All.
    All,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, opened for appending.
    File(PathBuf),
}

/// `[listener.NAME]`.
#[derive(Debug)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Addresses.
    pub binds: Vec<Bind>,
    /// Who may connect, judged at accept.
    pub access: AccessList,
    /// A PROXY protocol header is expected from `trusted_proxies`.
    pub proxy_protocol: bool,
    /// Whose forwarding headers (and PROXY headers) are believed.
    pub trusted_proxies: CidrSet,
    /// Timeouts towards clients.
    pub timeouts: ClientTimeouts,
    /// How slow they may be.
    pub floors: Floors,
    /// How often requests may come, before any route is asked.
    pub limit: Option<RateLimit>,
    /// Most connections of one client (an IPv4 address or an IPv6 /64) at once; trusted proxies have no such cap.
    pub client_connections: Option<u32>,
    /// Certificates; `None` speaks plain text.
    pub tls: Option<Box<ListenerTls>>,
    /// The value of `Strict-Transport-Security` in its answers.
    pub hsts: Option<String>,
}

/// An address to accept on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// TCP. `v6_only` is false for `":80"`, which takes both families on one IPv6 socket.
    Tcp {
        /// The address.
        addr: SocketAddr,
        /// Whether an IPv6 socket refuses IPv4 clients.
        v6_only: bool,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// Longest waits on the client side; `None` is off.
#[derive(Clone, Copy, Debug)]
pub struct ClientTimeouts {
    /// From the first byte of a request head to its end, and from accept to the first byte.
    pub header: Option<Duration>,
    /// Longest silence while a body is under way, in either direction.
    pub body: Option<Duration>,
    /// Between an answer and the next request.
    pub keep_alive: Option<Duration>,
    /// Longest silence in a tunnel.
    pub tunnel: Option<Duration>,
}

/// One `[[route]]` (or a listener's default pool).
#[derive(Debug)]
pub struct Route {
    /// How to name it to people: `route 3 (shop.example/api/*)`, `listener web`.
    pub name: String,
    /// It takes a request that any of these matches.
    pub matches: Vec<Match>,
    /// What then.
    pub action: Action,
    /// Changes the path before the request goes to the backend.
    pub rewrite: Option<Rewrite>,
    /// Changes of request fields.
    pub request_headers: HeaderRules,
    /// Changes of answer fields.
    pub response_headers: HeaderRules,
    /// Bytes of a request body, where the route narrows or widens `limits.body_bytes`.
    pub body_bytes: Option<u64>,
    /// What is kept of bodies so that slow clients do not hold a backend.
    pub buffer: Buffer,
    /// Who goes first when requests wait for a backend.
    pub urgency: Urgency,
    /// How often requests may come.
    pub limit: Option<RateLimit>,
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Proxy to a pool.
    Pool(Target),
    /// Share among pools by weight.
    Split {
        /// What the share is of.
        by: SplitBy,
        /// Weight and target; weights above zero, at least one.
        arms: Vec<(u32, Target)>,
    },
    /// A fixed answer.
    Answer(FixedAnswer),
    /// A redirect.
    Redirect(Redirect),
}

/// What a split counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitBy {
    /// Each request is thrown anew.
    Request,
    /// A client address stays on its arm.
    Client,
}

/// A pool with the terms that hold on this way to it (route over pool over global).
#[derive(Clone, Debug)]
pub struct Target {
    /// The pool.
    pub pool: PoolId,
    /// Timeouts.
    pub timeouts: BackendTimeouts,
    /// Retries.
    pub retry: Retry,
    /// Second attempts beside slow first ones; `None` is off.
    pub hedge: Option<Hedge>,
}

/// Longest waits on the backend side; `None` is off.
#[derive(Clone, Copy, Debug)]
pub struct BackendTimeouts {
    /// For a connection.
    pub connect: Option<Duration>,
    /// From the end of the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// Longest silence while the answer's body is under way.
    pub idle: Option<Duration>,
    /// The whole exchange, retries included.
    pub total: Option<Duration>,
}

/// Retries.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Attempts in all, the first included; at least 1.
    pub tries: u32,
    /// The longest that one attempt may take to the head of its answer while another is possible; `None` is off.
    pub per_try: Option<Duration>,
    /// A connection could not be made, or nothing was written: any method.
    pub connect: bool,
    /// The connection broke before the first byte of the answer: idempotent methods.
    pub reset: bool,
    /// No first byte in time: idempotent methods.
    pub timeout: bool,
    /// Answer statuses that are tried again: idempotent methods.
    pub statuses: Vec<u16>,
    /// Statuses of gRPC calls that are tried again where they came at once.
    pub grpc: Statuses,
    /// Retries in per cent of requests, over all of a pool, with a floor of 10 a second.
    pub budget_percent: u32,
    /// Bytes of a sent request body that are kept for a repetition.
    pub body_buffer: usize,
}

/// A fixed answer.
#[derive(Clone, Debug)]
pub struct FixedAnswer {
    /// Status, 200 to 599.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
    /// Fields; `content-type` is here, too (`text/plain; charset=utf-8` unless told).
    pub headers: Vec<(String, String)>,
}

/// A redirect.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308 (default 308).
    pub status: u16,
    /// Where to.
    pub to: Template,
}

/// Text with places to fill in: `https://{host}{path}{query}`.
#[derive(Clone, Debug)]
pub struct Template(pub Vec<Piece>);

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text.
    Text(String),
    /// `{host}`: the request's host without port.
    Host,
    /// `{path}`: the normalised path.
    Path,
    /// `{rest}`: what a prefix match's `*` stood for, with its leading slash, perhaps empty.
    Rest,
    /// `{query}`: `?` and the query if the request had one, else nothing.
    Query,
    /// `{scheme}`: `http` or `https` as the client used it.
    Scheme,
    /// `{client}`: the client's address.
    Client,
    /// `{request_id}`: the request id.
    RequestId,
}

/// Changes the path that the backend sees; the query stays.
#[derive(Clone, Debug)]
pub enum Rewrite {
    /// The path becomes this text (`rewrite = "/index.html"`).
    To(String),
    /// `rewrite = "/v2/*"` is stored as `/v2`: it replaces the prefix that matched; the rest stays.
    Prefix(String),
    /// `rewrite = { regex = "…", to = "…$1…" }`: if the whole path matches, it becomes `to`.
    Regex(Pattern, String),
}

/// `request_headers` and `response_headers`: first `remove`, then `set`, then `add`. Never touches framing or
/// connection fields (config refuses them).
#[derive(Clone, Debug, Default)]
pub struct HeaderRules {
    /// Replaces all fields of that name (lower case).
    pub set: Vec<(String, Template)>,
    /// Adds a field.
    pub add: Vec<(String, Template)>,
    /// Removes all fields of that name (lower case).
    pub remove: Vec<String>,
}

impl HeaderRules {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// `[pool.NAME]`.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// How it picks.
    pub policy: PolicyKind,
    /// Its backends; at least one.
    pub backends: Vec<Backend>,
    /// The active check.
    pub health: Option<HealthCheck>,
    /// Passive ejection; `None` is off.
    pub eject: Option<Eject>,
    /// Whether the pool is asked at all while it fails as a whole; `None` is off.
    pub breaker: Option<Breaker>,
    /// What happens while none of its backends is ready.
    pub panic: Panic,
    /// Replaces the `Host` that backends see.
    pub host: Option<String>,
    /// PROXY header sent first on each connection.
    pub send_proxy: Option<ProxyVersion>,
    /// Adds the `Forwarded` field (RFC 7239).
    pub forwarded: bool,
    /// Idle connections kept for each backend and worker.
    pub idle_connections: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Option<Duration>,
    /// Where requests wait while every backend that could take them is at its cap; matters only where one has a cap.
    pub queue: Queue,
    /// Over which time a backend that was out ramps up to its weight.
    pub slow_start: Option<Duration>,
    /// When requests go to higher tiers although lower ones have ready backends; `None` is never.
    pub spill_over: Option<SpillOver>,
    /// The part of its backends that this node uses; `None` is all.
    pub subset: Option<Subset>,
    /// How its backends of `https://` are spoken to; `None` where there are none.
    pub tls: Option<BackendTls>,
}

/// PROXY protocol version to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// How a pool picks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Smooth weighted round robin.
    RoundRobin,
    /// Weighted chance.
    Random,
    /// Fewest running requests by weight.
    LeastRequests,
    /// The less loaded of two thrown.
    PowerOfTwo,
    /// Of two thrown the one with less latency times running requests.
    PeakEwma,
    /// By client address (rendezvous hashing, so that a lost backend moves only its own clients).
    IpHash,
    /// By a key of the request, in the same way.
    Hash(Hashing),
    /// By a key of the request, from a table that is filled evenly.
    Maglev(Hashing),
    /// The first in file order that can.
    First,
}

impl PolicyKind {
    /// The name in configuration and status.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastRequests => "least-requests",
            Self::PowerOfTwo => "power-of-two",
            Self::PeakEwma => "peak-ewma",
            Self::IpHash => "ip-hash",
            Self::Hash(_) => "hash",
            Self::Maglev(_) => "maglev",
            Self::First => "first",
        }
    }

    /// What of a request it goes by, if it goes by any of it.
    #[must_use]
    pub fn hash_key(&self) -> Option<&HashKey> {
        match self {
            Self::IpHash => Some(&HashKey::Client),
            Self::Hash(hashing) | Self::Maglev(hashing) => Some(&hashing.key),
            _ => None,
        }
    }

    /// Whether it goes by how fast backends answer.
    #[must_use]
    pub fn wants_latency(&self) -> bool {
        matches!(self, Self::PeakEwma)
    }
}

/// One server address of a pool.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its name: given, else its address as written.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// Share of work; 1 to 1000.
    pub weight: u32,
    /// Lower tiers first; higher ones only when no backend of a lower one is ready.
    pub tier: u8,
    /// State wanted from the file.
    pub state: Wanted,
    /// Most running requests, over the whole process; at least 1; `None` is no cap.
    pub max_requests: Option<u32>,
    /// Its other caps.
    pub caps: Caps,
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// Whether it is spoken to over HTTP/2.
    pub http2: bool,
}

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A name and port, resolved at run time.
    Name(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(addr) => write!(f, "{addr}"),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `state = "…"` of a backend in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Takes work when healthy.
    Ready,
    /// Takes no new work.
    Drained,
    /// Out.
    Down,
}

/// An own error page.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    /// Status.
    pub status: u16,
    /// Content type.
    pub content_type: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Plan {
    /// The pool of an id.
    #[must_use]
    pub fn pool(&self, id: PoolId) -> &Pool {
        &self.pools[id.0 as usize]
    }

    /// The route of an id.
    #[must_use]
    pub fn route(&self, id: RouteId) -> &Route {
        &self.routes[id.0 as usize]
    }
}
