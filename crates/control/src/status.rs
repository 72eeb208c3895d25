//! What is true now, as plain values; `admin` gives them to people and programs.
//!
//! Owns [`Handle`], by which the other threads ask and change things, and the sums over workers. Spelling and units of what
//! people read are `admin`'s.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use engine::counters::{BackendCounters, Counter, ListenerCounters, WorkerCounters};
use engine::{CircuitFigures, Engine, QueueFigures, Shared};
use policy::breaker::Position;
use policy::plan::{Listener, ListenerId, Plan, Pool, PoolId, Route};
use wire::grpc;

use crate::access_log::Losses;
use crate::backends::{Backends, Event, Record, State};
use crate::blocks::Book;
use crate::certificates::{Records, TlsStatus};
use crate::clock::Clock;
use crate::failures::Ring;
use crate::shortage::{OverloadStatus, Seen};

/// A snapshot of the process. Counters are read one by one while the workers go on: sums may be a few events apart.
#[derive(Clone, Debug)]
pub struct Status {
    /// The process.
    pub process: ProcessStatus,
    /// Listeners in file order.
    pub listeners: Vec<ListenerStatus>,
    /// Routes that have a rate limit, in file order.
    pub routes: Vec<RouteStatus>,
    /// Pools in file order.
    pub pools: Vec<PoolStatus>,
}

/// A route with a rate limit; the counters are those of `engine::counters::RouteCounters`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field without a comment is the counter of the same name")]
pub struct RouteStatus {
    /// How to name it to people.
    pub name: String,
    pub limited: u64,
    pub would_limit: u64,
}

/// The process.
#[derive(Clone, Debug)]
pub struct ProcessStatus {
    /// Version of Evenkeel.
    pub version: &'static str,
    /// Process id.
    pub pid: u32,
    /// What it is doing.
    pub state: ProcessState,
    /// When it started.
    pub started: SystemTime,
    /// For how long it runs.
    pub uptime: Duration,
    /// The plan in force.
    pub generation: u64,
    /// Workers.
    pub workers: usize,
    /// Client connections open now.
    pub connections: usize,
    /// Client connections that may be open at once: `limits.connections`, or less where the system allows less.
    pub connections_limit: usize,
    /// Access log lines and other reports lost, because nobody took them in time or they could not be written.
    pub access_log_lost: u64,
    /// Keys of rate limits that were forgotten before their credit was whole again.
    pub forgotten_credits: u64,
    /// Networks that are blocked.
    pub blocks: usize,
    /// Bytes of bodies that are buffered.
    pub buffered_bytes: usize,
    /// Bytes of bodies that may be buffered at once.
    pub buffered_limit: usize,
    /// Bodies that went on unbuffered because the limit was reached.
    pub unbuffered: u64,
    /// What the node is short of, and what it uses.
    pub overload: OverloadStatus,
}

/// What the process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// The first round of probes runs.
    Starting,
    /// It takes work.
    Ready,
    /// It takes no new connections and ends.
    Stopping,
}

impl ProcessState {
    /// The word that status shows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
        }
    }
}

/// A listener; the counters are those of `engine::counters::ListenerCounters`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field without a comment is the counter of the same name")]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Addresses in force, with the real ports.
    pub addresses: Vec<String>,
    /// Connections open now.
    pub connections: u64,
    pub accepted: u64,
    pub denied: u64,
    pub over_limit: u64,
    pub requests: u64,
    pub refused: u64,
    pub limited: u64,
    pub would_limit: u64,
    pub over_client_limit: u64,
    pub calls: u64,
    pub failed_calls: u64,
    pub http2: u64,
    pub calmed: u64,
    pub shed: u64,
    pub slow_bodies: u64,
    pub slow_readers: u64,
    pub blocked: u64,
    pub interim: u64,
    pub status_2xx: u64,
    pub status_3xx: u64,
    pub status_4xx: u64,
    pub status_5xx: u64,
    pub aborted: u64,
    pub truncated: u64,
    pub tunnels: u64,
    pub handshakes: u64,
    pub resumed: u64,
    pub handshake_failures: u64,
    pub handshake_timeouts: u64,
    pub handshakes_refused: u64,
    pub plain_requests: u64,
    /// Its certificates; `None` where it speaks plain text.
    pub tls: Option<TlsStatus>,
}

/// A pool.
#[derive(Clone, Debug)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Its policy's name.
    pub policy: &'static str,
    /// What its queue has seen; zeros where no backend has a cap.
    pub queue: QueueFigures,
    /// Its circuit; `None` without a breaker.
    pub circuit: Option<CircuitFigures>,
    /// Requests that were refused because the circuit was not closed.
    pub circuit_refused: u64,
    /// Its backends in file order.
    pub backends: Vec<BackendStatus>,
}

/// A backend; the counters are those of `engine::counters::BackendCounters`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field without a comment is the counter of the same name")]
pub struct BackendStatus {
    /// Its name.
    pub name: String,
    /// Its address as written.
    pub address: String,
    /// The address in force; `None` for Unix sockets and for names without an answer.
    pub resolved: Option<String>,
    /// Share of work.
    pub weight: u32,
    /// What it gets of its weight now, in thousandths.
    pub weight_permille: u16,
    /// Lower tiers first.
    pub tier: u8,
    /// Most running attempts now, if there is a cap: that which is written, or found, or follows from `max_connections`.
    pub max_requests: Option<u32>,
    /// Most connections, if there is a cap.
    pub max_connections: Option<u32>,
    /// Its state.
    pub state: State,
    /// Why it is in that state.
    pub reason: String,
    /// Since when.
    pub since: SystemTime,
    /// Until when at least an ejected one stays out; then a request may try it.
    pub until: Option<SystemTime>,
    /// Times it was ejected.
    pub ejections: u64,
    /// Those that were probably wrong: its probes passed all the while, and so did the first trial.
    pub false_ejections: u64,
    /// Running attempts.
    pub active: u32,
    /// Idle connections.
    pub idle: u64,
    pub attempts: u64,
    pub requests: u64,
    pub errors: u64,
    pub failures: u64,
    pub faults: u64,
    pub retries: u64,
    pub hedges: u64,
    pub hedges_won: u64,
    pub overtaken: u64,
    pub connects: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Microseconds from attempt to first byte, summed over `requests`.
    pub first_byte_us: u64,
    /// gRPC calls that it answered, by the code of their status.
    pub calls: [u64; grpc::Status::ALL.len()],
}

impl BackendStatus {
    /// Mean milliseconds from attempt to first byte since the start; `None` before the first answer.
    #[must_use]
    pub fn first_byte_mean_ms(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
        (self.requests > 0).then(|| self.first_byte_us as f64 / self.requests as f64 / 1e3)
    }
}

/// The way to ask the control plane; cheap to clone, never waits for it.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) record: Arc<ProcessRecord>,
}

/// What a handle reads.
#[derive(Debug)]
pub(crate) struct ProcessRecord {
    pub(crate) plan: Arc<Plan>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) backends: Arc<Backends>,
    /// `None` once the data plane is on its way to the end.
    pub(crate) engine: Arc<Mutex<Option<Engine>>>,
    pub(crate) blocks: Mutex<Book>,
    pub(crate) failures: Mutex<Ring>,
    pub(crate) shortage: Arc<Seen>,
    pub(crate) losses: Option<Arc<Losses>>,
    pub(crate) certificates: Arc<Records>,
    pub(crate) addresses: Vec<(ListenerId, String)>,
    pub(crate) clock: Clock,
}

impl Handle {
    /// What is true now.
    #[must_use]
    pub fn status(&self) -> Status {
        let record = &*self.record;
        let listeners = record.plan.listeners.iter().zip((0..).map(ListenerId));
        let records = record.backends.records();
        let pools = record.plan.pools.iter().zip((0..).map(PoolId)).zip(&records);
        Status {
            process: record.process(),
            listeners: listeners.map(|(listener, id)| record.listener(listener, id)).collect(),
            routes: record.routes(),
            pools: pools.map(|((pool, id), records)| record.pool(pool, id, records)).collect(),
        }
    }

    /// What the process is doing.
    #[must_use]
    pub fn state(&self) -> ProcessState {
        self.record.state()
    }

    /// The last `count` failed exchanges, oldest first: access log lines without the line feed.
    #[must_use]
    pub fn failures(&self, count: usize) -> Vec<String> {
        self.record.failures().last(count)
    }

    /// Changes of backends' states with a number above `number`, oldest first, as far as they are kept.
    #[must_use]
    pub fn events_after(&self, number: u64) -> Vec<Event> {
        self.record.backends.events_after(number)
    }

    /// The listeners' names and addresses in force.
    #[must_use]
    pub fn addresses(&self) -> Vec<(&str, &str)> {
        let name = |id: ListenerId| self.record.plan.listeners[usize::from(id.0)].name.as_str();
        self.record.addresses.iter().map(|(id, address)| (name(*id), address.as_str())).collect()
    }
}

impl Handle {
    /// Says in the log that a circuit has changed.
    pub(crate) fn tell_circuit(&self, id: PoolId) {
        let pool = &self.record.plan.pool(id).name;
        let Some(circuit) = self.record.shared.pools[id.0 as usize].circuit_figures() else { return };
        let (state, reason) = (circuit.position.name(), circuit.reason);
        match circuit.position {
            Position::Closed => tracing::info!(pool, state, reason, "the circuit is closed"),
            Position::Open | Position::HalfOpen => tracing::warn!(pool, state, reason, "the circuit is {state}"),
        }
    }
}

impl ProcessRecord {
    pub(crate) fn failures(&self) -> MutexGuard<'_, Ring> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> ProcessState {
        if self.shared.stopping.load(Ordering::Acquire) {
            ProcessState::Stopping
        } else if self.backends.first_round_done() {
            ProcessState::Ready
        } else {
            ProcessState::Starting
        }
    }

    fn process(&self) -> ProcessStatus {
        ProcessStatus {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            state: self.state(),
            started: self.clock.started_at,
            uptime: self.clock.uptime(),
            generation: self.plan.generation,
            workers: self.shared.workers.len(),
            connections: self.shared.connections(),
            connections_limit: self.shared.connection_limit.load(Ordering::Relaxed),
            access_log_lost: self.access_log_lost(),
            forgotten_credits: self.shared.forgotten_credits(),
            buffered_bytes: self.shared.buffered.used(),
            buffered_limit: self.shared.buffered.limit(),
            unbuffered: self.shared.buffered.full(),
            blocks: self.blocks.lock().unwrap_or_else(PoisonError::into_inner).count(),
            overload: OverloadStatus::new(&self.shared, &self.shortage),
        }
    }

    /// Access log lines and other reports lost since the start, by the workers and by the writer.
    pub(crate) fn access_log_lost(&self) -> u64 {
        self.sum(|worker| &worker.log_dropped) + self.losses.as_ref().map_or(0, |losses| losses.total())
    }

    fn listener(&self, listener: &Listener, id: ListenerId) -> ListenerStatus {
        let sum = |counter: fn(&ListenerCounters) -> &Counter| {
            self.sum(|worker| counter(&worker.listeners[usize::from(id.0)]))
        };
        let addresses = self.addresses.iter().filter(|(of, _)| *of == id);
        ListenerStatus {
            name: listener.name.clone(),
            addresses: addresses.map(|(_, address)| address.clone()).collect(),
            connections: sum(|c| &c.open),
            accepted: sum(|c| &c.accepted),
            denied: sum(|c| &c.denied),
            over_limit: sum(|c| &c.over_limit),
            requests: sum(|c| &c.requests),
            refused: sum(|c| &c.refused),
            limited: sum(|c| &c.limited),
            would_limit: sum(|c| &c.would_limit),
            over_client_limit: sum(|c| &c.over_client_limit),
            calls: sum(|c| &c.calls),
            failed_calls: sum(|c| &c.failed_calls),
            http2: sum(|c| &c.http2),
            calmed: sum(|c| &c.calmed),
            shed: sum(|c| &c.shed),
            slow_bodies: sum(|c| &c.slow_bodies),
            slow_readers: sum(|c| &c.slow_readers),
            blocked: sum(|c| &c.blocked),
            interim: sum(|c| &c.interim),
            status_2xx: sum(|c| &c.status_2xx),
            status_3xx: sum(|c| &c.status_3xx),
            status_4xx: sum(|c| &c.status_4xx),
            status_5xx: sum(|c| &c.status_5xx),
            aborted: sum(|c| &c.aborted),
            truncated: sum(|c| &c.truncated),
            tunnels: sum(|c| &c.tunnels),
            handshakes: sum(|c| &c.handshakes),
            resumed: sum(|c| &c.resumed),
            handshake_failures: sum(|c| &c.handshake_failures),
            handshake_timeouts: sum(|c| &c.handshake_timeouts),
            handshakes_refused: sum(|c| &c.handshakes_refused),
            plain_requests: sum(|c| &c.plain_requests),
            tls: self.certificates.of(usize::from(id.0)),
        }
    }

    fn routes(&self) -> Vec<RouteStatus> {
        let limited = self.plan.routes.iter().enumerate().filter(|(_, route)| route.limit.is_some());
        let status = |(index, route): (usize, &Route)| RouteStatus {
            name: route.name.clone(),
            limited: self.sum(|worker| &worker.routes[index].limited),
            would_limit: self.sum(|worker| &worker.routes[index].would_limit),
        };
        limited.map(status).collect()
    }

    fn pool(&self, pool: &Pool, id: PoolId, records: &[Record]) -> PoolStatus {
        let backend = |(index, record)| self.backend(pool, (id, index), record);
        PoolStatus {
            name: pool.name.clone(),
            policy: pool.policy.name(),
            queue: self.shared.pools[id.0 as usize].queue_figures(),
            circuit: self.shared.pools[id.0 as usize].circuit_figures(),
            circuit_refused: self.sum(|worker| &worker.circuits[id.0 as usize].refused),
            backends: records.iter().enumerate().map(backend).collect(),
        }
    }

    fn backend(&self, pool: &Pool, (id, index): (PoolId, usize), record: &Record) -> BackendStatus {
        let (backend, pool) = (&pool.backends[index], id.0 as usize);
        let shared = &self.shared.pools[pool].backends[index];
        let sum = |counter: fn(&BackendCounters) -> &Counter| self.sum(|worker| counter(&worker.pools[pool][index]));
        let active = shared.active();
        BackendStatus {
            name: backend.name.clone(),
            address: backend.address.to_string(),
            resolved: shared.resolved().map(|addr| addr.to_string()),
            weight: backend.weight,
            weight_permille: shared.permille(),
            tier: backend.tier,
            max_requests: self.shared.pools[pool].cap(index),
            max_connections: backend.caps.max_connections,
            state: if record.state == State::Drained && active > 0 { State::Draining } else { record.state },
            reason: record.reason.clone(),
            since: record.since,
            until: record.until,
            ejections: record.tally.ejections,
            false_ejections: record.tally.false_ejections,
            active,
            idle: sum(|c| &c.idle),
            attempts: sum(|c| &c.attempts),
            requests: sum(|c| &c.requests),
            errors: sum(|c| &c.errors),
            failures: sum(|c| &c.failures),
            faults: sum(|c| &c.faults),
            retries: sum(|c| &c.retries),
            hedges: sum(|c| &c.hedges),
            hedges_won: sum(|c| &c.hedges_won),
            overtaken: sum(|c| &c.overtaken),
            connects: sum(|c| &c.connects),
            sent_bytes: sum(|c| &c.sent_bytes),
            received_bytes: sum(|c| &c.received_bytes),
            first_byte_us: sum(|c| &c.first_byte_us),
            calls: std::array::from_fn(|code| self.sum(|worker| &worker.calls[pool][index].0[code])),
        }
    }

    fn sum<'a>(&'a self, counter: impl Fn(&'a WorkerCounters) -> &'a Counter) -> u64 {
        self.shared.workers.iter().map(|worker| counter(&worker.counters).get()).sum()
    }
}
