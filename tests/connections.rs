//! Client connections: how long they live and in which order they are served (RFC 9112, section 9).

use std::time::Duration;

use crate::harness::{Backend, Broken, GET, Method, OK, Setup, eventually};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";

#[test]
fn rfc9112_9_3_connections_persist_unless_told() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    for _ in 0..5 {
        assert!(!client.exchange(GET).has("Connection"));
    }
    let answer = client.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.lists("Connection", "close"), "{answer:?}");
    client.expect_close();
    assert_eq!(backend.connections(), 1, "the backend's connection is kept for others");
}

#[test]
fn rfc9112_9_3_old_clients_are_closed_unless_they_ask() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    let answer = client.exchange("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status(), answer.body_text().as_str()), (200, "ok"));
    client.expect_close();
    let mut client = front.client();
    for _ in 0..3 {
        let answer = client.exchange("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(answer.value("Connection"), "keep-alive");
    }
    let request = &backend.requests()[0];
    assert!(request.start_line().ends_with(" HTTP/1.1"), "{request:?}");
}

#[test]
fn rfc9112_7_1_old_clients_get_no_chunks() {
    let backend = Backend::answering(CHUNKED);
    let front = Setup::new(&backend).start();
    for connection in ["", "Connection: keep-alive\r\n"] {
        let mut client = front.client();
        client.send(format!("GET / HTTP/1.0\r\nHost: a\r\n{connection}\r\n"));
        let answer = client.answer(Method::Other);
        assert!(!answer.has("Transfer-Encoding"), "{answer:?}");
        assert_eq!((answer.body_text().as_str(), answer.value("Connection")), ("ok", "close"));
    }
}

#[test]
fn rfc9112_6_3_old_clients_see_an_answer_break_off() {
    let backend = Backend::closing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    // Where only the close says that the body has ended, only a reset can say that it has not.
    assert_eq!(client.read_answer(Method::Other), Err(Broken::Reset));
}

#[test]
fn rfc9112_9_3_2_pipelined_requests_are_answered_in_order() {
    let backend = Backend::serving(|conn| {
        loop {
            let request = conn.request()?;
            let body = format!("{} {}", request.target(), request.body_text());
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
    });
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    let mut all = String::new();
    for number in 0..200 {
        all += &match number % 3 {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
            _ => format!("POST /{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
        };
    }
    client.send(&all);
    for number in 0..200 {
        let body = ["", "abc", "x"][number % 3];
        assert_eq!(client.answer(Method::Other).body_text(), format!("/{number} {body}"));
    }
}

#[test]
fn rfc9112_9_3_2_nothing_is_served_behind_a_close() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    client.send(format!("GET /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{GET}{GET}"));
    assert_eq!(client.answer(Method::Other).status(), 200);
    client.expect_close();
    assert_eq!(backend.request().target(), "/first");
}

#[test]
fn pipelined_answers_never_mix_with_those_of_other_clients() {
    let backend = Backend::serving(|conn| {
        loop {
            let request = conn.request()?;
            let body = request.target().repeat(100);
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
    });
    let front = Setup::new(&backend).workers(2).start();
    let talk = |client: usize| {
        let mut wire = front.client();
        for round in 0..20 {
            let asked: Vec<String> = (0..10).map(|n| format!("/{client}-{round}-{n}")).collect();
            wire.send(asked.iter().map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).collect::<String>());
            for path in asked {
                assert_eq!(wire.answer(Method::Other).body_text(), path.repeat(100));
            }
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|client| scope.spawn(move || talk(client))).collect();
        for client in clients {
            client.join().unwrap();
        }
    });
}

#[test]
fn rfc9112_2_2_requests_may_come_in_any_pieces() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    let request =
        "\r\nPOST /a/../b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n";
    for byte in request.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.answer(Method::Other).status(), 200);
    let seen = backend.request();
    assert_eq!((seen.target(), seen.body_text().as_str(), seen.trailers.len()), ("/b", "abc", 1));
}

#[test]
fn answers_may_come_in_any_pieces() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n";
        for byte in answer.as_bytes() {
            conn.send([*byte]);
        }
        conn.until_closed();
        Ok(())
    });
    let answer = Setup::new(&backend).start().exchange(GET);
    assert_eq!((answer.body_text().as_str(), answer.trailers.len()), ("abc", 1));
}

#[test]
fn idle_clients_are_closed_in_time() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener("timeouts = { keep_alive = \"200ms\" }").start();
    let mut client = front.client();
    client.exchange(GET);
    client.expect_close();
}

#[test]
fn rfc9110_15_5_9_a_head_that_does_not_arrive_is_answered_408() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener("timeouts = { header = \"200ms\" }").start();
    let mut client = front.client();
    client.send("GET / HTTP/1.1\r\nHost:");
    assert_eq!(client.answer(Method::Other).status(), 408);
    client.expect_close();
    assert_eq!(front.failure()["cause"], "header-timeout");
    // Who says nothing at all gets no answer to it.
    front.client().expect_close();
    assert_eq!(backend.requests(), []);
}

#[test]
fn a_head_that_trickles_in_is_still_late() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener("timeouts = { header = \"300ms\" }").start();
    let mut client = front.client();
    client.set_patience(Duration::from_millis(20));
    client.send("GET / HTTP/1.1\r\n");
    let answer = loop {
        let _ = client.try_send("X-More: 1\r\n");
        match client.read_answer(Method::Other) {
            Err(Broken::Silent) => {}
            answer => break answer,
        }
    };
    assert_eq!(answer.map(|answer| answer.status()), Ok(408));
}

#[test]
fn rfc9110_15_5_9_a_body_that_stands_still_is_answered_408() {
    let backend = Backend::serving(|conn| conn.request().map(drop));
    let front = Setup::new(&backend).listener("timeouts = { body = \"200ms\" }").start();
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    let answer = client.answer(Method::Other);
    assert_eq!(answer.status(), 408);
    assert_eq!(front.failure()["cause"], "body-timeout");
}

#[test]
fn client_that_does_not_read_is_given_up() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let piece = vec![b'x'; 1024 * 1024];
        while conn.wire.try_send(&piece).is_ok() {}
        Ok(())
    });
    let front = Setup::new(&backend).listener("timeouts = { body = \"200ms\" }").start();
    let mut client = front.client();
    client.send(GET);
    assert_eq!(front.failure()["cause"], "client-stalled");
    assert_eq!(front.counter("aborted"), 1);
}

#[test]
fn client_that_goes_away_costs_the_backend_nothing() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.until_closed();
        Ok(())
    });
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    client.send(GET);
    eventually("the backend has it", || !backend.requests().is_empty());
    drop(client);
    eventually("it is seen", || front.counter("aborted") == 1);
    assert_eq!(front.backends("failures")[0], 0);
    assert_eq!(front.failures(), [] as [serde_json::Value; 0], "a client that goes away is its own affair");
}

#[test]
fn connections_over_the_limit_are_closed() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).more("[limits]\nconnections = 2").start();
    // Busy ones: idle ones would make room.
    let (mut one, mut two) = (front.client(), front.client());
    one.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    two.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    eventually("both are busy", || front.backends("active")[0] == 2);
    let mut three = front.client();
    let _ = three.try_send(GET);
    assert!(three.read_answer(Method::Other).is_err());
    assert_eq!(front.counter("over_limit"), 1);
    drop(one);
    eventually("there is room again", || {
        let mut wire = front.client();
        wire.try_send(GET).is_ok() && wire.read_answer(Method::Other).is_ok()
    });
}

#[test]
fn bytes_that_a_backend_sends_unasked_reach_nobody() {
    let backend = Backend::serving(|conn| {
        loop {
            conn.request()?;
            conn.send(format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"));
        }
    });
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    for _ in 0..20 {
        assert_eq!(client.exchange(GET).body_text(), "ok");
    }
}
