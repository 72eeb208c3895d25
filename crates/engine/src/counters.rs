//! Counters that one worker writes and anybody may read.
//!
//! Owns the table of counters. A worker adds with a plain load and store, since nobody else writes; readers sum over
//! the workers and may be a few events behind.

use std::sync::atomic::{AtomicU64, Ordering};

use policy::overload::Shortage;
use policy::plan::{Plan, Urgency};
use wire::grpc::Status;

/// A number that only one thread changes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning thread may call it: additions from elsewhere could be lost.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Takes `n` away; for gauges.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }

    /// Its value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name { $($(#[$fdoc])* pub $field: Counter),* }
    };
}

counters! {
    /// Of one backend in one worker.
    BackendCounters {
        /// Attempts begun.
        attempts,
        /// Exchanges that ended with an answer from it.
        requests,
        /// Attempts that failed: no connection, broken, late, malformed, or a status that was tried again.
        failures,
        /// Attempts that failed through its fault, as passive health counts them.
        faults,
        /// Answers with a status of 500 to 599 that were forwarded.
        errors,
        /// Attempts that were repetitions of one that failed elsewhere (or here).
        retries,
        /// Attempts that were the second of a hedged request.
        hedges,
        /// Those of them that answered first.
        hedges_won,
        /// First attempts that were given up because the second, elsewhere, had answered.
        overtaken,
        /// Microseconds that these had, summed up: they would have taken longer.
        overtaken_us,
        /// Connections opened.
        connects,
        /// Idle connections now.
        idle,
        /// Bytes of request bodies sent to it.
        sent_bytes,
        /// Bytes of answer bodies received from it.
        received_bytes,
        /// Microseconds from attempt to first byte, summed over `requests`.
        first_byte_us,
    }
}

counters! {
    /// Of the circuit breaker of one pool in one worker; all zero where there is none.
    CircuitCounters {
        /// Attempts that ended.
        ended,
        /// Those that failed through a backend's fault, as the breaker counts them.
        failed,
        /// Requests refused because the circuit was not closed.
        refused,
    }
}

counters! {
    /// Of one listener in one worker.
    ListenerCounters {
        /// Connections accepted.
        accepted,
        /// Connections refused by `allow`, `deny` or a missing PROXY header.
        denied,
        /// Connections refused because `limits.connections` was reached.
        over_limit,
        /// Connections open now.
        open,
        /// Requests whose head was read.
        requests,
        /// Requests refused as malformed or too large (400, 408, 413, 414, 417, 431, 501, 505).
        refused,
        /// Requests refused by a rate limit (429), of the listener or of a route.
        limited,
        /// Requests that a rate limit with `dry_run` would have refused.
        would_limit,
        /// Connections refused because their client had as many as it may.
        over_client_limit,
        /// Connections refused or closed and requests refused because their network is blocked.
        blocked,
        /// Answers 1xx relayed.
        interim,
        /// Answers 2xx sent.
        status_2xx,
        /// Answers 3xx sent.
        status_3xx,
        /// Answers 4xx sent.
        status_4xx,
        /// Answers 5xx sent.
        status_5xx,
        /// Exchanges whose client went away before the end.
        aborted,
        /// Exchanges cut because their request body came more slowly than `floors.body`.
        slow_bodies,
        /// Exchanges cut because their client took the answer more slowly than `floors.drain`.
        slow_readers,
        /// gRPC calls that ended with a status.
        calls,
        /// Those of them that ended with another than `ok`, told by a backend or by us.
        failed_calls,
        /// Connections that speak HTTP/2.
        http2,
        /// Those of them that were cut off for making more work than anybody needs (ENHANCE_YOUR_CALM).
        calmed,
        /// Idle connections closed to make room for new ones.
        shed,
        /// Answers cut short because the backend failed in the middle.
        truncated,
        /// Tunnels opened (101).
        tunnels,
        /// TLS handshakes finished.
        handshakes,
        /// Those of them that took up an earlier session.
        resumed,
        /// TLS handshakes that failed, or that were none.
        handshake_failures,
        /// TLS handshakes that took too long.
        handshake_timeouts,
        /// Connections closed because too many waited for their TLS handshake.
        handshakes_refused,
        /// Requests in plain text that were told to speak TLS (400).
        plain_requests,
    }
}

counters! {
    /// Of one route in one worker.
    RouteCounters {
        /// Requests refused by its rate limit (429).
        limited,
        /// Requests that its rate limit with `dry_run` would have refused.
        would_limit,
    }
}

/// Of the gRPC calls that one backend answered in one worker: by the status that it gave, in the order of the codes.
#[derive(Debug, Default)]
pub struct CallCounters(pub [Counter; Status::ALL.len()]);

/// Of one worker.
#[derive(Debug)]
pub struct WorkerCounters {
    /// By pool and backend.
    pub pools: Vec<Vec<BackendCounters>>,
    /// Ends of gRPC calls, by pool and backend.
    pub calls: Vec<Vec<CallCounters>>,
    /// By pool.
    pub circuits: Vec<CircuitCounters>,
    /// By listener.
    pub listeners: Vec<ListenerCounters>,
    /// By route.
    pub routes: Vec<RouteCounters>,
    /// Requests refused by shortage and urgency, in the order of their kinds.
    pub shed: [[Counter; Urgency::ALL.len()]; Shortage::ALL.len()],
    /// Access log lines, and other reports, that were dropped because `control` was behind.
    pub log_dropped: Counter,
}

impl WorkerCounters {
    /// All zero, in the shape of a plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            pools: plan.pools.iter().map(|p| p.backends.iter().map(|_| BackendCounters::default()).collect()).collect(),
            calls: plan.pools.iter().map(|p| p.backends.iter().map(|_| CallCounters::default()).collect()).collect(),
            circuits: plan.pools.iter().map(|_| CircuitCounters::default()).collect(),
            listeners: plan.listeners.iter().map(|_| ListenerCounters::default()).collect(),
            routes: plan.routes.iter().map(|_| RouteCounters::default()).collect(),
            shed: Default::default(),
            log_dropped: Counter::default(),
        }
    }
}
