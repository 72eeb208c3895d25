//! Useless work is cut off early, and by its name; clients that do much, but mean it, are not.

use wire::h2::{Abuse, Config, Connection, ErrorCode, Event, Handle, Input, More};

use crate::peer::*;

/// Answers all that is asked.
fn answer_all(side: &mut Side, events: &[Event]) {
    for event in events {
        if let Event::Head { stream, .. } | Event::Refused { stream, .. } = event {
            answer(side, *stream);
        }
    }
}

fn answer(side: &mut Side, stream: Handle) {
    if let Ok(answer) = side.connection.put_answer(stream, 200, &mut side.out) {
        answer.finish(More::Follows);
        side.connection.put_data(stream, b"hello", More::Ends, &mut side.out).expect("it is there");
    }
    side.connection.release(stream, &mut side.out);
}

/// Sends frames until the connection is cut off: why, after how many, and how much was written for them.
fn flood(mut side: Side, mut next: impl FnMut(u32) -> Vec<u8>, answers: bool) -> (Option<Abuse>, u32, usize) {
    let mut written = 0;
    for at in 0..100_000 {
        match side.receive(&next(at)) {
            Ok(events) => {
                if answers {
                    answer_all(&mut side, &events);
                } else {
                    release_reset(&mut side, &events);
                }
                written += std::mem::take(&mut side.out).len();
            }
            Err(error) => {
                assert_eq!(error.code, ErrorCode::ENHANCE_YOUR_CALM, "{error:?}");
                return (error.abuse, at, written);
            }
        }
    }
    (None, 100_000, written)
}

/// The application is done with what was reset.
fn release_reset(side: &mut Side, events: &[Event]) {
    for event in events {
        if let Event::Reset { stream, .. } = event {
            side.connection.release(*stream, &mut side.out);
        }
    }
}

fn id(at: u32) -> u32 {
    2 * at + 1
}

#[test]
fn rapid_reset_is_cut_off_after_200() {
    let next = |at| [get(id(at)), rst_stream(id(at), ErrorCode::CANCEL)].concat();
    let (abuse, count, written) = flood(Side::server(), next, false);
    assert_eq!((abuse, count), (Some(Abuse::RapidReset), 200));
    assert_eq!(written, 0);
}

#[test]
fn rapid_reset_of_work_that_goes_on_is_refused_at_the_limit_of_streams() {
    let mut side = Side::server();
    let mut begun = 0;
    for at in 0..199 {
        let events = side.receive(&[get(id(at)), rst_stream(id(at), ErrorCode::CANCEL)].concat()).expect("goes on");
        begun += events.iter().filter(|event| matches!(event, Event::Head { .. })).count();
    }
    assert_eq!((begun, side.connection.streams()), (100, 100), "nobody released");
}

#[test]
fn resets_that_we_are_made_to_send_are_cut_off_after_200() {
    let malformed = |at| headers(id(at), END, &[&GET[..], &[("connection", "x")]].concat());
    let wrong_update = |at| [get(id(at)), window_update(id(at), 0)].concat();
    let overflow = |at| [get(id(at)), window_update(id(at), 0x7fff_ffff)].concat();
    let late_data = |at| [get(id(at)), frame(DATA, END, id(at), b"x")].concat();
    let priority = |at| [get(id(at)), frame(PRIORITY, 0, id(at), &[0; 4])].concat();
    let length = |at| {
        let head = headers(id(at), 0, &[&POST[..], &[("content-length", "1")]].concat());
        [head, frame(DATA, END, id(at), b"xx")].concat()
    };
    let floods: [&dyn Fn(u32) -> Vec<u8>; 6] = [&malformed, &wrong_update, &overflow, &late_data, &priority, &length];
    for next in floods {
        let (abuse, count, written) = flood(Side::server(), next, false);
        assert_eq!((abuse, count), (Some(Abuse::ProvokedReset), 200));
        assert_eq!(written, 200 * 13, "a frame for each");
    }
    let beyond = flood(Side::server_with(Config { max_streams: 1, ..Config::default() }), |at| get(id(at)), false);
    assert_eq!((beyond.0, beyond.1), (Some(Abuse::ProvokedReset), 201));
}

#[test]
fn continuation_without_end_is_cut_off() {
    let mut side = Side::server();
    side.receive(&frame(HEADERS, 0, 1, &block(&GET))).expect("a beginning");
    let (abuse, count, _) = flood(side, |_| frame(CONTINUATION, 0, 1, &[0x82]), false);
    assert_eq!((abuse, count), (Some(Abuse::ContinuationFlood), 32));
    let mut side = Side::server();
    side.receive(&frame(HEADERS, 0, 1, &block(&GET))).expect("a beginning");
    let (abuse, count, _) = flood(side, |_| frame(CONTINUATION, 0, 1, &[0x82; 16_384]), false);
    assert_eq!((abuse, count), (Some(Abuse::ContinuationFlood), 8), "144 KiB for heads of 32 KiB");
    // A few in each of many blocks.
    let next = |at| {
        let fields = block(&GET);
        let rest: Vec<u8> = fields[1..5].iter().flat_map(|b| frame(CONTINUATION, 0, id(at), &[*b])).collect();
        let last = frame(CONTINUATION, END_HEADERS, id(at), &fields[5..]);
        [frame(HEADERS, END, id(at), &fields[..1]), rest, last].concat()
    };
    let (abuse, count, _) = flood(Side::server(), next, true);
    assert_eq!((abuse, count), (Some(Abuse::ContinuationFlood), 40), "requests of five");
}

#[test]
fn empty_frames_are_cut_off_after_100() {
    let mut side = Side::server();
    side.receive(&post(1)).expect("a request");
    let (abuse, count, _) = flood(side, |_| frame(DATA, 0, 1, b""), false);
    assert_eq!((abuse, count), (Some(Abuse::EmptyFrames), 100));
    let mut side = Side::server();
    side.receive(&post(1)).expect("a request");
    let padded = [&[255][..], &[0; 255]].concat();
    let (abuse, count, _) = flood(side, |_| frame(DATA, PADDED, 1, &padded), false);
    assert_eq!((abuse, count), (Some(Abuse::EmptyFrames), 100));
    let (abuse, count, _) = flood(Side::server(), |_| frame(0xbe, 0, 0, b""), false);
    assert_eq!((abuse, count), (Some(Abuse::EmptyFrames), 100));
}

#[test]
fn floods_of_control_frames_are_cut_off() {
    let (abuse, count, written) = flood(Side::server(), |_| frame(SETTINGS, 0, 0, &[]), false);
    // Two came with the preface.
    assert_eq!((abuse, count, written), (Some(Abuse::SettingsFlood), 28, 28 * 9));
    let (abuse, count, written) = flood(Side::server(), |_| frame(PING, 0, 0, &[0; 8]), false);
    assert_eq!((abuse, count, written), (Some(Abuse::PingFlood), 100, 100 * 17));
    let (abuse, count, written) = flood(Side::server(), |_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]), false);
    assert_eq!((abuse, count, written), (Some(Abuse::PriorityFlood), 300, 0));
    let (abuse, count, written) = flood(Side::server(), |_| window_update(0, 1), false);
    assert_eq!((abuse, count, written), (Some(Abuse::WindowUpdateFlood), 1000, 0));
}

/// A server with an answer of a mebibyte on its way to a client with tiny windows.
fn dripping(window: u32) -> (Side, Handle) {
    let mut side = Side::server();
    side.receive(&frame(SETTINGS, 0, 0, &settings(&[(4, window)]))).expect("fine");
    let Event::Head { stream, .. } = side.event(&get(1)) else { unreachable!("a request") };
    side.connection.put_answer(stream, 200, &mut side.out).expect("it is there").finish(More::Follows);
    (side, stream)
}

#[test]
fn windows_that_move_byte_by_byte_are_cut_off_after_1000() {
    let (mut side, stream) = dripping(1);
    let data = vec![0; 1 << 20];
    let mut sent = 0;
    for at in 0..100_000 {
        sent += side.connection.put_data(stream, &data[sent..], More::Ends, &mut side.out).expect("it is there");
        match side.receive(&window_update(1, 1)) {
            Ok(_) => assert_eq!(side.connection.next_writable(), Some(stream)),
            Err(error) => {
                assert_eq!((error.abuse, at, sent), (Some(Abuse::WindowUpdateFlood), 1000, 1001));
                return;
            }
        }
    }
    unreachable!("it goes on for ever");
}

#[test]
fn a_window_of_nothing_costs_nothing() {
    let (mut side, stream) = dripping(0);
    side.out.clear();
    assert_eq!(side.connection.put_data(stream, &[0; 1000], More::Ends, &mut side.out), Ok(0));
    assert_eq!((side.connection.next_writable(), side.out.len()), (None, 0));
    side.connection.reset(stream, ErrorCode::CANCEL, &mut side.out);
    side.connection.release(stream, &mut side.out);
    assert_eq!(side.out.len(), 13);
}

#[test]
fn a_block_that_grows_large_is_cut_off() {
    // One line of 4,000 bytes in the table, then an index a byte.
    let line = [&[0x82, 0x87, 0x84, 0x41, 1, b'a', 0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'v'; 4000]].concat();
    let mut side = Side::server();
    assert!(matches!(side.event(&frame(HEADERS, END | END_HEADERS, 1, &line)), Event::Head { .. }));
    let bomb = [&[0x82, 0x87, 0x84, 0x01, 1, b'a'][..], &[0xbe; 10_000]].concat();
    let error = side.receive(&frame(HEADERS, END | END_HEADERS, 3, &bomb)).expect_err("40 MB of fields");
    assert_eq!((error.abuse, error.code), (Some(Abuse::HeaderBomb), ErrorCode::ENHANCE_YOUR_CALM));
    assert!(side.slot.buf.capacity() < 128 * 1024, "{}", side.slot.buf.capacity());
    // Smaller ones, again and again.
    let mut side = Side::server();
    side.event(&frame(HEADERS, END | END_HEADERS, 1, &line));
    let bomb = [&[0x82, 0x87, 0x84, 0x01, 1, b'a'][..], &[0xbe; 60]].concat();
    let (abuse, count, _) = flood(side, |at| frame(HEADERS, END | END_HEADERS, id(at + 1), &bomb), true);
    assert_eq!((abuse, count), (Some(Abuse::HeaderBomb), 20));
}

#[test]
fn a_busy_client_is_left_alone() {
    // 20,000 requests in a second, each with frames around it: PING, updates of both windows, PRIORITY; one of five is
    // given up before its answer.
    let mut side = Side::server();
    let mut updates = 0;
    for at in 0..20_000 {
        side.now_ms = u64::from(at) / 20;
        let around = [frame(PRIORITY, 0, id(at), &[0, 0, 0, 0, 1]), get(id(at)), frame(PING, 0, 0, &[0; 8])].concat();
        let events = side.receive(&around).expect("left alone");
        if at % 5 == 0 {
            let events = side.receive(&rst_stream(id(at), ErrorCode::CANCEL)).expect("left alone");
            release_reset(&mut side, &events);
        } else {
            answer_all(&mut side, &events);
            side.receive(&[window_update(0, 5), window_update(id(at), 5)].concat()).expect("left alone");
            updates += 2;
        }
        side.out.clear();
    }
    assert_eq!(updates, 32_000);
    assert_eq!(side.connection.streams(), 0);
}

#[test]
fn a_stream_of_small_messages_is_left_alone() {
    // As gRPC clients do: updates and PING for each message that comes.
    let (mut side, stream) = dripping(65_535);
    for _ in 0..50_000 {
        assert_eq!(side.connection.put_data(stream, b"message", More::Follows, &mut side.out), Ok(7));
        side.receive(&[window_update(0, 7), window_update(1, 7), frame(PING, 0, 0, &[0; 8])].concat()).expect("fine");
        side.out.clear();
    }
}

#[test]
fn any_budget_returns_with_time() {
    let mut side = Side::server();
    for at in 0..3_600 {
        side.now_ms = at * 1000;
        let pings: Vec<u8> = (0..10).flat_map(|_| frame(PING, 0, 0, &[0; 8])).collect();
        let updates: Vec<u8> = (0..100).flat_map(|_| window_update(0, 1)).collect();
        side.receive(&[pings, updates, frame(SETTINGS, 0, 0, &[])].concat()).expect("an hour of it");
        side.out.clear();
    }
}

#[test]
fn what_a_client_makes_us_write_is_bounded_by_what_it_sends() {
    // All that one read of 16 KiB can hold, of the frames that make us write the most.
    let frames = [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])];
    for bytes in frames {
        let mut side = Side::server();
        let flood = bytes.repeat(16_384 / bytes.len());
        let (mut input, mut out) = (Input::new(&flood), Vec::new());
        let error = loop {
            match side.connection.receive(&mut input, &mut side.slot, 0, &mut out) {
                Ok(None) => break None,
                Ok(Some(_)) => {}
                Err(error) => break Some(error),
            }
        };
        assert!(error.is_some() && out.len() < 4096, "{}", out.len());
    }
}

#[test]
fn an_idle_connection_holds_little_memory() {
    let mut side = Side::new(Connection::server(Config::default()));
    side.receive(&[wire::h2::PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).expect("fine");
    for at in 0..500 {
        let events = side.receive(&get(id(at))).expect("fine");
        answer_all(&mut side, &events);
        side.out.clear();
    }
    side.connection.shrink();
    assert!(size_of::<Connection>() <= 1024, "{}", size_of::<Connection>());
}
