//! Passive health: what real requests show takes a backend out, and what lifts it. The checks are off or pass all the
//! while, so that nothing else can help. The same under load: `drills/ejection.rs`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use crate::harness::{BUSY, Backend, Evenkeel, GET, Method, OK, PATIENCE, Setup, eventually};

fn count(front: &Evenkeel, field: &str, backend: usize) -> u64 {
    front.backends(field)[backend].as_u64().unwrap()
}

#[test]
fn shared_dependency_that_fails_ejects_nobody() {
    let broken = Arc::new(AtomicBool::new(false));
    let backend = |broken: &Arc<AtomicBool>| {
        let broken = Arc::clone(broken);
        Backend::serving(move |conn| {
            loop {
                conn.wire.read_head()?;
                conn.send(if broken.load(Ordering::SeqCst) { BUSY } else { OK });
            }
        })
    };
    let backends = [backend(&broken), backend(&broken), backend(&broken)];
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    let front = Setup::over(addresses).workers(4).start();
    broken.store(true, Ordering::SeqCst);
    eventually("it is said that all fail alike", || {
        assert_eq!(front.exchange(GET).status(), 503);
        front.backends("reason")[0].to_string().contains("all 3 backends fail alike (status 503)")
    });
    assert_eq!(front.backends("state"), ["ready", "ready", "ready"]);
    broken.store(false, Ordering::SeqCst);
    for _ in 0..12 {
        assert_eq!(front.exchange(GET).status(), 200);
    }
    eventually("it is over", || front.backends("reason").iter().all(|reason| reason == "no health check"));
}

/// One is out already when the others begin to fail as it does: what shows then that the cause is shared must not be
/// forgotten with its ejection, or the next to fail once more would be out in its place.
#[test]
fn shared_dependency_that_shows_late_ejects_nobody_else() {
    const AT_ONCE: usize = 9;
    let first = Backend::answering(BUSY);
    let (answer, told) = channel::<()>();
    let told = Mutex::new(told);
    let second = Backend::serving(move |conn| {
        loop {
            conn.request()?;
            let _ = told.lock().unwrap().recv_timeout(PATIENCE);
            conn.send(BUSY);
        }
    });
    let front = Setup::over([&first.address, &second.address].map(String::as_str))
        .pool("policy = \"first\"\nretry = { tries = 1 }\neject = { for = \"30s\" }")
        .start();
    for _ in 0..3 {
        assert_eq!(front.exchange(GET).status(), 503);
    }
    front.wait_for_states(&["ejected", "ready"]);
    let mut clients: Vec<_> = (0..AT_ONCE).map(|_| front.client()).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    eventually("all wait for the second", || second.requests().len() == AT_ONCE);
    clients.iter().for_each(|_| answer.send(()).unwrap());
    for client in &mut clients {
        assert_eq!(client.answer(Method::Other).status(), 503);
    }
    eventually("it is said that all fail alike", || {
        front.backends("reason")[0].to_string().contains("all 2 backends fail alike (status 503)")
    });
    for _ in 0..12 {
        assert_eq!(front.exchange(GET).status(), 503);
        assert_eq!(front.backends("state"), ["ready", "ready"]);
    }
    assert_eq!((count(&front, "ejections", 0), count(&front, "ejections", 1)), (1, 0));
}

#[test]
fn only_a_trial_at_a_time_goes_to_an_ejected_backend_and_never_a_post() {
    let sick = Arc::new(AtomicBool::new(true));
    let (seen, state) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&sick));
    let counted = Arc::clone(&seen);
    let bad = Backend::serving(move |conn| {
        loop {
            conn.request()?;
            counted.fetch_add(1, Ordering::SeqCst);
            conn.send(if state.load(Ordering::SeqCst) { BUSY } else { OK });
        }
    });
    let good = Backend::named("good");
    let front =
        Setup::over([&bad.address, &good.address].map(String::as_str)).pool("eject = { for = \"50ms\" }").start();
    eventually("it is ejected", || {
        front.exchange(GET);
        front.backends("state")[0] == "ejected"
    });
    let before = seen.load(Ordering::SeqCst);
    eventually("a trial is offered", || {
        front.backends("reason")[0].to_string().contains("the next request may try it")
    });
    let post = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(front.exchange(post).body_text(), "good");
    assert_eq!(seen.load(Ordering::SeqCst), before);
    sick.store(false, Ordering::SeqCst);
    assert_eq!(front.exchange(GET).body_text(), "ok");
    front.wait_for_states(&["ready", "ready"]);
    assert_eq!(count(&front, "ejections", 0), 1);
}
