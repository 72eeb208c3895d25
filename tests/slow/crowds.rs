//! Two thousand connections of each kind of slow client: each costs less than 64 KiB, and a client who behaves notices
//! nothing.

use std::io::Write;
use std::time::Duration;

use super::stage::{CROWD, Neighbour, Pond, before, crowd, resident_kib, turn};
use crate::harness::{Backend, Evenkeel, OK, eventually, figure, peak_kib, skip};

/// What one connection of a crowd may cost at most, at any moment, in KiB.
const MOST_KIB: f64 = 64.0;

/// What each of a crowd does.
struct Habit {
    name: &'static str,
    /// What it sends at first.
    sends: Vec<u8>,
    /// What it sends now and then.
    dribbles: &'static [u8],
    /// Whether a backend is busy with it.
    is_active: bool,
}

fn front(pond: &Pond, calm: &Backend, workers: usize) -> Evenkeel {
    // Long enough for a slow machine: this is about memory.
    let patient = "timeouts = { header = \"5m\", body = \"5m\" }";
    let page = "x".repeat(1 << 20);
    let own = format!("[[route]]\npath = \"/page\"\nanswer = {{ status = 200, body = \"{page}\" }}");
    before(pond, calm).workers(workers).listener(patient).more(&own).start()
}

fn costs_little(habit: &Habit, workers: usize) {
    let Some(_turn) = turn() else { return skip(habit.name, "the descriptor limit is too low") };
    let (pond, calm) = (Pond::new(), Backend::answering(OK));
    let front = front(&pond, &calm, workers);
    let neighbour = Neighbour::of(&front);
    eventually("the neighbour is served", || neighbour.served() > 20);
    let at_first = peak_kib(front.pid());
    let mut crowd = crowd(&front, CROWD, &habit.sends);
    eventually("all are there", || front.counter("connections") >= CROWD as u64);
    if habit.is_active {
        eventually("all are under way", || front.backends("active")[0].as_u64() >= Some(CROWD as u64));
    }
    for _ in 0..3 {
        // Not a wait for anything: they are slow.
        std::thread::sleep(Duration::from_millis(700));
        for client in &mut crowd {
            client.write_all(habit.dribbles).unwrap();
        }
    }
    let served = neighbour.served();
    eventually("the neighbour is served still", || neighbour.served() > served + 10);
    let each = |kib: u64| kib.saturating_sub(at_first) as f64 / CROWD as f64;
    let (peak, now) = (each(peak_kib(front.pid())), each(resident_kib(front.pid())));
    let unharmed = neighbour.unharmed();
    let name = habit.name;
    figure(&format!(
        "{CROWD} {name}, {workers} workers: at most {peak:.1} KiB each, {now:.1} KiB in the end; {unharmed}"
    ));
    assert!(peak < MOST_KIB, "{name}: {peak:.1} KiB each");
    drop(crowd);
    eventually("all are gone", || front.counter("connections") == 0);
}

fn silent() -> Habit {
    Habit { name: "silent clients", sends: Vec::new(), dribbles: b"", is_active: false }
}

fn slow_heads() -> Habit {
    let sends = format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}", "v".repeat(20_000)).into_bytes();
    Habit { name: "clients in the middle of a head of 20 KB", sends, dribbles: b"v", is_active: false }
}

fn slow_bodies() -> Habit {
    let head = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    let sends = [head.as_bytes(), &[b'b'; 20_000]].concat();
    Habit { name: "clients in the middle of a body", sends, dribbles: b"b", is_active: true }
}

fn slow_readers() -> Habit {
    let sends = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    Habit { name: "readers of 16 MiB who do not read", sends, dribbles: b"", is_active: true }
}

#[test]
fn silent_clients_cost_little() {
    costs_little(&silent(), 1);
    costs_little(&silent(), 4);
}

#[test]
fn slow_heads_cost_little() {
    costs_little(&slow_heads(), 1);
    costs_little(&slow_heads(), 4);
}

#[test]
fn slow_bodies_cost_little() {
    costs_little(&slow_bodies(), 1);
    costs_little(&slow_bodies(), 4);
}

#[test]
fn slow_readers_cost_little() {
    costs_little(&slow_readers(), 1);
    costs_little(&slow_readers(), 4);
}

#[test]
fn those_who_wait_for_a_slow_backend_cost_little() {
    let sends = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    let habit = Habit { name: "clients who wait for an answer", sends, dribbles: b"", is_active: true };
    costs_little(&habit, 1);
}

#[test]
fn slow_readers_of_our_own_pages_cost_little() {
    let sends = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    costs_little(&Habit { name: "readers of an own page of 1 MiB", sends, dribbles: b"", is_active: false }, 1);
}

#[test]
fn idle_tunnels_cost_little() {
    let sends = b"GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n".to_vec();
    costs_little(&Habit { name: "idle tunnels", sends, dribbles: b"", is_active: true }, 1);
}
