//! Crowds, giants and want: what many or big requests cost, and what happens when the system gives no more.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Backend, GET, Method, OK, Setup, Wire, binary, cpu_seconds, eventually, peak_kib};

/// A field of so many bytes.
fn field(name: &str, bytes: usize) -> String {
    format!("{name}: {}\r\n", "v".repeat(bytes))
}

#[test]
fn heads_up_to_the_limit_pass_with_what_follows_them() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    for bytes in [1_000, 8_000, 20_000, 31_000] {
        let body = "b".repeat(100_000);
        let head = format!(
            "POST /{bytes} HTTP/1.1\r\nHost: a\r\n{}Content-Length: {}\r\n\r\n",
            field("X-Big", bytes),
            body.len()
        );
        client.send(format!("{head}{body}GET /after HTTP/1.1\r\nHost: a\r\n\r\n"));
        for _ in 0..2 {
            assert_eq!(client.answer(Method::Other).status(), 200, "{bytes}");
        }
        let requests = backend.requests();
        let [.., big, after] = &requests[..] else { panic!("two requests") };
        assert_eq!((big.value("X-Big").len(), big.body.len()), (bytes, body.len()));
        assert_eq!(after.target(), "/after");
    }
}

#[test]
fn answer_heads_up_to_the_limit_pass_with_what_follows_them() {
    for bytes in [1_000, 20_000, 31_000] {
        let chunk = format!("186a0\r\n{}\r\n0\r\n\r\n", "b".repeat(100_000));
        let big = field("X-Big", bytes);
        let backend = Backend::answering(format!("HTTP/1.1 200 OK\r\n{big}Transfer-Encoding: chunked\r\n\r\n{chunk}"));
        let front = Setup::new(&backend).start();
        let mut client = front.client();
        for _ in 0..2 {
            let answer = client.exchange(GET);
            assert_eq!((answer.value("X-Big").len(), answer.body.len()), (bytes, 100_000));
        }
    }
}

#[test]
fn thousands_of_pipelined_requests_are_served_within_bounds() {
    let backend = Backend::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n{}", "x".repeat(3000)));
    let front = Setup::new(&backend).start();
    let before = peak_kib(front.pid());
    let mut client = front.client();
    let mut sender = Wire::tcp(client.stream().try_clone().unwrap());
    let sending = std::thread::spawn(move || sender.send(GET.repeat(5000)));
    for _ in 0..5000 {
        assert_eq!(client.answer(Method::Other).body.len(), 3000);
    }
    sending.join().unwrap();
    let grown = peak_kib(front.pid()) - before;
    assert!(grown < 8 * 1024, "{grown} KiB");
}

#[test]
fn clients_beyond_what_the_descriptors_allow_are_turned_away() {
    let backend = Backend::answering(OK);
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -n 100; exec \"$0\" \"$@\""]).arg(binary());
    let front = Setup::new(&backend).start_with(few);
    let mut crowd: Vec<Wire> = (0..150).map(|_| front.client()).collect();
    eventually("the others are turned away", || front.counter("over_limit") >= 95);
    let served = crowd.iter_mut().map(Wire::is_served).filter(|served| *served).count();
    assert!((45..=55).contains(&served), "{served} were served");
}

#[test]
fn running_out_of_descriptors_pauses_and_recovers() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    // Lowered behind its back: what it knows about from the start it plans for, and never gets there.
    let lowered = Command::new("prlimit").args([&format!("--pid={}", front.pid()), "--nofile=100:100"]).status();
    assert!(lowered.expect("prlimit is part of util-linux").success());
    let mut crowd: Vec<Wire> = (0..150).map(|_| front.client()).collect();
    let before = cpu_seconds(front.pid());
    eventually("it says that it has no more", || front.log().contains("Too many open files"));
    for client in &mut crowd {
        // Some are accepted and some wait; none may make the others wait for ever.
        let _ = client.try_send(GET);
    }
    std::thread::sleep(Duration::from_secs(1));
    let spent = cpu_seconds(front.pid()) - before;
    assert!(spent < 0.5, "{spent} s of CPU in about a second: it spins");
    crowd.truncate(10);
    eventually("it serves again", || {
        let mut client = front.client();
        client.set_patience(Duration::from_secs(1));
        client.is_served()
    });
}
