//! The status as JSON. Names are those of the lexicon and stay; [`FIELDS`] describes them for the OpenAPI document.

use std::time::SystemTime;

use control::{BackendStatus, ListenerStatus, PoolStatus, ProcessStatus};
use policy::overload::Shortage;
use serde::Serialize;

use crate::certificates::Tls;

/// `GET /api/v1/status`.
#[derive(Serialize)]
pub(crate) struct Status<'a> {
    process: Process,
    listeners: Vec<Listener<'a>>,
    routes: Vec<Route<'a>>,
    pools: Vec<Pool<'a>>,
}

#[derive(Serialize)]
struct Route<'a> {
    name: &'a str,
    limited: u64,
    would_limit: u64,
}

#[derive(Serialize)]
struct Process {
    version: &'static str,
    pid: u32,
    state: &'static str,
    started_ms: u64,
    uptime_s: u64,
    generation: u64,
    workers: usize,
    connections: usize,
    connections_limit: usize,
    access_log_lost: u64,
    forgotten_credits: u64,
    blocks: usize,
    buffered_bytes: usize,
    buffered_limit: usize,
    unbuffered: u64,
    overload: Overload,
}

#[derive(Serialize)]
struct Overload {
    short_of: Option<&'static str>,
    refused_percent: f64,
    shed: u64,
    lag_ms: u64,
    memory_bytes: u64,
    memory_limit_bytes: Option<u64>,
    descriptors: u64,
    descriptors_limit: Option<u64>,
}

#[derive(Serialize)]
struct Listener<'a> {
    name: &'a str,
    addresses: &'a [String],
    connections: u64,
    accepted: u64,
    denied: u64,
    over_limit: u64,
    requests: u64,
    refused: u64,
    limited: u64,
    would_limit: u64,
    over_client_limit: u64,
    calls: u64,
    failed_calls: u64,
    http2: u64,
    calmed: u64,
    shed: u64,
    slow_bodies: u64,
    slow_readers: u64,
    blocked: u64,
    interim: u64,
    status_2xx: u64,
    status_3xx: u64,
    status_4xx: u64,
    status_5xx: u64,
    aborted: u64,
    truncated: u64,
    tunnels: u64,
    handshakes: u64,
    resumed: u64,
    handshake_failures: u64,
    handshake_timeouts: u64,
    handshakes_refused: u64,
    plain_requests: u64,
    tls: Tls<'a>,
}

#[derive(Serialize)]
struct Pool<'a> {
    name: &'a str,
    policy: &'static str,
    queue: Queue,
    circuit: Circuit,
    backends: Vec<Backend<'a>>,
}

#[derive(Serialize)]
struct Queue {
    waiting: u64,
    queued: u64,
    full: u64,
    shed: u64,
    surge: bool,
    timeouts: u64,
    longest_ms: f64,
}

#[derive(Serialize)]
struct Circuit {
    state: &'static str,
    reason: String,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    openings: u64,
    refused: u64,
}

#[derive(Serialize)]
struct Backend<'a> {
    name: &'a str,
    address: &'a str,
    resolved: Option<&'a str>,
    weight: u32,
    weight_permille: u16,
    tier: u8,
    max_requests: Option<u32>,
    max_connections: Option<u32>,
    state: &'static str,
    reason: &'a str,
    since_ms: u64,
    until_ms: Option<u64>,
    ejections: u64,
    false_ejections: u64,
    active: u32,
    idle: u64,
    attempts: u64,
    requests: u64,
    errors: u64,
    failures: u64,
    faults: u64,
    retries: u64,
    hedges: u64,
    hedges_won: u64,
    overtaken: u64,
    connects: u64,
    sent_bytes: u64,
    received_bytes: u64,
    first_byte_mean_ms: Option<f64>,
    calls: u64,
    failed_calls: u64,
}

/// A field of the status.
pub(crate) struct Field {
    /// The schema it is in.
    pub(crate) of: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) meaning: &'static str,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    TextOrNull,
    Texts,
    Whole,
    WholeOrNull,
    Flag,
    Number,
    NumberOrNull,
    Object(&'static str),
    Objects(&'static str),
}

const fn field(of: &'static str, name: &'static str, kind: Kind, meaning: &'static str) -> Field {
    Field { of, name, kind, meaning }
}

/// Every field of the status, in order.
pub(crate) const FIELDS: &[Field] = &[
    field("Status", "process", Kind::Object("Process"), "the process"),
    field("Status", "listeners", Kind::Objects("Listener"), "listeners in file order"),
    field("Status", "routes", Kind::Objects("Route"), "routes with a rate limit, in file order"),
    field("Status", "pools", Kind::Objects("Pool"), "pools in file order"),
    field("Process", "version", Kind::Text, "version of Evenkeel"),
    field("Process", "pid", Kind::Whole, "process id"),
    field("Process", "state", Kind::Text, "starting (first probes run), ready or stopping"),
    field("Process", "started_ms", Kind::Whole, "start, Unix time in milliseconds"),
    field("Process", "uptime_s", Kind::Whole, "seconds since the start"),
    field("Process", "generation", Kind::Whole, "number of the plan in force; the first is 1"),
    field("Process", "workers", Kind::Whole, "worker threads"),
    field("Process", "connections", Kind::Whole, "client connections open now"),
    field("Process", "connections_limit", Kind::Whole, "limits.connections"),
    field(
        "Process",
        "access_log_lost",
        Kind::Whole,
        "access log lines and other reports of workers that were lost: nobody took them in time, or they could not be written",
    ),
    field(
        "Process",
        "forgotten_credits",
        Kind::Whole,
        "keys of rate limits forgotten before their credit was whole, because too many others came",
    ),
    field("Process", "blocks", Kind::Whole, "networks that are blocked now"),
    field("Process", "buffered_bytes", Kind::Whole, "bytes of bodies that are buffered now"),
    field("Process", "buffered_limit", Kind::Whole, "limits.buffered"),
    field("Process", "unbuffered", Kind::Whole, "bodies that went on unbuffered because limits.buffered was reached"),
    field("Process", "overload", Kind::Object("Overload"), "what the node itself is short of"),
    field("Overload", "short_of", Kind::TextOrNull, "cpu, memory or descriptors; null while nothing is refused for it"),
    field("Overload", "refused_percent", Kind::Number, "share of requests that is refused"),
    field("Overload", "shed", Kind::Whole, "requests refused since the start"),
    field("Overload", "lag_ms", Kind::Whole, "how long ready work waited for its turn, in the slowest worker"),
    field("Overload", "memory_bytes", Kind::Whole, "memory in use"),
    field("Overload", "memory_limit_bytes", Kind::WholeOrNull, "memory that may be used; null where it is not known"),
    field("Overload", "descriptors", Kind::Whole, "descriptors in use, as connections tell"),
    field("Overload", "descriptors_limit", Kind::WholeOrNull, "descriptors that may be open; null without a limit"),
    field("Listener", "name", Kind::Text, "its name"),
    field("Listener", "addresses", Kind::Texts, "addresses in force, with the real ports"),
    field("Listener", "connections", Kind::Whole, "connections open now"),
    field("Listener", "accepted", Kind::Whole, "connections accepted"),
    field("Listener", "denied", Kind::Whole, "connections refused by allow, deny or a missing PROXY header"),
    field("Listener", "over_limit", Kind::Whole, "connections refused because limits.connections was reached"),
    field("Listener", "requests", Kind::Whole, "requests whose head was read"),
    field("Listener", "refused", Kind::Whole, "requests refused as malformed or too large"),
    field("Listener", "limited", Kind::Whole, "requests refused by a rate limit (429)"),
    field("Listener", "would_limit", Kind::Whole, "requests that a rate limit with dry_run would have refused"),
    field(
        "Listener",
        "over_client_limit",
        Kind::Whole,
        "connections refused because limits.client_connections was reached",
    ),
    field("Listener", "calls", Kind::Whole, "gRPC calls that ended with a status"),
    field("Listener", "failed_calls", Kind::Whole, "those of them whose status is not ok, told by a backend or by us"),
    field("Listener", "http2", Kind::Whole, "connections that speak HTTP/2"),
    field("Listener", "calmed", Kind::Whole, "HTTP/2 connections cut off for needless work (ENHANCE_YOUR_CALM)"),
    field("Listener", "shed", Kind::Whole, "idle connections closed to make room for new ones"),
    field("Listener", "slow_bodies", Kind::Whole, "exchanges cut because their request body came too slowly"),
    field("Listener", "slow_readers", Kind::Whole, "exchanges cut because their client took the answer too slowly"),
    field(
        "Listener",
        "blocked",
        Kind::Whole,
        "connections refused or closed and requests refused because their network is blocked",
    ),
    field("Listener", "interim", Kind::Whole, "answers 1xx relayed"),
    field("Listener", "status_2xx", Kind::Whole, "answers 2xx sent"),
    field("Listener", "status_3xx", Kind::Whole, "answers 3xx sent"),
    field("Listener", "status_4xx", Kind::Whole, "answers 4xx sent"),
    field("Listener", "status_5xx", Kind::Whole, "answers 5xx sent"),
    field("Listener", "aborted", Kind::Whole, "exchanges whose client went away before the end"),
    field("Listener", "truncated", Kind::Whole, "answers cut short because the backend failed in the middle"),
    field("Listener", "tunnels", Kind::Whole, "tunnels opened (101)"),
    field("Listener", "handshakes", Kind::Whole, "TLS handshakes finished"),
    field("Listener", "resumed", Kind::Whole, "TLS handshakes that took up an earlier session"),
    field("Listener", "handshake_failures", Kind::Whole, "TLS handshakes that failed, or were none"),
    field("Listener", "handshake_timeouts", Kind::Whole, "TLS handshakes that took too long"),
    field(
        "Listener",
        "handshakes_refused",
        Kind::Whole,
        "connections closed because too many waited for their TLS handshake",
    ),
    field("Listener", "plain_requests", Kind::Whole, "requests in plain text that were told to speak TLS (400)"),
    field("Listener", "tls", Kind::Object("Tls"), "its certificates"),
    field("Tls", "preset", Kind::TextOrNull, "modern or intermediate; null where it speaks plain text"),
    field("Tls", "certificates", Kind::Objects("Certificate"), "certificates, the default first"),
    field("Tls", "reloads", Kind::Whole, "times that files changed and were taken"),
    field("Tls", "failed_reloads", Kind::Whole, "times that files changed and could not be taken"),
    field("Tls", "error", Kind::TextOrNull, "why the last change was not taken; what was before is in force"),
    field("Certificate", "name", Kind::Text, "its first name, else its subject"),
    field("Certificate", "names", Kind::Texts, "host names it is for"),
    field("Certificate", "kind", Kind::Text, "ecdsa, rsa or ed25519"),
    field("Certificate", "issuer", Kind::Text, "who issued it"),
    field("Certificate", "serial", Kind::Text, "its serial number in hexadecimal"),
    field("Certificate", "file", Kind::Text, "the file it came from"),
    field("Certificate", "until_ms", Kind::Whole, "until when it is valid, Unix time in milliseconds"),
    field("Certificate", "stapled", Kind::Flag, "whether an OCSP answer is stapled to it"),
    field("Route", "name", Kind::Text, "which route it is"),
    field("Route", "limited", Kind::Whole, "requests refused by its rate limit (429)"),
    field("Route", "would_limit", Kind::Whole, "requests that its rate limit with dry_run would have refused"),
    field("Pool", "name", Kind::Text, "its name"),
    field("Pool", "policy", Kind::Text, "how it picks"),
    field("Pool", "queue", Kind::Object("Queue"), "who waits for a backend with room; zeros without a cap"),
    field("Pool", "circuit", Kind::Object("Circuit"), "whether the pool is asked at all"),
    field("Pool", "backends", Kind::Objects("Backend"), "backends in file order"),
    field("Queue", "waiting", Kind::Whole, "requests that wait now"),
    field("Queue", "queued", Kind::Whole, "requests that had to wait"),
    field("Queue", "full", Kind::Whole, "requests refused because the queue was full"),
    field("Queue", "shed", Kind::Whole, "requests refused early in a surge"),
    field("Queue", "surge", Kind::Flag, "whether more requests come than can be served"),
    field("Queue", "timeouts", Kind::Whole, "requests refused because they had waited too long"),
    field("Queue", "longest_ms", Kind::Number, "longest wait since the start, in milliseconds"),
    field("Circuit", "state", Kind::Text, "off (no breaker), closed, open or half-open"),
    field("Circuit", "reason", Kind::Text, "why it is in that state"),
    field("Circuit", "since_ms", Kind::WholeOrNull, "since when, Unix time in milliseconds; null while it is off"),
    field(
        "Circuit",
        "until_ms",
        Kind::WholeOrNull,
        "until when it stays open at least, Unix time in milliseconds; null while it is not open",
    ),
    field("Circuit", "openings", Kind::Whole, "times it opened"),
    field("Circuit", "refused", Kind::Whole, "requests refused because it was not closed"),
    field("Backend", "name", Kind::Text, "its name, else its address as written"),
    field("Backend", "address", Kind::Text, "its address as written"),
    field("Backend", "resolved", Kind::TextOrNull, "address in force; null for Unix sockets and unresolved names"),
    field("Backend", "weight", Kind::Whole, "share of work"),
    field("Backend", "weight_permille", Kind::Whole, "what it gets of its weight now, in thousandths"),
    field("Backend", "tier", Kind::Whole, "lower tiers are used first"),
    field("Backend", "max_requests", Kind::WholeOrNull, "most attempts that may run at once now; null without a cap"),
    field(
        "Backend",
        "max_connections",
        Kind::WholeOrNull,
        "most connections that may be open to it at once, idle ones included; null without a cap",
    ),
    field("Backend", "state", Kind::Text, "ready, unknown, slow-start, ejected, down, draining or drained"),
    field("Backend", "reason", Kind::Text, "why it is in that state"),
    field("Backend", "since_ms", Kind::Whole, "since when, Unix time in milliseconds"),
    field(
        "Backend",
        "until_ms",
        Kind::WholeOrNull,
        "until when an ejected one stays out at least, Unix time in milliseconds; null while it is not ejected",
    ),
    field("Backend", "ejections", Kind::Whole, "times it was ejected"),
    field("Backend", "false_ejections", Kind::Whole, "ejections that its probes and the first trial spoke against"),
    field("Backend", "active", Kind::Whole, "attempts that run now"),
    field("Backend", "idle", Kind::Whole, "idle connections now"),
    field("Backend", "attempts", Kind::Whole, "attempts begun"),
    field("Backend", "requests", Kind::Whole, "exchanges that ended with an answer from it"),
    field("Backend", "errors", Kind::Whole, "answers 5xx from it that were forwarded"),
    field(
        "Backend",
        "failures",
        Kind::Whole,
        "attempts that failed: no connection, broken, late, malformed, tried again",
    ),
    field("Backend", "faults", Kind::Whole, "attempts that failed through its fault, as passive health counts them"),
    field("Backend", "retries", Kind::Whole, "attempts that repeated a failed one"),
    field("Backend", "hedges", Kind::Whole, "attempts that were the second of a hedged request"),
    field("Backend", "hedges_won", Kind::Whole, "those of them that answered first"),
    field("Backend", "overtaken", Kind::Whole, "first attempts given up because the second had answered"),
    field("Backend", "connects", Kind::Whole, "connections opened"),
    field("Backend", "sent_bytes", Kind::Whole, "bytes of request bodies sent to it"),
    field("Backend", "received_bytes", Kind::Whole, "bytes of answer bodies received from it"),
    field(
        "Backend",
        "first_byte_mean_ms",
        Kind::NumberOrNull,
        "mean milliseconds from attempt to first byte since the start; null before the first answer",
    ),
    field("Backend", "calls", Kind::Whole, "gRPC calls that it answered; their statuses are in the metrics"),
    field("Backend", "failed_calls", Kind::Whole, "those of them whose status is not ok"),
    field("Blocks", "blocks", Kind::Objects("Block"), "by network; after a change, those that it made or lifted"),
    field("Blocks", "limit", Kind::Whole, "networks that may be blocked at once"),
    field("Blocks", "notes", Kind::Texts, "what a change did that may not be meant"),
    field("Block", "network", Kind::Text, "as 203.0.113.0/24"),
    field("Block", "reason", Kind::Text, "why, as given; may be empty"),
    field("Block", "author", Kind::Text, "who says so, as given; may be empty"),
    field("Block", "since_ms", Kind::Whole, "since when, Unix time in milliseconds"),
    field("Block", "until_ms", Kind::WholeOrNull, "until when, Unix time in milliseconds; null until it is lifted"),
    field(
        "Block",
        "refused",
        Kind::Whole,
        "connections refused or closed and requests refused, as far as this was the narrowest block",
    ),
];

impl<'a> From<&'a control::Status> for Status<'a> {
    fn from(status: &'a control::Status) -> Self {
        Self {
            process: Process::from(&status.process),
            listeners: status.listeners.iter().map(Listener::from).collect(),
            routes: status.routes.iter().map(Route::from).collect(),
            pools: status.pools.iter().map(Pool::from).collect(),
        }
    }
}

impl From<&ProcessStatus> for Process {
    fn from(process: &ProcessStatus) -> Self {
        Self {
            version: process.version,
            pid: process.pid,
            state: process.state.name(),
            started_ms: unix_ms(process.started),
            uptime_s: process.uptime.as_secs(),
            generation: process.generation,
            workers: process.workers,
            connections: process.connections,
            connections_limit: process.connections_limit,
            access_log_lost: process.access_log_lost,
            forgotten_credits: process.forgotten_credits,
            blocks: process.blocks,
            buffered_bytes: process.buffered_bytes,
            buffered_limit: process.buffered_limit,
            unbuffered: process.unbuffered,
            overload: Overload::from(&process.overload),
        }
    }
}

impl From<&control::OverloadStatus> for Overload {
    fn from(overload: &control::OverloadStatus) -> Self {
        let known = |limit: u64| (limit > 0).then_some(limit);
        Self {
            short_of: overload.short_of.map(Shortage::name),
            refused_percent: f64::from(overload.share) / 10.0,
            shed: overload.shed_requests(),
            lag_ms: u64::try_from(overload.lag.as_millis()).unwrap_or(u64::MAX),
            memory_bytes: overload.memory_bytes,
            memory_limit_bytes: known(overload.memory_limit),
            descriptors: overload.descriptors,
            descriptors_limit: known(overload.descriptors_limit),
        }
    }
}

impl<'a> From<&'a ListenerStatus> for Listener<'a> {
    fn from(listener: &'a ListenerStatus) -> Self {
        Self {
            name: &listener.name,
            addresses: &listener.addresses,
            connections: listener.connections,
            accepted: listener.accepted,
            denied: listener.denied,
            over_limit: listener.over_limit,
            requests: listener.requests,
            refused: listener.refused,
            limited: listener.limited,
            would_limit: listener.would_limit,
            over_client_limit: listener.over_client_limit,
            calls: listener.calls,
            failed_calls: listener.failed_calls,
            http2: listener.http2,
            calmed: listener.calmed,
            shed: listener.shed,
            slow_bodies: listener.slow_bodies,
            slow_readers: listener.slow_readers,
            blocked: listener.blocked,
            interim: listener.interim,
            status_2xx: listener.status_2xx,
            status_3xx: listener.status_3xx,
            status_4xx: listener.status_4xx,
            status_5xx: listener.status_5xx,
            aborted: listener.aborted,
            truncated: listener.truncated,
            tunnels: listener.tunnels,
            handshakes: listener.handshakes,
            resumed: listener.resumed,
            handshake_failures: listener.handshake_failures,
            handshake_timeouts: listener.handshake_timeouts,
            handshakes_refused: listener.handshakes_refused,
            plain_requests: listener.plain_requests,
            tls: Tls::of(listener.tls.as_ref()),
        }
    }
}

impl<'a> From<&'a control::RouteStatus> for Route<'a> {
    fn from(route: &'a control::RouteStatus) -> Self {
        Self { name: &route.name, limited: route.limited, would_limit: route.would_limit }
    }
}

impl<'a> From<&'a PoolStatus> for Pool<'a> {
    fn from(pool: &'a PoolStatus) -> Self {
        Self {
            name: &pool.name,
            policy: pool.policy,
            queue: Queue::from(&pool.queue),
            circuit: Circuit::from(pool),
            backends: pool.backends.iter().map(Backend::from).collect(),
        }
    }
}

impl From<&PoolStatus> for Circuit {
    fn from(pool: &PoolStatus) -> Self {
        let circuit = pool.circuit.as_ref();
        Self {
            state: circuit.map_or("off", |circuit| circuit.position.name()),
            reason: circuit.map_or("no breaker", |circuit| circuit.reason.as_str()).to_owned(),
            since_ms: circuit.map(|circuit| unix_ms(circuit.since)),
            until_ms: circuit.and_then(|circuit| circuit.until).map(unix_ms),
            openings: circuit.map_or(0, |circuit| circuit.openings),
            refused: pool.circuit_refused,
        }
    }
}

impl From<&control::QueueFigures> for Queue {
    fn from(queue: &control::QueueFigures) -> Self {
        Self {
            waiting: queue.waiting,
            queued: queue.queued,
            full: queue.full,
            shed: queue.shed,
            surge: queue.surge,
            timeouts: queue.timeouts,
            longest_ms: (queue.longest.as_secs_f64() * 1e6).round() / 1e3,
        }
    }
}

impl<'a> From<&'a BackendStatus> for Backend<'a> {
    fn from(backend: &'a BackendStatus) -> Self {
        Self {
            name: &backend.name,
            address: &backend.address,
            resolved: backend.resolved.as_deref(),
            weight: backend.weight,
            weight_permille: backend.weight_permille,
            tier: backend.tier,
            max_requests: backend.max_requests,
            max_connections: backend.max_connections,
            state: backend.state.name(),
            reason: &backend.reason,
            since_ms: unix_ms(backend.since),
            until_ms: backend.until.map(unix_ms),
            ejections: backend.ejections,
            false_ejections: backend.false_ejections,
            active: backend.active,
            idle: backend.idle,
            attempts: backend.attempts,
            requests: backend.requests,
            errors: backend.errors,
            failures: backend.failures,
            faults: backend.faults,
            retries: backend.retries,
            hedges: backend.hedges,
            hedges_won: backend.hedges_won,
            overtaken: backend.overtaken,
            connects: backend.connects,
            sent_bytes: backend.sent_bytes,
            received_bytes: backend.received_bytes,
            first_byte_mean_ms: backend.first_byte_mean_ms().map(|mean| (mean * 1e3).round() / 1e3),
            calls: backend.calls.iter().sum(),
            failed_calls: backend.calls.iter().skip(1).sum(),
        }
    }
}

pub(crate) fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::samples;

    fn names(value: &Value) -> Vec<&str> {
        let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    fn described(of: &str) -> Vec<&'static str> {
        let mut names: Vec<_> = FIELDS.iter().filter(|field| field.of == of).map(|field| field.name).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_field_is_described_and_every_description_has_its_field() {
        let status = serde_json::to_value(Status::from(&samples::status())).unwrap();
        assert_eq!(names(&status), described("Status"));
        assert_eq!(names(&status["process"]), described("Process"));
        assert_eq!(names(&status["process"]["overload"]), described("Overload"));
        assert_eq!(names(&status["listeners"][0]), described("Listener"));
        assert_eq!(names(&status["routes"][0]), described("Route"));
        assert_eq!(names(&status["pools"][0]), described("Pool"));
        assert_eq!(names(&status["pools"][0]["queue"]), described("Queue"));
        assert_eq!(names(&status["pools"][0]["circuit"]), described("Circuit"));
        assert_eq!(names(&status["pools"][0]["backends"][0]), described("Backend"));
    }

    #[test]
    fn status_keeps_its_shape() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&Status::from(&samples::status())).unwrap());
    }
}
