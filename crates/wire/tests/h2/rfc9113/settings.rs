//! Section 6.5: settings. RFC 8441, section 3.

use wire::h2::{Config, Connection, ErrorCode, Event, More};

use crate::peer::*;

fn says(side: &mut Side, pairs: &[(u16, u32)]) -> Result<Vec<Event>, ErrorCode> {
    side.receive(&frame(SETTINGS, 0, 0, &settings(pairs))).map_err(|error| error.code)
}

#[test]
fn section_6_5_settings_are_acknowledged() {
    let mut side = Side::server();
    assert_eq!(says(&mut side, &[(1, 100), (3, 5), (5, 20_000), (6, 1000), (8, 1), (0xabcd, 77)]), Ok(vec![]));
    assert_eq!(side.written(), [Written { kind: SETTINGS, flags: END, stream: 0, payload: vec![] }]);
    assert_eq!(side.drip(&frame(SETTINGS, 0, 0, &settings(&[(4, 70_000), (3, 1)]))), Ok(vec![]));
    assert_eq!(side.written().len(), 1);
}

#[test]
fn section_6_5_an_acknowledgement_is_empty() {
    assert_eq!(Side::server().fails(&frame(SETTINGS, END, 0, &settings(&[(3, 5)]))), ErrorCode::FRAME_SIZE_ERROR);
}

#[test]
fn section_6_5_2_values_have_bounds() {
    let protocol = Err(ErrorCode::PROTOCOL_ERROR);
    assert_eq!(says(&mut Side::server(), &[(2, 2)]), protocol);
    assert_eq!(says(&mut Side::server(), &[(4, 0x8000_0000)]), Err(ErrorCode::FLOW_CONTROL_ERROR));
    assert_eq!(says(&mut Side::server(), &[(5, 16_383)]), protocol);
    assert_eq!(says(&mut Side::server(), &[(5, 0x0100_0000)]), protocol);
    assert_eq!(says(&mut Side::server(), &[(8, 2)]), protocol);
    assert_eq!(says(&mut Side::server(), &[(8, 1), (8, 0)]), protocol);
    let fine = [(2, 0), (2, 1), (4, 0), (4, 0x7fff_ffff), (5, 16_384), (5, 0x00ff_ffff), (3, 0), (1, u32::MAX)];
    assert_eq!(says(&mut Side::server(), &fine), Ok(vec![]));
    assert_eq!(says(&mut Side::client(), &[(2, 1)]), protocol, "only clients are pushed to");
    assert_eq!(says(&mut Side::client(), &[(2, 0)]), Ok(vec![]));
}

#[test]
fn section_6_5_2_ours_are_told() {
    let told = |connection: Connection| {
        let mut side = Side::new(connection);
        let out = std::mem::take(&mut side.out);
        let written = frames(out.strip_prefix(wire::h2::PREFACE).unwrap_or(&out));
        let pairs: Vec<_> = written[0].payload.chunks(6).map(<[u8]>::to_vec).collect();
        (pairs.concat(), written.get(1).map(|update| (update.kind, update.number(0))))
    };
    let config = Config { stream_window: 65_536, connection_window: 100_000, ..Config::default() };
    let update = Some((WINDOW_UPDATE, 100_000 - 65_535));
    let server = settings(&[(3, 100), (4, 65_536), (6, 32 * 1024), (8, 1)]);
    assert_eq!(told(Connection::server(config)), (server, update));
    let client = settings(&[(2, 0), (4, 65_536), (6, 32 * 1024)]);
    assert_eq!(told(Connection::client(config)), (client, update));
    let plain = Config {
        stream_window: 65_535,
        connection_window: 65_535,
        table_bytes: 0,
        extended_connect: false,
        ..Config::default()
    };
    assert_eq!(told(Connection::server(plain)), (settings(&[(1, 0), (3, 100), (6, 32 * 1024)]), None));
}

#[test]
fn section_6_5_3_a_lower_table_counts_once_it_is_acknowledged() {
    let config = Config { table_bytes: 0, ..Config::default() };
    let indexed = [&[0x82, 0x87, 0x84][..], b"\x41\x01a", b"\x40\x01x\x01y"].concat();
    let mut side = Side::new(Connection::server(config));
    side.receive(&[wire::h2::PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).expect("fine");
    let head = side.event(&frame(HEADERS, END | END_HEADERS, 1, &indexed));
    assert!(matches!(head, Event::Head { .. }));
    side.receive(&frame(SETTINGS, END, 0, &[])).expect("fine");
    side.out.clear();
    let told = [&[0x20][..], &indexed].concat();
    assert!(matches!(side.event(&frame(HEADERS, END | END_HEADERS, 3, &told)), Event::Head { .. }));
    assert_eq!(side.fails(&frame(HEADERS, END | END_HEADERS, 5, &[0xbe])), ErrorCode::COMPRESSION_ERROR);
}

#[test]
fn section_6_5_2_the_peers_table_is_kept_to() {
    let mut side = Side::server();
    says(&mut side, &[(1, 0)]).expect("fine");
    side.out.clear();
    for id in [1, 3, 5] {
        let Event::Head { stream, .. } = side.event(&get(id)) else { unreachable!("a request") };
        let mut answer = side.connection.put_answer(stream, 200, &mut side.out).expect("it is there");
        answer.field(b"server", b"evenkeel");
        answer.finish(More::Ends);
        let [head] = &side.written()[..] else { unreachable!("one frame") };
        let literal = [&[0x88, 0x0f, 54 - 15, 8][..], b"evenkeel"].concat();
        let expected = if id == 1 { [&[0x20][..], &literal].concat() } else { literal };
        assert_eq!(head.payload, expected);
    }
}

#[test]
fn section_6_10_heads_larger_than_a_frame_are_continued() {
    let mut side = Side::server();
    let Event::Head { stream, .. } = side.event(&get(1)) else { unreachable!("a request") };
    let value = vec![b'v'; 20_000];
    let mut answer = side.connection.put_answer(stream, 200, &mut side.out).expect("it is there");
    answer.field(b"x-first", &value);
    answer.field(b"x-second", &value);
    answer.finish(More::Follows);
    let written = side.written();
    let shape: Vec<_> = written.iter().map(|frame| (frame.kind, frame.flags, frame.payload.len())).collect();
    let rest = 1 + (1 + 1 + 7 + 4 + 20_000) + (1 + 1 + 8 + 4 + 20_000) - 2 * 16_384;
    assert_eq!(shape, [(HEADERS, 0, 16_384), (CONTINUATION, 0, 16_384), (CONTINUATION, END_HEADERS, rest)]);
    // A peer that takes larger ones gets them whole.
    says(&mut side, &[(5, 100_000)]).expect("fine");
    side.out.clear();
    let Event::Head { stream, .. } = side.event(&get(3)) else { unreachable!("a request") };
    let mut answer = side.connection.put_answer(stream, 200, &mut side.out).expect("it is there");
    answer.field(b"x-third", &value);
    answer.finish(More::Ends);
    let [head] = &side.written()[..] else { unreachable!("one frame") };
    assert_eq!(head.flags, END_HEADERS | END);
}
