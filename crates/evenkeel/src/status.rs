//! `evenkeel status`: what the running process does, as tables.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::calendar::{age, span};
use crate::check::pretty;
use crate::cli;
use crate::client;
use crate::columns::Align::{Left, Right};
use crate::columns::Columns;
use crate::failure::{Done, Failure};
use crate::output;

/// What of `GET /api/v1/status` is shown; the document at /api/v1/openapi.json has the whole.
#[derive(Debug, Deserialize)]
struct Status {
    process: Process,
    listeners: Vec<Listener>,
    pools: Vec<Pool>,
}

#[derive(Debug, Deserialize)]
struct Process {
    version: String,
    pid: u32,
    state: String,
    uptime_s: u64,
    generation: u64,
    workers: usize,
    connections: u64,
    connections_limit: u64,
    overload: Overload,
}

#[derive(Debug, Deserialize)]
struct Overload {
    short_of: Option<String>,
    refused_percent: f64,
    shed: u64,
}

#[derive(Debug, Deserialize)]
struct Listener {
    name: String,
    addresses: Vec<String>,
    connections: u64,
    requests: u64,
    status_4xx: u64,
    status_5xx: u64,
    #[serde(default)]
    tls: Tls,
}

#[derive(Debug, Default, Deserialize)]
struct Tls {
    certificates: Vec<Certificate>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Certificate {
    name: String,
    kind: String,
    issuer: String,
    file: String,
    until_ms: i64,
}

#[derive(Debug, Deserialize)]
struct Pool {
    name: String,
    policy: String,
    #[serde(default)]
    circuit: Circuit,
    queue: Queue,
    backends: Vec<Backend>,
}

#[derive(Debug, Default, Deserialize)]
struct Circuit {
    state: String,
    reason: String,
    since_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Queue {
    waiting: u64,
    queued: u64,
    full: u64,
    shed: u64,
    surge: bool,
    timeouts: u64,
    longest_ms: f64,
}

#[derive(Debug, Deserialize)]
struct Backend {
    name: String,
    address: String,
    state: String,
    reason: String,
    since_ms: u64,
    max_requests: Option<u64>,
    active: u64,
    idle: u64,
    requests: u64,
    errors: u64,
    failures: u64,
    retries: u64,
    first_byte_mean_ms: Option<f64>,
}

pub(crate) fn carry_out(args: &cli::Status) -> Done {
    let value = client::ask(&args.reach, "/api/v1/status")?;
    if args.form.json {
        output::print(&pretty(&value))?;
        return Ok(());
    }
    let status: Status = serde_json::from_value(value).map_err(|error| {
        Failure::refused(
            format!("the answer of the process is not understood: {error}"),
            "it may be of another version (`evenkeel --version`); `--json` shows it as it is",
        )
    })?;
    output::print(&tables(&status, SystemTime::now()))?;
    Ok(())
}

fn tables(status: &Status, now: SystemTime) -> String {
    let mut text = summary(&status.process);
    text.push_str(&overload(&status.process.overload));
    text.push_str(&listeners(&status.listeners));
    text.push_str(&certificates(&status.listeners, now));
    for pool in &status.pools {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\npool {} ({}){}\n{}{}",
            pool.name,
            pool.policy,
            circuit(&pool.circuit, now),
            queue(pool),
            backends(pool, now)
        );
    }
    text
}

fn summary(process: &Process) -> String {
    format!(
        "evenkeel {}, process {}: {} for {}, plan {}, workers {}, connections {} of {}\n\n",
        process.version,
        process.pid,
        process.state,
        span(Duration::from_secs(process.uptime_s)),
        process.generation,
        process.workers,
        process.connections,
        process.connections_limit,
    )
}

/// What is said of an overload, if there is one.
fn overload(overload: &Overload) -> String {
    match &overload.short_of {
        Some(what) => format!(
            "OVERLOADED: short of {what}, {} % of requests are refused, {} so far\n\n",
            overload.refused_percent, overload.shed
        ),
        None => String::new(),
    }
}

/// The line about a pool's queue, where a backend has a cap.
fn queue(pool: &Pool) -> String {
    if pool.backends.iter().all(|backend| backend.max_requests.is_none()) {
        return String::new();
    }
    let Queue { waiting, queued, full, shed, surge, timeouts, longest_ms } = &pool.queue;
    let state = if *surge { "SURGE: more requests come than can be served; " } else { "" };
    format!(
        "{state}queue: {waiting} wait, {queued} have, {longest_ms:.0} ms at most; refused: {full} full, {shed} in surges, \
         {timeouts} too late\n"
    )
}

fn listeners(listeners: &[Listener]) -> String {
    let mut columns = Columns::new(&[
        ("LISTENER", Left),
        ("ADDRESS", Left),
        ("CONNECTIONS", Right),
        ("REQUESTS", Right),
        ("4XX", Right),
        ("5XX", Right),
    ]);
    for listener in listeners {
        columns.row([
            listener.name.clone(),
            listener.addresses.join(", "),
            listener.connections.to_string(),
            listener.requests.to_string(),
            listener.status_4xx.to_string(),
            listener.status_5xx.to_string(),
        ]);
    }
    columns.text()
}

/// The certificates of all listeners, and why a change was not taken.
fn certificates(listeners: &[Listener], now: SystemTime) -> String {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let mut text = String::new();
    let mut columns =
        Columns::new(&[("CERTIFICATE", Left), ("KIND", Left), ("EXPIRES", Right), ("ISSUER", Left), ("FILE", Left)]);
    let now_ms = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let mut any = false;
    for listener in listeners {
        if let Some(error) = &listener.tls.error {
            // Writing to a String cannot fail.
            let _ = write!(text, "\nlistener {}: CERTIFICATES NOT TAKEN: {error}\n", listener.name);
        }
        for certificate in &listener.tls.certificates {
            any = true;
            let days = (certificate.until_ms - now_ms).div_euclid(DAY_MS);
            let expires = if certificate.until_ms < now_ms { "EXPIRED".to_owned() } else { format!("in {days} days") };
            let Certificate { name, kind, issuer, file, .. } = certificate;
            columns.row([name.clone(), kind.clone(), expires, issuer.clone(), file.clone()]);
        }
    }
    if any {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}", columns.text());
    }
    text
}

/// Nothing while requests pass.
fn circuit(circuit: &Circuit, now: SystemTime) -> String {
    let since = circuit.since_ms.filter(|_| circuit.state != "closed");
    since.map_or_else(String::new, |since| {
        format!(", circuit {} for {}: {}", circuit.state, age(since, now), circuit.reason)
    })
}

fn backends(pool: &Pool, now: SystemTime) -> String {
    let mut columns = Columns::new(&[
        ("BACKEND", Left),
        ("STATE", Left),
        ("SINCE", Right),
        ("ACTIVE", Right),
        ("IDLE", Right),
        ("REQUESTS", Right),
        ("ERRORS", Right),
        ("FAILURES", Right),
        ("RETRIES", Right),
        ("MEAN MS", Right),
        ("REASON", Left),
    ]);
    for backend in &pool.backends {
        columns.row([
            named(backend),
            backend.state.clone(),
            age(backend.since_ms, now),
            active(backend),
            backend.idle.to_string(),
            backend.requests.to_string(),
            backend.errors.to_string(),
            backend.failures.to_string(),
            backend.retries.to_string(),
            backend.first_byte_mean_ms.map_or("-".to_owned(), |ms| format!("{ms:.1}")),
            backend.reason.clone(),
        ]);
    }
    columns.text()
}

/// What runs, and the cap where there is one.
fn active(backend: &Backend) -> String {
    match backend.max_requests {
        Some(cap) => format!("{} of {cap}", backend.active),
        None => backend.active.to_string(),
    }
}

/// The name, and the address where it says more.
fn named(backend: &Backend) -> String {
    if backend.name == backend.address {
        backend.name.clone()
    } else {
        format!("{} ({})", backend.name, backend.address)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn tables_say_what_there_is_and_why() {
        let status: Status = serde_json::from_value(serde_json::json!({
            "process": { "version": "0.1.0", "pid": 7, "state": "ready", "uptime_s": 4_000, "generation": 1,
                "workers": 2, "connections": 3, "connections_limit": 100_000,
                "overload": { "short_of": "memory", "refused_percent": 12.5, "shed": 7 } },
            "listeners": [{ "name": "web", "addresses": ["0.0.0.0:80"], "connections": 3, "requests": 120,
                "status_4xx": 2, "status_5xx": 0 }],
            "pools": [{ "name": "app", "policy": "round-robin",
                "queue": { "waiting": 5, "queued": 90, "full": 1, "shed": 2, "surge": true, "timeouts": 3, "longest_ms": 21.5 },
                "circuit": { "state": "half-open", "reason": "60 of 80 attempts failed; 1 of 3 trials passed",
                  "since_ms": 57_000 }, "backends": [
                { "name": "a", "address": "10.0.0.11:8080", "state": "ready", "reason": "probes pass",
                  "since_ms": 1_000, "max_requests": 8, "active": 1, "idle": 4, "requests": 118, "errors": 0, "failures": 0, "retries": 2,
                  "first_byte_mean_ms": 1.25 },
                { "name": "10.0.0.12:8080", "address": "10.0.0.12:8080", "state": "down",
                  "reason": "3 probes failed: connection refused", "since_ms": 58_000, "active": 0, "idle": 0,
                  "requests": 0, "errors": 0, "failures": 2, "retries": 0, "first_byte_mean_ms": null },
            ]}],
        }))
        .unwrap();
        insta::assert_snapshot!(tables(&status, UNIX_EPOCH + Duration::from_secs(61)));
    }
}
