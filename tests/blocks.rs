//! `evenkeel block`: networks that must go now, at accept and on the connections there are.

use crate::harness::{Backend, Broken, Evenkeel, GET, Method, OK, Setup, Wire, eventually, with_one_and_four_workers};

/// Runs a command that must succeed.
#[track_caller]
fn run(front: &Evenkeel, args: &[&str]) -> String {
    let (status, out, err) = front.command(args);
    assert_eq!(status, 0, "{args:?}: {out}{err}");
    out
}

/// What a block has refused.
fn refused(front: &Evenkeel, network: &str) -> u64 {
    let list: serde_json::Value = serde_json::from_str(&run(front, &["block", "--json"])).unwrap();
    let blocks = list["blocks"].as_array().unwrap().clone();
    blocks.iter().find(|block| block["network"] == network).and_then(|block| block["refused"].as_u64()).unwrap()
}

#[test]
fn a_blocked_network_is_refused_at_accept_and_others_are_not() {
    with_one_and_four_workers(|workers| {
        let backend = Backend::answering(OK);
        let front = Setup::new(&backend).workers(workers).start();
        assert!(front.serves("127.0.0.9"));
        let said = run(&front, &["block", "127.0.0.8/30", "--for", "1h", "--reason", "flood"]);
        assert_eq!(said, "127.0.0.8/30 is blocked for 1 h\n");
        for _ in 0..10 {
            assert!(!front.serves("127.0.0.9"));
            assert!(front.serves("127.0.0.1") && front.serves("127.0.0.12"));
        }
        assert_eq!((front.counter("blocked"), refused(&front, "127.0.0.8/30")), (10, 10));
        assert_eq!(front.status()["process"]["blocks"], 1);
        assert_eq!(run(&front, &["unblock", "127.0.0.8/30"]), "127.0.0.8/30 is no longer blocked; 10 refused\n");
        assert!(front.serves("127.0.0.9"));
    });
}

/// Answers `/ok` at once, begins an answer to `/half`, switches `/chat` to a tunnel, and keeps others waiting.
fn moody() -> Backend {
    Backend::serving(|conn| {
        loop {
            let request = conn.request()?;
            match request.start_line().split(' ').nth(1).unwrap_or_default() {
                "/ok" => conn.send(OK),
                "/half" => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
                "/chat" => conn
                    .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello"),
                _ => {}
            }
        }
    })
}

/// One connection in each state that a connection can be in.
fn one_of_each(source: &str, front: &Evenkeel) -> Vec<(&'static str, Wire)> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let upgrade = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut fresh = vec![("silent", front.client_from(source))];
    for (state, sent) in [
        ("slow head", "GET / HTTP/1.1\r\nHost: a".to_owned()),
        ("slow body", "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf".to_owned()),
        ("waiting", get("/wait")),
        ("warm", get("/ok")),
        ("half an answer", get("/half")),
        ("tunnel", upgrade.to_owned()),
    ] {
        let mut client = front.client_from(source);
        client.send(sent);
        match state {
            "warm" => assert_eq!(client.answer(Method::Other).status(), 200),
            "half an answer" => {
                client.read_head().unwrap();
                client.read_exactly(4).unwrap();
            }
            "tunnel" => {
                client.read_head().unwrap();
                client.read_exactly(5).unwrap();
            }
            _ => {}
        }
        fresh.push((state, client));
    }
    fresh
}

#[test]
fn connections_of_a_blocked_network_end_whatever_they_do() {
    with_one_and_four_workers(|workers| {
        let backend = moody();
        let front = Setup::new(&backend).workers(workers).pool("max_requests = 20").start();
        let (blocked, others) = (one_of_each("127.0.0.9", &front), one_of_each("127.0.0.10", &front));
        eventually("all requests are on their way", || backend.requests().len() >= 2 * 4);
        eventually("all are in", || front.counter("connections") == 14);
        run(&front, &["block", "127.0.0.9"]);
        for (state, mut client) in blocked {
            let end = client.read_to_end();
            assert!(end == Ok(Vec::new()) || end == Err(Broken::Reset), "{state}: {end:?}");
        }
        eventually("they are gone", || front.counter("connections") == 7);
        assert_eq!((front.counter("blocked"), refused(&front, "127.0.0.9/32")), (7, 7));
        // Their requests hold no place at the backend any more; those of the others still do.
        eventually("their requests are gone", || front.backends("active")[0] == 4);
        for (state, mut client) in others {
            match state {
                "silent" => client.send("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"),
                "slow head" => client.send("\r\n\r\n"),
                _ => {}
            }
        }
        assert!(front.failures().is_empty(), "a flood is not to fill the record of failures");
    });
}

#[test]
fn half_an_answer_is_never_taken_for_a_whole_one() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\n\r\nhalf");
        conn.until_closed();
        Ok(())
    });
    let front = Setup::new(&backend).start();
    let mut client = front.client_from("127.0.0.9");
    // To HTTP/1.0 only the close says that the body has ended.
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    client.read_head().unwrap();
    client.read_exactly(4).unwrap();
    run(&front, &["block", "127.0.0.9"]);
    assert_eq!(client.read_to_end(), Err(Broken::Reset));
}

#[test]
fn a_crowd_goes_at_once() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).workers(4).start();
    let crowd: Vec<Wire> = (0..400).map(|n| front.client_from(&format!("127.0.1.{}", n % 250))).collect();
    eventually("all are in", || front.counter("connections") == 400);
    run(&front, &["block", "127.0.1.0/24", "--for", "10m"]);
    eventually("all are gone", || front.counter("connections") == 0);
    assert_eq!(front.counter("blocked"), 400);
    assert!(front.serves("127.0.0.1"));
    drop(crowd);
}

#[test]
fn clients_behind_trusted_proxies_are_refused_by_their_own_address() {
    with_one_and_four_workers(|workers| {
        let backend = moody();
        let front = Setup::new(&backend).workers(workers).listener("trusted_proxies = \"127.0.0.1\"").start();
        let request = |client: &str, path: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}, 127.0.0.1\r\n\r\n")
        };
        let mut waiting = front.client();
        waiting.send(request("203.0.113.7", "/wait"));
        eventually("it is on its way", || backend.requests().len() == 1);
        run(&front, &["block", "203.0.113.0/24"]);
        assert_eq!(waiting.answer(Method::Other).status(), 403, "what runs is ended with an answer");
        let mut proxy = front.client();
        for _ in 0..3 {
            let answer = proxy.exchange(request("203.0.113.8", "/ok"));
            assert_eq!(answer.status(), 403);
            let why = answer.value("Proxy-Status");
            assert!(why.contains("error=http_request_denied; details=\"blocked: "), "{why}");
            assert_eq!(proxy.exchange(request("203.0.114.8", "/ok")).status(), 200, "the proxy itself is not blocked");
        }
        assert_eq!(front.counter("blocked"), 4);
        front.wait_for_counter("status_4xx", 4);
        // Whom nobody trusts is known by the connection alone.
        assert_eq!(front.client_from("127.0.0.2").exchange(request("203.0.113.7", "/ok")).status(), 200);
    });
}

#[test]
fn blocking_a_trusted_proxy_is_told() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener("trusted_proxies = \"127.0.0.5\"").start();
    let (status, _, err) = front.command(&["block", "127.0.0.4/30"]);
    assert_eq!(status, 0);
    assert!(err.contains("127.0.0.4/30 holds trusted proxies of listener web"), "{err}");
    assert!(!front.serves("127.0.0.5"));
}

#[test]
fn the_address_in_a_proxy_header_counts() {
    let backend = Backend::answering(OK);
    let lines = "proxy_protocol = true\ntrusted_proxies = \"127.0.0.1\"";
    let front = Setup::new(&backend).listener(lines).start();
    let greet = |source: &str| {
        let mut client = front.client();
        let _ = client.try_send(format!("PROXY TCP4 {source} 198.51.100.1 5000 443\r\n{GET}"));
        client
    };
    let mut before = greet("192.0.2.7");
    assert_eq!(before.answer(Method::Other).status(), 200);
    run(&front, &["block", "192.0.2.0/24"]);
    before.expect_close();
    assert!(greet("192.0.2.8").read_answer(Method::Other).is_err());
    assert_eq!(greet("192.0.3.8").answer(Method::Other).status(), 200);
}

#[test]
fn a_block_ends_by_itself() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).workers(4).start();
    run(&front, &["block", "127.0.0.9", "--for", "500ms"]);
    run(&front, &["block", "127.0.0.10", "--for", "1h"]);
    eventually("its time is over", || front.serves("127.0.0.9"));
    assert!(!front.serves("127.0.0.10"));
    assert_eq!(front.status()["process"]["blocks"], 1);
}

#[test]
fn blocks_within_blocks_hold_each_for_itself() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    run(&front, &["block", "127.0.0.8/29", "127.0.0.9"]);
    run(&front, &["unblock", "127.0.0.8/29"]);
    assert!(!front.serves("127.0.0.9") && front.serves("127.0.0.10"));
    run(&front, &["block", "127.0.0.8/29"]);
    run(&front, &["unblock", "127.0.0.9"]);
    let (status, _, err) = front.command(&["unblock", "127.0.0.9"]);
    assert_eq!(status, 1);
    assert!(err.contains("127.0.0.9/32 is not blocked as such\n  = it lies in 127.0.0.8/29"), "{err}");
    assert!(!front.serves("127.0.0.9"));
}

#[test]
fn nobody_locks_himself_out() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("web.sock").display());
    let backend = Backend::answering(OK);
    let more = format!("[listener.local]\nbind = \"{socket}\"\npool = \"app\"");
    let front = Setup::new(&backend).more(&more).start();
    let mut idle = Wire::connect(&socket);
    assert_eq!(idle.exchange(GET).status(), 200);
    run(&front, &["block", "127.0.0.0/8", "::1"]);
    assert!(!front.serves("127.0.0.1"));
    // Neither the admin interface nor a Unix socket has an address that could be blocked.
    assert_eq!(idle.exchange(GET).status(), 200);
    assert_eq!(Wire::connect(&socket).exchange(GET).status(), 200);
    assert!(run(&front, &["unblock", "--all"]).contains("127.0.0.0/8 is no longer blocked"));
    assert!(front.serves("127.0.0.1"));
}

#[test]
fn many_thousand_blocks_are_one_command_and_cost_nobody_else() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).workers(4).start();
    for half in 0..2_u32 {
        let networks: Vec<String> =
            (0..5_000_u32).map(|n| format!("10.{}.{}.0/24", 20 * half + n / 256, n % 256)).collect();
        let args: Vec<&str> = ["block"].into_iter().chain(networks.iter().map(String::as_str)).collect();
        assert_eq!(run(&front, &args), "5000 networks are blocked until they are lifted\n");
    }
    assert_eq!(front.status()["process"]["blocks"], 10_000);
    assert!(front.serves("127.0.0.1"));
    run(&front, &["unblock", "--all"]);
    assert_eq!(front.status()["process"]["blocks"], 0);
}
