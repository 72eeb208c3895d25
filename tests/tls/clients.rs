//! What clients get over TLS is what they get without.

use rustls::{HandshakeKind, ProtocolVersion};

use super::stage::Stage;
use crate::harness::{Backend, GET, Method, OK, Setup, eventually};

#[test]
fn requests_pass_over_tls_1_3_and_1_2() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = stage.front(&backend);
    for (client, version) in
        [(stage.client(), ProtocolVersion::TLSv1_3), (stage.client().old(&stage.authority), ProtocolVersion::TLSv1_2)]
    {
        let (mut wire, shaken) = client.try_connect(front.address()).unwrap();
        assert_eq!(shaken.version, version);
        for _ in 0..3 {
            assert_eq!(wire.exchange(GET).body, b"ok");
        }
    }
    assert_eq!((front.counter("handshakes"), front.counter("requests")), (2, 6));
}

#[test]
fn key_exchange_that_quantum_computers_do_not_break_comes_first() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = stage.front(&backend);
    assert_eq!(stage.client().shaken(front.address()).group, "X25519MLKEM768");
}

#[test]
fn modern_speaks_tls_1_3_alone() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let tls = format!("tls = {{ certs = [{:?}], preset = \"modern\" }}", stage.folder.path());
    let front = Setup::new(&backend).listener(&tls).start();
    assert_eq!(stage.client().shaken(front.address()).version, ProtocolVersion::TLSv1_3);
    let refused = stage.client().old(&stage.authority).try_connect(front.address()).map(drop).unwrap_err();
    assert!(refused.contains("ProtocolVersion"), "{refused}");
    eventually("it is counted", || front.counter("handshake_failures") == 1);
}

#[test]
fn protocols_without_overlap_are_refused_and_none_is_fine() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = stage.front(&backend);
    let http = stage.client().speaking(&["foo", "http/1.1"]).shaken(front.address());
    assert_eq!(http.protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(stage.client().shaken(front.address()).protocol, None);
    let refused = stage.client().speaking(&["foo"]).try_connect(front.address()).map(drop).unwrap_err();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
}

#[test]
fn backends_learn_that_it_was_https() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = Setup::new(&backend).listener(&stage.tls()).pool("forwarded = true").start();
    stage.client().connect(front.address()).exchange(GET);
    let request = backend.request();
    assert_eq!(request.value("X-Forwarded-Proto"), "https");
    assert!(request.value("Forwarded").contains(";proto=https;"), "{request:?}");
}

#[test]
fn answers_of_our_own_know_the_scheme_and_hsts_is_in_all() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = Setup::new(&backend)
        .listener(&stage.tls())
        .listener("hsts = { max_age = \"365d\", subdomains = true }")
        .more("[[route]]\npath = \"/old\"\nredirect = \"{scheme}://{host}/new\"")
        .start();
    let mut wire = stage.client().connect(front.address());
    let moved = wire.exchange("GET /old HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(moved.value("Location"), "https://shop.example/new");
    for answer in [moved, wire.exchange(GET)] {
        assert_eq!(answer.values("Strict-Transport-Security"), ["max-age=31536000; includeSubDomains"], "{answer:?}");
    }
}

#[test]
fn a_backends_own_hsts_stays() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nstrict-transport-security: max-age=1\r\n\r\nok";
    let (stage, backend) = (Stage::ready(), Backend::answering(answer));
    let front = Setup::new(&backend).listener(&stage.tls()).listener("hsts = \"180d\"").start();
    let answer = stage.client().connect(front.address()).exchange(GET);
    assert_eq!(answer.values("Strict-Transport-Security"), ["max-age=1"]);
}

#[test]
fn plain_http_is_led_to_https() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = Setup::new(&backend).listener(&stage.tls()).listener("http_redirect = \"127.0.0.1:0\"").start();
    let mut plain = crate::harness::Wire::connect(front.address_of("web-redirect"));
    let answer = plain.exchange("GET /a?b=c HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n");
    assert_eq!((answer.status(), answer.value("Location")), (308, "https://shop.example/a?b=c"));
}

#[test]
fn plain_http_on_a_tls_port_is_told_what_to_do() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = stage.front(&backend);
    let answer = front.client().exchange(GET);
    assert_eq!(answer.status(), 400);
    assert!(crate::harness::text(&answer.body).contains("https://"), "{answer:?}");
    assert_eq!((front.counter("plain_requests"), front.counter("requests")), (1, 0));
    let mut garbage = front.client();
    garbage.send("\0\u{1}\u{2}hello");
    garbage.expect_close();
    assert_eq!(front.counter("handshake_failures"), 1);
}

#[test]
fn big_bodies_pass_both_ways() {
    let backend = Backend::serving(|conn| {
        loop {
            let request = conn.request()?;
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
            conn.send(&request.body);
        }
    });
    let stage = Stage::ready();
    let front = stage.front(&backend);
    for client in [stage.client(), stage.client().old(&stage.authority)] {
        let mut wire = client.connect(front.address());
        for size in [0, 1, 16_383, 16_384, 16_385, 200_000, 5_000_000] {
            let body: Vec<u8> = (0..size).map(|at: u32| u8::try_from(at % 251).unwrap()).collect();
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
            wire.send([head.as_bytes(), &body].concat());
            let answer = wire.answer(Method::Other);
            assert!(answer.body == body, "{size} bytes came back as {}", answer.body.len());
        }
    }
}

#[test]
fn chunked_answers_and_pipelines_pass() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-End: 1\r\n\r\n";
    let (stage, backend) = (Stage::ready(), Backend::answering(chunked));
    let front = stage.front(&backend);
    let mut wire = stage.client().connect(front.address());
    wire.send(GET.repeat(3));
    for _ in 0..3 {
        let answer = wire.answer(Method::Other);
        assert_eq!((answer.body.as_slice(), answer.trailers.len()), (&b"ok"[..], 1));
    }
}

#[test]
fn websockets_become_tunnels() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        while let Ok(byte) = conn.wire.read_exactly(1) {
            conn.send(byte);
        }
        Ok(())
    });
    let stage = Stage::ready();
    let front = stage.front(&backend);
    let mut wire = stage.client().connect(front.address());
    wire.send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(wire.read_head().unwrap().status(), 101);
    for word in ["hello", "again"] {
        wire.send(word);
        assert_eq!(wire.read_exactly(word.len()).unwrap(), word.as_bytes());
    }
    // The end that the client says goes on to the backend, whose end comes back.
    wire.say_end();
    assert_eq!(wire.read_to_end(), Ok(Vec::new()));
}

#[test]
fn sessions_are_taken_up() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = stage.front(&backend);
    for client in [stage.client(), stage.client().old(&stage.authority)] {
        let (mut wire, first) = client.try_connect(front.address()).unwrap();
        assert_ne!(first.kind, HandshakeKind::Resumed);
        wire.exchange(GET);
        let (mut wire, second) = client.try_connect(front.address()).unwrap();
        assert_eq!(second.kind, HandshakeKind::Resumed);
        assert_eq!(wire.exchange(GET).body, b"ok");
    }
    assert_eq!((front.counter("handshakes"), front.counter("resumed")), (4, 2));
}

#[test]
fn nodes_with_one_secret_take_up_each_others_sessions() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let node = |secret: &str| {
        let secret = format!("[cluster]\nsecret = \"{secret}\"");
        Setup::new(&backend).listener(&stage.tls()).more(&secret).start()
    };
    let (one, other, stranger) =
        (node("a secret of two nodes"), node("a secret of two nodes"), node("the secret of another"));
    let client = stage.client();
    client.connect(one.address()).exchange(GET);
    assert_eq!(client.shaken(other.address()).kind, HandshakeKind::Resumed);
    let client = stage.client();
    client.connect(one.address()).exchange(GET);
    assert_ne!(client.shaken(stranger.address()).kind, HandshakeKind::Resumed);
    assert!(!one.log().contains("a secret of"), "{}", one.log());
}

#[test]
fn rfc8446_4_6_3_keys_change_while_requests_run() {
    let backend = Backend::serving(|conn| {
        loop {
            let request = conn.request()?;
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
            conn.send(&request.body);
        }
    });
    let stage = Stage::ready();
    let front = stage.front(&backend);
    let mut wire = stage.client().connect(front.address());
    let body = "x".repeat(100_000);
    for _ in 0..5 {
        wire.renew_keys();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        wire.send([head.as_bytes(), body.as_bytes()].concat());
        assert_eq!(wire.answer(Method::Other).body, body.as_bytes());
    }
    // More of that without a word in between is no client's need.
    let sent = (0..200).try_for_each(|_| {
        wire.renew_keys();
        wire.try_send("")
    });
    assert!(sent.is_err() || wire.read_to_end() == Err(crate::harness::Broken::Reset));
}
