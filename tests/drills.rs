//! Failover drills: real and raw backends die, hang and come back under load, and no client gets an error that a retry
//! could have saved. Run one at a time; each leaves a figure.

mod crowd;

use crate::harness::{Backend, Evenkeel, GET, Load, LoadReport, Nginx, OK, PATIENCE, Setup, eventually, figure, skip};

/// Keep-alive clients.
const CLIENTS: usize = 16;
/// Requests before, between and after what a drill does.
const SPELL: u64 = 1500;
/// Fast checks, so that a drill sees verdicts soon.
const CHECKS: &str = "{ alive = true, interval = \"150ms\", timeout = \"150ms\", fall = 2, rise = 1 }";

/// Two real backends behind a balancer, and load on it.
struct Drill {
    one: Nginx,
    two: Nginx,
    front: Evenkeel,
    load: Load,
}

impl Drill {
    /// `None` where nginx is not installed.
    fn start(name: &str, workers: usize, pool: &str) -> Option<Self> {
        let (Some(one), Some(two)) = (Nginx::start("one"), Nginx::start("two")) else {
            skip(name, "nginx is not installed");
            return None;
        };
        let front = Setup::over([one.address(), two.address()]).workers(workers).health(CHECKS).pool(pool).start();
        front.wait_for_states(&["ready", "ready"]);
        let load = Load::start(front.address(), CLIENTS, GET);
        load.wait_for(SPELL);
        Some(Self { one, two, front, load })
    }

    /// Ends the load, notes its figure and returns it.
    #[track_caller]
    fn end(self, name: &str) -> LoadReport {
        self.load.wait_for(SPELL);
        let report = self.load.stop();
        let retries: u64 = self.front.backends("retries").iter().filter_map(serde_json::Value::as_u64).sum();
        figure(&format!("{name}: {}, {retries} attempts repeated", report.line()));
        assert!(report.bodies.keys().all(|body| body == "one" || body == "two"), "{:?}", report.bodies);
        report
    }
}

#[track_caller]
fn assert_none_failed(report: &LoadReport) {
    assert_eq!(report.failed, 0, "of {} requests: {:?}", report.requests, report.failures);
}

/// Runs a drill with one worker and with four.
fn with_one_and_four_workers(name: &str, drill: impl Fn(&str, usize)) {
    for workers in [1, 4] {
        drill(&format!("{name}, {workers} worker(s)"), workers);
    }
}

#[test]
fn drill_killed_backend_costs_no_request_and_comes_back() {
    with_one_and_four_workers("SIGKILL and restart", |name, workers| {
        let Some(mut drill) = Drill::start(name, workers, "") else { return };
        for _ in 0..3 {
            drill.two.kill();
            drill.load.wait_for(SPELL);
            drill.front.wait_for_states(&["ready", "down"]);
            drill.two.restart();
            drill.front.wait_for_states(&["ready", "ready"]);
            drill.load.wait_for(SPELL);
        }
        let shares = drill.end(name);
        assert_none_failed(&shares);
        assert!(shares.bodies["two"] > SPELL / 2, "the restarted one works: {:?}", shares.bodies);
    });
}

#[test]
fn drill_stopped_backend_costs_no_request_and_comes_back() {
    with_one_and_four_workers("SIGSTOP and SIGCONT", |name, workers| {
        let Some(drill) = Drill::start(name, workers, "") else { return };
        for _ in 0..2 {
            drill.one.freeze();
            drill.front.wait_for_states(&["down", "ready"]);
            drill.load.wait_for(SPELL);
            drill.one.thaw();
            drill.front.wait_for_states(&["ready", "ready"]);
            drill.load.wait_for(SPELL);
        }
        let report = drill.end(name);
        assert_none_failed(&report);
        // What waits for a backend that is declared down is tried elsewhere then, not at its timeout of 30 s.
        assert!(report.slowest < PATIENCE / 4, "{:?}", report.slowest);
    });
}

#[test]
fn drill_killed_backend_costs_requests_only_without_retries() {
    let name = "SIGKILL, retries off";
    let Some(mut drill) = Drill::start(name, 1, "retry = { tries = 1 }") else { return };
    for _ in 0..3 {
        drill.two.kill();
        drill.front.wait_for_states(&["ready", "down"]);
        drill.two.restart();
        drill.front.wait_for_states(&["ready", "ready"]);
        drill.load.wait_for(SPELL);
    }
    let report = drill.end(name);
    assert!(report.failed > 0, "without retries a kill must show, else the other drills prove nothing");
    assert!(report.failed < report.requests / 2, "{}", report.line());
}

#[test]
fn drill_crash_loop_costs_no_request() {
    with_one_and_four_workers("crash loop under default checks", |name, workers| {
        let (Some(one), Some(mut two)) = (Nginx::start("one"), Nginx::start("two")) else {
            return skip(name, "nginx is not installed");
        };
        let front = Setup::over([one.address(), two.address()]).workers(workers).health("\"alive\"").start();
        let load = Load::start(front.address(), CLIENTS, GET);
        for _ in 0..12 {
            load.wait_for(SPELL / 5);
            two.kill();
            load.wait_for(SPELL / 5);
            two.restart();
        }
        let report = load.stop();
        figure(&format!("{name}, 12 crashes: {}", report.line()));
        assert_none_failed(&report);
    });
}

/// Answers its checks, but no request: every other dies with a reset, the others with an early end or a 503.
fn crashing() -> Backend {
    Backend::serving(|conn| {
        if conn.wire.read_head()?.start_line().starts_with("HEAD ") {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        } else if conn.number % 2 == 0 {
            conn.end_with_reset();
        } else if conn.number % 3 == 0 {
            conn.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }
        Ok(())
    })
}

#[test]
fn drill_backend_that_lies_to_its_checks_is_tried_again_within_the_budget() {
    let (lying, good) = (crashing(), Backend::answering(OK));
    // Else the liar would be ejected.
    let front = Setup::over([&lying.address, &good.address].map(String::as_str)).pool("eject = \"off\"").start();
    let load = Load::start(front.address(), CLIENTS, GET);
    load.wait_for(2 * SPELL);
    let report = load.stop();
    let retries: u64 = front.backends("retries").iter().filter_map(serde_json::Value::as_u64).sum();
    figure(&format!("one of two fails each request, checks pass: {}, {retries} attempts repeated", report.line()));
    // A fifth of all requests, and ten a second.
    let budget = report.requests / 5 + 10 * (report.lasted.as_secs() + 2);
    assert!(retries <= budget, "{retries} of {budget}");
    assert!(retries >= report.requests / 6, "the budget is there to be used: {retries} of {budget}");
}

#[test]
fn drill_flapping_port_costs_no_request() {
    with_one_and_four_workers("port that comes and goes", |name, workers| {
        let good = Backend::answering(OK);
        let port = crate::harness::free_port();
        let address = format!("127.0.0.1:{port}");
        let front = Setup::over([address.as_str(), &good.address]).workers(workers).health(CHECKS).start();
        let load = Load::start(front.address(), CLIENTS, GET);
        for _ in 0..5 {
            let up = Backend::on(listen_again(&address), |conn| {
                loop {
                    conn.wire.read_head()?;
                    conn.send(OK);
                }
            });
            front.wait_for_states(&["ready", "ready"]);
            load.wait_for(SPELL / 5);
            drop(up);
            front.wait_for_states(&["down", "ready"]);
            load.wait_for(SPELL / 5);
        }
        let report = load.stop();
        figure(&format!("{name}: {}", report.line()));
        assert_none_failed(&report);
    });
}

fn listen_again(address: &str) -> std::net::TcpListener {
    let mut bound = None;
    eventually("the port is free again", || {
        bound = std::net::TcpListener::bind(address).ok();
        bound.is_some()
    });
    bound.unwrap()
}
