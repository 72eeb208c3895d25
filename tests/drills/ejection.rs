//! Drills in which real requests alone take a backend out: the checks are off or pass all the while.

use std::time::{Duration, Instant};

use super::{CLIENTS, Drill, SPELL, count, has_nginx};
use crate::harness::{Backend, GET, Nginx, OK, Setup, eventually, figure, with_one_and_four_workers};

#[test]
fn backend_that_resets_each_request_is_ejected_and_costs_none() {
    with_one_and_four_workers(|workers| {
        let bad = Backend::serving(|conn| {
            conn.wire.read_head()?;
            conn.end_with_reset();
            Ok(())
        });
        let good = Backend::answering(OK);
        let front = Setup::over([&bad.address, &good.address].map(String::as_str)).workers(workers).start();
        let drill = Drill::begin("resets each request, no checks", workers, front, GET);
        drill.front.wait_for_states(&["ejected", "ready"]);
        let reason = drill.front.backends("reason")[0].to_string();
        assert!(reason.contains("in a row: connection closed before the answer"), "{reason}");
        assert!(drill.front.backends("until_ms")[0].is_u64());
        // Past the first trial, which fails.
        eventually("a trial has failed", || drill.front.backends("reason")[0].to_string().contains("1 trial failed"));
        drill.spell();
        let ended = drill.end();
        ended.without_errors(&["ok"]);
        // Those under way when it was ejected, and the trials.
        let most = 3 + u64::try_from(CLIENTS).unwrap() + 10;
        let attempts = count(&ended.front, "attempts", 0);
        assert!(attempts <= most, "{attempts} attempts");
    });
}

#[test]
fn backend_that_is_a_hundred_times_slower_is_ejected() {
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
        let drill = Drill::begin("a hundred times slower, `latency` on", workers, front, GET);
        let began = Instant::now();
        drill.front.wait_for_states(&["ejected", "ready", "ready"]);
        let reason = drill.front.backends("reason")[0].to_string();
        assert!(reason.contains("first byte after 1"), "{reason}");
        let ejected_after = began.elapsed();
        let before = (drill.load.done(), Instant::now());
        drill.load.wait_for(4 * SPELL);
        let rate = (drill.load.done() - before.0) as f64 / before.1.elapsed().as_secs_f64();
        let slow_rate = before.0 as f64 / ejected_after.as_secs_f64();
        drill.end().without_errors(&["ok"]);
        figure(&format!(
            "a hundred times slower, {workers} worker(s): ejected after {:.1} s, {slow_rate:.0}/s before, {rate:.0}/s after",
            ejected_after.as_secs_f64()
        ));
        assert!(rate > 2.0 * slow_rate, "{rate:.0}/s after {slow_rate:.0}/s");
    });
}

#[test]
fn stopped_process_that_connect_probes_pass_is_ejected_and_comes_back_by_a_trial() {
    let name = "SIGSTOP under a connect check";
    if !has_nginx(name) {
        return;
    }
    with_one_and_four_workers(|workers| {
        let [one, two] = ["one", "two"].map(|name| Nginx::start(name).unwrap());
        let setup = Setup::over([one.address(), two.address()])
            .health("{ tcp = true, interval = \"100ms\", timeout = \"1s\" }")
            .pool("timeouts = { first_byte = \"300ms\" }");
        let drill = Drill::start(name, workers, setup);
        one.freeze();
        drill.front.wait_for_states(&["ejected", "ready"]);
        drill.spell();
        eventually("a trial has failed", || drill.front.backends("reason")[0].to_string().contains("trial failed"));
        one.thaw();
        drill.front.wait_for_states(&["ready", "ready"]);
        drill.spell();
        let ended = drill.end();
        ended.without_errors(&["one", "two"]).bounded_by(Duration::from_millis(300));
        assert!(ended.report.bodies["one"] > SPELL / 4, "{:?}", ended.report.bodies);
    });
}
