//! Floods of connections: who is in already goes on, and at the limit the idle make room.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::stage::{Neighbour, Pond, before};
use crate::harness::{Backend, Evenkeel, GET, OK, Setup, Wire, cpu_seconds, eventually, figure};

/// What becomes of each connection of a flood.
#[derive(Clone, Copy)]
enum Then {
    Closes,
    Resets,
    /// Stays without a word, in a crowd of so many that the oldest make room.
    Stays(usize),
}

/// Connections made as fast as this machine makes them.
struct Flood {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    at_work: Option<JoinHandle<()>>,
}

impl Flood {
    fn of(front: &Evenkeel, then: Then) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let address: SocketAddr = front.address().parse().unwrap();
        let (told, count) = (Arc::clone(&stop), Arc::clone(&made));
        let at_work = std::thread::spawn(move || {
            let mut crowd = std::collections::VecDeque::new();
            while !told.load(Ordering::Relaxed) {
                let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                match then {
                    Then::Closes => {}
                    Then::Resets => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
                    Then::Stays(most) => {
                        crowd.push_back(stream);
                        if crowd.len() > most {
                            crowd.pop_front();
                        }
                    }
                }
            }
        });
        Self { stop, made, at_work: Some(at_work) }
    }

    fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.at_work.take().unwrap().join();
    }
}

#[test]
fn a_flood_of_connections_harms_nobody() {
    let lasting = Duration::from_secs(2);
    for (name, then) in [
        ("close at once", Then::Closes),
        ("reset at once", Then::Resets),
        ("say nothing, 1,000 at a time", Then::Stays(1000)),
    ] {
        for workers in [1, 4] {
            let (pond, calm) = (Pond::new(), Backend::answering(OK));
            let front = before(&pond, &calm).workers(workers).start();
            let neighbour = Neighbour::of(&front);
            eventually("the neighbour is served", || neighbour.served() > 5);
            let (flood, began, at_first) = (Flood::of(&front, then), Instant::now(), cpu_seconds(front.pid()));
            std::thread::sleep(lasting);
            let served = neighbour.served();
            eventually("the neighbour is served still", || neighbour.served() > served + 5);
            let (rate, spent) =
                (flood.made() as f64 / began.elapsed().as_secs_f64(), cpu_seconds(front.pid()) - at_first);
            drop(flood);
            let unharmed = neighbour.unharmed();
            figure(&format!(
                "{rate:.0} connections a second that {name}, {workers} workers, {spent:.1} s of CPU: {unharmed}"
            ));
            eventually("all are gone", || front.counter("connections") == 0);
        }
    }
}

#[test]
fn at_the_limit_silent_connections_make_room() {
    let (pond, calm) = (Pond::new(), Backend::answering(OK));
    let front = before(&pond, &calm).more("[limits]\nconnections = 100").start();
    let mut silent: Vec<Wire> = (0..100).map(|_| front.client()).collect();
    eventually("it is full", || front.counter("connections") == 100);
    // Until they have been silent for longer than anybody is spared.
    std::thread::sleep(Duration::from_millis(1200));
    let neighbour = Neighbour::of(&front);
    for _ in 0..50 {
        silent.push(front.client());
        std::thread::sleep(Duration::from_millis(20));
    }
    let unharmed = neighbour.unharmed();
    let (shed, refused) = (front.counter("shed"), front.counter("over_limit"));
    figure(&format!("at a limit of 100 full of silent clients: {shed} shed, {refused} refused; {unharmed}"));
    assert!(shed >= 50, "{shed} shed");
    assert_eq!(refused, 0);
}

#[test]
fn at_the_limit_the_oldest_idle_connections_make_room() {
    for workers in [1, 4] {
        let backend = Backend::answering(OK);
        let front = Setup::new(&backend).workers(workers).more("[limits]\nconnections = 60").start();
        let mut idle: Vec<Wire> = (0..60).map(|_| front.client()).collect();
        idle.iter_mut().for_each(|client| assert_eq!(client.exchange(GET).status(), 200));
        // What keeps itself warm for the next request is not idle yet.
        std::thread::sleep(Duration::from_millis(700));
        let mut newcomers: Vec<Wire> = Vec::new();
        for number in 0..20 {
            let mut client = front.client();
            assert_eq!(client.exchange(GET).status(), 200, "newcomer {number}");
            newcomers.push(client);
        }
        assert!(newcomers.iter_mut().all(Wire::is_served), "nobody new is shed");
        let (shed, refused) = (front.counter("shed"), front.counter("over_limit"));
        figure(&format!(
            "at a limit of 60 full of idle clients, {workers} workers: 20 more come, {shed} shed, {refused} refused"
        ));
        assert_eq!(refused, 0);
        if workers == 1 {
            let youngest = idle.split_off(40);
            assert!((20..=25).contains(&shed), "{shed} shed");
            assert!(youngest.into_iter().skip(5).all(|mut client| client.is_served()), "the youngest stay");
        }
    }
}

#[test]
fn at_the_limit_the_busy_stay_and_newcomers_are_refused() {
    let pond = Pond::new();
    let front = Setup::over([pond.address.as_str()]).more("[limits]\nconnections = 20").start();
    let mut busy: Vec<Wire> = (0..20).map(|_| front.client()).collect();
    busy.iter_mut().for_each(|client| client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
    eventually("all are under way", || front.backends("active")[0] == 20);
    for _ in 0..5 {
        front.client().expect_close();
    }
    assert_eq!((front.counter("over_limit"), front.counter("shed")), (5, 0));
    let stream = busy[0].stream();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!((&mut &*stream).read(&mut [0]).is_err(), "nothing has come, not even an end");
}
