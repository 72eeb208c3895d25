//! Sections 5.2 and 6.9: flow control.

use wire::h2::{By, Config, ErrorCode, Event, Handle, More};

use crate::peer::*;

const INITIAL_WINDOW_SIZE: u16 = 4;

fn head(side: &mut Side, bytes: &[u8]) -> Handle {
    match side.event(bytes) {
        Event::Head { stream, .. } => stream,
        event => unreachable!("{event:?}"),
    }
}

/// A server that has begun an answer on each of so many streams; the client's windows for them are `window`.
fn answering(count: u32, window: u32) -> (Side, Vec<Handle>) {
    let mut side = Side::server();
    side.receive(&frame(SETTINGS, 0, 0, &settings(&[(INITIAL_WINDOW_SIZE, window)]))).expect("fine");
    let streams: Vec<_> = (0..count).map(|at| head(&mut side, &get(2 * at + 1))).collect();
    for stream in &streams {
        side.connection.put_answer(*stream, 200, &mut side.out).expect("it is there").finish(More::Follows);
    }
    side.out.clear();
    (side, streams)
}

fn put(side: &mut Side, stream: Handle, data: &[u8]) -> usize {
    side.connection.put_data(stream, data, More::Ends, &mut side.out).expect("it is there")
}

#[test]
fn section_6_9_data_goes_as_far_as_the_window_of_the_stream() {
    let (mut side, streams) = answering(1, 1);
    assert_eq!(put(&mut side, streams[0], b"hello"), 1);
    assert_eq!(put(&mut side, streams[0], b"ello"), 0);
    assert_eq!(side.written(), [Written { kind: DATA, flags: 0, stream: 1, payload: b"h".to_vec() }]);
    assert_eq!(side.connection.next_writable(), None);
    assert_eq!(side.receive(&window_update(1, 2)), Ok(vec![]));
    assert_eq!(side.connection.next_writable(), Some(streams[0]));
    assert_eq!(side.connection.next_writable(), None);
    assert_eq!(put(&mut side, streams[0], b"ello"), 2);
    assert_eq!(put(&mut side, streams[0], b"lo"), 0);
    assert_eq!(side.receive(&window_update(1, 100)), Ok(vec![]));
    assert_eq!(side.connection.next_writable(), Some(streams[0]));
    assert_eq!(put(&mut side, streams[0], b"lo"), 2);
    assert_eq!(side.written()[1], Written { kind: DATA, flags: END, stream: 1, payload: b"lo".to_vec() });
}

#[test]
fn section_6_9_the_end_of_a_stream_needs_no_window() {
    let (mut side, streams) = answering(1, 0);
    assert_eq!(put(&mut side, streams[0], b""), 0);
    assert_eq!(side.written(), [Written { kind: DATA, flags: END, stream: 1, payload: vec![] }]);
    let (mut side, streams) = answering(1, 0);
    assert_eq!(put(&mut side, streams[0], b"x"), 0);
    let mut trailers = side.connection.put_trailers(streams[0], &mut side.out).expect("it is there");
    trailers.field(b"Grpc-Status", b"0");
    trailers.finish(More::Ends);
    assert_eq!((side.written()[0].kind, side.written().len()), (HEADERS, 0));
}

#[test]
fn section_6_9_2_a_change_of_the_setting_changes_open_windows() {
    let (mut side, streams) = answering(1, 3);
    assert_eq!(put(&mut side, streams[0], b"hello"), 3);
    assert_eq!(put(&mut side, streams[0], b"lo"), 0);
    // From 3 to 2: the window is -1.
    side.receive(&frame(SETTINGS, 0, 0, &settings(&[(INITIAL_WINDOW_SIZE, 2)]))).expect("fine");
    side.receive(&window_update(1, 1)).expect("fine");
    assert_eq!(side.connection.next_writable(), None);
    side.receive(&frame(SETTINGS, 0, 0, &settings(&[(INITIAL_WINDOW_SIZE, 3)]))).expect("fine");
    assert_eq!(side.connection.next_writable(), Some(streams[0]));
    assert_eq!(put(&mut side, streams[0], b"lo"), 1);
}

#[test]
fn section_6_9_2_several_values_in_one_frame_count_in_order() {
    let (mut side, streams) = answering(1, 10);
    let payload = settings(&[(INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)]);
    side.receive(&frame(SETTINGS, 0, 0, &payload)).expect("fine");
    assert_eq!(put(&mut side, streams[0], b"hello"), 1);
}

#[test]
fn section_6_9_the_window_of_the_connection_is_shared_in_turns() {
    let (mut side, streams) = answering(4, 1 << 20);
    let data = vec![b'x'; 40_000];
    let mut sent = [0; 4];
    for (at, stream) in streams.iter().enumerate() {
        sent[at] += put(&mut side, *stream, &data);
        assert_eq!(put(&mut side, *stream, &data[sent[at]..]), 0, "others first");
    }
    assert_eq!(sent, [16_384, 16_384, 16_384, 16_383]);
    assert_eq!((side.connection.next_writable(), side.connection.has_writable()), (None, false));
    side.receive(&window_update(0, 60_000)).expect("fine");
    assert!(side.connection.has_writable());
    let mut order = Vec::new();
    while let Some(stream) = side.connection.next_writable() {
        let at = streams.iter().position(|other| *other == stream).expect("one of them");
        order.push(at);
        sent[at] += put(&mut side, stream, &data[sent[at]..]);
    }
    assert_eq!(order, [0, 1, 2, 3]);
    assert_eq!(sent, [32_768, 32_768, 32_768, 16_383 + 60_000 - 3 * 16_384]);
    side.receive(&window_update(0, 60_000)).expect("fine");
    order.clear();
    while let Some(stream) = side.connection.next_writable() {
        let at = streams.iter().position(|other| *other == stream).expect("one of them");
        order.push(at);
        sent[at] += put(&mut side, stream, &data[sent[at]..]);
    }
    assert_eq!((order, sent), (vec![0, 1, 2, 3], [40_000; 4]));
}

#[test]
fn section_4_2_frames_are_no_larger_than_the_peer_takes() {
    let (mut side, streams) = answering(1, 1 << 20);
    let data = vec![0; 30_000];
    assert_eq!(put(&mut side, streams[0], &data), 16_384);
    assert_eq!(side.connection.next_writable(), Some(streams[0]));
    assert_eq!(put(&mut side, streams[0], &data[16_384..]), 30_000 - 16_384);
    let sizes: Vec<_> = side.written().iter().map(|frame| frame.payload.len()).collect();
    assert_eq!(sizes, [16_384, 13_616]);
}

#[test]
fn sections_6_9_1_windows_do_not_overflow() {
    let mut side = Side::server();
    assert_eq!(side.fails(&[window_update(0, 0x7fff_ffff)].concat()), ErrorCode::FLOW_CONTROL_ERROR);
    let mut side = Side::server();
    head(&mut side, &get(1));
    assert_eq!(side.resets(&window_update(1, 0x7fff_ffff)), (1, ErrorCode::FLOW_CONTROL_ERROR));
    let mut side = Side::server();
    head(&mut side, &get(1));
    assert_eq!(side.receive(&window_update(1, 0x7fff_ffff - 65_535)), Ok(vec![]));
    assert_eq!(side.fails(&frame(SETTINGS, 0, 0, &settings(&[(4, 65_536)]))), ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn section_6_9_updates_by_nothing_are_errors() {
    assert_eq!(Side::server().fails(&window_update(0, 0)), ErrorCode::PROTOCOL_ERROR);
    let mut side = Side::server();
    let stream = head(&mut side, &get(1));
    let events = side.receive(&window_update(1, 0)).expect("the connection goes on");
    let by = By::Us("WINDOW_UPDATE by 0");
    assert_eq!(events, [Event::Reset { stream, code: ErrorCode::PROTOCOL_ERROR, by }]);
}

#[test]
fn section_6_9_the_peer_keeps_to_the_window_of_the_connection() {
    let mut side = Side::server_with(Config { stream_window: 1 << 20, connection_window: 0, ..Config::default() });
    head(&mut side, &post(1));
    let data: Vec<u8> = (0..4).flat_map(|_| frame(DATA, 0, 1, &[0; 16_000])).collect();
    side.receive(&data).expect("64,000 bytes fit");
    side.out.clear();
    assert_eq!(side.fails(&frame(DATA, 0, 1, &[0; 1536])), ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn section_6_9_the_peer_keeps_to_the_window_of_the_stream() {
    let mut side = Side::server_with(Config { stream_window: 20_000, ..Config::default() });
    let stream = head(&mut side, &post(1));
    side.receive(&frame(DATA, 0, 1, &[0; 16_000])).expect("fits");
    let events = side.receive(&frame(DATA, END, 1, &[0; 4001])).expect("the connection goes on");
    let by = By::Us("more DATA than the window of the stream allows");
    assert_eq!(events, [Event::Reset { stream, code: ErrorCode::FLOW_CONTROL_ERROR, by }]);
}

#[test]
fn section_6_9_3_a_smaller_window_counts_once_it_is_acknowledged() {
    let config = Config { stream_window: 100, ..Config::default() };
    let mut side = Side::new(wire::h2::Connection::server(config));
    side.receive(&[wire::h2::PREFACE, &frame(SETTINGS, 0, 0, &[]), &post(1), &post(3)].concat()).expect("fine");
    assert_eq!(side.receive(&frame(DATA, 0, 1, &[0; 10_000])).map(|events| events.len()), Ok(1));
    side.receive(&frame(SETTINGS, END, 0, &[])).expect("fine");
    side.out.clear();
    assert_eq!(side.receive(&frame(DATA, 0, 3, &[0; 100])).map(|events| events.len()), Ok(1));
    assert_eq!(side.resets(&frame(DATA, 0, 3, &[0; 1])), (3, ErrorCode::FLOW_CONTROL_ERROR));
    assert_eq!(side.resets(&frame(DATA, 0, 1, &[0; 1])), (1, ErrorCode::FLOW_CONTROL_ERROR));
}

#[test]
fn section_6_9_updates_are_sent_when_half_is_consumed() {
    let mut side = Side::server_with(Config { stream_window: 20_000, connection_window: 70_000, ..Config::default() });
    let stream = head(&mut side, &post(1));
    side.receive(&frame(DATA, 0, 1, &[0; 16_000])).expect("fits");
    side.connection.consumed(stream, 9_999, &mut side.out);
    assert_eq!(side.written(), []);
    side.connection.consumed(stream, 1, &mut side.out);
    let [update] = &side.written()[..] else { unreachable!("one frame") };
    assert_eq!((update.kind, update.stream, update.number(0)), (WINDOW_UPDATE, 1, 10_000));
    side.receive(&frame(DATA, 0, 1, &[0; 14_000])).expect("fits again");
    side.connection.consumed(stream, 1 << 40, &mut side.out);
    assert_eq!(side.written().len(), 1, "no more than was received");
    side.receive(&frame(DATA, END, 1, &[0; 10_000])).expect("fits");
    side.connection.consumed(stream, 10_000, &mut side.out);
    let [update] = &side.written()[..] else { unreachable!("the stream has ended") };
    assert_eq!((update.kind, update.stream, update.number(0)), (WINDOW_UPDATE, 0, 40_000));
}

#[test]
fn section_6_9_padding_counts_and_is_given_back() {
    let mut side = Side::server_with(Config { stream_window: 300, connection_window: 65_535, ..Config::default() });
    head(&mut side, &post(1));
    let padded = [&[199][..], &[0; 199]].concat();
    side.receive(&frame(DATA, PADDED, 1, &padded)).expect("fits");
    let [update] = &side.written()[..] else { unreachable!("one frame") };
    assert_eq!((update.stream, update.number(0)), (1, 200));
}

#[test]
fn sections_5_2_and_6_9_what_nobody_takes_is_given_back_to_the_connection() {
    let mut side = Side::server_with(Config { connection_window: 70_000, ..Config::default() });
    let mut sum = 0;
    for at in 0..100_u32 {
        let id = 2 * at + 1;
        let stream = head(&mut side, &post(id));
        let data = frame(DATA, 0, id, &[0; 10_000]);
        match at % 4 {
            // Delivered and never consumed.
            0 => drop(side.receive(&data).expect("fits")),
            // Reset before, in the middle, and after its end.
            1 => {
                side.connection.reset(stream, ErrorCode::CANCEL, &mut side.out);
                side.receive(&data).expect("fits");
            }
            2 => {
                side.receive(&data[..5000]).expect("fits");
                side.connection.reset(stream, ErrorCode::CANCEL, &mut side.out);
                side.receive(&data[5000..]).expect("fits");
            }
            _ => {
                side.receive(&data[..5000]).expect("fits");
                side.connection.release(stream, &mut side.out);
                side.receive(&data[5000..]).expect("fits");
            }
        }
        side.connection.release(stream, &mut side.out);
        let told = side.written();
        sum += told.iter().filter(|f| f.kind == WINDOW_UPDATE && f.stream == 0).map(|f| f.number(0)).sum::<u32>();
    }
    assert!(sum > 1_000_000 - 35_000, "{sum}");
}
