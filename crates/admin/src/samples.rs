//! A status for tests, each number its own; and a small plan.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use control::{
    BackendStatus, CertificateStatus, CircuitFigures, ListenerStatus, PoolStatus, Position, ProcessState,
    ProcessStatus, QueueFigures, State, Status, TlsStatus,
};
use policy::plan::{
    AccessLog, Address, Admin, Backend, HealthCheck, Limits, LogTarget, LogWrite, Plan, PolicyKind, Pool, Wanted,
};
use policy::route::Router;

pub(crate) fn status() -> Status {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    Status {
        process: process(at(1_800_000_000)),
        listeners: vec![listener()],
        routes: vec![control::RouteStatus { name: "route 1 (/api/*)".to_owned(), limited: 45, would_limit: 46 }],
        pools: vec![PoolStatus {
            name: "app".to_owned(),
            policy: "round-robin",
            queue: QueueFigures {
                waiting: 22,
                queued: 23,
                full: 24,
                shed: 29,
                surge: true,
                timeouts: 25,
                longest: Duration::from_micros(26_500),
            },
            circuit: Some(CircuitFigures {
                position: Position::Open,
                reason: "60 of 80 attempts failed".to_owned(),
                since: at(1_800_000_003),
                until: Some(at(1_800_000_004)),
                openings: 32,
            }),
            circuit_refused: 33,
            backends: vec![ready(at(1_800_000_001)), down(at(1_800_000_002))],
        }],
    }
}

fn process(started: SystemTime) -> ProcessStatus {
    ProcessStatus {
        version: "0.1.0",
        pid: 4711,
        state: ProcessState::Ready,
        started,
        uptime: Duration::from_millis(61_500),
        generation: 1,
        workers: 2,
        connections: 12,
        connections_limit: 100_000,
        access_log_lost: 3,
        forgotten_credits: 31,
        blocks: 33,
        buffered_bytes: 34,
        buffered_limit: 64 << 20,
        unbuffered: 35,
        overload: control::OverloadStatus {
            short_of: Some(policy::overload::Shortage::Memory),
            share: 125,
            lag: Duration::from_millis(32),
            memory_bytes: 33 << 20,
            memory_limit: 34 << 20,
            descriptors: 35,
            descriptors_limit: 0,
            shed: [[36, 37, 38], [39, 40, 41], [42, 43, 44]],
        },
    }
}

fn certificate() -> CertificateStatus {
    CertificateStatus {
        name: "shop.example".to_owned(),
        names: vec!["shop.example".to_owned(), "*.shop.example".to_owned()],
        kind: "ecdsa",
        issuer: "CN=An Authority".to_owned(),
        serial: "0a1b".to_owned(),
        file: "/etc/evenkeel/certs/shop.pem".into(),
        not_after: 2_000_000_000,
        stapled: true,
    }
}

fn listener() -> ListenerStatus {
    ListenerStatus {
        name: "web".to_owned(),
        addresses: vec!["0.0.0.0:80".to_owned(), "unix:/run/web.sock".to_owned()],
        connections: 12,
        accepted: 200,
        denied: 4,
        over_limit: 5,
        requests: 1010,
        refused: 6,
        limited: 28,
        would_limit: 29,
        over_client_limit: 30,
        calls: 40,
        failed_calls: 4,
        http2: 25,
        calmed: 2,
        shed: 31,
        slow_bodies: 32,
        slow_readers: 33,
        blocked: 34,
        interim: 7,
        status_2xx: 990,
        status_3xx: 8,
        status_4xx: 9,
        status_5xx: 10,
        aborted: 11,
        truncated: 13,
        tunnels: 14,
        handshakes: 50,
        resumed: 51,
        handshake_failures: 52,
        handshake_timeouts: 53,
        handshakes_refused: 54,
        plain_requests: 55,
        tls: Some(TlsStatus {
            preset: "intermediate",
            certificates: vec![certificate()],
            reloads: 56,
            failed_reloads: 57,
            error: None,
        }),
    }
}

fn ready(since: SystemTime) -> BackendStatus {
    BackendStatus {
        name: "10.0.0.11:8080".to_owned(),
        address: "10.0.0.11:8080".to_owned(),
        resolved: Some("10.0.0.11:8080".to_owned()),
        weight: 2,
        weight_permille: 1000,
        tier: 0,
        max_requests: Some(27),
        max_connections: Some(28),
        state: State::Ready,
        reason: "1 probe passed".to_owned(),
        since,
        until: None,
        ejections: 3,
        false_ejections: 1,
        active: 3,
        idle: 15,
        attempts: 1020,
        requests: 1000,
        errors: 16,
        failures: 17,
        faults: 5,
        retries: 18,
        hedges: 34,
        hedges_won: 35,
        overtaken: 36,
        connects: 19,
        sent_bytes: 20,
        received_bytes: 21,
        first_byte_us: 2_500_000,
        calls: [30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0],
    }
}

fn down(since: SystemTime) -> BackendStatus {
    BackendStatus {
        name: "b".to_owned(),
        address: "app.internal:8080".to_owned(),
        resolved: None,
        max_requests: None,
        max_connections: None,
        state: State::Down,
        reason: "1 probe failed: name does not resolve".to_owned(),
        requests: 0,
        first_byte_us: 0,
        ..ready(since)
    }
}

/// A plan with one pool, without listeners and routes.
pub(crate) fn plan(pool: Pool) -> Plan {
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
        pools: vec![pool],
        error_pages: Vec::new(),
        secret: None,
    }
}

/// A pool of one backend.
pub(crate) fn pool(addr: SocketAddr, health: Option<HealthCheck>) -> Pool {
    let address = Address::Ip(addr);
    Pool {
        name: "app".to_owned(),
        policy: PolicyKind::RoundRobin,
        backends: vec![Backend {
            name: address.to_string(),
            address,
            weight: 1,
            tier: 0,
            state: Wanted::Ready,
            max_requests: None,
            caps: Default::default(),
            tls: false,
            http2: false,
        }],
        health,
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
