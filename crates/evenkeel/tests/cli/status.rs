use std::io::Write;
use std::net::TcpListener;

use crate::harness::{Closed, Desk, Running, eventually, get, server};

struct Site {
    desk: Desk,
    running: Running,
    front: String,
    admin: String,
}

/// One backend that answers and one that nobody listens at. In `more_admin`, FOLDER is that of the configuration.
fn site(more_admin: &str) -> (Site, Closed) {
    let closed = Closed::new();
    let text = format!(
        "[admin]\nbind = \"127.0.0.1:0\"\n{more_admin}\n[listener.web]\nbind = \"127.0.0.1:0\"\npool = \"app\"\n\
         [[route]]\npath = \"/broken\"\npool = \"broken\"\n\
         [pool.app]\nbackends = [{{ address = \"{}\", name = \"good\" }}, \"{}\"]\n\
         [pool.broken]\nbackends = [\"{}\"]\n",
        server("good"),
        closed.address(),
        closed.address()
    );
    let desk = Desk::empty();
    desk.write("evenkeel.toml", &text.replace("FOLDER", desk.path().to_str().unwrap()));
    let running = desk.start(&["run"]);
    let front = running.word_after("listening on ");
    let admin = format!("127{}", running.word_after("admin interface on 127"));
    eventually("ready", || get(&admin, "/readyz").filter(|(status, _)| *status == 200));
    (Site { desk, running, front, admin }, closed)
}

#[test]
fn tables_show_states_with_their_reasons() {
    let (site, closed) = site("socket = \"off\"");
    assert_eq!(get(&site.front, "/"), Some((200, "good".to_owned())));
    let call = site.desk.call(&["status", "--admin", &site.admin]);
    assert_eq!((call.status, call.err.as_str()), (0, ""));
    let line = |start: &str| call.out.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
    assert!(line("evenkeel ").contains(": ready for "), "{}", call.out);
    assert!(line("web ").contains(&site.front), "{}", call.out);
    assert_eq!(line("pool app"), "pool app (round-robin)");
    assert!(line("good (").contains(" ready "), "{}", call.out);
    let down = line(&closed.address());
    assert!(down.contains(" down ") && down.contains("connection refused"), "{}", call.out);
}

#[test]
fn scripts_get_the_json_of_the_api() {
    let (site, _closed) = site("socket = \"off\"");
    let call = site.desk.call(&["status", "--json", "--admin", &format!("http://{}/", site.admin)]);
    assert_eq!(call.status, 0);
    let value: serde_json::Value = serde_json::from_str(&call.out).unwrap();
    assert_eq!(value["pools"][0]["backends"][0]["state"], "ready");
    assert_eq!(value["pools"][0]["backends"][1]["state"], "down");
}

#[test]
fn failed_exchanges_are_told_with_their_causes() {
    let (site, _closed) = site("socket = \"off\"");
    let none = site.desk.call(&["errors", "--admin", &site.admin]);
    assert_eq!((none.status, none.out.as_str()), (0, "no exchange has failed since the start\n"));
    for path in ["/broken", "/broken", "/broken"] {
        assert!(matches!(get(&site.front, path), Some((502 | 503, _))));
    }
    let call = eventually("three errors", || {
        let call = site.desk.call(&["errors", "--admin", &site.admin]);
        (call.out.lines().count() == 4).then_some(call)
    });
    assert_eq!(call.status, 0);
    let last = call.out.lines().last().unwrap();
    assert!(last.contains(&format!("GET {}/broken", site.front)) && last.contains("route 1"), "{}", call.out);
    let call = site.desk.call(&["errors", "--last", "1", "--json", "--admin", &site.admin]);
    let value: serde_json::Value = serde_json::from_str(&call.out).unwrap();
    assert_eq!(value.as_array().unwrap().len(), 1);
    assert_eq!(value[0]["path"], "/broken");
}

#[test]
fn the_process_is_found_by_environment_and_configuration() {
    let (site, _closed) = site("socket = \"unix:FOLDER/admin.sock\"");
    // The configuration lies in the folder of the call and names the socket.
    let call = site.desk.call(&["status"]);
    assert_eq!(call.status, 0, "{call:?} {}", site.running.err());
    assert!(call.out.contains("pool app"));
    let output = Desk::empty().command(&["status"]).env("EVENKEEL_ADMIN", &site.admin).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let socket = format!("unix:{}", site.desk.path().join("admin.sock").display());
    assert_eq!(Desk::empty().call(&["status", "--admin", &socket]).status, 0);
}

#[test]
fn nobody_there_is_3_with_a_remedy() {
    let closed = Closed::new();
    for command in ["status", "errors"] {
        let call = Desk::empty().call(&[command, "--admin", &closed.address()]);
        assert_eq!((call.status, call.out.as_str()), (3, ""));
        insta::allow_duplicates! {
            insta::assert_snapshot!(call.err.replace(&closed.address(), "ADDRESS"), @r"
            error: no running Evenkeel is reached
              tried ADDRESS: connection refused
              = start one with `evenkeel run` or `evenkeel demo`; if it is elsewhere, name its admin address with --admin or EVENKEEL_ADMIN
            ");
        }
    }
}

#[test]
fn something_else_there_is_3_too() {
    let other = server("hello");
    let call = Desk::empty().call(&["status", "--admin", &other]);
    assert_eq!(call.status, 3);
    assert!(call.err.contains("not as Evenkeel does (status 200)"), "{}", call.err);
}

#[test]
fn an_address_that_is_none_is_refused() {
    let call = Desk::empty().call(&["status", "--admin", "lb.example"]);
    assert_eq!(call.status, 1);
    assert!(call.err.contains("`lb.example` is not an admin address"), "{}", call.err);
}

#[test]
fn a_wrong_token_is_refused_and_the_right_one_is_not() {
    let (site, _closed) = site("socket = \"off\"\ntoken = \"secret\"");
    for (text, status) in [("wrong\n", 1), ("secret\n", 0), ("\n", 1)] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let call = site.desk.call(&["status", "--admin", &site.admin, "--token-file", path]);
        assert_eq!(call.status, status, "{text:?}: {call:?}");
    }
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let call = Desk::empty().call(&["status", "--admin", &address]);
    assert_eq!(call.status, 3);
    assert!(call.err.contains("gave no answer within 5 s"), "{}", call.err);
}
