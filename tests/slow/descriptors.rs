//! No descriptors left: what is idle goes, nobody else is blamed, and it passes.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Backend, Evenkeel, GET, Method, OK, Setup, Wire, binary, eventually, figure};

/// Sets how many descriptors a running process may have, in all.
fn allow(front: &Evenkeel, descriptors: usize) {
    let pid = format!("--pid={}", front.pid());
    let set = Command::new("prlimit").args([&pid, &format!("--nofile={descriptors}:")]).status();
    assert!(set.expect("prlimit is part of util-linux").success());
}

/// As many as it has, so that the next is one too many. Numbers count, not how many there are: the lowest that is free,
/// and stays free for a while, is out of bounds now.
fn allow_no_more(front: &Evenkeel) {
    let folder = format!("/proc/{}/fd", front.pid());
    let is_open = |number: usize| std::fs::symlink_metadata(format!("{folder}/{number}")).is_ok();
    let lowest_free = || {
        std::thread::sleep(Duration::from_millis(5));
        (0..).find(|&number| !is_open(number)).unwrap()
    };
    allow(front, (0..60).map(|_| lowest_free()).min().unwrap());
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

fn is_served(client: &mut Wire) -> bool {
    client.try_send(GET).is_ok() && client.read_answer(Method::Other).is_ok_and(|answer| answer.status() == 200)
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
    allow_no_more(&front);
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
        assert!(crowd.iter_mut().all(is_served));
        let mut client = front.client();
        client.send("GET / HTTP/1.1\r\nHost:");
        eventually("all are there", || front.counter("connections") == 41);
        allow_no_more(&front);
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
        assert!(crowd.iter_mut().all(is_served));
        allow_no_more(&front);
        let served = (0..64).filter(|_| is_served(&mut front.client())).count();
        assert_eq!(served, 64, "every newcomer is served");
        allow(&front, 1000);
        let shed = front.counter("shed");
        figure(&format!("no descriptor left, {workers} workers: 64 newcomers served, {shed} of 64 idle clients shed"));
        assert!(shed >= 1);
    }
}
