//! Clients that make work without need: cut off and counted, while others on the same worker feel nothing.

use std::time::{Duration, Instant};

use crate::harness::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, Frame, HEADERS, Http2, INITIAL_WINDOW_SIZE,
    PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, request, setting,
};
use crate::harness::{Backend, Evenkeel, GET, Load, OK, Setup, TimedServer, eventually, figure, peak_kib};

/// Others at work meanwhile: keep-alive clients of HTTP/1.1, and one of HTTP/2.
struct Others {
    load: Load,
    client: Http2,
}

impl Others {
    fn start(front: &Evenkeel) -> Self {
        let others = Self { load: Load::start(front.address(), 1, GET), client: Http2::connect(front.address()) };
        others.load.wait_for(20);
        others
    }

    /// Not one of them has noticed anything. What is said of them.
    #[track_caller]
    fn unharmed(mut self) -> String {
        self.load.wait_for(20);
        for _ in 0..20 {
            let stream = self.client.get("/", &[]);
            let answer = self.client.answer(stream);
            assert_eq!((answer.status, answer.end), (200, End::Whole));
        }
        let report = self.load.stop();
        assert_eq!(report.failed, 0, "{report:?}");
        format!("others: {}", report.line())
    }
}

/// Sends what a client should not, until it is cut off with ENHANCE_YOUR_CALM.
#[track_caller]
fn is_cut_off(name: &str, attack: impl Fn(&mut Http2, u32) -> Vec<u8>) {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let others = Others::start(&front);
    let began = Instant::now();
    let mut client = Http2::connect(front.address());
    let mut sent = 0;
    let mut frames = Vec::new();
    while frames.len() < 64 * 1024 && sent < 1200 {
        frames.extend(attack(&mut client, sent));
        sent += 1;
    }
    let _ = client.wire.try_send(&frames);
    // A reset may overtake the last word, when more is on its way than was read.
    let code = client.goaway();
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
    let took = began.elapsed();
    front.wait_for_counter("calmed", 1);
    let told = if code.is_some() { "told so" } else { "reset" };
    figure(&format!("HTTP/2, {name}: cut off, {sent} sent, {} ms, {told}; {}", took.as_millis(), others.unharmed()));
}

#[test]
fn rapid_reset_is_cut_off() {
    is_cut_off("rapid reset (CVE-2023-44487)", |client, _| {
        let stream = client.next_stream();
        let mut bytes = Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, request("GET", "/", &[])).bytes();
        bytes.extend(Frame::new(RST_STREAM, 0, stream, 8u32.to_be_bytes()).bytes());
        bytes
    });
}

#[test]
fn provoked_resets_are_cut_off() {
    is_cut_off("provoked resets (CVE-2025-8671)", |client, _| {
        let stream = client.next_stream();
        let mut bytes = Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, request("GET", "/", &[])).bytes();
        bytes.extend(Frame::new(WINDOW_UPDATE, 0, stream, 0u32.to_be_bytes()).bytes());
        bytes
    });
}

#[test]
fn provoked_resets_by_malformed_heads_are_cut_off() {
    is_cut_off("malformed heads", |client, _| {
        let stream = client.next_stream();
        let head = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("Upper", "case")]);
        Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, head).bytes()
    });
}

#[test]
fn rfc9113_5_1_2_streams_beyond_the_limit_are_refused_then_cut_off() {
    let backend = Backend::silent();
    let front = Setup::new(&backend).start();
    let mut client = Http2::connect(front.address());
    for _ in 0..101 {
        client.get("/", &[]);
    }
    let refused = client.answer(201);
    assert_eq!(refused.end, End::Reset(7), "REFUSED_STREAM for the 101st");
    for _ in 0..400 {
        client.get("/", &[]);
    }
    let code = client.goaway();
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
    front.wait_for_counter("calmed", 1);
    assert!(backend.connections() <= 100, "{}", backend.connections());
    figure(&format!("HTTP/2, 501 streams at once: {} reached the backend", backend.connections()));
}

#[test]
fn continuation_flood_is_cut_off() {
    is_cut_off("CONTINUATION flood (CVE-2024-27316)", |client, sent| {
        if sent == 0 {
            let stream = client.next_stream();
            return Frame::new(HEADERS, END_STREAM, stream, request("GET", "/", &[])).bytes();
        }
        Frame::new(CONTINUATION, 0, 1, block(&[("x", "y")])).bytes()
    });
}

#[test]
fn empty_frames_are_cut_off() {
    is_cut_off("empty DATA frames (CVE-2019-9518)", |client, sent| {
        if sent == 0 {
            let stream = client.next_stream();
            return Frame::new(HEADERS, END_HEADERS, stream, request("POST", "/", &[])).bytes();
        }
        Frame::new(DATA, 0, 1, []).bytes()
    });
}

#[test]
fn settings_flood_is_cut_off() {
    is_cut_off("SETTINGS flood (CVE-2019-9515)", |_, _| {
        Frame::new(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 0xffff)).bytes()
    });
}

#[test]
fn ping_flood_is_cut_off() {
    is_cut_off("PING flood (CVE-2019-9512)", |_, _| Frame::new(PING, 0, 0, [0; 8]).bytes());
}

#[test]
fn window_update_flood_is_cut_off() {
    is_cut_off("WINDOW_UPDATE flood (CVE-2019-9511)", |_, _| {
        Frame::new(WINDOW_UPDATE, 0, 0, 1u32.to_be_bytes()).bytes()
    });
}

#[test]
fn priority_flood_is_cut_off() {
    is_cut_off("PRIORITY flood (CVE-2019-9513)", |_, _| Frame::new(PRIORITY, 0, 1, [0, 0, 0, 3, 9]).bytes());
}

/// A field of 3,500 bytes goes into the table once; then a byte each names it again, a thousand times in a head.
#[test]
fn hpack_bomb_is_cut_off() {
    is_cut_off("HPACK bomb (CVE-2016-1544)", |client, sent| {
        let stream = client.next_stream();
        let mut head = request("GET", "/", &[]);
        if sent == 0 {
            let field = block(&[("bomb", "b".repeat(3500).as_str())]);
            head.extend([&[0x40], &field[1..]].concat());
        }
        head.extend([0xbe; 1000]);
        Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, head).bytes()
    });
}

/// RFC 9113, section 10.5: what a client does not take is not fetched for it.
#[test]
fn windows_held_at_zero_pin_no_memory_and_are_cut_at_last() {
    const STREAMS: usize = 50;
    let body = "x".repeat(4 * 1024 * 1024);
    let backend = Backend::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let front = Setup::new(&backend).listener("timeouts = { body = \"3s\" }").start();
    let before = peak_kib(front.pid());
    let mut client = Http2::with(front.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
    let streams: Vec<u32> = (0..STREAMS).map(|_| client.get("/", &[])).collect();
    let last = *streams.last().unwrap();
    let answer = client.answer(last);
    assert!(matches!(answer.end, End::Reset(_)) && answer.body.is_empty(), "{answer:?}");
    let pinned = peak_kib(front.pid()) - before;
    assert!(pinned < 24 * 1024, "{pinned} KiB for {STREAMS} answers that nobody takes");
    eventually("the backend is free", || front.sum("active") == 0);
    figure(&format!("HTTP/2, window of zero held on {STREAMS} answers of 4 MiB: {pinned} KiB pinned, then reset"));
}

#[test]
fn slow_heads_are_cut_by_their_timeout() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener("timeouts = { header = \"1s\" }").start();
    let others = Others::start(&front);
    let mut client = Http2::connect(front.address());
    let stream = client.next_stream();
    let began = Instant::now();
    client.send(HEADERS, END_STREAM, stream, request("GET", "/", &[]));
    let code = client.goaway();
    assert!(code.is_none_or(|code| code == 0), "{code:?}");
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    figure(&format!(
        "HTTP/2, head without end: cut after {} ms of 1 s; {}",
        began.elapsed().as_millis(),
        others.unharmed()
    ));
}

#[test]
fn stalled_bodies_get_408_and_others_on_the_connection_go_on() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener("timeouts = { body = \"1s\" }").start();
    let mut client = Http2::connect(front.address());
    let stalled = client.post("/", &[("content-length", "10")]);
    client.send(DATA, 0, stalled, *b"12345");
    let other = client.get("/", &[]);
    assert_eq!(client.answer(other).status, 200);
    assert_eq!(client.answer(stalled).status, 408);
    let other = client.get("/", &[]);
    assert_eq!(client.answer(other).status, 200);
}

/// Streams that are reset while their backend works on them: their places are free again, but the rate is not.
#[test]
fn reset_storm_before_a_slow_backend_stays_bounded() {
    const AT_ONCE: usize = 20;
    let backend = TimedServer::start(Duration::from_secs(2), 10_000);
    let front = Setup::over([backend.address.as_str()]).start();
    let mut client = Http2::connect(front.address());
    let mut asked = 0;
    while client.wire.try_send([]).is_ok() && asked < 2000 {
        let streams: Vec<u32> = (0..AT_ONCE).map(|_| client.get("/", &[])).collect();
        asked += AT_ONCE;
        // The answer to a PING says that they were seen.
        client.send(PING, 0, 0, [7; 8]);
        let seen = loop {
            match client.frame() {
                Ok(frame) if frame.kind == PING => break true,
                Ok(_) => {}
                Err(_) => break false,
            }
        };
        if !seen {
            break;
        }
        streams.into_iter().for_each(|stream| client.cancel(stream));
    }
    front.wait_for_counter("calmed", 1);
    // As many as may be cancelled at once, and as may run beside them.
    assert!(backend.most() <= 300 + 2 * 50 + AT_ONCE, "{} at once", backend.most());
    figure(&format!("HTTP/2, reset storm: {asked} asked, at most {} at the backend at once", backend.most()));
}
