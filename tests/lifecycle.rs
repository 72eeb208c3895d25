//! Start, stop, signals, and what is left behind.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{
    Backend, Evenkeel, GET, Load, Method, OK, Setup, Signal, Wire, binary, descriptors, eventually, figure, free_port,
    is_root, long_run, peak_kib, skip,
};

/// What takes less than this waits for no timeout.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Answers when it is told to.
fn on_demand() -> (Backend, std::sync::mpsc::Sender<()>) {
    let (answer, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let backend = Backend::serving(move |conn| {
        loop {
            let request = conn.request()?;
            if request.target() == "/slow" {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
                let _ = wait.lock().unwrap().recv();
                conn.send("half");
            } else {
                conn.send(OK);
            }
        }
    });
    (backend, answer)
}

/// A client that waits for the second half of an answer.
fn waiting_client(front: &Evenkeel) -> Wire {
    let mut client = front.client();
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_head().unwrap().status(), 200);
    client
}

fn refuses_connections(address: &str) -> bool {
    Wire::try_connect(address).is_err()
}

#[test]
fn sigterm_finishes_what_runs_and_closes_what_is_idle() {
    for workers in [1, 4] {
        let (backend, answer) = on_demand();
        let mut front = Setup::new(&backend).workers(workers).start();
        let address = front.address().to_owned();
        let mut idle: Vec<Wire> = (0..8).map(|_| front.client()).collect();
        for client in &mut idle[..4] {
            client.exchange(GET);
        }
        let mut slow = waiting_client(&front);
        front.signal(Signal::TERM);
        eventually("new connections are refused", || refuses_connections(&address));
        let began = Instant::now();
        for client in &mut idle {
            client.expect_close();
        }
        assert!(
            began.elapsed() < AT_ONCE,
            "idle ones are closed at once, also those that never spoke: {:?}",
            began.elapsed()
        );
        assert!(front.is_running(), "an exchange still runs");
        answer.send(()).unwrap();
        assert_eq!(slow.read_exactly(8).unwrap(), b"halfhalf");
        slow.expect_close();
        let status = front.wait_for_end();
        assert_eq!(status.code(), Some(0), "{}", front.log());
    }
}

#[test]
fn sigint_stops_as_sigterm_does() {
    let backend = Backend::answering(OK);
    let mut front = Setup::new(&backend).start();
    front.signal(Signal::INT);
    assert_eq!(front.wait_for_end().code(), Some(0));
}

#[test]
fn second_sigterm_stops_at_once() {
    let (backend, _answer) = on_demand();
    let mut front = Setup::new(&backend).start();
    let address = front.address().to_owned();
    let mut slow = waiting_client(&front);
    front.signal(Signal::TERM);
    eventually("it is stopping", || refuses_connections(&address));
    let began = Instant::now();
    front.signal(Signal::TERM);
    let status = front.wait_for_end();
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(status.code(), Some(1), "something was cut");
    assert!(slow.read_exactly(8).is_err(), "what was cut must not look whole");
}

#[test]
fn other_signals_are_harmless() {
    let backend = Backend::answering(OK);
    let mut front = Setup::new(&backend).start();
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::PIPE] {
        front.signal(signal);
    }
    for _ in 0..100 {
        assert_eq!(front.exchange(GET).status(), 200);
    }
    assert!(front.is_running());
    assert_eq!(front.stop().code(), Some(0));
}

#[test]
fn load_sees_no_error_while_it_stops() {
    let backend = Backend::answering(OK);
    let mut front = Setup::new(&backend).workers(2).start();
    let mut clients: Vec<Wire> = (0..16).map(|_| front.client()).collect();
    for client in &mut clients {
        client.exchange(GET);
    }
    for client in &mut clients {
        client.send(GET);
    }
    front.signal(Signal::TERM);
    for client in &mut clients {
        let read = client.read_answer(Method::Other);
        // A request that arrived is answered; one that crossed the close is the client's to send again.
        assert!(read.as_ref().map_or(true, |answer| answer.status() == 200), "{read:?}");
    }
    assert_eq!(front.wait_for_end().code(), Some(0));
}

/// Asks again and again on one connection until an answer says that it was the last.
fn ask_to_the_last(mut client: Wire, asked: &std::sync::atomic::AtomicUsize) -> Result<usize, String> {
    for count in 1.. {
        client.send(GET);
        let answer = client.read_answer(Method::Other).map_err(|broken| format!("request {count}: {broken:?}"))?;
        asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if answer.lists("connection", "close") {
            return Ok(count);
        }
    }
    Ok(0)
}

#[test]
fn busy_clients_hear_of_the_end_in_an_answer() {
    for workers in [1, 4] {
        let backend = Backend::answering(OK);
        let mut front = Setup::new(&backend).workers(workers).start();
        let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let clients: Vec<_> = (0..32)
            .map(|_| {
                let (client, asked) = (front.client(), std::sync::Arc::clone(&asked));
                std::thread::spawn(move || ask_to_the_last(client, &asked))
            })
            .collect();
        eventually("all are at work", || asked.load(std::sync::atomic::Ordering::Relaxed) > 1000);
        front.signal(Signal::TERM);
        let ends: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let lost: Vec<_> = ends.iter().filter(|end| end.is_err()).collect();
        assert!(lost.is_empty(), "{workers} workers lost {lost:?}");
        assert_eq!(front.wait_for_end().code(), Some(0));
    }
}

#[test]
fn taken_port_is_an_error_with_a_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let backend = Backend::answering(OK);
    let (status, said) = Setup::new(&backend).bind(&address).run_to_end(Command::new(binary()));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("[listener.web]"), "{said}");
    assert!(said.contains("ss -ltnp"), "it says what to do: {said}");
}

#[test]
fn second_evenkeel_on_the_same_port_is_an_error_too() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).workers(2).start();
    let (status, said) = Setup::new(&backend).bind(front.address()).workers(2).run_to_end(Command::new(binary()));
    assert_eq!(status.code(), Some(1), "{said}");
    for _ in 0..20 {
        assert_eq!(front.exchange(GET).status(), 200);
    }
}

#[test]
fn privileged_port_without_the_right_is_an_error_with_a_remedy() {
    let name = "privileged_port_without_the_right_is_an_error_with_a_remedy";
    let first_free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if first_free.trim().parse::<u16>().is_ok_and(|port| port <= 81) {
        return skip(name, "every user may bind low ports here (net.ipv4.ip_unprivileged_port_start)");
    }
    let backend = Backend::answering(OK);
    let setup = Setup::new(&backend).bind("127.0.0.1:81");
    if !is_root() {
        let (status, said) = setup.run_to_end(Command::new(binary()));
        return expect_privilege_error(status.code(), &said);
    }
    if crate::harness::find_program("setpriv").is_none() {
        return skip(name, "setpriv is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("evenkeel");
    std::fs::copy(binary(), &copy).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
    let (status, said) = setup.run_to_end(nobody);
    expect_privilege_error(status.code(), &said);
}

#[track_caller]
fn expect_privilege_error(code: Option<i32>, said: &str) {
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("127.0.0.1:81") && said.contains("CAP_NET_BIND_SERVICE"), "{said}");
}

#[test]
fn port_is_free_again_after_the_end() {
    let backend = Backend::answering(OK);
    let bind = format!("127.0.0.1:{}", free_port());
    for _ in 0..3 {
        let front = Setup::new(&backend).bind(&bind).workers(2).start();
        assert_eq!(front.exchange(GET).status(), 200);
        let _open = front.client();
        let began = Instant::now();
        assert_eq!(front.stop().code(), Some(0));
        assert!(began.elapsed() < AT_ONCE, "who never spoke holds nobody up: {:?}", began.elapsed());
    }
}

/// Answers, breaks off, switches or resets, as the path says.
fn moody() -> Backend {
    Backend::serving(|conn| {
        loop {
            let request = conn.wire.read_request()?;
            match request.target() {
                "/half" => {
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                    return Ok(());
                }
                "/reset" => {
                    conn.end_with_reset();
                    return Ok(());
                }
                "/switch" => conn.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbytes"),
                "/big" => conn
                    .send([b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n".as_slice(), &[b'x'; 200_000]].concat()),
                _ => conn.send(OK),
            }
        }
    })
}

/// Requests on connections of their own, in every way a connection can end.
fn churn(front: &Evenkeel, connections: usize) {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let one = |number: usize| {
        let mut client = front.client();
        match number % 10 {
            0 => drop(client.exchange(GET)),
            1 => drop(client.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")),
            2 => drop(client.exchange("GET / HTTP/1.0\r\n\r\n")),
            3 => {
                client.send("GET / HTTP/1.1\r\n");
                client.reset();
            }
            4 => drop(client.exchange("bad\r\n\r\n")),
            5 => {
                client.send(get("/half"));
                assert!(client.read_answer(Method::Other).is_err());
            }
            6 => {
                client.send(get("/big"));
                let _ = client.read_exactly(1000);
                client.reset();
            }
            7 => {
                client.send("GET /switch HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
                let _ = client.read_head();
            }
            8 => {
                client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf");
                client.reset();
            }
            _ => drop(client.exchange(get("/reset"))),
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || (0..connections / 8).for_each(|number| one(thread * (connections / 8) + number)));
        }
    });
}

#[test]
fn twenty_thousand_connections_leave_no_descriptor_and_no_memory_behind() {
    let backend = moody();
    let front = Setup::new(&backend).workers(2).pool("idle_connections = 4").start();
    churn(&front, 2000);
    eventually("the first ones are gone", || front.counter("connections") == 0);
    // Connections to the backend that wait for reuse may be more or fewer.
    let in_use = || descriptors(front.pid()) as u64 - front.backends("idle")[0].as_u64().unwrap();
    let (before, memory) = (in_use(), peak_kib(front.pid()));
    churn(&front, 20_000);
    eventually("all connections are gone", || front.counter("connections") == 0);
    eventually("all descriptors are given back", || in_use() <= before);
    let grown = peak_kib(front.pid()) - memory;
    figure(&format!("20,000 short connections: descriptors {before} before and after, memory grew by {grown} KiB"));
    assert!(grown < 8 * 1024, "{grown} KiB");
    assert_eq!(front.backends("active")[0], 0);
}

#[test]
fn soak_leaves_nothing_behind() {
    if !long_run() {
        return skip("soak_leaves_nothing_behind", "only in ./test --long");
    }
    let backends = [moody(), moody()];
    let front = Setup::over(backends.each_ref().map(|backend| backend.address.as_str())).workers(2).start();
    churn(&front, 8000);
    eventually("the first ones are gone", || front.counter("connections") == 0);
    let (before, memory) = (descriptors(front.pid()), peak_kib(front.pid()));
    let load = Load::start(front.address(), 16, GET);
    let until = Instant::now() + Duration::from_secs(15 * 60);
    while Instant::now() < until {
        churn(&front, 8000);
    }
    let report = load.stop();
    eventually("all connections are gone", || front.counter("connections") == 0);
    let grown = peak_kib(front.pid()) - memory;
    let after = descriptors(front.pid());
    figure(&format!("soak: {}, descriptors {before} before, {after} after, memory grew by {grown} KiB", report.line()));
    assert_eq!(report.failed, 0, "{:?}", report.failures);
    assert!(grown < 16 * 1024, "{grown} KiB");
    assert!(after <= before + 64, "{before} before, {after} after");
}
