//! Sections 3 and 4: how a connection starts, and what a frame looks like. Sections 6.1 to 6.3, 6.5, 6.7, 6.8, 6.10: the
//! sizes and streams of the types.

use wire::h2::{Connection, ErrorCode, Event, PREFACE};

use crate::peer::*;

#[test]
fn section_3_4_a_server_says_its_settings_first() {
    let mut side = Side::new(Connection::server(wire::h2::Config::default()));
    let written = side.written();
    assert_eq!((written[0].kind, written[0].flags, written[0].stream), (SETTINGS, 0, 0));
    assert_eq!(side.receive(&PREFACE[..10]), Ok(vec![]));
    assert_eq!(side.receive(&PREFACE[10..]), Ok(vec![]));
    assert!(!side.connection.has_peer_settings());
    assert_eq!(side.receive(&frame(SETTINGS, 0, 0, &[])), Ok(vec![]));
    assert!(side.connection.has_peer_settings() && !side.connection.is_acknowledged());
    assert_eq!(side.written(), [Written { kind: SETTINGS, flags: END, stream: 0, payload: vec![] }]);
}

#[test]
fn section_3_4_a_client_says_the_preface_first() {
    let mut side = Side::new(Connection::client(wire::h2::Config::default()));
    let rest = side.out.strip_prefix(PREFACE).expect("the preface").to_vec();
    assert_eq!(frames(&rest)[0].kind, SETTINGS);
    side.out.clear();
    assert_eq!(side.receive(&frame(SETTINGS, 0, 0, &[])), Ok(vec![]));
}

#[test]
fn section_3_4_another_preface_is_an_error() {
    for wrong in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSX", b"INVALID CONNECTION PREFACE\r\n\r\n", b"\0"]
    {
        let mut side = Side::new(Connection::server(wire::h2::Config::default()));
        side.out.clear();
        assert_eq!(side.fails(wrong), ErrorCode::PROTOCOL_ERROR);
    }
}

#[test]
fn section_3_4_settings_come_first() {
    for first in [frame(PING, 0, 0, &[0; 8]), get(1), frame(SETTINGS, END, 0, &[]), frame(0x20, 0, 0, b"x")] {
        let mut side = Side::new(Connection::server(wire::h2::Config::default()));
        side.out.clear();
        assert_eq!(side.fails(&[PREFACE, &first].concat()), ErrorCode::PROTOCOL_ERROR);
    }
}

#[test]
fn section_4_1_unknown_types_and_flags_are_passed_over() {
    let mut side = Side::server();
    assert_eq!(side.receive(&frame(0x20, 0xff, 0, &[7; 300])), Ok(vec![]));
    assert_eq!(side.drip(&frame(0x20, 0xff, 7, &[7; 300])), Ok(vec![]));
    assert_eq!(side.receive(&frame(PING, 0xfe, 0, b"abcdefgh")), Ok(vec![]));
    assert_eq!(side.written(), [Written { kind: PING, flags: END, stream: 0, payload: b"abcdefgh".to_vec() }]);
    let mut ping = frame(PING, 0, 0, b"abcdefgh");
    ping[5] |= 0x80;
    assert_eq!(side.receive(&ping), Ok(vec![]), "the reserved bit says nothing");
    assert_eq!(side.written().len(), 1);
}

#[test]
fn section_4_2_frames_beyond_the_limit_are_an_error() {
    for kind in [DATA, HEADERS, PRIORITY, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, 0x20] {
        let mut side = Side::server();
        let stream = u32::from(!matches!(kind, SETTINGS | PING | WINDOW_UPDATE));
        let code = side.fails(&frame(kind, END_HEADERS, stream, &[0; 16_385]));
        assert_eq!(code, ErrorCode::FRAME_SIZE_ERROR, "{kind}");
    }
    let mut side = Side::server();
    side.receive(&post(1)).expect("a request");
    assert_eq!(side.receive(&frame(DATA, END, 1, &[1; 16_384])).map(|events| events.len()), Ok(1));
}

#[test]
fn section_4_2_sizes_must_fit_the_type() {
    let wrong = [
        (RST_STREAM, 1, 3, ErrorCode::FRAME_SIZE_ERROR),
        (RST_STREAM, 1, 5, ErrorCode::FRAME_SIZE_ERROR),
        (SETTINGS, 0, 3, ErrorCode::FRAME_SIZE_ERROR),
        (SETTINGS, 0, 7, ErrorCode::FRAME_SIZE_ERROR),
        (PING, 0, 6, ErrorCode::FRAME_SIZE_ERROR),
        (PING, 0, 9, ErrorCode::FRAME_SIZE_ERROR),
        (GOAWAY, 0, 7, ErrorCode::FRAME_SIZE_ERROR),
        (WINDOW_UPDATE, 0, 3, ErrorCode::FRAME_SIZE_ERROR),
        (WINDOW_UPDATE, 1, 5, ErrorCode::FRAME_SIZE_ERROR),
    ];
    for (kind, stream, length, code) in wrong {
        let mut side = Side::server();
        side.receive(&post(1)).expect("a request");
        side.out.clear();
        assert_eq!(side.fails(&frame(kind, 0, stream, &vec![0; length])), code, "{kind} {length}");
    }
    // RFC 9113, section 6.3: PRIORITY is about its stream alone, where that is there.
    let mut side = Side::server();
    side.receive(&post(1)).expect("a request");
    assert_eq!(side.resets(&frame(PRIORITY, 0, 1, &[0; 4])), (1, ErrorCode::FRAME_SIZE_ERROR));
}

#[test]
fn sections_6_types_belong_on_streams_or_on_the_connection() {
    for kind in [DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION] {
        let length = if kind == PRIORITY { 5 } else { 4 };
        let code = Side::server().fails(&frame(kind, END_HEADERS, 0, &vec![0; length]));
        assert_eq!(code, ErrorCode::PROTOCOL_ERROR, "{kind}");
    }
    for (kind, length) in [(SETTINGS, 6), (PING, 8), (GOAWAY, 8)] {
        let code = Side::server().fails(&frame(kind, 0, 1, &vec![0; length]));
        assert_eq!(code, ErrorCode::PROTOCOL_ERROR, "{kind}");
    }
}

#[test]
fn section_4_3_blocks_that_cannot_be_decoded_are_compression_errors() {
    for block in
        [&b"\x40"[..], b"\x80", b"\xff\xff\xff\xff\xff", b"\x82\x3f\xe2\x1f", b"\x3f\xe2\x1f", b"\x00\x81\x00\x01a"]
    {
        let mut side = Side::server();
        let code = side.fails(&frame(HEADERS, END_HEADERS | END, 1, block));
        assert_eq!(code, ErrorCode::COMPRESSION_ERROR, "{block:?}");
    }
    // The context is one for all streams, those that are refused included.
    let mut side = Side::server();
    side.receive(&post(1)).expect("a request");
    side.connection.leave(ErrorCode::NO_ERROR, "", &mut side.out);
    side.out.clear();
    assert_eq!(side.fails(&frame(HEADERS, END_HEADERS | END, 3, b"\x80")), ErrorCode::COMPRESSION_ERROR);
}

#[test]
fn sections_4_3_and_6_10_nothing_comes_between_the_parts_of_a_block() {
    let others = [
        frame(DATA, 0, 1, b"x"),
        headers(1, 0, &GET),
        headers(3, END, &GET),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(0x20, 0, 1, b"x"),
        frame(CONTINUATION, END_HEADERS, 3, b""),
        window_update(0, 1),
        rst_stream(1, ErrorCode::CANCEL),
    ];
    for other in others {
        let mut side = Side::server();
        let fields = block(&GET);
        assert_eq!(side.receive(&frame(HEADERS, END, 1, &fields[..3])), Ok(vec![]));
        assert!(side.connection.is_within_head());
        assert_eq!(side.fails(&other), ErrorCode::PROTOCOL_ERROR, "{other:?}");
    }
}

#[test]
fn section_6_10_continuation_follows_headers_without_end() {
    for before in [vec![], get(1), [get(1), frame(CONTINUATION, END_HEADERS, 1, b"")].concat(), post(1)] {
        let mut side = Side::server();
        let all = [before, frame(CONTINUATION, END_HEADERS, 1, b"")].concat();
        assert_eq!(side.fails(&all), ErrorCode::PROTOCOL_ERROR);
    }
    let mut side = Side::server();
    side.receive(&[post(1), frame(DATA, 0, 1, b"x")].concat()).expect("a request");
    side.out.clear();
    assert_eq!(side.fails(&frame(CONTINUATION, END_HEADERS, 1, b"")), ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn sections_6_2_and_6_10_a_block_may_come_in_many_pieces() {
    let fields = block(&[&GET[..], &[("user-agent", "curl/8")]].concat());
    for cut in 0..fields.len() {
        let pieces = [
            frame(HEADERS, END, 1, &fields[..cut / 2]),
            frame(CONTINUATION, 0, 1, &fields[cut / 2..cut]),
            frame(CONTINUATION, END_HEADERS, 1, &fields[cut..]),
        ];
        for drips in [false, true] {
            let mut side = Side::server();
            let all = pieces.concat();
            let events = if drips { side.drip(&all) } else { side.receive(&all) }.expect("fine");
            assert!(matches!(events[..], [Event::Head { ends: true, .. }]), "{events:?}");
            assert!(!side.connection.is_within_head());
            assert_eq!(side.slot.request.field(&side.slot.buf, b"user-agent"), Some(&b"curl/8"[..]));
        }
    }
}

#[test]
fn sections_6_1_and_6_2_padding_is_taken_off() {
    let mut side = Side::server();
    let padded = [&[5][..], &block(&POST), &[0; 5]].concat();
    let with_priority = [&[5, 0, 0, 0, 7, 9][..], &block(&POST), &[0; 5]].concat();
    let all = [
        frame(HEADERS, END_HEADERS | PADDED, 1, &padded),
        frame(HEADERS, END_HEADERS | PADDED | PRIORITISED, 3, &with_priority),
        frame(DATA, PADDED, 1, b"\x03abc\0\0\0"),
        frame(DATA, PADDED | END, 3, b"\0def"),
        frame(DATA, PADDED | END, 1, b"\x02\0\0"),
    ]
    .concat();
    let mut dripped = Side::server();
    dripped.drip(&all).expect("fine");
    let events = side.receive(&all).expect("fine");
    assert_eq!(events.len(), 5);
    assert_eq!((&side.data[..], &dripped.data[..]), (&b"abcdef"[..], &b"abcdef"[..]));
    assert!(matches!(events[4], Event::Data { ends: true, .. }));
}

#[test]
fn sections_6_1_and_6_2_padding_fits_its_frame() {
    let all = block(&GET);
    let length = u8::try_from(all.len() + 1).expect("small");
    for (kind, payload) in [(DATA, b"\x05abcd".to_vec()), (HEADERS, [&[length][..], &all].concat()), (DATA, vec![1])] {
        let mut side = Side::server();
        side.receive(&post(1)).expect("a request");
        side.out.clear();
        let code = side.fails(&frame(kind, PADDED | END_HEADERS, if kind == DATA { 1 } else { 3 }, &payload));
        assert_eq!(code, ErrorCode::PROTOCOL_ERROR);
    }
    let mut side = Side::server();
    side.receive(&post(1)).expect("a request");
    side.out.clear();
    assert_eq!(side.fails(&frame(DATA, PADDED, 1, b"")), ErrorCode::FRAME_SIZE_ERROR);
    assert_eq!(Side::server().fails(&frame(HEADERS, PADDED, 1, b"")), ErrorCode::FRAME_SIZE_ERROR);
    assert_eq!(Side::server().fails(&frame(HEADERS, PRIORITISED, 1, &[0; 4])), ErrorCode::FRAME_SIZE_ERROR);
}

#[test]
fn section_5_3_1_a_stream_does_not_depend_on_itself() {
    let mut side = Side::server();
    let payload = [&[0, 0, 0, 1, 0][..], &block(&GET)].concat();
    let bytes = frame(HEADERS, END | END_HEADERS | PRIORITISED, 1, &payload);
    assert_eq!(side.resets(&bytes), (1, ErrorCode::PROTOCOL_ERROR));
    side.receive(&post(3)).expect("a request");
    assert_eq!(side.resets(&frame(PRIORITY, 0, 3, &[0, 0, 0, 3, 0])), (3, ErrorCode::PROTOCOL_ERROR));
    assert_eq!(side.fails(&frame(PRIORITY, 0, 5, &[0, 0, 0, 5, 0])), ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn section_5_3_2_priorities_are_taken_and_have_no_effect() {
    let mut side = Side::server();
    let payload = [&[0x80, 0, 0, 0, 255][..], &block(&GET)].concat();
    let all = [
        frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]),
        frame(PRIORITY, 0, 101, &[0x80, 0, 0, 3, 1]),
        frame(HEADERS, END | END_HEADERS | PRIORITISED, 1, &payload),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]),
    ]
    .concat();
    assert!(matches!(side.event(&all), Event::Head { ends: true, .. }));
    assert!(side.written().is_empty());
}

#[test]
fn section_6_7_pings_are_answered_with_their_payload() {
    let mut side = Side::server();
    assert_eq!(side.receive(&frame(PING, 0, 0, b"abcdefgh")), Ok(vec![]));
    assert_eq!(side.written(), [Written { kind: PING, flags: END, stream: 0, payload: b"abcdefgh".to_vec() }]);
    assert_eq!(side.receive(&frame(PING, END, 0, b"unknown!")), Ok(vec![]));
    assert_eq!(side.written(), []);
    side.connection.ping(5, &mut side.out);
    side.connection.ping(6, &mut side.out);
    assert_eq!(side.connection.ping_sent_ms(), Some(5));
    let [ping] = &side.written()[..] else { unreachable!("one at a time") };
    assert_eq!((ping.kind, ping.flags), (PING, 0));
    assert_eq!(side.event(&frame(PING, END, 0, &ping.payload)), Event::Pong);
    assert_eq!(side.connection.ping_sent_ms(), None);
}

#[test]
fn section_8_4_nothing_is_pushed_to_a_server() {
    assert_eq!(Side::server().fails(&frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(Side::client().fails(&frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])), ErrorCode::PROTOCOL_ERROR);
}
