//! Handshakes that are slow, many, or none.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::stage::Stage;
use crate::harness::{Backend, GET, OK, Setup, Wire, eventually, figure};

/// The beginning of a handshake: a record of 512 bytes of which these are the first.
const BEGUN: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

#[test]
fn slow_handshakes_end() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = Setup::new(&backend).listener(&stage.tls()).listener("timeouts = { handshake = \"200ms\" }").start();
    let mut silent = Wire::connect(front.address());
    let mut slow = Wire::connect(front.address());
    slow.send(BEGUN);
    silent.expect_close();
    slow.expect_close();
    eventually("both are counted", || front.counter("handshake_timeouts") == 2);
    assert_eq!(stage.client().connect(front.address()).exchange(GET).body, b"ok");
}

#[test]
fn handshakes_that_wait_get_the_place_of_the_slow() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = Setup::new(&backend).listener(&stage.tls()).more("[limits]\nhandshakes = 1").start();
    let mut slow = Wire::connect(front.address());
    slow.send(BEGUN);
    eventually("it is here", || front.counter("connections") == 1);
    // The only place is taken, by somebody who may keep it for ten seconds, but not while others wait.
    let began = Instant::now();
    assert_eq!(stage.client().connect(front.address()).exchange(GET).body, b"ok");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    slow.expect_close();
}

#[test]
fn too_many_that_wait_are_turned_away() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = Setup::new(&backend).listener(&stage.tls()).more("[limits]\nhandshakes = 1").start();
    let waiting: Vec<_> = (0..18)
        .map(|_| {
            let mut wire = Wire::connect(front.address());
            wire.send(BEGUN);
            wire
        })
        .collect();
    eventually("one is turned away", || front.counter("handshakes_refused") == 1);
    drop(waiting);
}

#[test]
fn a_handshake_byte_by_byte_succeeds() {
    /// Gives on what is written a byte at a time.
    struct Slowly(TcpStream);
    impl Write for Slowly {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.write(&bytes[..1.min(bytes.len())])
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.0.flush()
        }
    }
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = stage.front(&backend);
    // A proxy in between that cuts everything to pieces.
    let between = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = between.local_addr().unwrap().to_string();
    let to = front.address().to_owned();
    let proxy = thread::spawn(move || {
        let (client, _) = between.accept().unwrap();
        client.set_nodelay(true).unwrap();
        let server = TcpStream::connect(to).unwrap();
        server.set_nodelay(true).unwrap();
        let (mut back, mut forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let back = thread::spawn(move || std::io::copy(&mut back, &mut forth));
        let _ = std::io::copy(&mut client.try_clone().unwrap(), &mut Slowly(server.try_clone().unwrap()));
        let _ = server.shutdown(std::net::Shutdown::Write);
        let _ = back.join();
    });
    let mut wire = stage.client().connect(&address);
    assert_eq!(wire.exchange(GET).body, b"ok");
    drop(wire);
    proxy.join().unwrap();
}

/// Latencies of requests on one connection, in microseconds, sorted.
fn latencies(wire: &mut Wire, count: usize) -> Vec<u128> {
    let mut all: Vec<u128> = (0..count)
        .map(|_| {
            let began = Instant::now();
            wire.exchange(GET);
            began.elapsed().as_micros()
        })
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn a_flood_of_handshakes_leaves_running_traffic_alone() {
    const REQUESTS: usize = 500;
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = stage.front(&backend);
    let mut wire = stage.client().connect(front.address());
    let before = latencies(&mut wire, REQUESTS);
    let (stop, ready) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(5)));
    let flood: Vec<_> = (0..4)
        .map(|_| {
            let (client, address) = (stage.client(), front.address().to_owned());
            let (stop, ready) = (Arc::clone(&stop), Arc::clone(&ready));
            thread::spawn(move || {
                ready.wait();
                while !stop.load(Ordering::SeqCst) {
                    let _ = client.clone().try_connect(&address);
                }
            })
        })
        .collect();
    ready.wait();
    let during = latencies(&mut wire, REQUESTS);
    stop.store(true, Ordering::SeqCst);
    flood.into_iter().for_each(|thread| thread.join().unwrap());
    let p99 = |sorted: &[u128]| sorted[sorted.len() * 99 / 100];
    figure(&format!(
        "handshake flood: p99 of running traffic {} µs before, {} µs during {} handshakes",
        p99(&before),
        p99(&during),
        front.counter("handshakes")
    ));
    // Slower is a matter of the machine; lost is not.
    assert_eq!(during.len(), REQUESTS);
}

#[test]
fn proxy_header_comes_before_the_handshake() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let proxied = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]";
    let front = Setup::new(&backend).listener(&stage.tls()).listener(proxied).start();
    let mut socket = TcpStream::connect(front.address()).unwrap();
    socket.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\n").unwrap();
    let (mut wire, _) = stage.client().shake(&mut socket).unwrap();
    assert_eq!(wire.exchange(GET).status(), 200);
    let request = backend.request();
    assert_eq!(request.value("X-Forwarded-For"), "192.0.2.7");
    assert_eq!(request.value("X-Forwarded-Port"), "443");
    assert!(stage.client().try_connect(front.address()).is_err());
    eventually("it is counted", || front.counter("denied") == 1);
}
