//! Caps on connections to a backend, over all workers: as the backend counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Backend, Broken, Conn, GET, Load, Method, OK, Setup, Wire, eventually};

/// How many connections a backend has, and the most it ever had.
#[derive(Default)]
struct Counted {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Counted {
    /// A backend that follows a script on each connection, and counts them.
    fn backend(self: &Arc<Self>, script: impl Fn(&mut Conn) -> Result<(), Broken> + Send + Sync + 'static) -> Backend {
        let counted = Arc::clone(self);
        Backend::serving(move |conn| {
            let now = counted.now.fetch_add(1, Ordering::SeqCst) + 1;
            counted.most.fetch_max(now, Ordering::SeqCst);
            let ended = script(conn);
            counted.now.fetch_sub(1, Ordering::SeqCst);
            ended
        })
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

fn answering(conn: &mut Conn) -> Result<(), Broken> {
    loop {
        conn.request()?;
        conn.send(OK);
    }
}

#[test]
fn four_workers_never_have_more_connections_than_may_be_and_serve_everybody() {
    let counted: [Arc<Counted>; 2] = Default::default();
    let backends = counted.each_ref().map(|counted| counted.backend(answering));
    let list = backends.each_ref().map(|backend| backend.address.as_str());
    for policy in ["round-robin", "least-requests", "ip-hash"] {
        let front = Setup::over(list).workers(4).pool(&format!("policy = \"{policy}\"\nmax_connections = 3")).start();
        assert_eq!(front.backends("max_connections"), [3, 3]);
        let load = Load::start(front.address(), 24, GET);
        load.wait_for(6_000);
        let report = load.stop();
        assert_eq!(report.failed, 0, "{:?}", report.failures);
        assert!(front.queue("queued") > 1000, "it was a crowd");
        let opened = front.sum("connects");
        assert!(opened <= 6, "connections went from worker to worker: {opened} opened");
        drop(front);
        eventually("all are closed", || counted.iter().all(|counted| counted.now.load(Ordering::SeqCst) == 0));
    }
    for counted in &counted {
        assert!(counted.most() <= 3, "{} at once", counted.most());
    }
}

#[test]
fn the_cap_holds_while_a_backend_closes_after_each_answer() {
    let counted = Arc::<Counted>::default();
    let counts = Arc::clone(&counted);
    let backend = Backend::serving(move |conn| {
        let now = counts.now.fetch_add(1, Ordering::SeqCst) + 1;
        counts.most.fetch_max(now, Ordering::SeqCst);
        conn.request()?;
        // As soon as it has answered, the next may be open before it can count.
        counts.now.fetch_sub(1, Ordering::SeqCst);
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        Ok(())
    });
    let front = Setup::new(&backend).workers(4).pool("max_connections = 2\nmax_requests = 5").start();
    let load = Load::start(front.address(), 16, GET);
    load.wait_for(2_000);
    let report = load.stop();
    assert_eq!(report.failed, 0, "{:?}", report.failures);
    assert!(counted.most() <= 2, "{} at once", counted.most());
}

#[test]
fn the_only_connection_is_idle_in_another_worker() {
    let counted = Arc::<Counted>::default();
    let backend = counted.backend(answering);
    let front = Setup::new(&backend).workers(4).pool("max_connections = 1").start();
    // New connections of clients come to workers as the kernel likes.
    for _ in 0..64 {
        assert_eq!(front.exchange(GET).status(), 200);
    }
    assert_eq!((backend.connections(), front.backends("connects")), (1, vec![1.into()]));
    assert_eq!((front.queue("timeouts"), front.queue("full")), (0, 0));
}

#[test]
fn a_tunnel_keeps_its_connection_and_the_others_wait() {
    let counted = Arc::<Counted>::default();
    let backend = counted.backend(|conn| {
        loop {
            if conn.request()?.has("Upgrade") {
                conn.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
                conn.until_closed();
                return Ok(());
            }
            conn.send(OK);
        }
    });
    let front = Setup::new(&backend).workers(4).pool("max_connections = 1\nqueue = { timeout = \"off\" }").start();
    let mut tunnel = front.client();
    tunnel.send("GET /t HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(tunnel.read_head().unwrap().status(), 101);
    let mut waits: Wire = front.client();
    waits.send(GET);
    eventually("it waits", || front.queue("waiting") == 1);
    drop(tunnel);
    assert_eq!(waits.answer(Method::Other).status(), 200);
    assert_eq!(counted.most(), 1);
}

#[test]
fn a_backend_that_dies_and_comes_back_loses_no_connection_of_its_cap() {
    let counted = Arc::<Counted>::default();
    let backend = counted.backend(|conn| {
        conn.request()?;
        if conn.number % 3 == 0 {
            conn.end_with_reset();
            return Ok(());
        }
        conn.send(OK);
        answering(conn)
    });
    let spare = Backend::answering(OK);
    let front = Setup::over([&backend.address, &spare.address].map(String::as_str))
        .workers(4)
        .pool("max_connections = 2\neject = { for = \"100ms\", max_for = \"100ms\" }\ntimeouts = { keep_alive = \"100ms\" }")
        .start();
    let load = Load::start(front.address(), 16, GET);
    load.wait_for(6_000);
    let report = load.stop();
    assert_eq!(report.failed, 0, "{:?}", report.failures);
    assert!(counted.most() <= 3, "{} at once", counted.most());
    eventually("nothing runs", || front.backends("active").iter().all(|active| active == 0));
}
