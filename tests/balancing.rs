//! Balancing over all workers: what must hold for the process and not for each worker alone.

use crate::harness::{Backend, Evenkeel, GET, Setup, Wire, eventually};

/// Answers what ends in `/hold` never, everything else with its name.
fn holding(name: &'static str) -> Backend {
    Backend::serving(move |conn| {
        loop {
            if conn.request()?.target().ends_with("/hold") {
                conn.until_closed();
                return Ok(());
            }
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()));
        }
    })
}

fn over(backends: &[Backend], pool: &str) -> Evenkeel {
    Setup::over(backends.iter().map(|backend| backend.address.as_str())).workers(4).pool(pool).start()
}

/// Clients whose requests are held; with them as many requests run as there are clients.
fn hold(front: &Evenkeel, clients: u64) -> Vec<Wire> {
    let before = front.sum("active");
    let held = (0..clients)
        .map(|_| {
            let mut client = front.client();
            client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    eventually("all are held", || front.sum("active") == before + clients);
    held
}

#[test]
fn least_requests_counts_what_all_workers_run() {
    let backends = [holding("one"), holding("two"), holding("three")];
    let front = over(&backends, "policy = \"least-requests\"");
    let _held: Vec<Vec<Wire>> = (0..60).map(|_| hold(&front, 1)).collect();
    let active: Vec<u64> = front.backends("active").iter().filter_map(serde_json::Value::as_u64).collect();
    assert!(active.iter().all(|&running| running.abs_diff(20) <= 4), "{active:?}");
}

#[test]
fn least_requests_heeds_weights() {
    let backends = [holding("one"), holding("two")];
    let addresses = backends.each_ref().map(|backend| backend.address.clone());
    let front = Setup::over(["127.0.0.1:1"])
        .workers(4)
        .more(&format!(
            "[pool.heavy]\nhealth = \"off\"\npolicy = \"least-requests\"\n\
             backends = [{{ address = \"{}\", weight = 3 }}, \"{}\"]\n[[route]]\npath = \"/*\"\npool = \"heavy\"",
            addresses[0], addresses[1]
        ))
        .start();
    let mut held: Vec<Wire> = Vec::new();
    for _ in 0..40 {
        let mut client = front.client();
        client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
        held.push(client);
        eventually("it is held", || {
            backends.iter().map(|backend| backend.requests().len()).sum::<usize>() == held.len()
        });
    }
    let first = backends[0].requests().len();
    assert!(first.abs_diff(30) <= 4, "{first} of 40 went to the one with three quarters of the weight");
}

#[test]
fn power_of_two_avoids_the_loaded() {
    let backends = [holding("one"), holding("two")];
    let front = over(&backends, "policy = \"power-of-two\"");
    let _held: Vec<Vec<Wire>> = (0..40).map(|_| hold(&front, 1)).collect();
    let active: Vec<u64> = front.backends("active").iter().filter_map(serde_json::Value::as_u64).collect();
    // With two backends, both are thrown or the same one twice: the difference stays small, unlike with chance alone.
    assert!(active[0].abs_diff(active[1]) <= 16, "{active:?}");
}

#[test]
fn round_robin_of_four_workers_is_still_even() {
    let backends = [holding("one"), holding("two"), holding("three")];
    let front = over(&backends, "");
    for _ in 0..300 {
        front.exchange(GET);
    }
    let seen: Vec<usize> = backends.iter().map(|backend| backend.requests().len()).collect();
    // Each worker has a phase of its own: at most two requests apart in each.
    assert!(seen.iter().all(|&requests| requests.abs_diff(100) <= 8), "{seen:?}");
}

#[test]
fn ip_hash_sends_a_client_to_one_backend_from_all_workers() {
    let backends = [holding("one"), holding("two"), holding("three")];
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    let front = Setup::over(addresses)
        .workers(4)
        .pool("policy = \"ip-hash\"")
        .listener("trusted_proxies = \"127.0.0.1\"")
        .start();
    let ask = |client: u32| {
        front.exchange(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.{client}\r\n\r\n")).body_text()
    };
    let mut used = std::collections::BTreeSet::new();
    for client in 0..30 {
        let first = ask(client);
        for _ in 0..8 {
            assert_eq!(ask(client), first, "client {client}");
        }
        used.insert(first);
    }
    assert_eq!(used.len(), 3);
}

#[test]
fn a_key_goes_to_one_backend_from_all_workers() {
    let backends = [holding("one"), holding("two"), holding("three")];
    for (policy, request) in [
        ("hash = \"header:x-user\"", "GET /a HTTP/1.1\r\nHost: a\r\nX-User: KEY\r\n\r\n"),
        ("hash = \"cookie:sid\"", "GET /b HTTP/1.1\r\nHost: a\r\nCookie: a=1; sid=KEY\r\n\r\n"),
        ("maglev = \"query:user\"", "GET /c?x=1&user=KEY HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("maglev = \"path\"", "GET /d/KEY HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let front = over(&backends, &format!("policy = {{ {policy} }}"));
        let ask = |key: u32| front.exchange(request.replace("KEY", &key.to_string())).body_text();
        let mut used = std::collections::BTreeSet::new();
        // More keys than any throw of backends to ports would leave one of them without.
        for key in 0..60 {
            let first = ask(key);
            assert!((0..4).all(|_| ask(key) == first), "key {key} with {policy}");
            used.insert(first);
        }
        assert_eq!(used.len(), 3, "{policy}");
    }
}

#[test]
fn a_bound_sends_on_what_is_too_much_for_one_backend() {
    let backends = [holding("one"), holding("two"), holding("three")];
    let front = over(&backends, "policy = { hash = \"client\", bounded = 1.25 }");
    let _held: Vec<Vec<Wire>> = (0..40).map(|_| hold(&front, 1)).collect();
    let mut active: Vec<u64> = front.backends("active").iter().filter_map(serde_json::Value::as_u64).collect();
    active.sort_unstable();
    // One client: its own backend and its stand-in are full, with ⌈1.25 · 40 / 3⌉, and the third has the rest.
    assert_eq!(active, [6, 17, 17]);
}

#[test]
fn peak_ewma_leaves_who_fails_fast_and_who_hangs() {
    let (good, hanging) = (
        holding("good"),
        Backend::serving(|conn| {
            conn.request()?;
            conn.until_closed();
            Ok(())
        }),
    );
    let dead = "127.0.0.1:1".to_owned();
    let front = Setup::over([good.address.clone(), hanging.address.clone(), dead])
        .workers(4)
        .pool("policy = \"peak-ewma\"\ntimeouts = { first_byte = \"100ms\" }")
        .start();
    for _ in 0..200 {
        assert_eq!(front.exchange(GET).body_text(), "good");
    }
    let attempts: Vec<u64> = front.backends("attempts").iter().filter_map(serde_json::Value::as_u64).collect();
    assert!(attempts[1] <= 10 && attempts[2] <= 10, "{attempts:?}");
}

/// A pool of its own, behind `/t`, beside the usual one.
fn with_pool(pool: &str) -> Evenkeel {
    let usual = holding("usual");
    let tables = format!("[[route]]\npath = \"/t/*\"\npool = \"tested\"\n[pool.tested]\n{pool}");
    Setup::new(&usual).workers(4).more(&tables).start()
}

fn asked(front: &Evenkeel, times: usize) -> Vec<String> {
    (0..times).map(|_| front.exchange("GET /t HTTP/1.1\r\nHost: a\r\n\r\n").body_text().to_owned()).collect()
}

#[test]
fn a_tier_that_is_short_gives_a_part_to_the_next() {
    let (one, two, standby) = (holding("one"), holding("two"), holding("standby"));
    let dead = "127.0.0.1:1";
    let pool = |spill_over: &str| {
        format!(
            "health = {{ tcp = true, fall = 1 }}\nbackends = [\"{}\", \"{}\", \"{dead}\", {{ address = \"{}\", tier = 1 }}]\n{spill_over}",
            one.address, two.address, standby.address
        )
    };
    let standbys = |front: &Evenkeel| asked(front, 600).iter().filter(|name| *name == "standby").count();
    assert_eq!(standbys(&with_pool(&pool(""))), 0);
    // Two of three are ready: a third is missing.
    let spilled = standbys(&with_pool(&pool("spill_over = { below = 100 }")));
    assert!(spilled.abs_diff(200) < 60, "{spilled} of 600");
}

#[test]
fn a_full_tier_goes_on_to_the_next() {
    let (first, standby) = (holding("first"), holding("standby"));
    let front = with_pool(&format!(
        "health = \"off\"\nbackends = [\"{}\", {{ address = \"{}\", tier = 1 }}]\nmax_requests = 1\nspill_over = {{ full = true }}",
        first.address, standby.address
    ));
    let active = |number: u64| front.status()["pools"][1]["backends"][0]["active"] == number;
    assert_eq!(asked(&front, 1), ["first"]);
    eventually("the first has ended it", || active(0));
    let mut held = front.client();
    held.send("GET /t/hold HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the first is full", || active(1));
    assert_eq!(asked(&front, 10), vec!["standby"; 10]);
}

#[test]
fn each_node_uses_its_own_part() {
    let backends: Vec<Backend> = ["a", "b", "c", "d", "e", "f"].into_iter().map(holding).collect();
    let list: Vec<String> = backends.iter().map(|backend| format!("\"{}\"", backend.address)).collect();
    let part = |node: &str| {
        let pool =
            format!("health = \"off\"\nbackends = [{}]\nsubset = {{ size = 2, node = \"{node}\" }}", list.join(", "));
        asked(&with_pool(&pool), 60).into_iter().collect::<std::collections::BTreeSet<_>>()
    };
    let parts: std::collections::BTreeSet<_> = ["n1", "n2", "n3", "n4"].map(part).into_iter().collect();
    assert!(parts.iter().all(|part| part.len() == 2) && parts.len() > 1, "{parts:?}");
    assert_eq!(part("n1"), part("n1"));
}

#[test]
fn names_are_resolved() {
    let backend = holding("by name");
    let port = backend.address.rsplit_once(':').unwrap().1;
    let front = Setup::over([format!("localhost:{port}")]).start();
    eventually("the name is resolved", || front.exchange(GET).status() == 200);
    assert_eq!(front.exchange(GET).body_text(), "by name");
}

#[test]
fn name_that_does_not_resolve_is_no_reason_not_to_start() {
    let good = holding("good");
    let front = Setup::over(["nowhere.invalid:80", &good.address]).start();
    for _ in 0..10 {
        assert_eq!(front.exchange(GET).body_text(), "good");
    }
}
