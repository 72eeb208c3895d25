//! Load: keep-alive clients that count what they got and note each failure.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::message::Message;
use super::patience::eventually;
use super::wire::{Broken, Method, Wire};

/// Failures that are kept word by word.
const KEPT: usize = 10;

#[derive(Default)]
struct Tally {
    done: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
    failures: Mutex<Vec<String>>,
    bodies: Mutex<BTreeMap<String, u64>>,
    slowest: Mutex<Duration>,
}

/// Clients at work.
pub(crate) struct Load {
    tally: Arc<Tally>,
    clients: Vec<JoinHandle<()>>,
    began: Instant,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct LoadReport {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// The first failures in words.
    pub(crate) failures: Vec<String>,
    /// How often each body came.
    pub(crate) bodies: BTreeMap<String, u64>,
    pub(crate) slowest: Duration,
    pub(crate) lasted: Duration,
}

impl Load {
    /// So many clients, each on one connection as long as that lasts, each sending this request again and again.
    pub(crate) fn start(address: &str, clients: usize, request: &str) -> Self {
        let tally = Arc::new(Tally::default());
        let client = |_| {
            let (tally, address, request) = (Arc::clone(&tally), address.to_owned(), request.to_owned());
            std::thread::spawn(move || run(&tally, &address, &request))
        };
        let clients = (0..clients).map(client).collect();
        Self { tally, clients, began: Instant::now() }
    }

    pub(crate) fn done(&self) -> u64 {
        self.tally.done.load(Ordering::Relaxed)
    }

    /// Waits for so many more requests.
    #[track_caller]
    pub(crate) fn wait_for(&self, more: u64) {
        let until = self.done() + more;
        eventually("requests are answered", || self.done() >= until);
    }

    /// Ends the clients after the request that they are at.
    pub(crate) fn stop(self) -> LoadReport {
        self.tally.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        LoadReport {
            requests: self.tally.done.load(Ordering::Relaxed),
            failed: self.tally.failed.load(Ordering::Relaxed),
            failures: self.tally.failures.lock().unwrap().clone(),
            bodies: self.tally.bodies.lock().unwrap().clone(),
            slowest: *self.tally.slowest.lock().unwrap(),
            lasted: self.began.elapsed(),
        }
    }
}

impl LoadReport {
    /// `1,234 requests in 2.0 s, 0 failed, slowest 12 ms`.
    pub(crate) fn line(&self) -> String {
        let (requests, failed) = (self.requests, self.failed);
        let (lasted, slowest) = (self.lasted.as_secs_f64(), self.slowest.as_millis());
        format!("{requests} requests in {lasted:.1} s, {failed} failed, slowest {slowest} ms")
    }
}

fn run(tally: &Tally, address: &str, request: &str) {
    let mut wire = None;
    let mut bodies: BTreeMap<String, u64> = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    while !tally.stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        match exchange(&mut wire, address, request) {
            Ok(answer) if answer.status() == 200 => *bodies.entry(answer.body_text()).or_default() += 1,
            Ok(answer) => note(tally, format!("{answer:?}")),
            Err(broken) => {
                note(tally, format!("{broken:?}"));
                wire = None;
            }
        }
        slowest = slowest.max(began.elapsed());
        tally.done.fetch_add(1, Ordering::Relaxed);
    }
    let mut all = tally.bodies.lock().unwrap();
    for (body, count) in bodies {
        *all.entry(body).or_default() += count;
    }
    let mut all = tally.slowest.lock().unwrap();
    *all = slowest.max(*all);
}

fn exchange(wire: &mut Option<Wire>, address: &str, request: &str) -> Result<Message, Broken> {
    let mut open = match wire.take() {
        Some(open) => open,
        None => Wire::try_connect(address).map_err(|error| Broken::Malformed(format!("connect: {error}")))?,
    };
    open.try_send(request).map_err(|_| Broken::Reset)?;
    let answer = open.read_answer(Method::Other)?;
    if !answer.lists("Connection", "close") {
        *wire = Some(open);
    }
    Ok(answer)
}

fn note(tally: &Tally, failure: String) {
    tally.failed.fetch_add(1, Ordering::Relaxed);
    let mut failures = tally.failures.lock().unwrap();
    if failures.len() < KEPT {
        failures.push(failure);
    }
}
