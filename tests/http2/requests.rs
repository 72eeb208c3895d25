//! Requests of real clients over HTTP/2, as HTTP/1.1 backends get them.

use std::process::Command;

use super::answers::{curl, nghttp};
use crate::harness::http2::{DATA, END_HEADERS, END_STREAM, End, HEADERS, Http2, block};
use crate::harness::{Backend, Evenkeel, OK, Setup, Wire, eventually};

fn front(backend: &Backend) -> Evenkeel {
    Setup::new(backend).start()
}

fn url(front: &Evenkeel, path: &str) -> String {
    format!("http://{}{path}", front.address())
}

#[test]
fn curl_gets_heads_and_posts() {
    let backend = Backend::answering(OK);
    let front = front(&backend);
    let got = curl(&["--http2-prior-knowledge", "-i", &url(&front, "/a?b=c")]);
    assert!(got.starts_with("HTTP/2 200") && got.ends_with("ok"), "{got}");
    let request = backend.request();
    assert_eq!(request.start_line(), "GET /a?b=c HTTP/1.1");
    assert_eq!(request.value("Host"), front.address());
    assert_eq!(request.value("X-Forwarded-For"), "127.0.0.1");
    assert_eq!((request.value("X-Forwarded-Proto"), request.value("X-Forwarded-Host")), ("http", front.address()));
    assert!(!request.has("Connection") && !request.has("Transfer-Encoding"), "{request:?}");
    let posted = curl(&["--http2-prior-knowledge", "-s", "-d", "some=thing", &url(&front, "/post")]);
    assert_eq!(posted, "ok");
    let request = backend.requests().pop().unwrap();
    assert_eq!((request.value("Content-Length"), request.body_text().as_str()), ("10", "some=thing"));
}

#[test]
fn head_has_no_body() {
    let backend = Backend::serving(|conn| {
        loop {
            conn.head()?;
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
        }
    });
    let front = front(&backend);
    let got = curl(&["--http2-prior-knowledge", "-I", &url(&front, "/")]);
    assert!(got.starts_with("HTTP/2 200") && got.contains("content-length: 1234"), "{got}");
    assert_eq!(backend.request().start_line(), "HEAD / HTTP/1.1");
}

#[test]
fn curl_speaks_http2_over_tls_by_alpn() {
    let backend = Backend::answering(OK);
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"])
        .args(["-subj", "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let tls = format!("tls = {{ cert = {cert:?}, key = {key:?} }}");
    let front = Setup::new(&backend).listener(&tls).start();
    let resolve = format!("shop.example:{}:127.0.0.1", front.port());
    let url = format!("https://shop.example:{}/", front.port());
    let got = curl(&["--http2", "-i", "--cacert", &cert.display().to_string(), "--resolve", &resolve, &url]);
    assert!(got.starts_with("HTTP/2 200") && got.ends_with("ok"), "{got}");
    assert_eq!(backend.request().value("X-Forwarded-Proto"), "https");
}

#[test]
fn big_uploads_pass_under_small_windows() {
    let backend = Backend::serving(|conn| {
        loop {
            let request = conn.request()?;
            let length = request.body.len().to_string();
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{length}", length.len()));
        }
    });
    let front = front(&backend);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, vec![b'u'; 5_000_000]).unwrap();
    let got = curl(&["--http2-prior-knowledge", "-s", "-T", &file.display().to_string(), &url(&front, "/")]);
    assert_eq!(got, "5000000");
    let got = nghttp(&["-d", &file.display().to_string(), &url(&front, "/")]);
    assert_eq!(got, "5000000");
}

#[test]
fn rfc9113_8_2_3_cookie_crumbs_are_joined() {
    let backend = Backend::answering(OK);
    let front = front(&backend);
    let mut client = Http2::connect(front.address());
    let stream = client.get("/", &[("cookie", "a=1"), ("x-between", "y"), ("cookie", "b=2"), ("cookie", "c=3")]);
    assert_eq!(client.answer(stream).status, 200);
    assert_eq!(backend.request().value("Cookie"), "a=1; b=2; c=3");
}

#[test]
fn request_trailers_go_on() {
    let backend = Backend::answering(OK);
    let front = front(&backend);
    let mut client = Http2::connect(front.address());
    let stream = client.post("/", &[]);
    client.send(DATA, 0, stream, *b"body");
    client.send(HEADERS, END_HEADERS | END_STREAM, stream, block(&[("x-sum", "42")]));
    assert_eq!(client.answer(stream).status, 200);
    let request = backend.request();
    assert_eq!((request.body_text().as_str(), request.trailers.join("|").as_str()), ("body", "x-sum: 42"));
}

#[test]
fn expect_100_continue_is_answered_by_the_backend() {
    let backend = Backend::serving(|conn| {
        let mut request = conn.head()?;
        conn.send("HTTP/1.1 100 Continue\r\n\r\n");
        conn.wire.read_body_of_request(&mut request)?;
        conn.send(OK);
        Ok(())
    });
    let front = front(&backend);
    let mut client = Http2::connect(front.address());
    let stream = client.post("/", &[("expect", "100-continue"), ("content-length", "4")]);
    assert_eq!(client.status_on(stream), 100);
    client.send(DATA, END_STREAM, stream, *b"body");
    assert_eq!(client.answer(stream).status, 200);
}

#[test]
fn proxy_header_comes_before_the_preface() {
    let backend = Backend::answering(OK);
    let lines = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]";
    let front = Setup::new(&backend).listener(lines).start();
    let mut wire = Wire::connect(front.address());
    wire.send("PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n");
    let mut client = Http2::over(wire, &[]);
    let stream = client.get("/", &[]);
    assert_eq!(client.answer(stream).status, 200);
    assert_eq!(backend.request().value("X-Forwarded-For"), "203.0.113.7");
}

#[test]
fn cancel_frees_the_backend() {
    let backend = Backend::silent();
    let front = front(&backend);
    let mut client = Http2::connect(front.address());
    let stream = client.get("/", &[]);
    eventually("the backend has it", || backend.requests().len() == 1);
    client.cancel(stream);
    backend.wait_until_all_closed();
    eventually("nothing runs", || front.sum("in_flight") == 0);
}

#[test]
fn backends_that_die_are_repeated_elsewhere() {
    let dying = Backend::serving(|conn| {
        conn.request()?;
        conn.end_with_reset();
        Ok(())
    });
    let good = Backend::named("good");
    let front = Setup::over([dying.address.as_str(), good.address.as_str()]).start();
    let mut client = Http2::connect(front.address());
    for _ in 0..10 {
        let stream = client.get("/", &[]);
        let answer = client.answer(stream);
        assert_eq!((answer.status, answer.body_text().as_str(), answer.end), (200, "good", End::Whole));
    }
    assert!(!dying.requests().is_empty());
}
