//! gRPC through the balancer: clients and servers are those of grpcio (tests/grpc/peer.py), but where raw heads matter.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Backend, Evenkeel, Setup, eventually, eventually_some, find_program, free_port, skip};

const OFF: &str = "eject = \"off\"";

/// A Python that has grpcio.
fn python() -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let import = Command::new(python).args(["-c", "import grpc"]).stderr(Stdio::null()).status();
        import.is_ok_and(|status| status.success())
    })
}

macro_rules! python_or_skip {
    ($test:literal) => {
        match python() {
            Some(python) => python,
            None => return skip($test, "grpcio is not installed (pip install grpcio)"),
        }
    };
}

/// A running server or client; it ends with the test.
struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    fn start(python: &str, args: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/grpc/peer.py");
        let mut command = Command::new(python);
        command.arg(script).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (output, kept) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&lines));
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line))
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines }
    }

    fn server(python: &str, options: &[&str]) -> Self {
        Self::start(python, &[&["serve"], options].concat())
    }

    fn address(&self) -> String {
        eventually_some("the server listens", || self.lines.lock().unwrap().first().cloned())
    }

    fn count(&self, what: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(what)).count()
    }

    #[track_caller]
    fn wait_for(&self, what: &str) {
        eventually(what, || self.count(what) > 0);
    }

    /// Lets a client go on that waits to be told.
    fn go_on(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// What the client found.
    #[track_caller]
    fn result(mut self) -> Value {
        eventually("the client ends", || self.child.try_wait().unwrap().is_some());
        let last = eventually_some("the client's word", || self.lines.lock().unwrap().last().cloned());
        serde_json::from_str(&last).unwrap_or_else(|error| panic!("{error}: {last}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who calls, and how.
struct Caller<'a> {
    python: &'static str,
    address: String,
    options: Vec<&'a str>,
}

impl<'a> Caller<'a> {
    fn of(python: &'static str, front: &Evenkeel) -> Self {
        Self { python, address: front.address().to_owned(), options: Vec::new() }
    }

    fn begin(&self, case: &str, argument: &str) -> Peer {
        Peer::start(self.python, &[&["call", &self.address, case, argument], &self.options[..]].concat())
    }

    #[track_caller]
    fn call(&self, case: &str, argument: &str) -> Value {
        self.begin(case, argument).result()
    }
}

fn h2c(servers: &[&Peer]) -> Setup {
    Setup::over(servers.iter().map(|server| format!("h2c://{}", server.address())))
}

fn calls_of_every_kind(caller: &Caller<'_>) {
    assert_eq!(caller.call("unary", "5"), json!({"code": 0, "same": true}));
    assert_eq!(caller.call("unary", "8000000"), json!({"code": 0, "same": true}), "a big message");
    assert_eq!(caller.call("many", "200"), json!({"right": 200}), "more than fit on one connection at once");
    assert_eq!(caller.call("down", "500"), json!({"count": 500, "in_order": true}));
    assert_eq!(caller.call("up", "200 10000"), json!({"answer": "200 2000000"}));
    assert_eq!(caller.call("both", "100"), json!({"right": 100}));
    let ended = caller.call("ends", "");
    assert_eq!((&ended["answers"], &ended["code"]), (&json!(["first"]), &json!(10)), "{ended}");
    assert_eq!(ended["details"], "no more of it");
}

#[test]
fn calls_of_every_kind_pass_in_clear_text() {
    let python = python_or_skip!("calls_of_every_kind_pass_in_clear_text");
    let server = Peer::server(python, &[]);
    let front = h2c(&[&server]).start();
    calls_of_every_kind(&Caller::of(python, &front));
    eventually("calls are counted", || front.counter("calls") == 206);
    assert_eq!((front.counter("failed_calls"), front.sum("calls"), front.sum("failed_calls")), (1, 206, 1));
}

/// A certificate for localhost that has issued itself, and its key.
fn certificate(folder: &TempDir) -> (PathBuf, PathBuf) {
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"]).arg(&key).arg("-out").arg(&cert);
    assert!(command.stderr(Stdio::null()).status().unwrap().success());
    (cert, key)
}

#[test]
fn calls_of_every_kind_pass_over_tls_on_both_sides() {
    let python = python_or_skip!("calls_of_every_kind_pass_over_tls_on_both_sides");
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(&folder);
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let server = Peer::server(python, &["--tls", cert, key]);
    let front = Setup::over([format!("h2://{}", server.address())])
        .listener(&format!("tls = {{ cert = {cert:?}, key = {key:?} }}"))
        .pool(&format!("tls = {{ ca = {cert:?} }}"))
        .start();
    calls_of_every_kind(&Caller { options: vec!["--ca", cert], ..Caller::of(python, &front) });
}

#[test]
fn backend_that_does_not_agree_on_http2_is_told_of() {
    let python = python_or_skip!("backend_that_does_not_agree_on_http2_is_told_of");
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(&folder);
    let port = free_port();
    let mut command = Command::new(find_program("openssl").unwrap());
    command.args(["s_server", "-accept", &port.to_string(), "-www", "-cert"]).arg(&cert).arg("-key").arg(&key);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _server = Peer { child, stdin: None, lines: Arc::default() };
    eventually("openssl listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let front = Setup::over([format!("h2://127.0.0.1:{port}")])
        .pool(&format!("tls = {{ ca = {cert:?} }}\nretry = {{ tries = 1 }}"))
        .start();
    let failed = Caller::of(python, &front).call("unary", "5");
    assert_eq!(failed["code"], 14, "{failed}");
    assert!(failed["details"].as_str().unwrap().contains("does not agree to speak HTTP/2"), "{failed}");
    assert_eq!(front.failure()["cause"], "tls-failed");
}

#[test]
fn metadata_and_deadlines_are_passed_on() {
    let python = python_or_skip!("metadata_and_deadlines_are_passed_on");
    let server = Peer::server(python, &[]);
    let front = h2c(&[&server]).start();
    let caller = Caller::of(python, &front);
    let seen = caller.call("reflect", "50");
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(seen["metadata"]["x-plain"], "as it is", "{seen}");
    assert_eq!((&seen["metadata"]["x-blob-bin"], &seen["trailing"]["x-late-bin"]), (&json!(all), &json!(all)));
    assert_eq!((&seen["initial"]["x-early"], &seen["trailing"]["x-late"]), (&json!("initial"), &json!("trailing")));
    assert!(seen["metadata"]["x-request-id"].is_string());
    assert!((1.0..=50.0).contains(&seen["left"].as_f64().unwrap()), "{seen}");
    assert_eq!(caller.call("reflect", "")["left"], Value::Null, "nobody adds a deadline");
}

#[test]
fn failures_pass_with_their_words_and_metadata() {
    let python = python_or_skip!("failures_pass_with_their_words_and_metadata");
    let server = Peer::server(python, &[]);
    let front = h2c(&[&server]).access_log("write = \"all\"").start();
    let failed = Caller::of(python, &front).call("fail", "7 nicht für dich: 50 %\n");
    assert_eq!((&failed["code"], &failed["details"]), (&json!(7), &json!("nicht für dich: 50 %\n")), "{failed}");
    assert_eq!(
        (&failed["trailing"]["x-why"], &failed["trailing"]["x-why-bin"]),
        (&json!("asked for"), &json!([0, 255]))
    );
    eventually("the log tells", || front.log().contains("\"grpc_status\":\"permission-denied\""));
}

#[test]
fn cancel_of_a_client_reaches_the_backend() {
    let python = python_or_skip!("cancel_of_a_client_reaches_the_backend");
    let server = Peer::server(python, &[]);
    let front = h2c(&[&server]).start();
    let caller = Caller::of(python, &front);
    let mut client = caller.begin("cancel", "");
    server.wait_for("hang begun");
    client.go_on();
    server.wait_for("hang over");
    assert_eq!(client.result(), json!({"first": "first"}));
    // The backend takes nothing more: nobody reads from the client, and its cancel is heard all the same.
    let mut client = caller.begin("cancel-up", "");
    server.wait_for("deaf begun");
    client.go_on();
    server.wait_for("deaf over");
    assert_eq!(client.result(), json!({"cancelled": true}));
    front.wait_for_counter("aborted", 2);
}

#[test]
fn end_of_a_backend_is_a_status_for_those_who_wait() {
    let python = python_or_skip!("end_of_a_backend_is_a_status_for_those_who_wait");
    let server = Peer::server(python, &[]);
    let front = h2c(&[&server]).start();
    let client = Caller::of(python, &front).begin("hang", "");
    eventually("the first message comes", || client.count("came") == 1);
    drop(server);
    let ended = client.result();
    assert_eq!((&ended["answers"], &ended["code"]), (&json!(["first"]), &json!(14)), "{ended}");
}

#[test]
fn time_for_a_call_ends_with_a_status() {
    let python = python_or_skip!("time_for_a_call_ends_with_a_status");
    let server = Peer::server(python, &[]);
    let front = h2c(&[&server]).pool("timeouts = { total = \"300ms\" }").start();
    let ended = Caller::of(python, &front).call("hang", "");
    assert_eq!((&ended["answers"], &ended["code"]), (&json!(["first"]), &json!(4)), "{ended}");
    server.wait_for("hang over");
}

const CALL: &str = "content-type: application/grpc+proto";

/// A request by curl with these fields: what came, head and all.
fn curl(front: &Evenkeel, path: &str, fields: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-s", "-i", "--http2-prior-knowledge", "--max-time", "30", "--data-binary", "x"]);
    command.args(fields.iter().flat_map(|field| ["-H", field]));
    let output = command.arg(format!("http://{}{path}", front.address())).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn deadline_of_the_client_bounds_a_call() {
    let silent = Backend::silent();
    let front = Setup::over([format!("h2c://{}", silent.address)]).start();
    let answer = curl(&front, "/a.B/C", &[CALL, "te: trailers", "grpc-timeout: 200m"]);
    assert!(answer.starts_with("HTTP/2 200"), "{answer}");
    for line in ["content-type: application/grpc\r\n", "grpc-status: 4\r\n", "x-request-id: ", "proxy-status: "] {
        assert!(answer.contains(line), "{line:?} in {answer}");
    }
    assert!(answer.contains("grpc-message: the call took longer than its client waits\r\n"), "{answer}");
    assert_eq!(front.failure()["cause"], "deadline");
}

#[test]
fn errors_of_our_own_are_statuses_for_calls_only() {
    let front = Setup::over(["h2c://127.0.0.1:1"])
        .pool("retry = { tries = 1 }")
        .more("[[route]]\ngrpc = \"closed.Service\"\nlimits = { body = \"10B\", rate = \"1/h\" }\npool = \"app\"")
        .start();
    let answer = curl(&front, "/open.Service/Method", &[CALL]);
    assert!(answer.starts_with("HTTP/2 200") && answer.contains("grpc-status: 14\r\n"), "{answer}");
    curl(&front, "/closed.Service/Method", &[CALL]);
    let limited = curl(&front, "/closed.Service/Method", &[CALL]);
    assert!(limited.starts_with("HTTP/2 200") && limited.contains("grpc-status: 8\r\n"), "{limited}");
    assert!(limited.contains("retry-after: "), "{limited}");
    let plain = curl(&front, "/open.Service/Method", &["content-type: text/plain"]);
    assert!(plain.starts_with("HTTP/2 502") && !plain.contains("grpc-status"), "{plain}");
}

#[test]
fn services_and_methods_are_routes() {
    let python = python_or_skip!("services_and_methods_are_routes");
    let server = Peer::server(python, &[]);
    let front = h2c(&[&server])
        .more("[[route]]\ngrpc = \"test.Echo/Up\"\nanswer = { status = 403 }")
        .more("[[route]]\ngrpc = [\"gone.Service\"]\nanswer = { status = 404 }")
        .start();
    let caller = Caller::of(python, &front);
    assert_eq!(caller.call("unary", "5")["code"], 0);
    assert_eq!(caller.call("up", "1 1")["code"], 7, "what clients make of 403");
    assert_eq!(caller.call("method", "gone.Service/Any")["code"], 12, "what clients make of 404");
    assert_eq!(caller.call("method", "other.Service/Any")["code"], 12, "the backend does not know it");
}

#[test]
fn named_statuses_are_tried_again_elsewhere() {
    let python = python_or_skip!("named_statuses_are_tried_again_elsewhere");
    let (ill, well) = (Peer::server(python, &["--unavailable"]), Peer::server(python, &[]));
    let front = h2c(&[&ill, &well]).pool(OFF).pool("retry = { grpc = [\"unavailable\"] }").start();
    assert_eq!(Caller::of(python, &front).call("several", "20"), json!({"0": 20}));
    assert_eq!((front.counter("calls"), front.counter("failed_calls"), front.sum("failed_calls")), (20, 0, 10));
    let plain = h2c(&[&ill, &well]).pool(OFF).start();
    assert_eq!(Caller::of(python, &plain).call("several", "20"), json!({"0": 10, "14": 10}), "nobody asked for it");
}

#[test]
fn backend_whose_calls_fail_is_ejected() {
    let python = python_or_skip!("backend_whose_calls_fail_is_ejected");
    let (ill, well) = (Peer::server(python, &["--unavailable"]), Peer::server(python, &[]));
    let front = h2c(&[&ill, &well]).pool("eject = { for = \"60s\" }").start();
    Caller::of(python, &front).call("several", "20");
    front.wait_for_states(&["ejected", "ready"]);
    let reason = front.backends("reason")[0].to_string();
    assert!(reason.contains("gRPC status unavailable"), "{reason}");
}

#[test]
fn health_service_is_asked() {
    let python = python_or_skip!("health_service_is_asked");
    let reason = |options: &[&str], health: &str, state: &str| {
        let server = Peer::server(python, options);
        let front = h2c(&[&server]).health(health).start();
        front.wait_for_states(&[state]);
        (front.backends("reason")[0].as_str().unwrap().to_owned(), server)
    };
    let (_, server) = reason(&["--health", "1"], "{ grpc = \"shop.Orders\" }", "ready");
    server.wait_for("check 0a0b73686f702e4f7264657273");
    let (_, server) = reason(&["--health", "1"], "\"grpc\"", "ready");
    assert!(server.lines.lock().unwrap().iter().any(|line| line == "check "), "the whole server has no name");
    let fast = |key: &str| format!("{{ {key}, interval = \"100ms\", fall = 1 }}");
    for (options, what) in [
        (&["--health", "2"][..], "shop.Orders is NOT_SERVING"),
        (&["--health", "3"], "shop.Orders is SERVICE_UNKNOWN"),
        (&["--health", "not-found"], "the server does not know shop.Orders"),
        (&[], "the server has no service grpc.health.v1.Health"),
    ] {
        let (reason, _) = reason(options, &fast("grpc = \"shop.Orders\""), "down");
        assert!(reason.contains(what), "{what} in {reason}");
    }
    // Alive it is, whatever it makes of HEAD.
    reason(&[], &fast("alive = true"), "ready");
}
