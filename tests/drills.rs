//! Failover drills: real and raw backends die, hang, lie and come back under load, and no client gets an error that could
//! have been spared. Run one at a time (`./test drills`); each leaves a line of the table in `docs/reliability.md`.

mod crowd;
mod death;
mod ejection;
mod failing;
mod hanging;

use std::time::Duration;

use crate::harness::{
    Evenkeel, GET, Kind, Load, LoadReport, Server, Setup, eventually, find_program, skip, table_row,
    with_one_and_four_workers,
};

/// Keep-alive clients.
const CLIENTS: usize = 16;
/// Requests before, between and after what a drill does.
const SPELL: u64 = 1000;
/// Checks that see soon what happened, and do not take a busy machine for a dead backend.
const CHECKS: &str =
    "{ alive = true, interval = \"150ms\", timeout = \"1s\", fall = 2, rise = 1, hold_down_max = \"300ms\" }";
/// What the promise allows from the return of a backend to the first success.
const BACK_WITHIN: Duration = Duration::from_millis(250);
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

/// Whether the machine has nginx; says that the test is skipped where not.
fn has_nginx(test: &str) -> bool {
    let has = find_program("nginx").is_some();
    if !has {
        skip(test, "nginx is not installed");
    }
    has
}

/// Runs a drill over so many backends of each kind, with one worker and with four.
fn with_each_kind<const N: usize>(name: &str, drill: impl Fn(&str, usize, [Server; N])) {
    const NAMES: [&str; 6] = ["one", "two", "three", "four", "five", "six"];
    for kind in Kind::ALL {
        let name = format!("{name}, {}", kind.name());
        if kind == Kind::Nginx && !has_nginx(&name) {
            continue;
        }
        with_one_and_four_workers(|workers| {
            drill(&name, workers, std::array::from_fn(|n| Server::start(kind, NAMES[n]).unwrap()));
        });
    }
}

fn over<const N: usize>(servers: &[Server; N]) -> Setup {
    Setup::over(servers.each_ref().map(Server::address))
}

/// Load on a balancer.
struct Drill {
    name: String,
    workers: usize,
    front: Evenkeel,
    load: Load,
    /// Times from a return to the first success.
    back: Vec<Duration>,
}

/// What came of it.
struct Ended {
    report: LoadReport,
    front: Evenkeel,
}

impl Drill {
    /// Starts the balancer, waits until its backends are ready, and begins the load.
    fn start(name: &str, workers: usize, setup: Setup) -> Self {
        let front = setup.workers(workers).start();
        eventually("backends are ready", || front.backends("state").iter().all(|state| state == "ready"));
        let drill = Self::begin(name, workers, front, GET);
        drill.spell();
        drill
    }

    /// Begins the load at once.
    fn begin(name: &str, workers: usize, front: Evenkeel, request: &str) -> Self {
        let load = Load::start(front.address(), CLIENTS, request);
        Self::of(name, workers, front, load)
    }

    fn of(name: &str, workers: usize, front: Evenkeel, load: Load) -> Self {
        Self { name: name.to_owned(), workers, front, load, back: Vec::new() }
    }

    #[track_caller]
    fn spell(&self) {
        self.load.wait_for(SPELL);
    }

    /// What returns now, and how long it takes until a request succeeds.
    #[track_caller]
    fn returns(&mut self, what: impl FnOnce()) {
        self.load.await_success();
        what();
        self.back.push(self.load.first_success());
    }

    /// Ends the load and notes the line.
    #[track_caller]
    fn end(self) -> Ended {
        self.load.wait_for(SPELL / 10);
        let Self { name, workers, front, load, back } = self;
        let report = load.stop();
        let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1000.0);
        table_row(&[
            name,
            workers.to_string(),
            report.requests.to_string(),
            report.failed.to_string(),
            ms(report.p99),
            ms(report.slowest),
            front.sum("retries").to_string(),
            back.iter().max().map_or_else(|| "-".to_owned(), |worst| format!("{}, {}", ms(median(&back)), ms(*worst))),
        ]);
        if report.failed > 0 {
            println!("the first failures: {:?}", report.failures);
        }
        if !back.is_empty() {
            // The middle of several: one of them may have met a machine that did something else.
            assert!(median(&back) <= BACK_WITHIN, "{back:?}");
        }
        Ended { report, front }
    }
}

impl Ended {
    /// Every request got a whole answer of one of these.
    #[track_caller]
    fn without_errors(&self, bodies: &[&str]) -> &Self {
        let report = &self.report;
        assert_eq!(report.failed, 0, "of {} requests: {:?}", report.requests, report.failures);
        assert!(report.bodies.keys().all(|body| bodies.contains(&body.as_str())), "{:?}", report.bodies);
        self
    }

    /// What waited for a backend that failed it went on after a try's time, and not after many. Some tries may follow
    /// each other, and a busy machine takes its time, too.
    #[track_caller]
    fn bounded_by(&self, one_try: Duration) -> &Self {
        assert!(self.report.slowest < one_try * 3 + Duration::from_secs(4), "{:?}", self.report.slowest);
        self
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

fn count(front: &Evenkeel, field: &str, backend: usize) -> u64 {
    front.backends(field)[backend].as_u64().unwrap()
}
