//! Backends that neither answer nor refuse: stopped processes, networks that swallow packets, servers that accept and say
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{CHECKS, Drill, SPELL, has_nginx};
use crate::harness::{
    Backend, Blackhole, GET, Load, Namespace, Nginx, OK, Raw, Setup, eventually, skip, with_one_and_four_workers,
};

const ALL: [&str; 2] = ["one", "two"];
/// The longest that a try may take in these drills.
const ONE_TRY: Duration = Duration::from_millis(300);
/// Who waits for a backend that hangs asks the next one after that: no later does it find who has returned.
const QUICK: &str = "timeouts = { connect = \"200ms\", first_byte = \"200ms\" }";
const TIMEOUTS: &str = "timeouts = { connect = \"300ms\", first_byte = \"300ms\" }";

fn two_of_nginx() -> [Nginx; 2] {
    ["one", "two"].map(|name| Nginx::start(name).unwrap())
}

fn over_nginx(backends: &[Nginx; 2]) -> Setup {
    Setup::over(backends.each_ref().map(Nginx::address))
}

#[test]
fn stopped_backend_costs_no_request_and_comes_back() {
    if !has_nginx("SIGSTOP") {
        return;
    }
    for (name, pool) in [("SIGSTOP, the checks find it", ""), ("SIGSTOP, a try takes 300 ms", TIMEOUTS)] {
        with_one_and_four_workers(|workers| {
            let backends = two_of_nginx();
            let drill = Drill::start(name, workers, over_nginx(&backends).health(CHECKS).pool(pool));
            for _ in 0..2 {
                backends[0].freeze();
                eventually("it is out", || drill.front.backends("state")[0] != "ready");
                drill.spell();
                backends[0].thaw();
                drill.front.wait_for_states(&["ready", "ready"]);
                drill.spell();
            }
            let ended = drill.end();
            // Without the timeout what waits goes on when the checks have failed, long before 30 s.
            ended.without_errors(&ALL).bounded_by(if pool.is_empty() { Duration::from_secs(2) } else { ONE_TRY });
        });
    }
}

#[test]
fn address_that_swallows_connections_costs_no_request() {
    with_one_and_four_workers(|workers| {
        let (hole, good) = (Blackhole::new(), Backend::answering(OK));
        let front = Setup::over([hole.address.as_str(), &good.address]).workers(workers).pool(TIMEOUTS).start();
        let drill = Drill::begin("connections swallowed, no checks", workers, front, GET);
        drill.spell();
        drill.front.wait_for_states(&["ejected", "ready"]);
        drill.end().without_errors(&["ok"]).bounded_by(ONE_TRY);
    });
}

/// Whether nginx can run in a network of its own here; says that the test is skipped where not.
fn has_networks(test: &str) -> bool {
    match Namespace::new() {
        Ok(_) => has_nginx(test),
        Err(why) => {
            skip(test, &why);
            false
        }
    }
}

/// Two of nginx in networks of their own.
fn in_networks() -> [(Namespace, Nginx); 2] {
    ["one", "two"].map(|name| {
        let network = Namespace::new().unwrap();
        let nginx = Nginx::start_in(&network, name).unwrap();
        (network, nginx)
    })
}

#[test]
fn network_that_swallows_packets_costs_no_request() {
    if !has_networks("packets dropped") {
        return;
    }
    for (name, pool) in [("packets dropped, the checks find it", ""), ("packets dropped, a try takes 300 ms", TIMEOUTS)]
    {
        with_one_and_four_workers(|workers| {
            let backends = in_networks();
            let setup = Setup::over(backends.each_ref().map(|(_, nginx)| nginx.address()));
            let drill = Drill::start(name, workers, setup.health(CHECKS).pool(pool));
            for _ in 0..2 {
                backends[1].0.swallow_packets();
                eventually("it is out", || drill.front.backends("state")[1] != "ready");
                drill.spell();
                backends[1].0.pass_packets();
                drill.front.wait_for_states(&["ready", "ready"]);
                drill.spell();
            }
            let ended = drill.end();
            ended.without_errors(&ALL).bounded_by(if pool.is_empty() { Duration::from_secs(2) } else { ONE_TRY });
            assert!(ended.report.bodies["two"] > SPELL / 2, "{:?}", ended.report.bodies);
        });
    }
}

#[test]
fn first_success_comes_at_once_after_all_were_stopped_and_one_goes_on() {
    let name = "both stopped, one goes on, 5 times";
    if !has_nginx(name) {
        return;
    }
    with_one_and_four_workers(|workers| {
        let backends = two_of_nginx();
        let mut drill = Drill::start(name, workers, over_nginx(&backends).health(CHECKS).pool(QUICK));
        for _ in 0..5 {
            backends.iter().for_each(Nginx::freeze);
            drill.front.wait_for_states(&["down", "down"]);
            drill.returns(|| backends[0].thaw());
            backends[1].thaw();
            drill.front.wait_for_states(&["ready", "ready"]);
            drill.spell();
        }
        drill.end();
    });
}

/// With the default timeouts: new requests find it, and those that wait for the other go on when the checks have seen it.
#[test]
fn requests_that_come_while_all_are_stopped_wait_for_the_one_that_goes_on() {
    let name = "both stopped, defaults, 50 new requests a second";
    if !has_nginx(name) {
        return;
    }
    with_one_and_four_workers(|workers| {
        let backends = two_of_nginx();
        let front = over_nginx(&backends).workers(workers).health(CHECKS).start();
        front.wait_for_states(&["ready", "ready"]);
        let load = Load::arriving(front.address(), Duration::from_millis(20), GET);
        let mut drill = Drill::of(name, workers, front, load);
        drill.load.wait_for(SPELL / 20);
        for _ in 0..3 {
            backends.iter().for_each(Nginx::freeze);
            drill.front.wait_for_states(&["down", "down"]);
            drill.returns(|| backends[0].thaw());
            drill.load.wait_for(SPELL / 20);
            backends[1].thaw();
            drill.front.wait_for_states(&["ready", "ready"]);
        }
        drill.end().without_errors(&ALL);
    });
}

#[test]
fn first_success_comes_at_once_after_all_packets_were_dropped_and_one_network_heals() {
    let name = "all packets dropped, one network heals, 5 times";
    if !has_networks(name) {
        return;
    }
    with_one_and_four_workers(|workers| {
        let backends = in_networks();
        let setup = Setup::over(backends.each_ref().map(|(_, nginx)| nginx.address()));
        let mut drill = Drill::start(name, workers, setup.health(CHECKS).pool(QUICK));
        for _ in 0..5 {
            backends.iter().for_each(|(network, _)| network.swallow_packets());
            drill.front.wait_for_states(&["down", "down"]);
            drill.returns(|| backends[0].0.pass_packets());
            backends[1].0.pass_packets();
            drill.front.wait_for_states(&["ready", "ready"]);
            drill.spell();
        }
        drill.end();
    });
}

/// Accepts and never answers while told so; what it left unanswered stays so.
fn mute(name: &str, is_mute: &Arc<AtomicBool>) -> Raw {
    let (is_mute, answer) = (Arc::clone(is_mute), format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{name}"));
    Raw::serving(move |conn| {
        loop {
            conn.wire.read_head()?;
            if is_mute.load(Ordering::SeqCst) {
                conn.until_closed();
                return Ok(());
            }
            conn.send(&answer);
        }
    })
}

#[test]
fn first_success_comes_at_once_after_all_were_mute_and_one_speaks() {
    let name = "both accept in silence, one speaks, 5 times";
    with_one_and_four_workers(|workers| {
        let mutes = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let backends = [mute("one", &mutes[0]), mute("two", &mutes[1])];
        let setup = Setup::over(backends.each_ref().map(|backend| backend.address.as_str()));
        let mut drill = Drill::start(name, workers, setup.health(CHECKS).pool(QUICK));
        for _ in 0..5 {
            mutes.iter().for_each(|mute| mute.store(true, Ordering::SeqCst));
            drill.front.wait_for_states(&["down", "down"]);
            drill.returns(|| mutes[0].store(false, Ordering::SeqCst));
            mutes[1].store(false, Ordering::SeqCst);
            drill.front.wait_for_states(&["ready", "ready"]);
            drill.spell();
        }
        drill.end();
    });
}
