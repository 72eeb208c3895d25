//! No descriptors left: what is idle goes, nobody else is blamed, and it passes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Backend, Evenkeel, GET, Method, OK, Setup, Wire, binary, eventually, figure};

/// Sets how many descriptors a running process may have, in all.
fn allow(front: &Evenkeel, descriptors: usize) {
    let pid = format!("--pid={}", front.pid());
    let set = Command::new("prlimit").args([&pid, &format!("--nofile={descriptors}:")]).status();
    assert!(set.expect("prlimit is part of util-linux").success());
}

/// As many as it has, so that the next is one too many. Numbers count, not how many there are, so holes (left by what
/// was open while a connection came) are filled first, with clients busy with a head; they are given back to be kept.
fn allow_no_more(front: &Evenkeel) -> Vec<Wire> {
    let mut fillers = Vec::new();
    loop {
        let (lowest_free, above) = numbers(front);
        if above == 0 {
            allow(front, lowest_free);
            return fillers;
        }
        let served = front.counter("connections");
        let mut filler = front.client();
        filler.send("GET / HTTP/1.1\r\nHost:");
        eventually("the filler is accepted", || front.counter("connections") > served);
        fillers.push(filler);
    }
}

/// The lowest number that is free at any time of a while, and how many sockets lie above it all that while: a check or a
/// look at the status opens and closes one.
fn numbers(front: &Evenkeel) -> (usize, usize) {
    let folder = format!("/proc/{}/fd", front.pid());
    let open = || -> BTreeMap<usize, bool> {
        std::thread::sleep(Duration::from_millis(5));
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let is_socket =
            |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("socket"));
        entries.map(|path| (path.file_name().unwrap().to_str().unwrap().parse().unwrap(), is_socket(&path))).collect()
    };
    let mut always = open();
    for _ in 0..60 {
        let now = open();
        always.retain(|number, _| now.contains_key(number));
    }
    let lowest_free = (0..).find(|number| !always.contains_key(number)).unwrap();
    (lowest_free, always.range(lowest_free..).filter(|(_, is_socket)| **is_socket).count())
}

#[test]
fn a_start_that_fails_for_want_of_descriptors_ends() {
    let backend = Backend::answering(OK);
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -n 36; exec \"$0\" \"$@\""]).arg(binary());
    let (status, log) = Setup::new(&backend).workers(8).run_to_end(few);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("cannot start: Too many open files"), "{log}");
}

#[test]
fn a_connection_that_cannot_be_opened_for_want_of_descriptors_is_nobodys_fault_but_ours() {
    let backend = Backend::answering(OK);
    // Eager to find fault: the first failed check, and the first failed connection, would be enough.
    let front = Setup::new(&backend)
        .health("{ tcp = true, interval = \"100ms\", fall = 1 }")
        .pool("eject = { failures = 1 }")
        .start();
    front.wait_for_states(&["ready"]);
    let mut client = front.client();
    client.send("GET / HTTP/1.1\r\nHost:");
    eventually("it is busy with a head", || front.counter("connections") == 1);
    let _fillers = allow_no_more(&front);
    client.send(" a\r\n\r\n");
    let answer = client.answer(Method::Other);
    assert_eq!(answer.status(), 503);
    assert!(answer.value("Proxy-Status").contains("local-exhausted"), "{answer:?}");
    eventually("a check could not be made either", || front.log().contains("cannot probe"));
    eventually("the operator is told", || front.log().contains("cannot open connections to backends"));
    allow(&front, 1000);
    assert_eq!(front.backends("state"), ["ready"], "{}", front.log());
    assert_eq!((front.backends("failures"), front.backends("faults")), (vec![0.into()], vec![0.into()]));
    assert_eq!(front.exchange(GET).status(), 200);
}

#[test]
fn idle_clients_make_room_for_connections_to_backends() {
    for workers in [1, 4] {
        let backend = Backend::closing("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        let front = Setup::new(&backend).workers(workers).start();
        let mut crowd: Vec<Wire> = (0..40).map(|_| front.client()).collect();
        assert!(crowd.iter_mut().all(Wire::is_served));
        let mut client = front.client();
        client.send("GET / HTTP/1.1\r\nHost:");
        eventually("all are there", || front.counter("connections") == 41);
        let _fillers = allow_no_more(&front);
        client.send(" a\r\n\r\n");
        assert_eq!(client.answer(Method::Other).status(), 200);
        allow(&front, 1000);
        let shed = front.counter("shed");
        assert!((1..=10).contains(&shed), "{shed} shed");
        figure(&format!("no descriptor left, {workers} workers: {shed} of 40 idle clients made room for a backend"));
    }
}

#[test]
fn idle_clients_make_room_for_new_ones_when_descriptors_run_out() {
    for workers in [1, 4] {
        let backend = Backend::answering(OK);
        let front = Setup::new(&backend).workers(workers).start();
        let mut crowd: Vec<Wire> = (0..64).map(|_| front.client()).collect();
        assert!(crowd.iter_mut().all(Wire::is_served));
        let _fillers = allow_no_more(&front);
        let served = (0..64).filter(|_| front.client().is_served()).count();
        assert_eq!(served, 64, "every newcomer is served");
        allow(&front, 1000);
        let shed = front.counter("shed");
        figure(&format!("no descriptor left, {workers} workers: 64 newcomers served, {shed} of 64 idle clients shed"));
        assert!(shed >= 1);
    }
}
