//! Circuit breaking: a pool that fails as a whole is asked no more, tried by a few requests, and comes back. Drills print
//! their figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::harness::{
    BUSY, Backend, Evenkeel, GET, Gate, Load, OK, Setup, eventually, figure, with_one_and_four_workers,
};

const CLIENTS: usize = 16;

/// Backends that all fail while the dependency that they share does.
struct Shared {
    broken: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    backends: Vec<Backend>,
}

impl Shared {
    fn of(count: usize) -> Self {
        let (broken, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let backend = |_| {
            let (broken, asked) = (Arc::clone(&broken), Arc::clone(&asked));
            Backend::serving(move |conn| {
                loop {
                    conn.wire.read_head()?;
                    asked.fetch_add(1, Ordering::SeqCst);
                    conn.send(if broken.load(Ordering::SeqCst) { BUSY } else { OK });
                }
            })
        };
        let backends = (0..count).map(backend).collect();
        Self { broken, asked, backends }
    }

    fn setup(&self) -> Setup {
        Setup::over(self.backends.iter().map(|backend| backend.address.as_str()))
    }

    fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn circuit(front: &Evenkeel, field: &str) -> Value {
    front.status()["pools"][0]["circuit"][field].clone()
}

fn is_refused(front: &Evenkeel) -> bool {
    let answer = front.exchange(GET);
    answer.status() == 503 && answer.has("Proxy-Status") && answer.value("Proxy-Status").contains("circuit-open")
}

#[test]
fn drill_pool_that_fails_is_asked_no_more_and_comes_back() {
    with_one_and_four_workers(|workers| {
        let shared = Shared::of(3);
        let front = shared.setup().workers(workers).pool("breaker = { for = \"200ms\" }").start();
        let load = Load::start(front.address(), CLIENTS, GET);
        load.wait_for(500);
        assert_eq!(circuit(&front, "state"), "closed");
        shared.set_broken(true);
        let (broke, before) = (Instant::now(), shared.asked());
        eventually("it is open", || circuit(&front, "openings").as_u64() >= Some(1));
        let opened_after = broke.elapsed();
        eventually("a trial has failed", || circuit(&front, "openings").as_u64() >= Some(2));
        let refused = circuit(&front, "refused").as_u64().unwrap();
        assert!(refused > 0);
        let (while_open, served) = (shared.asked(), load.done());
        load.wait_for(2_000);
        // But for those under way when it opened, and trials.
        let asked = shared.asked() - while_open;
        assert!(asked <= 3 * 8 + CLIENTS, "{asked} of {} requests were let through", load.done() - served);
        shared.set_broken(false);
        let mended = Instant::now();
        eventually("it is closed", || circuit(&front, "state") == "closed");
        let closed_after = mended.elapsed();
        assert_eq!(circuit(&front, "reason"), "3 trials passed");
        load.wait_for(500);
        let report = load.stop();
        figure(&format!(
            "breaker, {workers} worker(s): open {:.2} s after all backends began to fail ({} attempts), {asked} attempts \
             for {} requests while open, closed {:.2} s after they were well; {} refused",
            opened_after.as_secs_f64(),
            while_open - before,
            report.requests - served,
            closed_after.as_secs_f64(),
            circuit(&front, "refused"),
        ));
        assert_eq!(front.exchange(GET).status(), 200);
    });
}

#[test]
fn open_circuit_says_so_and_when_to_come_again() {
    with_one_and_four_workers(|workers| {
        let shared = Shared::of(2);
        let front = shared
            .setup()
            .workers(workers)
            .pool("breaker = { requests = 5, for = \"1h\", max_for = \"1h\" }\neject = \"off\"")
            .start();
        shared.set_broken(true);
        eventually("it is open", || is_refused(&front));
        let answer = front.exchange(GET);
        let seconds: u64 = answer.value("Retry-After").parse().unwrap();
        assert!((3500..=3600).contains(&seconds), "{seconds}");
        assert!(answer.value("Proxy-Status").contains("error=destination_unavailable"));
        assert_eq!(circuit(&front, "state"), "open");
        assert!(circuit(&front, "reason").as_str().unwrap().ends_with("attempts failed"));
        assert!(circuit(&front, "until_ms").as_u64() > circuit(&front, "since_ms").as_u64());
        eventually("the log says so", || front.log().contains("the circuit is open"));
        eventually("the refusal is on record", || {
            front.failures().iter().any(|line| line["cause"] == "circuit-open" && line["attempts"] == 0)
        });
    });
}

#[test]
fn half_open_circuit_lets_only_trials_through() {
    with_one_and_four_workers(|workers| {
        let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Gate::default());
        let (counted, held) = (Arc::clone(&asked), gate.clone());
        let backend = Backend::serving(move |conn| {
            loop {
                conn.wire.read_head()?;
                let number = counted.fetch_add(1, Ordering::SeqCst);
                held.pass();
                conn.send(if number < 4 { BUSY } else { OK });
            }
        });
        let front = Setup::new(&backend)
            .workers(workers)
            .pool("breaker = { requests = 4, for = \"50ms\", trials = 2 }\nretry = { tries = 1 }\neject = \"off\"")
            .start();
        for _ in 0..4 {
            assert_eq!(front.exchange(GET).status(), 503);
        }
        gate.close();
        let load = Load::start(front.address(), 4, GET);
        // Two requests try it and wait at the gate; all others are refused meanwhile.
        eventually("the trials are under way", || asked.load(Ordering::SeqCst) == 6);
        load.wait_for(50);
        assert_eq!(asked.load(Ordering::SeqCst), 6);
        assert_eq!(circuit(&front, "state"), "half-open");
        assert!(circuit(&front, "refused").as_u64() >= Some(50));
        gate.open();
        eventually("it is closed", || circuit(&front, "state") == "closed");
        load.stop();
        assert_eq!(front.exchange(GET).status(), 200);
    });
}

#[test]
fn pool_whose_backends_are_all_ejected_refuses_where_that_is_wanted() {
    with_one_and_four_workers(|workers| {
        let shared = Shared::of(2);
        let front = shared
            .setup()
            .workers(workers)
            .pool("eject = { max_share = 100, for = \"2s\" }\npanic = \"refuse\"\nretry = { tries = 1 }")
            .start();
        shared.set_broken(true);
        eventually("all are ejected", || {
            front.exchange(GET);
            front.backends("state") == ["ejected", "ejected"]
        });
        // One in two seconds is a trial and goes through.
        eventually("a request is refused without asking anybody", || {
            let before = shared.asked();
            let answer = front.exchange(GET);
            let refused = shared.asked() == before;
            if refused {
                assert_eq!((answer.status(), answer.value("Retry-After")), (503, "1"));
                assert!(answer.value("Proxy-Status").contains("none-ready"), "{answer:?}");
            }
            refused
        });
        shared.set_broken(false);
        eventually("trials bring them back", || {
            front.exchange(GET);
            front.backends("state") == ["ready", "ready"]
        });
        assert_eq!(front.exchange(GET).status(), 200);
    });
}

#[test]
fn panic_spreads_over_ejected_backends_unless_told_otherwise() {
    let shared = Shared::of(2);
    let front = shared.setup().pool("eject = { max_share = 100, for = \"1m\" }\nretry = { tries = 1 }").start();
    shared.set_broken(true);
    eventually("all are ejected", || {
        front.exchange(GET);
        front.backends("state") == ["ejected", "ejected"]
    });
    shared.set_broken(false);
    assert_eq!(front.exchange(GET).status(), 200, "somebody is asked even so");
}
