use std::net::TcpListener;

use rustix::process::Signal;

use crate::harness::{Desk, eventually, get, server};

fn file(bind: &str, admin: &str, backend: &str) -> String {
    format!(
        "[check]\nallow = [\"one-backend\"]\n[admin]\nbind = \"{admin}\"\nsocket = \"off\"\n\
         [listener.web]\nbind = \"{bind}\"\npool = \"app\"\n[pool.app]\nbackends = [\"{backend}\"]\n"
    )
}

#[test]
fn it_serves_until_it_is_told_to_stop() {
    let desk = Desk::with(&file("127.0.0.1:0", "127.0.0.1:0", &server("one")));
    let running = desk.start(&["run"]);
    let front = running.word_after("listening on ");
    eventually("an answer", || get(&front, "/").filter(|answer| *answer == (200, "one".to_owned())));
    let (status, out, err) = running.stop(Signal::TERM);
    assert_eq!((status.code(), out.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("SIGTERM: finishing"), "{err}");
    assert!(get(&front, "/").is_none());
}

#[test]
fn a_taken_port_is_an_error_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (bind, admin, key) in
        [(address.as_str(), "127.0.0.1:0", "[listener.web]"), ("127.0.0.1:0", address.as_str(), "[admin] bind")]
    {
        let call = Desk::with(&file(bind, admin, "127.0.0.1:1")).call(&["run", "--log", "error"]);
        assert_eq!(call.status, 1, "{call:?}");
        assert!(call.err.contains(&format!("cannot listen on {address}")), "{call:?}");
        assert!(call.err.contains("  = another process listens there") && call.err.contains(key), "{call:?}");
    }
}

#[test]
fn a_bad_file_does_not_run() {
    let call = Desk::with("[listener.web]\nbind = \"127.0.0.1:0\"\npool = \"none\"\n").call(&["run"]);
    assert_eq!((call.status, call.out.as_str()), (1, ""));
    assert!(call.err.contains("evenkeel.toml:3"), "{}", call.err);
}

#[test]
fn warnings_are_told_and_it_runs() {
    let text = file("127.0.0.1:0", "127.0.0.1:0", &server("one")).replace("[check]\nallow = [\"one-backend\"]\n", "");
    let desk = Desk::with(&text);
    let running = desk.start(&["run"]);
    running.word_after("listening on ");
    assert!(running.err().contains("warning: pool `app` has one backend"), "{}", running.err());
}
