//! Requests on their way to a backend.

use proptest::prelude::*;
use wire::h1::{Parsed, parse_request};

use super::*;

/// How a request is sent on.
struct Way<'a> {
    peer: Peer,
    host: &'a str,
    request_id: Option<&'a str>,
    forwarded: bool,
    length: Option<u64>,
    rules: Rules,
}

impl Default for Way<'_> {
    fn default() -> Self {
        let peer = peer("203.0.113.9:4711", false);
        Self { peer, host: "a.test", request_id: None, forwarded: false, length: None, rules: Rules::none() }
    }
}

fn trusted() -> Way<'static> {
    Way { peer: peer("10.0.0.2:4711", true), ..Way::default() }
}

impl Way<'_> {
    /// What the backend gets of a request: its start line and fields (`Host` included).
    fn forward(&self, start: &str, fields: &str) -> Vec<String> {
        let text = format!("{start}\r\n{fields}\r\n");
        let mut request = Request::default();
        let parsed = parse_request(text.as_bytes(), &LIMITS, &mut request);
        assert_eq!(parsed, Ok(Parsed::Complete(text.len())), "{text}");
        let mut out = Vec::new();
        let head = RequestHead {
            deadline: None,
            identity: Default::default(),
            request: &request,
            buf: text.as_bytes(),
            peer: &self.peer,
            path: request.path(text.as_bytes()),
            host: self.host.as_bytes(),
            request_id: self.request_id.map(str::as_bytes),
            forwarded: self.forwarded,
            length: self.length,
            changes: self.rules.changes(),
        };
        put_request(&mut out, &head);
        lines(&out)
    }

    fn get(&self, fields: &str) -> Vec<String> {
        self.forward("GET / HTTP/1.1", &format!("Host: a.test\r\n{fields}"))
    }
}

#[test]
fn a_body_that_is_here_goes_as_so_many_bytes() {
    let way = Way { length: Some(4711), ..Way::default() };
    let chunked = way.forward("POST / HTTP/1.1", "Host: a.test\r\nTransfer-Encoding: chunked\r\n");
    assert!(chunked.contains(&"Content-Length: 4711".to_owned()), "{chunked:?}");
    assert!(!chunked.iter().any(|line| line.starts_with("Transfer-Encoding")), "{chunked:?}");
    let fields = "Host: a.test\r\nContent-Length: 4711\r\nExpect: 100-continue\r\n";
    let known = way.forward("POST / HTTP/1.1", fields);
    assert_eq!(known.iter().filter(|line| *line == "Content-Length: 4711").count(), 1, "{known:?}");
    assert!(!known.iter().any(|line| line.starts_with("Expect")), "nobody waits for it: {known:?}");
}

#[test]
fn rfc9112_3_the_request_line_keeps_method_path_and_query() {
    let way = Way::default();
    let host = "Host: a.test\r\n";
    for (start, expected) in [
        ("GET /a/b?x=1&y=%20 HTTP/1.1", "GET /a/b?x=1&y=%20 HTTP/1.1"),
        ("GET /? HTTP/1.1", "GET /? HTTP/1.1"),
        ("PURGE / HTTP/1.1", "PURGE / HTTP/1.1"),
        ("GET /a/../b HTTP/1.1", "GET /b HTTP/1.1"),
        ("GET http://a.test HTTP/1.1", "GET / HTTP/1.1"),
        ("GET http://a.test?q HTTP/1.1", "GET /?q HTTP/1.1"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://a.test HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("GET /old HTTP/1.0", "GET /old HTTP/1.1"),
    ] {
        assert_eq!(way.forward(start, host)[0], expected);
    }
}

#[test]
fn rfc9112_3_2_there_is_one_host_and_it_is_the_one_asked_for() {
    let way = Way { host: "b.test:81", ..Way::default() };
    let lines = way.get("x-a: 1\r\n");
    assert_eq!(lines[1], "Host: b.test:81");
    assert_eq!(values(&lines, "host"), ["b.test:81"]);
    assert_eq!(values(&lines, "x-forwarded-host"), ["a.test"], "what the client asked for is told beside it");
}

#[test]
fn rfc9110_7_6_1_fields_of_the_connection_stay_behind() {
    for field in [
        "Connection: close",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eDp5",
        "TE: gzip",
        "Upgrade: websocket",
        "HTTP2-Settings: AAMAAABk",
    ] {
        let lines = Way::default().get(&format!("x-before: 1\r\n{field}\r\nx-after: 2\r\n"));
        let name = field.split(':').next().unwrap_or_default();
        assert_eq!(values(&lines, name), [""; 0], "{field}");
        assert_eq!((values(&lines, "x-before"), values(&lines, "x-after")), (vec!["1"], vec!["2"]));
    }
}

#[test]
fn rfc9110_7_6_1_what_connection_names_stays_behind_but_not_what_others_rely_on() {
    let lines = Way::default().get(
        "Connection: x-mine, X-Other, authorization, cookie, via\r\nX-Mine: 1\r\nx-other: 2\r\nx-third: 3\r\n\
         Authorization: Basic eDp5\r\nCookie: a=b\r\nVia: 1.1 before\r\n",
    );
    for (name, expected) in [
        ("x-mine", vec![]),
        ("x-other", vec![]),
        ("connection", vec![]),
        ("x-third", vec!["3"]),
        ("authorization", vec!["Basic eDp5"]),
        ("cookie", vec!["a=b"]),
        ("via", vec!["1.1 before", "1.1 evenkeel"]),
    ] {
        assert_eq!(values(&lines, name), expected, "{name}");
    }
}

#[test]
fn rfc9112_6_the_framing_is_said_once() {
    let way = Way::default();
    let post = |fields: &str| way.forward("POST / HTTP/1.1", &format!("Host: a.test\r\n{fields}"));
    let length = post("Content-Length: 12\r\n");
    assert_eq!(values(&length, "content-length"), ["12"]);
    assert_eq!(values(&length, "transfer-encoding"), [""; 0]);
    let chunked = post("Transfer-Encoding: Chunked\r\nTrailer: x-sum\r\n");
    assert_eq!(values(&chunked, "transfer-encoding"), ["chunked"]);
    assert_eq!(values(&chunked, "trailer"), ["x-sum"], "trailers are forwarded, so their announcement stays true");
    assert_eq!(values(&chunked, "content-length"), [""; 0]);
    let none = post("");
    assert_eq!((values(&none, "content-length").len(), values(&none, "transfer-encoding").len()), (0, 0));
}

#[test]
fn rfc9110_7_8_an_upgrade_is_asked_for_anew() {
    let lines = Way::default().get("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n");
    assert_eq!(values(&lines, "connection"), ["upgrade"]);
    assert_eq!(values(&lines, "upgrade"), ["websocket"]);
    assert_eq!(values(&lines, "sec-websocket-key"), ["k"]);
    let unasked = Way::default().get("Upgrade: websocket\r\n");
    assert_eq!((values(&unasked, "connection").len(), values(&unasked, "upgrade").len()), (0, 0));
    let old = Way::default().forward("GET / HTTP/1.0", "Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(values(&old, "upgrade"), [""; 0]);
}

#[test]
fn rfc9110_10_1_4_a_client_that_takes_trailers_says_so_further_on() {
    let lines = Way::default().get("TE: gzip, trailers\r\nConnection: TE\r\n");
    assert_eq!(values(&lines, "te"), ["trailers"]);
    assert_eq!(values(&lines, "connection"), ["te"]);
}

#[test]
fn rfc9110_10_1_1_only_an_expectation_that_holds_goes_on() {
    let put = |version: &str, fields: &str| {
        let lines = Way::default()
            .forward(&format!("PUT / HTTP/{version}"), &format!("Host: a.test\r\nExpect: 100-continue\r\n{fields}"));
        values(&lines, "expect").len()
    };
    assert_eq!(put("1.1", "Content-Length: 5\r\n"), 1);
    assert_eq!(put("1.1", ""), 0, "without a body there is nothing to wait for");
    assert_eq!(put("1.0", "Content-Length: 5\r\n"), 0, "HTTP/1.0 knows no 100");
}

#[test]
fn rfc9110_7_6_2_max_forwards_counts_down_for_options_alone() {
    let of = |method: &str, value: &str| {
        let start = format!("{method} / HTTP/1.1");
        let lines = Way::default().forward(&start, &format!("Host: a.test\r\nMax-Forwards: {value}\r\n"));
        values(&lines, "max-forwards").join(",")
    };
    assert_eq!(of("OPTIONS", "5"), "4");
    assert_eq!(of("OPTIONS", "0"), "0");
    assert_eq!(of("OPTIONS", "many"), "");
    assert_eq!(of("GET", "5"), "5");
}

#[test]
fn rfc9110_7_6_3_via_names_the_version_that_the_client_speaks() {
    assert_eq!(values(&Way::default().get(""), "via"), ["1.1 evenkeel"]);
    let old = Way::default().forward("GET / HTTP/1.0", "Via: 1.0 x\r\n");
    assert_eq!(values(&old, "via"), ["1.0 x", "1.0 evenkeel"]);
}

/// What a client claims about itself.
const CLAIMS: &str = "X-Forwarded-For: 198.51.100.7, 10.0.0.9\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Host: shop.test\r\nX-Forwarded-Port: 443\r\nForwarded: for=198.51.100.7\r\nX-Request-Id: theirs\r\n";

#[test]
fn claims_of_strangers_are_replaced() {
    let way = Way { request_id: Some("ours"), ..Way::default() };
    let lines = way.get(CLAIMS);
    for (name, expected) in [
        ("x-forwarded-for", vec!["203.0.113.9"]),
        ("x-forwarded-proto", vec!["http"]),
        ("x-forwarded-host", vec!["a.test"]),
        ("x-forwarded-port", vec!["8080"]),
        ("forwarded", vec![]),
        ("x-request-id", vec!["ours"]),
    ] {
        assert_eq!(values(&lines, name), expected, "{name}");
    }
}

#[test]
fn claims_of_trusted_proxies_are_kept_and_added_to() {
    let lines = trusted().get(CLAIMS);
    for (name, expected) in [
        ("x-forwarded-for", vec!["198.51.100.7, 10.0.0.9, 10.0.0.1, 10.0.0.2"]),
        ("x-forwarded-proto", vec!["https"]),
        ("x-forwarded-host", vec!["shop.test"]),
        ("x-forwarded-port", vec!["443"]),
        ("forwarded", vec!["for=198.51.100.7"]),
        ("x-request-id", vec!["theirs"]),
    ] {
        assert_eq!(values(&lines, name), expected, "{name}");
    }
}

#[test]
fn what_a_trusted_proxy_does_not_say_is_said_by_us() {
    let lines = trusted().get("X-Forwarded-For: \r\n");
    assert_eq!(values(&lines, "x-forwarded-for"), ["10.0.0.2"]);
    assert_eq!(values(&lines, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&lines, "x-forwarded-host"), ["a.test"]);
    assert_eq!(values(&lines, "x-forwarded-port"), ["8080"]);
    let unix = Way { peer: Peer { local_port: 0, ..trusted().peer }, ..Way::default() };
    assert_eq!(values(&unix.get(""), "x-forwarded-port"), [""; 0], "a Unix socket has no port");
}

#[test]
fn rfc7239_4_forwarded_names_client_and_host() {
    for (from, expected) in [
        ("203.0.113.9:1", "for=203.0.113.9;proto=http;host=\"a.test\""),
        ("[2001:db8::7]:1", "for=\"[2001:db8::7]\";proto=http;host=\"a.test\""),
        ("[::ffff:203.0.113.9]:1", "for=203.0.113.9;proto=http;host=\"a.test\""),
    ] {
        let way = Way { peer: peer(from, false), forwarded: true, ..Way::default() };
        assert_eq!(values(&way.get("Forwarded: for=unknown\r\n"), "forwarded"), [expected]);
    }
    let way = Way { forwarded: true, ..trusted() };
    let both = way.get("Forwarded: for=198.51.100.7\r\n");
    assert_eq!(values(&both, "forwarded"), ["for=198.51.100.7", "for=10.0.0.2;proto=http;host=\"a.test\""]);
}

#[test]
fn addresses_are_written_as_the_standard_library_writes_them() {
    for ip in ["0.0.0.0", "1.10.100.255", "99.9.200.19", "2001:db8::1", "::1"] {
        let addr = SocketAddr::new(ip.parse().expect("an address"), 1);
        let way = Way { peer: Peer { addr, ..Way::default().peer }, ..Way::default() };
        assert_eq!(values(&way.get(""), "x-forwarded-for"), [ip]);
    }
}

#[test]
fn rules_replace_what_came_and_what_we_would_say() {
    for name in ["x-a", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-request-id"]
    {
        for make in [trusted, Way::default as fn() -> Way<'static>] {
            let with = |rules| Way { request_id: Some("ours"), forwarded: true, rules, ..make() };
            let set = with(Rules::set(name, "new")).get(&format!("X-A: old\r\n{CLAIMS}"));
            assert_eq!(values(&set, name), ["new"], "set {name}");
            let removed = with(Rules::remove(name)).get(&format!("X-A: old\r\n{CLAIMS}"));
            assert_eq!(values(&removed, name), [""; 0], "remove {name}");
        }
    }
}

#[test]
fn rfc3875_4_1_18_names_that_cgi_takes_for_ours_stay_behind() {
    for make in [trusted, Way::default as fn() -> Way<'static>] {
        for name in [
            "Proxy",
            "proxy",
            "Content_Length",
            "transfer_encoding",
            "X_Forwarded_For",
            "X-Forwarded_For",
            "X.Forwarded.Host",
            "x_request_id",
            "Proxy_Authorization",
        ] {
            let lines = make().get(&format!("X-Before: 1\r\n{name}: evil\r\nX-After: 2\r\n"));
            assert!(!lines.iter().any(|line| line.contains("evil")), "{name}: {lines:?}");
            assert_eq!((values(&lines, "x-before"), values(&lines, "x-after")), (vec!["1"], vec!["2"]));
        }
        for name in ["user_agent", "x_user", "Content_Type", "my_content_length", "x-proxy", "proxy2"] {
            let lines = make().get(&format!("{name}: good\r\n"));
            assert_eq!(values(&lines, name), ["good"], "{name}");
        }
    }
}

#[test]
fn rfc3875_4_1_18_nor_do_names_that_cgi_takes_for_those_of_rules() {
    let way = Way { rules: Rules::set("X-User", "ours"), ..Way::default() };
    let lines = way.get("X_User: a\r\nx-user: b\r\nx.user: c\r\nX_Us: d\r\n");
    assert_eq!(values(&lines, "x-user"), ["ours"]);
    assert_eq!((values(&lines, "x_user").len(), values(&lines, "x.user").len()), (0, 0));
    assert_eq!(values(&lines, "x_us"), ["d"]);
    let way = Way { rules: Rules::remove("x-user"), ..Way::default() };
    assert_eq!(values(&way.get("X_User: a\r\n"), "x_user"), [""; 0]);
}

fn field() -> impl Strategy<Value = String> {
    let name =
        prop::sample::select(vec!["x-a", "X-B", "accept", "Cookie", "keep-alive", "proxy-connection", "x-named"]);
    let value = prop::sample::select(vec!["", "1", "a b, c", "\t"]);
    let pad = prop::sample::select(vec!["", " ", "  \t"]);
    (name, value, pad, pad_end()).prop_map(|(name, value, pad, end)| format!("{name}:{pad}{value}{end}\r\n"))
}

fn pad_end() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", " ", "\t "])
}

proptest! {
    /// Copying in runs gives the same fields as judging each line by itself.
    #[test]
    fn fields_that_stay_are_those_that_came_in_their_order(fields in prop::collection::vec(field(), 0..20)) {
        let sent = fields.concat();
        let lines = Way::default().get(&format!("{sent}Connection: x-named\r\n"));
        let stays = |line: &&String| {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            !["keep-alive", "proxy-connection", "x-named"].contains(&name.as_str())
        };
        let normal = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or_default();
            (name.to_owned(), value.trim().to_owned())
        };
        let expected: Vec<_> = fields.iter().filter(stays).map(|line| normal(line)).collect();
        let got: Vec<_> = lines[2..2 + expected.len()].iter().map(|line| normal(line)).collect();
        prop_assert_eq!(got, expected);
        prop_assert!(lines[2 + fields.iter().filter(stays).count()].starts_with("X-Forwarded-For: "));
    }
}
