//! The engine as `control` sees it: it starts, serves, reports and ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use policy::plan::{Bind, LogWrite};
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::{listen, testing};

/// No read or wait here takes longer.
const BOUND: Duration = Duration::from_secs(20);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

struct Running {
    engine: Engine,
    addresses: Vec<String>,
    reports: Receiver<Report>,
}

fn tcp() -> Bind {
    Bind::Tcp { addr: SocketAddr::from(([127, 0, 0, 1], 0)), v6_only: false }
}

fn start(mut plan: Plan, binds: Vec<Bind>, workers: usize) -> Running {
    plan.listeners[0].binds = binds;
    let groups = listen::bind_all(&plan, workers).expect("free addresses");
    let addresses = groups.iter().map(|group| group.address.clone()).collect();
    let (sender, reports) = tokio::sync::mpsc::channel(1000);
    let tls = Settings::none(&plan);
    let engine = Engine::start(Arc::new(plan), groups, workers, sender, tls).expect("threads");
    Running { engine, addresses, reports }
}

fn connect(address: &str) -> TcpStream {
    let client = TcpStream::connect(address).expect("it listens");
    client.set_read_timeout(Some(BOUND)).expect("a socket");
    client
}

/// Sends a request and reads what comes first.
fn ask(mut client: impl Read + Write) -> String {
    client.write_all(GET).expect("it is read");
    let mut got = [0; 1000];
    let n = client.read(&mut got).expect("an answer");
    String::from_utf8_lossy(&got[..n]).into_owned()
}

/// A backend that nobody listens for.
fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

#[test]
fn an_engine_serves_all_its_addresses_until_it_is_finished() {
    let path = std::env::temp_dir().join(format!("evenkeel-engine-{}.sock", std::process::id()));
    let running = start(testing::plan(&[closed()]), vec![tcp(), tcp(), Bind::Unix(path.clone())], 3);
    for address in &running.addresses[..2] {
        for _ in 0..20 {
            assert!(ask(connect(address)).starts_with("HTTP/1.1 502 "));
        }
    }
    let unix = UnixStream::connect(&path).expect("it listens");
    unix.set_read_timeout(Some(BOUND)).expect("a socket");
    assert!(ask(unix).starts_with("HTTP/1.1 502 "));
    let mut idle = connect(&running.addresses[0]);
    let shared = Arc::clone(running.engine.shared());
    let began = Instant::now();
    running.engine.finish(BOUND);
    assert!(shared.stopping.load(Ordering::Acquire));
    running.engine.join();
    assert!(began.elapsed() < Duration::from_secs(5), "an idle client holds up no end: {:?}", began.elapsed());
    assert_eq!(shared.connections(), 0);
    assert_eq!(idle.read(&mut [0]).ok(), Some(0));
    TcpStream::connect(&running.addresses[0]).expect_err("nobody listens any more");
    std::fs::remove_file(&path).expect("the file is the caller's to remove");
}

#[test]
fn what_outlasts_the_grace_is_cut() {
    let backend = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let running = start(testing::plan(&[backend.local_addr().expect("it is bound")]), vec![tcp()], 2);
    let mut client = connect(&running.addresses[0]);
    client.write_all(GET).expect("it is read");
    let (mut silent, _) = backend.accept().expect("a connection");
    let shared = Arc::clone(running.engine.shared());
    running.engine.finish(Duration::from_millis(100));
    running.engine.join();
    assert_eq!(shared.pools[0].backends[0].active(), 0, "nothing is left running");
    assert_eq!(shared.connections(), 0);
    let mut rest = Vec::new();
    assert!(silent.read_to_end(&mut rest).is_ok() && rest.ends_with(b"\r\n\r\n"));
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn a_second_finish_ends_at_once() {
    let backend = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let running = start(testing::plan(&[backend.local_addr().expect("it is bound")]), vec![tcp()], 1);
    let mut client = connect(&running.addresses[0]);
    client.write_all(GET).expect("it is read");
    let _silent = backend.accept().expect("a connection");
    running.engine.finish(Duration::from_secs(600));
    running.engine.finish(Duration::from_secs(600));
    running.engine.join();
}

#[test]
fn log_lines_and_failures_are_told_even_at_the_end() {
    let mut plan = testing::plan(&[closed()]);
    plan.access_log.write = LogWrite::All;
    let mut running = start(plan, vec![tcp()], 1);
    ask(connect(&running.addresses[0]));
    running.engine.finish(BOUND);
    running.engine.join();
    let (mut failures, mut lines) = (Vec::new(), Vec::new());
    while let Ok(report) = running.reports.try_recv() {
        match report {
            Report::Failure(line) => failures.push(line),
            Report::LogLines(bytes) => lines.extend(bytes),
            Report::ConnectFailed { .. } | Report::Failing { .. } | Report::Trial { .. } | Report::Circuit { .. } => {}
        }
    }
    assert_eq!(failures.len(), 1);
    assert_eq!(String::from_utf8_lossy(&lines), format!("{}\n", failures[0]), "a line is whole and ends with its end");
}

#[test]
fn reports_to_a_deaf_control_plane_are_counted_and_cost_no_answer() {
    let mut plan = testing::plan(&[closed()]);
    plan.listeners[0].binds = vec![tcp()];
    let groups = listen::bind_all(&plan, 1).expect("a free address");
    let address = groups[0].address.clone();
    let (sender, _held) = tokio::sync::mpsc::channel(1);
    let tls = Settings::none(&plan);
    let engine = Engine::start(Arc::new(plan), groups, 1, sender, tls).expect("a thread");
    for _ in 0..5 {
        assert!(ask(connect(&address)).starts_with("HTTP/1.1 502 "));
    }
    assert!(engine.shared().workers[0].counters.log_dropped.get() > 0);
    engine.finish(BOUND);
    engine.join();
}

#[test]
fn log_lines_that_are_lost_are_counted_each() {
    let (worker, reports) = testing::worker(testing::plan(&[closed()]));
    drop(reports);
    (0..3).for_each(|_| worker.log("{}"));
    worker.flush_log();
    assert_eq!(worker.counters().log_dropped.get(), 3);
}

#[test]
fn spares_are_kept_up_to_a_number() {
    let spares: Spare<Request> = Spare(RefCell::default());
    (0..Spare::<Request>::KEPT + 10).for_each(|_| spares.put(Box::default()));
    assert_eq!(spares.0.borrow().len(), Spare::<Request>::KEPT);
    spares.take();
    assert_eq!(spares.0.borrow().len(), Spare::<Request>::KEPT - 1);
}
