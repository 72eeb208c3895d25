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
    cut: AtomicU64,
    stop: AtomicBool,
    failures: Mutex<Vec<String>>,
    bodies: Mutex<BTreeMap<String, u64>>,
    statuses: Mutex<BTreeMap<u16, u64>>,
    /// Microseconds of each request.
    times: Mutex<Vec<u32>>,
    /// Since when a success is waited for, and when the first came.
    awaited: Mutex<(Option<Instant>, Option<Instant>)>,
    is_awaited: AtomicBool,
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
    /// Answers of 200 that visibly broke off: part of `failed`.
    pub(crate) cut: u64,
    /// How often each other status than 200 came: part of `failed`.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// How often each body came whole, with status 200.
    pub(crate) bodies: BTreeMap<String, u64>,
    pub(crate) p99: Duration,
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

    /// Requests that come at this pace, whatever became of those before: each from a client of its own.
    pub(crate) fn arriving(address: &str, every: Duration, request: &str) -> Self {
        let tally = Arc::new(Tally::default());
        let (kept, address, request) = (Arc::clone(&tally), address.to_owned(), request.to_owned());
        let gate = std::thread::spawn(move || {
            let mut clients = Vec::new();
            while !kept.stop.load(Ordering::Relaxed) {
                let (tally, address, request) = (Arc::clone(&kept), address.clone(), request.clone());
                clients.push(std::thread::spawn(move || {
                    let mut seen = Seen::default();
                    seen.ask(&tally, &mut None, &address, &request);
                    seen.hand_in(&tally);
                }));
                std::thread::sleep(every);
            }
            clients.into_iter().for_each(|client| client.join().unwrap());
        });
        Self { tally, clients: vec![gate], began: Instant::now() }
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

    /// From now on a success is waited for.
    pub(crate) fn await_success(&self) {
        *self.tally.awaited.lock().unwrap() = (Some(Instant::now()), None);
        self.tally.is_awaited.store(true, Ordering::Release);
    }

    /// How long after [`Self::await_success`] the first success came.
    #[track_caller]
    pub(crate) fn first_success(&self) -> Duration {
        eventually("a request succeeds", || !self.tally.is_awaited.load(Ordering::Acquire));
        let (since, first) = *self.tally.awaited.lock().unwrap();
        first.unwrap().duration_since(since.unwrap())
    }

    /// Ends the clients after the request that they are at.
    pub(crate) fn stop(self) -> LoadReport {
        self.tally.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        let mut times = std::mem::take(&mut *self.tally.times.lock().unwrap());
        times.sort_unstable();
        let time = |index: usize| Duration::from_micros(times.get(index).copied().unwrap_or(0).into());
        LoadReport {
            requests: self.tally.done.load(Ordering::Relaxed),
            failed: self.tally.failed.load(Ordering::Relaxed),
            failures: self.tally.failures.lock().unwrap().clone(),
            cut: self.tally.cut.load(Ordering::Relaxed),
            statuses: self.tally.statuses.lock().unwrap().clone(),
            bodies: self.tally.bodies.lock().unwrap().clone(),
            p99: time(times.len() * 99 / 100),
            slowest: time(times.len().saturating_sub(1)),
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

/// What a request came to.
enum Outcome {
    Whole(Message),
    /// A status of 200, and an end before the end.
    Cut(Broken),
    Nothing(Broken),
}

fn run(tally: &Tally, address: &str, request: &str) {
    let (mut wire, mut seen) = (None, Seen::default());
    while !tally.stop.load(Ordering::Relaxed) {
        seen.ask(tally, &mut wire, address, request);
    }
    seen.hand_in(tally);
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    bodies: BTreeMap<String, u64>,
    times: Vec<u32>,
}

impl Seen {
    /// One request.
    fn ask(&mut self, tally: &Tally, wire: &mut Option<Wire>, address: &str, request: &str) {
        let began = Instant::now();
        match exchange(wire, address, request) {
            Outcome::Whole(answer) if answer.status() == 200 => {
                *self.bodies.entry(answer.body_text()).or_default() += 1;
                succeeded(tally);
            }
            Outcome::Whole(answer) => {
                *tally.statuses.lock().unwrap().entry(answer.status()).or_default() += 1;
                note(tally, format!("{answer:?}"));
            }
            Outcome::Cut(broken) => {
                tally.cut.fetch_add(1, Ordering::Relaxed);
                note(tally, format!("cut: {broken:?}"));
            }
            Outcome::Nothing(broken) => note(tally, format!("{broken:?}")),
        }
        self.times.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        tally.done.fetch_add(1, Ordering::Relaxed);
    }

    fn hand_in(mut self, tally: &Tally) {
        let mut all = tally.bodies.lock().unwrap();
        for (body, count) in self.bodies {
            *all.entry(body).or_default() += count;
        }
        tally.times.lock().unwrap().append(&mut self.times);
    }
}

fn succeeded(tally: &Tally) {
    if tally.is_awaited.load(Ordering::Acquire) {
        tally.awaited.lock().unwrap().1.get_or_insert_with(Instant::now);
        tally.is_awaited.store(false, Ordering::Release);
    }
}

fn exchange(wire: &mut Option<Wire>, address: &str, request: &str) -> Outcome {
    let mut open = match wire.take().map_or_else(|| Wire::try_connect(address), Ok) {
        Ok(open) => open,
        Err(error) => return Outcome::Nothing(Broken::Malformed(format!("connect: {error}"))),
    };
    if open.try_send(request).is_err() {
        return Outcome::Nothing(Broken::Reset);
    }
    let mut answer = match open.read_head() {
        Ok(answer) => answer,
        Err(broken) => return Outcome::Nothing(broken),
    };
    match open.read_body_of_answer(&mut answer, Method::Other) {
        Ok(()) => {}
        Err(broken) if answer.status() == 200 => return Outcome::Cut(broken),
        Err(broken) => return Outcome::Nothing(broken),
    }
    if !answer.lists("Connection", "close") {
        *wire = Some(open);
    }
    Outcome::Whole(answer)
}

fn note(tally: &Tally, failure: String) {
    tally.failed.fetch_add(1, Ordering::Relaxed);
    let mut failures = tally.failures.lock().unwrap();
    if failures.len() < KEPT {
        failures.push(failure);
    }
}
