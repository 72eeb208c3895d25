//! A backend that works on so many at once and lets the others wait, in a simulation in steps of a millisecond.

use std::collections::VecDeque;

use super::*;

struct Backend {
    /// Works on so many at once.
    capacity: usize,
    /// Mean time of one in milliseconds.
    takes: f64,
    noise: Noise,
    /// Requests a second that come; the rest of the cap stays unused.
    offered: Option<f64>,
    limit: Limit,
    rng: Rng,
    now_ms: u64,
    /// When each that is worked on is done, and when it came.
    working: Vec<(f64, f64)>,
    inside: VecDeque<f64>,
    outside: f64,
    came: Came,
    limits: Vec<u32>,
    served: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Noise {
    /// Each takes the mean, give or take a fifth.
    Little,
    /// By the exponential distribution.
    Exponential,
    /// Most are fast, one in twenty takes ten times as long.
    Rare,
}

fn terms() -> Adaptive {
    Adaptive { min: 4, max: 1000 }
}

impl Backend {
    fn new(capacity: usize, takes: f64, noise: Noise) -> Self {
        Self {
            capacity,
            takes,
            noise,
            offered: None,
            limit: Limit::new(terms()),
            rng: Rng::new(11),
            now_ms: 0,
            working: Vec::new(),
            inside: VecDeque::new(),
            outside: 0.0,
            came: Came::default(),
            limits: Vec::new(),
            served: 0,
        }
    }

    fn throw(&mut self) -> f64 {
        (self.rng.below(1 << 30) + 1) as f64 / f64::from(1 << 30)
    }

    fn time(&mut self) -> f64 {
        let chance = self.throw();
        self.takes
            * match self.noise {
                Noise::Little => 0.8 + 0.4 * chance,
                Noise::Exponential => -chance.ln(),
                Noise::Rare if chance < 0.05 => 6.9,
                Noise::Rare => 0.69,
            }
    }

    /// Runs for so many seconds; the mean of the cap and the requests served a second in the later half.
    fn run(&mut self, seconds: u64) -> (f64, f64) {
        self.limits.clear();
        let mut served = 0;
        for step in 0..seconds * 1000 {
            self.step();
            if step == seconds * 500 {
                served = self.served;
            }
        }
        let later = &self.limits[self.limits.len() / 2..];
        let mean = later.iter().map(|&limit| f64::from(limit)).sum::<f64>() / later.len() as f64;
        (mean, (self.served - served) as f64 * 2.0 / seconds as f64)
    }

    fn step(&mut self) {
        self.now_ms += 1;
        let now = self.now_ms as f64;
        let done: Vec<_> = self.working.extract_if(.., |(until, _)| *until <= now).collect();
        for (until, came) in done {
            self.came.answers += 1;
            self.came.latency_us += micros(until - came);
            self.served += 1;
        }
        self.outside = self.offered.map_or(1e9, |rate| (self.outside + rate / 1000.0).min(1000.0));
        while self.working.len() + self.inside.len() < self.limit.get() as usize && self.outside >= 1.0 {
            self.outside -= 1.0;
            self.inside.push_back(now);
        }
        while self.working.len() < self.capacity
            && let Some(came) = self.inside.pop_front()
        {
            let takes = self.time();
            self.working.push((now + takes, came));
        }
        if self.now_ms.is_multiple_of(100) {
            let waiting = self.outside >= 1.0;
            let came = Came { waiting, ..std::mem::take(&mut self.came) };
            self.limits.push(self.limit.tick(self.now_ms, came, &mut self.rng));
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "times of a simulation")]
fn micros(ms: f64) -> u64 {
    (ms * 1000.0) as u64
}

#[test]
fn the_cap_settles_where_the_backend_is_full_and_little_waits_in_it() {
    for noise in [Noise::Little, Noise::Exponential, Noise::Rare] {
        for (capacity, takes) in [(8, 20.0), (20, 50.0), (100, 50.0), (300, 100.0)] {
            let mut backend = Backend::new(capacity, takes, noise);
            let (cap, rate) = backend.run(120);
            let (knee, could) = (capacity as f64, capacity as f64 * 1000.0 / takes);
            assert!((0.9 * knee..2.5 * knee).contains(&cap), "{capacity} of {takes} ms: {cap}");
            assert!(rate > 0.8 * could, "{capacity} of {takes} ms: {rate} of {could}");
        }
    }
}

#[test]
fn it_follows_a_backend_that_loses_half_its_capacity_and_gets_it_back() {
    let mut backend = Backend::new(100, 50.0, Noise::Exponential);
    let (full, _) = backend.run(60);
    backend.capacity = 50;
    let (half, _) = backend.run(60);
    backend.capacity = 100;
    let (again, rate) = backend.run(90);
    assert!((90.0..250.0).contains(&full) && (45.0..125.0).contains(&half) && half < full, "{full}, {half}");
    assert!((90.0..250.0).contains(&again), "{full}, {again}");
    assert!(rate > 1_700.0, "{rate}");
}

#[test]
fn a_backend_that_becomes_slower_gets_a_new_base_and_keeps_its_rate() {
    let mut backend = Backend::new(50, 20.0, Noise::Exponential);
    backend.run(60);
    backend.takes = 60.0;
    let (cap, rate) = backend.run(120);
    assert!((40.0..125.0).contains(&cap), "{cap}");
    assert!(rate > 0.85 * 50_000.0 / 60.0, "{rate}");
    backend.takes = 20.0;
    let (cap, rate) = backend.run(120);
    assert!((40.0..125.0).contains(&cap), "{cap}");
    assert!(rate > 0.85 * 50_000.0 / 20.0, "{rate}");
}

#[test]
fn little_load_neither_raises_nor_lowers_it() {
    let mut backend = Backend::new(100, 50.0, Noise::Rare);
    backend.offered = Some(100.0);
    let (cap, rate) = backend.run(120);
    assert!((5.0..=40.0).contains(&cap), "{cap}");
    assert!((rate - 100.0).abs() < 5.0, "{rate}");
    backend.offered = None;
    assert!(backend.run(60).1 > 1_600.0, "and it grows when it is needed");
}

#[test]
fn failures_bring_it_down_and_silence_leaves_it() {
    let (mut limit, mut rng) = (Limit::new(terms()), Rng::new(1));
    let failing = Came { answers: 80, latency_us: 800_000, failures: 20, waiting: true };
    assert_eq!((limit.get(), limit.tick(100, failing, &mut rng)), (10, 8));
    assert_eq!((2..600).map(|turn| limit.tick(turn * 100, Came::default(), &mut rng)).max(), Some(8));
    let lowest = (600..700).map(|turn| limit.tick(turn * 100, failing, &mut rng)).last();
    assert_eq!(lowest, Some(4));
}

#[test]
fn the_base_is_measured_anew_by_a_dip_only_while_the_backend_is_full() {
    let dips = |backend: &mut Backend| {
        backend.run(100);
        backend.limits.windows(2).filter(|two| f64::from(two[1]) < 0.6 * f64::from(two[0])).count()
    };
    let mut backend = Backend::new(50, 50.0, Noise::Little);
    let full = dips(&mut backend);
    assert!((2..=4).contains(&full), "{full}");
    backend.offered = Some(300.0);
    backend.run(5);
    assert_eq!(dips(&mut backend), 0);
}
