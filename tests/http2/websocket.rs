//! WebSocket where HTTP/2 is on one side or on both (RFC 8441), and streams that must not be buffered.

use std::process::Command;

use crate::harness::http2::{
    DATA, ENABLE_CONNECT_PROTOCOL, END_HEADERS, END_STREAM, End, HEADERS, Http2, SETTINGS, block,
};
use crate::harness::{Backend, Conn, Evenkeel, Gate, OK, Setup};

/// Asks for a tunnel.
fn connect(client: &mut Http2, protocol: &str, more: &[(&str, &str)]) -> u32 {
    let line = [
        (":method", "CONNECT"),
        (":protocol", protocol),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", "/chat?room=1"),
    ];
    let stream = client.next_stream();
    client.send(HEADERS, END_HEADERS, stream, block(line.iter().chain(more)));
    stream
}

/// The answer to a key, computed by somebody else.
fn accept(key: &str) -> String {
    let script = "import sys,hashlib,base64; k=sys.argv[1]+'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'; \
                  print(base64.b64encode(hashlib.sha1(k.encode()).digest()).decode(), end='')";
    let output = Command::new("python3").args(["-c", script, key]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn switching(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

/// Switches, then gives back what it gets until the client ends; then says goodbye.
fn echo() -> Backend {
    Backend::serving(|conn: &mut Conn| {
        let request = conn.request()?;
        conn.send(switching(&accept(request.value("Sec-WebSocket-Key"))));
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

/// Says something and hears it again.
#[track_caller]
fn says(client: &mut Http2, stream: u32, word: &[u8]) {
    client.send(DATA, 0, stream, word);
    let mut heard = Vec::new();
    while heard.len() < word.len() {
        heard.extend(client.data_on(stream));
    }
    assert_eq!(heard, word);
}

#[test]
fn rfc8441_5_a_tunnel_from_http2_to_http1() {
    let backend = echo();
    let front = front(&backend);
    let mut client = Http2::connect(front.address());
    let fields =
        [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat"), ("origin", "http://shop.example")];
    let stream = connect(&mut client, "websocket", &fields);
    assert_eq!(client.status_on(stream), 200);
    let request = backend.request();
    assert_eq!(request.start_line(), "GET /chat?room=1 HTTP/1.1");
    assert_eq!((request.value("Upgrade"), request.value("Host")), ("websocket", "shop.example"));
    assert!(request.lists("Connection", "upgrade") && !request.has("Transfer-Encoding"), "{request:?}");
    assert_eq!((request.value("Sec-WebSocket-Version"), request.value("Sec-WebSocket-Protocol")), ("13", "chat"));
    assert_eq!(request.value("Sec-WebSocket-Key").len(), 24);
    for word in [&b"hello"[..], b"\0\xff binary", &[7; 40_000]] {
        for piece in word.chunks(16_000) {
            says(&mut client, stream, piece);
        }
    }
    // Others on the connection go on.
    assert_eq!(front.counter("tunnels"), 1);
    client.send(DATA, END_STREAM, stream, *b"last words");
    let rest = client.answer(stream);
    assert_eq!((rest.body_text().as_str(), rest.end), ("last wordsgoodbye", End::Whole));
}

#[test]
fn each_tunnel_has_a_key_of_its_own() {
    let backend = echo();
    let front = front(&backend);
    let mut client = Http2::connect(front.address());
    for _ in 0..2 {
        let stream = connect(&mut client, "websocket", &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]);
        assert_eq!(client.status_on(stream), 200);
        client.cancel(stream);
    }
    let keys: Vec<String> = backend.requests().iter().map(|one| one.value("Sec-WebSocket-Key").to_owned()).collect();
    assert!(keys[0] != keys[1] && !keys.contains(&"dGhlIHNhbXBsZSBub25jZQ==".to_owned()), "{keys:?}");
    backend.wait_until_all_closed();
}

#[test]
fn backends_must_prove_that_they_mean_it() {
    let backend = Backend::answering(switching("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let front = front(&backend);
    let mut client = Http2::connect(front.address());
    let stream = connect(&mut client, "websocket", &[]);
    assert_eq!(client.status_on(stream), 502);
}

#[test]
fn refusals_pass_as_they_are() {
    let backend = Backend::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let front = front(&backend);
    let mut client = Http2::connect(front.address());
    let stream = connect(&mut client, "websocket", &[]);
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.body_text().as_str()), (403, "no"));
    let stream = client.get("/", &[]);
    assert_eq!(client.answer(stream).status, 403);
}

#[test]
fn other_protocols_are_501() {
    let backend = Backend::answering(OK);
    let front = front(&backend);
    let mut client = Http2::connect(front.address());
    let stream = connect(&mut client, "connect-udp", &[]);
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.end), (501, End::Whole));
    assert!(backend.requests().is_empty());
}

#[test]
fn silent_tunnels_end() {
    let backend = echo();
    let front = Setup::new(&backend).listener("timeouts = { tunnel = \"1s\" }").start();
    let mut client = Http2::connect(front.address());
    let stream = connect(&mut client, "websocket", &[]);
    assert_eq!(client.status_on(stream), 200);
    says(&mut client, stream, b"still there");
    client.answer(stream);
    backend.wait_until_all_closed();
}

/// A backend of HTTP/2 that takes extended CONNECT and says again what it hears, in frames by hand.
fn echo2(settings: &'static [(u16, u32)]) -> Backend {
    Backend::serving(move |conn| {
        conn.wire.read_exactly(24)?;
        let payload: Vec<u8> =
            settings.iter().flat_map(|&(id, value)| crate::harness::http2::setting(id, value)).collect();
        let frame = |kind, flags, stream, payload: Vec<u8>| {
            crate::harness::http2::Frame::new(kind, flags, stream, payload).bytes()
        };
        conn.send(frame(SETTINGS, 0, 0, payload));
        loop {
            let head = conn.wire.read_exactly(9)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
            let payload = conn.wire.read_exactly(length)?;
            match (head[3], head[4]) {
                (SETTINGS, 0) => conn.send(frame(SETTINGS, 1, 0, Vec::new())),
                (HEADERS, flags) => {
                    // Whoever ends the request has not asked for a tunnel.
                    let status = if flags & END_STREAM == 0 { 0x88 } else { 0x8c };
                    conn.send(frame(HEADERS, END_HEADERS | flags & END_STREAM, stream, vec![status]));
                }
                (DATA, flags) => conn.send(frame(DATA, flags & END_STREAM, stream, payload)),
                _ => {}
            }
        }
    })
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn upgrade() -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

#[test]
fn a_tunnel_from_http1_to_http2() {
    let backend = echo2(&[(ENABLE_CONNECT_PROTOCOL, 1)]);
    let front = Setup::over([format!("h2c://{}", backend.address)]).start();
    let mut client = front.client();
    client.send(upgrade());
    let answer = client.read_head().unwrap();
    assert_eq!((answer.status(), answer.value("Upgrade")), (101, "websocket"));
    assert_eq!(answer.value("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for word in ["hello", "\0binary", "GET / HTTP/1.1\r\n\r\n"] {
        client.send(word);
        assert_eq!(client.read_exactly(word.len()).unwrap(), word.as_bytes());
    }
    client.finish();
    assert_eq!(client.read_to_end().unwrap(), b"");
}

#[test]
fn a_tunnel_from_http2_to_http2() {
    let backend = echo2(&[(ENABLE_CONNECT_PROTOCOL, 1)]);
    let front = Setup::over([format!("h2c://{}", backend.address)]).start();
    let mut client = Http2::connect(front.address());
    let stream = connect(&mut client, "websocket", &[("sec-websocket-version", "13")]);
    assert_eq!(client.status_on(stream), 200);
    says(&mut client, stream, b"hello");
    client.send(DATA, END_STREAM, stream, *b"bye");
    let rest = client.answer(stream);
    assert_eq!((rest.body_text().as_str(), rest.end), ("bye", End::Whole));
}

#[test]
fn backends_without_extended_connect_are_502_and_not_to_blame() {
    let backend = echo2(&[]);
    let front = Setup::over([format!("h2c://{}", backend.address)]).start();
    let mut client = front.client();
    let answer = client.exchange(upgrade());
    assert_eq!(answer.status(), 502, "{answer:?}");
    assert_eq!(front.failure()["cause"], "no-websocket");
    let mut client = Http2::connect(front.address());
    let stream = connect(&mut client, "websocket", &[]);
    assert_eq!(client.status_on(stream), 502);
    assert_eq!(front.backends("state"), ["ready"]);
}

#[test]
fn events_flow_as_they_come() {
    let gate = Gate::closed();
    let passed = gate.clone();
    let backend = Backend::serving(move |conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n");
        passed.pass();
        conn.send("data: two\n\n");
        Ok(())
    });
    let front = front(&backend);
    let mut client = Http2::connect(front.address());
    let stream = client.get("/events", &[("accept", "text/event-stream")]);
    assert_eq!(client.status_on(stream), 200);
    assert_eq!(client.data_on(stream), b"data: one\n\n");
    gate.open();
    assert_eq!(client.data_on(stream), b"data: two\n\n");
}

#[test]
fn long_polls_wait_while_others_on_the_connection_go_on() {
    let gate = Gate::closed();
    let passed = gate.clone();
    let backend = Backend::serving(move |conn| {
        loop {
            if conn.request()?.target() == "/poll" {
                passed.pass();
            }
            conn.send(OK);
        }
    });
    let front = front(&backend);
    let mut client = Http2::connect(front.address());
    let poll = client.get("/poll", &[]);
    for _ in 0..20 {
        let stream = client.get("/", &[]);
        assert_eq!(client.answer(stream).status, 200);
    }
    gate.open();
    assert_eq!(client.answer(poll).status, 200);
}
