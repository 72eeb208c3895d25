//! Backends whose process is gone: their port refuses, and their connections end.

use std::time::{Duration, Instant};

use super::{BACK_WITHIN, CHECKS, CLIENTS, Drill, SPELL, count, over, with_each_kind};
use crate::harness::{
    BUSY, Backend, GET, Load, OK, Raw, Server, Setup, eventually, figure, free_port, long_run, skip,
    with_one_and_four_workers,
};

const ALL: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

#[test]
fn killed_backend_costs_no_request_and_comes_back() {
    with_each_kind("killed and restarted, 3 times", |name, workers, mut servers: [Server; 2]| {
        let drill = Drill::start(name, workers, over(&servers).health(CHECKS));
        for _ in 0..3 {
            servers[1].kill();
            drill.spell();
            drill.front.wait_for_states(&["ready", "down"]);
            servers[1].restart();
            drill.front.wait_for_states(&["ready", "ready"]);
            drill.spell();
        }
        let ended = drill.end();
        ended.without_errors(&ALL);
        assert!(ended.report.bodies["two"] > SPELL / 2, "the restarted one works: {:?}", ended.report.bodies);
    });
}

/// Else the other drills prove nothing.
#[test]
fn killed_backend_costs_exactly_the_attempts_that_failed_without_retries() {
    with_each_kind("killed and restarted, retries off", |name, workers, mut servers: [Server; 2]| {
        let drill = Drill::start(name, workers, over(&servers).health(CHECKS).pool("retry = { tries = 1 }"));
        for _ in 0..3 {
            servers[1].kill();
            drill.front.wait_for_states(&["ready", "down"]);
            servers[1].restart();
            drill.front.wait_for_states(&["ready", "ready"]);
            drill.spell();
        }
        let ended = drill.end();
        assert!(ended.report.failed > 0, "a kill must show");
        // Connections of ours that had gone stale are repeated even so.
        let caused = ended.front.sum("failures") - ended.front.sum("retries");
        assert_eq!(ended.report.failed, caused, "{:?}", ended.report.failures);
    });
}

#[test]
fn crash_loop_costs_no_request() {
    let crashes = if long_run() { 100 } else { 10 };
    with_each_kind(&format!("crash loop, {crashes} times"), |name, workers, mut servers: [Server; 2]| {
        let drill = Drill::start(name, workers, over(&servers).health("\"alive\""));
        for _ in 0..crashes {
            drill.load.wait_for(SPELL / 5);
            servers[1].kill();
            drill.load.wait_for(SPELL / 5);
            servers[1].restart();
        }
        drill.end().without_errors(&ALL);
    });
}

/// Each one dies as soon as the one before it listens again, whatever the balancer knows of that.
#[test]
fn rolling_restart_costs_no_request() {
    with_each_kind("rolling restart of three, twice", |name, workers, mut servers: [Server; 3]| {
        let drill = Drill::start(name, workers, over(&servers).health("\"alive\""));
        for _ in 0..2 {
            for server in &mut servers {
                server.kill();
                drill.load.wait_for(SPELL / 5);
                server.restart();
            }
        }
        drill.end().without_errors(&ALL);
    });
}

#[test]
fn death_of_all_but_one_at_a_time_costs_no_request() {
    with_each_kind("five of six die at once", |name, workers, mut servers: [Server; 6]| {
        // A request may meet each death once.
        let drill = Drill::start(name, workers, over(&servers).health("\"alive\"").pool("retry = { tries = 6 }"));
        servers[1..].iter_mut().for_each(Server::kill);
        drill.spell();
        servers[1..].iter_mut().for_each(Server::restart);
        drill.end().without_errors(&ALL);
    });
}

#[test]
fn restart_of_the_whole_pool_is_waited_out() {
    with_each_kind("all three restarted at once, 3 times", |name, workers, mut servers: [Server; 3]| {
        // A request may meet each death once.
        let setup = over(&servers).health("\"alive\"").pool("retry = { tries = 4 }");
        let drill = Drill::start(name, workers, setup);
        for _ in 0..3 {
            servers.iter_mut().for_each(Server::kill);
            servers.iter_mut().for_each(Server::restart);
            drill.spell();
        }
        drill.end().without_errors(&ALL);
    });
}

#[test]
fn first_success_comes_at_once_after_the_last_backend_died_and_one_returns() {
    with_each_kind("both die, one returns, 5 times", |name, workers, mut servers: [Server; 2]| {
        let mut drill = Drill::start(name, workers, over(&servers).health(CHECKS));
        for _ in 0..5 {
            servers.iter_mut().for_each(Server::kill);
            drill.front.wait_for_states(&["down", "down"]);
            let (first, last) = servers.split_at_mut(1);
            drill.returns(|| first[0].restart());
            last[0].restart();
            drill.front.wait_for_states(&["ready", "ready"]);
            drill.spell();
        }
        drill.end();
    });
}

/// After ten seconds an outage is no longer waited out: clients are told at once, and the first to ask finds the end.
#[test]
fn long_outage_is_told_at_once_and_its_end_found_at_once() {
    if !long_run() {
        return skip("an outage of 12 s", "only in ./test --long");
    }
    with_one_and_four_workers(|workers| {
        let mut server = Raw::named("one");
        let drill = Drill::start("an outage of 12 s", workers, Setup::over([server.address.as_str()]).health(CHECKS));
        server.stop();
        let began = Instant::now();
        eventually("it lasts", || began.elapsed() > Duration::from_secs(12));
        let asked = Instant::now();
        assert_eq!(drill.front.exchange(GET).status(), 502);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        let mut drill = drill;
        drill.returns(|| server.start());
        drill.end();
    });
}

#[test]
fn dead_backend_costs_one_try_of_each_worker() {
    for workers in [1, 4] {
        let good = Backend::answering(OK);
        let dead = format!("127.0.0.1:{}", free_port());
        let setup = Setup::over([dead.as_str(), &good.address]).workers(workers);
        // Else it would be ejected after three.
        let front = setup.pool("eject = \"off\"").start();
        let began = Instant::now();
        let (mut requests, mut tries) = (0, 0);
        // Connections go to workers by chance: with this many, to all of them.
        while requests < 400 {
            assert_eq!(front.exchange(GET).status(), 200);
            requests += 1;
            tries = count(&front, "attempts", 0);
            let looks = 1 + began.elapsed().as_millis() / BACK_WITHIN.as_millis();
            let most = looks * u128::try_from(workers).unwrap();
            assert!(u128::from(tries) <= most, "{tries} tries after {:?}, at most {most}", began.elapsed());
        }
        figure(&format!(
            "dead backend, no checks, no ejection, {workers} worker(s): {tries} tries for {requests} requests in {} ms, \
             one for each worker and quarter of a second",
            began.elapsed().as_millis()
        ));
    }
}

#[test]
fn liar_is_tried_again_within_the_budget() {
    // Answers its checks, but no request: every other dies with a reset, the others with an early end or a 503.
    let lying = Backend::serving(|conn| {
        if conn.wire.read_head()?.start_line().starts_with("HEAD ") {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        } else if conn.number % 2 == 0 {
            conn.end_with_reset();
        } else if conn.number % 3 == 0 {
            conn.send(BUSY);
        }
        Ok(())
    });
    let good = Backend::answering(OK);
    // Else the liar would be ejected.
    let front = Setup::over([&lying.address, &good.address].map(String::as_str)).pool("eject = \"off\"").start();
    let load = Load::start(front.address(), CLIENTS, GET);
    load.wait_for(2 * SPELL);
    let report = load.stop();
    let retries = front.sum("retries");
    figure(&format!("one of two fails each request, checks pass: {}, {retries} attempts repeated", report.line()));
    // A fifth of all requests, and ten a second.
    let budget = report.requests / 5 + 10 * (report.lasted.as_secs() + 2);
    assert!(retries <= budget, "{retries} of {budget}");
    assert!(retries >= report.requests / 6, "the budget is there to be used: {retries} of {budget}");
}
