//! The node itself is short of something: requests are refused, the least urgent first, and it says so.

use serde_json::Value;

use crate::harness::{Backend, Evenkeel, GET, OK, Setup, Wire, eventually};

fn overload(front: &Evenkeel) -> Value {
    front.status()["process"]["overload"].clone()
}

/// Statuses of so many requests, each on a connection of its own.
fn statuses(front: &Evenkeel, target: &str, requests: usize) -> Vec<u16> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    (0..requests).map(|_| front.exchange(&request).status()).collect()
}

fn served(statuses: &[u16]) -> usize {
    statuses.iter().filter(|&&status| status == 200).count()
}

#[test]
fn calm_nodes_refuse_nothing_and_say_what_they_use() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).workers(2).start();
    assert_eq!(served(&statuses(&front, "/", 20)), 20);
    let seen = overload(&front);
    assert_eq!((&seen["short_of"], &seen["refused_percent"], &seen["shed"]), (&Value::Null, &0.0.into(), &0.into()));
    assert!(seen["memory_bytes"].as_u64().unwrap() > 1 << 20, "{seen}");
    assert!(seen["memory_limit_bytes"].as_u64() > seen["memory_bytes"].as_u64(), "{seen}");
}

#[test]
fn short_of_memory_the_least_urgent_are_refused_and_their_connections_closed() {
    let backend = Backend::answering(OK);
    let route = |urgency: &str| format!("[[route]]\npath = \"/{urgency}\"\npool = \"app\"\nurgency = \"{urgency}\"\n");
    // No process is that small.
    let front = Setup::new(&backend).more(&(route("high") + &route("low") + "[limits]\nmemory = \"1MiB\"\n")).start();
    eventually("it is short of memory", || overload(&front)["short_of"] == "memory");
    // Two thirds of all are low; of 95 % that are refused the rest falls on the high ones.
    let (mut high, mut low) = (Vec::new(), Vec::new());
    eventually("requests are refused", || {
        low.extend(statuses(&front, "/low", 2));
        high.extend(statuses(&front, "/high", 1));
        high.len() >= 200 && served(&high) > 0
    });
    assert!(served(&high) * 2 > served(&low), "{} of {}, {} of {}", served(&high), high.len(), served(&low), low.len());
    assert_eq!(overload(&front)["refused_percent"], 95.0);
    let mut refused = front.exchange(GET);
    while refused.status() == 200 {
        refused = front.exchange(GET);
    }
    let seconds: u32 = refused.value("Retry-After").parse().unwrap();
    assert!((1..=10).contains(&seconds));
    assert!(refused.value("Proxy-Status").contains("overload: the balancer is short of memory"), "{refused:?}");
    assert!(refused.lists("Connection", "close"), "{refused:?}");
    let shed = overload(&front)["shed"].as_u64().unwrap();
    assert!(shed > 100, "{shed}");
    assert!(front.log().contains("overloaded: short of memory"), "{}", front.log());
    assert!(front.failures().is_empty(), "a flood is counted, not logged");
}

#[test]
fn what_is_off_refuses_nobody() {
    let backend = Backend::answering(OK);
    let off = "[limits]\nmemory = \"1MiB\"\n[overload]\nmemory = \"off\"\ndescriptors = \"off\"\nlag = \"off\"\n";
    let front = Setup::new(&backend).more(off).start();
    eventually("memory is looked at", || overload(&front)["memory_bytes"].as_u64() > Some(1 << 20));
    assert_eq!(served(&statuses(&front, "/", 50)), 50);
    assert_eq!(overload(&front)["short_of"], Value::Null);
}

/// Opens a gate when the test ends, however it ends: whoever waits at it would keep its backend from ending.
struct Opening(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn short_of_descriptors_requests_are_refused_until_others_have_ended() {
    let gate = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let opened = std::sync::Arc::clone(&gate);
    let backend = Backend::serving(move |conn| {
        loop {
            conn.request()?;
            while !opened.load(std::sync::atomic::Ordering::SeqCst) {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            conn.send(OK);
        }
    });
    let gate = Opening(gate);
    let mut command = std::process::Command::new("prlimit");
    command.arg("--nofile=128").arg(crate::harness::binary());
    let front = Setup::new(&backend).pool("idle_connections = 0").start_with(command);
    let held: Vec<Wire> = (0..50)
        .map(|_| {
            let mut client = front.client();
            client.send(GET);
            client
        })
        .collect();
    eventually("it is short of descriptors", || overload(&front)["short_of"] == "descriptors");
    eventually("some are refused", || {
        let mut client = front.client();
        client.send(GET);
        client.set_patience(std::time::Duration::from_millis(200));
        let Ok(answer) = client.read_answer(crate::harness::Method::Other) else { return false };
        assert_eq!(answer.status(), 503);
        // Of those that are let in, one may find none left for its backend.
        let why = answer.value("Proxy-Status");
        assert!(why.contains("descriptors") || why.contains("local-exhausted"), "{answer:?}");
        why.contains("descriptors")
    });
    drop(gate);
    drop(held);
    eventually("it is over", || overload(&front)["short_of"] == Value::Null);
    eventually("the log says so", || front.log().contains("no longer overloaded, after"));
    assert_eq!(front.exchange(GET).status(), 200);
}
