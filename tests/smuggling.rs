//! Request smuggling: whatever a client writes, two readers of what a backend gets must find the same requests in it.
//!
//! Requests are put together from spellings of framing that real servers have read in different ways. Each hides
//! another request in what one reader takes for the body. What went to the backend is then read strictly: one framing
//! field at most, exact line ends, no hidden request.

use std::sync::{Arc, Mutex};

use crate::harness::{Backend, Evenkeel, Method, Setup, figure, text};

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/// Clients that attack at the same time.
const PLAYERS: usize = 8;
/// What the balancer puts into each head that it forwards, and no client can: a hidden request is one without it.
const OURS: &str = " evenkeel\r\n";

/// Spellings of the fields that say how long a body is. `{n}` is the whole length, `{s}` a shorter one.
const FRAMINGS: &[&str] = &[
    "Content-Length: {n}\r\n",
    "Content-Length: {s}\r\n",
    "Content-Length: {s}\r\nContent-Length: {n}\r\n",
    "Content-Length: {n}\r\nContent-Length: {n}\r\n",
    "Content-Length: {s}, {n}\r\n",
    "Content-Length: {n},{n}\r\n",
    "Content-Length: 0{n}\r\n",
    "Content-Length: +{n}\r\n",
    "Content-Length: {n} \r\n",
    "Content-Length:\t{n}\r\n",
    "Content-Length:{n}\r\n",
    "Content-Length : {n}\r\n",
    "content-length: {n}\r\n",
    "Content_Length: {n}\r\n",
    "Content-Length\0: {n}\r\n",
    "Content-Length: {n}\0\r\n",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: {s}\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: Chunked\r\n",
    "Transfer-Encoding:chunked\r\n",
    "Transfer-Encoding:\tchunked\t\r\n",
    "Transfer-Encoding : chunked\r\nContent-Length: {n}\r\n",
    "Transfer-Encoding: xchunked\r\nContent-Length: {n}\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: , chunked\r\n",
    "Transfer-Encoding: chunked,\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: chunked;q=1\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Transfer-Encoding: \x0bchunked\r\n",
    "Transfer-Encoding: chunk\r\nContent-Length: {n}\r\n",
    " Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n",
    "X: y\nTransfer-Encoding: chunked\r\nContent-Length: {n}\r\n",
    "X: y\rTransfer-Encoding: chunked\r\nContent-Length: {n}\r\n",
    "X: y\r\n\rTransfer-Encoding: chunked\r\nContent-Length: {n}\r\n",
    "Transfer-Encoding: chunked\n\r\nContent-Length: {n}\r\n",
    "Transfer_Encoding: chunked\r\nContent-Length: {n}\r\n",
    "Connection: Content-Length\r\nContent-Length: {n}\r\n",
    "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
    "Connection: close, transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\nContent-Length: {n}\r\n",
    "Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: {n}\r\n",
    "",
];

/// Bodies in which one reader finds the end earlier than another.
const BODIES: &[&str] = &[
    "0\r\n\r\n{h}",
    "{h}",
    "3\r\nabc\r\n0\r\n\r\n{h}",
    "3;x={h}\r\nabc\r\n0\r\n\r\n",
    "3;\nxx\r\nabc\r\n0\r\n\r\n{h}",
    "3\nabc\n0\n\n{h}",
    "3\r\nabc\n\n0\r\n\r\n{h}",
    "3 \r\nabc\r\n0\r\n\r\n{h}",
    "003\r\nabc\r\n00\r\n\r\n{h}",
    "0x3\r\nabc\r\n0\r\n\r\n{h}",
    "3\r\nabc0\r\n\r\n{h}",
    "ffffffffffffffff3\r\nabc\r\n0\r\n\r\n{h}",
    "0\r\nContent-Length: 50\r\n\r\n{h}",
    "0\r\nX: y\r\n{h}",
    "0\r\n\n{h}",
    "0\n\r\n{h}",
    "\r\n0\r\n\r\n{h}",
];

/// Start lines and what may stand before the fields.
const STARTS: &[&str] = &[
    "POST /asked HTTP/1.1\r\nHost: a\r\n",
    "GET /asked HTTP/1.1\r\nHost: a\r\n",
    "POST /asked HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n",
    "HEAD /asked HTTP/1.1\r\nHost: a\r\n",
];

/// Every start with every framing and every body.
fn attacks() -> impl Iterator<Item = String> {
    STARTS.iter().flat_map(|start| {
        FRAMINGS.iter().flat_map(move |framing| {
            BODIES.iter().map(move |body| {
                let body = body.replace("{h}", HIDDEN);
                let short = body.len().saturating_sub(HIDDEN.len());
                let framing = framing.replace("{n}", &body.len().to_string()).replace("{s}", &short.to_string());
                format!("{start}{framing}\r\n{body}")
            })
        })
    })
}

/// Sends an attack, then an honest request on the same connection if that is still open; reads what comes.
fn play(front: &Evenkeel, attack: &str) {
    let mut client = front.client();
    let _ = client.try_send(attack);
    let method = if attack.starts_with("HEAD") { Method::Head } else { Method::Other };
    let _ = client.try_send("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.finish();
    while client.read_answer(method).is_ok() {}
}

/// What is wrong with the bytes that a backend got on one connection, read strictly.
pub(crate) fn fault(bytes: &[u8]) -> Option<String> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Some(format!("a head without end: {:?}", text(rest)));
        };
        let head = text(&rest[..end]);
        rest = &rest[end + 4..];
        if let Some(fault) = head_fault(&head) {
            return Some(format!("{fault}: {head:?}"));
        }
        match body_end(&head, rest) {
            Some(end) => rest = &rest[end..],
            // Cut off with its client: nothing can follow on this connection.
            None => return None,
        }
    }
    None
}

fn head_fault(head: &str) -> Option<&'static str> {
    let lines: Vec<&str> = head.split("\r\n").collect();
    let named = |name: &str| lines.iter().filter(|line| line.to_ascii_lowercase().starts_with(name)).count();
    let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
    if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        Some("a bare line end or NUL")
    } else if lines[1..].iter().any(|line| line.starts_with([' ', '\t']) || !line.contains(':')) {
        Some("a folded line or one without colon")
    } else if lines[1..].iter().any(|line| line.split(':').next().unwrap_or_default().ends_with([' ', '\t'])) {
        Some("white space before a colon")
    } else if lengths + codings > 1 {
        Some("more than one framing field")
    } else if codings == 1 && !lines.contains(&"Transfer-Encoding: chunked") {
        Some("a coding that is spelt unusually")
    } else if !lines.iter().any(|line| line.starts_with("Via: 1.") && line.ends_with(" evenkeel")) {
        Some("a hidden request")
    } else {
        None
    }
}

/// Where the body after a head ends; `None` when it does not.
fn body_end(head: &str, rest: &[u8]) -> Option<usize> {
    let line = |name: &str| head.split("\r\n").find(|line| line.to_ascii_lowercase().starts_with(name));
    if line("transfer-encoding").is_none() {
        let length = line("content-length").map_or(0, |line| line[15..].trim().parse().unwrap());
        return (length <= rest.len()).then_some(length);
    }
    let mut at = 0;
    loop {
        let end = at + rest[at..].windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(&text(&rest[at..end]), 16).ok()?;
        at = end + 2;
        if size > 0 {
            at += size + 2;
            if at > rest.len() {
                return None;
            }
            continue;
        }
        // Trailers, then an empty line.
        loop {
            let end = at + rest.get(at..)?.windows(2).position(|window| window == b"\r\n")?;
            let empty = end == at;
            at = end + 2;
            if empty {
                return Some(at);
            }
        }
    }
}

/// Answers what it can read, and keeps the bytes of each connection apart.
fn recording() -> (Backend, Arc<Mutex<Vec<Vec<u8>>>>) {
    let connections = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&connections);
    let backend = Backend::serving(move |conn| {
        while conn.wire.read_request().is_ok() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        kept.lock().unwrap().push(std::mem::take(&mut conn.wire.seen));
        Ok(())
    });
    (backend, connections)
}

#[test]
fn rfc9112_11_2_no_reader_finds_a_request_that_another_does_not() {
    let (backend, connections) = recording();
    let front = Setup::new(&backend).workers(2).start();
    let all: Vec<String> = attacks().collect();
    std::thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(PLAYERS)) {
            let front = &front;
            scope.spawn(move || part.iter().for_each(|attack| play(front, attack)));
        }
    });
    let handled = front.counter("requests");
    assert_eq!(front.stop().code(), Some(0));
    backend.wait_until_all_closed();
    let connections = connections.lock().unwrap();
    let faults: Vec<String> = connections.iter().filter_map(|bytes| fault(bytes)).collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), all.len(), faults[..faults.len().min(5)].join("\n"));
    let seen = connections.iter().map(|bytes| text(bytes).matches(OURS).count()).sum::<usize>();
    figure(&format!("smuggling: {} attacks, {handled} requests taken, {seen} forwarded, all framed alike", all.len()));
    assert!(seen > all.len() / 10, "some of them are harmless and pass: {seen}");
}

#[test]
fn strict_reader_finds_what_it_is_there_for() {
    let ours = "POST / HTTP/1.1\r\nHost: a\r\nVia: 1.1 evenkeel\r\n";
    let good = [
        format!("{ours}\r\n"),
        format!("{ours}Content-Length: 2\r\n\r\nhi{ours}\r\n"),
        format!("{ours}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n{ours}\r\n"),
        format!("{ours}Content-Length: 100\r\n\r\ncut"),
    ];
    for bytes in good {
        assert_eq!(fault(bytes.as_bytes()), None, "{bytes:?}");
    }
    let bad = [
        format!("{ours}Content-Length: 0\r\n\r\n{HIDDEN}"),
        format!("{ours}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{ours}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{ours}Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
        format!("{ours}Transfer-Encoding: xchunked\r\n\r\n"),
        format!("{ours}X: y\nZ: 1\r\n\r\n"),
        format!("{ours}X : y\r\n\r\n"),
        format!("{ours} X: y\r\n\r\n"),
        format!("{ours}X: y"),
    ];
    for bytes in bad {
        assert!(fault(bytes.as_bytes()).is_some(), "{bytes:?}");
    }
}
