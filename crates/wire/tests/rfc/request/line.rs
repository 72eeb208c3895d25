//! Request lines: method, target, version; and the authority, which the target and Host share.

use wire::h1::{Parsed, parse_request};
use wire::head::{Method, Request, Version};

use super::{LIMITS, parse, status, text};

#[test]
fn rfc9112_2_3_minor_versions_are_1_0_or_taken_for_1_1() {
    for (name, version) in
        [("1.0", Version::Http10), ("1.1", Version::Http11), ("1.2", Version::Http11), ("1.9", Version::Http11)]
    {
        let request = parse(&format!("GET / HTTP/{name}\r\nHost: a\r\n\r\n")).unwrap();
        assert_eq!(request.version, version, "{name}");
    }
}

#[test]
fn rfc9112_2_3_other_major_versions_are_505_and_misspelt_ones_400() {
    for name in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9"] {
        assert_eq!(status(&format!("GET / {name}\r\nHost: a\r\n\r\n")), 505, "{name}");
    }
    let misspelt = [
        "http/1.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/1.10",
        "HTTP/11.1",
        "HTTP/1,1",
        "HTTP/x.1",
        "HTTP/1.x",
        "HTTP 1.1",
        "HTTP/ 1.1",
        "HTTP/1.1 ",
        " HTTP/1.1",
        "HTTP/1.1\t",
        "HTTQ/1.1",
        "ICE/1.0",
        "HTTP/-1.1",
        "",
        "HTTP/2",
        "HTTPS/1.1",
        "H",
        "HTTP/2.00",
    ];
    for name in misspelt {
        assert_eq!(status(&format!("GET / {name}\r\nHost: a\r\n\r\n")), 400, "{name:?}");
    }
}

#[test]
fn rfc9113_3_4_the_http2_preface_is_told_from_other_requests() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut out = Request::default();
    for length in 0..16 {
        assert_eq!(parse_request(&preface.as_bytes()[..length], &LIMITS, &mut out), Ok(Parsed::Partial), "{length}");
    }
    let refusal = parse(preface).unwrap_err();
    assert_eq!(refusal.status, 505);
    assert!(refusal.why.contains("HTTP/2 connection preface"));
    assert_eq!(status("PRI / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    assert_eq!(status("PRI * HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("PRIME / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
}

#[test]
fn rfc9112_3_request_lines_have_exactly_two_single_spaces() {
    let table = [
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET /",
        "GET",
        "GET / ",
        "GET HTTP/1.1",
        "GET / x HTTP/1.1",
        "G\0T / HTTP/1.1",
        "GET( / HTTP/1.1",
        "\u{e9} / HTTP/1.1",
        "{} / HTTP/1.1",
        "GET:/ HTTP/1.1",
        "\x16\x03\x01 / HTTP/1.1",
    ];
    for line in table {
        assert_eq!(status(&format!("{line}\r\nHost: a\r\n\r\n")), 400, "{line:?}");
    }
}

#[test]
fn rfc9110_9_1_methods_are_case_sensitive_tokens() {
    let known = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("PATCH", Method::Patch),
        ("get", Method::Other),
        ("PROPFIND", Method::Other),
        ("M-SEARCH", Method::Other),
        ("!#$%&'*+-.^_`|~09azAZ", Method::Other),
    ];
    for (name, method) in known {
        let request = parse(&format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        assert_eq!(request.method, method, "{name}");
    }
}

#[test]
fn rfc9112_3_methods_that_are_not_implemented_are_501() {
    assert_eq!(status("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), 501);
    assert_eq!(status("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), 501);
    assert_eq!(status(&format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(33))), 501);
    assert_eq!(status(&"M".repeat(33)), 501);
    assert_eq!(status(&format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(32))), 0);
    assert_eq!(status("connect / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
}

#[test]
fn rfc9112_3_2_targets_are_visible_ascii_without_fragment() {
    for byte in 0..=255_u8 {
        for place in [&b"/a"[..], b"/a?b"] {
            let head = [b"GET ", place, &[byte], b"c HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            let found = parse_request(&head, &LIMITS, &mut Request::default());
            let in_path = place == b"/a";
            let fine = (0x21..0x7f).contains(&byte) && byte != b'#' && !(in_path && matches!(byte, b'%' | b'\\'));
            assert_eq!(found.is_ok(), fine, "{byte:#x} after {}", text(place));
        }
    }
}

#[test]
fn rfc9112_3_2_1_origin_form_is_cut_at_the_first_question_mark() {
    let table = [
        ("/", "/", None),
        ("/a", "/a", None),
        ("/a?", "/a", Some("")),
        ("/a?b=c?d", "/a", Some("b=c?d")),
        ("/?/../", "/", Some("/../")),
        ("//", "//", None),
        ("//evil/x", "//evil/x", None),
        ("/a:b@c", "/a:b@c", None),
        ("/%2F%2f?%zz", "/%2F%2f", Some("%zz")),
        ("/a/../b?c/../d", "/b", Some("c/../d")),
        ("/.well-known/x", "/.well-known/x", None),
        ("/*", "/*", None),
    ];
    for (target, path, query) in table {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let request = parse(&head).unwrap();
        assert_eq!(text(request.path(head.as_bytes())), path, "{target}");
        assert_eq!(request.has_query.then(|| text(request.query.of(head.as_bytes()))), query, "{target}");
    }
}

#[test]
fn rfc9112_3_2_1_paths_with_a_hidden_meaning_are_refused() {
    for target in ["/%00", "/a%0d%0aX:b", "/%7f", "/%", "/%4", "/%4g", "/a\\b", "/..\\x", "/a%1F"] {
        assert_eq!(status(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")), 400, "{target}");
    }
}

#[test]
fn rfc9112_3_2_2_the_authority_of_an_absolute_form_target_overrides_host() {
    let table = [
        ("http://b/x", "b", "/x", None),
        ("HTTP://b:80/", "b:80", "/", None),
        ("https://[::1]:8443/x?y", "[::1]:8443", "/x", Some("y")),
        ("http://b", "b", "/", None),
        ("http://b?q", "b", "/", Some("q")),
        ("http://b/a/../../c", "b", "/c", None),
        ("http://b//c", "b", "//c", None),
        ("HtTpS://b.", "b.", "/", None),
    ];
    for (target, authority, path, query) in table {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let (request, buf) = (parse(&head).unwrap(), head.as_bytes());
        assert_eq!(text(request.authority.of(buf)), authority, "{target}");
        assert_eq!(text(request.path(buf)), path, "{target}");
        assert_eq!(request.has_query.then(|| text(request.query.of(buf))), query, "{target}");
    }
}

#[test]
fn rfc9112_3_2_2_absolute_form_needs_an_http_scheme_and_a_valid_authority() {
    let table = [
        "http://",
        "http:///x",
        "http://u@b/",
        "http://u:p@b/",
        "http://b:99999/",
        "http://b c/",
        "http://b,c/",
        "ftp://b/",
        "ws://b/",
        "http:/b",
        "http:b",
        "b/c",
        "b:80",
        "https//b/",
        "http://[::1/",
        "http://b#c",
        "http://b\\c/",
        "http://:80/",
        "http://b%41/",
        "http://b/%00",
        "a",
        "?x",
        "httpx://b/",
    ];
    for target in table {
        assert_eq!(status(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")), 400, "{target}");
    }
    assert_eq!(status("GET http://b/ HTTP/1.1\r\n\r\n"), 400, "Host is needed even then");
    assert_eq!(status("GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n"), 400, "and must be valid");
    assert_eq!(status("GET http://b/ HTTP/1.0\r\n\r\n"), 0);
}

#[test]
fn rfc9112_3_2_4_asterisk_form_is_for_options_only() {
    let head = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(text(parse(head).unwrap().path(head.as_bytes())), "*");
    let head = "OPTIONS http://b:8001 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(text(parse(head).unwrap().path(head.as_bytes())), "*");
    let head = "OPTIONS http://b:8001/ HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(text(parse(head).unwrap().path(head.as_bytes())), "/");
    assert_eq!(status("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("OPTIONS *?x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn rfc9112_3_2_exactly_one_valid_host_is_needed() {
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhOST: b\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
    for host in ["", " ", "a b", "a,b", "a, b", "u@a", "a/b", "a:b", "a:65536", "[::1", "a?", "http://a", "a\u{e9}"] {
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), 400, "{host:?}");
    }
    let request = parse("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(request.authority.is_empty());
}
