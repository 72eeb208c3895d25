//! Answers of backends and our own, as clients get them over HTTP/2.

use std::process::Command;

use crate::harness::http2::{End, Http2, INITIAL_WINDOW_SIZE, WINDOW_UPDATE};
use crate::harness::{Backend, Evenkeel, OK, Setup, eventually};

/// What curl writes.
#[track_caller]
pub(super) fn curl(args: &[&str]) -> String {
    run("curl", &[&["-sS", "--max-time", "20"], args].concat())
}

/// What nghttp writes.
#[track_caller]
pub(super) fn nghttp(args: &[&str]) -> String {
    run("nghttp", &[&["-t", "20"], args].concat())
}

#[track_caller]
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

fn front(answer: impl AsRef<[u8]>) -> (Backend, Evenkeel) {
    let backend = Backend::answering(answer);
    let front = Setup::new(&backend).start();
    (backend, front)
}

fn url(front: &Evenkeel) -> String {
    format!("http://{}/", front.address())
}

#[test]
fn chunked_answers_lose_their_framing_and_keep_their_trailers() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n\r\n\
                   3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 42\r\n\r\n";
    let (_backend, front) = front(chunked);
    let got = curl(&["--http2-prior-knowledge", "-i", &url(&front)]);
    assert!(got.starts_with("HTTP/2 200") && got.contains("abcde") && got.contains("x-sum: 42"), "{got}");
    for gone in ["transfer-encoding", "connection", "x-hop", "keep-alive"] {
        assert!(!got.contains(gone), "{gone} in {got}");
    }
}

#[test]
fn answers_without_length_end_with_their_connection() {
    let backend = Backend::closing("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    let front = Setup::new(&backend).start();
    let mut client = Http2::connect(front.address());
    let stream = client.get("/", &[]);
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.body_text().as_str(), answer.end), (200, "until the end", End::Whole));
}

#[test]
fn truncated_answers_never_look_whole() {
    let cut = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ];
    for answer in cut {
        let backend = Backend::closing(answer);
        let front = Setup::new(&backend).start();
        let mut client = Http2::connect(front.address());
        let stream = client.get("/", &[]);
        let answer = client.answer(stream);
        assert!(answer.status == 200 && matches!(answer.end, End::Reset(_)), "{answer:?}");
    }
}

#[test]
fn bodiless_statuses_end_with_their_heads() {
    for (status, text) in [(204, "No Content"), (304, "Not Modified")] {
        let (_backend, front) = front(format!("HTTP/1.1 {status} {text}\r\nETag: \"x\"\r\n\r\n"));
        let got = curl(&["--http2-prior-knowledge", "-i", &url(&front)]);
        assert!(got.starts_with(&format!("HTTP/2 {status}")) && got.contains("etag: \"x\""), "{got}");
    }
}

#[test]
fn early_hints_go_on() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let (_backend, front) = front(format!("{hints}{OK}"));
    let mut client = Http2::connect(front.address());
    let stream = client.get("/", &[]);
    let answer = client.answer(stream);
    assert_eq!((answer.interim.as_slice(), answer.status, answer.body_text().as_str()), (&[103][..], 200, "ok"));
}

#[test]
fn rfc9113_5_2_big_answers_keep_to_the_windows() {
    let body = "w".repeat(300_000);
    let (_backend, front) = front(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let mut client = Http2::with(front.address(), &[(INITIAL_WINDOW_SIZE, 1000)]);
    let stream = client.get("/", &[]);
    assert_eq!(client.status_on(stream), 200);
    let (mut got, mut window) = (0, 1000);
    while got < body.len() {
        let data = client.data_on(stream);
        assert!(data.len() <= window, "{} in a window of {window}", data.len());
        got += data.len();
        window -= data.len();
        if window == 0 {
            window = 10_000;
            for of in [0, stream] {
                client.send(WINDOW_UPDATE, 0, of, 10_000u32.to_be_bytes());
            }
        }
    }
    assert_eq!(nghttp(&["-w", "14", "-W", "14", &url(&front)]).len(), body.len());
}

#[test]
fn header_rules_change_answers() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nServer: secret\r\nContent-Length: 2\r\n\r\nok");
    let rules = "[[route]]\npool = \"app\"\nresponse = { set = { x-new = \"1\" }, remove = [\"server\"] }\n\
                 request = { set = { x-asked = \"2\" } }";
    let front = Setup::new(&backend).more(rules).start();
    let got = curl(&["--http2-prior-knowledge", "-i", &url(&front)]);
    assert!(got.contains("x-new: 1") && !got.contains("secret"), "{got}");
    assert_eq!(backend.request().value("X-Asked"), "2");
}

#[test]
fn own_answers_are_whole() {
    let backend = Backend::answering(OK);
    let routes = "[[route]]\npath = \"/old\"\nredirect = { to = \"/new\", status = 301 }\n\
                  [[route]]\npath = \"/gone\"\nanswer = { status = 410, body = \"gone for good\" }\n\
                  [[route]]\npath = \"/small\"\npool = \"app\"\nlimits = { body = \"10B\" }\n\
                  [[route]]\npath = \"/seldom\"\npool = \"app\"\nlimits = { rate = \"1/m\" }\n\
                  [[route]]\npath = \"/\"\npool = \"app\"";
    let front = Setup::new(&backend).more(routes).start();
    let mut client = Http2::connect(front.address());
    let ask = |client: &mut Http2, path: &str, more: &[(&str, &str)]| {
        let stream = client.get(path, more);
        let answer = client.answer(stream);
        assert_eq!(answer.end, End::Whole, "{path}");
        answer.status
    };
    assert_eq!(ask(&mut client, "/old", &[]), 301);
    assert_eq!(ask(&mut client, "/gone", &[]), 410);
    assert_eq!(ask(&mut client, "/nothing", &[]), 404);
    assert_eq!(ask(&mut client, "/seldom", &[]), 200);
    assert_eq!(ask(&mut client, "/seldom", &[]), 429);
    assert_eq!(ask(&mut client, "/", &[("x-big", &"b".repeat(40_000))]), 431);
    let stream = client.post("/small", &[("content-length", "11")]);
    assert_eq!(client.answer_on(stream).unwrap().status, 413);
    assert_eq!(ask(&mut client, "/", &[]), 200);
}

#[test]
fn no_backend_is_503() {
    let front = Setup::over([format!("127.0.0.1:{}", crate::harness::free_port())]).start();
    let mut client = Http2::connect(front.address());
    let stream = client.get("/", &[]);
    let answer = client.answer(stream);
    assert!(matches!(answer.status, 502 | 503) && answer.end == End::Whole, "{answer:?}");
}

#[test]
fn each_stream_has_its_line_in_the_access_log() {
    let backend = Backend::answering(OK);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let lines = format!("to = {file:?}\nwhat = \"all\"");
    let front = Setup::new(&backend).access_log(&lines).start();
    let mut client = Http2::connect(front.address());
    for path in ["/one", "/two"] {
        let stream = client.get(path, &[]);
        assert_eq!(client.answer(stream).status, 200);
    }
    eventually("both are written", || {
        let log = std::fs::read_to_string(&file).unwrap_or_default();
        log.contains("/one") && log.contains("/two")
    });
}
