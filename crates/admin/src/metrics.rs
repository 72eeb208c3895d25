//! Metrics: declared once, as tables; docs/metrics.md lists the same ones, which a test compares.
//!
//! Made from the status at each scrape: nothing is counted twice.

use std::fmt;

use control::{
    BackendStatus, CertificateStatus, ListenerStatus, PoolStatus, ProcessState, ProcessStatus, RouteStatus, State,
    Status,
};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One metric of a process, listener or backend.
struct Metric<S: 'static> {
    /// Without `_total`.
    name: &'static str,
    kind: Kind,
    /// A label beside those that say whose metric it is.
    label: fn(&S) -> Option<Label>,
    value: fn(&S) -> Value,
    meaning: &'static str,
}

type Label = (&'static str, &'static str);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

#[derive(Clone, Copy)]
enum Value {
    Whole(u64),
    Real(f64),
}

use Kind::{Counter, Gauge};
use Value::{Real, Whole};

impl<S> Metric<S> {
    const fn new(name: &'static str, kind: Kind, value: fn(&S) -> Value, meaning: &'static str) -> Self {
        Self { name, kind, label: |_| None, value, meaning }
    }

    const fn labelled(mut self, label: fn(&S) -> Option<Label>) -> Self {
        self.label = label;
        self
    }
}

fn whole(value: usize) -> Value {
    Whole(u64::try_from(value).unwrap_or(u64::MAX))
}

fn flag(value: bool) -> Value {
    Whole(u64::from(value))
}

const PROCESS: &[Metric<ProcessStatus>] = &[
    Metric::new("evenkeel_build_info", Gauge, |_| Whole(1), "1; the version is the label")
        .labelled(|process| Some(("version", process.version))),
    Metric::new("evenkeel_start_time_seconds", Gauge, start_time, "start of the process, Unix time"),
    Metric::new("evenkeel_ready", Gauge, |p| flag(p.state == ProcessState::Ready), "1 while the process takes work"),
    Metric::new("evenkeel_plan_generation", Gauge, |p| Whole(p.generation), "number of the plan in force"),
    Metric::new("evenkeel_workers", Gauge, |p| whole(p.workers), "worker threads"),
    Metric::new("evenkeel_connections", Gauge, |p| whole(p.connections), "client connections open now"),
    Metric::new("evenkeel_connections_limit", Gauge, |p| whole(p.connections_limit), "limits.connections"),
    Metric::new(
        "evenkeel_access_log_lost_lines",
        Counter,
        |p| Whole(p.access_log_lost),
        "access log lines and other reports of workers that were lost: nobody took them in time, or they could not be written",
    ),
    Metric::new(
        "evenkeel_rate_limit_forgotten_keys",
        Counter,
        |p| Whole(p.forgotten_credits),
        "keys forgotten before their credit was whole, because too many others came",
    ),
    Metric::new("evenkeel_blocks", Gauge, |p| whole(p.blocks), "networks that are blocked now"),
    Metric::new("evenkeel_buffered_bytes", Gauge, |p| whole(p.buffered_bytes), "bytes of bodies that are buffered now"),
    Metric::new("evenkeel_buffered_limit_bytes", Gauge, |p| whole(p.buffered_limit), "limits.buffered"),
    Metric::new(
        "evenkeel_unbuffered_bodies",
        Counter,
        |p| Whole(p.unbuffered),
        "bodies that went on unbuffered because limits.buffered was reached",
    ),
    Metric::new(
        "evenkeel_overload_refused_ratio",
        Gauge,
        |p| Real(f64::from(p.overload.share) / 1000.0),
        "share of requests that is refused because the node is short of something",
    ),
    Metric::new(
        "evenkeel_worker_lag_seconds",
        Gauge,
        |p| Real(p.overload.lag.as_secs_f64()),
        "how long ready work waited for its turn, in the slowest worker",
    ),
    Metric::new("evenkeel_memory_bytes", Gauge, |p| Whole(p.overload.memory_bytes), "memory in use"),
    Metric::new(
        "evenkeel_memory_limit_bytes",
        Gauge,
        |p| Whole(p.overload.memory_limit),
        "memory that may be used; 0 is not known",
    ),
    Metric::new(
        "evenkeel_descriptors",
        Gauge,
        |p| Whole(p.overload.descriptors),
        "descriptors in use, as connections tell",
    ),
    Metric::new(
        "evenkeel_descriptors_limit",
        Gauge,
        |p| Whole(p.overload.descriptors_limit),
        "descriptors that may be open; 0 is no limit",
    ),
    shed_for_cpu(|p| Whole(p.overload.shed[0][0])).labelled(|_| Some(("urgency", "high"))),
    shed_for_cpu(|p| Whole(p.overload.shed[0][1])).labelled(|_| Some(("urgency", "normal"))),
    shed_for_cpu(|p| Whole(p.overload.shed[0][2])).labelled(|_| Some(("urgency", "low"))),
    shed_for_memory(|p| Whole(p.overload.shed[1][0])).labelled(|_| Some(("urgency", "high"))),
    shed_for_memory(|p| Whole(p.overload.shed[1][1])).labelled(|_| Some(("urgency", "normal"))),
    shed_for_memory(|p| Whole(p.overload.shed[1][2])).labelled(|_| Some(("urgency", "low"))),
    shed_for_descriptors(|p| Whole(p.overload.shed[2][0])).labelled(|_| Some(("urgency", "high"))),
    shed_for_descriptors(|p| Whole(p.overload.shed[2][1])).labelled(|_| Some(("urgency", "normal"))),
    shed_for_descriptors(|p| Whole(p.overload.shed[2][2])).labelled(|_| Some(("urgency", "low"))),
];

const fn shed_for_cpu(value: fn(&ProcessStatus) -> Value) -> Metric<ProcessStatus> {
    Metric::new("evenkeel_overload_cpu_refused_requests", Counter, value, "requests refused for want of CPU")
}

const fn shed_for_memory(value: fn(&ProcessStatus) -> Value) -> Metric<ProcessStatus> {
    Metric::new("evenkeel_overload_memory_refused_requests", Counter, value, "requests refused for want of memory")
}

const fn shed_for_descriptors(value: fn(&ProcessStatus) -> Value) -> Metric<ProcessStatus> {
    Metric::new(
        "evenkeel_overload_descriptors_refused_requests",
        Counter,
        value,
        "requests refused for want of descriptors",
    )
}

const LISTENER: &[Metric<ListenerStatus>] = &[
    Metric::new("evenkeel_listener_connections", Gauge, |l| Whole(l.connections), "connections open now"),
    Metric::new("evenkeel_listener_accepted_connections", Counter, |l| Whole(l.accepted), "connections accepted"),
    Metric::new(
        "evenkeel_listener_denied_connections",
        Counter,
        |l| Whole(l.denied),
        "connections refused by allow, deny or a missing PROXY header",
    ),
    Metric::new(
        "evenkeel_listener_over_limit_connections",
        Counter,
        |l| Whole(l.over_limit),
        "connections refused because limits.connections was reached",
    ),
    Metric::new("evenkeel_listener_requests", Counter, |l| Whole(l.requests), "requests whose head was read"),
    Metric::new(
        "evenkeel_listener_refused_requests",
        Counter,
        |l| Whole(l.refused),
        "requests refused as malformed or too large",
    ),
    Metric::new(
        "evenkeel_listener_limited_requests",
        Counter,
        |l| Whole(l.limited),
        "requests refused by a rate limit (429)",
    ),
    Metric::new(
        "evenkeel_listener_would_limit_requests",
        Counter,
        |l| Whole(l.would_limit),
        "requests that a rate limit with dry_run would have refused",
    ),
    Metric::new(
        "evenkeel_listener_over_client_limit_connections",
        Counter,
        |l| Whole(l.over_client_limit),
        "connections refused because limits.client_connections was reached",
    ),
    Metric::new("evenkeel_listener_grpc_calls", Counter, |l| Whole(l.calls), "gRPC calls that ended with a status"),
    Metric::new(
        "evenkeel_listener_failed_grpc_calls",
        Counter,
        |l| Whole(l.failed_calls),
        "those of them whose status is not ok, told by a backend or by us",
    ),
    Metric::new("evenkeel_listener_http2_connections", Counter, |l| Whole(l.http2), "connections that speak HTTP/2"),
    Metric::new(
        "evenkeel_listener_calmed_connections",
        Counter,
        |l| Whole(l.calmed),
        "HTTP/2 connections cut off for needless work (ENHANCE_YOUR_CALM)",
    ),
    Metric::new(
        "evenkeel_listener_shed_connections",
        Counter,
        |l| Whole(l.shed),
        "idle connections closed to make room for new ones",
    ),
    Metric::new(
        "evenkeel_listener_slow_bodies",
        Counter,
        |l| Whole(l.slow_bodies),
        "exchanges cut because their request body came too slowly",
    ),
    Metric::new(
        "evenkeel_listener_slow_readers",
        Counter,
        |l| Whole(l.slow_readers),
        "exchanges cut because their client took the answer too slowly",
    ),
    Metric::new(
        "evenkeel_listener_blocked",
        Counter,
        |l| Whole(l.blocked),
        "connections refused or closed and requests refused because their network is blocked",
    ),
    answers(|l| Whole(l.interim)).labelled(|_| Some(("class", "1xx"))),
    answers(|l| Whole(l.status_2xx)).labelled(|_| Some(("class", "2xx"))),
    answers(|l| Whole(l.status_3xx)).labelled(|_| Some(("class", "3xx"))),
    answers(|l| Whole(l.status_4xx)).labelled(|_| Some(("class", "4xx"))),
    answers(|l| Whole(l.status_5xx)).labelled(|_| Some(("class", "5xx"))),
    Metric::new(
        "evenkeel_listener_aborted_exchanges",
        Counter,
        |l| Whole(l.aborted),
        "exchanges whose client went away before the end",
    ),
    Metric::new(
        "evenkeel_listener_truncated_answers",
        Counter,
        |l| Whole(l.truncated),
        "answers cut short because the backend failed in the middle",
    ),
    Metric::new("evenkeel_listener_tunnels", Counter, |l| Whole(l.tunnels), "tunnels opened (101)"),
    Metric::new("evenkeel_listener_handshakes", Counter, |l| Whole(l.handshakes), "TLS handshakes finished"),
    Metric::new(
        "evenkeel_listener_resumed_handshakes",
        Counter,
        |l| Whole(l.resumed),
        "TLS handshakes that took up an earlier session",
    ),
    Metric::new(
        "evenkeel_listener_failed_handshakes",
        Counter,
        |l| Whole(l.handshake_failures),
        "TLS handshakes that failed, or were none",
    ),
    Metric::new(
        "evenkeel_listener_late_handshakes",
        Counter,
        |l| Whole(l.handshake_timeouts),
        "TLS handshakes that took too long",
    ),
    Metric::new(
        "evenkeel_listener_refused_handshakes",
        Counter,
        |l| Whole(l.handshakes_refused),
        "connections closed because too many waited for their TLS handshake",
    ),
    Metric::new(
        "evenkeel_listener_plain_requests",
        Counter,
        |l| Whole(l.plain_requests),
        "requests in plain text that were told to speak TLS (400)",
    ),
    Metric::new(
        "evenkeel_listener_certificate_reloads",
        Counter,
        |l| Whole(l.tls.as_ref().map_or(0, |tls| tls.reloads)),
        "times that certificate files changed and were taken",
    ),
    Metric::new(
        "evenkeel_listener_certificate_failed_reloads",
        Counter,
        |l| Whole(l.tls.as_ref().map_or(0, |tls| tls.failed_reloads)),
        "times that certificate files changed and could not be taken",
    ),
];

const CERTIFICATE: &[Metric<CertificateStatus>] = &[Metric::new(
    "evenkeel_certificate_not_after_seconds",
    Gauge,
    |c| Whole(u64::try_from(c.not_after).unwrap_or(0)),
    "end of the certificate, Unix time",
)];

const fn answers(value: fn(&ListenerStatus) -> Value) -> Metric<ListenerStatus> {
    Metric::new("evenkeel_listener_answers", Counter, value, "answers sent, by class of status")
}

const ROUTE: &[Metric<RouteStatus>] = &[
    Metric::new(
        "evenkeel_route_limited_requests",
        Counter,
        |r| Whole(r.limited),
        "requests refused by the route's rate limit (429)",
    ),
    Metric::new(
        "evenkeel_route_would_limit_requests",
        Counter,
        |r| Whole(r.would_limit),
        "requests that the route's rate limit with dry_run would have refused",
    ),
];

const POOL: &[Metric<PoolStatus>] = &[
    Metric::new(
        "evenkeel_pool_waiting_requests",
        Gauge,
        |p| Whole(p.queue.waiting),
        "requests that wait in the queue now",
    ),
    Metric::new("evenkeel_pool_queued_requests", Counter, |p| Whole(p.queue.queued), "requests that had to wait"),
    Metric::new(
        "evenkeel_pool_queue_full_requests",
        Counter,
        |p| Whole(p.queue.full),
        "requests refused because the queue was full",
    ),
    Metric::new(
        "evenkeel_pool_queue_shed_requests",
        Counter,
        |p| Whole(p.queue.shed),
        "requests refused early in a surge",
    ),
    Metric::new(
        "evenkeel_pool_surge",
        Gauge,
        |p| Whole(p.queue.surge.into()),
        "1 while more requests come than the pool can serve, so that hardly more may wait than run",
    ),
    Metric::new(
        "evenkeel_pool_queue_timeout_requests",
        Counter,
        |p| Whole(p.queue.timeouts),
        "requests refused because they had waited too long",
    ),
    Metric::new(
        "evenkeel_pool_queue_longest_wait_seconds",
        Gauge,
        |p| Real(p.queue.longest.as_secs_f64()),
        "longest wait since the start",
    ),
    Metric::new("evenkeel_pool_circuit_state", Gauge, |_| Whole(1), "1; the state of its circuit is the label")
        .labelled(|pool| Some(("state", pool.circuit.as_ref().map_or("off", |circuit| circuit.position.name())))),
    Metric::new(
        "evenkeel_pool_circuit_openings",
        Counter,
        |p| Whole(p.circuit.as_ref().map_or(0, |circuit| circuit.openings)),
        "times its circuit opened",
    ),
    Metric::new(
        "evenkeel_pool_circuit_refused_requests",
        Counter,
        |p| Whole(p.circuit_refused),
        "requests refused because its circuit was not closed",
    ),
];

fn takes_work(state: State) -> bool {
    matches!(state, State::Ready | State::SlowStart)
}

const BACKEND: &[Metric<BackendStatus>] = &[
    Metric::new("evenkeel_backend_ready", Gauge, |b| flag(takes_work(b.state)), "1 while it is ready or in slow start"),
    Metric::new("evenkeel_backend_state", Gauge, |_| Whole(1), "1; its state is the label")
        .labelled(|backend| Some(("state", backend.state.name()))),
    Metric::new("evenkeel_backend_weight", Gauge, |b| Whole(b.weight.into()), "share of work"),
    Metric::new(
        "evenkeel_backend_weight_permille",
        Gauge,
        |b| Whole(b.weight_permille.into()),
        "what it gets of its weight now, in thousandths",
    ),
    Metric::new("evenkeel_backend_active_attempts", Gauge, |b| Whole(b.active.into()), "attempts that run now"),
    Metric::new(
        "evenkeel_backend_max_requests",
        Gauge,
        |b| Whole(b.max_requests.unwrap_or(0).into()),
        "most attempts that may run at once now, as written or as found; 0 without a cap",
    ),
    Metric::new("evenkeel_backend_idle_connections", Gauge, |b| Whole(b.idle), "idle connections now"),
    Metric::new("evenkeel_backend_attempts", Counter, |b| Whole(b.attempts), "attempts begun"),
    Metric::new(
        "evenkeel_backend_requests",
        Counter,
        |b| Whole(b.requests),
        "exchanges that ended with an answer from it",
    ),
    Metric::new("evenkeel_backend_errors", Counter, |b| Whole(b.errors), "answers 5xx from it that were forwarded"),
    Metric::new("evenkeel_backend_failures", Counter, |b| Whole(b.failures), "attempts that failed"),
    Metric::new(
        "evenkeel_backend_faults",
        Counter,
        |b| Whole(b.faults),
        "attempts that failed through its fault, as passive health counts them",
    ),
    Metric::new("evenkeel_backend_ejections", Counter, |b| Whole(b.ejections), "times it was ejected"),
    Metric::new(
        "evenkeel_backend_false_ejections",
        Counter,
        |b| Whole(b.false_ejections),
        "ejections that its probes and the first trial spoke against",
    ),
    Metric::new("evenkeel_backend_retries", Counter, |b| Whole(b.retries), "attempts that repeated a failed one"),
    Metric::new(
        "evenkeel_backend_hedges",
        Counter,
        |b| Whole(b.hedges),
        "attempts that were the second of a hedged request",
    ),
    Metric::new("evenkeel_backend_hedges_won", Counter, |b| Whole(b.hedges_won), "those of them that answered first"),
    Metric::new(
        "evenkeel_backend_overtaken_attempts",
        Counter,
        |b| Whole(b.overtaken),
        "first attempts given up because the second had answered",
    ),
    Metric::new("evenkeel_backend_opened_connections", Counter, |b| Whole(b.connects), "connections opened"),
    Metric::new("evenkeel_backend_sent_bytes", Counter, |b| Whole(b.sent_bytes), "bytes of request bodies sent to it"),
    Metric::new(
        "evenkeel_backend_received_bytes",
        Counter,
        |b| Whole(b.received_bytes),
        "bytes of answer bodies received from it",
    ),
    Metric::new(
        "evenkeel_backend_first_byte_seconds",
        Counter,
        first_byte,
        "time from attempt to first byte, summed over requests: divide by them for the mean",
    ),
];

/// Only of backends that answered calls.
const CALLS: &[Metric<BackendStatus>] = &[
    grpc_calls(|b| Whole(b.calls[0])).labelled(|_| Some(("status", "ok"))),
    grpc_calls(|b| Whole(b.calls[1])).labelled(|_| Some(("status", "cancelled"))),
    grpc_calls(|b| Whole(b.calls[2])).labelled(|_| Some(("status", "unknown"))),
    grpc_calls(|b| Whole(b.calls[3])).labelled(|_| Some(("status", "invalid-argument"))),
    grpc_calls(|b| Whole(b.calls[4])).labelled(|_| Some(("status", "deadline-exceeded"))),
    grpc_calls(|b| Whole(b.calls[5])).labelled(|_| Some(("status", "not-found"))),
    grpc_calls(|b| Whole(b.calls[6])).labelled(|_| Some(("status", "already-exists"))),
    grpc_calls(|b| Whole(b.calls[7])).labelled(|_| Some(("status", "permission-denied"))),
    grpc_calls(|b| Whole(b.calls[8])).labelled(|_| Some(("status", "resource-exhausted"))),
    grpc_calls(|b| Whole(b.calls[9])).labelled(|_| Some(("status", "failed-precondition"))),
    grpc_calls(|b| Whole(b.calls[10])).labelled(|_| Some(("status", "aborted"))),
    grpc_calls(|b| Whole(b.calls[11])).labelled(|_| Some(("status", "out-of-range"))),
    grpc_calls(|b| Whole(b.calls[12])).labelled(|_| Some(("status", "unimplemented"))),
    grpc_calls(|b| Whole(b.calls[13])).labelled(|_| Some(("status", "internal"))),
    grpc_calls(|b| Whole(b.calls[14])).labelled(|_| Some(("status", "unavailable"))),
    grpc_calls(|b| Whole(b.calls[15])).labelled(|_| Some(("status", "data-loss"))),
    grpc_calls(|b| Whole(b.calls[16])).labelled(|_| Some(("status", "unauthenticated"))),
];

const fn grpc_calls(value: fn(&BackendStatus) -> Value) -> Metric<BackendStatus> {
    Metric::new("evenkeel_backend_grpc_calls", Counter, value, "gRPC calls that it answered, where there were any")
}

fn start_time(process: &ProcessStatus) -> Value {
    let since = process.started.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Real(since.as_secs_f64())
}

fn first_byte(backend: &BackendStatus) -> Value {
    Real(std::time::Duration::from_micros(backend.first_byte_us).as_secs_f64())
}

/// All metrics as text.
pub(crate) fn text(status: Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(status)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Scrape(Status);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = &self.0;
        encode(&mut encoder, PROCESS, &[(Vec::new(), &status.process)])?;
        let listeners: Vec<_> = status.listeners.iter().map(|l| (vec![("listener", l.name.as_str())], l)).collect();
        encode(&mut encoder, LISTENER, &listeners)?;
        let certificates: Vec<_> = status
            .listeners
            .iter()
            .flat_map(|l| l.tls.iter().flat_map(|tls| &tls.certificates).map(|c| (l.name.as_str(), c)))
            .map(|(l, c)| (vec![("listener", l), ("name", c.name.as_str()), ("serial", c.serial.as_str())], c))
            .collect();
        encode(&mut encoder, CERTIFICATE, &certificates)?;
        let routes: Vec<_> = status.routes.iter().map(|route| (vec![("route", route.name.as_str())], route)).collect();
        encode(&mut encoder, ROUTE, &routes)?;
        let pools: Vec<_> = status.pools.iter().map(|pool| (vec![("pool", pool.name.as_str())], pool)).collect();
        encode(&mut encoder, POOL, &pools)?;
        let backends: Vec<_> = status
            .pools
            .iter()
            .flat_map(|pool| pool.backends.iter().map(|backend| (pool.name.as_str(), backend)))
            .map(|(pool, backend)| (vec![("pool", pool), ("backend", backend.name.as_str())], backend))
            .collect();
        encode(&mut encoder, BACKEND, &backends)?;
        let answers_calls = |backend: &BackendStatus| backend.calls.iter().any(|&calls| calls > 0);
        let callees: Vec<_> = backends.into_iter().filter(|(_, backend)| answers_calls(backend)).collect();
        encode(&mut encoder, CALLS, &callees)
    }
}

/// Labels that say whose metrics they are, and what they are read from.
type Owner<'a, S> = (Vec<(&'static str, &'a str)>, &'a S);

/// Encodes a table; rows of one name are one metric.
fn encode<S>(encoder: &mut DescriptorEncoder<'_>, table: &[Metric<S>], owners: &[Owner<'_, S>]) -> fmt::Result {
    for rows in table.chunk_by(|a, b| a.name == b.name) {
        let kind = match rows[0].kind {
            Counter => MetricType::Counter,
            Gauge => MetricType::Gauge,
        };
        let mut metric = encoder.encode_descriptor(rows[0].name, rows[0].meaning, None, kind)?;
        for (labels, subject) in owners {
            for row in rows {
                let labels: Vec<_> = labels.iter().copied().chain((row.label)(subject)).collect();
                encode_sample(&mut metric, row.kind, &labels, (row.value)(subject))?;
            }
        }
    }
    Ok(())
}

fn encode_sample(metric: &mut MetricEncoder<'_>, kind: Kind, labels: &[(&str, &str)], value: Value) -> fmt::Result {
    if labels.is_empty() {
        return encode_value(metric, kind, value);
    }
    encode_value(&mut metric.encode_family(&labels)?, kind, value)
}

fn encode_value(metric: &mut MetricEncoder<'_>, kind: Kind, value: Value) -> fmt::Result {
    // No exemplars; the type is needed even so.
    type Exemplar = prometheus_client::metrics::exemplar::Exemplar<Vec<(String, String)>, f64>;
    const NONE: Option<&Exemplar> = None;
    match (kind, value) {
        (Counter, Whole(value)) => metric.encode_counter(&value, NONE),
        (Counter, Real(value)) => metric.encode_counter(&value, NONE),
        (Gauge, Whole(value)) => metric.encode_gauge(&value),
        (Gauge, Real(value)) => metric.encode_gauge(&value),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::samples;

    const DOCS: &str = include_str!("../../../docs/metrics.md");

    fn full_name<S>(metric: &Metric<S>) -> String {
        match metric.kind {
            Counter => format!("{}_total", metric.name),
            Gauge => metric.name.to_owned(),
        }
    }

    /// The lines that the docs page has for a table.
    fn lines<S>(table: &[Metric<S>], owner: &[&str], sample: &S) -> Vec<String> {
        let line = |rows: &[Metric<S>]| {
            let own = (rows[0].label)(sample).map(|(name, _)| name);
            let labels: Vec<String> = owner.iter().copied().chain(own).map(|name| format!("`{name}`")).collect();
            let kind = if rows[0].kind == Counter { "counter" } else { "gauge" };
            let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
            format!("| `{}` | {kind} | {labels} | {} |", full_name(&rows[0]), rows[0].meaning)
        };
        table.chunk_by(|a, b| a.name == b.name).map(line).collect()
    }

    fn all_lines() -> Vec<String> {
        let status = samples::status();
        [
            lines(PROCESS, &[], &status.process),
            lines(LISTENER, &["listener"], &status.listeners[0]),
            lines(
                CERTIFICATE,
                &["listener", "name", "serial"],
                &status.listeners[0].tls.as_ref().unwrap().certificates[0],
            ),
            lines(ROUTE, &["route"], &status.routes[0]),
            lines(POOL, &["pool"], &status.pools[0]),
            lines(BACKEND, &["pool", "backend"], &status.pools[0].backends[0]),
            lines(CALLS, &["pool", "backend"], &status.pools[0].backends[0]),
        ]
        .concat()
    }

    #[test]
    fn docs_list_exactly_these_metrics() {
        let documented: Vec<&str> = DOCS.lines().filter(|line| line.starts_with("| `evenkeel_")).collect();
        assert_eq!(documented.join("\n"), all_lines().join("\n"), "docs/metrics.md differs from the tables");
    }

    /// Name, labels and value of each sample.
    fn samples_of(text: &str) -> Vec<(String, String, f64)> {
        let sample = |line: &str| {
            let (left, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = left.split_once('{').unwrap_or((left, "}"));
            (name.to_owned(), labels.strip_suffix('}').unwrap().to_owned(), value.parse().unwrap())
        };
        text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
    }

    #[test]
    fn text_parses_and_has_every_metric() {
        let text = text(samples::status()).unwrap();
        assert!(text.ends_with("# EOF\n"));
        let names: BTreeSet<String> = samples_of(&text).into_iter().map(|(name, ..)| name).collect();
        let expected: BTreeSet<String> =
            all_lines().iter().map(|line| line.split('`').nth(1).unwrap().to_owned()).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn values_are_those_of_the_status() {
        let samples = samples_of(&text(samples::status()).unwrap());
        let value = |name: &str, labels: &str| {
            samples.iter().find(|(n, l, _)| n == name && l == labels).map(|(.., value)| *value)
        };
        let backend = "pool=\"app\",backend=\"10.0.0.11:8080\"";
        assert_eq!(value("evenkeel_listener_answers_total", "listener=\"web\",class=\"2xx\""), Some(990.0));
        assert_eq!(value("evenkeel_backend_requests_total", backend), Some(1000.0));
        assert_eq!(value("evenkeel_backend_first_byte_seconds_total", backend), Some(2.5));
        assert_eq!(value("evenkeel_backend_ready", backend), Some(1.0));
        assert_eq!(value("evenkeel_backend_state", &format!("{backend},state=\"ready\"")), Some(1.0));
        assert_eq!(value("evenkeel_backend_grpc_calls_total", &format!("{backend},status=\"unavailable\"")), Some(3.0));
        assert_eq!(value("evenkeel_connections", ""), Some(12.0));
    }

    #[test]
    fn label_values_are_escaped() {
        let mut status = samples::status();
        status.pools[0].name = "a\"b\\c\nd".to_owned();
        assert!(text(status).unwrap().contains(r#"pool="a\"b\\c\nd""#));
    }
}
