//! Plans and servers for tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use policy::plan::{
    AccessLog, Address, Admin, Backend, HealthCheck, Limits, LogTarget, LogWrite, Plan, PolicyKind, Pool, ProbeKind,
    Wanted,
};
use policy::route::Router;

/// A plan without listeners and routes.
pub(crate) fn plan(pools: Vec<Pool>) -> Plan {
    let limits = Limits {
        connections: 1000,
        header_bytes: 32 << 10,
        header_fields: 100,
        target_bytes: 8 << 10,
        body_bytes: None,
        buffered: 64 << 20,
        handshakes: 100,
    };
    Plan {
        generation: 1,
        workers: 1,
        admin: Admin::default(),
        limits,
        overload: Default::default(),
        access_log: AccessLog { write: LogWrite::Off, to: LogTarget::Stdout, one_in: 100 },
        listeners: Vec::new(),
        routes: Vec::new(),
        router: Router::compile(&[]),
        pools,
        error_pages: Vec::new(),
        secret: None,
    }
}

/// A pool without a check; its backends are 127.0.0.1:1000 and the ports after it.
pub(crate) fn pool(name: &str, backends: u16) -> Pool {
    let backend = |n| backend(Address::Ip(SocketAddr::from(([127, 0, 0, 1], 1000 + n))));
    Pool {
        name: name.to_owned(),
        policy: PolicyKind::RoundRobin,
        backends: (0..backends).map(backend).collect(),
        health: None,
        eject: None,
        breaker: None,
        panic: policy::plan::Panic::default(),
        host: None,
        send_proxy: None,
        forwarded: false,
        idle_connections: 8,
        idle_timeout: None,
        queue: policy::plan::Queue::default(),
        slow_start: None,
        spill_over: None,
        subset: None,
        tls: None,
    }
}

/// A backend that is wanted ready.
pub(crate) fn backend(address: Address) -> Backend {
    Backend {
        name: address.to_string(),
        address,
        weight: 1,
        tier: 0,
        state: Wanted::Ready,
        max_requests: None,
        caps: Default::default(),
        tls: false,
        http2: false,
    }
}

/// A quick check.
pub(crate) fn check(kind: ProbeKind) -> HealthCheck {
    let interval = Duration::from_millis(100);
    let timeout = Duration::from_secs(5);
    HealthCheck { interval, interval_in_doubt: interval / 3, timeout, fall: 2, ..HealthCheck::new(kind) }
}

/// A backend that answers every request with a status that can be changed, and counts.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    status: Arc<AtomicU16>,
    seen: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (status, seen) = (Arc::new(AtomicU16::new(status)), Arc::new(AtomicUsize::new(0)));
        let server = Self { addr, status: Arc::clone(&status), seen: Arc::clone(&seen) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = [0; 4096];
                let read = stream.read(&mut head).unwrap_or(0);
                if read == 0 {
                    continue;
                }
                seen.fetch_add(1, Ordering::SeqCst);
                let status = status.load(Ordering::SeqCst);
                let answer = format!("HTTP/1.1 {status} Sample\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).ok();
            }
        });
        server
    }

    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }

    pub(crate) fn backend(&self) -> Backend {
        backend(Address::Ip(self.addr))
    }
}

/// Waits for a condition, for far longer than it should take.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
