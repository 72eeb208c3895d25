//! The end of an exchange: counters and the access log line.
//!
//! Owns the fields of the log (docs/log.md lists them). A line is one JSON object, made only when it is wanted.

use std::time::{Duration, SystemTime};

use policy::plan::LogWrite;
use serde::Serialize;
use wire::grpc::Status;
use wire::head::Version;

use crate::cause::Cause;
use crate::clock::Instant;
use crate::exchange::Facts;
use crate::report::Report;
use crate::seam::Downstream;
use crate::worker::Worker;

/// One line of the access log.
#[derive(Serialize)]
struct Line<'a> {
    /// When the request arrived, Unix time in milliseconds.
    time_ms: u64,
    listener: &'a str,
    client: String,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    version: &'static str,
    /// Status that the client got; 0 if none.
    status: u16,
    /// Why it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    /// How a gRPC call ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'a str>,
    attempts: u32,
    /// Whether the second of two that ran side by side answered first.
    #[serde(skip_serializing_if = "Option::is_none")]
    hedge: Option<&'static str>,
    request_id: &'a str,
    request_bytes: u64,
    answer_bytes: u64,
    timers_ms: Timers,
}

/// Phases of an exchange in milliseconds; what did not happen is left out.
#[derive(Serialize)]
struct Timers {
    /// First byte of the request head to its end.
    head: f64,
    /// Waits for a backend with room.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<f64>,
    /// Its end to the start of the last attempt: earlier attempts and waits in the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    before_attempt: Option<f64>,
    /// Start of the last attempt to its new connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<f64>,
    /// Start of the last attempt to the end of the answer's head.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte: Option<f64>,
    /// The rest: answer's head to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<f64>,
    /// First byte of the request to the end.
    total: f64,
}

/// Counts an exchange and logs it where that is wanted.
pub(crate) fn finish<D: Downstream>(worker: &Worker, down: &D, facts: &Facts) {
    count(worker, down, facts);
    // A client that goes away is its own affair, and a flood that is refused must not become one of lines.
    let quiet = |cause: Cause| cause == Cause::ClientGone || cause.comes_in_floods();
    let flood = facts.cause.is_some_and(Cause::comes_in_floods);
    let failed = !flood && (facts.status >= 500 || facts.cause.is_some_and(|cause| !quiet(cause)));
    let wanted = wanted(worker, failed);
    if failed || wanted {
        let line = line(worker, down, facts);
        if failed {
            worker.report(Report::Failure(line.clone()));
        }
        if wanted {
            worker.log(&line);
        }
    }
}

fn wanted(worker: &Worker, failed: bool) -> bool {
    match worker.plan.access_log.write {
        LogWrite::Off => false,
        LogWrite::Errors => failed,
        LogWrite::All => true,
        LogWrite::Sampled => failed || worker.rng.borrow_mut().below(u64::from(worker.plan.access_log.one_in)) == 0,
    }
}

fn count<D: Downstream>(worker: &Worker, down: &D, facts: &Facts) {
    let counters = &worker.counters().listeners[usize::from(down.peer().listener.0)];
    match facts.status / 100 {
        // 499 is for the log: nobody got it.
        _ if !facts.answer_begun => {}
        2 => counters.status_2xx.add(1),
        3 => counters.status_3xx.add(1),
        4 => counters.status_4xx.add(1),
        5 => counters.status_5xx.add(1),
        _ => {}
    }
    if let Some(status) = facts.call.and_then(|call| call.status) {
        counters.calls.add(1);
        counters.failed_calls.add(u64::from(status != Status::Ok));
    }
    match facts.cause {
        Some(Cause::ClientGone | Cause::ClientStalled) => counters.aborted.add(1),
        Some(Cause::BodyTooSlow) => counters.slow_bodies.add(1),
        Some(Cause::ClientTooSlow) => counters.slow_readers.add(1),
        Some(Cause::Truncated | Cause::IdleTimeout) if facts.answer_begun => counters.truncated.add(1),
        // Those without a route were refused by their heads, and counted there.
        Some(Cause::BadRequest { .. } | Cause::BodyTooLarge) if facts.route.is_some() => counters.refused.add(1),
        _ => {}
    }
}

fn line<D: Downstream>(worker: &Worker, down: &D, facts: &Facts) -> String {
    let (request, buf) = down.head();
    let pool = facts.pool.map(|id| worker.plan.pool(id));
    let text = |bytes| String::from_utf8_lossy(bytes);
    let line = Line {
        time_ms: unix_ms(facts.times.arrived),
        listener: &worker.plan.listeners[usize::from(down.peer().listener.0)].name,
        client: facts.client.to_string(),
        method: &text(request.method_span.of(buf)),
        host: &text(request.authority.of(buf)),
        // Of a request whose line could not be read, nothing is known.
        path: &text(if request.method_span.is_empty() { b"" } else { request.path(buf) }),
        version: match request.version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        },
        status: facts.status,
        cause: facts.cause.map(Cause::code),
        detail: facts.cause.map(Cause::sentence),
        grpc_status: facts.call.and_then(|call| call.status).map(Status::name),
        route: facts.route.map(|id| worker.plan.route(id).name.as_str()),
        pool: pool.map(|pool| pool.name.as_str()),
        backend: pool.zip(facts.backend).map(|(pool, backend)| pool.backends[backend].name.as_str()),
        attempts: facts.attempts,
        hedge: facts.hedged.map(|hedged| hedged.name()),
        request_id: &text(facts.request_id.bytes(buf)),
        request_bytes: facts.request_bytes,
        answer_bytes: facts.answer_bytes,
        timers_ms: timers(facts),
    };
    // The line has no map keys that could fail to serialise.
    serde_json::to_string(&line).unwrap_or_default()
}

fn timers(facts: &Facts) -> Timers {
    let times = &facts.times;
    let now = Instant::now();
    let rounded = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let ms = |from: Instant, to: Instant| rounded(to.saturating_duration_since(from));
    let attempted = times.attempted;
    Timers {
        head: ms(times.arrived, times.started),
        queue: times.queued.map(rounded),
        before_attempt: attempted.map(|at| ms(times.started, at)),
        connect: attempted.zip(times.connected).map(|(from, to)| ms(from, to)),
        first_byte: attempted.zip(times.first_byte).map(|(from, to)| ms(from, to)),
        answer: times.first_byte.map(|from| ms(from, now)),
        total: ms(times.arrived, now),
    }
}

/// The wall clock's reading for an instant of the recent past.
fn unix_ms(at: Instant) -> u64 {
    let ago = at.elapsed();
    let then = SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
    u64::try_from(then.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis()).unwrap_or(0)
}
