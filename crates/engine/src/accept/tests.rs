//! Who is let in, who is not, and which worker serves.

use std::sync::Arc;

use policy::access::{AccessList, CidrSet};
use policy::plan::{Action, Plan, ProxyVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::shared::Shared;
use crate::testing::{self, run};
use crate::worker::Seed;

const WEB: ListenerId = ListenerId(0);
/// A request that we answer by ourselves, since there is no backend.
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Before a backend that is not there, and that nobody waits for.
fn plan() -> Plan {
    let mut plan = testing::plan(&[SocketAddr::from(([127, 0, 0, 1], 1))]);
    if let Action::Pool(target) = &mut plan.routes[0].action {
        target.retry.tries = 1;
    }
    plan
}

fn set(range: &str) -> CidrSet {
    CidrSet::new(&[range.parse().expect("a range")])
}

/// Workers of one process, with what reaches each.
fn workers(plan: Plan, count: usize) -> Vec<(Rc<Worker>, UnboundedReceiver<Command>)> {
    let (shared, plan) = (Shared::new(&plan, count), Arc::new(plan));
    let (peers, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded_channel()).unzip();
    let (reports, _) = tokio::sync::mpsc::channel(10);
    let worker = |(id, inbox)| {
        let (plan, shared, reports) = (Arc::clone(&plan), Arc::clone(&shared), reports.clone());
        (Worker::new(Seed { id, plan, shared, peers: peers.clone(), reports }), inbox)
    };
    inboxes.into_iter().enumerate().map(worker).collect()
}

fn worker(plan: Plan) -> Rc<Worker> {
    workers(plan, 1).remove(0).0
}

/// A client and its connection as it was accepted.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.expect("it listens"), far.expect("it is accepted").0)
}

async fn admit(worker: &Rc<Worker>) -> TcpStream {
    let (client, stream) = connected().await;
    let (local, peer) = (stream.local_addr().expect("connected"), stream.peer_addr().expect("connected"));
    admit_tcp(worker, (WEB, local), stream, peer);
    client
}

/// Whether the connection is served: whoever is refused reads the end.
async fn is_served(mut client: TcpStream) -> bool {
    let sent = client.write_all(GET).await;
    let mut got = Vec::new();
    sent.is_ok() && client.read_buf(&mut got).await.is_ok_and(|n| n > 0)
}

fn serve(worker: &Rc<Worker>) {
    tokio::task::spawn_local(Rc::clone(&worker.timers).run());
}

#[test]
fn access_lists_are_asked_at_accept() {
    for (access, expected) in [
        (AccessList::default(), true),
        (AccessList { deny: set("127.0.0.0/8"), ..AccessList::default() }, false),
        (AccessList { deny: set("10.0.0.0/8"), ..AccessList::default() }, true),
        (AccessList { allow: set("10.0.0.0/8"), ..AccessList::default() }, false),
        (AccessList { allow: set("127.0.0.1/32"), ..AccessList::default() }, true),
    ] {
        let mut plan = plan();
        plan.listeners[0].access = access;
        let worker = worker(plan);
        run(async {
            serve(&worker);
            assert_eq!(is_served(admit(&worker).await).await, expected);
            let counters = &worker.counters().listeners[0];
            assert_eq!((counters.accepted.get(), counters.denied.get()), (1, u64::from(!expected)));
        });
    }
}

#[test]
fn proxy_headers_are_taken_from_trusted_peers_alone() {
    for (trusted, expected) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let mut plan = plan();
        plan.listeners[0].proxy_protocol = true;
        plan.listeners[0].trusted_proxies = set(trusted);
        let worker = worker(plan);
        run(async {
            serve(&worker);
            let mut client = admit(&worker).await;
            let _ = client.write_all(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n").await;
            assert_eq!(is_served(client).await, expected, "{trusted}");
            let mut silent = admit(&worker).await;
            let _ = silent.write_all(GET).await;
            assert!(!is_served(silent).await, "without a header there is no telling who it is");
            assert_eq!(worker.counters().listeners[0].denied.get(), if expected { 1 } else { 2 });
        });
    }
}

#[test]
fn connections_beyond_the_limit_are_closed_and_counted() {
    let mut plan = plan();
    plan.limits.connections = 2;
    let mut workers = workers(plan, 2);
    run(async {
        workers.iter().for_each(|(worker, _)| serve(worker));
        let first = admit(&workers[0].0).await;
        let second = admit(&workers[1].0).await;
        let third = admit(&workers[0].0).await;
        let Ok(Command::Take(accepted)) = workers[1].1.try_recv() else { unreachable!("the other may have idle ones") };
        take(&workers[1].0, accepted);
        assert!(!is_served(third).await, "the limit is the process's");
        assert_eq!(workers[1].0.counters().listeners[0].over_limit.get(), 1);
        assert_eq!(workers[0].0.shared.connections(), 2);
        drop(second);
        while workers[0].0.shared.connections() == 2 {
            tokio::task::yield_now().await;
        }
        assert!(is_served(admit(&workers[0].0).await).await, "a place that is free again is taken");
        drop(first);
    });
}

#[test]
fn at_the_limit_the_idle_of_another_worker_make_room() {
    let mut plan = plan();
    plan.limits.connections = 1;
    let mut workers = workers(plan, 2);
    run(async {
        workers.iter().for_each(|(worker, _)| serve(worker));
        let mut idle = admit(&workers[1].0).await;
        idle.write_all(GET).await.expect("it is served");
        assert!(idle.read_buf(&mut Vec::new()).await.expect("an answer") > 0);
        while workers[1].0.warm.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let newcomer = admit(&workers[0].0).await;
        let Ok(Command::Take(accepted)) = workers[1].1.try_recv() else { unreachable!("it is handed on") };
        take(&workers[1].0, accepted);
        assert!(is_served(newcomer).await);
        let mut rest = Vec::new();
        while idle.read_buf(&mut rest).await.expect("a clean end") > 0 {}
        let counted = |worker: usize| &workers[worker].0.counters().listeners[0];
        assert_eq!((counted(1).shed.get(), counted(0).over_limit.get(), counted(1).over_limit.get()), (1, 0, 0));
    });
}

#[test]
fn a_worker_with_far_more_than_its_share_hands_connections_on() {
    let mut workers = workers(plan(), 3);
    let shared = Arc::clone(&workers[0].0.shared);
    let hold = |counts: [usize; 3]| {
        for (worker, count) in shared.workers.iter().zip(counts) {
            worker.connections.store(count, Ordering::Relaxed);
        }
    };
    for (counts, expected) in [
        ([0, 0, 0], None),
        ([UNEVEN_SLACK, 0, 0], None),
        ([40, 5, 4], Some(2)),
        ([30, 30, 30], None),
        ([140, 100, 100], None),
        ([200, 100, 99], Some(2)),
        ([5, 200, 100], None),
    ] {
        hold(counts);
        assert_eq!(less_loaded(&workers[0].0), expected, "{counts:?}");
    }
    hold([40, 5, 4]);
    workers[0].0.stopping.set(true);
    assert_eq!(less_loaded(&workers[0].0), None, "while stopping nobody may be there to take it");
    workers[0].0.stopping.set(false);
    run(async {
        let client = admit(&workers[0].0).await;
        let Ok(Command::Take(accepted)) = workers[2].1.try_recv() else { unreachable!("it is handed on") };
        serve(&workers[2].0);
        take(&workers[2].0, accepted);
        assert_eq!(shared.workers[2].connections.load(Ordering::Relaxed), 5);
        assert!(is_served(client).await);
        let counted = |worker: usize| workers[worker].0.counters().listeners[0].accepted.get();
        assert_eq!((counted(0), counted(2)), (1, 0), "it is counted once");
    });
}

#[test]
fn what_the_kernel_has_queued_is_let_in_before_the_door_closes() {
    let worker = worker(plan());
    run(async {
        serve(&worker);
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("a socket");
        let address = socket.local_addr().expect("it is bound");
        let mut queued = Vec::new();
        for _ in 0..20 {
            queued.push(TcpStream::connect(address).await.expect("the kernel queues it"));
        }
        worker.stopping.set(true);
        tokio::task::spawn_local(run_door(&worker, socket)).await.expect("no panic");
        assert_eq!(worker.counters().listeners[0].accepted.get(), 20);
        TcpStream::connect(address).await.expect_err("the door is closed");
    });
}

fn run_door(worker: &Rc<Worker>, socket: std::net::TcpListener) -> impl Future<Output = ()> + use<> {
    super::run(Rc::clone(worker), Door::Tcp(WEB, socket))
}

#[test]
fn an_acceptor_that_waits_hears_of_the_end() {
    let worker = worker(plan());
    run(async {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("a socket");
        let waiting = tokio::task::spawn_local(run_door(&worker, socket));
        tokio::task::yield_now().await;
        worker.stopping.set(true);
        worker.stop.notify_waiters();
        waiting.await.expect("it ends");
    });
}

#[test]
fn clients_of_a_unix_socket_are_served_and_trusted() {
    let path = std::env::temp_dir().join(format!("evenkeel-door-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mut plan = plan();
    plan.access_log.write = policy::plan::LogWrite::All;
    let (worker, mut reports) = testing::worker(plan);
    run(async {
        serve(&worker);
        let socket = std::os::unix::net::UnixListener::bind(&path).expect("a free path");
        socket.set_nonblocking(true).expect("a socket");
        tokio::task::spawn_local(super::run(Rc::clone(&worker), Door::Unix(WEB, socket)));
        let mut client = UnixStream::connect(&path).await.expect("it listens");
        let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n";
        client.write_all(request).await.expect("it fits");
        let mut got = Vec::new();
        assert!(client.read_buf(&mut got).await.expect("an answer") > 0);
        std::fs::remove_file(&path).expect("it is there");
        let line = loop {
            if let crate::Report::Failure(line) = reports.recv().await.expect("the worker lives") {
                break line;
            }
        };
        assert!(line.contains("\"client\":\"198.51.100.7\""), "{line}");
    });
}

#[test]
fn proxy_headers_to_backends_name_the_address_that_the_client_came_to() {
    run(async {
        let backend = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut plan = testing::plan(&[backend.local_addr().expect("it is bound")]);
        plan.pools[0].send_proxy = Some(ProxyVersion::V1);
        let worker = worker(plan);
        serve(&worker);
        let socket = std::net::TcpListener::bind("0.0.0.0:0").expect("a free port");
        socket.set_nonblocking(true).expect("a socket");
        let port = socket.local_addr().expect("it is bound").port();
        tokio::task::spawn_local(run_door(&worker, socket));
        let mut client = TcpStream::connect(("127.0.0.2", port)).await.expect("it listens");
        client.write_all(GET).await.expect("it fits");
        let (mut served, _) = backend.accept().await.expect("a connection");
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\n") {
            assert!(served.read_buf(&mut got).await.expect("a request") > 0);
        }
        let own = client.local_addr().expect("connected");
        let expected = format!("PROXY TCP4 {} 127.0.0.2 {} {port}\r\nGET / ", own.ip(), own.port());
        assert!(got.starts_with(expected.as_bytes()), "{}", String::from_utf8_lossy(&got));
    });
}
