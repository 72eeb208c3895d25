//! What exchanges tell their pool's policy, and what it goes by.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use policy::hashing::{HashKey, Hashing};
use policy::plan::{Action, Plan, PolicyKind};

use super::super::Ended;
use super::{Connection, DOWNLOAD, Exchanges, Stream, UPLOAD, echo_backend, poll_all, run, start};
use crate::clock::Instant;
use crate::testing;
use crate::worker::Worker;

fn worker(policy: PolicyKind, backends: &[SocketAddr]) -> Rc<Worker> {
    let mut plan = testing::plan(backends);
    plan.pools[0].policy = policy;
    worker_of(plan)
}

fn worker_of(plan: Plan) -> Rc<Worker> {
    let (worker, reports) = testing::worker(plan);
    // Reports are for others to hear.
    drop(reports);
    tokio::task::spawn_local(Rc::clone(&worker.timers).run());
    worker
}

/// One request without body.
async fn ask(worker: &Rc<Worker>, head: &str) {
    let connection = Connection { ended: [true; 2], window: [usize::MAX; 2], ..Connection::default() };
    let stream = Stream::new(0, &Rc::new(RefCell::new(connection)), worker, head);
    assert_eq!(start(worker, stream).await, Ended::Answered);
}

fn attempts(worker: &Worker) -> Vec<u64> {
    worker.counters().pools[0].iter().map(|backend| backend.attempts.get()).collect()
}

fn latency_us(worker: &Worker, backend: usize) -> Option<u32> {
    worker.shared.pools[0].backends[backend].latency_us(worker.now_ms(Instant::now()))
}

fn closed_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

#[test]
fn a_backend_that_fails_is_noted_and_left() {
    run(async {
        let worker = worker(PolicyKind::PeakEwma, &[closed_port(), echo_backend().await]);
        for _ in 0..50 {
            ask(&worker, DOWNLOAD).await;
        }
        assert!(latency_us(&worker, 0) >= Some(900_000), "one second less a little age: {:?}", latency_us(&worker, 0));
        assert!(latency_us(&worker, 1).is_some_and(|us| us < 900_000), "{:?}", latency_us(&worker, 1));
        assert!(attempts(&worker)[0] <= 2, "{:?}", attempts(&worker));
    });
}

#[test]
fn a_backend_that_hangs_is_noted_when_somebody_else_gives_up() {
    run(async {
        let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let total = Duration::from_millis(50);
        let mut plan = testing::plan(&[hanging.local_addr().expect("a bound socket has an address")]);
        plan.pools[0].policy = PolicyKind::PeakEwma;
        let Action::Pool(target) = &mut plan.routes[0].action else { unreachable!("the plan's one route has a pool") };
        target.timeouts.total = Some(total);
        let worker = worker_of(plan);
        ask(&worker, DOWNLOAD).await;
        assert!(latency_us(&worker, 0) >= Some(40_000), "{:?}", latency_us(&worker, 0));
    });
}

#[test]
fn nothing_is_noted_for_who_does_not_ask() {
    run(async {
        let worker = worker(PolicyKind::LeastRequests, &[closed_port(), echo_backend().await]);
        for _ in 0..5 {
            ask(&worker, DOWNLOAD).await;
        }
        assert_eq!([latency_us(&worker, 0), latency_us(&worker, 1)], [None; 2]);
    });
}

#[test]
fn a_slow_client_does_not_make_its_backend_look_slow() {
    run(async {
        let worker = worker(PolicyKind::PeakEwma, &[echo_backend().await]);
        let connection = Rc::new(RefCell::new(Connection { window: [usize::MAX; 2], ..Connection::default() }));
        let stream = Stream::new(0, &connection, &worker, UPLOAD);
        let mut exchanges: Exchanges = vec![Some(start(&worker, stream))];
        let mut done = [None; 1];
        connection.borrow_mut().arrived[0].push_back(b"first".to_vec());
        // The relay has sent what there is once it waits for its client.
        poll_fn(|cx| {
            poll_all(cx, &mut exchanges, &mut done);
            let sent = worker.counters().pools[0][0].connects.get() > 0 && connection.borrow().waker.is_some();
            if sent { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let rest_came = Instant::now();
        connection.borrow_mut().ended[0] = true;
        poll_fn(|cx| {
            poll_all(cx, &mut exchanges, &mut done);
            if done[0].is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let most = rest_came.elapsed().as_micros();
        assert!(
            latency_us(&worker, 0).is_some_and(|us| u128::from(us) <= most),
            "{:?} of {most}",
            latency_us(&worker, 0)
        );
    });
}

#[test]
fn a_key_stays_at_its_backend_and_who_has_none_goes_by_address() {
    run(async {
        let backends = [echo_backend().await, echo_backend().await, echo_backend().await];
        let hashing = Hashing::by(HashKey::Header("x-user".to_owned()));
        for policy in [PolicyKind::Hash(hashing.clone()), PolicyKind::Maglev(hashing)] {
            let worker = worker(policy, &backends);
            let mut used = 0;
            for user in 0..60 {
                let before = attempts(&worker);
                for path in ["a", "b", "c"] {
                    ask(&worker, &format!("GET /{path} HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n")).await;
                }
                let after = attempts(&worker);
                let hits: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
                assert!(hits.contains(&3), "user {user}: {hits:?}");
                used |= hits.iter().enumerate().fold(0, |all, (at, hits)| all | u8::from(*hits > 0) << at);
            }
            assert_eq!(used, 0b111, "users are spread over all");

            let before = attempts(&worker);
            for _ in 0..5 {
                ask(&worker, DOWNLOAD).await;
            }
            let moved = attempts(&worker).iter().zip(&before).filter(|(after, before)| after > before).count();
            assert_eq!(moved, 1, "one client, one backend");
        }
    });
}
