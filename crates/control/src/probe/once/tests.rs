use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;

use policy::ask::Wish;
use policy::plan::{Expected, Pattern, Talk};

use super::*;

/// Longer than any test should take: only the tests of timeouts wait for theirs.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

fn check(kind: ProbeKind) -> Check {
    Check {
        kind,
        port: None,
        timeout: PATIENCE,
        host: "app.example".to_owned(),
        send_proxy: None,
        tls: None,
        http2: None,
    }
}

fn get(path: &str) -> ProbeKind {
    ProbeKind::Http(Box::new(Question::get(path)))
}

/// A server for one connection: reads a head, sends `answer`, closes. What it read is received.
fn server(answer: &str) -> (Endpoint, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    let (sender, seen) = mpsc::channel();
    let answer = answer.to_owned();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        sender.send(read_head(&mut stream)).ok();
        stream.write_all(answer.as_bytes()).ok();
        stream.shutdown(Shutdown::Write).ok();
        // The other side closes first: no reset eats the answer.
        stream.read_to_end(&mut Vec::new()).ok();
    });
    (endpoint, seen)
}

fn read_head(stream: &mut impl Read) -> Vec<u8> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    head
}

async fn outcome(kind: ProbeKind, answer: &str) -> Outcome {
    let (endpoint, _seen) = server(answer);
    probe(&check(kind), &endpoint, None).await
}

fn status(code: u16) -> Outcome {
    Outcome::Failed(ProbeFailure::Status(code))
}

fn assert_malformed(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Failed(ProbeFailure::Malformed(_))), "{outcome:?}");
}

#[tokio::test]
async fn get_passes_from_200_to_399() {
    for (line, expected) in [
        ("200 OK", Outcome::Passed),
        ("204 No Content", Outcome::Passed),
        ("302 Found", Outcome::Passed),
        ("399 Odd", Outcome::Passed),
        ("400 Bad Request", status(400)),
        ("404 Not Found", status(404)),
        ("500 Internal Server Error", status(500)),
        ("501 Not Implemented", status(501)),
        ("503 Service Unavailable", status(503)),
    ] {
        let answer = format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(outcome(get("/healthz"), &answer).await, expected, "{line}");
    }
}

#[tokio::test]
async fn alive_passes_below_500_and_on_501() {
    for (line, expected) in [
        ("200 OK", Outcome::Passed),
        ("404 Not Found", Outcome::Passed),
        ("405 Method Not Allowed", Outcome::Passed),
        ("499 Odd", Outcome::Passed),
        ("500 Internal Server Error", status(500)),
        ("501 Not Implemented", Outcome::Passed),
        ("502 Bad Gateway", status(502)),
        ("599 Odd", status(599)),
    ] {
        // A HEAD answer announces a body that does not come (RFC 9110, section 9.3.2).
        let answer = format!("HTTP/1.1 {line}\r\ncontent-length: 12\r\n\r\n");
        assert_eq!(outcome(ProbeKind::Alive, &answer).await, expected, "{line}");
    }
}

#[tokio::test]
async fn interim_answer_is_not_the_answer() {
    let answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(outcome(get("/"), answer).await, status(500));
}

#[tokio::test]
async fn flood_of_interim_answers_is_no_answer() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let answer = |interim: usize| "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(interim) + ok;
    assert_eq!(outcome(get("/"), &answer(16)).await, Outcome::Passed);
    let flood = Outcome::Failed(ProbeFailure::Malformed("too many interim answers".to_owned()));
    assert_eq!(outcome(get("/"), &answer(17)).await, flood);
    assert_eq!(outcome(get("/"), &answer(50_000)).await, flood);
}

#[tokio::test]
async fn body_may_be_cut_or_large() {
    assert_eq!(outcome(get("/"), "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf").await, Outcome::Passed);
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n{}", "x".repeat(300_000));
    assert_eq!(outcome(get("/"), &large).await, Outcome::Passed);
}

#[tokio::test]
async fn request_says_who_asks() {
    let (endpoint, seen) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(probe(&check(get("/healthz?deep=1")), &endpoint, None).await, Outcome::Passed);
    let head = String::from_utf8(seen.recv().unwrap()).unwrap().to_lowercase();
    assert!(head.starts_with("get /healthz?deep=1 http/1.1\r\n"), "{head}");
    for field in ["host: app.example\r\n", "user-agent: evenkeel-probe\r\n", "connection: close\r\n"] {
        assert!(head.contains(field), "{field} in {head}");
    }
}

fn unexpected(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed(ProbeFailure::Unexpected(what)) => what,
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Option<Expected> {
    Some(Expected::Text(text.into()))
}

fn pattern(source: &str) -> Option<Expected> {
    let regex = regex::bytes::Regex::new(source).unwrap();
    Some(Expected::Pattern(Pattern { source: source.to_owned(), regex }))
}

fn wanting(body: Option<Expected>) -> ProbeKind {
    ProbeKind::Http(Box::new(Question { body, ..Question::get("/") }))
}

#[tokio::test]
async fn question_of_the_file_is_asked_as_written() {
    let (endpoint, seen) = server("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
    let headers = vec![("x-probe".to_owned(), "deep".to_owned()), ("user-agent".to_owned(), "mine".to_owned())];
    let question =
        Question { method: "PURGE".to_owned(), headers, status: vec![(201, 201)], ..Question::get("/a?b=c") };
    assert_eq!(probe(&check(ProbeKind::Http(Box::new(question))), &endpoint, None).await, Outcome::Passed);
    let head = String::from_utf8(seen.recv().unwrap()).unwrap().to_lowercase();
    assert!(head.starts_with("purge /a?b=c http/1.1\r\n"), "{head}");
    assert!(head.contains("x-probe: deep\r\n") && head.contains("user-agent: mine\r\n"), "{head}");
    assert!(!head.contains("evenkeel-probe"), "{head}");
}

#[tokio::test]
async fn only_the_statuses_of_the_file_pass() {
    let question = || Question { status: vec![(204, 204), (301, 302)], ..Question::get("/") };
    for (code, expected) in [(204, Outcome::Passed), (302, Outcome::Passed), (200, status(200)), (303, status(303))] {
        let answer = format!("HTTP/1.1 {code} Sample\r\n\r\n");
        assert_eq!(outcome(ProbeKind::Http(Box::new(question())), &answer).await, expected, "{code}");
    }
}

#[tokio::test]
async fn body_must_have_what_is_expected() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\ndb: broken\n";
    assert_eq!(outcome(wanting(text("db: ")), answer).await, Outcome::Passed);
    assert_eq!(outcome(wanting(pattern("b: (broken|x)\n$")), answer).await, Outcome::Passed);
    let wrong = outcome(wanting(text("db: ok")), answer).await;
    assert_eq!(unexpected(&wrong), "the body lacks `db: ok`: it is `db: broken\\n`");
    let wrong = outcome(wanting(pattern("^ok")), answer).await;
    assert!(unexpected(&wrong).contains("a match of `^ok`"), "{wrong:?}");
    // A bad status is told as such, whatever the body says.
    let refused = "HTTP/1.1 503 No\r\ncontent-length: 6\r\n\r\ndb: ok";
    assert_eq!(outcome(wanting(text("db: ok")), refused).await, status(503));
}

#[tokio::test]
async fn body_counts_as_far_as_it_came() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf";
    assert_eq!(outcome(wanting(text("half")), cut).await, Outcome::Passed);
    assert_malformed(&outcome(wanting(text("other")), cut).await);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    assert_eq!(outcome(wanting(text("cd")), chunked).await, Outcome::Passed);
}

#[tokio::test]
async fn no_more_of_a_body_is_read_than_64_kib() {
    let (before, after) = ("x".repeat((64 << 10) - 2), "x".repeat(64 << 10));
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    assert_eq!(outcome(wanting(text("ok")), &answer(&format!("{before}ok"))).await, Outcome::Passed);
    let late = outcome(wanting(text("ok")), &answer(&format!("{after}ok"))).await;
    assert!(unexpected(&late).starts_with("the body lacks `ok`: it begins `xxx"), "{late:?}");
}

fn asks(outcome: Outcome) -> (Wish, String) {
    match outcome {
        Outcome::Asks(ask) => (ask.wish, ask.words),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn passing_answer_may_ask_for_less() {
    let with = |fields: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{fields}\r\n");
    for kind in [ProbeKind::Alive, get("/")] {
        let (wish, words) = asks(outcome(kind.clone(), &with("X-Evenkeel-Weight: 50\r\n")).await);
        assert_eq!((wish, words.as_str()), (Wish::Part(500), "x-evenkeel-weight: 50"));
        let (wish, _) =
            asks(outcome(kind.clone(), &with("x-evenkeel-state: drain\r\nx-evenkeel-weight: 50\r\n")).await);
        assert_eq!(wish, Wish::Drain);
        assert_eq!(outcome(kind, &with("x-evenkeel-weight: much\r\n")).await, Outcome::Passed);
    }
    let failing = "HTTP/1.1 500 No\r\ncontent-length: 0\r\nx-evenkeel-weight: 50\r\n\r\n";
    assert_eq!(outcome(get("/"), failing).await, status(500));
}

#[tokio::test]
async fn statuses_of_the_file_ask_for_less_and_pass() {
    let question = Question { degraded: vec![(429, 429)], drain: vec![(503, 503)], ..Question::get("/") };
    let kind = || ProbeKind::Http(Box::new(question.clone()));
    let answer = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    let asked = asks(outcome(kind(), &answer("429 Busy")).await);
    assert_eq!(asked, (Wish::Part(500), "status 429".to_owned()));
    assert_eq!(asks(outcome(kind(), &answer("503 Leaving")).await).0, Wish::Drain);
    assert_eq!(outcome(kind(), &answer("500 No")).await, status(500));
}

/// A server for one connection that does as it is told; what it read last is received.
fn scripted(
    script: impl FnOnce(&mut std::net::TcpStream) -> Vec<u8> + Send + 'static,
) -> (Endpoint, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    let (sender, seen) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let read = script(&mut stream);
        sender.send(read).ok();
        stream.shutdown(Shutdown::Write).ok();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    (endpoint, seen)
}

fn says(reply: &'static [u8]) -> (Endpoint, mpsc::Receiver<Vec<u8>>) {
    scripted(move |stream| {
        stream.write_all(reply).ok();
        Vec::new()
    })
}

fn talk(send: &[u8], expect: Option<Expected>) -> Check {
    check(ProbeKind::Talk(Talk { send: send.to_vec(), expect }))
}

#[tokio::test]
async fn dialogue_over_tcp_is_held_in_pieces() {
    let (endpoint, seen) = scripted(|stream| {
        let mut said = [0; 6];
        stream.read_exact(&mut said).unwrap();
        for byte in b"+PONG\r\n" {
            stream.write_all(&[*byte]).unwrap();
            stream.flush().unwrap();
        }
        said.to_vec()
    });
    assert_eq!(probe(&talk(b"PING\r\n", text("+PONG")), &endpoint, None).await, Outcome::Passed);
    assert_eq!(seen.recv().unwrap(), b"PING\r\n");
}

#[tokio::test]
async fn wrong_and_missing_replies_are_told() {
    let (endpoint, _seen) = says(b"-LOADING \xff\r\n");
    let wrong = probe(&talk(b"", text("+PONG")), &endpoint, None).await;
    assert_eq!(unexpected(&wrong), "the reply lacks `+PONG`: it is `-LOADING \\xff\\r\\n`");
    let (endpoint, _seen) = says(b"");
    let wrong = probe(&talk(b"", pattern("^220 ")), &endpoint, None).await;
    assert_eq!(unexpected(&wrong), "the reply lacks a match of `^220 `: nothing came");
    let (endpoint, _seen) = says(b"220 mail.example ready\r\n");
    assert_eq!(probe(&talk(b"", pattern("^220 ")), &endpoint, None).await, Outcome::Passed);
}

#[tokio::test]
async fn half_a_reply_is_waited_for_and_no_longer_than_the_timeout() {
    let (release, released) = mpsc::channel::<()>();
    let (endpoint, _seen) = scripted(move |stream| {
        stream.write_all(b"+PO").unwrap();
        released.recv().ok();
        Vec::new()
    });
    let hasty = Check { timeout: SHORT, ..talk(b"", text("+PONG")) };
    assert_eq!(probe(&hasty, &endpoint, None).await, Outcome::Failed(ProbeFailure::Timeout));
    drop(release);
    // The same for a body that stops in the middle.
    let (release, released) = mpsc::channel::<()>();
    let (endpoint, _seen) = scripted(move |stream| {
        read_head(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal").unwrap();
        released.recv().ok();
        Vec::new()
    });
    let hasty = Check { timeout: SHORT, ..check(wanting(text("half"))) };
    assert_eq!(probe(&hasty, &endpoint, None).await, Outcome::Failed(ProbeFailure::Timeout));
    drop(release);
}

#[tokio::test]
async fn endless_reply_ends_the_probe() {
    let (endpoint, _seen) = scripted(|stream| {
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
        Vec::new()
    });
    let endless = probe(&talk(b"", text("+PONG")), &endpoint, None).await;
    assert!(unexpected(&endless).starts_with("the reply lacks `+PONG`: it begins `xxx"), "{endless:?}");
}

#[tokio::test]
async fn own_port_of_the_check_is_asked() {
    let (Endpoint::Tcp(open), _seen) = says(b"") else { panic!() };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let elsewhere = Check { port: Some(open.port()), ..check(ProbeKind::Tcp) };
    assert_eq!(probe(&elsewhere, &Endpoint::Tcp(closed), None).await, Outcome::Passed);
}

#[tokio::test]
async fn alive_asks_head_of_the_root() {
    let (endpoint, seen) = server("HTTP/1.0 200 OK\r\n\r\n");
    assert_eq!(probe(&check(ProbeKind::Alive), &endpoint, None).await, Outcome::Passed);
    assert!(seen.recv().unwrap().starts_with(b"HEAD / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn garbage_is_malformed() {
    assert_malformed(&outcome(ProbeKind::Alive, "SSH-2.0-OpenSSH_9.9\r\n\r\n").await);
    assert_malformed(&outcome(ProbeKind::Alive, "HTTP/1.1 abc\r\n\r\n").await);
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(64 << 10));
    assert_malformed(&outcome(ProbeKind::Alive, &endless).await);
}

#[tokio::test]
async fn closing_early_is_malformed() {
    assert_malformed(&outcome(ProbeKind::Alive, "").await);
    assert_malformed(&outcome(ProbeKind::Alive, "HTTP/1.1 200 OK\r\ncontent-le").await);
}

#[tokio::test]
async fn closed_port_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    drop(listener);
    for kind in [ProbeKind::Tcp, ProbeKind::Alive] {
        let expected = Outcome::Failed(ProbeFailure::Connect("connection refused".to_owned()));
        assert_eq!(probe(&check(kind), &endpoint, None).await, expected);
    }
}

#[tokio::test]
async fn hanging_process_fails_alive_but_not_connect() {
    // Never accepted, as by a stopped process: the kernel completes the connection.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    assert_eq!(probe(&check(ProbeKind::Tcp), &endpoint, None).await, Outcome::Passed);
    let hasty = Check { timeout: SHORT, ..check(ProbeKind::Alive) };
    assert_eq!(probe(&hasty, &endpoint, None).await, Outcome::Failed(ProbeFailure::Timeout));
}

#[tokio::test]
async fn unix_socket_is_probed_and_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let endpoint = Endpoint::Unix(path.clone());
    let missing = probe(&check(ProbeKind::Alive), &endpoint, None).await;
    assert!(matches!(missing, Outcome::Failed(ProbeFailure::Connect(_))), "{missing:?}");

    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    assert_eq!(probe(&check(get("/")), &endpoint, None).await, Outcome::Passed);
    server.join().unwrap();
}

#[tokio::test]
async fn proxy_header_comes_first_and_names_nobody() {
    for (version, expected) in [
        (ProxyVersion::V1, b"PROXY UNKNOWN\r\n".as_slice()),
        (ProxyVersion::V2, b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".as_slice()),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        let length = expected.len();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut header = vec![0; length];
            stream.read_exact(&mut header).unwrap();
            let head = read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            (header, head)
        });
        let polite = Check { send_proxy: Some(version), ..check(ProbeKind::Alive) };
        assert_eq!(probe(&polite, &endpoint, None).await, Outcome::Passed);
        let (header, head) = server.join().unwrap();
        assert_eq!(header, expected);
        assert!(head.starts_with(b"HEAD / "));
    }
}

#[test]
fn own_exhaustion_is_no_evidence() {
    for errno in [Errno::MFILE, Errno::ADDRNOTAVAIL] {
        let error = io::Error::from_raw_os_error(errno.raw_os_error());
        assert!(matches!(not_connected(&error), Outcome::Untried(_)));
    }
    let error = io::Error::from_raw_os_error(Errno::HOSTUNREACH.raw_os_error());
    assert_eq!(not_connected(&error), Outcome::Failed(ProbeFailure::Connect("no route to host".to_owned())));
}
