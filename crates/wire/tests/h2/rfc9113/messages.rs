//! Section 8: requests, trailers, and what makes them malformed; RFC 8441.

use wire::h2::{By, Config, ErrorCode, Event};
use wire::head::{Framing, Method, Name, Version};

use crate::peer::*;

/// A request with these fields after the usual ones.
fn with(fields: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&GET[..], fields].concat()
}

/// The usual pseudo-header fields but one, or with another value of it.
fn but(name: &str, value: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    GET.iter().filter_map(|(n, v)| if *n == name { value.map(|value| (*n, value)) } else { Some((*n, *v)) }).collect()
}

fn assert_malformed(fields: &[(&str, &str)]) {
    let mut side = Side::server();
    let event = side.event(&headers(1, END, fields));
    assert!(matches!(event, Event::Malformed { .. }), "{fields:?}: {event:?}");
    let [reset] = &side.written()[..] else { unreachable!("one frame") };
    assert_eq!((reset.kind, reset.stream, reset.number(0)), (RST_STREAM, 1, ErrorCode::PROTOCOL_ERROR.0));
    assert!(matches!(side.event(&get(3)), Event::Head { .. }), "the connection goes on");
}

fn assert_refused(status: u16, fields: &[(&str, &str)]) -> Side {
    let mut side = Side::server();
    match side.event(&headers(1, END, fields)) {
        Event::Refused { refusal, ends: true, .. } => assert_eq!(refusal.status, status, "{fields:?}: {refusal:?}"),
        event => unreachable!("{fields:?}: {event:?}"),
    }
    side
}

fn taken(flags: u8, fields: &[(&str, &str)]) -> Side {
    let mut side = Side::server();
    let event = side.event(&headers(1, flags, fields));
    assert!(matches!(event, Event::Head { .. }), "{fields:?}: {event:?}");
    side
}

#[test]
fn section_8_3_1_a_request_is_read_as_in_http_1() {
    let fields = [
        (":method", "PUT"),
        (":scheme", "https"),
        (":authority", "example.com:8443"),
        (":path", "/a/%7Eb/../c?q=1"),
        ("user-agent", "curl/8"),
        ("content-length", "12"),
        ("te", "trailers"),
        ("x_odd", "1"),
        ("content_length", "2"),
    ];
    let side = taken(0, &fields);
    let (request, buf) = (&side.slot.request, &side.slot.buf);
    assert_eq!((request.method, request.method_span.of(buf)), (Method::Put, &b"PUT"[..]));
    assert_eq!(request.authority.of(buf), b"example.com:8443");
    assert_eq!((request.path(buf), request.path.of(buf)), (&b"/a/c"[..], &b"/a/%7Eb/../c"[..]));
    assert_eq!((request.has_query, request.query.of(buf)), (true, &b"q=1"[..]));
    assert_eq!((request.version, request.framing), (Version::Http2, Framing::Length(12)));
    assert!(request.takes_trailers && request.keep_alive && !request.expects_continue);
    let names: Vec<_> =
        request.fields.iter().map(|field| (field.name.of(buf), field.known, field.hop_by_hop)).collect();
    assert_eq!(
        names,
        [
            (&b"user-agent"[..], Name::Other, false),
            (b"content-length", Name::ContentLength, false),
            (b"te", Name::Te, true),
            (b"x_odd", Name::Other, false),
            (b"content_length", Name::Shadow, false),
        ]
    );
    let run = request.fields[0].name.start as usize..request.fields[1].value.end as usize;
    assert_eq!(&buf[run], b"user-agent: curl/8\r\ncontent-length: 12");
}

#[test]
fn section_8_2_1_names_are_lower_case_tokens() {
    for name in ["X-A", "x a", "", "x:", "x\u{e9}", "x\0", "x\n", "te\t", ":unknown", ":Method", "\u{7f}"] {
        assert_malformed(&with(&[(name, "1")]));
    }
}

#[test]
fn section_8_2_1_values_hold_no_control_characters_and_no_white_space_around() {
    for value in ["a\r\nb: c", "a\nb", "a\0b", "a\rb", " a", "a ", "\ta", "a\t", " ", "\u{1}", "a\u{7f}"] {
        assert_malformed(&with(&[("x-a", value)]));
    }
    for value in ["", "a b", "a\tb", "\u{e9}"] {
        taken(END, &with(&[("x-a", value)]));
    }
}

#[test]
fn section_8_2_2_connection_specific_fields_are_malformed() {
    let fields = [
        ("connection", "keep-alive"),
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, deflate;q=0.5"),
    ];
    for field in fields {
        assert_malformed(&with(&[field]));
    }
    taken(END, &with(&[("te", "trailers")]));
    let side = taken(END, &with(&[("proxy-authorization", "secret")]));
    assert!(side.slot.request.fields[0].hop_by_hop);
}

#[test]
fn section_8_2_3_cookie_crumbs_are_joined() {
    let cases: [&[(&str, &str)]; 4] = [
        &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3"), ("x", "y")],
        &[("x", "y"), ("cookie", "a=1; b=2"), ("cookie", "c=3")],
        &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")],
        &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("z", "1"), ("cookie", "c=3")],
    ];
    for crumbs in cases {
        let side = taken(END, &[&GET[..], crumbs].concat());
        let (request, buf) = (&side.slot.request, &side.slot.buf);
        let kept: Vec<_> = request.fields.iter().filter(|field| !field.hop_by_hop).collect();
        let cookies: Vec<_> = kept.iter().filter(|field| field.known == Name::Cookie).collect();
        assert_eq!(cookies.len(), 1);
        assert_eq!(cookies[0].value.of(buf), b"a=1; b=2; c=3");
        assert!(kept.iter().any(|field| field.name.of(buf) == b"x"));
        // Runs of lines hold nothing else.
        let fields = &request.fields;
        for pair in fields.windows(2).filter(|pair| !pair[0].hop_by_hop && !pair[1].hop_by_hop) {
            assert_eq!(&buf[pair[0].value.end as usize..pair[1].name.start as usize], b"\r\n");
        }
    }
}

#[test]
fn section_8_3_pseudo_header_fields_come_first_and_once() {
    let path = (":path", "/");
    assert_malformed(&[GET[0], GET[1], GET[2], ("x", "y"), path]);
    for field in GET {
        assert_malformed(&[&GET[..], &[field]].concat());
    }
    assert_malformed(&[&GET[..], &[(":status", "200")]].concat());
    assert_malformed(&[&GET[..], &[(":unknown", "1")]].concat());
}

#[test]
fn section_8_3_1_method_scheme_and_path_are_there() {
    for name in [":method", ":scheme", ":path"] {
        assert_malformed(&but(name, None));
        assert_malformed(&but(name, Some("")));
    }
    assert_malformed(&but(":method", Some("G T")));
    assert_malformed(&[]);
    assert_refused(400, &but(":scheme", Some("ftp")));
    taken(END, &but(":scheme", Some("http")));
    taken(END, &but(":scheme", Some("HTTPS")));
}

#[test]
fn section_8_3_1_paths_follow_the_rules_of_http_1() {
    for path in ["a", "http://a/", "?x", "/a b", "/a#b", "/\u{e9}", "/%zz", "/%00", "/a\\b", "*"] {
        assert_refused(400, &but(":path", Some(path)));
    }
    let long: &'static str = Box::leak(format!("/{}", "a".repeat(8 * 1024)).into_boxed_str());
    assert_refused(414, &but(":path", Some(long)));
    let options: Vec<_> =
        but(":path", Some("*")).iter().map(|f| if f.0 == ":method" { (f.0, "OPTIONS") } else { *f }).collect();
    let side = taken(END, &options);
    assert_eq!(side.slot.request.path(&side.slot.buf), b"*");
    let side = taken(END, &but(":path", Some("/a/.b/..c/%2e%2E/d.")));
    assert_eq!(side.slot.request.path(&side.slot.buf), b"/a/.b/d.");
}

#[test]
fn section_8_3_1_authority_and_host_say_the_same() {
    assert_malformed(&with(&[("host", "other.com")]));
    assert_malformed(&with(&[("host", "example.com:443")]));
    assert_refused(400, &with(&[("host", "example.com"), ("host", "example.com")]));
    assert_refused(400, &but(":authority", None));
    for authority in ["", "user@example.com", "a b", "a,b", "example.com:99999", "[::1"] {
        assert_refused(400, &but(":authority", Some(authority)));
    }
    let side = taken(END, &with(&[("host", "EXAMPLE.com")]));
    assert_eq!(side.slot.request.authority.of(&side.slot.buf), b"example.com");
    let side = taken(END, &[&but(":authority", None)[..], &[("host", "other.com")]].concat());
    assert_eq!(side.slot.request.authority.of(&side.slot.buf), b"other.com");
}

#[test]
fn methods_that_a_proxy_does_not_take_are_refused() {
    assert_refused(501, &but(":method", Some("TRACE")));
    assert_refused(501, &but(":method", Some("AVERYLONGMETHODTHATNOBODYHASEVERSEENANYWHERE")));
    assert_refused(501, &[(":method", "CONNECT"), (":authority", "example.com:443")]);
    assert_malformed(&but(":method", Some("CONNECT")));
    assert_refused(417, &with(&[("expect", "200-ok")]));
}

#[test]
fn rfc8441_4_extended_connect_asks_for_a_tunnel() {
    let fields = [&but(":method", Some("CONNECT"))[..], &[(":protocol", "websocket"), ("origin", "x")]].concat();
    let side = taken(0, &fields);
    let (request, buf) = (&side.slot.request, &side.slot.buf);
    assert_eq!((request.method, request.upgrade.of(buf)), (Method::Connect, &b"websocket"[..]));
    assert_eq!((request.path(buf), request.framing), (&b"/"[..], Framing::Chunked));
    assert_malformed(&with(&[])[..4].iter().copied().chain([(":protocol", "websocket")]).collect::<Vec<_>>());
    assert_malformed(&[(":method", "CONNECT"), (":authority", "a"), (":protocol", "websocket")]);
    let mut side = Side::server_with(Config { extended_connect: false, ..Config::default() });
    assert!(matches!(side.event(&headers(1, 0, &fields)), Event::Malformed { .. }));
}

#[test]
fn section_8_1_1_content_length_is_what_comes() {
    let body = |length: &'static str| headers(1, 0, &with(&[("content-length", length)]));
    for data in [frame(DATA, END, 1, b"abc"), frame(DATA, 0, 1, b"abcde"), frame(DATA, END, 1, b"")] {
        let mut side = Side::server();
        let Event::Head { stream, .. } = side.event(&body("4")) else { unreachable!("a request") };
        let event = side.event(&data);
        assert!(
            matches!(event, Event::Reset { stream: of, code: ErrorCode::PROTOCOL_ERROR, by: By::Us(_) } if of == stream),
            "{event:?}"
        );
    }
    let mut side = Side::server();
    side.event(&body("4"));
    let pieces = [frame(DATA, 0, 1, b"ab"), frame(DATA, END, 1, b"c")].concat();
    assert!(matches!(side.receive(&pieces).expect("goes on")[1], Event::Reset { .. }));
    let mut side = Side::server();
    side.event(&body("4"));
    let pieces = [frame(DATA, 0, 1, b"ab"), frame(DATA, PADDED, 1, b"\x01cd\0"), headers(1, END, &[("x", "y")])];
    assert!(matches!(side.receive(&pieces.concat()).expect("goes on")[2], Event::Trailers { .. }));
    let mut side = Side::server();
    side.event(&body("4"));
    let pieces = [frame(DATA, 0, 1, b"ab"), headers(1, END, &[("x", "y")])].concat();
    assert!(matches!(side.receive(&pieces).expect("goes on")[1], Event::Reset { .. }));
    assert_malformed(&with(&[("content-length", "4")]));
    assert_malformed(&with(&[("content-length", "0"), ("content-length", "0")]));
    for wrong in ["", "-1", "+1", "1,1", "0x1", "99999999999999999999"] {
        assert_malformed(&with(&[("content-length", wrong)]));
    }
    let side = taken(END, &with(&[("content-length", "0")]));
    assert_eq!(side.slot.request.framing, Framing::Length(0));
    assert_eq!(taken(END, &GET).slot.request.framing, Framing::None);
    assert_eq!(taken(0, &GET).slot.request.framing, Framing::Chunked);
}

#[test]
fn section_8_1_trailers_end_the_stream() {
    let mut side = Side::server();
    let Event::Head { stream, .. } = side.event(&post(1)) else { unreachable!("a request") };
    side.receive(&frame(DATA, 0, 1, b"abc")).expect("fine");
    let fields = [("grpc-status", "0"), ("content-length", "4"), ("authorization", "x"), ("x-checksum", "1")];
    assert_eq!(side.event(&headers(1, END, &fields)), Event::Trailers { stream });
    let (trailers, buf) = (&side.slot.trailers, &side.slot.buf);
    let names: Vec<_> = trailers.iter().map(|field| (field.name.of(buf), field.value.of(buf))).collect();
    assert_eq!(names, [(&b"grpc-status"[..], &b"0"[..]), (b"x-checksum", b"1")]);
    for (flags, fields) in [
        (0, &[("x", "y")][..]),
        (END, &[(":path", "/")]),
        (END, &[("X", "y")]),
        (END, &[("connection", "close")]),
        (END, &[("x", "a\nb")]),
    ] {
        let mut side = Side::server();
        side.event(&post(1));
        let event = side.event(&headers(1, flags, fields));
        assert!(matches!(event, Event::Reset { code: ErrorCode::PROTOCOL_ERROR, .. }), "{event:?}");
    }
}

#[test]
fn section_8_1_expect_continue_counts_where_a_body_comes() {
    let expect = with(&[("expect", "100-Continue")]);
    assert!(taken(0, &expect).slot.request.expects_continue);
    assert!(!taken(END, &expect).slot.request.expects_continue);
}

#[test]
fn section_6_5_2_heads_beyond_the_limits_are_answered_with_431() {
    let mut side = Side::server_with(small());
    let large = "v".repeat(900);
    let too_large = [&GET[..], &[("x", &*large), ("y", &large), ("z", &large)]].concat();
    let Event::Refused { stream, refusal, ends: false } = side.event(&headers(1, 0, &too_large)) else {
        unreachable!()
    };
    assert_eq!((refusal.status, refusal.why), (431, "request head too large"));
    assert_eq!(side.slot.request.method_span.of(&side.slot.buf), b"GET");
    assert!(side.slot.request.fields.is_empty());
    side.connection.put_answer(stream, 431, &mut side.out).expect("it is there").finish(wire::h2::More::Ends);
    let many: Vec<_> = GET.into_iter().chain((0..30).map(|_| ("a", "b"))).collect();
    let Event::Refused { refusal, .. } = side.event(&headers(3, END, &many)) else { unreachable!() };
    assert_eq!((refusal.status, refusal.why), (431, "too many field lines"));
    // The context is whole: a line that was not kept is in the table all the same.
    let block = [&[0x82, 0x87, 0x84, 0x41, 1, b'a'][..], &[0x40, 1, b'q', 0x7f, 0x89, 0x0e], &[b'w'; 1928]].concat();
    assert!(matches!(side.event(&frame(HEADERS, END | END_HEADERS, 5, &block)), Event::Refused { .. }));
    let again = [0x82, 0x87, 0x84, 0x41, 1, b'a', 0xbf];
    assert!(matches!(side.event(&frame(HEADERS, END | END_HEADERS, 7, &again)), Event::Refused { .. }));
    let fine = [0x82, 0x87, 0x84, 0xbe];
    assert!(matches!(side.event(&frame(HEADERS, END | END_HEADERS, 9, &fine)), Event::Head { .. }));
}

fn small() -> Config {
    let mut config = Config::default();
    config.limits.head_bytes = 2000;
    config.limits.fields = 20;
    config
}
