//! Floors under the rate of a body and of its taking: who dribbles is cut, who is only slow, or waits for others, is not.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::stage::bare;
use crate::harness::{Backend, Broken, Evenkeel, Method, OK, Setup, Wire, eventually};

/// A moment between two steps of somebody slow.
const STEP: Duration = Duration::from_millis(100);
/// Several times over which the average is taken in these tests.
const LONG: Duration = Duration::from_secs(4);
const BIG: usize = 16 * 1024 * 1024;

fn front(backend: &Backend, floors: &str) -> Evenkeel {
    let lines = format!("floors = {{ {floors}, over = \"1s\" }}");
    Setup::new(backend).listener(&lines).start()
}

/// A backend that answers everything with 16 MiB.
fn generous() -> Backend {
    Backend::serving(|conn| {
        conn.request()?;
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n"));
        conn.send(vec![b'x'; BIG]);
        Ok(())
    })
}

/// Sends this many bytes each step until told that the other side has had enough, or for so long.
fn dribble(client: &mut Wire, bytes: usize, lasting: Duration) {
    let began = Instant::now();
    while began.elapsed() < lasting && client.try_send(vec![b'b'; bytes]).is_ok() {
        std::thread::sleep(STEP);
    }
}

#[test]
fn a_body_that_dribbles_is_cut_with_408() {
    let backend = Backend::serving(|conn| conn.request().map(drop));
    let front = front(&backend, "body = \"240B\"");
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    let mut dribbling = Wire::tcp(client.stream().try_clone().unwrap());
    let at_it = std::thread::spawn(move || dribble(&mut dribbling, 1, Duration::from_secs(15)));
    let answer = client.answer(Method::Other);
    assert_eq!(answer.status(), 408);
    assert!(answer.value("Proxy-Status").contains("body-too-slow"), "{answer:?}");
    let failure = front.failure();
    assert_eq!((failure["cause"].as_str(), failure["status"].as_u64()), (Some("body-too-slow"), Some(408)));
    assert_eq!(front.counter("slow_bodies"), 1);
    assert_eq!(front.backends("failures")[0], 0, "the backend has done nothing wrong");
    drop(client);
    at_it.join().unwrap();
}

#[test]
fn a_body_that_dribbles_behind_an_early_answer_is_cut() {
    let backend = Backend::serving(|conn| {
        conn.head()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        conn.until_closed();
        Ok(())
    });
    let front = front(&backend, "body = \"240B\"");
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    assert_eq!(client.read_head().unwrap().status(), 200);
    dribble(&mut client, 1, Duration::from_secs(15));
    assert_eq!(front.failure()["cause"], "body-too-slow");
}

#[test]
fn a_body_that_is_slow_but_above_the_floor_passes() {
    let backend = Backend::answering(OK);
    let front = front(&backend, "body = \"240B\"");
    let mut client = front.client();
    let bytes = 100;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n"));
    let began = Instant::now();
    while began.elapsed() < LONG {
        client.send(format!("{}\r\n{bytes:x}\r\n", "b".repeat(bytes)));
        std::thread::sleep(STEP);
    }
    client.send(format!("{}\r\n0\r\n\r\n", "b".repeat(bytes)));
    assert_eq!(client.answer(Method::Other).status(), 200);
    assert_eq!(front.counter("slow_bodies"), 0);
}

#[test]
fn a_client_is_not_to_blame_for_a_backend_that_takes_its_time() {
    let backend = Backend::serving(|conn| {
        let mut request = conn.head()?;
        std::thread::sleep(LONG);
        conn.wire.read_body_of_request(&mut request)?;
        assert_eq!(request.body.len(), BIG);
        std::thread::sleep(LONG);
        conn.send(OK);
        Ok(())
    });
    let front = front(&backend, "body = \"1MiB\", drain = \"1MiB\"");
    let mut client = front.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BIG}\r\n\r\n"));
    client.send(vec![b'b'; BIG]);
    assert_eq!(client.answer(Method::Other).status(), 200);
}

#[test]
fn a_client_that_is_asked_to_wait_with_its_body_may_wait() {
    let backend = Backend::serving(|conn| {
        let mut request = conn.head()?;
        std::thread::sleep(LONG);
        conn.send("HTTP/1.1 100 Continue\r\n\r\n");
        conn.wire.read_body_of_request(&mut request)?;
        conn.send(OK);
        Ok(())
    });
    let front = front(&backend, "body = \"1MiB\"");
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read_head().unwrap().status(), 100);
    client.send("hi");
    assert_eq!(client.answer(Method::Other).status(), 200);
}

#[test]
fn events_that_come_seldom_are_nobodys_fault() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
        for _ in 0..4 {
            std::thread::sleep(LONG / 4);
            conn.send("data: x\n\n");
        }
        Ok(())
    });
    let front = front(&backend, "body = \"1MiB\", drain = \"1MiB\"");
    let answer = front.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.body.len(), 4 * "data: x\n\n".len());
}

#[test]
fn a_reader_who_sips_is_cut() {
    let backend = generous();
    let front = front(&backend, "drain = \"1KiB\"");
    let mut client = bare(front.address());
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    client.set_read_timeout(Some(STEP)).unwrap();
    let (mut sip, mut taken) = ([0; 10], 0);
    eventually("it is cut", || {
        taken += client.read(&mut sip).unwrap_or(0);
        std::thread::sleep(STEP);
        front.counter("slow_readers") == 1
    });
    assert!(taken < 10_000);
    let failure = front.failure();
    assert_eq!((failure["cause"].as_str(), failure["status"].as_u64()), (Some("client-too-slow"), Some(200)));
    assert_eq!(front.backends("failures")[0], 0);
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest);
    assert!(taken + rest.len() < BIG, "it sees that it has not got all");
}

#[test]
fn a_reader_above_the_floor_is_not_cut_though_the_kernel_takes_nothing_for_long() {
    let backend = generous();
    let patience = "timeouts = { body = \"2s\" }\nfloors = { drain = \"1KiB\", over = \"2s\" }";
    let front = Setup::new(&backend).listener(patience).start();
    let mut client = bare(front.address());
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let (mut room, began) = (vec![0; 16 * 1024], Instant::now());
    while began.elapsed() < 2 * LONG {
        client.read_exact(&mut room).unwrap();
        std::thread::sleep(STEP);
    }
    assert_eq!((front.counter("slow_readers"), front.counter("aborted")), (0, 0));
}

#[test]
fn floors_that_are_off_cut_nobody() {
    let backend = Backend::serving(|conn| conn.request().map(drop));
    let front = front(&backend, "body = \"off\", drain = \"off\"");
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    dribble(&mut client, 1, LONG);
    client.set_patience(STEP);
    assert_eq!(client.read_answer(Method::Other).unwrap_err(), Broken::Silent);
    assert!(front.failures().is_empty());
}
