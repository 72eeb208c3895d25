//! The plan: a validated configuration, whole and immutable, with a generation number.
//!
//! Owns the types that say what is wanted. `config` is the only maker; `engine`, `control` and `admin` read it and never
//! check it again. Indices ([`PoolId`], [`RouteId`], [`ListenerId`]) are valid by construction.

mod caps;
mod eject;
mod health;
mod overload;
mod waiting;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use caps::{Adaptive, Caps};
pub use eject::{Eject, FailureRate, LatencyRule};
pub use health::{Agent, Expected, HealthCheck, ProbeKind, Question, Talk};
pub use overload::Overload;
pub use waiting::{Queue, Urgency};
use wire::head::Method;

use crate::access::{AccessList, CidrSet};
use crate::limit::RateLimit;
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
    /// How often requests may come, before any route is asked.
    pub limit: Option<RateLimit>,
    /// Most connections of one client (an IPv4 address or an IPv6 /64) at once; trusted proxies have no such cap.
    pub client_connections: Option<u32>,
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
    /// Who goes first when requests wait for a backend.
    pub urgency: Urgency,
    /// How often requests may come.
    pub limit: Option<RateLimit>,
}

/// A match. All conditions must hold; see the contract for the order among matches.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// Higher first.
    pub priority: i32,
    /// Only on these listeners; empty is all.
    pub listeners: Vec<ListenerId>,
    /// Host.
    pub host: HostMatch,
    /// Path.
    pub path: PathMatch,
    /// Methods (upper case tokens); empty is all.
    pub methods: Vec<MethodName>,
    /// Field conditions; names in lower case.
    pub headers: Vec<FieldMatch>,
    /// Query parameters (percent-decoded, `+` is a space).
    pub query: Vec<FieldMatch>,
    /// Cookies.
    pub cookies: Vec<FieldMatch>,
    /// Client addresses; empty set with `any_client` true is all.
    pub clients: Option<CidrSet>,
}

/// A method by enum, or by name for methods without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodName {
    /// The known method, or `Method::Other`.
    pub method: Method,
    /// Its token as written.
    pub name: String,
}

/// Host condition; hosts in lower case, without port and trailing dot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Every host.
    #[default]
    Any,
    /// This one.
    Exact(String),
    /// `*.shop.example` is stored as `shop.example`: any depth below it, not itself.
    Wildcard(String),
}

/// Path condition, on normalised paths.
#[derive(Clone, Debug, Default)]
pub enum PathMatch {
    /// Every path.
    #[default]
    Any,
    /// This one.
    Exact(String),
    /// `/api/*` is stored as `/api`: itself and everything below, by segment. `/*` is stored as the empty string.
    Prefix(String),
    /// The whole path matches.
    Regex(Pattern),
}

/// A regular expression that remembers its source text; anchored at both ends unless its user says otherwise.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As written.
    pub source: String,
    /// Compiled, as `^(?:source)$` where it is anchored.
    pub regex: regex::bytes::Regex,
}

/// Expressions are equal when they were written alike.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for Pattern {}

/// A condition on a named value.
#[derive(Clone, Debug)]
pub struct FieldMatch {
    /// The name.
    pub name: String,
    /// The test.
    pub test: FieldTest,
}

/// The test on a value.
#[derive(Clone, Debug)]
pub enum FieldTest {
    /// The name is there (`true`).
    Present,
    /// The name is not there (`false`).
    Absent,
    /// Exactly this value.
    Exact(String),
    /// The whole value matches.
    Regex(Pattern),
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
    /// A connection could not be made, or nothing was written: any method.
    pub connect: bool,
    /// The connection broke before the first byte of the answer: idempotent methods.
    pub reset: bool,
    /// No first byte in time: idempotent methods.
    pub timeout: bool,
    /// Answer statuses that are tried again: idempotent methods.
    pub statuses: Vec<u16>,
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

/// Text with places to fill in: `https://{host}{path}{?query}`.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Smooth weighted round robin.
    RoundRobin,
    /// Weighted chance.
    Random,
    /// Fewest running requests by weight.
    LeastRequests,
    /// The less loaded of two thrown.
    PowerOfTwo,
    /// By client address (rendezvous hashing, so that a lost backend moves only its own clients).
    IpHash,
    /// The first in file order that can.
    First,
}

impl PolicyKind {
    /// The name in configuration and status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastRequests => "least-requests",
            Self::PowerOfTwo => "power-of-two",
            Self::IpHash => "ip-hash",
            Self::First => "first",
        }
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
