//! What is written down, and how much of it.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Backend, Evenkeel, GET, OK, Setup, eventually, free_port};

/// The lines of an access log so far.
fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn wait_for_lines(file: &Path, count: usize) -> Vec<Value> {
    eventually("the lines are written", || lines(file).len() >= count);
    lines(file)
}

fn logging(backend: &Backend, write: &str, file: &Path) -> Evenkeel {
    Setup::new(backend).access_log(&format!("write = \"{write}\"\nto = \"{}\"", file.display())).start()
}

#[test]
fn access_log_has_a_line_of_json_for_each_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.log");
    let backend = Backend::answering(OK);
    let front = logging(&backend, "all", &file);
    front.exchange("GET /a?b=\"c\" HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    front.exchange("GET / HTTP/1.1\r\n\r\n");
    let mut client = front.client();
    for _ in 0..100 {
        client.exchange(GET);
    }
    let all = wait_for_lines(&file, 102);
    assert_eq!(all.len(), 102);
    let first = &all[0];
    assert_eq!(
        (&first["status"], &first["method"], &first["host"]),
        (&200.into(), &"GET".into(), &"shop.example".into())
    );
    assert_eq!((&first["pool"], &first["attempts"], &first["answer_bytes"]), (&"app".into(), &1.into(), &2.into()));
    assert_eq!(first["backend"], backend.address);
    assert_eq!(first["request_id"], backend.requests()[0].value("X-Request-Id"));
    assert!(first["timers_ms"]["total"].as_f64().is_some(), "{first}");
    assert_eq!((&all[1]["status"], &all[1]["cause"]), (&400.into(), &"bad-request".into()));
}

#[test]
fn access_log_of_errors_has_errors_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("errors.log");
    let backend = Backend::serving(|conn| {
        loop {
            let status = conn.request()?.target()[1..].to_owned();
            conn.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let front = logging(&backend, "errors", &file);
    for status in [200, 404, 500, 302] {
        front.exchange(format!("GET /{status} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    front.exchange("bad\r\n\r\n");
    let all = wait_for_lines(&file, 2);
    let statuses: Vec<&Value> = all.iter().map(|line| &line["status"]).collect();
    assert_eq!(statuses, [500, 400]);
}

#[test]
fn lines_cannot_be_forged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.log");
    let backend = Backend::answering(OK);
    let front = logging(&backend, "all", &file);
    front.exchange("G\"ET\\u000a /\",\"status\":200} HTTP/1.1\r\nHost: a\r\n\r\n");
    front.exchange("GET /\",\"status\":200}%0a HTTP/1.1\r\nHost: a\r\n\r\n");
    front.exchange("GET / HTTP/1.1\r\nHost: \"a\r\n\r\n");
    assert_eq!(wait_for_lines(&file, 3).len(), 3);
}

#[test]
fn flood_of_failures_does_not_flood_the_log() {
    // Else each would wait for the backend to return.
    let front = Setup::over([format!("127.0.0.1:{}", free_port())]).pool("retry = { tries = 1 }").start();
    let began = Instant::now();
    let mut client = front.client();
    for _ in 0..2000 {
        assert_eq!(client.exchange(GET).status(), 502);
    }
    eventually("failures are on record", || front.failures().len() >= 1000);
    let told = front.log().lines().filter(|line| line.contains("exchange failed")).count();
    // Ten a second, and a second that has begun counts whole.
    let most = 10 * (began.elapsed().as_secs() + 2);
    assert!((1..=most).contains(&(told as u64)), "{told} lines for 2,000 failures, at most {most}");
}

#[test]
fn every_request_ends_in_exactly_one_count() {
    let backend = Backend::serving(|conn| {
        loop {
            let status = conn.request()?.target()[1..].to_owned();
            conn.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let front = Setup::new(&backend).workers(2).start();
    let talk = || {
        let mut client = front.client();
        for status in ["200", "201", "301", "404", "500", "418"].repeat(50) {
            client.exchange(format!("GET /{status} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(talk))));
    for (class, count) in [("status_2xx", 400), ("status_3xx", 200), ("status_4xx", 400), ("status_5xx", 200)] {
        front.wait_for_counter(class, count);
    }
    assert_eq!(front.counter("requests"), 1200);
    assert_eq!(front.backends("requests")[0], 1200);
    assert_eq!(front.backends("errors")[0], 200);
    assert_eq!(front.backends("attempts")[0], 1200);
}
