//! Errors: all at once, each with its place and its remedy.

use std::path::Path;

use config::source::Memory;
use config::{Severity, load};

use super::{FRONT, POOL, codes, outcome_of, outcome_with, told};

/// Compares what is told of a file with the committed text.
fn assert_told(name: &str, text: &str) {
    let outcome = outcome_of(text);
    assert!(outcome.plan.is_none());
    assert!(outcome.diagnostics.iter().all(|one| one.severity == Severity::Error));
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, told(&outcome));
    });
}

#[test]
fn unknown_keys_name_the_nearest() {
    assert_told(
        "unknown_keys",
        r#"
colour = "red"
[listner.web]
bind = ":80"
[listener.web]
listen = ":80"
bind = ":80"
health = "/healthz"
timeouts = { haeder = "1s" }
[pool.app]
polcy = "random"
servers = ["a:1"]
backends = ["a:1", { adress = "b:1", address = "c:1" }]
[[route]]
path = "/x"
polo = "app"
pool = "app"
retry = { tires = 2 }
"#,
    );
}

#[test]
fn wrong_types_say_what_is_expected() {
    assert_told(
        "wrong_types",
        r#"
runtime = 3
[limits]
connections = "100"
header_fields = 0
header_bytes = 32
[access_log]
write = "everything"
one_in = 1.5
[check]
allow = ["one-backends"]
[listener.web]
bind = 80
pool = ["app"]
proxy_protocol = "yes"
timeouts = { header = 10, body = 0, tunnel = true }
[pool]
app = "10.0.0.1:80"
[route]
path = "/"
"#,
    );
}

#[test]
fn values_that_cannot_be_read_say_how_to_write_them() {
    assert_told(
        "bad_values",
        r#"
[admin]
bind = "localhost:9900"
socket = "run/admin.sock"
[limits]
header_bytes = "32k"
body_bytes = "0B"
[errors]
5xx = "file:a.html"
503 = "a.html"
[listener.web]
bind = ["8080", "*:81", "127.0.0.1", "/run/x.sock", ":99999"]
allow = ["10.0.0.5/8", "everybody"]
timeouts = { header = "10 s", body = "0s", keep_alive = "1.5s", tunnel = "forever" }
[pool."a b"]
backends = ["10.0.0.1", "http://app/x", "app:0", { address = "b:1", weight = 0, tier = 256, state = "up" }]
health = "healthz"
host = "a b"
policy = "rondom"
retry = { tries = 0, on = ["resets", 200], budget = 101, body_buffer = "1GiB" }
"#,
    );
}

#[test]
fn policies_that_cannot_be_read_say_how_to_write_them() {
    assert_told(
        "bad_policies",
        r#"
[listener.web]
bind = ":80"
pool = "a"
[pool.a]
policy = { bounded = 1.25 }
backends = ["a:1"]
[pool.b]
policy = { hash = "client", maglev = "path" }
backends = ["a:1"]
[pool.c]
policy = { hash = "header", bounded = 1 }
backends = ["a:1"]
[pool.d]
policy = { maglev = "cookie:a;b", bounded = "1.5" }
backends = ["a:1"]
[pool.e]
policy = { hash = "x-user", bounded = 1.333, key = "path" }
backends = ["a:1"]
[pool.f]
policy = "hash"
backends = ["a:1"]
[pool.g]
policy = "ewma"
backends = ["a:1"]
[pool.h]
policy = { hash = "header:host", bounded = "${env:NONE:-1.25x}" }
backends = ["a:1"]
"#,
    );
}

#[test]
fn routes_that_cannot_be_read_say_how_to_write_them() {
    assert_told(
        "bad_routes",
        &format!(
            r#"{FRONT}{POOL}
[[route]]
host = ["*", "shop.example:443", "www.*", ""]
path = ["api", "/api*", "/a/*/b", "/a/../b", "/a b", "/a?b=1", {{ regex = "(" }}]
methods = ["get"]
headers = {{ host = "x", "a b" = "c", x = {{ regex = "[" }}, y = {{}} }}
client = "10.0.0.300"
pool = "app"
[[route]]
path = "/a"
pool = "app"
rewrite = "/v2/*"
[[route]]
path = "/b/*"
pool = "app"
rewrite = {{ regex = "/b/(.*)", to = "/$2" }}
[[route]]
path = "/c/*"
redirect = {{ to = "www.example", status = 304 }}
[[route]]
path = "/d/*"
redirect = "https://{{hots}}{{path}}"
[[route]]
path = []
answer = {{ status = 204, body = "x" }}
[[route]]
pool = "app"
priority = 3_000_000
request_headers = {{ set = {{ content-length = "3", host = "x" }}, add = {{ x = "a\nb" }}, remove = ["connection", ":path"] }}
response_headers = {{ set = {{ x = "{{" }} }}
"#
        ),
    );
}

#[test]
fn names_that_lead_nowhere_name_the_nearest() {
    assert_told(
        "unknown_names",
        r#"
[listener.web]
bind = ":80"
pool = "ap"
[[route]]
listener = "wev"
path = "/a"
pool = "zebra"
[[route]]
pools = { app = 1, appp = 1 }
[[route]]
paths = { "/x/*" = "pai" }
[pool.app]
backends = ["a:1"]
[pool.api]
backends = ["a:1"]
"#,
    );
}

#[test]
fn a_route_has_one_action_and_nothing_idle() {
    assert_told(
        "actions",
        &format!(
            r#"{FRONT}{POOL}
[[route]]
path = "/a"
[[route]]
pool = "app"
redirect = "/b"
[[route]]
answer = {{ status = 200 }}
retry = {{ tries = 1 }}
split = "client"
[[route]]
path = "/c"
paths = {{ "/d" = "app" }}
[[route]]
pools = {{ app = 0 }}
[[route]]
answer = {{ body = "x", file = "y" }}
[[route]]
name = "twice"
path = "/e"
pool = "app"
[[route]]
name = "twice"
path = "/f"
pool = "app"
"#
        ),
    );
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    assert_told(
        "not_available",
        r#"
[cluster]
secret = "x"
[reload]
watch = true
[listener.web]
bind = ":443"
tls = ["/etc/evenkeel/certs/"]
http_redirect = ":80"
hsts = "180d"
timeouts = { handshake = "10s" }
[listener.dns]
bind = ":8000-8010"
protocol = "udp"
sessions = 100
[[route]]
path = "/x"
pools = { app = 1, beta = 1 }
split = "sticky"
[pool.app]
backends = ["https://a", "srv:_http._tcp.app", { address = "b:1" }]
sticky = "cookie"
[pool.beta]
backends = ["a:1"]
health = "redis"
"#,
    );
}

#[test]
fn what_grpc_cannot_be_is_told() {
    assert_told(
        "bad_grpc",
        r#"
[listener.web]
bind = ":80"
pool = "a"
[[route]]
grpc = ["/shop.Orders", "shop.Orders/*", "shop.Orders"]
pool = "a"
[[route]]
grpc = []
pool = "a"
[[route]]
grpc = "shop.Orders"
path = "/x"
pool = "b"
[pool.a]
backends = ["h2c://a:1", "b:1"]
health = { grpc = "shop.Orders" }
retry = { grpc = ["ok", "UNAVAILABLE"] }
[pool.b]
backends = ["h2c://a:2"]
health = { grpc = true, tcp = true, status = 200 }
eject = { grpc = ["unavailible"] }
"#,
    );
}

#[test]
fn parts_of_a_pool_that_make_no_sense_are_told() {
    assert_told(
        "bad_parts",
        r#"
[listener.web]
bind = ":80"
pool = "a"
[pool.a]
policy = { hash = "client", among = 3, bounded = 1.25 }
backends = ["a:1", "b:1"]
spill_over = { below = 50 }
subset = { size = 0 }
[pool.b]
policy = { among = 3 }
backends = ["a:1", { address = "b:1", tier = 1 }]
spill_over = { below = 101, ful = true }
subset = 20
"#,
    );
}

#[test]
fn buffers_that_cannot_be_are_told() {
    assert_told(
        "buffers",
        r#"
[limits]
buffered = "1MiB"
[listener.web]
bind = ":8080"
pool = "app"
[[route]]
path = "/a"
pool = "app"
buffer = { request = "2MiB" }
[[route]]
path = "/b"
pool = "app"
buffer = { response = "64KiB", beyond = "refuse" }
[[route]]
path = "/c"
answer = { status = 410 }
buffer = true
[[route]]
path = "/d"
pool = "app"
buffer = { requests = "1MiB", beyond = "drop" }
[[route]]
path = "/e"
pool = "app"
buffer = "1MiB"
[pool.app]
backends = ["a:1", "b:1"]
"#,
    );
}

#[test]
fn a_wrong_word_for_what_may_be_a_table_shows_the_table() {
    assert_told(
        "word_for_a_table",
        r#"
[listener.web]
bind = ":80"
pool = "a"
[pool.a]
backends = ["a:1", "b:1"]
breaker = "on"
eject = "of"
"#,
    );
}

#[test]
fn limits_that_limit_nothing_are_told() {
    assert_told(
        "limits_of_nothing",
        r#"
[listener.web]
bind = ":8080"
pool = "app"
limits = { rate = "100", by = "route" }
[listener.behind]
bind = ":8081"
pool = "app"
proxy_protocol = true
trusted_proxies = "10.0.0.0/8"
limits = { client_connections = 10 }
[[route]]
path = "/a"
pool = "app"
urgency = "urgent"
limits = { burst = 5, dry_run = true }
[[route]]
path = "/b"
pool = "app"
limits = { rate = "5/s", by = "header:no good" }
[pool.app]
backends = ["10.0.0.11:8080", "10.0.0.12:8080"]
queue = { size = 5 }
"#,
    );
}

#[test]
fn bad_caps_and_overload_are_told_by_key() {
    assert_told(
        "bad_caps",
        r#"
[overload]
lag = "1ms"
memory = 99
descriptors = "none"
[limits]
memory = "off"
[listener.web]
bind = ":80"
pool = "app"
[pool.app]
max_requests = { min = 50, max = 5 }
max_connections = 0
backends = ["a:1", { address = "b:1", max_requests = "many" }, { address = "c:1", max_requests = { least = 4 } }]
"#,
    );
}

#[test]
fn bad_checks_are_told_by_key() {
    assert_told(
        "bad_checks",
        r#"
[listener.web]
bind = ":80"
pool = "a"
[pool.a]
backends = ["a:1", "b:1"]
health = { http = "/x", send = "x", status = ["100-200", 700], body = "", method = "get", headers = { host = "x" } }
[pool.b]
backends = ["a:1", "b:1"]
health = { tcp = true, body = "x", send = '\q', expect = { regex = "(" } }
[pool.c]
backends = ["a:1", "unix:/run/c.sock"]
health = { port = 81, status = 200 }
[pool.d]
backends = ["a:1", "unix:/run/d.sock"]
health = { port = 81 }
[pool.e]
backends = ["a:1", "b:1"]
health = { http = "/x", method = "HEAD", body = "x", status = [] }
"#,
    );
}

#[test]
fn tries_that_cannot_be_made_are_told() {
    assert_told(
        "tries",
        r#"
[listener.web]
bind = ":80"
[pool.app]
backends = ["10.0.0.1:80", "10.0.0.2:80"]
retry = { tries = 1, per_try = "1s" }
[pool.api]
backends = ["10.0.1.1:80", "10.0.1.2:80"]
retry = { on = ["reset", 503], per_try = "0s" }
[pool.slow]
backends = ["10.0.2.1:80", "10.0.2.2:80"]
retry = { on = ["reset", 503], per_try = "off" }
[[route]]
path = "/a"
pool = "slow"
retry = { per_try = "1s" }
"#,
    );
}

#[test]
fn bad_breakers_are_told() {
    assert_told(
        "breakers",
        r#"
[listener.web]
bind = ":80"
pool = "app"
[pool.app]
backends = ["10.0.0.1:80", "10.0.0.2:80"]
breaker = { failure_rate = 0, requests = 0, for = "1m", max_for = "1s", trials = 0, statuses = [200] }
panic = "spred"
[pool.api]
backends = ["10.0.1.1:80", "10.0.1.2:80"]
breaker = { for = "1m", window = "off" }
[pool.on]
backends = ["10.0.2.1:80", "10.0.2.2:80"]
breaker = "on"
[pool.long]
backends = ["10.0.3.1:80", "10.0.3.2:80"]
breaker = { for = "1m" }
"#,
    );
}

#[test]
fn bad_hedges_are_told() {
    assert_told(
        "hedges",
        r#"
[listener.web]
bind = ":80"
[pool.app]
backends = ["10.0.0.1:80", "10.0.0.2:80"]
hedge = { after = "p100", budget = 0 }
[pool.api]
backends = ["10.0.1.1:80", "10.0.1.2:80"]
hedge = { after = "200" }
retry = { tries = 1 }
[pool.one]
backends = ["10.0.2.1:80", "10.0.2.2:80"]
hedge = "p95"
[pool.two]
backends = ["10.0.3.1:80", "10.0.3.2:80"]
retry = { tries = 1 }
[[route]]
path = "/a"
pool = "two"
hedge = {}
[[route]]
path = "/b"
pool = "two"
hedge = "off"
[[route]]
path = "/c"
hedge = { after = "p99" }
redirect = "/d"
"#,
    );
}

#[test]
fn what_is_there_twice_is_told_with_the_first() {
    assert_told(
        "duplicates",
        r#"
[admin]
bind = "127.0.0.1:80"
[listener.web]
bind = [":8080", "0.0.0.0:8080"]
pool = "app"
[listener.other]
bind = ["127.0.0.1:80", ":8080"]
pool = "app"
[pool.app]
backends = ["a:1", "A:1", { address = "b:1", name = "x" }, { address = "c:1", name = "x" }, "http://a:1"]
"#,
    );
}

#[test]
fn what_must_be_there_is_asked_for() {
    assert_told(
        "missing",
        r#"
[admin]
bind = ":9900"
[listener.web]
pool = "app"
proxy_protocol = true
[listener.none]
bind = []
pool = "empty"
[[route]]
redirect = { status = 301 }
[pool.app]
[pool.empty]
backends = []
[pool.other]
backends = [{ name = "a" }]
health = { http = "/a", tcp = true }
"#,
    );
}

#[test]
fn an_empty_file_gets_an_example() {
    assert_told("empty", "");
}

#[test]
fn limits_and_token_fit_together() {
    assert_told(
        "limits",
        &format!("{FRONT}{POOL}[limits]\nheader_bytes = \"4KiB\"\ntarget_bytes = \"8KiB\"\n[admin]\ntoken = \"\"\n"),
    );
}

#[test]
fn a_small_head_narrows_the_default_target() {
    let plan = super::plan_of(&format!("{FRONT}{POOL}[limits]\nheader_bytes = \"4KiB\"\n"));
    assert_eq!(plan.limits.target_bytes, 4 << 10);
}

#[test]
fn syntax_errors_are_told_together_with_what_they_cannot_have_caused() {
    assert_told(
        "syntax",
        r#"
[listener.web]
bind = ":80"
pool = "app"
timeouts = { header = 10s }
[pool.app]
polcy = "random"
health = "/healthz
backends = ["a:1"]
backends = ["b:1"]
[limits
connections = 7
colour = 1
"#,
    );
}

#[test]
fn a_syntax_error_causes_no_others() {
    let text = format!("{FRONT}[pool.app\nbackends = [\"a:1\"]\n");
    assert_eq!(codes(&outcome_of(&text)), ["syntax"]);
    let text = format!("{FRONT}{POOL}policy = \"ran\ncolour = 1\n");
    assert_eq!(codes(&outcome_of(&text)), ["syntax", "unknown-key"]);
}

#[test]
fn one_mistake_is_told_once() {
    for (text, code) in [
        (format!("{POOL}[listener.web]\nbind = \":x\"\npool = \"app\"\n"), "bad-value"),
        (format!("{FRONT}[pool.app]\nbackends = 3\n"), "wrong-type"),
        (format!("{FRONT}[pool.app]\nbackends = [\"x\"]\n"), "bad-value"),
        (format!("{FRONT}{POOL}[[route]]\npool = 3\n"), "wrong-type"),
        (format!("{FRONT}{POOL}[[route]]\nhost = \"*\"\npool = \"app\"\n"), "bad-value"),
        (format!("{FRONT}{POOL}health = {{ http = 3 }}\n"), "wrong-type"),
        (format!("{FRONT}{POOL}[admin]\nbind = \":9900\"\ntoken = \"a b\"\n"), "bad-value"),
        (format!("{FRONT}{POOL}[[route]]\nanswer = 404\n"), "wrong-type"),
        ("listener = 3\n".to_owned(), "wrong-type"),
    ] {
        assert_eq!(codes(&outcome_of(&text)), [code], "{text}\n{}", told(&outcome_of(&text)));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let outcome = load(Path::new("/etc/evenkeel/evenkeel.toml"), &Memory::new());
    insta::assert_snapshot!(told(&outcome), @r"
    error: cannot read /etc/evenkeel/evenkeel.toml: no such file
     |
     = name another file with `-c FILE`
    ");
}

#[test]
fn a_page_that_cannot_be_read_is_told_at_its_place() {
    let text = format!("{FRONT}{POOL}[errors]\n503 = \"file:pages/sorry.html\"\n");
    let outcome = load(Path::new("/etc/evenkeel.toml"), &Memory::new().file("/etc/evenkeel.toml", text));
    insta::assert_snapshot!(told(&outcome), @r#"
    error: cannot read /etc/pages/sorry.html: no such file
     --> /etc/evenkeel.toml:7:7
      |
    7 | 503 = "file:pages/sorry.html"
      |       ^^^^^^^^^^^^^^^^^^^^^^^
      |
      = paths are relative to the folder of this file
    "#);
}

#[test]
fn a_hostile_value_cannot_speak_to_the_terminal() {
    let outcome = outcome_with("\"\\u001b[2J\" = 1\n", Memory::new());
    assert!(!told(&outcome).contains('\u{1b}'));
}

#[test]
fn an_access_log_goes_to_a_file_that_can_be_named() {
    for to in ["", " ", "\\n", "a\\u0000b"] {
        let outcome = outcome_of(&format!("{FRONT}{POOL}[access_log]\nto = \"{to}\"\n"));
        assert_eq!(codes(&outcome), ["bad-value"], "{to:?}");
    }
}
