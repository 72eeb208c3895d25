//! How connections of HTTP/2 end, and backends that speak it.

use std::process::{Child, Command, Stdio};

use super::answers::curl;
use crate::harness::http2::{DATA, END_STREAM, End, GOAWAY, Http2, RST_STREAM};
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

/// What was asked before the client heard of the end is answered; what h2load begins after that is its own affair.
#[test]
fn stop_under_load_loses_nothing() {
    const AT_ONCE: usize = 10;
    let backend = Backend::answering(OK);
    let mut front = Setup::new(&backend).workers(2).start();
    let address = front.address().to_owned();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || {
                let mut client = Http2::connect(&address);
                let (mut asked, mut answered, mut told) = (0, 0, false);
                while !told || answered < asked {
                    while !told && asked - answered < AT_ONCE {
                        client.get("/", &[]);
                        asked += 1;
                    }
                    let frame = client.next_frame().unwrap_or_else(|broken| panic!("{asked}, {answered}: {broken:?}"));
                    told |= frame.kind == GOAWAY;
                    assert_ne!(frame.kind, RST_STREAM);
                    answered += usize::from(frame.kind == DATA && frame.has(END_STREAM));
                }
                (asked, answered)
            })
        })
        .collect();
    eventually("it runs", || front.counter("requests") > 500);
    front.signal(Signal::TERM);
    let (mut asked, mut answered) = (0, 0);
    for client in clients {
        let of_one = client.join().unwrap();
        (asked, answered) = (asked + of_one.0, answered + of_one.1);
    }
    assert!(front.wait_for_end().success());
    assert_eq!(asked, answered);
    figure(&format!("HTTP/2, SIGTERM under load: {asked} asked before GOAWAY was heard, {answered} answered"));
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
    let backend = Nghttpd::start(&["--echo-upload"]);
    let front = Setup::over([format!("h2c://{}", backend.address)]).start();
    let url = |path: &str| format!("http://{}{path}", front.address());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        assert_eq!(curl(&[version, &url("/page")]).len(), 1_000_000);
        assert!(curl(&[version, "-i", "-X", "POST", "-d", "echo this", &url("/index.html")]).contains("echo this"));
        assert!(curl(&[version, "-I", &url("/page")]).contains("200"), "HEAD");
        assert!(curl(&[version, "-o", "/dev/null", "-w", "%{http_code}", &url("/none")]).contains("404"));
    }
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
