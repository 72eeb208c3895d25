//! Active checks of the real binary: time to start, and slow starts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Backend, Evenkeel, GET, Setup, eventually, figure};

/// A backend whose `/healthz` is as sick as told.
struct Patient {
    backend: Backend,
    well: Arc<AtomicBool>,
}

fn patient(name: &'static str, well: bool) -> Patient {
    let well = Arc::new(AtomicBool::new(well));
    let state = Arc::clone(&well);
    let backend = Backend::serving(move |conn| {
        loop {
            let is_probe = conn.request()?.target() == "/healthz";
            let status = if is_probe && !state.load(Ordering::SeqCst) { "503 Sick" } else { "200 OK" };
            conn.send(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{name}", name.len()));
        }
    });
    Patient { backend, well }
}

impl Patient {
    fn is_well(&self, well: bool) {
        self.well.store(well, Ordering::SeqCst);
    }
}

/// Answers of the backend of this name among so many.
fn share(front: &Evenkeel, name: &str, requests: u32) -> u32 {
    let mut client = front.client();
    (0..requests).map(|_| u32::from(client.exchange(GET).body_text() == name)).sum()
}

fn over(patients: &[&Patient], health: &str, pool: &str) -> Evenkeel {
    let addresses = patients.iter().map(|patient| patient.backend.address.clone());
    Setup::over(addresses).workers(2).health(health).pool(pool).start()
}

fn permille(front: &Evenkeel) -> u64 {
    front.backends("weight_permille")[0].as_u64().unwrap()
}

#[test]
fn backend_that_takes_its_time_to_start_is_unknown_and_not_down() {
    let slow = patient("slow", false);
    let check = "{ http = \"/healthz\", interval = \"50ms\", fall = 1, start_up = \"60s\" }";
    let front = over(&[&slow], check, "");
    let probes = slow.backend.requests().len();
    eventually("more probes failed", || slow.backend.requests().len() >= probes + 3);
    front.wait_for_states(&["unknown"]);
    let reason = front.backends("reason")[0].clone();
    assert!(reason.as_str().unwrap().starts_with("may still be starting"), "{reason}");
    slow.is_well(true);
    front.wait_for_states(&["ready"]);
    // The grace is for the start alone.
    slow.is_well(false);
    front.wait_for_states(&["down"]);
}

#[test]
fn time_to_start_ends() {
    let dead = patient("dead", false);
    let began = Instant::now();
    let check = "{ http = \"/healthz\", interval = \"50ms\", start_up = \"700ms\" }";
    let front = over(&[&dead], check, "");
    front.wait_for_states(&["down"]);
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
}

#[test]
fn backend_that_returns_ramps_up_to_its_weight() {
    const OVER: Duration = Duration::from_secs(6);
    /// Thousandths in a quarter of a second, after which weights are announced.
    const STEP: u64 = 950 / 24;
    /// Few enough that a busy machine answers several such lots while the weight grows.
    const LOT: u32 = 120;
    let (back, steady) = (patient("back", true), patient("steady", true));
    let check = "{ http = \"/healthz\", interval = \"50ms\", timeout = \"5s\", fall = 1, rise = 1 }";
    let front = over(&[&back, &steady], check, "slow_start = \"6s\"");
    front.wait_for_states(&["ready", "ready"]);
    assert_eq!(permille(&front), 1000, "nothing ramps up at the start of the process");
    back.is_well(false);
    front.wait_for_states(&["down", "ready"]);
    assert_eq!(share(&front, "back", 50), 0);
    back.is_well(true);
    front.wait_for_states(&["slow-start", "ready"]);

    let began = Instant::now();
    let mut seen = Vec::new();
    while front.backends("state")[0] == "slow-start" {
        let before = permille(&front);
        let share = share(&front, "back", LOT);
        let after = permille(&front);
        if after == 1000 {
            break;
        }
        seen.push((began.elapsed(), before, share, after));
    }
    for (at, before, share, after) in &seen {
        // What was in force from some steps before to the end, give or take the phases of two workers.
        let fair = |permille: u64| u64::from(LOT) * permille / (1000 + permille);
        let bounds = fair(before.saturating_sub(4 * STEP)).saturating_sub(8)..=fair(*after) + 8;
        assert!(bounds.contains(&u64::from(*share)), "{share} of {LOT} at {at:?}: {before} to {after} thousandths");
    }
    eventually("all of its weight", || front.backends("state")[0] == "ready");
    let lasted = began.elapsed();
    assert!(lasted >= OVER / 2 && lasted < OVER * 4, "{lasted:?}");
    // How many lots there are, and at which weights, is the machine's affair.
    let (_, _, first, weight) = seen.first().expect("a lot while the weight grows");
    assert!(*first + 4 < LOT / 2, "{seen:?}");
    let later = seen.iter().rfind(|(_, before, ..)| *before >= weight + 300);
    assert!(later.is_none_or(|(_, _, later, _)| first < later), "{seen:?}");
    let even = share(&front, "back", 400);
    assert!(even.abs_diff(200) <= 20, "{even} of 400");
    let picked: Vec<String> = seen
        .iter()
        .step_by(seen.len().div_ceil(8))
        .map(|(at, permille, share, _)| format!("{:.1}s {permille}‰ {share}/{LOT}", at.as_secs_f64()))
        .collect();
    figure(&format!("slow start of 6s: {}; then {even}/400", picked.join(", ")));
}

#[test]
fn backend_gets_what_its_agent_asks_for() {
    let modest = patient("modest", true);
    let line = Arc::new(Mutex::new("weight=25%"));
    let said = Arc::clone(&line);
    let agent = Backend::serving(move |conn| {
        conn.send(format!("{}\n", *said.lock().unwrap()));
        Ok(())
    });
    let port = agent.address.rsplit_once(':').unwrap().1;
    let front = Setup::over([&modest.backend.address])
        .workers(2)
        .health(&format!("{{ tcp = true, agent = {{ port = {port}, interval = \"20ms\" }} }}"))
        .start();
    let reason = || front.backends("reason")[0].as_str().unwrap_or_default().to_owned();
    eventually("a quarter", || permille(&front) == 250);
    assert!(reason().contains("it asks for 25 % of its weight: `weight=25%`"), "{}", reason());
    *line.lock().unwrap() = "drain for the release";
    front.wait_for_states(&["drained"]);
    assert!(reason().contains("`drain for the release`"), "{}", reason());
    assert_eq!(front.exchange(GET).status(), 503);
    *line.lock().unwrap() = "down disk full";
    front.wait_for_states(&["down"]);
    assert!(reason().contains("its agent says `down disk full`"), "{}", reason());
    *line.lock().unwrap() = "nonsense";
    eventually("nonsense is told", || reason().contains("its agent: `nonsense` is none of"));
    front.wait_for_states(&["down"]);
    *line.lock().unwrap() = "ready";
    front.wait_for_states(&["ready"]);
    assert_eq!((permille(&front), front.exchange(GET).status()), (1000, 200));
}

#[test]
fn wrong_body_is_down_with_the_reason() {
    let backend = patient("db: broken", true);
    let check = "{ http = \"/healthz\", interval = \"50ms\", body = \"db: ok\" }";
    let front = over(&[&backend], check, "");
    front.wait_for_states(&["down"]);
    let reasons = front.backends("reason");
    let reason = reasons.first().and_then(Value::as_str).unwrap();
    assert!(reason.contains("the body lacks `db: ok`: it is `db: broken`"), "{reason}");
}
