//! Section 5.1: the states of streams, their numbers, how many there are. Section 6.4 and 6.8: their ends.

use wire::h2::{By, Config, ErrorCode, Event, Gone, Handle, More};

use crate::peer::*;

fn head(side: &mut Side, bytes: &[u8]) -> Handle {
    match side.event(bytes) {
        Event::Head { stream, .. } => stream,
        event => unreachable!("{event:?}"),
    }
}

/// Answers with an empty 204 and releases.
fn answer(side: &mut Side, stream: Handle) {
    side.connection.put_answer(stream, 204, &mut side.out).expect("it is there").finish(More::Ends);
    side.connection.release(stream, &mut side.out);
}

#[test]
fn section_5_1_idle_streams_take_headers_and_priority_only() {
    for bytes in [frame(DATA, END, 1, b"x"), rst_stream(1, ErrorCode::CANCEL), window_update(1, 10)] {
        assert_eq!(Side::server().fails(&bytes), ErrorCode::PROTOCOL_ERROR);
    }
    assert_eq!(Side::server().fails(&frame(CONTINUATION, END_HEADERS, 1, b"")), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(Side::server().fails(&window_update(2, 10)), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(Side::server().receive(&frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])), Ok(vec![]));
}

#[test]
fn section_5_1_half_closed_remote_takes_no_more_data_and_headers() {
    for bytes in [frame(DATA, END, 1, b"x"), headers(1, END, &[("x", "y")])] {
        let mut side = Side::server();
        head(&mut side, &get(1));
        assert_eq!(side.resets(&bytes), (1, ErrorCode::STREAM_CLOSED));
    }
    let mut side = Side::server();
    head(&mut side, &get(1));
    let others = [window_update(1, 5), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])].concat();
    assert_eq!(side.receive(&others), Ok(vec![]));
    assert!(matches!(side.event(&rst_stream(1, ErrorCode::CANCEL)), Event::Reset { by: By::Peer, .. }));
}

#[test]
fn section_5_1_closed_streams_take_nothing_but_what_crossed_their_end() {
    for releases in [false, true] {
        let closed = || {
            let mut side = Side::server();
            let stream = head(&mut side, &get(1));
            side.connection.put_answer(stream, 204, &mut side.out).expect("it is there").finish(More::Ends);
            if releases {
                side.connection.release(stream, &mut side.out);
            }
            side.out.clear();
            side
        };
        let late = [window_update(1, 5), rst_stream(1, ErrorCode::CANCEL), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])];
        let mut side = closed();
        assert_eq!(side.receive(&late.concat()), Ok(vec![]));
        assert_eq!(side.written(), []);
        assert_eq!(closed().resets(&frame(DATA, END, 1, b"x")), (1, ErrorCode::STREAM_CLOSED));
        assert_eq!(closed().fails(&headers(1, END, &GET)), ErrorCode::STREAM_CLOSED);
        assert_eq!(closed().fails(&frame(CONTINUATION, END_HEADERS, 1, b"")), ErrorCode::PROTOCOL_ERROR);
    }
}

#[test]
fn section_5_1_after_a_reset_of_the_peer_its_frames_are_errors() {
    for releases in [false, true] {
        for bytes in [frame(DATA, END, 1, b"x"), headers(1, END, &[("x", "y")])] {
            let mut side = Side::server();
            let stream = head(&mut side, &post(1));
            let reset = Event::Reset { stream, code: ErrorCode::CANCEL, by: By::Peer };
            assert_eq!(side.event(&rst_stream(1, ErrorCode::CANCEL)), reset);
            if releases {
                side.connection.release(stream, &mut side.out);
            }
            assert_eq!(side.written(), []);
            assert_eq!(side.resets(&bytes), (1, ErrorCode::STREAM_CLOSED));
        }
    }
}

#[test]
fn section_5_1_after_our_reset_what_was_under_way_is_passed_over() {
    for releases in [false, true] {
        let mut side = Side::server();
        let stream = head(&mut side, &post(1));
        side.connection.reset(stream, ErrorCode::CANCEL, &mut side.out);
        side.connection.reset(stream, ErrorCode::CANCEL, &mut side.out);
        if releases {
            side.connection.release(stream, &mut side.out);
        }
        assert_eq!(side.written().len(), 1, "reset once");
        let late = [
            window_update(1, 5),
            frame(DATA, 0, 1, &[1; 5000]),
            headers(1, END, &[("x", "y")]),
            rst_stream(1, ErrorCode::CANCEL),
        ];
        assert_eq!(side.receive(&late.concat()), Ok(vec![]));
        assert_eq!(side.written(), []);
        assert!(side.connection.put_answer(stream, 200, &mut side.out).is_err());
    }
}

#[test]
fn section_5_1_1_clients_use_odd_numbers_that_grow() {
    assert_eq!(Side::server().fails(&get(2)), ErrorCode::PROTOCOL_ERROR);
    let mut side = Side::server();
    head(&mut side, &get(5));
    assert_eq!(side.fails(&get(3)), ErrorCode::PROTOCOL_ERROR);
    let mut side = Side::server();
    head(&mut side, &get(0x7fff_ffff));
}

#[test]
fn section_5_1_2_streams_beyond_the_limit_are_refused() {
    let mut side = Side::server_with(Config { max_streams: 3, ..Config::default() });
    let first = head(&mut side, &get(1));
    for id in [3, 5] {
        head(&mut side, &get(id));
    }
    assert_eq!(side.resets(&get(7)), (7, ErrorCode::REFUSED_STREAM));
    answer(&mut side, first);
    head(&mut side, &get(9));
    assert_eq!(side.connection.streams(), 3);
}

#[test]
fn streams_count_until_the_application_is_done_with_them() {
    let mut side = Side::server_with(Config { max_streams: 2, ..Config::default() });
    let first = head(&mut side, &get(1));
    head(&mut side, &get(3));
    side.receive(&[rst_stream(1, ErrorCode::CANCEL), rst_stream(3, ErrorCode::CANCEL)].concat()).expect("fine");
    assert_eq!(side.resets(&get(5)), (5, ErrorCode::REFUSED_STREAM));
    side.connection.release(first, &mut side.out);
    head(&mut side, &get(7));
}

#[test]
fn section_6_4_a_reset_is_told_and_ends_the_stream() {
    let mut side = Side::server();
    let stream = head(&mut side, &post(1));
    let code = ErrorCode(0xdead_beef);
    assert_eq!(side.event(&rst_stream(1, code)), Event::Reset { stream, code, by: By::Peer });
    assert_eq!(side.connection.put_data(stream, b"x", More::Ends, &mut side.out), Err(Gone));
    assert!(side.connection.put_answer(stream, 200, &mut side.out).is_err());
    assert!(side.connection.put_trailers(stream, &mut side.out).is_err());
    side.connection.release(stream, &mut side.out);
    side.connection.release(stream, &mut side.out);
    assert_eq!(side.written(), []);
    assert_eq!(side.connection.streams(), 0);
}

#[test]
fn section_8_1_an_answer_may_end_before_its_request() {
    let mut side = Side::server();
    let stream = head(&mut side, &post(1));
    answer(&mut side, stream);
    let written = side.written();
    assert_eq!((written[0].kind, written[0].flags), (HEADERS, END | END_HEADERS));
    assert_eq!((written[1].kind, written[1].number(0)), (RST_STREAM, ErrorCode::NO_ERROR.0));
    // The rest of the request is on its way and harms nobody.
    assert_eq!(side.receive(&frame(DATA, END, 1, b"late")), Ok(vec![]));
    assert_eq!(side.written(), []);
}

#[test]
fn a_stream_that_was_not_answered_is_reset_when_it_is_released() {
    let mut side = Side::server();
    let stream = head(&mut side, &get(1));
    side.connection.release(stream, &mut side.out);
    let [reset] = &side.written()[..] else { unreachable!("one frame") };
    assert_eq!((reset.kind, reset.number(0)), (RST_STREAM, ErrorCode::INTERNAL_ERROR.0));
}

#[test]
fn slots_are_used_again_and_old_handles_say_nothing() {
    let mut side = Side::server();
    let old = head(&mut side, &get(1));
    answer(&mut side, old);
    let new = head(&mut side, &get(3));
    assert_eq!(old.slot, new.slot);
    assert_eq!(side.connection.put_data(old, b"x", More::Ends, &mut side.out), Err(Gone));
    side.connection.consumed(old, 5, &mut side.out);
    side.connection.release(old, &mut side.out);
    assert_eq!(side.connection.streams(), 1);
}

#[test]
fn section_6_8_a_server_that_leaves_takes_streams_until_the_client_knows() {
    let mut side = Side::server();
    let first = head(&mut side, &get(1));
    side.connection.drain(&mut side.out);
    side.connection.drain(&mut side.out);
    let written = side.written();
    assert_eq!((written[0].kind, written[0].number(0), written[0].number(4)), (GOAWAY, 0x7fff_ffff, 0));
    assert_eq!((written.len(), written[1].kind), (2, PING));
    let second = head(&mut side, &get(3));
    assert_eq!(side.receive(&frame(PING, END, 0, &written[1].payload)), Ok(vec![]));
    let [goaway] = &side.written()[..] else { unreachable!("one frame") };
    assert_eq!((goaway.kind, goaway.number(0), goaway.number(4)), (GOAWAY, 3, 0));
    assert_eq!(side.resets(&get(5)), (5, ErrorCode::REFUSED_STREAM));
    assert!(!side.connection.is_done());
    answer(&mut side, first);
    answer(&mut side, second);
    assert!(side.connection.is_done());
}

#[test]
fn section_6_8_goaway_of_a_client_is_told() {
    let mut side = Side::server();
    let stream = head(&mut side, &get(1));
    let payload = [&[0; 4][..], &ErrorCode::CANCEL.0.to_be_bytes(), b"some words about it"].concat();
    assert_eq!(side.event(&frame(GOAWAY, 0, 0, &payload)), Event::GoAway { last: 0, code: ErrorCode::CANCEL });
    assert!(!side.connection.is_done());
    answer(&mut side, stream);
    assert!(side.connection.is_done());
}
