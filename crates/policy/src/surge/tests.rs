//! Crowds before a pool in a simulation: open ones that come as they like, closed ones that wait for their answer.

use std::collections::VecDeque;

use super::*;
use crate::rng::Rng;

/// A pool of `places` that take a time each, with a line before it, in steps of a tenth of a millisecond.
struct Pool {
    places: usize,
    /// Mean time of a request in steps; each takes this much, give or take half.
    service: u64,
    size: usize,
    surge: Surge,
    rng: Rng,
    now: u64,
    /// When those who run are done, and when they had come.
    running: Vec<(u64, u64)>,
    /// When those who wait have come.
    line: VecDeque<u64>,
    /// While set, nobody is served.
    stalled: bool,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    /// Times from coming to the answer, in steps.
    served: Vec<u64>,
    refused: usize,
    last_refused: u64,
}

const MS: u64 = 10;

impl Pool {
    fn new(places: usize, service_ms: u64) -> Self {
        Self {
            places,
            service: service_ms * MS,
            size: 1000,
            surge: Surge::default(),
            rng: Rng::new(7),
            now: 0,
            running: Vec::new(),
            line: VecDeque::new(),
            stalled: false,
            seen: Seen::default(),
        }
    }

    /// One step, in which so many come. Returns how many were answered, be it with a refusal.
    fn step(&mut self, come: usize) -> usize {
        let before = self.seen.served.len() + self.seen.refused;
        self.now += 1;
        if !self.stalled {
            let now = self.now;
            let done = self.running.extract_if(.., |(until, _)| *until <= now).map(|(_, came)| now - came);
            self.seen.served.extend(done);
            while self.running.len() < self.places
                && let Some(came) = self.line.pop_front()
            {
                self.surge.served();
                self.run(came);
            }
        }
        (0..come).for_each(|_| self.come());
        self.seen.served.len() + self.seen.refused - before
    }

    fn run(&mut self, came: u64) {
        let takes = self.service / 2 + self.rng.below(self.service);
        self.running.push((self.now + takes, came));
    }

    fn come(&mut self) {
        if self.line.is_empty() && self.running.len() < self.places {
            return self.run(self.now);
        }
        let line = Line { waiting: self.line.len(), places: self.places, size: self.size };
        let room = self.surge.came(self.now / MS, &line);
        let was_full = self.line.len() >= room && !self.surge.is_on(self.now / MS);
        while self.line.len() >= room && !was_full {
            self.line.pop_front();
            self.refuse();
        }
        if was_full { self.refuse() } else { self.line.push_back(self.now) }
    }

    fn refuse(&mut self) {
        self.surge.refused(self.now / MS);
        self.seen.refused += 1;
        self.seen.last_refused = self.now;
    }

    /// For so long, requests come by chance at this multiple of what the pool can serve.
    fn open_load(&mut self, offered: f64, ms: u64) -> Seen {
        self.seen = Seen::default();
        let mean = offered * self.places as f64 / self.service as f64;
        for _ in 0..ms * MS {
            let come = poisson(&mut self.rng, mean);
            self.step(come);
        }
        std::mem::take(&mut self.seen)
    }
}

fn poisson(rng: &mut Rng, mean: f64) -> usize {
    let (limit, mut product, mut n) = ((-mean).exp(), 1.0, 0);
    loop {
        product *= rng.below(1 << 30) as f64 / f64::from(1 << 30);
        if product <= limit {
            return n;
        }
        n += 1;
    }
}

fn p99_ms(seen: &Seen) -> f64 {
    let mut times = seen.served.clone();
    times.sort_unstable();
    times[times.len() * 99 / 100] as f64 / MS as f64
}

#[test]
fn ten_times_what_can_be_served_leaves_the_admitted_as_fast_as_twice_the_calm_time() {
    for (places, service) in [(8, 20), (32, 50), (16, 50), (100, 100), (4, 200)] {
        let mut pool = Pool::new(places, service);
        let calm = pool.open_load(0.7, 20_000);
        assert_eq!(calm.refused, 0, "{places} places of {service} ms");
        let crowd = pool.open_load(10.0, 20_000);
        let (calm, full) = (p99_ms(&calm), p99_ms(&crowd));
        assert!(full <= 2.0 * calm, "{places} places of {service} ms: {full} ms against {calm} ms");
        let could = 20_000 * places as u64 / service;
        assert!(crowd.served.len() as u64 >= could * 97 / 100, "{} of {could} served", crowd.served.len());
        let end = pool.now;
        let after = pool.open_load(0.7, 5_000);
        let recovered = after.last_refused.saturating_sub(end) / MS;
        assert!(recovered <= 5 * service, "{places} places of {service} ms: {recovered} ms");
    }
}

#[test]
fn a_little_too_much_is_refused_without_a_long_line() {
    let mut pool = Pool::new(32, 50);
    pool.open_load(1.3, 10_000);
    let later = pool.open_load(1.3, 20_000);
    assert!(p99_ms(&later) <= 160.0, "{}", p99_ms(&later));
    assert!(later.served.len() >= 12_000, "{}", later.served.len());
}

#[test]
fn those_who_come_back_when_they_are_answered_are_all_served() {
    let mut pool = Pool::new(8, 20);
    let mut back = 500;
    for _ in 0..10_000 * MS {
        back = pool.step(back);
    }
    assert_eq!(pool.seen.refused, 0);
    assert!(pool.seen.served.len() > 3_900);
}

#[test]
fn bursts_and_pauses_of_the_backends_cost_nobody_an_error() {
    let mut pool = Pool::new(32, 50);
    pool.open_load(0.7, 2_000);
    (0..700).for_each(|_| pool.come());
    assert_eq!(pool.open_load(0.7, 5_000).refused, 0, "a burst");
    for pause in [100, 300, 1_000] {
        pool.stalled = true;
        pool.open_load(0.7, pause);
        pool.stalled = false;
        assert_eq!(pool.open_load(0.7, 10_000).refused, 0, "a pause of {pause} ms");
    }
}

#[test]
fn slow_requests_by_chance_are_no_surge() {
    for places in [1, 4, 8] {
        let mut pool = Pool::new(places, 1_000);
        assert_eq!(pool.open_load(0.9, 600_000).refused, 0, "{places}");
    }
}

#[test]
fn a_surge_ends_with_the_last_who_was_refused() {
    let line = |waiting, size| Line { waiting, places: 8, size };
    let mut surge = Surge::default();
    assert_eq!(surge.came(0, &line(0, 1000)), 1000);
    surge.refused(0);
    assert_eq!((surge.came(1, &line(900, 1000)), surge.came(1, &line(5, 5)), surge.came(1, &line(0, 0))), (12, 5, 0));
    assert_eq!((surge.came(249, &line(0, 1000)), surge.came(250, &line(1, 1000))), (12, 12), "still some wait");
    assert_eq!(surge.came(250, &line(0, 1000)), 1000);
    surge.refused(300);
    assert!(surge.is_on(1_299) && !surge.is_on(1_300));
}
