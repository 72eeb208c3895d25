//! What a good file becomes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::source::Memory;
use config::{Severity, load};
use policy::ask::Wish;
use policy::hashing::{Bound, HashKey, Hashing};
use policy::limit::{By, Mode, Rate, RateLimit};
use policy::plan::*;

use super::{FRONT, POOL, outcome_of, plan_in, plan_of, told};

/// The contract's example and more, without what is not built yet.
pub(super) const EXAMPLE: &str = include_str!("example.toml");

pub(super) fn sources() -> Memory {
    Memory::new()
        .file("evenkeel.toml", EXAMPLE)
        .file("conf.d/shop.toml", "[pool.beta]\nbackends = [\"10.0.2.1:80\", \"unix:/run/beta.sock\"]\n")
        .file("/etc/evenkeel/token", "s3cret\n")
        .file("blocked.txt", "# from the firewall\n198.51.100.0/24\n2001:db8::/32 # v6\n")
        .file("sorry.html", "<h1>back soon</h1>\n")
        .variable("PORT", "8081")
}

fn example() -> Plan {
    plan_in(load(Path::new("evenkeel.toml"), &sources()))
}

/// Where a route leads to, with the terms that hold on this way.
fn target(plan: &Plan, route: usize) -> &Target {
    match &plan.routes[route].action {
        Action::Pool(target) => target,
        action => panic!("route {route} leads to no pool: {action:?}"),
    }
}

#[test]
fn the_example_has_neither_errors_nor_warnings() {
    assert_eq!(told(&load(Path::new("evenkeel.toml"), &sources())), "");
}

#[test]
fn the_example_becomes_its_plan() {
    let plan = example();
    assert_eq!(plan.generation, 1);
    assert_eq!(plan.workers, 0);
    assert_eq!(plan.admin.bind, ["127.0.0.1:9900".parse::<SocketAddr>().unwrap()]);
    assert_eq!(plan.admin.socket, Some(PathBuf::from("/run/evenkeel/admin.sock")));
    assert_eq!(plan.admin.token.as_deref(), Some("s3cret"));
    assert_eq!(plan.limits.connections, 50_000);
    assert_eq!(plan.limits.header_bytes, 32 << 10);
    assert_eq!(plan.limits.body_bytes, None);
    assert_eq!(plan.access_log.write, LogWrite::Sampled);
    assert_eq!(plan.access_log.to, LogTarget::File("/var/log/evenkeel.log".into()));
    assert_eq!(plan.error_pages[0].status, 503);
    assert_eq!(plan.error_pages[0].content_type, "text/html; charset=utf-8");
    assert_eq!(plan.error_pages[0].body, b"<h1>back soon</h1>\n");
    let names: Vec<&str> = plan.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["app", "api", "beta"]);
}

#[test]
fn listeners_have_both_families_access_lists_and_timeouts() {
    let plan = example();
    let web = &plan.listeners[0];
    assert_eq!(web.binds[0], Bind::Tcp { addr: "[::]:80".parse().unwrap(), v6_only: false });
    assert_eq!(web.binds[1], Bind::Tcp { addr: "127.0.0.1:8081".parse().unwrap(), v6_only: false });
    assert!(!web.access.admits("203.0.113.9".parse().unwrap()));
    assert!(!web.access.admits("198.51.100.1".parse().unwrap()));
    assert!(!web.access.admits("2001:db8::1".parse().unwrap()));
    assert!(web.access.admits("192.0.2.1".parse().unwrap()));
    assert!(web.trusted_proxies.contains("10.1.2.3".parse().unwrap()));
    assert!(web.proxy_protocol);
    assert_eq!(web.timeouts.header, Some(Duration::from_secs(5)));
    assert_eq!(web.timeouts.body, Some(Duration::from_secs(30)));
    assert_eq!(web.timeouts.tunnel, None);
    assert_eq!(plan.listeners[1].binds, [Bind::Unix("/run/front.sock".into())]);
}

#[test]
fn routes_keep_their_order_and_default_pools_come_last() {
    let plan = example();
    let names: Vec<&str> = plan.routes.iter().map(|route| route.name.as_str()).collect();
    insta::assert_debug_snapshot!(names, @r#"
    [
        "route 1 (shop.example/api/*, …)",
        "route 2 (/old/*)",
        "route split (new.example)",
        "route 4 (docs.example/api/*)",
        "route 4 (docs.example/*)",
        "route 5 (/status)",
        "route 6 (~/user/[0-9]+)",
        "listener web",
        "listener inside",
    ]
    "#);
    let last = &plan.routes[7].matches[0];
    assert_eq!((last.priority, last.listeners.as_slice()), (i32::MIN, [ListenerId(0)].as_slice()));
}

#[test]
fn a_route_matches_each_of_its_hosts_and_paths() {
    let plan = example();
    let route = &plan.routes[0];
    assert_eq!(route.matches.len(), 2);
    let found = &route.matches[1];
    assert_eq!(found.host, HostMatch::Wildcard("shop.example".to_owned()));
    assert!(matches!(&found.path, PathMatch::Prefix(path) if path == "/api"));
    assert_eq!(found.methods.iter().map(|method| method.name.as_str()).collect::<Vec<_>>(), ["GET", "PURGE"]);
    let headers: Vec<&str> = found.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(headers, ["x-beta-user", "x-debug", "x-internal", "user-agent"]);
    assert!(matches!(&found.headers[0].test, FieldTest::Exact(value) if value == "true"));
    assert!(matches!(found.headers[1].test, FieldTest::Present));
    assert!(matches!(found.headers[2].test, FieldTest::Absent));
    assert!(matches!(&found.headers[3].test, FieldTest::Regex(pattern) if pattern.regex.is_match(b"x Mobile y")));
    assert!(found.clients.as_ref().unwrap().contains("10.0.0.1".parse().unwrap()));
}

#[test]
fn a_route_is_stronger_than_its_pool() {
    let plan = example();
    let Action::Pool(target) = &plan.routes[0].action else { panic!() };
    assert_eq!(plan.pool(target.pool).name, "beta");
    assert_eq!(target.timeouts.first_byte, Some(Duration::from_secs(300)));
    assert_eq!(target.timeouts.connect, Some(Duration::from_secs(2)));
    assert_eq!(target.retry.tries, 1);
    assert_eq!(target.retry.statuses, [502, 503]);
    assert_eq!(plan.routes[0].body_bytes, Some(10 << 20));
    let Action::Pool(target) = &plan.routes[7].action else { panic!() };
    assert_eq!(target.timeouts.first_byte, Some(Duration::from_secs(20)));
    assert_eq!(target.timeouts.total, Some(Duration::from_secs(60)));
    assert_eq!(target.retry.statuses, [503]);
    assert!(target.retry.connect && !target.retry.reset && !target.retry.timeout);
    assert_eq!(target.retry.body_buffer, 0);
}

#[test]
fn actions() {
    let plan = example();
    let Action::Redirect(redirect) = &plan.routes[1].action else { panic!() };
    assert_eq!(redirect.status, 302);
    assert_eq!(redirect.to.0, [Piece::Text("https://new.example".to_owned()), Piece::Rest, Piece::Query]);
    let Action::Split { by, arms } = &plan.routes[2].action else { panic!() };
    assert_eq!(*by, SplitBy::Client);
    assert_eq!(arms.iter().map(|(weight, _)| *weight).collect::<Vec<_>>(), [95, 5]);
    let Action::Answer(answer) = &plan.routes[5].action else { panic!() };
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"up".as_slice()));
    assert!(answer.headers.contains(&("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())));
    assert!(matches!(&plan.routes[6].rewrite, Some(Rewrite::Regex(_, to)) if to == "/people"));
    let rules = &plan.routes[0].request_headers;
    assert_eq!(rules.set[0].0, "x-team");
    assert_eq!(rules.set[0].1.0, [Piece::Text("shop".to_owned())]);
    assert_eq!(rules.remove, ["x-secret"]);
}

#[test]
fn pools_have_backends_checks_and_terms() {
    let plan = example();
    let app = &plan.pools[0];
    assert_eq!(app.policy, PolicyKind::LeastRequests);
    assert_eq!(app.backends[0].name, "10.0.0.11:8080");
    assert_eq!((app.backends[1].name.as_str(), app.backends[1].weight, app.backends[1].tier), ("b", 2, 1));
    assert_eq!(app.backends[1].state, Wanted::Drained);
    assert_eq!(app.host.as_deref(), Some("app.internal"));
    assert_eq!(app.send_proxy, Some(ProxyVersion::V2));
    assert!(app.forwarded);
    assert_eq!(app.idle_connections, 64);
    assert_eq!(app.idle_timeout, Some(Duration::from_secs(10)));
    let check = app.health.as_ref().unwrap();
    assert_eq!(check.kind, ProbeKind::Http(Box::new(Question::get("/healthz"))));
    assert_eq!((check.interval, check.timeout), (Duration::from_secs(5), Duration::from_millis(500)));
    assert_eq!((check.fall, check.rise), (2, 1));
    let hashing = Hashing { key: HashKey::Cookie("session".to_owned()), bound: Some(Bound(125)), among: 1 };
    assert_eq!(plan.pools[1].policy, PolicyKind::Hash(hashing));
    assert_eq!(plan.pools[1].health.as_ref().unwrap().kind, ProbeKind::Alive);
    assert_eq!(plan.pools[1].backends[0].address, Address::Name("api.internal".to_owned(), 80));
}

fn check_of(health: &str) -> HealthCheck {
    let text = format!(
        "[listener.web]\nbind = \":80\"\npool = \"app\"\n[pool.app]\nbackends = [\"a:1\", \"b:1\"]\n[pool.app.health]\n{health}\n"
    );
    plan_of(&text).pools[0].health.clone().unwrap()
}

#[test]
fn check_of_http_says_what_is_asked_and_what_passes() {
    let check = check_of(
        r#"
http = "/deep?db=1"
method = "POST"
host = "probe.example:81"
headers = { X-Probe = "1" }
status = [204, "300-302"]
body = { regex = "ok|fine" }
port = 8081
interval = "9s"
start_up = "30s"
"#,
    );
    let ProbeKind::Http(question) = &check.kind else { panic!() };
    assert_eq!((question.method.as_str(), question.path.as_str()), ("POST", "/deep?db=1"));
    assert_eq!(question.host.as_deref(), Some("probe.example:81"));
    assert_eq!(question.headers, [("x-probe".to_owned(), "1".to_owned())]);
    let accepted: Vec<u16> = (200..=599).filter(|status| question.accepts(*status)).collect();
    assert_eq!(accepted, [204, 300, 301, 302]);
    let body = question.body.as_ref().unwrap();
    assert!(body.is_in(b"all is fine here") && !body.is_in(b"failed"));
    assert_eq!((check.port, check.interval_in_doubt), (Some(8081), Duration::from_secs(3)));
    assert_eq!(check.start_up, Duration::from_secs(30));
}

#[test]
fn check_may_ask_for_less() {
    let check = check_of(
        "http = \"/x\"\ndegraded_on = 429\ndegraded_weight = 20\ndrain_on = [410, \"510-511\"]\nagent = { port = 9999 }",
    );
    let ProbeKind::Http(question) = &check.kind else { panic!() };
    let asked: Vec<_> = [200, 410, 429, 510, 512].iter().map(|status| question.asked_by(*status)).collect();
    assert_eq!(asked, [None, Some(Wish::Drain), Some(Wish::Part(200)), Some(Wish::Drain), None]);
    assert_eq!(check.agent, Some(Agent { port: 9999, interval: Duration::from_secs(5) }));
}

#[test]
fn check_of_tcp_may_be_a_dialogue() {
    let check = check_of("tcp = true\nsend = 'PING\\r\\n\\x00'\nexpect = \"+PONG\"\ninterval_in_doubt = \"100ms\"");
    let expect = Some(Expected::Text(b"+PONG".to_vec()));
    assert_eq!(check.kind, ProbeKind::Talk(Talk { send: b"PING\r\n\0".to_vec(), expect }));
    assert_eq!(check.interval_in_doubt, Duration::from_millis(100));
    assert_eq!(check_of("tcp = true").kind, ProbeKind::Tcp);
}

#[test]
fn usual_terms_of_a_check_are_those_of_the_file() {
    assert_eq!(check_of(""), HealthCheck::new(ProbeKind::Alive));
    assert_eq!(check_of("http = \"/x\""), HealthCheck::new(ProbeKind::Http(Box::new(Question::get("/x")))));
}

#[test]
fn caps_and_limits_are_off_until_written() {
    let plan = plan_of("listener.web = { bind = \":8080\", pool = \"app\" }\npool.app.backends = [\"a:1\", \"b:1\"]\n");
    assert!(plan.pools[0].backends.iter().all(|backend| backend.max_requests.is_none()));
    assert_eq!((plan.listeners[0].limit.as_ref(), plan.listeners[0].client_connections), (None, None));
    assert!(plan.routes[0].limit.is_none());
}

#[test]
fn caps_and_limits_as_written() {
    let plan = plan_of(
        r#"
[listener.web]
bind = ":8080"
pool = "app"
limits = { rate = "1000/s", by = "listener", client_connections = 100 }
[[route]]
path = "/api/*"
pool = "app"
urgency = "high"
limits = { rate = "30/m", burst = 5, by = "header:X-Api-Key", dry_run = true }
[pool.app]
backends = ["a:1", { address = "b:1", max_requests = 7, max_connections = 9 }]
max_requests = 100
max_connections = 200
queue = { size = 5, timeout = "off", shed = false }
"#,
    );
    let app = &plan.pools[0];
    assert_eq!([app.backends[0].max_requests, app.backends[1].max_requests], [Some(100), Some(7)]);
    assert_eq!([app.backends[0].caps.max_connections, app.backends[1].caps.max_connections], [Some(200), Some(9)]);
    assert_eq!(app.queue, Queue { size: 5, timeout: None, shed: false });
    assert_eq!(plan.routes[0].urgency, Urgency::High);
    let rate = Rate { requests: 30, window: Duration::from_secs(60), burst: 5 };
    let limit = RateLimit { rate, by: By::Header("x-api-key".to_owned()), mode: Mode::DryRun };
    assert_eq!(plan.routes[0].limit, Some(limit));
    let rate = Rate { requests: 1000, window: Duration::from_secs(1), burst: 1000 };
    assert_eq!(plan.listeners[0].limit, Some(RateLimit { rate, by: By::All, mode: Mode::Enforce }));
    assert_eq!(plan.listeners[0].client_connections, Some(100));
}

#[test]
fn each_policy_is_read() {
    let policy = |written: &str| {
        let text = format!("{FRONT}{POOL}policy = {written}\n");
        plan_of(&text).pools.remove(0).policy
    };
    for name in ["round-robin", "random", "least-requests", "power-of-two", "peak-ewma", "ip-hash", "maglev", "first"] {
        assert_eq!(policy(&format!("\"{name}\"")).name(), name);
    }
    let hashing = |key, bound| Hashing { key, bound, among: 1 };
    assert_eq!(policy("\"maglev\""), PolicyKind::Maglev(hashing(HashKey::Client, None)));
    assert_eq!(policy("{ maglev = \"path\" }"), PolicyKind::Maglev(hashing(HashKey::Path, None)));
    let user = HashKey::Header("x-user".to_owned());
    assert_eq!(policy("{ hash = \"header:X-User\", bounded = 2 }"), PolicyKind::Hash(hashing(user, Some(Bound(200)))));
    assert_eq!(
        policy("{ hash = \"query:${env:NAME:-id}\", bounded = \"${env:BOUND:-1.5}\" }"),
        PolicyKind::Hash(hashing(HashKey::Query("id".to_owned()), Some(Bound(150))))
    );
}

#[test]
fn keys_among_several_tiers_that_spill_over_and_subsets() {
    let plan = plan_of(
        r#"
[listener.web]
bind = ":8080"
pool = "app"
[pool.app]
policy = { hash = "client", among = 3 }
backends = ["a:1", { address = "b:1", tier = 1 }]
spill_over = { below = 60, full = true }
subset = { size = 5, node = "${env:POD:-n1}" }
[pool.other]
backends = ["a:1", { address = "b:1", tier = 1 }]
spill_over = {}
subset = {}
[[route]]
path = "/o"
pool = "other"
"#,
    );
    let [app, other] = plan.pools.as_slice() else { panic!() };
    assert_eq!(app.policy, PolicyKind::Hash(Hashing { key: HashKey::Client, bound: None, among: 3 }));
    assert_eq!(app.spill_over, Some(SpillOver { below_percent: 60, full: true }));
    assert_eq!(app.subset, Some(Subset { size: 5, node: Some("n1".to_owned()) }));
    assert_eq!(other.spill_over, Some(SpillOver { below_percent: 70, full: false }));
    assert_eq!(other.subset, Some(Subset { size: 20, node: None }));
}

#[test]
fn buffers_as_written() {
    let plan = plan_of(
        r#"
[limits]
buffered = "128MiB"
[listener.web]
bind = ":8080"
pool = "app"
[[route]]
path = "/plain"
pool = "app"
buffer = true
[[route]]
paths = { "/up/*" = "app", "/in/*" = "app" }
buffer = { request = "10MiB", beyond = "refuse" }
[[route]]
path = "/down"
pool = "app"
buffer = { response = "64KiB" }
[[route]]
path = "/off"
pool = "app"
buffer = false
[pool.app]
backends = ["a:1", "b:1"]
"#,
    );
    let of = |request, beyond, response| Buffer { request, beyond, response };
    let plain = of(1 << 20, Beyond::Stream, 256 << 10);
    let up = of(10 << 20, Beyond::Refuse, 0);
    let down = of(0, Beyond::Stream, 64 << 10);
    let off = Buffer::default();
    assert_eq!(plan.limits.buffered, 128 << 20);
    assert_eq!(plan.routes.iter().map(|route| route.buffer).collect::<Vec<_>>(), [plain, up, up, down, off, off]);
}

#[test]
fn caps_that_find_themselves() {
    let plan = plan_of(
        "listener.web = { bind = \":8080\", pool = \"app\" }\n[pool.app]\nmax_requests = \"auto\"\n\
         backends = [\"a:1\", { address = \"b:1\", max_requests = { max = 50 } }, { address = \"c:1\", max_requests = 9 }]\n\
         queue = { size = 10 }\n",
    );
    let caps = |index: usize| (plan.pools[0].backends[index].max_requests, plan.pools[0].backends[index].caps.adaptive);
    assert_eq!(caps(0), (None, Some(Adaptive { min: 4, max: 1000 })));
    assert_eq!(caps(1), (None, Some(Adaptive { min: 4, max: 50 })));
    assert_eq!(caps(2), (Some(9), None));
}

#[test]
fn overload_is_watched_for_unless_it_is_off() {
    let base = "listener.web = { bind = \":8080\", pool = \"app\" }\npool.app.backends = [\"a:1\", \"b:1\"]\n";
    assert_eq!(plan_of(base).overload, Overload::default());
    let written = "[overload]\nlag = \"off\"\nmemory = 90\ndescriptors = \"off\"\n[limits]\nmemory = \"2GiB\"\n";
    let wanted = Overload { lag: None, memory: Some(90), descriptors: None, memory_bytes: Some(2 << 30) };
    assert_eq!(plan_of(&format!("{base}{written}")).overload, wanted);
}

#[test]
fn three_lines_are_a_configuration() {
    let plan = plan_of("listener.web = { bind = \":8080\", pool = \"app\" }\npool.app.backends = [\"a:1\", \"b:1\"]\n");
    assert_eq!(plan.routes.len(), 1);
    assert_eq!(plan.pools[0].idle_connections, 256);
    assert_eq!(plan.limits.target_bytes, 8 << 10);
}

#[test]
fn a_listener_needs_no_pool_when_a_route_answers() {
    let plan = plan_of("[listener.web]\nbind = \":80\"\n[[route]]\nredirect = \"https://{host}{path}{query}\"\n");
    assert!(plan.pools.is_empty());
    assert!(matches!(&plan.routes[0].action, Action::Redirect(redirect) if redirect.status == 308));
}

#[test]
fn what_proxy_stands_for_is_an_ordinary_file() {
    let text = config::proxy_config(":8080", &["a:1".to_owned(), "b:1".to_owned()], Some("random"), Some("/healthz"));
    insta::assert_snapshot!(text, @r#"
    [listener.proxy]
    bind = ":8080"
    pool = "app"

    [pool.app]
    backends = ["a:1", "b:1"]
    policy = "random"
    health = "/healthz"
    "#);
    let plan = plan_of(&text);
    assert_eq!(plan.pools[0].policy, PolicyKind::Random);
    let bad = outcome_of(&config::proxy_config("${env:X}\"", &[], None, None));
    assert!(bad.plan.is_none());
    assert!(
        bad.diagnostics
            .iter()
            .all(|one| one.severity == Severity::Error && one.code != "syntax" && one.code != "unset")
    );
}

#[test]
fn a_route_overrides_what_it_writes_of_its_pools_retries() {
    let plan = plan_of(
        r#"
[listener.web]
bind = ":80"
pool = "app"
[pool.app]
backends = ["10.0.0.1:80", "10.0.0.2:80"]
retry = { tries = 2, per_try = "1s", on = ["timeout"], budget = 5, body_buffer = "1KiB" }
[[route]]
path = "/all"
pool = "app"
retry = { tries = 4, per_try = "2s", on = ["timeout", 500], budget = 7, body_buffer = "off" }
[[route]]
path = "/off"
pool = "app"
retry = { per_try = "off" }
"#,
    );
    let retry = |route: usize| target(&plan, route).retry.clone();
    let terms = |retry: &Retry| (retry.tries, retry.per_try, retry.budget_percent, retry.body_buffer);
    let seconds = |n| Some(Duration::from_secs(n));
    assert_eq!(terms(&retry(0)), (4, seconds(2), 7, 0));
    assert_eq!((retry(0).timeout, retry(0).reset, retry(0).statuses), (true, false, vec![500]));
    assert_eq!(terms(&retry(1)), (2, None, 5, 1024));
    assert_eq!(terms(&retry(2)), (2, seconds(1), 5, 1024));
    assert_eq!((retry(2).timeout, retry(2).reset, retry(2).statuses), (true, false, Vec::new()));
}

#[test]
fn a_breaker_has_what_it_says_and_defaults_for_the_rest() {
    let plan = plan_of(
        r#"
[listener.web]
bind = ":80"
pool = "app"
[pool.app]
backends = ["10.0.0.1:80", "10.0.0.2:80"]
breaker = { failure_rate = 80, for = "2s", statuses = [500] }
panic = "refuse"
[pool.plain]
backends = ["10.0.1.1:80", "10.0.1.2:80"]
[[route]]
path = "/plain"
pool = "plain"
"#,
    );
    let seconds = Duration::from_secs;
    let breaker = Breaker {
        failure_percent: 80,
        requests: 50,
        window: seconds(5),
        time: seconds(2),
        max_time: seconds(30),
        trials: 3,
        statuses: vec![500],
        grpc: [wire::grpc::Status::Unavailable].into_iter().collect(),
    };
    assert_eq!((plan.pools[0].breaker.as_ref(), plan.pools[0].panic), (Some(&breaker), Panic::Refuse));
    assert_eq!((plan.pools[1].breaker.as_ref(), plan.pools[1].panic), (None, Panic::Spread));
}

#[test]
fn hedging_is_off_until_chosen_by_a_pool_or_a_route() {
    let plan = plan_of(
        r#"
[listener.web]
bind = ":80"
pool = "app"
[pool.app]
backends = ["10.0.0.1:80", "10.0.0.2:80"]
[pool.fast]
backends = ["10.0.1.1:80", "10.0.1.2:80"]
hedge = { after = "p99.9", budget = 3 }
[[route]]
path = "/chosen"
pool = "app"
hedge = { after = "200ms" }
[[route]]
path = "/fast"
pool = "fast"
[[route]]
path = "/slow"
pool = "fast"
hedge = "off"
"#,
    );
    let hedge = |route: usize| target(&plan, route).hedge;
    let after = HedgeAfter::Time(Duration::from_millis(200));
    assert_eq!(hedge(0), Some(Hedge { after, budget_percent: 5 }));
    assert_eq!(hedge(1), Some(Hedge { after: HedgeAfter::Permille(999), budget_percent: 3 }));
    assert_eq!((hedge(2), hedge(3)), (None, None));
}
