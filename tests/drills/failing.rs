//! Backends that listen and fail: resets, errors, half answers, a start that takes its time, a full disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{BROKEN, CHECKS, CLIENTS, Drill, Ended, SPELL, count};
use crate::harness::{
    BUSY, Backend, Broken, Conn, GET, Load, Raw, Setup, eventually, figure, with_one_and_four_workers,
};

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";
/// For backends whose every connection is fresh, so that no failure can be taken for a connection gone stale.
const GOOD_ONCE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood";
const RETRIES_OFF: &str = "retry = { tries = 1 }";
/// For applications whose 500 means what it says.
const WITH_500: &str = "retry = { on = [\"connect\", \"reset\", \"timeout\", 500, 502, 503] }\neject = { statuses = [500, 502, 503, 504] }";

/// A backend that fails one request of twenty in this way, and how often it did.
fn faulty(good: &'static str, fault: impl Fn(&mut Conn) -> bool + Send + Sync + 'static) -> (Backend, Arc<AtomicU64>) {
    let (asked, failed) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&failed);
    let backend = Backend::serving(move |conn| {
        loop {
            conn.wire.read_head()?;
            if asked.fetch_add(1, Ordering::Relaxed) % 20 == 19 {
                count.fetch_add(1, Ordering::SeqCst);
                if !fault(conn) {
                    return Ok(());
                }
            } else {
                conn.send(good);
                if good == GOOD_ONCE {
                    return Ok(());
                }
            }
        }
    });
    (backend, failed)
}

/// Faults before an answer; whether the connection goes on.
type Fault = fn(&mut Conn) -> bool;

fn resets(conn: &mut Conn) -> bool {
    conn.end_with_reset();
    false
}

fn is_busy(conn: &mut Conn) -> bool {
    conn.send(BUSY);
    true
}

#[test]
fn one_failure_in_twenty_costs_no_request() {
    let faults: [(&str, Fault); 2] = [("1 in 20 reset before the answer", resets), ("1 in 20 is 503", is_busy)];
    for (name, fault) in faults {
        with_one_and_four_workers(|workers| {
            let ((bad, failed), good) = (faulty(GOOD, fault), Backend::answering(GOOD));
            let setup = Setup::over([&bad.address, &good.address].map(String::as_str));
            let drill = Drill::start(name, workers, setup);
            drill.load.wait_for(2 * SPELL);
            let ended = drill.end();
            ended.without_errors(&["good"]);
            assert!(failed.load(Ordering::SeqCst) >= SPELL / 40);
            assert_eq!(ended.front.backends("state"), ["ready", "ready"], "one in twenty is no reason to eject");
        });
    }
}

#[test]
fn one_failure_in_twenty_costs_exactly_itself_without_retries() {
    let faults: [(&str, Fault); 2] =
        [("1 in 20 reset before the answer, retries off", resets), ("1 in 20 is 503, retries off", is_busy)];
    for (name, fault) in faults {
        with_one_and_four_workers(|workers| {
            let ((bad, failed), good) = (faulty(GOOD_ONCE, fault), Backend::answering(GOOD));
            let setup = Setup::over([&bad.address, &good.address].map(String::as_str)).pool(RETRIES_OFF);
            let drill = Drill::start(name, workers, setup);
            drill.load.wait_for(2 * SPELL);
            let ended = drill.end();
            assert_eq!(ended.report.failed, failed.load(Ordering::SeqCst), "{:?}", ended.report.failures);
            assert!(ended.report.failed >= SPELL / 40);
            assert_eq!(ended.front.sum("retries"), 0);
        });
    }
}

/// Half answers, and whether they end with a reset.
const HALVES: [(&str, &str, bool); 4] = [
    ("closed before the last chunk", "Transfer-Encoding: chunked\r\n\r\n2\r\ngo\r\n", false),
    ("reset before the last chunk", "Transfer-Encoding: chunked\r\n\r\n2\r\ngo\r\n", true),
    ("closed short of Content-Length", "Content-Length: 4\r\n\r\ngo", false),
    ("reset short of Content-Length", "Content-Length: 4\r\n\r\ngo", true),
];

/// No balancer can mend what has begun; the client must see that it is not whole.
#[test]
fn half_answers_stay_visible_and_none_looks_whole() {
    for (how, half, resets) in HALVES {
        for (retries, pool) in [("", ""), (", retries off", RETRIES_OFF)] {
            with_one_and_four_workers(|workers| {
                let (bad, cut) = faulty(GOOD, move |conn| {
                    conn.send(format!("HTTP/1.1 200 OK\r\n{half}"));
                    if resets {
                        conn.end_with_reset();
                    }
                    false
                });
                let good = Backend::answering(GOOD);
                let setup = Setup::over([&bad.address, &good.address].map(String::as_str)).pool(pool);
                let drill = Drill::start(&format!("1 in 20 {how}{retries}"), workers, setup);
                let ended = drill.end();
                let report = &ended.report;
                // A reset may overtake the head: then nothing has begun, and with retries on it is repeated.
                let told = ended.front.counter("truncated");
                assert_eq!(report.cut, told, "{:?}", report.failures);
                assert_eq!(report.failed, report.cut + report.statuses.values().sum::<u64>());
                let repeated = ended.front.sum("retries");
                assert_eq!(report.failed + repeated, cut.load(Ordering::SeqCst), "{:?}", report.failures);
                assert!(report.cut > 0 && (resets || report.cut == report.failed));
                assert_eq!(report.bodies.keys().collect::<Vec<_>>(), ["good"]);
            });
        }
    }
}

/// What a process does while it starts up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StartUp {
    Says(&'static str),
    AcceptsAndIsSilent,
}

/// A process that is not there yet when it listens.
fn starting(start_up: StartUp, is_up: &Arc<AtomicBool>) -> Raw {
    let is_up = Arc::clone(is_up);
    Raw::serving(move |conn| {
        loop {
            conn.wire.read_head()?;
            match start_up {
                _ if is_up.load(Ordering::SeqCst) => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"),
                StartUp::Says(answer) => conn.send(answer),
                StartUp::AcceptsAndIsSilent => {
                    conn.until_closed();
                    return Err(Broken::Closed);
                }
            }
        }
    })
}

/// It dies, and listens again at once, long before it works.
fn slow_start_up(name: &str, start_up: StartUp, pool: &str) {
    with_one_and_four_workers(|workers| {
        let is_up = Arc::new(AtomicBool::new(true));
        let (mut two, one) = (starting(start_up, &is_up), Raw::named("one"));
        let setup = Setup::over([&one.address, &two.address].map(String::as_str)).health(CHECKS).pool(pool);
        let drill = Drill::start(name, workers, setup);
        for _ in 0..3 {
            is_up.store(false, Ordering::SeqCst);
            two.stop();
            two.start();
            drill.spell();
            eventually("it is out", || {
                drill.front.backends("state")[1] != "ready" && drill.front.backends("state")[0] == "ready"
            });
            drill.spell();
            is_up.store(true, Ordering::SeqCst);
            drill.front.wait_for_states(&["ready", "ready"]);
            drill.spell();
        }
        let ended = drill.end();
        ended.without_errors(&["one", "two"]).bounded_by(std::time::Duration::from_millis(300));
        assert!(ended.report.bodies["two"] > SPELL / 2, "{:?}", ended.report.bodies);
    });
}

#[test]
fn start_up_that_answers_503_costs_no_request() {
    slow_start_up("starts up with 503, 3 times", StartUp::Says(BUSY), "");
}

#[test]
fn start_up_that_answers_500_costs_no_request_where_500_is_told_to_be_a_failure() {
    slow_start_up("starts up with 500, 500 repeated", StartUp::Says(BROKEN), WITH_500);
}

#[test]
fn start_up_that_is_silent_costs_no_request_and_a_try_at_most() {
    slow_start_up(
        "starts up in silence, 3 times",
        StartUp::AcceptsAndIsSilent,
        "timeouts = { first_byte = \"300ms\" }",
    );
}

/// Answers 500 to what it is told to while its disk is full; counts those that are not probes.
fn full_disk(fails: fn(&str) -> bool) -> (Backend, Arc<AtomicBool>, Arc<AtomicU64>) {
    let (is_full, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (full, count) = (Arc::clone(&is_full), Arc::clone(&failed));
    let backend = Backend::serving(move |conn| {
        loop {
            let request = conn.wire.read_request()?;
            let method = request.start_line().split(' ').next().unwrap_or_default().to_owned();
            let is_bad = full.load(Ordering::SeqCst) && fails(&method);
            count.fetch_add(u64::from(is_bad && method != "HEAD"), Ordering::SeqCst);
            conn.send(match (is_bad, method.as_str()) {
                (true, _) => BROKEN,
                (false, "HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                (false, _) => GOOD,
            });
        }
    });
    (backend, is_full, failed)
}

const PUT: &str = "PUT /file HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\n\r\nfile";
const POST: &str = "POST /file HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\n\r\nfile";

/// By default a 500 is an answer like any other: it is the check that takes the backend out.
#[test]
fn full_disk_costs_the_answers_until_the_check_sees_it() {
    with_one_and_four_workers(|workers| {
        let ((bad, is_full, failed), good) = (full_disk(|_| true), Backend::answering(GOOD));
        let setup = Setup::over([&bad.address, &good.address].map(String::as_str)).health(CHECKS);
        let drill = Drill::start("500 to all, by default", workers, setup);
        is_full.store(true, Ordering::SeqCst);
        drill.front.wait_for_states(&["down", "ready"]);
        drill.spell();
        is_full.store(false, Ordering::SeqCst);
        drill.front.wait_for_states(&["ready", "ready"]);
        let Ended { report, front } = drill.end();
        // But for those that were under way when the check had seen it: they went elsewhere.
        let (caused, moved) = (failed.load(Ordering::SeqCst), front.sum("retries"));
        assert!((caused.saturating_sub(moved)..=caused).contains(&report.failed), "{caused} of {:?}", report.statuses);
    });
}

#[test]
fn full_disk_costs_no_idempotent_request_where_500_is_told_to_be_a_failure() {
    // The second one's checks pass all the while: they write nothing.
    for (name, request) in [("500 to all, 500 repeated", GET), ("500 to writes, 500 repeated", PUT)] {
        with_one_and_four_workers(|workers| {
            let fails = if request == PUT { |method: &str| method == "PUT" } else { |_: &str| true };
            let ((bad, is_full, failed), (good, ..)) = (full_disk(fails), full_disk(|_| false));
            let setup = Setup::over([&bad.address, &good.address].map(String::as_str)).health(CHECKS).pool(WITH_500);
            let front = setup.workers(workers).start();
            front.wait_for_states(&["ready", "ready"]);
            let drill = Drill::begin(name, workers, front, request);
            drill.spell();
            is_full.store(true, Ordering::SeqCst);
            eventually("it is out", || drill.front.backends("state")[0] != "ready");
            drill.spell();
            is_full.store(false, Ordering::SeqCst);
            drill.front.wait_for_states(&["ready", "ready"]);
            drill.end().without_errors(&["good"]);
            assert!(failed.load(Ordering::SeqCst) >= 3);
        });
    }
}

/// What may not be repeated fails where it fails; ejection keeps it to a few.
#[test]
fn full_disk_costs_few_posts_where_500_is_told_to_be_a_failure() {
    let ((bad, is_full, failed), (good, ..)) = (full_disk(|method| method == "POST"), full_disk(|_| false));
    let setup = Setup::over([&bad.address, &good.address].map(String::as_str)).health(CHECKS).pool(WITH_500);
    let front = setup.workers(4).start();
    let load = Load::start(front.address(), CLIENTS, POST);
    load.wait_for(SPELL);
    is_full.store(true, Ordering::SeqCst);
    eventually("it is out", || front.backends("state")[0] == "ejected");
    load.wait_for(SPELL);
    let report = load.stop();
    figure(&format!("500 to POST alone, 500 told to be a failure, 4 workers: {}", report.line()));
    assert_eq!(report.failed, failed.load(Ordering::SeqCst), "{:?}", report.failures);
    assert!(report.failed >= 3 && count(&front, "ejections", 0) >= 1);
}
