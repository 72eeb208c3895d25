//! When every backend of a pool is gone for a while: who waits, for how long, and what ends it.

use std::net::TcpListener;

use crate::harness::{Backend, Blackhole, Evenkeel, GET, Method, Raw, Setup, Wire, eventually, free_port};

const POST: &str = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\n\r\nbody";
const CHECKS: &str = "{ alive = true, interval = \"50ms\", fall = 1, rise = 1, hold_down_max = \"100ms\" }";

/// Sends a request and waits until so many attempts more have been made for it.
fn waiting(front: &Evenkeel, request: &str, tries: u64) -> Wire {
    let before = front.sum("attempts");
    let mut client = front.client();
    client.send(request);
    eventually("it is tried", || front.sum("attempts") >= before + tries);
    client
}

#[test]
fn restart_of_the_only_backend_is_waited_out_by_every_method() {
    for request in [GET, POST] {
        let mut only = Raw::named("only");
        only.stop();
        let setup = Setup::over([only.address.as_str()]).pool("timeouts = { connect = \"60s\" }");
        let front = setup.start();
        let mut client = waiting(&front, request, 4);
        only.start();
        let answer = client.answer(Method::Other);
        assert_eq!((answer.status(), answer.body_text().as_str()), (200, "only"), "{answer:?}");
        assert_eq!(front.counter("status_5xx"), 0);
    }
}

#[test]
fn outage_is_not_waited_out_with_retries_off_nor_beyond_the_time_for_a_connection() {
    let dead = || Setup::over([format!("127.0.0.1:{}", free_port())]);
    for pool in ["retry = { tries = 1 }", "retry = { on = [\"reset\"] }"] {
        let front = dead().pool(pool).start();
        assert_eq!(front.exchange(GET).status(), 502, "{pool}");
        assert_eq!(front.sum("attempts"), 1, "{pool}");
    }
    let front = dead().pool("timeouts = { connect = \"200ms\" }").start();
    let answer = front.exchange(GET);
    assert_eq!(answer.status(), 502);
    assert!(answer.value("Proxy-Status").contains("error=connection_refused"), "{answer:?}");
}

#[test]
fn no_more_wait_than_the_queue_has_room_for() {
    let mut only = Raw::named("only");
    only.stop();
    let pool = "timeouts = { connect = \"60s\" }\nmax_requests = 100\nqueue = { size = 1 }";
    let front = Setup::over([only.address.as_str()]).pool(pool).start();
    let mut first = waiting(&front, GET, 4);
    assert_eq!(front.exchange(GET).status(), 502);
    only.start();
    assert_eq!(first.answer(Method::Other).status(), 200);
    assert_eq!(front.exchange(GET).status(), 200);
}

#[test]
fn client_that_goes_away_ends_the_wait() {
    let front = Setup::over([format!("127.0.0.1:{}", free_port())]).pool("timeouts = { connect = \"60s\" }").start();
    let client = waiting(&front, GET, 4);
    drop(client);
    eventually("it is over", || front.counter("aborted") == 1);
}

#[test]
fn who_waits_for_the_first_byte_of_one_that_is_out_goes_to_the_one_that_returns() {
    let silent = Backend::silent();
    let mut other = Raw::named("other");
    other.stop();
    let setup = Setup::over([&silent.address, &other.address].map(String::as_str)).workers(1).health(CHECKS);
    let front = setup.pool("timeouts = { first_byte = \"60s\", total = \"60s\" }").start();
    front.wait_for_states(&["down", "down"]);
    let mut client = front.client();
    client.send(GET);
    eventually("it waits", || front.backends("active")[0] == 1);
    other.start();
    assert_eq!(client.answer(Method::Other).body_text(), "other");
}

#[test]
fn who_waits_for_a_connection_to_one_that_goes_out_goes_elsewhere() {
    // Takes connections until it is asked to swallow them, which the checks then see.
    let hole = Blackhole::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = listener.local_addr().unwrap().to_string();
    let setup = Setup::over([hole.address.as_str(), &good]).workers(1);
    let check = "{ alive = true, interval = \"50ms\", timeout = \"300ms\", fall = 1, rise = 1 }";
    // Both are down at first; the one that returns takes what waits for the other.
    let front = setup.health(check).pool("timeouts = { connect = \"60s\" }").start();
    front.wait_for_states(&["down", "down"]);
    let mut clients: Vec<Wire> = (0..2).map(|_| waiting(&front, POST, 1)).collect();
    let _good = Backend::on(listener, |conn| {
        loop {
            conn.request()?;
            conn.send(crate::harness::OK);
        }
    });
    for client in &mut clients {
        assert_eq!(client.answer(Method::Other).status(), 200);
    }
}
