//! Hedged requests: a second attempt beside a slow first one. The drill prints what that does to the slowest answers, and
//! what it costs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Backend, Evenkeel, GET, Method, OK, PATIENCE, Setup, Wire, eventually, figure};

const CLIENTS: u64 = 8;
const REQUESTS: u64 = 500;
/// How long a backend stalls now and then.
const STALL: Duration = Duration::from_millis(400);

/// Stalls for one request in twenty-five.
fn stalling_now_and_then() -> Backend {
    let asked = Arc::new(AtomicU64::new(0));
    Backend::serving(move |conn| {
        loop {
            conn.wire.read_head()?;
            if asked.fetch_add(1, Ordering::SeqCst) % 25 == 24 {
                std::thread::sleep(STALL);
            }
            conn.send(OK);
        }
    })
}

/// What each request took, sorted.
fn latencies(front: &Evenkeel) -> Vec<Duration> {
    let client = || {
        let mut wire = Wire::connect(front.address());
        let mut took = Vec::new();
        for _ in 0..REQUESTS {
            let asked = Instant::now();
            wire.send(GET);
            assert_eq!(wire.answer(Method::Other).status(), 200);
            took.push(asked.elapsed());
        }
        took
    };
    let mut all: Vec<Duration> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    all.sort_unstable();
    all
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

#[test]
fn drill_hedging_cuts_the_tail_within_its_budget() {
    for workers in [1, 4] {
        let measure = |pool: &str| {
            let (one, two) = (stalling_now_and_then(), Backend::answering(OK));
            let front =
                Setup::over([&one.address, &two.address].map(String::as_str)).workers(workers).pool(pool).start();
            let began = Instant::now();
            let took = latencies(&front);
            (p99(&took), front.sum("attempts"), front.sum("hedges_won"), began.elapsed(), front)
        };
        let (without, attempts, hedged, ..) = measure("");
        assert_eq!((attempts, hedged), (CLIENTS * REQUESTS, 0), "off unless chosen");
        let (with, attempts, won, lasted, front) = measure("hedge = { after = \"p95\", budget = 5 }");
        let extra = attempts - CLIENTS * REQUESTS;
        assert_eq!((front.sum("hedges"), front.sum("failures"), front.sum("retries")), (extra, 0, 0));
        assert!(won > 0 && front.sum("overtaken") == won);
        let budget = (CLIENTS * REQUESTS * 5 / 100).max(100 + 10 * (lasted.as_secs() + 2)) + 4;
        assert!(extra <= budget, "{extra} of {budget}");
        // One request in fifty stalls.
        assert!(without >= STALL, "{without:?}");
        assert!(with < without, "{with:?} with hedging, {without:?} without");
        figure(&format!(
            "one of two backends stalls for {} ms at one request in 25, {workers} worker(s): p99 {:.1} ms without hedging, \
             {:.1} ms with; {extra} second attempts for {} requests ({:.1} % more load), {won} of them won",
            STALL.as_millis(),
            without.as_secs_f64() * 1e3,
            with.as_secs_f64() * 1e3,
            CLIENTS * REQUESTS,
            extra as f64 * 100.0 / (CLIENTS * REQUESTS) as f64,
        ));
    }
}

#[test]
fn only_chosen_routes_are_hedged_and_the_log_says_so() {
    for workers in [1, 4] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("all.log");
        let (hung, good) = (Backend::silent(), Backend::answering(OK));
        let front = Setup::over([&hung.address, &good.address].map(String::as_str))
            .workers(workers)
            .access_log(&format!("write = \"all\"\nto = \"{}\"", file.display()))
            .pool("policy = \"first\"\ntimeouts = { first_byte = \"300ms\" }\neject = \"off\"")
            .more("[[route]]\npath = \"/fast\"\npool = \"app\"\nhedge = { after = \"20ms\" }")
            .start();
        let ask = |method: &str, path: &str| {
            front
                .exchange(format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n\r\n"))
                .status()
        };
        assert_eq!((ask("GET", "/fast"), front.sum("hedges_won"), front.sum("retries")), (200, 1, 0));
        assert_eq!(ask("POST", "/fast"), 504);
        assert_eq!((ask("GET", "/other"), front.sum("hedges"), front.sum("retries")), (200, 1, 1));
        let lines = || std::fs::read_to_string(&file).unwrap_or_default();
        eventually("all is logged", || lines().lines().count() == 3);
        // Workers write their lines when they have time: in any order.
        let (lines, hedge) = (lines(), "\"hedge\"");
        let first: Value = serde_json::from_str(lines.lines().find(|line| line.contains(hedge)).unwrap()).unwrap();
        assert_eq!((&first["hedge"], &first["attempts"]), (&"won".into(), &2.into()));
        assert_eq!((&first["backend"], &first["cause"]), (&good.address.as_str().into(), &Value::Null));
        assert_eq!(lines.lines().filter(|line| line.contains(hedge)).count(), 1);
    }
}

#[test]
fn a_body_that_has_not_come_whole_is_never_sent_as_whole_by_a_second_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let (deaf, is_deaf) = std::sync::mpsc::channel();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    // Over a Unix socket, who reads no more may still be silent for as long as it likes.
    let first = Backend::unix(folder.path().join("first.sock"), move |conn| {
        conn.head()?;
        conn.wire.stop_reading();
        let _ = deaf.send(());
        let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        Ok(())
    });
    let second = Backend::answering(OK);
    let front = Setup::over([&first.address, &second.address].map(String::as_str))
        .pool("policy = \"first\"\ntimeouts = { first_byte = \"1s\" }\neject = \"off\"\nhedge = { after = \"100ms\" }")
        .pool("retry = { body_buffer = \"1MiB\" }")
        .start();
    let mut client = front.client();
    client.send("PUT / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    is_deaf.recv().unwrap();
    // More than is read before the first write fails.
    let body = "body".repeat(100_000);
    client.send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    assert_eq!(client.answer(Method::Other).status(), 200);
    assert!(second.request().body_text() == body, "{} bytes", second.request().body.len());
    done.send(()).unwrap();
}
