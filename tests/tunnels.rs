//! Upgraded connections (RFC 9110, section 7.8).

use crate::harness::{Backend, Evenkeel, GET, Method, OK, Setup, eventually};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Switches, then gives back what it gets until the client ends; then says goodbye.
fn echo() -> Backend {
    Backend::serving(|conn| {
        conn.request()?;
        conn.send(SWITCHING);
        while let Ok(byte) = conn.wire.read_exactly(1) {
            conn.send(byte);
        }
        conn.send("goodbye");
        Ok(())
    })
}

fn front(backend: &Backend) -> Evenkeel {
    Setup::new(backend).start()
}

#[test]
fn rfc9110_7_8_upgrade_becomes_a_tunnel_both_ways() {
    let backend = echo();
    let front = front(&backend);
    let mut client = front.client();
    client.send(UPGRADE);
    let answer = client.read_head().unwrap();
    assert_eq!((answer.status(), answer.value("Upgrade")), (101, "websocket"));
    assert!(answer.lists("Connection", "upgrade"), "{answer:?}");
    assert!(answer.has("Sec-WebSocket-Accept"));
    let request = backend.request();
    assert_eq!((request.value("Upgrade"), request.value("Sec-WebSocket-Version")), ("websocket", "13"));
    assert!(request.lists("Connection", "upgrade"), "{request:?}");
    for word in ["hello", "\0\u{ff}binary", "GET / HTTP/1.1\r\n\r\n"] {
        client.send(word);
        assert_eq!(client.read_exactly(word.len()).unwrap(), word.as_bytes());
    }
    assert_eq!(front.counter("tunnels"), 1);
}

#[test]
fn half_closed_tunnel_still_carries_the_other_direction() {
    let backend = echo();
    let front = front(&backend);
    let mut client = front.client();
    client.send(UPGRADE);
    client.read_head().unwrap();
    client.send("last words");
    client.finish();
    assert_eq!(client.read_to_end().unwrap(), b"last wordsgoodbye");
}

#[test]
fn backend_may_end_a_tunnel() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.send(format!("{SWITCHING}all I have to say"));
        Ok(())
    });
    let front = front(&backend);
    let mut client = front.client();
    client.send(UPGRADE);
    client.read_head().unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"all I have to say");
}

#[test]
fn bytes_sent_right_behind_the_upgrade_are_not_lost() {
    let backend = echo();
    let front = front(&backend);
    let mut client = front.client();
    client.send(format!("{UPGRADE}eager"));
    assert_eq!(client.read_head().unwrap().status(), 101);
    assert_eq!(client.read_exactly(5).unwrap(), b"eager");
}

#[test]
fn big_transfers_pass_a_tunnel_whole() {
    let backend = echo();
    let front = front(&backend);
    let mut client = front.client();
    client.send(UPGRADE);
    client.read_head().unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut sender = crate::harness::Wire::tcp(client.stream().try_clone().unwrap());
    let copy = sent.clone();
    let sending = std::thread::spawn(move || sender.send(&copy));
    assert!(client.read_exactly(sent.len()).unwrap() == sent);
    sending.join().unwrap();
}

#[test]
fn backend_that_declines_an_upgrade_answers_as_ever() {
    let backend = Backend::answering(OK);
    let front = front(&backend);
    let mut client = front.client();
    for _ in 0..2 {
        assert_eq!(client.exchange(UPGRADE).body_text(), "ok");
    }
}

#[test]
fn switch_that_nobody_asked_for_is_a_fault_of_the_backend() {
    let backend = Backend::closing(SWITCHING);
    let front = Setup::new(&backend).pool("retry = { tries = 1 }").start();
    assert_eq!(front.exchange(GET).status(), 502);
    assert_eq!(front.failure()["cause"], "malformed-answer");
}

#[test]
fn rfc9113_3_2_upgrade_to_http2_is_not_offered_to_backends() {
    let backend = Backend::answering(OK);
    front(&backend).exchange(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    );
    let request = backend.request();
    assert!(!request.has("Upgrade") && !request.has("HTTP2-Settings"), "{request:?}");
}

#[test]
fn silent_tunnel_ends_in_time() {
    let backend = echo();
    let front = Setup::new(&backend).listener("timeouts = { tunnel = \"200ms\" }").start();
    let mut client = front.client();
    client.send(UPGRADE);
    assert_eq!(client.answer(Method::Other).status(), 101);
    client.expect_close();
    eventually("the backend's side ends, too", || front.backends("active")[0] == 0);
}
