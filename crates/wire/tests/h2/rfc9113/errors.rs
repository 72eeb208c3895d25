//! Section 5.4: errors of streams leave the connection alone; errors of the connection are told and end it.

use wire::h2::{ErrorCode, Event, More};

use crate::peer::*;

#[test]
fn section_5_4_1_goaway_names_the_last_stream_and_the_reason() {
    let mut side = Side::server();
    side.receive(&[get(1), get(7)].concat()).expect("requests");
    let error = side.receive(&frame(PING, 0, 0, &[0; 7])).expect_err("a wrong size");
    assert_eq!((error.code, error.abuse), (ErrorCode::FRAME_SIZE_ERROR, None));
    let [goaway] = &side.written()[..] else { unreachable!("one frame") };
    assert_eq!((goaway.number(0), ErrorCode(goaway.number(4))), (7, ErrorCode::FRAME_SIZE_ERROR));
    assert_eq!(&goaway.payload[8..], error.why.as_bytes());
}

#[test]
fn section_5_4_2_others_go_on_when_a_stream_fails() {
    let mut side = Side::server();
    let Event::Head { stream, .. } = side.event(&post(1)) else { unreachable!("a request") };
    side.event(&headers(3, 0, &[&POST[..], &[("content-length", "1")]].concat()));
    assert_eq!(side.resets(&frame(DATA, END, 3, b"too much")), (3, ErrorCode::PROTOCOL_ERROR));
    assert!(matches!(side.event(&frame(DATA, END, 1, b"fine")), Event::Data { ends: true, .. }));
    side.connection.put_answer(stream, 200, &mut side.out).expect("it is there").finish(More::Ends);
    assert_eq!(side.written()[0].kind, HEADERS);
}

#[test]
fn section_7_codes_have_their_names() {
    assert_eq!(ErrorCode::NO_ERROR.name(), "NO_ERROR");
    assert_eq!(ErrorCode::HTTP_1_1_REQUIRED.name(), "HTTP_1_1_REQUIRED");
    assert_eq!((ErrorCode(14).name(), ErrorCode(u32::MAX).name()), ("", ""));
}
