//! What is repeated, where, and what that costs. Drills print their figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::harness::{
    BUSY, Backend, Blackhole, GET, Load, LoadReport, OK, PATIENCE, Setup, eventually, figure, free_port,
    with_one_and_four_workers,
};

/// Keep-alive clients.
const CLIENTS: usize = 16;
/// Requests of a drill.
const SPELL: u64 = 1500;
const POST: &str = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\n\r\nbody";

/// Breaks each connection after its request.
fn resetting() -> Backend {
    Backend::serving(|conn| {
        conn.request()?;
        conn.end_with_reset();
        Ok(())
    })
}

#[track_caller]
fn assert_none_failed(report: &LoadReport) {
    assert_eq!(report.failed, 0, "of {} requests: {:?}", report.requests, report.failures);
}

#[test]
fn drill_backend_that_hangs_costs_no_more_than_a_try() {
    with_one_and_four_workers(|workers| {
        let (hung, good) = (Backend::silent(), Backend::answering(OK));
        let front = Setup::over([&hung.address, &good.address].map(String::as_str))
            .workers(workers)
            .pool("retry = { per_try = \"150ms\" }")
            .start();
        let load = Load::start(front.address(), CLIENTS, GET);
        front.wait_for_states(&["ejected", "ready"]);
        let reason = front.backends("reason")[0].to_string();
        assert!(reason.contains("no first byte in time"), "the slow one is to blame: {reason}");
        load.wait_for(SPELL);
        let report = load.stop();
        assert_none_failed(&report);
        // Far from the 30 seconds of `first_byte`.
        assert!(report.slowest < PATIENCE / 4, "{:?}", report.slowest);
        figure(&format!("one of two hangs, per_try = 150 ms, {workers} worker(s): {}", report.line()));
    });
}

#[test]
fn drill_black_hole_costs_no_more_than_a_try() {
    with_one_and_four_workers(|workers| {
        let (hole, good) = (Blackhole::new(), Backend::answering(OK));
        let front = Setup::over([&hole.address, &good.address].map(String::as_str))
            .workers(workers)
            .pool("retry = { per_try = \"150ms\" }\ntimeouts = { connect = \"20s\" }")
            .start();
        // Nothing was written, so that any method goes elsewhere.
        let load = Load::start(front.address(), CLIENTS, POST);
        front.wait_for_states(&["ejected", "ready"]);
        load.wait_for(SPELL);
        let report = load.stop();
        assert_none_failed(&report);
        assert!(report.slowest < PATIENCE / 4, "{:?}", report.slowest);
        figure(&format!("one of two drops packets, per_try = 150 ms, {workers} worker(s): {}", report.line()));
    });
}

#[test]
fn slow_success_is_no_error_where_no_other_try_may_be_made() {
    let slow = Backend::serving(|conn| {
        loop {
            conn.request()?;
            std::thread::sleep(std::time::Duration::from_millis(300));
            conn.send(OK);
        }
    });
    let front = Setup::over([slow.address.as_str(), "127.0.0.1:1"])
        .pool("policy = \"first\"\nretry = { per_try = \"50ms\" }\neject = \"off\"")
        .start();
    assert_eq!(front.exchange(POST).status(), 200);
    assert_eq!(slow.requests().len(), 1);
}

#[test]
fn route_overrides_the_retries_of_its_pool() {
    let (bad, good) = (Backend::answering(BUSY), Backend::answering(OK));
    let front = Setup::over([&bad.address, &good.address].map(String::as_str))
        .pool("policy = \"first\"\neject = \"off\"")
        .more("[[route]]\npath = \"/once\"\npool = \"app\"\nretry = { tries = 1 }")
        .more("[[route]]\npath = \"/reset\"\npool = \"app\"\nretry = { on = [\"reset\"] }")
        .start();
    let status = |path: &str| front.exchange(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n")).status();
    assert_eq!([status("/"), status("/once"), status("/reset")], [200, 503, 503]);
}

#[test]
fn statuses_are_repeated_as_told_and_never_for_a_post() {
    let broken = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
    let (bad, good) = (Backend::answering(broken), Backend::answering(OK));
    let setup = |pool: &str| {
        Setup::over([&bad.address, &good.address].map(String::as_str))
            .pool("policy = \"first\"\neject = \"off\"")
            .pool(pool)
    };
    let front = setup("retry = { on = [500] }").start();
    assert_eq!((front.exchange(GET).status(), front.exchange(POST).status()), (200, 500));
    let front = setup("").start();
    assert_eq!(front.exchange(GET).status(), 500, "502 and 503 are the default");
}

#[test]
fn no_backend_is_tried_twice_while_others_remain() {
    with_one_and_four_workers(|workers| {
        let bad = [resetting(), resetting(), Backend::answering(BUSY)];
        let good = Backend::answering(OK);
        let addresses: Vec<&str> = bad.iter().chain([&good]).map(|backend| backend.address.as_str()).collect();
        let front = Setup::over(addresses).workers(workers).pool("retry = { tries = 4 }\neject = \"off\"").start();
        for number in 0..16 {
            let answer = front.exchange(format!("GET /{number} HTTP/1.1\r\nHost: shop.example\r\n\r\n"));
            assert_eq!(answer.status(), 200);
        }
        for backend in &bad {
            let mut times: BTreeMap<String, u32> = BTreeMap::new();
            for request in backend.requests() {
                *times.entry(request.target().to_owned()).or_default() += 1;
            }
            assert!(!times.is_empty() && times.values().all(|times| *times == 1), "{times:?}");
        }
    });
}

#[test]
fn drill_budget_that_is_used_up_shows_the_real_errors() {
    with_one_and_four_workers(|workers| {
        let bad = [resetting(), resetting()];
        let front = Setup::over(bad.iter().map(|backend| backend.address.as_str()))
            .workers(workers)
            .pool("retry = { budget = 0 }\neject = \"off\"")
            .start();
        let load = Load::start(front.address(), CLIENTS, GET);
        load.wait_for(SPELL);
        let report = load.stop();
        let retries = front.sum("retries");
        // What is left is the floor: ten a second, of which ten seconds may be spent at once.
        let floor = 100 + 10 * (report.lasted.as_secs() + 2) + 4;
        assert_eq!(report.failed, report.requests);
        assert!(retries <= floor, "{retries} of {floor}");
        let once = front.failures().iter().filter(|line| line["attempts"] == 1).count();
        let last = front.failures().pop().expect("failures are on record");
        assert_eq!((&last["cause"], &last["status"]), (&"reset".into(), &502.into()));
        assert!(once > 0, "most are not repeated any more");
        figure(&format!(
            "all backends reset, budget = 0, {workers} worker(s): {} requests in {:.1} s, {retries} attempts repeated",
            report.requests,
            report.lasted.as_secs_f64()
        ));
    });
}

/// Fails every tenth request of all its connections, and counts.
fn failing_now_and_then(faults: &Arc<AtomicU64>, by_reset: bool) -> Backend {
    let (faults, asked) = (Arc::clone(faults), AtomicU64::new(0));
    Backend::serving(move |conn| {
        loop {
            conn.wire.read_head()?;
            if asked.fetch_add(1, Ordering::SeqCst) % 10 < 9 {
                conn.send(OK);
                continue;
            }
            faults.fetch_add(1, Ordering::SeqCst);
            if by_reset {
                conn.end_with_reset();
                return Ok(());
            }
            conn.send(BUSY);
        }
    })
}

#[test]
fn drill_without_retries_there_are_exactly_as_many_errors_as_faults() {
    with_one_and_four_workers(|workers| {
        for by_reset in [false, true] {
            let faults = Arc::new(AtomicU64::new(0));
            let backends = [failing_now_and_then(&faults, by_reset), failing_now_and_then(&faults, by_reset)];
            let front = Setup::over(backends.iter().map(|backend| backend.address.as_str()))
                .workers(workers)
                // Else a reset on a kept connection is taken for one that had gone stale.
                .pool("retry = { tries = 1 }\neject = \"off\"\nidle_connections = 0")
                .start();
            let load = Load::start(front.address(), CLIENTS, GET);
            load.wait_for(SPELL);
            let report = load.stop();
            assert_eq!(report.failed, faults.load(Ordering::SeqCst), "{:?}", report.failures);
            assert_eq!((front.sum("retries"), front.sum("attempts")), (0, report.requests));
            let how = if by_reset { "resets" } else { "answers 503 to" };
            figure(&format!(
                "one in ten {how} requests, retries off, {workers} worker(s): {} faults, {}",
                faults.load(Ordering::SeqCst),
                report.line()
            ));
        }
    });
}

#[test]
fn stale_connection_moves_no_client_and_blames_nobody() {
    with_one_and_four_workers(|workers| {
        // They close each connection after its answer without saying so.
        let backends = [Backend::closing(OK), Backend::closing(OK), Backend::closing(OK)];
        let front = Setup::over(backends.iter().map(|backend| backend.address.as_str()))
            .workers(workers)
            .pool("policy = \"ip-hash\"\nretry = { tries = 1 }")
            .start();
        let load = Load::start(front.address(), CLIENTS, GET);
        load.wait_for(SPELL);
        let report = load.stop();
        assert_none_failed(&report);
        let asked: Vec<usize> =
            backends.iter().map(|backend| backend.requests().len()).filter(|asked| *asked > 0).collect();
        assert_eq!(asked.len(), 1, "one client address, one backend: {asked:?}");
        assert_eq!((front.sum("retries"), front.sum("failures"), front.sum("faults")), (0, 0, 0));
        assert_eq!(front.backends("state"), ["ready", "ready", "ready"].map(serde_json::Value::from));
        figure(&format!(
            "each connection goes stale after its answer, ip-hash, {workers} worker(s): {}, all at one backend",
            report.line()
        ));
    });
}

#[test]
fn real_connection_failures_stay_failures() {
    let good = Backend::answering(OK);
    let dead = format!("127.0.0.1:{}", free_port());
    let front = Setup::over([dead.as_str(), &good.address]).pool("policy = \"first\"").start();
    assert_eq!(front.exchange(GET).status(), 200);
    eventually("it is counted", || front.backends("failures")[0] == 1);
    assert_eq!((&front.backends("faults")[0], front.sum("retries")), (&1.into(), 1));
}
