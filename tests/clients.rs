//! Clients that others wrote: curl, wrk and h2load see no error.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Backend, Evenkeel, Setup, figure, find_program, skip, text};

/// A backend that gives back what it got, or its path.
fn echo() -> Backend {
    Backend::serving(|conn| {
        loop {
            let request = conn.request()?;
            let body =
                if request.body.is_empty() { request.target().as_bytes().to_vec() } else { request.body.clone() };
            if request.start_line().starts_with("HEAD ") {
                conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
                continue;
            }
            conn.send(
                [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat(),
            );
        }
    })
}

fn program(test: &str, name: &str) -> Option<PathBuf> {
    let found = find_program(name);
    if found.is_none() {
        skip(test, &format!("{name} is not installed"));
    }
    found
}

#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {} {}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn url(front: &Evenkeel, path: &str) -> String {
    format!("http://{}{path}", front.address())
}

#[test]
fn curl_gets_posts_uploads_and_pipes() {
    let Some(curl) = program("curl_gets_posts_uploads_and_pipes", "curl") else { return };
    let backend = echo();
    let front = Setup::new(&backend).start();
    let curl = |args: &[&str]| output(Command::new(&curl).args(["-sS", "--fail", "--max-time", "20"]).args(args));
    assert_eq!(curl(&[&url(&front, "/a?b=c")]), "/a?b=c");
    assert_eq!(curl(&["-d", "hello", &url(&front, "/")]), "hello");
    assert_eq!(curl(&["-d", "hello", "-H", "Transfer-Encoding: chunked", &url(&front, "/")]), "hello");
    assert_eq!(curl(&["--http1.0", &url(&front, "/old")]), "/old");
    assert!(curl(&["-I", &url(&front, "/head")]).starts_with("HTTP/1.1 200 OK\r\n"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("big");
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| b'a' + u8::try_from(n % 23).unwrap()).collect();
    std::fs::write(&file, &big).unwrap();
    // Uploads of this size make curl ask with `Expect: 100-continue` first.
    let back = curl(&[
        "-T",
        file.to_str().unwrap(),
        "-H",
        "Expect: 100-continue",
        "--expect100-timeout",
        "0.1",
        &url(&front, "/"),
    ]);
    assert!(back.as_bytes() == big);
    let twice = curl(&[&url(&front, "/1"), &url(&front, "/2"), "-w", "%{num_connects} "]);
    assert_eq!(twice, "/11 /20 ", "the connection is used again");
}

#[test]
fn curl_speaks_to_a_unix_socket() {
    let Some(curl) = program("curl_speaks_to_a_unix_socket", "curl") else { return };
    let backend = echo();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    let _front = Setup::new(&backend).bind(format!("unix:{}", path.display())).start();
    let said = output(Command::new(curl).args(["-sS", "--unix-socket"]).arg(&path).arg("http://shop.example/x"));
    assert_eq!(said, "/x");
}

#[test]
fn wrk_sees_no_error() {
    let Some(wrk) = program("wrk_sees_no_error", "wrk") else { return };
    let backend = echo();
    let front = Setup::new(&backend).workers(2).start();
    let said = output(Command::new(wrk).args(["-t", "2", "-c", "64", "-d", "2s", &url(&front, "/wrk")]));
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    let requests = said.lines().find(|line| line.contains(" requests in ")).unwrap().trim();
    figure(&format!("wrk, 64 connections: {requests}, no errors (debug build)"));
}

#[test]
fn h2load_over_http1_sees_no_error() {
    let Some(h2load) = program("h2load_over_http1_sees_no_error", "h2load") else { return };
    let backend = echo();
    let front = Setup::new(&backend).workers(2).start();
    let said =
        output(Command::new(h2load).args(["--h1", "-n", "20000", "-c", "32", "-m", "4", &url(&front, "/h2load")]));
    let line = said.lines().find(|line| line.starts_with("requests:")).unwrap_or_default();
    assert!(line.contains("20000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    assert!(said.contains("20000 2xx"), "{said}");
}
