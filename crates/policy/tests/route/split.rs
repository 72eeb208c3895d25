//! Where a route's action leads: the pool, or an arm of its split.

use std::net::{IpAddr, Ipv4Addr};

use policy::plan::{
    AccessLog, Action, Address, Admin, Backend, BackendTimeouts, FieldTest, Limits, LogTarget, LogWrite, Match, Panic,
    Plan, PolicyKind, Pool, PoolId, Retry, Route, RouteId, SplitBy, Target, Wanted,
};
use policy::rng::Rng;
use policy::route::Router;
use policy::split::{Throw, salt, target};

use crate::build::{Narrow, is, on, pattern, route};

fn leads_to(pool: u32) -> Target {
    let timeouts = BackendTimeouts { connect: None, first_byte: None, idle: None, total: None };
    let retry = Retry {
        tries: 1,
        per_try: None,
        connect: false,
        reset: false,
        timeout: false,
        statuses: Vec::new(),
        grpc: Default::default(),
        budget_percent: 20,
        body_buffer: 0,
    };
    Target { pool: PoolId(pool), timeouts, retry, hedge: None }
}

fn pool(name: &str) -> Pool {
    let backend = Backend {
        name: "b".into(),
        address: Address::Name("b.example".into(), 80),
        weight: 1,
        tier: 0,
        state: Wanted::Ready,
        max_requests: None,
        caps: Default::default(),
        tls: false,
        http2: false,
    };
    Pool {
        name: name.into(),
        policy: PolicyKind::RoundRobin,
        backends: vec![backend],
        health: None,
        eject: None,
        host: None,
        send_proxy: None,
        forwarded: false,
        idle_connections: 1,
        idle_timeout: None,
        queue: policy::plan::Queue::default(),
        slow_start: None,
        spill_over: None,
        subset: None,
        tls: None,
        breaker: None,
        panic: Panic::default(),
    }
}

fn plan(routes: Vec<Route>, pools: &[&str]) -> Plan {
    Plan {
        generation: 1,
        workers: 1,
        admin: Admin::default(),
        limits: Limits {
            connections: 1,
            header_bytes: 1,
            header_fields: 1,
            target_bytes: 1,
            body_bytes: None,
            buffered: 1,
            handshakes: 100,
        },
        overload: Default::default(),
        access_log: AccessLog { write: LogWrite::Off, to: LogTarget::Stdout, one_in: 1 },
        listeners: Vec::new(),
        router: Router::compile(&routes),
        routes,
        pools: pools.iter().map(|name| pool(name)).collect(),
        error_pages: Vec::new(),
        secret: None,
    }
}

fn acts(wanted: Match, action: Action) -> Route {
    Route { action, ..route([wanted]) }
}

fn halves(by: SplitBy) -> Action {
    Action::Split { by, arms: vec![(1, leads_to(0)), (1, leads_to(1))] }
}

/// The pools that the first 200 clients get, one request each.
fn pools_of(plan: &Plan, route: u32) -> Vec<String> {
    let mut rng = Rng::new(1);
    let client = |n| IpAddr::V4(Ipv4Addr::from_bits(n));
    let of = |n| target(plan, RouteId(route), &mut Throw { client: client(n), rng: &mut rng }).map(|it| it.pool);
    (0..200).filter_map(of).map(|id| plan.pool(id).name.clone()).collect()
}

#[test]
fn a_pool_takes_all_and_an_own_answer_needs_none() {
    let plan = plan(vec![acts(on("", ""), Action::Pool(leads_to(1))), route([on("", "")])], &["app", "beta"]);
    assert_eq!(pools_of(&plan, 0), vec!["beta"; 200]);
    assert!(pools_of(&plan, 1).is_empty());
}

#[test]
fn a_split_by_request_changes_for_one_client_and_one_by_client_does_not() {
    let routes = vec![acts(on("", ""), halves(SplitBy::Request)), acts(on("", ""), halves(SplitBy::Client))];
    let plan = plan(routes, &["app", "beta"]);
    let mut rng = Rng::new(3);
    let mut arms = |route| {
        let client = Ipv4Addr::LOCALHOST.into();
        let mut seen: Vec<u32> = (0..100)
            .filter_map(|_| target(&plan, RouteId(route), &mut Throw { client, rng: &mut rng }))
            .map(|target| target.pool.0)
            .collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    assert_eq!(arms(0), [0, 1]);
    assert_eq!(arms(1).len(), 1);
}

#[test]
fn clients_stay_when_routes_and_pools_change_places_in_the_file() {
    let split = || acts(on("shop.example", "/*"), halves(SplitBy::Client));
    let before = plan(vec![split()], &["app", "beta"]);
    let moved = Action::Split { by: SplitBy::Client, arms: vec![(1, leads_to(2)), (1, leads_to(1))] };
    let after = plan(vec![route([]), acts(on("shop.example", "/*"), moved)], &["new", "app", "beta"]);
    assert_eq!(pools_of(&before, 0), pools_of(&after, 1));
}

#[test]
fn different_routes_split_their_clients_differently() {
    let routes =
        vec![acts(on("a.example", ""), halves(SplitBy::Client)), acts(on("b.example", ""), halves(SplitBy::Client))];
    let plan = plan(routes, &["app", "beta"]);
    let same = pools_of(&plan, 0).iter().zip(pools_of(&plan, 1)).filter(|(a, b)| *a == b).count();
    assert!((60..140).contains(&same), "{same} of 200");
}

#[test]
fn every_condition_is_part_of_the_salt() {
    let narrowed = [
        on("", ""),
        on("a.example", ""),
        on("*.a.example", ""),
        on("", "/a"),
        on("", "/a/*"),
        on("", "~/a"),
        on("", "").method("GET"),
        on("", "").header("x", is("1")),
        on("", "").header("x", is("2")),
        on("", "").header("x", FieldTest::Present),
        on("", "").header("x", FieldTest::Absent),
        on("", "").header("x", FieldTest::Regex(pattern("1"))),
        on("", "").query("x", is("1")),
        on("", "").cookie("x", is("1")),
    ];
    let mut salts: Vec<u64> = narrowed.iter().map(|it| salt(&route([it.clone()]))).collect();
    assert_eq!(salts[0], salt(&route([on("", "")])));
    salts.sort_unstable();
    salts.dedup();
    assert_eq!(salts.len(), narrowed.len());
}
