//! How connections of HTTP/2 end, and backends that speak it.

use std::process::{Child, Command, Stdio};

use super::answers::curl;
use crate::harness::http2::{End, GOAWAY, Http2};
use crate::harness::{Backend, Gate, OK, Setup, Signal, Wire, eventually, figure, find_program, free_port};

#[test]
fn idle_connections_end_with_goaway() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener("timeouts = { keep_alive = \"1s\" }").start();
    let mut client = Http2::connect(front.address());
    let stream = client.get("/", &[]);
    assert_eq!(client.answer(stream).status, 200);
    assert_eq!(client.goaway(), Some(0), "NO_ERROR");
}

#[test]
fn stop_lets_streams_end_and_takes_those_on_their_way() {
    let gate = Gate::closed();
    let passed = gate.clone();
    let backend = Backend::serving(move |conn| {
        loop {
            conn.request()?;
            passed.pass();
            conn.send(OK);
        }
    });
    let mut front = Setup::new(&backend).start();
    let mut client = Http2::connect(front.address());
    let first = client.get("/", &[]);
    eventually("the backend has it", || backend.requests().len() == 1);
    front.signal(Signal::TERM);
    while client.next_frame().unwrap().kind != GOAWAY {}
    // Sent before the client could know.
    let second = client.get("/", &[]);
    gate.open();
    let answer = client.answer(first);
    assert_eq!((answer.status, answer.end), (200, End::Whole));
    let answer = client.answer(second);
    assert_eq!((answer.status, answer.end), (200, End::Whole));
    client.goaway();
    assert!(front.wait_for_end().success());
}

#[test]
fn stop_under_load_loses_nothing() {
    let backend = Backend::answering(OK);
    let mut front = Setup::new(&backend).workers(2).start();
    let url = format!("http://{}/", front.address());
    let load = Command::new("h2load")
        .args(["-c", "4", "-m", "4", "-D", "3", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("it runs", || front.counter("requests") > 500);
    front.signal(Signal::TERM);
    let ended = front.wait_for_end();
    let output = load.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find(|line| line.starts_with("requests:")).unwrap_or_default().to_owned();
    let statuses = said.lines().find(|line| line.starts_with("status codes:")).unwrap_or_default().to_owned();
    assert!(ended.success());
    assert!(statuses.contains(" 0 4xx, 0 5xx"), "{said}");
    figure(&format!("HTTP/2, SIGTERM under h2load: {line}; {statuses}"));
}

/// A server of HTTP/2 in clear text, of another hand.
struct Nghttpd {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Nghttpd {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("page"), "p".repeat(1_000_000)).unwrap();
        std::fs::write(folder.path().join("index.html"), "index").unwrap();
        let port = free_port();
        let child = Command::new(find_program("nghttpd").unwrap())
            .args(["--no-tls", "-a", "127.0.0.1", "-d"])
            .arg(folder.path())
            .args(args)
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = format!("127.0.0.1:{port}");
        eventually("nghttpd listens", || Wire::try_connect(&address).is_ok());
        Self { child, address, _folder: folder }
    }
}

impl Drop for Nghttpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn http2_backends_serve_clients_of_both_versions() {
    let backend = Nghttpd::start(&["--trailer", "x-sum: 42", "--echo-upload"]);
    let front = Setup::over([format!("h2c://{}", backend.address)]).start();
    let url = |path: &str| format!("http://{}{path}", front.address());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        assert_eq!(curl(&[version, &url("/page")]).len(), 1_000_000);
        assert!(curl(&[version, "-i", "-X", "POST", "-d", "echo this", &url("/index.html")]).contains("echo this"));
        assert!(curl(&[version, "-I", &url("/page")]).contains("200"), "HEAD");
        assert!(curl(&[version, "-o", "/dev/null", "-w", "%{http_code}", &url("/none")]).contains("404"));
    }
    let got = curl(&["--http2-prior-knowledge", "-i", &url("/page")]);
    assert!(got.contains("x-sum: 42"), "trailers");
}

#[test]
fn http2_backends_take_many_streams_at_once() {
    let backend = Nghttpd::start(&["-m", "5"]);
    let front = Setup::over([format!("h2c://{}", backend.address)]).start();
    let url = format!("http://{}/index.html", front.address());
    let output = Command::new("h2load").args(["-n", "2000", "-c", "4", "-m", "20", &url]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("2000 succeeded, 0 failed"), "{said}");
}
