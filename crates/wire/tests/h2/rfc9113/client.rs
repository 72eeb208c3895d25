//! The client's role, towards backends.

use wire::h2::{By, ErrorCode, Event, Full, Gone, Handle, More, RequestLine};
use wire::head::{Framing, Name, Version};

use crate::peer::*;

fn line(method: &str) -> RequestLine<'_> {
    RequestLine {
        method: method.as_bytes(),
        scheme: b"http",
        authority: b"app.internal",
        path: b"/a",
        query: Some(b"b=c"),
        protocol: None,
    }
}

/// A client that has made a request without a body.
fn asked(method: &str) -> (Side, Handle) {
    let mut side = Side::client();
    let stream = side.connection.put_request(&line(method), &mut side.out).expect("room").finish(More::Ends);
    side.out.clear();
    (side, stream)
}

#[test]
fn requests_get_odd_numbers_that_grow() {
    let mut side = Side::client();
    for id in [1, 3, 5] {
        let mut head = side.connection.put_request(&line("GET"), &mut side.out).expect("room");
        assert_eq!(head.stream().id, id);
        head.field(b"Accept", b"*/*");
        head.finish(More::Ends);
        let [head] = &side.written()[..] else { unreachable!("one frame") };
        assert_eq!((head.kind, head.flags, head.stream), (HEADERS, END | END_HEADERS, id));
        assert_eq!(head.payload[..2], [0x82, 0x86]);
    }
}

#[test]
fn section_8_3_2_an_answer_is_read_as_in_http_1() {
    let (mut side, stream) = asked("GET");
    let fields = [(":status", "200"), ("content-type", "text/plain"), ("content-length", "5"), ("x-request-id", "7")];
    assert_eq!(side.event(&headers(1, 0, &fields)), Event::Head { stream, ends: false });
    let (answer, buf) = (&side.slot.answer, &side.slot.buf);
    assert_eq!((answer.status, answer.version, answer.framing), (200, Version::Http2, Framing::Length(5)));
    assert_eq!(answer.reason.of(buf), b"OK");
    assert_eq!(
        answer.fields.iter().map(|field| field.known).collect::<Vec<_>>(),
        [Name::Other, Name::ContentLength, Name::XRequestId]
    );
    assert!(matches!(side.event(&frame(DATA, END, 1, b"hello")), Event::Data { ends: true, .. }));
    assert_eq!(side.data, b"hello");
}

#[test]
fn section_8_1_interim_answers_come_before_the_answer() {
    let (mut side, stream) = asked("GET");
    for status in ["100", "103", "103"] {
        assert_eq!(side.event(&headers(1, 0, &[(":status", status)])), Event::Head { stream, ends: false });
        assert_eq!(side.slot.answer.status.to_string(), status);
    }
    assert_eq!(side.event(&headers(1, END, &[(":status", "204")])), Event::Head { stream, ends: true });
    let (mut side, _) = asked("GET");
    assert!(matches!(side.event(&headers(1, END, &[(":status", "100")])), Event::Reset { by: By::Us(_), .. }));
    let (mut side, _) = asked("GET");
    assert!(matches!(side.event(&headers(1, 0, &[(":status", "101")])), Event::Reset { by: By::Us(_), .. }));
    let (mut side, _) = asked("GET");
    let early = [headers(1, 0, &[(":status", "100")]), frame(DATA, 0, 1, b"x")].concat();
    assert!(matches!(side.receive(&early).expect("goes on")[1], Event::Reset { by: By::Us(_), .. }));
}

#[test]
fn section_8_1_1_malformed_answers_end_their_stream() {
    let wrong: [&[(&str, &str)]; 12] = [
        &[],
        &[("x", "y")],
        &[(":status", "")],
        &[(":status", "20")],
        &[(":status", "600")],
        &[(":status", "2x0")],
        &[(":status", "200"), (":status", "200")],
        &[("x", "y"), (":status", "200")],
        &[(":status", "200"), (":path", "/")],
        &[(":status", "200"), ("connection", "close")],
        &[(":status", "200"), ("X-A", "b")],
        &[(":status", "200"), ("content-length", "1"), ("content-length", "1")],
    ];
    for fields in wrong {
        let (mut side, stream) = asked("GET");
        let event = side.event(&headers(1, 0, fields));
        assert!(
            matches!(event, Event::Reset { stream: of, code: ErrorCode::PROTOCOL_ERROR, by: By::Us(_) } if of == stream),
            "{fields:?}: {event:?}"
        );
        assert_eq!(side.written()[0].kind, RST_STREAM);
    }
}

#[test]
fn section_8_1_1_the_body_of_an_answer_is_as_long_as_it_says() {
    let with = |fields: &[(&str, &str)], method: &str, data: &[u8]| {
        let (mut side, _) = asked(method);
        let head = headers(1, 0, fields);
        let events = side.receive(&[head, frame(DATA, END, 1, data)].concat()).expect("goes on");
        matches!(events.last(), Some(Event::Data { ends: true, .. }))
    };
    assert!(with(&[(":status", "200"), ("content-length", "3")], "GET", b"abc"));
    assert!(with(&[(":status", "200")], "GET", b"abc"));
    assert!(!with(&[(":status", "200"), ("content-length", "3")], "GET", b"ab"));
    assert!(!with(&[(":status", "200"), ("content-length", "3")], "GET", b"abcd"));
    assert!(with(&[(":status", "200"), ("content-length", "3")], "HEAD", b""));
    assert!(!with(&[(":status", "200"), ("content-length", "3")], "HEAD", b"abc"));
    assert!(!with(&[(":status", "204")], "GET", b"a"));
    assert!(!with(&[(":status", "304"), ("content-length", "3")], "GET", b"abc"));
    assert!(with(&[(":status", "304"), ("content-length", "3")], "GET", b""));
    assert!(!with(&[(":status", "204"), ("content-length", "1")], "GET", b"a"));
}

#[test]
fn answers_that_end_with_their_head_say_that_they_are_empty() {
    let (mut side, stream) = asked("GET");
    assert_eq!(side.event(&headers(1, END, &[(":status", "200")])), Event::Head { stream, ends: true });
    assert_eq!(side.slot.answer.framing, Framing::Length(0));
    assert_eq!(side.slot.answer.field(&side.slot.buf, b"content-length"), Some(&b"0"[..]));
    for (method, status) in [("HEAD", "200"), ("GET", "204"), ("GET", "304")] {
        let (mut side, _) = asked(method);
        side.event(&headers(1, END, &[(":status", status)]));
        assert_eq!(side.slot.answer.framing, Framing::None);
        assert_eq!(side.slot.answer.field(&side.slot.buf, b"content-length"), None);
    }
    let (mut side, _) = asked("GET");
    let event = side.event(&headers(1, END, &[(":status", "200"), ("content-length", "1")]));
    assert!(matches!(event, Event::Reset { .. }));
}

#[test]
fn section_8_1_answers_have_trailers() {
    let (mut side, stream) = asked("POST");
    side.event(&headers(1, 0, &[(":status", "200"), ("content-type", "application/grpc")]));
    assert_eq!(side.slot.answer.framing, Framing::Chunked);
    side.event(&frame(DATA, 0, 1, b"message"));
    assert_eq!(side.event(&headers(1, END, &[("grpc-status", "0")])), Event::Trailers { stream });
    assert_eq!(side.slot.trailers[0].value.of(&side.slot.buf), b"0");
    side.connection.release(stream, &mut side.out);
    assert_eq!(side.written(), []);
    assert_eq!(side.fails(&headers(1, END, &[("x", "y")])), ErrorCode::STREAM_CLOSED);
}

#[test]
fn section_5_1_a_backend_opens_no_streams() {
    for id in [1, 2, 3] {
        assert_eq!(Side::client().fails(&headers(id, END, &[(":status", "200")])), ErrorCode::PROTOCOL_ERROR);
    }
    assert_eq!(Side::client().fails(&frame(DATA, 0, 1, b"x")), ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn section_5_1_2_the_limit_of_the_backend_is_kept() {
    let mut side = Side::client();
    assert_eq!(side.connection.room(), 100);
    side.receive(&frame(SETTINGS, 0, 0, &settings(&[(3, 2)]))).expect("fine");
    side.out.clear();
    assert_eq!(side.connection.room(), 2);
    let first = side.connection.put_request(&line("GET"), &mut side.out).expect("room").finish(More::Ends);
    side.connection.put_request(&line("GET"), &mut side.out).expect("room").finish(More::Ends);
    assert_eq!(side.connection.room(), 0);
    assert_eq!(side.connection.put_request(&line("GET"), &mut side.out).err(), Some(Full));
    side.event(&headers(1, END, &[(":status", "204")]));
    assert_eq!(side.connection.room(), 0, "until it is released");
    side.connection.release(first, &mut side.out);
    assert_eq!(side.connection.room(), 1);
}

#[test]
fn a_request_that_is_given_up_is_cancelled() {
    let (mut side, stream) = asked("GET");
    side.connection.release(stream, &mut side.out);
    let [reset] = &side.written()[..] else { unreachable!("one frame") };
    assert_eq!((reset.kind, reset.number(0)), (RST_STREAM, ErrorCode::CANCEL.0));
    // What was under way is passed over, though it counts.
    let late = [headers(1, 0, &[(":status", "200")]), frame(DATA, END, 1, b"late")].concat();
    assert_eq!(side.receive(&late), Ok(vec![]));
    assert_eq!(side.written(), []);
}

#[test]
fn section_6_8_streams_after_the_last_are_safe_to_repeat() {
    let mut side = Side::client();
    let streams: Vec<_> = (0..3)
        .map(|_| side.connection.put_request(&line("GET"), &mut side.out).expect("room").finish(More::Follows))
        .collect();
    side.out.clear();
    let goaway = |last: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
    assert_eq!(side.event(&goaway(0x7fff_ffff)), Event::GoAway { last: 0x7fff_ffff, code: ErrorCode::NO_ERROR });
    assert!(!side.connection.takes_streams());
    assert_eq!(side.connection.put_request(&line("GET"), &mut side.out).err(), Some(Full));
    assert_eq!(side.event(&goaway(3)), Event::GoAway { last: 3, code: ErrorCode::NO_ERROR });
    let sent: Vec<_> =
        streams.iter().map(|s| side.connection.put_data(*s, b"x", More::Follows, &mut side.out)).collect();
    assert_eq!(sent, [Ok(1), Ok(1), Err(Gone)]);
    assert!(matches!(side.event(&headers(1, END, &[(":status", "200")])), Event::Head { .. }));
    for stream in streams {
        assert!(!side.connection.is_done());
        side.connection.release(stream, &mut side.out);
    }
    assert!(side.connection.is_done());
}

#[test]
fn section_8_7_refused_streams_are_told() {
    let (mut side, stream) = asked("POST");
    let code = ErrorCode::REFUSED_STREAM;
    assert_eq!(side.event(&rst_stream(1, code)), Event::Reset { stream, code, by: By::Peer });
}

#[test]
fn rfc8441_3_tunnels_are_asked_for_where_the_backend_takes_them() {
    let mut side = Side::client();
    assert!(!side.connection.takes_extended_connect());
    side.receive(&frame(SETTINGS, 0, 0, &settings(&[(8, 1)]))).expect("fine");
    assert!(side.connection.takes_extended_connect());
    side.out.clear();
    let line = RequestLine { protocol: Some(b"websocket"), ..line("CONNECT") };
    let stream = side.connection.put_request(&line, &mut side.out).expect("room").finish(More::Follows);
    side.event(&headers(1, 0, &[(":status", "200")]));
    assert_eq!(side.connection.put_data(stream, b"frame", More::Follows, &mut side.out), Ok(5));
}

#[test]
fn a_client_that_leaves_opens_no_more_streams() {
    let (mut side, stream) = asked("GET");
    side.connection.drain(&mut side.out);
    let [goaway] = &side.written()[..] else { unreachable!("one frame") };
    assert_eq!((goaway.kind, goaway.number(0)), (GOAWAY, 0));
    assert!(!side.connection.takes_streams() && !side.connection.is_done());
    side.event(&headers(1, END, &[(":status", "200")]));
    side.connection.release(stream, &mut side.out);
    assert!(side.connection.is_done());
}
