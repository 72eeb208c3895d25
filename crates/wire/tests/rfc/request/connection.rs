//! Fields that are about this connection: persistence, hop-by-hop fields, expectations, upgrades.

use super::{get, parse, status, text, with};

#[test]
fn rfc9112_9_3_persistence_follows_version_and_connection() {
    let table = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: Keep-Alive, CLOSE\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Keep-Alive: timeout=5\r\n", false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
        ("1.1", "Proxy-Connection: close\r\n", true),
        ("1.2", "", true),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection:\r\n", true),
    ];
    for (version, lines, keep_alive) in table {
        let request = parse(&format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).unwrap();
        assert_eq!(request.keep_alive, keep_alive, "{version} {lines:?}");
    }
}

#[test]
fn rfc9110_7_6_1_hop_by_hop_fields_are_marked() {
    let head = get(
        "Connection: keep-alive, X-Hop , te\r\nKeep-Alive: x\r\nProxy-Connection: x\r\nProxy-Authenticate: x\r\n\
         Proxy-Authorization: x\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nUpgrade: websocket\r\nHTTP2-Settings: x\r\n\
         x-hop: 1\r\nX-HOP: 2\r\nX-Hop-Not: x\r\nTrailer: x\r\nContent-Type: x\r\nConnection: x-other\r\nX-Other: x\r\n",
    );
    let request = parse(&head).unwrap();
    let kept: Vec<_> =
        request.fields.iter().filter(|f| !f.hop_by_hop).map(|f| text(f.name.of(head.as_bytes()))).collect();
    assert_eq!(kept, ["Host", "X-Hop-Not", "Trailer", "Content-Type"]);
    assert!(request.takes_trailers);
}

#[test]
fn rfc9110_7_6_1_connection_options_cannot_remove_framing_or_host() {
    for option in ["host", "Content-Length", "transfer-encoding", "close, HOST"] {
        assert_eq!(status(&get(&format!("Connection: {option}\r\n"))), 400, "{option}");
    }
    for option in [":authority", "a b", "a;b", "\"close\"", "x/y"] {
        assert_eq!(status(&get(&format!("Connection: {option}\r\n"))), 400, "{option}");
    }
}

#[test]
fn rfc9110_7_6_1_connection_options_do_not_remove_what_proxies_vouch_for() {
    let names = [
        "Authorization",
        "Cookie",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "x-forwarded-host",
        "X-Forwarded-Port",
        "X-Forwarded-Client-Cert",
        "X-Request-Id",
        "Via",
        "Forwarded",
    ];
    for name in names {
        let request = with(&format!("{name}: x\r\nConnection: {name}, close\r\n")).unwrap();
        assert!(!request.fields[1].hop_by_hop, "{name}");
    }
}

#[test]
fn many_connection_options_are_refused() {
    let options = |count| format!("Connection: {}\r\n", vec!["x"; count].join(","));
    assert_eq!(status(&get(&options(32))), 0);
    assert_eq!(status(&get(&options(33))), 400);
}

#[test]
fn rfc9110_10_1_1_only_100_continue_is_expected_and_only_with_a_body() {
    let table = [
        ("1.1", "Expect: 100-continue\r\nContent-Length: 5\r\n", true),
        ("1.1", "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", true),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 5\r\n", false),
        ("1.0", "Expect: x\r\nContent-Length: 5\r\n", false),
        ("1.1", "Content-Length: 5\r\n", false),
        ("1.1", "Expect:\r\nContent-Length: 5\r\n", false),
    ];
    for (version, lines, expects) in table {
        let request = parse(&format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).unwrap();
        assert_eq!(request.expects_continue, expects, "{version} {lines:?}");
    }
    for value in ["200-ok", "100-continue, x", "100-continue=1", "x\r\nExpect: 100-continue"] {
        assert_eq!(status(&get(&format!("Expect: {value}\r\n"))), 417, "{value:?}");
    }
}

#[test]
fn rfc9110_7_8_upgrade_needs_its_connection_option_and_http_1_1() {
    let table = [
        ("1.1", "Upgrade: websocket\r\nConnection: Upgrade\r\n", "websocket"),
        ("1.1", "Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n", "WebSocket"),
        ("1.1", "Upgrade: websocket\r\n", ""),
        ("1.1", "Connection: upgrade\r\n", ""),
        ("1.0", "Upgrade: websocket\r\nConnection: Upgrade\r\n", ""),
        ("1.1", "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n", ""),
        ("1.1", "Upgrade: H2C, websocket\r\nConnection: Upgrade\r\n", ""),
        ("1.1", "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n", ""),
        ("1.1", "Upgrade: a\r\nUpgrade: b\r\nUpgrade: c\r\nConnection: Upgrade\r\n", ""),
    ];
    for (version, lines, upgrade) in table {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(text(parse(&head).unwrap().upgrade.of(head.as_bytes())), upgrade, "{version} {lines:?}");
    }
}

#[test]
fn rfc9110_10_1_4_trailers_are_taken_where_te_says_so() {
    assert!(with("TE: trailers\r\n").unwrap().takes_trailers);
    assert!(with("TE: gzip;q=0.5, Trailers\r\n").unwrap().takes_trailers);
    assert!(!with("TE: deflate\r\n").unwrap().takes_trailers);
    assert!(!with("").unwrap().takes_trailers);
}
