//! Temporary bench front.
use policy::plan::*;
use std::sync::Arc;
use std::time::Duration;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let ports: Vec<u16> = a[2]
        .split(',')
        .flat_map(|r| {
            let mut i = r.split('-').map(|x| x.parse::<u16>().unwrap());
            let f = i.next().unwrap();
            let t = i.next().unwrap_or(f);
            f..=t
        })
        .collect();
    let kind = match a.get(3).map(String::as_str) {
        Some("lc") => PolicyKind::LeastRequests,
        _ => PolicyKind::RoundRobin,
    };
    let s = |n| Some(Duration::from_secs(n));
    let target = Target {
        pool: PoolId(0),
        timeouts: BackendTimeouts { connect: s(2), first_byte: s(30), idle: s(60), total: None },
        retry: Retry {
            tries: 3,
            connect: true,
            reset: true,
            timeout: true,
            statuses: vec![502, 503],
            budget_percent: 20,
            body_buffer: 65536,
        },
    };
    let routes = vec![Route {
        name: "x".into(),
        matches: vec![Match { priority: i32::MIN, listeners: vec![ListenerId(0)], ..Match::default() }],
        action: Action::Pool(target),
        rewrite: None,
        request_headers: HeaderRules::default(),
        response_headers: HeaderRules::default(),
        body_bytes: None,
    }];
    let plan = Plan {
        generation: 1,
        workers: 1,
        admin: Admin::default(),
        limits: Limits {
            connections: 100_000,
            header_bytes: 32768,
            header_fields: 100,
            target_bytes: 8192,
            body_bytes: None,
        },
        access_log: AccessLog { write: LogWrite::Errors, to: LogTarget::Stdout, one_in: 100 },
        listeners: vec![Listener {
            name: "web".into(),
            binds: vec![Bind::Tcp { addr: format!("127.0.0.1:{}", a[1]).parse().unwrap(), v6_only: false }],
            access: Default::default(),
            proxy_protocol: false,
            trusted_proxies: Default::default(),
            timeouts: ClientTimeouts { header: s(10), body: s(30), keep_alive: s(300), tunnel: s(3600) },
        }],
        router: policy::route::Router::compile(&routes),
        routes,
        pools: vec![Pool {
            name: "app".into(),
            policy: kind,
            backends: ports
                .iter()
                .map(|p| Backend {
                    name: format!("b{p}"),
                    address: Address::Ip(format!("127.0.0.1:{p}").parse().unwrap()),
                    weight: 1,
                    tier: 0,
                    state: Wanted::Ready,
                })
                .collect(),
            health: None,
            host: None,
            send_proxy: None,
            forwarded: false,
            idle_connections: 4096,
            idle_timeout: s(300),
        }],
        error_pages: vec![],
    };
    let plan = Arc::new(plan);
    let w = std::env::var("W").ok().and_then(|w| w.parse().ok()).unwrap_or(1);
    let groups = engine::listen::bind_all(&plan, w).unwrap();
    let (tx, mut rx) = tokio::sync::mpsc::channel(1000);
    let e = engine::Engine::start(plan.clone(), groups, w, tx).unwrap();
    for i in 0..plan.pools[0].backends.len() {
        e.shared().pools[0].set_standing(i, policy::balance::Standing::Ready);
    }
    while let Some(r) = rx.blocking_recv() {
        eprintln!("{r:?}");
    }
}
