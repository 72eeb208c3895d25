//! Routes, each condition of them, and splits.

use std::collections::BTreeMap;

use crate::harness::{Backend, Evenkeel, Setup};

/// A front whose pools answer with their names; `app` takes what no route takes.
struct Routed {
    front: Evenkeel,
    _backends: Vec<Backend>,
}

impl Routed {
    fn new(pools: &[&str], routes: &str) -> Self {
        let app = Backend::named("app");
        let named: Vec<Backend> = pools.iter().map(|name| Backend::named(name)).collect();
        let mut setup = Setup::new(&app).listener("trusted_proxies = [\"127.0.0.1\"]");
        for (name, backend) in pools.iter().zip(&named) {
            setup = setup.more_pool(name, backend);
        }
        let front = setup.more(routes).start();
        Self { front, _backends: named.into_iter().chain([app]).collect() }
    }

    /// The pool that a request with this target and these field lines gets to.
    #[track_caller]
    fn pool(&self, target: &str, fields: &str) -> String {
        let host = if fields.contains("Host:") { "" } else { "Host: shop.example\r\n" };
        let method_and_target = if target.contains(' ') { target.to_owned() } else { format!("GET {target}") };
        self.front.exchange(format!("{method_and_target} HTTP/1.1\r\n{host}{fields}\r\n")).body_text()
    }

    #[track_caller]
    fn expect(&self, cases: &[(&str, &str, &str)]) {
        for (target, fields, pool) in cases {
            assert_eq!(self.pool(target, fields), *pool, "{target} {fields:?}");
        }
    }
}

#[test]
fn host_is_matched_exactly_without_port_case_and_final_dot() {
    let routed = Routed::new(&["a"], "[[route]]\nhost = \"a.example\"\npool = \"a\"");
    routed.expect(&[
        ("/", "Host: a.example\r\n", "a"),
        ("/", "Host: A.EXAMPLE:8080\r\n", "a"),
        ("/", "Host: a.example.\r\n", "a"),
        ("/", "Host: b.a.example\r\n", "app"),
        ("/", "Host: a.example.org\r\n", "app"),
        ("http://a.example/", "Host: other.example\r\n", "a"),
    ]);
}

#[test]
fn wildcard_host_is_any_depth_below_and_the_longest_wins() {
    let routed = Routed::new(
        &["wide", "deep", "exact"],
        "[[route]]\nhost = \"*.example\"\npool = \"wide\"\n[[route]]\nhost = \"*.a.example\"\npool = \"deep\"\n\
         [[route]]\nhost = \"x.a.example\"\npool = \"exact\"",
    );
    routed.expect(&[
        ("/", "Host: b.example\r\n", "wide"),
        ("/", "Host: a.example\r\n", "wide"),
        ("/", "Host: c.b.example\r\n", "wide"),
        ("/", "Host: y.a.example\r\n", "deep"),
        ("/", "Host: z.y.a.example\r\n", "deep"),
        ("/", "Host: x.a.example\r\n", "exact"),
        ("/", "Host: example\r\n", "app"),
    ]);
}

#[test]
fn path_is_matched_exactly_by_segment_or_by_expression() {
    let routed = Routed::new(
        &["exact", "prefix", "long", "regex"],
        "[[route]]\npath = \"/a\"\npool = \"exact\"\n[[route]]\npath = \"/api/*\"\npool = \"prefix\"\n\
         [[route]]\npath = \"/api/v2/*\"\npool = \"long\"\n[[route]]\npath = { regex = \"/user/[0-9]+\" }\npool = \"regex\"",
    );
    routed.expect(&[
        ("/a", "", "exact"),
        ("/a?x=1", "", "exact"),
        ("/a/", "", "app"),
        ("/b/../a", "", "exact"),
        ("/api", "", "prefix"),
        ("/api/", "", "prefix"),
        ("/apix", "", "app"),
        ("/api/v1/x", "", "prefix"),
        ("/api/v2", "", "long"),
        ("/api/v2/x/../y", "", "long"),
        ("/api/v2/../v1", "", "prefix"),
        ("/user/12", "", "regex"),
        ("/user/12/photo", "", "app"),
        ("/x/%2e%2e/user/7", "", "regex"),
    ]);
}

#[test]
fn host_is_more_specific_than_path() {
    let routed = Routed::new(
        &["host", "path"],
        "[[route]]\npath = \"/a\"\npool = \"path\"\n[[route]]\nhost = \"shop.example\"\npool = \"host\"",
    );
    routed.expect(&[("/a", "", "host"), ("/a", "Host: b\r\n", "path")]);
}

#[test]
fn priority_comes_before_all_specificity() {
    let routed = Routed::new(
        &["canary", "exact"],
        "[[route]]\nhost = \"shop.example\"\npath = \"/a\"\npool = \"exact\"\n\
         [[route]]\npriority = 10\nheaders = { x-canary = true }\npool = \"canary\"",
    );
    routed.expect(&[("/a", "", "exact"), ("/a", "X-Canary: 1\r\n", "canary")]);
}

#[test]
fn method_is_matched() {
    let routed = Routed::new(
        &["write", "purge"],
        "[[route]]\nmethods = [\"POST\", \"PUT\"]\npool = \"write\"\n[[route]]\nmethods = \"PURGE\"\npool = \"purge\"",
    );
    routed.expect(&[
        ("GET /", "", "app"),
        ("POST /", "Content-Length: 0\r\n", "write"),
        ("PUT /", "Content-Length: 0\r\n", "write"),
        ("PURGE /", "", "purge"),
    ]);
}

#[test]
fn fields_are_matched_present_absent_exact_and_by_expression() {
    let routed = Routed::new(
        &["exact", "present", "absent", "regex"],
        "[[route]]\nheaders = { x-beta = \"yes\" }\npool = \"exact\"\n\
         [[route]]\npath = \"/p\"\nheaders = { x-debug = true }\npool = \"present\"\n\
         [[route]]\npath = \"/q\"\nheaders = { x-debug = false }\npool = \"absent\"\n\
         [[route]]\nheaders = { user-agent = { regex = \".*Mobile.*\" } }\npool = \"regex\"",
    );
    routed.expect(&[
        ("/", "X-Beta: yes\r\n", "exact"),
        ("/", "X-BETA: yes\r\n", "exact"),
        ("/", "X-Beta: no\r\n", "app"),
        ("/", "X-Beta: yes please\r\n", "app"),
        ("/p", "X-Debug:\r\n", "present"),
        ("/p", "", "app"),
        ("/q", "", "absent"),
        ("/q", "X-Debug: 1\r\n", "app"),
        ("/", "User-Agent: A Mobile thing\r\n", "regex"),
        ("/", "User-Agent: mobile\r\n", "app"),
    ]);
}

#[test]
fn query_is_matched_decoded() {
    let routed = Routed::new(
        &["two", "words", "there"],
        "[[route]]\nquery = { version = \"2\" }\npool = \"two\"\n[[route]]\nquery = { q = \"a b\" }\npool = \"words\"\n\
         [[route]]\npath = \"/p\"\nquery = { debug = true }\npool = \"there\"",
    );
    routed.expect(&[
        ("/?version=2", "", "two"),
        ("/?x=1&version=2&y", "", "two"),
        ("/?version=%32", "", "two"),
        ("/?version=22", "", "app"),
        ("/?q=a+b", "", "words"),
        ("/?q=a%20b", "", "words"),
        ("/p?debug", "", "there"),
        ("/p?debugging", "", "app"),
    ]);
}

#[test]
fn cookies_are_matched() {
    let routed = Routed::new(&["beta"], "[[route]]\ncookies = { beta = \"1\" }\npool = \"beta\"");
    routed.expect(&[
        ("/", "Cookie: beta=1\r\n", "beta"),
        ("/", "Cookie: a=2; beta=1; c=3\r\n", "beta"),
        ("/", "Cookie: a=2\r\nCookie: beta=1\r\n", "beta"),
        ("/", "Cookie: alphabeta=1\r\n", "app"),
        ("/", "Cookie: beta=2\r\n", "app"),
    ]);
}

#[test]
fn client_address_is_matched_as_trusted_proxies_tell_it() {
    let routed =
        Routed::new(&["office"], "[[route]]\nclient = [\"192.0.2.0/24\", \"2001:db8::/32\"]\npool = \"office\"");
    routed.expect(&[
        ("/", "", "app"),
        ("/", "X-Forwarded-For: 192.0.2.9\r\n", "office"),
        ("/", "X-Forwarded-For: 2001:db8::7\r\n", "office"),
        ("/", "X-Forwarded-For: 198.51.100.1\r\n", "app"),
    ]);
}

#[test]
fn all_conditions_of_a_route_must_hold() {
    let routed = Routed::new(
        &["all"],
        "[[route]]\nhost = \"a.example\"\npath = \"/x/*\"\nmethods = \"GET\"\nheaders = { x-a = \"1\" }\n\
         query = { q = true }\ncookies = { c = \"1\" }\npool = \"all\"",
    );
    let fields = ["Host: a.example\r\n", "X-A: 1\r\n", "Cookie: c=1\r\n"];
    assert_eq!(routed.pool("/x/y?q", &fields.concat()), "all");
    assert_eq!(routed.pool("/y?q", &fields.concat()), "app");
    assert_eq!(routed.pool("/x?r", &fields.concat()), "app");
    assert_eq!(routed.pool("/x?q", &fields[..2].concat()), "app");
    assert_eq!(routed.pool("/x?q", &[fields[0], fields[2]].concat()), "app");
}

#[test]
fn paths_are_shorthand_for_routes() {
    let routed = Routed::new(
        &["api", "rest"],
        "[[route]]\nhost = \"shop.example\"\npaths = { \"/api/*\" = \"api\", \"/*\" = \"rest\" }",
    );
    routed.expect(&[("/api/x", "", "api"), ("/x", "", "rest"), ("/x", "Host: b\r\n", "app")]);
}

#[test]
fn route_belongs_to_its_listeners() {
    let (app, other) = (Backend::named("app"), Backend::named("other"));
    let front = Setup::new(&app)
        .more_pool("other", &other)
        .more("[listener.second]\nbind = \"127.0.0.1:0\"\npool = \"app\"\n[[route]]\nlistener = \"second\"\npath = \"/x\"\npool = \"other\"")
        .start();
    let get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(front.exchange(get).body_text(), "app");
    assert_eq!(crate::harness::Wire::connect(front.address_of("second")).exchange(get).body_text(), "other");
}

#[test]
fn split_by_request_keeps_its_shares() {
    let routed = Routed::new(&["beta"], "[[route]]\npath = \"/*\"\npools = { app = 80, beta = 20 }");
    let mut client = routed.front.client();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..2000 {
        *seen.entry(client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").body_text()).or_default() += 1;
    }
    // Six standard deviations of 2,000 throws at a fifth are 107.
    assert!(seen["beta"].abs_diff(400) < 107, "{seen:?}");
}

#[test]
fn split_by_client_keeps_its_shares_and_each_client_its_pool() {
    let routed =
        Routed::new(&["beta"], "[[route]]\npath = \"/*\"\npools = { app = 50, beta = 50 }\nsplit = \"client\"");
    let mut beta = 0_u32;
    for client in 0..400_u32 {
        let fields = format!("X-Forwarded-For: 10.{}.{}.7\r\n", client / 200, client % 200);
        let first = routed.pool("/", &fields);
        assert_eq!(routed.pool("/again", &fields), first, "client {client}");
        beta += u32::from(first == "beta");
    }
    // Six standard deviations of 400 throws at a half are 60.
    assert!(beta.abs_diff(200) < 60, "{beta}");
}

#[test]
fn arm_without_weight_takes_nothing() {
    let routed = Routed::new(&["beta"], "[[route]]\npath = \"/*\"\npools = { app = 1, beta = 0 }");
    assert!((0..100).all(|_| routed.pool("/", "") == "app"));
}

/// A pool of three named backends under a policy, asked so often; how often each answered.
fn shares(policy: &str, backend_keys: [&str; 3], requests: usize) -> BTreeMap<String, usize> {
    let named: Vec<Backend> = ["one", "two", "three"].map(Backend::named).into();
    let tables: Vec<String> =
        named.iter().zip(backend_keys).map(|(b, keys)| format!("{{ address = \"{}\"{keys} }}", b.address)).collect();
    let app = Backend::named("app");
    let front = Setup::new(&app)
        .more(&format!(
            "[pool.three]\npolicy = \"{policy}\"\nhealth = \"off\"\nbackends = [{}]\n[[route]]\npath = \"/*\"\npool = \"three\"",
            tables.join(", ")
        ))
        .start();
    let mut client = front.client();
    let mut seen = BTreeMap::new();
    for _ in 0..requests {
        *seen.entry(client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").body_text()).or_default() += 1;
    }
    seen
}

#[test]
fn round_robin_shares_by_weight_exactly() {
    let seen = shares("round-robin", ["", ", weight = 2", ", weight = 3"], 600);
    assert_eq!((seen["one"], seen["two"], seen["three"]), (100, 200, 300));
}

#[test]
fn random_shares_by_weight() {
    let seen = shares("random", ["", "", ", weight = 2"], 2000);
    assert!(seen["three"].abs_diff(1000) < 135, "{seen:?}");
}

#[test]
fn first_takes_the_first_and_ip_hash_stays() {
    assert_eq!(shares("first", ["", "", ""], 50), BTreeMap::from([("one".to_owned(), 50)]));
    assert_eq!(shares("ip-hash", ["", "", ""], 50).len(), 1);
}

#[test]
fn higher_tiers_wait_until_lower_ones_are_out() {
    assert_eq!(shares("round-robin", [", tier = 1", "", ", tier = 1"], 50), BTreeMap::from([("two".to_owned(), 50)]));
    let seen = shares("round-robin", [", tier = 1", ", state = \"down\"", ", tier = 1"], 50);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["one", "three"]);
}
