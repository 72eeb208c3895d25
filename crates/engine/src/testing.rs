//! A plan and a worker for unit tests.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use policy::plan::{
    AccessLog, Action, Address, Admin, Backend, BackendTimeouts, ClientTimeouts, HeaderRules, Limits, Listener,
    ListenerId, LogTarget, LogWrite, Match, Plan, PolicyKind, Pool, PoolId, Retry, Route, Target, Wanted,
};
use policy::route::Router;
use tokio::net::UnixStream;

use crate::shared::Shared;
use crate::worker::{Seed, Worker};

const fn seconds(n: u64) -> Option<Duration> {
    Some(Duration::from_secs(n))
}

/// One listener, one route for everything, one pool.
pub(crate) fn plan(backends: &[SocketAddr]) -> Plan {
    let routes = vec![everything()];
    Plan {
        generation: 1,
        workers: 1,
        admin: Admin::default(),
        limits: Limits {
            connections: 100,
            header_bytes: 32 * 1024,
            header_fields: 100,
            target_bytes: 8192,
            body_bytes: None,
            buffered: 1 << 20,
            handshakes: 100,
        },
        overload: Default::default(),
        access_log: AccessLog { write: LogWrite::Off, to: LogTarget::Stdout, one_in: 1 },
        listeners: vec![listener()],
        router: Router::compile(&routes),
        routes,
        pools: vec![pool(backends)],
        error_pages: Vec::new(),
        secret: None,
    }
}

fn everything() -> Route {
    let retry = Retry {
        tries: 3,
        per_try: None,
        connect: true,
        reset: true,
        timeout: true,
        statuses: vec![502, 503],
        grpc: Default::default(),
        budget_percent: 20,
        body_buffer: 64 * 1024,
    };
    let timeouts = BackendTimeouts { connect: seconds(2), first_byte: seconds(5), idle: seconds(5), total: None };
    Route {
        name: "everything".to_owned(),
        matches: vec![Match { listeners: vec![ListenerId(0)], ..Match::default() }],
        action: Action::Pool(Target { pool: PoolId(0), timeouts, retry, hedge: None }),
        rewrite: None,
        request_headers: HeaderRules::default(),
        response_headers: HeaderRules::default(),
        body_bytes: None,
        buffer: Default::default(),
        urgency: Default::default(),
        limit: None,
    }
}

fn listener() -> Listener {
    Listener {
        name: "web".to_owned(),
        binds: Vec::new(),
        access: policy::access::AccessList::default(),
        proxy_protocol: false,
        trusted_proxies: policy::access::CidrSet::default(),
        timeouts: ClientTimeouts { header: seconds(5), body: seconds(5), keep_alive: seconds(5), tunnel: seconds(5) },
        floors: policy::pace::Floors::default(),
        limit: None,
        client_connections: None,
        tls: None,
        hsts: None,
    }
}

fn pool(backends: &[SocketAddr]) -> Pool {
    let backend = |addr: &SocketAddr| Backend {
        name: addr.to_string(),
        address: Address::Ip(*addr),
        weight: 1,
        tier: 0,
        state: Wanted::Ready,
        max_requests: None,
        caps: Default::default(),
        tls: false,
        http2: false,
    };
    Pool {
        name: "app".to_owned(),
        policy: PolicyKind::RoundRobin,
        backends: backends.iter().map(backend).collect(),
        health: None,
        eject: None,
        breaker: None,
        panic: policy::plan::Panic::default(),
        host: None,
        send_proxy: None,
        forwarded: false,
        idle_connections: 8,
        idle_timeout: seconds(5),
        queue: policy::plan::Queue::default(),
        slow_start: None,
        spill_over: None,
        subset: None,
        tls: None,
    }
}

/// A worker without thread or sockets, with what it reports.
pub(crate) fn worker(plan: Plan) -> (Rc<Worker>, tokio::sync::mpsc::Receiver<crate::Report>) {
    let (reports, received) = tokio::sync::mpsc::channel(100);
    let shared = Shared::new(&plan, 1);
    let seed = Seed { id: 0, plan: Arc::new(plan), shared, peers: Vec::new(), reports };
    (Worker::new(seed), received)
}

/// Runs a test on a runtime like that of a worker, for so long at most.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    const BOUND: Duration = Duration::from_secs(30);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
    let bounded = async { tokio::time::timeout(BOUND, test).await };
    runtime.expect("a runtime").block_on(bounded).expect("in time")
}

/// Two ends of a connection whose kernel buffers hold about so many bytes; 0 leaves them as they are.
pub(crate) fn pair(kernel_bytes: usize) -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().expect("a pair of sockets");
    if kernel_bytes > 0 {
        for end in [&a, &b] {
            socket2::SockRef::from(end).set_send_buffer_size(kernel_bytes).expect("a smaller buffer");
        }
    }
    (a, b)
}
