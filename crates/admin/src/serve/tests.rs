use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use control::{Control, End};
use policy::plan::{Admin, HealthCheck, ProbeKind};
use serde_json::Value;

use super::*;
use crate::bind::bind;
use crate::samples::{plan, pool};

mod change;

const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

fn control() -> Control {
    Control::start(Arc::new(plan(pool(NOBODY, None))), Vec::new(), 1).unwrap()
}

/// A served admin interface on a free port and a socket in a folder of its own.
struct Office {
    control: Control,
    server: Server,
    address: String,
    folder: tempfile::TempDir,
}

fn office_of(control: Control, token: Option<&str>) -> Office {
    let folder = tempfile::tempdir().unwrap();
    let admin = Admin {
        bind: vec!["127.0.0.1:0".parse().unwrap()],
        socket: Some(folder.path().join("admin.sock")),
        token: token.map(str::to_owned),
    };
    let server = bind(&admin).unwrap().serve(control.handle()).unwrap();
    let address = server.addresses()[0].clone();
    Office { control, server, address, folder }
}

fn office() -> Office {
    office_of(control(), None)
}

/// An answer: status, head in lower case, body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn code(&self) -> String {
        let error = &self.json()["error"];
        assert!(!error["remedy"].as_str().unwrap().is_empty());
        error["code"].as_str().unwrap().to_owned()
    }
}

fn converse(mut stream: impl Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

impl Office {
    /// Sends one request; `fields` are whole lines.
    fn send(&self, line: &str, fields: &str) -> Answer {
        let stream = TcpStream::connect(&self.address).unwrap();
        converse(stream, &format!("{line} HTTP/1.1\r\nconnection: close\r\n{fields}\r\n"))
    }

    fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), "host: localhost\r\n")
    }
}

#[test]
fn status_is_json() {
    let office = office();
    let answer = office.get("/api/v1/status");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: application/json"));
    let status = answer.json();
    assert_eq!(status["process"]["state"], "ready");
    assert_eq!(status["pools"][0]["backends"][0]["state"], "ready");
    assert_eq!(status["pools"][0]["backends"][0]["address"], "127.0.0.1:1");
}

#[test]
fn errors_are_a_json_array() {
    let office = office();
    for path in ["/api/v1/errors", "/api/v1/errors?last=5"] {
        assert_eq!(office.get(path).json(), Value::Array(Vec::new()));
    }
    for query in ["last=x", "last=-1", "first=1"] {
        let answer = office.get(&format!("/api/v1/errors?{query}"));
        assert_eq!((answer.status, answer.code().as_str()), (400, "query-refused"));
    }
}

#[test]
fn every_endpoint_answers_as_the_document_says() {
    let office = office();
    let document = office.get("/api/v1/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    let operations: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(operations, api::ENDPOINTS.len());
    for (path, operations) in paths {
        let answer = office.get(path);
        assert_eq!(answer.status, 200, "{path}");
        let media = operations["get"]["responses"]["200"]["content"].as_object().unwrap().keys().next().unwrap();
        assert!(answer.head.contains(&format!("content-type: {media}")), "{path}: {}", answer.head);
    }
}

#[test]
fn answers_keep_browsers_strict() {
    let office = office();
    for path in ["/", "/api/v1/status", "/nowhere"] {
        let head = office.get(path).head;
        for field in ["content-security-policy: default-src 'none'", "x-frame-options: deny", "cache-control: no-store"]
        {
            assert!(head.contains(field), "{path}: {head}");
        }
    }
}

#[test]
fn page_needs_nothing_from_elsewhere() {
    let office = office();
    let page = office.get("/").body;
    for file in ["assets/page.css", "assets/page.js"] {
        assert!(page.contains(file));
        let text = office.get(&format!("/{file}")).body;
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("innerHTML"), "{file}");
    }
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("style="));
}

#[test]
fn wrong_host_is_refused() {
    let office = office();
    let answer = office.send("GET /api/v1/status", "host: evil.example\r\n");
    assert_eq!((answer.status, answer.code().as_str()), (403, "host-refused"));
    assert_eq!(office.send("GET /metrics", "").status, 403);
    assert_eq!(office.send("GET /metrics", &format!("host: {}\r\n", office.address)).status, 200);
}

#[test]
fn cross_site_is_refused() {
    let office = office();
    let answer = office.send("GET /api/v1/status", "host: localhost\r\nsec-fetch-site: cross-site\r\n");
    assert_eq!((answer.status, answer.code().as_str()), (403, "cross-site"));
    let answer = office.send("GET /", "host: localhost\r\norigin: http://evil.example\r\n");
    assert_eq!(answer.code(), "cross-site");
}

#[test]
fn wrong_token_is_refused_even_here() {
    let office = office_of(control(), Some("secret"));
    assert_eq!(office.get("/api/v1/status").status, 200);
    let wrong = office.send("GET /api/v1/status", "host: localhost\r\nauthorization: Bearer guess\r\n");
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "token-wrong"));
    assert!(wrong.head.contains("www-authenticate: bearer"));
    let right = office.send("GET /api/v1/status", "host: lb.example\r\nauthorization: Bearer secret\r\n");
    assert_eq!(right.status, 200);
}

#[test]
fn only_get_is_served() {
    let office = office();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = office.send(&format!("{method} /api/v1/status"), "host: localhost\r\n");
        assert_eq!((answer.status, answer.code().as_str()), (405, "method-refused"), "{method}");
        assert!(answer.head.contains("allow: get"), "{}", answer.head);
    }
    let head = office.send("HEAD /api/v1/status", "host: localhost\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn unknown_path_is_json_too() {
    let answer = office().get("/api/v2/status");
    assert_eq!((answer.status, answer.code().as_str()), (404, "not-found"));
}

#[test]
fn sizes_are_limited() {
    let office = office();
    let body = office.send("GET /api/v1/status", "host: localhost\r\ncontent-length: 5\r\n");
    assert_eq!((body.status, body.code().as_str()), (413, "body-refused"));
    let many: String = (0..HEADER_FIELDS + 1).map(|n| format!("x-{n}: 1\r\n")).collect();
    assert_eq!(office.send("GET /", &many).status, 431);
    let mut stream = TcpStream::connect(&office.address).unwrap();
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(2 * HEADER_BYTES));
    // The server may close before it has read everything.
    let _ = stream.write_all(long.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn unix_socket_answers_without_host_and_token() {
    let office = office_of(control(), Some("secret"));
    let path = office.folder.path().join("admin.sock");
    assert!(office.server.addresses()[1].ends_with("admin.sock"));
    let request = "GET /api/v1/status HTTP/1.0\r\n\r\n";
    assert_eq!(converse(UnixStream::connect(&path).unwrap(), request).status, 200);
    drop(office.server);
    assert!(!path.exists());
    assert!(TcpStream::connect(&office.address).is_err());
}

#[test]
fn other_machines_need_the_token_for_all_but_the_open_endpoints() {
    let control = control();
    let gate = Gate { token: Some("secret".to_owned()), bound: vec!["0.0.0.0:9900".parse().unwrap()] };
    let service = TowerToHyperService::new(api::router(control.handle(), gate));
    let runtime = Builder::new_current_thread().build().unwrap();
    let status = |path: &str, token: Option<&str>| {
        let mut request = Request::get(path).header("host", "lb.example").body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer::Ip("192.0.2.9".parse().unwrap()));
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        runtime.block_on(service.call(request)).unwrap().status().as_u16()
    };
    for path in ["/api/v1/status", "/api/v1/errors", "/metrics", "/api/v1/openapi.json", "/nowhere"] {
        assert_eq!(status(path, None), 401, "{path}");
        assert_eq!(status(path, Some("guess")), 401, "{path}");
        assert_ne!(status(path, Some("secret")), 401, "{path}");
    }
    for path in ["/", "/assets/page.js", "/assets/page.css", "/healthz", "/readyz"] {
        assert_eq!(status(path, None), 200, "{path}");
    }
}

#[test]
fn ready_once_the_first_probes_have_ended_and_until_the_stop() {
    // Accepts, and answers only when told: the first probe runs until then.
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let check = HealthCheck {
        interval: Duration::from_secs(1_000_000),
        timeout: Duration::from_secs(60),
        ..HealthCheck::new(ProbeKind::Alive)
    };
    let plan = plan(pool(backend.local_addr().unwrap(), Some(check)));
    let office = office_of(Control::start(Arc::new(plan), Vec::new(), 1).unwrap(), None);
    let starting = office.get("/readyz");
    assert_eq!((starting.status, starting.body.as_str()), (503, "starting\n"));
    assert_eq!(office.get("/healthz").status, 200);

    let (mut probe, _) = backend.accept().unwrap();
    probe.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while office.get("/readyz").status != 200 {
        assert!(Instant::now() < until, "never ready");
    }

    let Office { control, server: _server, address, .. } = office;
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(control.finish(Duration::ZERO)), End::Finished);
    let request = "GET /readyz HTTP/1.1\r\nconnection: close\r\n\r\n";
    let stopping = converse(TcpStream::connect(address).unwrap(), request);
    assert_eq!((stopping.status, stopping.body.as_str()), (503, "stopping\n"));
}

#[test]
fn a_crowd_that_says_nothing_does_not_keep_the_operator_out() {
    let office = office();
    let crowd: Vec<TcpStream> = (0..CONNECTIONS + 50).map(|_| TcpStream::connect(&office.address).unwrap()).collect();
    for _ in 0..20 {
        assert_eq!(office.get("/api/v1/status").status, 200);
    }
    let ended = crowd.iter().filter(|silent| {
        silent.set_nonblocking(true).unwrap();
        matches!((&mut &**silent).read(&mut [0]), Ok(0))
    });
    assert!(ended.count() >= 50, "the oldest have made room");
    crowd[CONNECTIONS + 49].set_nonblocking(true).unwrap();
    assert!((&crowd[CONNECTIONS + 49]).read(&mut [0]).is_err(), "the youngest is here still");
}
