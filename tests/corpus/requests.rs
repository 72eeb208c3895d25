//! What becomes of each request of the corpus, what a backend gets to see of it, and that no connection is spoilt.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::{Case, cases};
use crate::harness::{Backend, Broken, Evenkeel, Message, Method, Setup, Wire, figure, text};
use crate::smuggling::fault;

const BAD: &str = include_str!("requests.txt");
const RARE: &str = include_str!("rarities.txt");
/// Sent behind each request on its connection.
const BEHIND: &str = "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n";

/// Answers each request with its request line, and keeps all it read.
struct Recorder {
    backend: Backend,
    whole: Arc<Mutex<Vec<Message>>>,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    fn new() -> Self {
        let (whole, connections) = (Arc::<Mutex<Vec<Message>>>::default(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let (requests, kept) = (Arc::clone(&whole), Arc::clone(&connections));
        let backend = Backend::serving(move |conn| {
            while let Ok(request) = conn.wire.read_request() {
                let line = request.start_line().to_owned();
                requests.lock().unwrap().push(request);
                conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len()));
            }
            kept.lock().unwrap().push(std::mem::take(&mut conn.wire.seen));
            Ok(())
        });
        Self { backend, whole, connections }
    }

    /// How many requests were read whole.
    fn count(&self) -> usize {
        self.whole.lock().unwrap().len()
    }
}

/// The balancer between the recorder and a client that asks for something good after each case.
struct Stage {
    recorder: Recorder,
    front: Evenkeel,
    neighbour: Wire,
    /// Requests that the recorder should have read whole.
    due: usize,
    faults: Vec<String>,
}

impl Stage {
    fn new() -> Self {
        let recorder = Recorder::new();
        let front = Setup::new(&recorder.backend).start();
        let neighbour = front.client();
        Self { recorder, front, neighbour, due: 0, faults: Vec::new() }
    }

    fn blame(&mut self, case: &Case, what: &str) {
        let shown: String = text(&case.bytes).chars().take(200).collect();
        self.faults.push(format!("{} ({}): {what}: {shown:?}", case.name, case.expected));
    }

    /// Whoever else uses the backend's connections gets what is theirs, and nothing of the case came with it.
    fn check_neighbour(&mut self, case: &Case, number: usize) {
        let line = format!("GET /after/{number} HTTP/1.1");
        let answer = self.neighbour.exchange(format!("{line}\r\nHost: a\r\n\r\n"));
        self.due += 1;
        if (answer.status(), answer.body_text()) != (200, line) {
            self.blame(case, &format!("the neighbour got {answer:?}"));
        }
        if self.recorder.count() != self.due {
            self.blame(case, &format!("the backend read {} requests, not {}", self.recorder.count(), self.due));
            self.due = self.recorder.count();
        }
    }

    /// Ends it, and reads strictly what came to the backend. Returns how many connections that were.
    fn end(self) -> usize {
        let Self { recorder, front, neighbour, due, mut faults } = self;
        drop(neighbour);
        assert_eq!(front.stop().code(), Some(0));
        recorder.backend.wait_until_all_closed();
        let connections = recorder.connections.lock().unwrap();
        faults.extend(connections.iter().filter_map(|bytes| fault(bytes)));
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
        assert_eq!(recorder.count(), due);
        connections.len()
    }
}

/// What came back for a case and the request behind it, until the connection ended.
fn answers(front: &Evenkeel, case: &Case) -> (Vec<u16>, Broken) {
    let mut client = front.client();
    let _ = client.try_send(&case.bytes);
    if case.expected == "closed" {
        client.finish();
    } else {
        let _ = client.try_send(BEHIND);
    }
    let mut statuses = Vec::new();
    loop {
        match client.read_answer(Method::Other) {
            Ok(answer) => statuses.push(answer.status()),
            Err(broken) => return (statuses, broken),
        }
    }
}

#[test]
fn rfc9112_11_requests_that_two_might_read_differently_reach_nobody() {
    let all = cases(BAD);
    let mut stage = Stage::new();
    let began = Instant::now();
    for (number, case) in all.iter().enumerate() {
        let (statuses, broken) = answers(&stage.front, case);
        let expected = if case.expected == "closed" { vec![] } else { vec![case.status()] };
        if statuses != expected || broken == Broken::Silent {
            stage.blame(case, &format!("{statuses:?}, then {broken:?}"));
        }
        stage.check_neighbour(case, number);
    }
    let took = began.elapsed();
    let refused = all.iter().filter(|case| case.expected != "closed").count();
    assert_eq!(stage.front.counter("refused"), u64::try_from(refused).unwrap());
    let connections = stage.end();
    figure(&format!(
        "corpus: {} malformed requests in {took:.1?}, {refused} refused with their status, none whole at a backend; \
         {} good ones between them on {connections} connections",
        all.len(),
        all.len(),
    ));
    assert!(all.len() >= 300, "several hundred: {}", all.len());
}

#[test]
fn rfc9112_11_rare_requests_pass_once_and_as_they_are_meant() {
    let all = cases(RARE);
    let mut stage = Stage::new();
    for (number, case) in all.iter().enumerate() {
        play_rare(&mut stage, case);
        stage.check_neighbour(case, number);
    }
    stage.end();
    figure(&format!("corpus: {} rare but valid requests pass", all.len()));
    assert!(all.len() >= 40, "{}", all.len());
}

/// Sends a rare request and another behind it; each must be answered, and reach the backend once.
fn play_rare(stage: &mut Stage, case: &Case) {
    let before = stage.recorder.count();
    let mut client = stage.front.client();
    client.send([case.bytes.as_slice(), BEHIND.as_bytes()].concat());
    let mut statuses = Vec::new();
    let mut goes_on = true;
    while goes_on && statuses.len() < 2 {
        match client.read_answer(Method::Other) {
            Ok(answer) => {
                goes_on = !answer.lists("Connection", "close");
                statuses.push(answer.status());
            }
            Err(broken) => {
                stage.blame(case, &format!("{statuses:?}, then {broken:?}"));
                goes_on = false;
            }
        }
    }
    let is_here = case.status() == 200;
    stage.due += usize::from(is_here) + statuses.len().saturating_sub(1);
    if statuses.first() != Some(&case.status()) || statuses.get(1).is_some_and(|status| *status != 200) {
        stage.blame(case, &format!("{statuses:?}"));
    }
    if is_here {
        let request = stage.recorder.whole.lock().unwrap().get(before).cloned();
        let what = request.map_or(Some("no request".to_owned()), |request| fault_of(case, &request));
        if let Some(what) = what {
            stage.blame(case, &what);
        }
    }
}

/// What is wrong with a request as the backend got it.
fn fault_of(case: &Case, request: &Message) -> Option<String> {
    let body = case.option("body").unwrap_or_default();
    if request.body != body {
        return Some(format!("another body: {request:?}"));
    }
    let trailers: BTreeSet<String> = case.all("trailer").map(text).collect();
    if request.trailers.iter().cloned().collect::<BTreeSet<_>>() != trailers {
        return Some(format!("other trailers: {request:?}"));
    }
    case.fault_of(&request.head)
}
