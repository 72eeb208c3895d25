//! Connections that wait for reuse, and what counts as running.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use policy::plan::{Address, Plan, PoolId, ProxyVersion, Urgency};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::*;
use crate::connect::ConnectError;
use crate::queue::Ticket;
use crate::shared::BackendShared;
use crate::testing::{self, pair, run};
use crate::upstream::Carrier;

const POOL: PoolId = PoolId(0);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A worker with backends that nobody listens for, as far as the test does not connect.
fn worker(plan: Plan) -> Rc<Worker> {
    testing::worker(plan).0
}

fn attempt(worker: &Rc<Worker>) -> Attempt {
    Attempt::begin(worker, POOL, &Wish { key: 0, tried: &[], now_ms: 0, risk: Risk::No }).expect("a backend")
}

fn active(worker: &Worker) -> Vec<u32> {
    worker.shared.pools[0].backends.iter().map(BackendShared::active).collect()
}

fn idle(worker: &Worker) -> u64 {
    worker.counters().pools[0][0].idle.get()
}

/// Gives a connection back and returns its other end.
fn give(attempt: &Attempt, since: Instant) -> UnixStream {
    let (near, far) = pair(0);
    attempt.give_back(Stream::Unix(near), since);
    far
}

/// Whether these are the two ends of one connection.
async fn is_connected(stream: &mut Stream, far: &UnixStream) -> bool {
    poll_fn(|cx| stream.poll_write(cx, b"x")).await.expect("it is written");
    let mut byte = [std::mem::MaybeUninit::uninit()];
    socket2::SockRef::from(far).recv_with_flags(&mut byte, libc::MSG_DONTWAIT).is_ok_and(|n| n == 1)
}

/// Lets the runtime hear of what has happened to sockets.
async fn hear_of(far: &UnixStream) {
    far.writable().await.expect("it is open");
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

fn own(carrier: Carrier) -> Stream {
    match carrier {
        Carrier::Own(stream) => stream,
        Carrier::Shared(_) => panic!("these backends speak HTTP/1.1"),
    }
}

#[test]
fn the_connection_given_back_last_is_taken_first() {
    let worker = worker(testing::plan(&[address(1)]));
    run(async {
        let attempt = attempt(&worker);
        let far: Vec<_> = (0..3).map(|_| give(&attempt, Instant::now())).collect();
        assert_eq!(idle(&worker), 3);
        for (left, far) in far.iter().enumerate().rev() {
            let mut stream = own(attempt.reuse().expect("one is left"));
            assert!(is_connected(&mut stream, far).await, "connection {left}");
            assert_eq!(idle(&worker), left as u64);
        }
        assert!(attempt.reuse().is_none());
    });
}

#[test]
fn no_more_wait_than_the_pool_allows() {
    let mut plan = testing::plan(&[address(1)]);
    plan.pools[0].idle_connections = 2;
    let worker = worker(plan);
    run(async {
        let attempt = attempt(&worker);
        let far: Vec<_> = (0..4).map(|_| give(&attempt, Instant::now())).collect();
        assert_eq!(idle(&worker), 2);
        let kept = std::iter::from_fn(|| attempt.reuse()).count();
        assert_eq!((kept, idle(&worker)), (2, 0));
        drop(far);
    });
}

#[test]
fn a_connection_that_ended_or_spoke_unasked_is_not_taken() {
    for speaks in [false, true] {
        let worker = worker(testing::plan(&[address(1)]));
        run(async {
            let attempt = attempt(&worker);
            let good = give(&attempt, Instant::now());
            let mut bad = give(&attempt, Instant::now());
            if speaks {
                bad.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.expect("it fits");
            }
            // Either way the other end is gone or has spoken before the runtime looks again.
            let kept = speaks.then_some(bad);
            hear_of(&good).await;
            tokio::time::timeout(Duration::from_secs(10), async {
                loop {
                    worker.pool(POOL).reap(Instant::now(), None, &worker.counters().pools[0]);
                    if idle(&worker) == 1 {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            })
            .await
            .expect("the bad one is found");
            let mut stream = own(attempt.reuse().expect("the good one"));
            assert!(is_connected(&mut stream, &good).await);
            assert!(attempt.reuse().is_none());
            drop(kept);
        });
    }
}

#[test]
fn a_look_at_the_kernel_tells_a_stale_connection_at_once() {
    run(async {
        let (near, far) = pair(0);
        let near = Stream::Unix(near);
        assert!(!near.is_stale());
        drop(far);
        assert!(near.is_stale());
        let (near, mut far) = pair(0);
        far.write_all(b"x").await.expect("it fits");
        assert!(Stream::Unix(near).is_stale());
    });
}

#[test]
fn old_connections_are_closed_and_young_ones_stay() {
    let worker = worker(testing::plan(&[address(1)]));
    run(async {
        let attempt = attempt(&worker);
        let now = Instant::now();
        let minute = Duration::from_secs(60);
        let _far: Vec<_> = (0..3).map(|n| give(&attempt, now + minute * n)).collect();
        let counters = &worker.counters().pools[0];
        worker.pool(POOL).reap(now + minute * 2, Some(minute + minute / 2), counters);
        assert_eq!(idle(&worker), 2);
        worker.pool(POOL).reap(now + minute * 1000, None, counters);
        assert_eq!(idle(&worker), 2, "without a limit they stay");
        worker.pool(POOL).reap(now + minute * 4, Some(minute), counters);
        assert_eq!(idle(&worker), 0);
        assert!(attempt.reuse().is_none());
    });
}

#[test]
fn connections_of_a_backend_that_goes_out_are_closed_and_none_is_kept() {
    for standing in [Standing::Out, Standing::Excluded] {
        let worker = worker(testing::plan(&[address(1)]));
        run(async {
            let attempt = attempt(&worker);
            let far = give(&attempt, Instant::now());
            worker.shared.pools[0].set_standing(0, standing);
            worker.pool(POOL).close_idle(0, &worker.counters().pools[0][0]);
            assert_eq!(idle(&worker), 0);
            far.readable().await.expect("it hears");
            assert_eq!(far.try_read(&mut [0]).ok(), Some(0), "it is closed");
            let late = give(&attempt, Instant::now());
            assert_eq!(idle(&worker), 0);
            late.readable().await.expect("it hears");
            assert_eq!(late.try_read(&mut [0]).ok(), Some(0), "an exchange that ends later keeps none either");
        });
    }
}

#[test]
fn connections_that_stand_for_one_client_or_end_with_us_are_not_kept() {
    let mut plan = testing::plan(&[address(1)]);
    plan.pools[0].send_proxy = Some(ProxyVersion::V2);
    let proxied = worker(plan);
    let stopping = worker(testing::plan(&[address(1)]));
    stopping.stopping.set(true);
    run(async {
        for worker in [&proxied, &stopping] {
            let attempt = attempt(worker);
            give(&attempt, Instant::now());
            assert_eq!(idle(worker), 0);
            assert!(attempt.reuse().is_none());
        }
    });
}

#[test]
fn an_attempt_runs_from_its_pick_until_it_is_dropped() {
    let worker = worker(testing::plan(&[address(1), address(2)]));
    let attempts: Vec<_> = (0..10).map(|_| attempt(&worker)).collect();
    assert_eq!(active(&worker), [5, 5]);
    drop(attempts);
    assert_eq!(active(&worker), [0, 0]);
    let totals: Vec<_> = worker.counters().pools[0].iter().map(|counters| counters.attempts.get()).collect();
    assert_eq!(totals, [5, 5]);
}

#[test]
fn a_pick_knows_of_a_standing_as_soon_as_it_is_told() {
    let worker = worker(testing::plan(&[address(1), address(2)]));
    worker.shared.pools[0].set_standing(0, Standing::Out);
    assert!((0..6).all(|_| attempt(&worker).backend == 1));
    worker.shared.pools[0].set_standing(1, Standing::Ejected);
    assert!((0..6).all(|_| attempt(&worker).backend == 1), "ejected goes before down");
    worker.shared.pools[0].set_standing(1, Standing::Out);
    let mut picked: Vec<_> = (0..6).map(|_| attempt(&worker).backend).collect();
    picked.sort_unstable();
    picked.dedup();
    assert_eq!(picked, [0, 1], "when all are out, all are asked");
    worker.shared.pools[0].set_standing(0, Standing::Excluded);
    worker.shared.pools[0].set_standing(1, Standing::Excluded);
    let wish = Wish { key: 0, tried: &[], now_ms: 0, risk: Risk::No };
    assert_eq!(Attempt::begin(&worker, POOL, &wish).err(), Some(NoAttempt::NoBackend));
    assert_eq!(active(&worker), [0, 0], "a pick that finds none leaves nothing behind");
}

fn with_address(backend: Address) -> Plan {
    let mut plan = testing::plan(&[address(1)]);
    plan.pools[0].backends[0].address = backend;
    plan
}

#[test]
fn a_failed_connection_says_whose_fault_it_is() {
    run(async {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let refused = worker(testing::plan(&[closed]));
        assert!(matches!(attempt(&refused).connect().await, Err(ConnectError::Failed)));
        let nowhere = worker(with_address(Address::Name("nowhere.test".to_owned(), 80)));
        assert!(matches!(attempt(&nowhere).connect().await, Err(ConnectError::Unresolved)));
        let no_socket = worker(with_address(Address::Unix("/nonexistent/socket".into())));
        assert!(matches!(attempt(&no_socket).connect().await, Err(ConnectError::Failed)));
        for code in [libc::EADDRNOTAVAIL, libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
            let error = ConnectError::from(&std::io::Error::from_raw_os_error(code));
            assert!(matches!(error, ConnectError::Local), "{code}");
        }
        assert_eq!(active(&refused), [0]);
    });
}

#[test]
fn a_unix_backend_whose_queue_is_full_is_at_fault_itself() {
    run(async {
        let path = std::env::temp_dir().join(format!("evenkeel-queue-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&socket2::SockAddr::unix(&path).expect("a short path")).expect("a free path");
        socket.listen(0).expect("it listens");
        let worker = worker(with_address(Address::Unix(path.clone())));
        let attempt = attempt(&worker);
        let mut queued = Vec::new();
        let refused = loop {
            match attempt.connect().await {
                Ok(stream) => queued.push(stream),
                Err(error) => break error,
            }
        };
        std::fs::remove_file(&path).expect("it is there");
        assert!(matches!(refused, ConnectError::Failed), "{refused:?}");
    });
}

#[test]
fn a_name_that_moves_is_followed_at_the_next_pick() {
    let worker = worker(with_address(Address::Name("moving.test".to_owned(), 80)));
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        worker.shared.pools[0].set_resolved(0, listener.local_addr().ok());
        assert!(attempt(&worker).connect().await.is_ok());
        worker.shared.pools[0].set_resolved(0, None);
        assert!(matches!(attempt(&worker).connect().await, Err(ConnectError::Unresolved)));
    });
}

fn picked(worker: &Rc<Worker>, risk: Risk) -> (usize, bool) {
    let attempt = Attempt::begin(worker, POOL, &Wish { key: 0, tried: &[], now_ms: 0, risk }).expect("a backend");
    (attempt.backend, attempt.trial.is_some())
}

#[test]
fn a_backend_that_cannot_be_connected_to_is_left_alone_until_others_fail_too() {
    let worker = worker(testing::plan(&[address(1), address(2)]));
    worker.pool(POOL).skip(0);
    assert!((0..6).all(|_| attempt(&worker).backend == 1));
    // News of others is no news of it.
    worker.shared.pools[0].set_standing(1, Standing::Ready);
    assert!((0..6).all(|_| attempt(&worker).backend == 1));
    worker.pool(POOL).skip(1);
    let mut seen: Vec<_> = (0..6).map(|_| attempt(&worker).backend).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [0, 1]);
    for backend in &worker.pool(POOL).backends {
        backend.skipped.set(Some(Instant::now()));
    }
    drop(attempt(&worker));
    assert!(!worker.pool(POOL).skips.get(), "its time is over");
}

#[test]
fn one_exchange_at_a_time_tries_an_ejected_backend() {
    let (worker, mut reports) = testing::worker(testing::plan(&[address(1), address(2)]));
    let shared = &worker.shared.pools[0];
    shared.set_standing(0, Standing::Ejected);
    shared.set_standing(1, Standing::Ready);
    assert_eq!(picked(&worker, Risk::Repeatable), (1, false), "nothing is offered yet");
    shared.offer_trial(0, policy::outlier::Offer::Repeatable);
    assert_eq!(picked(&worker, Risk::Once), (1, false));
    let mut first =
        Attempt::begin(&worker, POOL, &Wish { key: 0, tried: &[], now_ms: 0, risk: Risk::Repeatable }).unwrap();
    assert_eq!(first.backend, 0);
    assert_eq!(picked(&worker, Risk::Repeatable), (1, false), "it is under way");
    drop(first.trial.take());
    assert_eq!(picked(&worker, Risk::Repeatable), (0, true), "it brought no evidence: again");
    let mut last =
        Attempt::begin(&worker, POOL, &Wish { key: 0, tried: &[], now_ms: 0, risk: Risk::Repeatable }).unwrap();
    last.trial.take().unwrap().end(policy::outlier::Trial::Whole);
    assert_eq!(picked(&worker, Risk::Repeatable), (1, false), "control has the word");
    assert!(matches!(reports.try_recv(), Ok(crate::Report::Trial { backend: 0, .. })));
}

/// A worker with two backends that take one request each.
fn capped_worker() -> Rc<Worker> {
    let mut plan = testing::plan(&[address(1), address(2)]);
    plan.pools[0].backends.iter_mut().for_each(|backend| backend.max_requests = Some(1));
    worker(plan)
}

fn refused(worker: &Rc<Worker>, risk: Risk) -> Option<NoAttempt> {
    Attempt::begin(worker, POOL, &Wish { key: 0, tried: &[], now_ms: 0, risk }).err()
}

fn wait(worker: &Rc<Worker>) -> Ticket {
    let avoided = worker.pool(POOL).avoided(Tried::default());
    Ticket::join(&worker.shared, 0, Urgency::Normal, avoided).expect("there is room in the line")
}

fn poll(ticket: &mut Ticket) -> Poll<Option<usize>> {
    ticket.poll(&Context::from_waker(Waker::noop())).map(Result::ok)
}

#[test]
fn a_trial_takes_a_place_and_is_put_off_while_there_is_none() {
    let worker = capped_worker();
    let shared = &worker.shared.pools[0];
    shared.set_standing(1, Standing::Out);
    let before = attempt(&worker);
    assert_eq!(before.backend, 0);
    shared.set_standing(0, Standing::Ejected);
    shared.set_standing(1, Standing::Ready);
    shared.offer_trial(0, policy::outlier::Offer::Any);
    let elsewhere = Attempt::begin(&worker, POOL, &Wish { key: 0, tried: &[], now_ms: 0, risk: Risk::Repeatable }).ok();
    assert!(elsewhere.as_ref().is_some_and(|it| it.backend == 1 && it.trial.is_none()));
    assert_eq!(refused(&worker, Risk::Repeatable), Some(NoAttempt::Busy));
    let mut waits = wait(&worker);
    drop(before);
    assert!(poll(&mut waits).is_pending(), "an ejected backend's place is nobody's");
    let trial = Attempt::begin(&worker, POOL, &Wish { key: 0, tried: &[], now_ms: 0, risk: Risk::Repeatable }).ok();
    assert!(trial.as_ref().is_some_and(|it| it.backend == 0 && it.trial.is_some()), "it waits for nobody");
    assert_eq!((active(&worker), refused(&worker, Risk::Repeatable)), (vec![1, 1], Some(NoAttempt::Busy)));
    drop(elsewhere);
    assert_eq!(poll(&mut waits), Poll::Ready(Some(1)));
    drop((trial, Attempt::at(&worker, POOL, 1)));
    assert_eq!(active(&worker), [0, 0]);
}

#[test]
fn who_waits_for_room_is_not_sent_where_this_worker_cannot_connect() {
    let worker = capped_worker();
    worker.pool(POOL).skip(0);
    let running = attempt(&worker);
    assert_eq!((running.backend, refused(&worker, Risk::No)), (1, Some(NoAttempt::Busy)));
    let mut waits = wait(&worker);
    assert!(poll(&mut waits).is_pending());
    drop(running);
    assert_eq!(poll(&mut waits), Poll::Ready(Some(1)));
    drop(Attempt::at(&worker, POOL, 1));
    // When all are left alone, all are asked.
    worker.pool(POOL).skip(1);
    let both = [attempt(&worker), attempt(&worker)];
    let mut waits = wait(&worker);
    drop(both);
    assert!(poll(&mut waits).is_ready());
}
