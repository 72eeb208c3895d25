use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;

use super::*;

/// Longer than any test should take: only the tests of timeouts wait for theirs.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

fn check(kind: ProbeKind) -> Check {
    Check { kind, timeout: PATIENCE, host: "app.example".to_owned(), send_proxy: None }
}

fn get(path: &str) -> ProbeKind {
    ProbeKind::Http { path: path.to_owned() }
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
    probe(&check(kind), &endpoint).await
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
async fn body_may_be_cut_or_large() {
    assert_eq!(outcome(get("/"), "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf").await, Outcome::Passed);
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n{}", "x".repeat(300_000));
    assert_eq!(outcome(get("/"), &large).await, Outcome::Passed);
}

#[tokio::test]
async fn request_says_who_asks() {
    let (endpoint, seen) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(probe(&check(get("/healthz?deep=1")), &endpoint).await, Outcome::Passed);
    let head = String::from_utf8(seen.recv().unwrap()).unwrap().to_lowercase();
    assert!(head.starts_with("get /healthz?deep=1 http/1.1\r\n"), "{head}");
    for field in ["host: app.example\r\n", "user-agent: evenkeel-probe\r\n", "connection: close\r\n"] {
        assert!(head.contains(field), "{field} in {head}");
    }
}

#[tokio::test]
async fn alive_asks_head_of_the_root() {
    let (endpoint, seen) = server("HTTP/1.0 200 OK\r\n\r\n");
    assert_eq!(probe(&check(ProbeKind::Alive), &endpoint).await, Outcome::Passed);
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
        assert_eq!(probe(&check(kind), &endpoint).await, expected);
    }
}

#[tokio::test]
async fn hanging_process_fails_alive_but_not_connect() {
    // Never accepted, as by a stopped process: the kernel completes the connection.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    assert_eq!(probe(&check(ProbeKind::Tcp), &endpoint).await, Outcome::Passed);
    let hasty = Check { timeout: SHORT, ..check(ProbeKind::Alive) };
    assert_eq!(probe(&hasty, &endpoint).await, Outcome::Failed(ProbeFailure::Timeout));
}

#[tokio::test]
async fn unix_socket_is_probed_and_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let endpoint = Endpoint::Unix(path.clone());
    let missing = probe(&check(ProbeKind::Alive), &endpoint).await;
    assert!(matches!(missing, Outcome::Failed(ProbeFailure::Connect(_))), "{missing:?}");

    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    assert_eq!(probe(&check(get("/")), &endpoint).await, Outcome::Passed);
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
        assert_eq!(probe(&polite, &endpoint).await, Outcome::Passed);
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
