use std::collections::BTreeSet;

use rustix::process::Signal;

use crate::harness::{Desk, Running, eventually, get, server};

fn both_answer(front: &str) {
    let mut seen = BTreeSet::new();
    eventually("both servers answer", || {
        if let Some((200, body)) = get(front, "/") {
            seen.insert(body);
        }
        (seen.len() == 2).then_some(())
    });
}

fn front(running: &Running) -> String {
    running.word_after("listening on ")
}

#[test]
fn servers_are_balanced_without_a_file() {
    let (one, two) = (server("one"), server("two"));
    let desk = Desk::empty();
    let args = ["proxy", "--listen", "127.0.0.1:0", "--to", one.as_str(), "--to", two.as_str()];
    let first = desk.start(&args);
    both_answer(&front(&first));
    let admin = first.word_after("admin interface on 127");
    // Another one at the same time gives way and says so.
    let second = desk.start(&args);
    both_answer(&front(&second));
    let other = second.word_after("admin interface on 127");
    assert_ne!(admin, other);
    assert!(second.err().contains(" is taken; the admin interface is on 127"), "{}", second.err());
    assert_eq!(second.stop(Signal::INT).0.code(), Some(0));
    assert_eq!(first.stop(Signal::INT).0.code(), Some(0));
}

#[test]
fn the_printed_file_runs() {
    let (one, two) = (server("one"), server("two"));
    let desk = Desk::empty();
    let args = [
        &["proxy", "--listen", "127.0.0.1:0", "--to", one.as_str(), "--to", two.as_str()][..],
        &["--policy", "least-requests", "--health", "/healthz", "--print-config"],
    ];
    let call = desk.call(&args.concat());
    assert_eq!((call.status, call.err.as_str()), (0, ""));
    let shown = call.out.replace(&one, "ONE").replace(&two, "TWO");
    insta::assert_snapshot!(shown, @r#"
    [listener.proxy]
    bind = "127.0.0.1:0"
    pool = "app"

    [pool.app]
    backends = ["ONE", "TWO"]
    policy = "least-requests"
    health = "/healthz"
    "#);
    desk.write("evenkeel.toml", &format!("{}\n[admin]\nbind = []\nsocket = \"off\"\n", call.out));
    let running = desk.start(&["run"]);
    both_answer(&front(&running));
}

#[test]
fn one_server_is_meant_so() {
    let one = server("one");
    let desk = Desk::empty();
    let running = desk.start(&["proxy", "--listen", "127.0.0.1:0", "--to", &one]);
    let front = front(&running);
    eventually("an answer", || get(&front, "/").filter(|answer| *answer == (200, "one".to_owned())));
    assert!(!running.err().contains("one-backend"), "{}", running.err());
}

#[test]
fn wrong_values_are_told_as_in_a_file() {
    let call = Desk::empty().call(&["proxy", "--listen", "127.0.0.1:0", "--to", "app1", "--policy", "fastest"]);
    assert_eq!(call.status, 1);
    insta::assert_snapshot!(call.err);
}
