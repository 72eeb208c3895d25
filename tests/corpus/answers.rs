//! What a client gets of each answer of the corpus, and that the next one through the same pool gets its own.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::{Case, cases};
use crate::harness::{Backend, Broken, Evenkeel, Message, Method, PATIENCE, Setup, Wire, eventually, figure, text};

const ANSWERS: &str = include_str!("answers.txt");

/// Gives `/case/N` the answer of that number; other targets are answered with themselves. `later` tells when to send
/// what comes behind an answer, and hears when that is sent.
fn backend(all: &Arc<Vec<Case>>, later: (Receiver<()>, Sender<()>)) -> Backend {
    let (all, later) = (Arc::clone(all), Mutex::new(later));
    Backend::serving(move |conn| {
        loop {
            let request = conn.wire.read_request()?;
            let Some(number) = request.target().strip_prefix("/case/") else {
                let target = request.target();
                conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len()));
                continue;
            };
            let case: &Case = &all[number.parse::<usize>().unwrap()];
            conn.send(&case.bytes);
            if case.option("close").is_some() {
                return Ok(());
            }
            if let Some(bytes) = case.option("later") {
                let later = later.lock().unwrap();
                later.0.recv().unwrap();
                conn.send(bytes);
                later.1.send(()).unwrap();
            }
        }
    })
}

fn request(case: &Case, number: usize) -> String {
    let (start, end) = match case.option("to") {
        Some(b"HEAD") => ("HEAD", "1.1\r\nHost: a\r\n\r\n"),
        Some(b"OLD") => ("GET", "1.0\r\nHost: a\r\n\r\n"),
        Some(b"UPGRADE") => ("GET", "1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        _ => ("GET", "1.1\r\nHost: a\r\n\r\n"),
    };
    format!("{start} /case/{number} HTTP/{end}")
}

/// What is wrong with what a client got.
fn fault_of(case: &Case, got: &Result<Message, Broken>) -> Option<String> {
    let fault = |what: &str| Some(format!("{what}: {got:?}"));
    match (case.expected.as_str(), got) {
        ("cut", Err(Broken::Early(_) | Broken::Reset)) => None,
        ("cut", _) | (_, Err(_)) => fault("not what is due"),
        (_, Ok(answer)) if answer.status() != case.status() => fault("another status"),
        ("502", Ok(answer)) if !answer.has("Proxy-Status") => fault("not ours"),
        (_, Ok(answer)) if !answer.has("Date") => fault("no date"),
        (_, Ok(answer)) => {
            let trailers: BTreeSet<String> = case.all("trailer").map(text).collect();
            if case.option("body").is_some_and(|body| body != answer.body) {
                fault("another body")
            } else if case.expected != "502" && answer.trailers.iter().cloned().collect::<BTreeSet<_>>() != trailers {
                fault("other trailers")
            } else {
                case.fault_of(&answer.head)
            }
        }
    }
}

/// Whether a connection gives a good request its own answer.
fn is_good(wire: &mut Wire, number: usize) -> bool {
    let target = format!("/good/{number}");
    wire.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    wire.read_answer(Method::Other).is_ok_and(|answer| answer.status() == 200 && answer.body_text() == target)
}

/// The balancer between the backend and a client that asks for something good after each case.
struct Stage<'a> {
    front: Evenkeel,
    neighbour: Wire,
    /// Tells the backend to send what comes later, and waits until it has.
    send_later: &'a dyn Fn(),
}

impl<'a> Stage<'a> {
    fn new(backend: &Backend, send_later: &'a dyn Fn()) -> Self {
        let front = Setup::new(backend).pool("eject = \"off\"").start();
        let mut neighbour = front.client();
        assert!(is_good(&mut neighbour, 0));
        Self { front, neighbour, send_later }
    }

    /// What went wrong with a case.
    fn play(&mut self, case: &Case, number: usize) -> Option<String> {
        let mut client = self.front.client();
        client.send(request(case, number));
        let method = if case.option("to") == Some(b"HEAD") { Method::Head } else { Method::Other };
        let got = client.read_answer(method);
        if case.option("later").is_some() {
            (self.send_later)();
        }
        let goes_on = matches!(&got, Ok(answer) if !answer.lists("Connection", "close"));
        if !is_good(&mut self.neighbour, number) {
            Some("the neighbour did not get its answer".to_owned())
        } else if goes_on && !is_good(&mut client, number) {
            Some("the next request of the connection did not get its answer".to_owned())
        } else {
            fault_of(case, &got)
        }
    }
}

#[test]
fn rfc9112_11_1_answers_that_two_might_read_differently_are_nobodys() {
    let all = Arc::new(cases(ANSWERS));
    let ((go, going), (done, is_done)) = (channel(), channel());
    let backend = backend(&all, (going, done));
    let send_later = || {
        go.send(()).unwrap();
        is_done.recv().unwrap();
    };
    let mut faults = Vec::new();
    let began = Instant::now();
    let mut stage = Stage::new(&backend, &send_later);
    for (number, case) in all.iter().enumerate() {
        let fault = if case.option("alone").is_some() {
            let mut stage = Stage::new(&backend, &send_later);
            let fault = stage.play(case, number);
            eventually(&format!("a complaint about {}", case.name), || stage.front.log().contains("nobody asked for"));
            fault
        } else {
            stage.play(case, number)
        };
        faults.extend(fault.map(|fault| format!("{} ({}): {fault}", case.name, case.expected)));
    }
    let took = began.elapsed();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let count = |expected: &str| all.iter().filter(|case| case.expected == expected).count();
    let (bad, cut) = (count("502"), count("cut"));
    let stray = all.iter().filter(|case| case.option("alone").is_some()).count();
    figure(&format!(
        "corpus: {} answers in {took:.1?}: {bad} malformed ones became 502, {cut} broke off visibly, {stray} with bytes \
         behind them and {} rarities passed; each was followed by a good one through the same pool",
        all.len(),
        all.len() - bad - cut - stray,
    ));
    assert!(bad + cut >= 100, "a hundred: {bad} and {cut}");
    assert!(!stage.front.log().contains("nobody asked for"), "no other case leaves bytes behind");
    eventually("nothing runs any more", || stage.front.backends("active").iter().all(|active| active == 0));
}

#[test]
fn answers_before_requests_shift_no_answer_to_the_next_request() {
    let (answered, is_answered) = channel();
    let answered = Mutex::new(answered);
    let backend = Backend::serving(move |conn| {
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
        loop {
            let request = conn.wire.read_request()?;
            let target = request.target();
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len()));
            answered.lock().unwrap().send(()).unwrap();
        }
    });
    let front = Setup::new(&backend).start();
    let mut clients = [front.client(), front.client()];
    for number in 0..50 {
        let target = format!("/{number}");
        let answer = clients[number % 2].exchange(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(answer.body == b"early" || answer.body_text() == target, "{target}: {answer:?}");
        // What the backend says to this request is on its way, and belongs to nobody any more.
        is_answered.recv_timeout(PATIENCE).unwrap();
    }
    eventually("the operator is told", || front.log().contains("nobody asked for"));
}
