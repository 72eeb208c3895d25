//! Passive health: what real requests show takes a backend out, and what lifts it. The checks are off or pass all the
//! while, so that nothing else can help. Drills print their figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Backend, Evenkeel, GET, Load, LoadReport, Nginx, OK, Setup, eventually, figure, free_port, skip};

/// Keep-alive clients.
const CLIENTS: usize = 16;
/// Requests between two looks.
const SPELL: u64 = 1500;
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

fn with_one_and_four_workers(drill: impl Fn(usize)) {
    for workers in [1, 4] {
        drill(workers);
    }
}

fn count(front: &Evenkeel, field: &str, backend: usize) -> u64 {
    front.backends(field)[backend].as_u64().unwrap()
}

#[track_caller]
fn end(front: &Evenkeel, load: Load, name: &str) -> LoadReport {
    let report = load.stop();
    let (attempts, faults, ejections) =
        (count(front, "attempts", 0), count(front, "faults", 0), count(front, "ejections", 0));
    figure(&format!(
        "{name}: {}; the bad one had {attempts} attempts, {faults} failed, {ejections} ejections",
        report.line()
    ));
    assert_eq!(report.failed, 0, "of {} requests: {:?}", report.requests, report.failures);
    report
}

#[test]
fn drill_backend_that_resets_each_request_is_ejected_and_costs_none() {
    with_one_and_four_workers(|workers| {
        let bad = Backend::serving(|conn| {
            conn.wire.read_head()?;
            conn.end_with_reset();
            Ok(())
        });
        let good = Backend::answering(OK);
        let front = Setup::over([&bad.address, &good.address].map(String::as_str)).workers(workers).start();
        let load = Load::start(front.address(), CLIENTS, GET);
        front.wait_for_states(&["ejected", "ready"]);
        let reason = front.backends("reason")[0].to_string();
        assert!(reason.contains("in a row: connection closed before the answer"), "{reason}");
        assert!(front.backends("until_ms")[0].is_u64());
        // Past the first trial, which fails.
        eventually("a trial has failed", || front.backends("reason")[0].to_string().contains("1 trial failed"));
        load.wait_for(SPELL);
        end(&front, load, &format!("resets each request, {workers} worker(s)"));
        // Those under way when it was ejected, and the trials.
        let most = 3 + u64::try_from(CLIENTS).unwrap() + 10;
        assert!(count(&front, "attempts", 0) <= most, "{} attempts", count(&front, "attempts", 0));
    });
}

#[test]
fn drill_backend_that_is_busy_now_and_then_costs_none() {
    with_one_and_four_workers(|workers| {
        let asked = AtomicUsize::new(0);
        let bad = Backend::serving(move |conn| {
            loop {
                conn.wire.read_head()?;
                let busy = asked.fetch_add(1, Ordering::Relaxed) % 20 == 19;
                conn.send(if busy { BUSY } else { OK });
            }
        });
        let good = Backend::answering(OK);
        let front = Setup::over([&bad.address, &good.address].map(String::as_str)).workers(workers).start();
        let load = Load::start(front.address(), CLIENTS, GET);
        load.wait_for(4 * SPELL);
        end(&front, load, &format!("one in twenty answers is 503, {workers} worker(s)"));
        assert!(count(&front, "faults", 0) >= 50, "{}", count(&front, "faults", 0));
        assert_eq!(front.backends("state"), ["ready", "ready"], "one in twenty is no reason to eject");
    });
}

#[test]
fn drill_backend_that_is_a_hundred_times_slower_is_ejected() {
    with_one_and_four_workers(|workers| {
        let slow = Backend::serving(|conn| {
            loop {
                conn.wire.read_head()?;
                std::thread::sleep(Duration::from_millis(100));
                conn.send(OK);
            }
        });
        let (one, two) = (Backend::answering(OK), Backend::answering(OK));
        let front = Setup::over([&slow.address, &one.address, &two.address].map(String::as_str))
            .workers(workers)
            .pool("eject = { latency = { factor = 5, requests = 50 } }")
            .start();
        let load = Load::start(front.address(), CLIENTS, GET);
        let began = Instant::now();
        front.wait_for_states(&["ejected", "ready", "ready"]);
        let reason = front.backends("reason")[0].to_string();
        assert!(reason.contains("first byte after 1"), "{reason}");
        let ejected_after = began.elapsed();
        let before = (load.done(), Instant::now());
        load.wait_for(4 * SPELL);
        let rate = (load.done() - before.0) as f64 / before.1.elapsed().as_secs_f64();
        let slow_rate = before.0 as f64 / ejected_after.as_secs_f64();
        end(&front, load, &format!("a hundred times slower, {workers} worker(s)"));
        figure(&format!(
            "a hundred times slower, {workers} worker(s): ejected after {:.1} s, {slow_rate:.0}/s before, {rate:.0}/s after",
            ejected_after.as_secs_f64()
        ));
        assert!(rate > 2.0 * slow_rate, "{rate:.0}/s after {slow_rate:.0}/s");
    });
}

#[test]
fn drill_stopped_process_that_connect_probes_pass_is_ejected_and_comes_back_by_a_trial() {
    with_one_and_four_workers(|workers| {
        let name = format!("SIGSTOP under a connect check, {workers} worker(s)");
        let (Some(one), Some(two)) = (Nginx::start("one"), Nginx::start("two")) else {
            return skip(&name, "nginx is not installed");
        };
        let front = Setup::over([one.address(), two.address()])
            .workers(workers)
            .health("{ tcp = true, interval = \"100ms\", timeout = \"100ms\" }")
            .pool("timeouts = { first_byte = \"300ms\" }")
            .start();
        front.wait_for_states(&["ready", "ready"]);
        let load = Load::start(front.address(), CLIENTS, GET);
        load.wait_for(SPELL);
        one.freeze();
        front.wait_for_states(&["ejected", "ready"]);
        load.wait_for(SPELL);
        eventually("a trial has failed", || front.backends("reason")[0].to_string().contains("trial failed"));
        one.thaw();
        front.wait_for_states(&["ready", "ready"]);
        load.wait_for(SPELL);
        let report = end(&front, load, &name);
        assert!(report.slowest < Duration::from_secs(3), "{:?}", report.slowest);
        assert!(report.bodies["one"] > SPELL / 4, "{:?}", report.bodies);
    });
}

#[test]
fn dead_backend_costs_one_try_in_a_while() {
    let good = Backend::answering(OK);
    let dead = format!("127.0.0.1:{}", free_port());
    let front = Setup::over([dead.as_str(), &good.address]).pool("eject = { failures = 1000 }").start();
    let began = Instant::now();
    let mut client = front.client();
    for _ in 0..100 {
        assert_eq!(client.exchange(GET).status(), 200);
    }
    let tries = count(&front, "attempts", 0);
    let most = 1 + began.elapsed().as_millis() / 250 + 1;
    figure(&format!("dead backend before any verdict: {tries} tries for 100 requests in {:?}", began.elapsed()));
    assert!(u128::from(tries) <= most, "{tries} tries, at most {most}");
}

#[test]
fn shared_dependency_that_fails_ejects_nobody() {
    let broken = Arc::new(AtomicBool::new(false));
    let backend = |broken: &Arc<AtomicBool>| {
        let broken = Arc::clone(broken);
        Backend::serving(move |conn| {
            loop {
                conn.wire.read_head()?;
                conn.send(if broken.load(Ordering::SeqCst) { BUSY } else { OK });
            }
        })
    };
    let backends = [backend(&broken), backend(&broken), backend(&broken)];
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    let front = Setup::over(addresses).workers(4).start();
    broken.store(true, Ordering::SeqCst);
    eventually("it is said that all fail alike", || {
        assert_eq!(front.exchange(GET).status(), 503);
        front.backends("reason")[0].to_string().contains("all 3 backends fail alike (status 503)")
    });
    assert_eq!(front.backends("state"), ["ready", "ready", "ready"]);
    broken.store(false, Ordering::SeqCst);
    for _ in 0..12 {
        assert_eq!(front.exchange(GET).status(), 200);
    }
    eventually("it is over", || front.backends("reason").iter().all(|reason| reason == "no health check"));
}

#[test]
fn only_a_trial_at_a_time_goes_to_an_ejected_backend_and_never_a_post() {
    let sick = Arc::new(AtomicBool::new(true));
    let (seen, state) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&sick));
    let counted = Arc::clone(&seen);
    let bad = Backend::serving(move |conn| {
        loop {
            conn.request()?;
            counted.fetch_add(1, Ordering::SeqCst);
            conn.send(if state.load(Ordering::SeqCst) { BUSY } else { OK });
        }
    });
    let good = Backend::named("good");
    let front =
        Setup::over([&bad.address, &good.address].map(String::as_str)).pool("eject = { for = \"50ms\" }").start();
    eventually("it is ejected", || {
        front.exchange(GET);
        front.backends("state")[0] == "ejected"
    });
    let before = seen.load(Ordering::SeqCst);
    eventually("a trial is offered", || {
        front.backends("reason")[0].to_string().contains("the next request may try it")
    });
    let post = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(front.exchange(post).body_text(), "good");
    assert_eq!(seen.load(Ordering::SeqCst), before);
    sick.store(false, Ordering::SeqCst);
    assert_eq!(front.exchange(GET).body_text(), "ok");
    front.wait_for_states(&["ready", "ready"]);
    assert_eq!(count(&front, "ejections", 0), 1);
}
