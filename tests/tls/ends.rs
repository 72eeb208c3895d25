//! Ends of connections: what is whole ends with a word, what is cut does not (RFC 8446, section 6.1; RFC 9112, section 9.8).

use super::stage::Stage;
use crate::harness::{Backend, Broken, GET, Method, OK, Setup, Signal, eventually};

#[test]
fn whole_answers_end_with_a_word() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok");
        Ok(())
    });
    let stage = Stage::ready();
    let front = stage.front(&backend);
    for request in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"] {
        let mut wire = stage.client().connect(front.address());
        wire.send(request);
        assert!(wire.read_to_end().is_ok(), "{request}");
    }
}

#[test]
fn cut_answers_end_without() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        Ok(())
    });
    let stage = Stage::ready();
    let front = stage.front(&backend);
    let mut wire = stage.client().connect(front.address());
    wire.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(wire.read_to_end(), Err(Broken::Reset));
}

#[test]
fn idle_connections_are_told_of_their_end() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = Setup::new(&backend).listener(&stage.tls()).listener("timeouts = { keep_alive = \"100ms\" }").start();
    let mut wire = stage.client().connect(front.address());
    wire.exchange(GET);
    assert_eq!(wire.read_to_end(), Ok(Vec::new()));
}

#[test]
fn a_stop_lets_running_exchanges_finish() {
    let backend = Backend::serving(|conn| {
        conn.head()?;
        conn.wire.read_exactly(1)?;
        conn.send(OK);
        Ok(())
    });
    let stage = Stage::ready();
    let mut front = stage.front(&backend);
    let mut wire = stage.client().connect(front.address());
    let mut idle = stage.client().connect(front.address());
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    eventually("the backend is asked", || backend.requests().len() == 1);
    front.signal(Signal::TERM);
    assert_eq!(idle.read_to_end(), Ok(Vec::new()));
    wire.send("x");
    assert_eq!(wire.answer(Method::Other).body, b"ok");
    assert!(front.wait_for_end().success());
}

#[test]
fn requests_that_come_with_the_handshake_are_heard() {
    // What a client sends in the same breath as its last handshake message is part of the first read.
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = stage.front(&backend);
    for _ in 0..50 {
        let mut wire = stage.client().connect(front.address());
        wire.send(GET.repeat(2));
        for _ in 0..2 {
            assert_eq!(wire.answer(Method::Other).body, b"ok");
        }
    }
}

#[test]
fn a_client_that_goes_away_is_noticed() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.until_closed();
        Ok(())
    });
    let stage = Stage::ready();
    let front = stage.front(&backend);
    let mut wire = stage.client().connect(front.address());
    wire.send(GET);
    eventually("the backend is asked", || backend.requests().len() == 1);
    drop(wire);
    eventually("it is counted", || front.counter("aborted") == 1);
}
