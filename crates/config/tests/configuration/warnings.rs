//! Warnings: each known mistake is told, and its innocent twin is not.

use super::{FRONT, POOL, codes, outcome_of, told};

/// A mistake is told with exactly this code, its twin not at all, and allowing the code silences it.
fn assert_warns(code: &str, mistake: &str, innocent: &str) {
    let wrong = outcome_of(mistake);
    assert!(wrong.plan.is_some(), "{}", told(&wrong));
    assert_eq!(codes(&wrong), [code], "{}", told(&wrong));
    assert!(wrong.diagnostics[0].remedy.is_some() && wrong.diagnostics[0].place.is_some());
    let right = outcome_of(innocent);
    assert!(right.plan.is_some(), "{}", told(&right));
    assert_eq!(codes(&right), [""; 0], "{}", told(&right));
    let allowed = outcome_of(&format!("check.allow = [\"{code}\"]\n{mistake}"));
    assert_eq!(codes(&allowed), [""; 0], "{}", told(&allowed));
}

/// The same around routes.
fn assert_warns_of_route(code: &str, mistake: &str, innocent: &str) {
    let around = |routes: &str| {
        format!(
            "{FRONT}{POOL}[pool.beta]\nbackends = [\"c:1\", \"d:1\"]\n[[route]]\npath = \"/beta/*\"\npool = \"beta\"\n{routes}"
        )
    };
    assert_warns(code, &around(mistake), &around(innocent));
}

#[test]
fn one_backend() {
    let mistake = format!("{FRONT}[pool.app]\nbackends = [\"a:1\"]\n");
    assert_warns("one-backend", &mistake, &format!("{FRONT}{POOL}"));
    insta::assert_snapshot!(told(&outcome_of(&mistake)), @r#"
    warning: pool `app` has one backend: when `a:1` fails, there is nowhere to go
     --> evenkeel.toml:4:7
      |
    4 | [pool.app]
      |       ^^^
      |
      = add a second one, or allow it: `[check] allow = ["one-backend"]`
    "#);
}

#[test]
fn health_off() {
    assert_warns(
        "health-off",
        &format!("{FRONT}{POOL}health = \"off\"\n"),
        &format!("{FRONT}{POOL}health = \"/healthz\"\n"),
    );
}

#[test]
fn tcp_only_check() {
    assert_warns(
        "tcp-only-check",
        &format!("{FRONT}{POOL}health = \"tcp\"\n"),
        &format!("{FRONT}{POOL}health = \"alive\"\n"),
    );
    let long = format!("{FRONT}{POOL}health = {{ tcp = true }}\n");
    assert_eq!(codes(&outcome_of(&long)), ["tcp-only-check"]);
}

#[test]
fn health_interval() {
    assert_warns(
        "health-interval",
        &format!("{FRONT}{POOL}health = {{ interval = \"1s\", timeout = \"2s\" }}\n"),
        &format!("{FRONT}{POOL}health = {{ interval = \"2s\", timeout = \"2s\" }}\n"),
    );
}

#[test]
fn a_loop() {
    let with = |bind: &str, backend: &str| {
        format!("[listener.web]\nbind = \"{bind}\"\npool = \"app\"\n[pool.app]\nbackends = [\"{backend}\", \"b:1\"]\n")
    };
    assert_warns("loop", &with(":80", "127.0.0.1:80"), &with(":80", "127.0.0.1:81"));
    assert_warns("loop", &with(":80", "localhost:80"), &with("10.0.0.1:80", "localhost:80"));
    assert_warns("loop", &with("10.0.0.1:80", "10.0.0.1:80"), &with("10.0.0.1:80", "10.0.0.2:80"));
    assert_warns("loop", &with("unix:/a", "unix:/a"), &with("unix:/a", "unix:/b"));
    assert_warns("loop", &with("[::]:80", "[::1]:80"), &with("[::]:80", "127.0.0.1:80"));
}

#[test]
fn no_ready_backend() {
    let with = |second: &str| {
        format!(
            "{FRONT}[pool.app]\nbackends = [{{ address = \"a:1\", state = \"down\" }}, {{ address = \"b:1\", state = \"{second}\" }}]\n"
        )
    };
    assert_warns("no-ready-backend", &with("drained"), &with("ready"));
}

#[test]
fn unused_pool() {
    let unused = format!("{FRONT}{POOL}[pool.beta]\nbackends = [\"c:1\", \"d:1\"]\n");
    assert_warns(
        "unused-pool",
        &unused,
        &format!("{unused}[[route]]\npath = \"/b/*\"\npools = {{ app = 1, beta = 1 }}\n"),
    );
}

#[test]
fn unreachable_listener() {
    let idle = format!(
        "{FRONT}{POOL}[listener.idle]\nbind = \":81\"\n[[route]]\nlistener = \"web\"\npath = \"/x/*\"\npool = \"app\"\n"
    );
    assert_warns("unreachable-listener", &idle, &idle.replace("\"web\"", "[\"web\", \"idle\"]"));
}

#[test]
fn trusts_everybody() {
    for net in ["0.0.0.0/0", "::/0"] {
        let mistake = format!("{FRONT}trusted_proxies = [\"10.0.0.0/8\", \"{net}\"]\n{POOL}");
        assert_warns("trusts-everybody", &mistake, &mistake.replace(net, "192.168.0.0/16"));
    }
}

#[test]
fn timeout_off() {
    for key in ["header", "body"] {
        let mistake = format!("{FRONT}timeouts = {{ {key} = \"off\" }}\n{POOL}");
        assert_warns("timeout-off", &mistake, &mistake.replace(key, "tunnel"));
    }
}

#[test]
fn admin_beyond_loopback() {
    let mistake = format!("{FRONT}{POOL}[admin]\nbind = \"10.0.0.1:9900\"\ntoken = \"x\"\n");
    assert_warns("admin-beyond-loopback", &mistake, &mistake.replace("10.0.0.1", "127.0.0.2"));
}

#[test]
fn shadowed_by_the_same_match() {
    assert_warns_of_route(
        "shadowed-route",
        "[[route]]\npath = \"/a/*\"\npool = \"app\"\n[[route]]\npath = \"/a/*\"\npool = \"beta\"\n",
        "[[route]]\npath = \"/a/*\"\npool = \"app\"\n[[route]]\npath = \"/a/*\"\nmethods = \"POST\"\npool = \"beta\"\n",
    );
}

#[test]
fn shadowed_by_priority() {
    assert_warns_of_route(
        "shadowed-route",
        "[[route]]\npath = \"/a/b/*\"\npool = \"app\"\n[[route]]\npriority = 1\npath = \"/a/*\"\npool = \"beta\"\n",
        "[[route]]\npath = \"/a/b/*\"\npool = \"app\"\n[[route]]\npath = \"/a/*\"\npool = \"beta\"\n",
    );
}

#[test]
fn shadowed_on_every_host_and_path() {
    let first = "[[route]]\nhost = [\"a.example\", \"b.example\"]\npath = \"/a/*\"\npool = \"app\"\n";
    assert_warns_of_route(
        "shadowed-route",
        &format!("{first}[[route]]\nhost = [\"b.example\", \"a.example\"]\npath = \"/a/*\"\nclient = \"10.0.0.0/8\"\npool = \"beta\"\n").replace("client = \"10.0.0.0/8\"\n", ""),
        &format!("{first}[[route]]\nhost = [\"b.example\", \"c.example\"]\npath = \"/a/*\"\npool = \"beta\"\n"),
    );
}

#[test]
fn a_route_on_another_listener_or_client_is_not_shadowed() {
    for condition in ["listener = \"web\"", "client = \"10.0.0.0/8\"", "headers = { x = true }", "query = { x = true }"]
    {
        let text = format!(
            "{FRONT}{POOL}[[route]]\npath = \"/a/*\"\n{condition}\npool = \"app\"\n[[route]]\npath = \"/a/*\"\npool = \"app\"\n"
        );
        assert_eq!(codes(&outcome_of(&text)), [""; 0], "{}", told(&outcome_of(&text)));
    }
}

#[test]
fn header_only_canary() {
    let canary = "[[route]]\nheaders = { x-canary = true }\npool = \"beta\"\n";
    let path = "[[route]]\npath = \"/api/*\"\npool = \"app\"\n";
    let beta = "[pool.beta]\nbackends = [\"c:1\", \"d:1\"]\n";
    let mistake = format!("{FRONT}{POOL}{beta}{canary}{path}");
    assert_warns("header-only-canary", &mistake, &mistake.replace("headers", "priority = 1\nheaders"));
    assert_warns(
        "header-only-canary",
        &mistake,
        &mistake.replace("path = \"/api/*\"", "path = \"/api/*\"\nheaders = { y = true }"),
    );
    assert_warns(
        "header-only-canary",
        &mistake,
        &mistake.replace("path = \"/api/*\"\npool = \"app\"", "path = \"/api/*\"\npool = \"beta\""),
    );
    insta::assert_snapshot!(told(&outcome_of(&mistake)), @r"
    warning: route 2 (/api/*) at evenkeel.toml:11 is more specific and takes its requests whatever the headers say
     --> evenkeel.toml:8:1
      |
    8 | [[route]]
      | ^^^^^^^^^
      |
      = give this route `priority = 1`
    ");
}

#[test]
fn header_only_canary_beside_a_host() {
    let with = |host: &str| {
        format!(
            "{FRONT}{POOL}[pool.beta]\nbackends = [\"c:1\", \"d:1\"]\n[[route]]\n{host}cookies = {{ beta = true }}\npool = \"beta\"\n\
             [[route]]\nhost = \"shop.example\"\npool = \"app\"\n"
        )
    };
    assert_warns("header-only-canary", &with(""), &with("host = \"shop.example\"\n"));
    assert_warns("header-only-canary", &with(""), &with("host = \"other.example\"\n"));
}

#[test]
fn path_without_star() {
    let with = |rest: &str| {
        format!("[listener.web]\nbind = \":80\"\n{POOL}[[route]]\npath = \"/api\"\npool = \"app\"\n{rest}")
    };
    assert_warns("path-without-star", &with(""), &with("[[route]]\npath = \"/api/*\"\npool = \"app\"\n"));
    assert_warns("path-without-star", &with(""), &with("[[route]]\npath = \"/*\"\npool = \"app\"\n"));
    assert_warns("path-without-star", &with(""), &with("").replace("/api", "/robots.txt"));
    assert_warns("path-without-star", &with(""), &with("").replace("/api", "/"));
    assert_warns(
        "path-without-star",
        &with(""),
        &with("").replace("pool = \"app\"\n", "answer = { body = \"x\" }\n").replace(POOL, ""),
    );
}

#[test]
fn every_warning_has_its_test() {
    let tests = [include_str!("warnings.rs"), include_str!("tls.rs")].concat();
    let reference = config::reference();
    let warnings = reference.split("## Warnings").nth(1).unwrap();
    let codes = warnings.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for code in codes {
        assert!(tests.contains(&format!("\"{code}\"")), "{code}");
    }
}
