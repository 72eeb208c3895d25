//! No request ever gets another's answer: clients that pipeline and break off, backends that do everything wrong.
//!
//! Each request has an id, and so has whatever a backend says to it. What a client reads must be its own, in its order,
//! be it whole or cut.

use std::sync::{Arc, Mutex};

use policy::rng::Rng;

use crate::harness::{Backend, Broken, Evenkeel, Message, Method, Setup, Wire, eventually, figure};

const SEED: u64 = 20_261_120;
const CLIENTS: u64 = 24;
/// Connections of each client, one after the other.
const SESSIONS: u64 = 40;
/// Most requests that a client sends before it reads.
const PIPELINED: u64 = 5;

/// What a backend says to the request with this id.
fn answer_body(id: &str) -> String {
    let bytes: usize = id.bytes().map(usize::from).sum();
    format!("answer {id} ").repeat(1 + bytes * bytes % 1500)
}

/// What a client sends with it.
fn request_body(id: &str) -> String {
    let bytes: usize = id.bytes().map(usize::from).sum();
    format!("request {id} ").repeat(1 + bytes * bytes * 7 % 900)
}

/// Which bodies came with the wrong request.
type Faults = Arc<Mutex<Vec<String>>>;

/// A backend that does something else with each request. One that strays also sends what nobody asked for.
fn erratic(seed: u64, strays: bool, faults: &Faults) -> Backend {
    let (rng, faults) = (Mutex::new(Rng::new(seed)), Arc::clone(faults));
    Backend::serving(move |conn| {
        loop {
            let mut request = conn.wire.read_head()?;
            let id = request.value("X-Id").to_owned();
            let turn = rng.lock().unwrap().below(if strays { 30 } else { 26 });
            let body = answer_body(&id);
            let sent = if request.start_line().starts_with("HEAD ") { "" } else { body.as_str() };
            let head = |framing: &str| format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\n{framing}\r\n\r\n");
            let whole = head(&format!("Content-Length: {}", body.len())) + sent;
            let chunks =
                if sent.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()) };
            let chunked = head("Transfer-Encoding: chunked") + &chunks;
            if turn == 0 {
                // Before the body of the request has come.
                conn.send(&whole);
                conn.wire.read_body_of_request(&mut request)?;
                continue;
            }
            conn.wire.read_body_of_request(&mut request)?;
            if !request.body.is_empty() && request.body != request_body(&id).as_bytes() {
                faults.lock().unwrap().push(format!("{request:?}"));
            }
            let said = match turn {
                1 => {
                    conn.end_with_reset();
                    String::new()
                }
                // Nothing at all until the balancer gives up.
                2 => {
                    conn.until_closed();
                    String::new()
                }
                3 => String::new(),
                4 => whole[..20].to_owned(),
                5 => whole[..whole.len() - sent.len() / 2 - 1].to_owned(),
                6 => chunked[..chunked.len() - chunks.len() / 2 - 1].to_owned(),
                7 => head("Connection: close") + sent,
                8 => whole,
                9 => format!("garbage {id}\r\n\r\n"),
                10 => head("Content-Length: 5\r\nTransfer-Encoding: chunked") + &chunks,
                11 if !sent.is_empty() => {
                    head("Transfer-Encoding: chunked") + &format!("7\r\nanswer \r\nzz\r\n{id}\r\n0\r\n\r\n")
                }
                12 => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
                13 => format!("HTTP/1.1 103 Early Hints\r\nX-Id: {id}\r\n\r\n{whole}"),
                14 => format!("HTTP/1.1 103 Early Hints\r\nX-Id: {id}\r\n\r\n").repeat(20) + &whole,
                15..20 => chunked,
                // Twice, or with too much behind it: it is here at once, or while the connection waits for work.
                26 => whole.repeat(2),
                27 => format!("HTTP/1.1 204 No Content\r\nX-Id: {id}\r\n\r\n{body}"),
                28 => head("Content-Length: 0") + &whole,
                29 => whole + &chunked[..chunked.len() / 2],
                _ => whole,
            };
            if turn % 3 == 0 {
                said.as_bytes().chunks(1009).for_each(|piece| conn.send(piece));
            } else {
                conn.send(said);
            }
            if turn <= 8 {
                return Ok(());
            }
        }
    })
}

/// What a client sends, and what it knows of it.
struct Asked {
    id: String,
    method: Method,
    bytes: Vec<u8>,
}

fn ask(id: String, rng: &mut Rng) -> Asked {
    let body = request_body(&id);
    let (line, framing, body) = match rng.below(8) {
        0 | 1 => ("PUT", format!("Content-Length: {}\r\n", body.len()), body),
        2 => ("POST", "Transfer-Encoding: chunked\r\n".to_owned(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
        3 => ("HEAD", String::new(), String::new()),
        _ => ("GET", String::new(), String::new()),
    };
    let method = if line == "HEAD" { Method::Head } else { Method::Other };
    let bytes = format!("{line} /{id} HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\n{framing}\r\n{body}").into_bytes();
    Asked { id, method, bytes }
}

/// What came of the requests of a client.
#[derive(Default)]
struct Seen {
    answered: u64,
    failed: u64,
    cut: u64,
    left: u64,
}

/// One connection: some requests at once, perhaps broken off, and their answers.
fn session(front: &Evenkeel, name: &str, rng: &mut Rng, seen: &mut Seen) {
    let count = 1 + rng.below(PIPELINED);
    let asked: Vec<_> = (0..count).map(|number| ask(format!("{name}-{number}"), rng)).collect();
    let mut bytes: Vec<u8> = asked.iter().flat_map(|asked| asked.bytes.clone()).collect();
    let whim = rng.below(12);
    match whim {
        // Broken off within the last request.
        0 | 1 => bytes.truncate(bytes.len() - asked[asked.len() - 1].bytes.len() / 2),
        // Something malformed behind the last one.
        2 => bytes.extend(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-Id: bad\r\n\r\n"),
        _ => {}
    }
    let mut wire = front.client();
    let sent = wire.try_send(&bytes);
    // How many answers are read before the client goes.
    let wanted = match whim {
        0 | 3 => 0,
        4 | 5 => rng.below(count),
        _ => count,
    };
    seen.left += count - wanted;
    if whim == 1 {
        wire.finish();
    }
    for asked in &asked[..usize::try_from(wanted).unwrap()] {
        if !read(&mut wire, asked, seen) {
            break;
        }
    }
    if matches!(whim, 3 | 4) && sent.is_ok() {
        wire.reset();
    }
}

/// Reads the answer to a request, which must be its own. Whether another one follows.
fn read(wire: &mut Wire, asked: &Asked, seen: &mut Seen) -> bool {
    match wire.read_answer(asked.method) {
        Ok(answer) => {
            check(asked, &answer);
            if answer.status() < 300 {
                seen.answered += 1;
            } else {
                seen.failed += 1;
            }
            !answer.lists("Connection", "close")
        }
        Err(Broken::Early(part)) => {
            let expected = answer_body(&asked.id);
            let is_own = expected.as_bytes().starts_with(&part) || part.starts_with(b"HTTP/1.1 ");
            assert!(is_own, "{}: {}", asked.id, String::from_utf8_lossy(&part[..part.len().min(200)]));
            seen.cut += 1;
            false
        }
        Err(Broken::Reset | Broken::Closed) => {
            seen.cut += 1;
            false
        }
        Err(broken) => panic!("{}: {broken:?}", asked.id),
    }
}

#[track_caller]
fn check(asked: &Asked, answer: &Message) {
    let id = &asked.id;
    if answer.status() >= 300 {
        assert!(matches!(answer.status(), 400 | 408 | 502..=504), "{id}: {answer:?}");
        assert!(answer.values("X-Id").is_empty(), "{id}: {answer:?}");
        return;
    }
    assert_eq!(answer.value("X-Id"), id, "another's answer");
    let has_body = asked.method == Method::Other && answer.status() == 200 && answer.values("Content-Length") != ["0"];
    assert!(!has_body || answer.body_text() == answer_body(id), "{id}: {answer:?}");
}

#[test]
fn no_request_gets_anothers_answer() {
    let faults = Faults::default();
    let backends = [(1, false), (2, false), (3, true)].map(|(seed, strays)| erratic(SEED + seed, strays, &faults));
    let front = Setup::over(backends.each_ref().map(|backend| backend.address.as_str()))
        .workers(4)
        .pool("eject = \"off\"")
        .pool("timeouts = { first_byte = \"300ms\" }")
        .pool("retry = { tries = 3, budget = 100 }")
        .start();
    let mut all = Seen::default();
    std::thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|client| {
            let front = &front;
            scope.spawn(move || {
                let (mut rng, mut seen) = (Rng::new(SEED ^ client << 32), Seen::default());
                for number in 0..SESSIONS {
                    session(front, &format!("{client}-{number}"), &mut rng, &mut seen);
                }
                seen
            })
        });
        for client in clients.collect::<Vec<_>>() {
            let seen = client.join().unwrap();
            all.answered += seen.answered;
            all.failed += seen.failed;
            all.cut += seen.cut;
            all.left += seen.left;
        }
    });
    let Seen { answered, failed, cut, left } = all;
    let reused: u64 = front.backends("attempts").iter().filter_map(serde_json::Value::as_u64).sum::<u64>()
        - front.backends("connects").iter().filter_map(serde_json::Value::as_u64).sum::<u64>();
    figure(&format!(
        "no request got another's answer (seed {SEED}, 4 workers): {answered} answered, {failed} failed, {cut} cut, {left} \
         left behind; {reused} attempts on used connections"
    ));
    assert_eq!(*faults.lock().unwrap(), [""; 0], "bodies that came with the wrong request");
    assert!(answered > CLIENTS * SESSIONS, "most are answered: {answered}");
    assert!(reused > answered / 10, "connections are used again: {reused}");
    eventually("nothing runs any more", || front.backends("active").iter().all(|active| active == 0));
}
