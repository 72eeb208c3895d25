//! The targets of HTTP/2: what must hold whatever the peer sends after its greeting.

use std::collections::BTreeMap;

use wire::h1::{Limits, Parsed, parse_request};
use wire::h2::{
    Config, Connection, ConnectionError, Event, Handle, HeadSlot, Input, MAX_LEFT_BYTES, More, RequestLine,
};
use wire::head::{Answer, Field, Framing, Method, Name, Request};
use wire::{host, path};

/// Empty settings, and their acknowledgement.
const GREETING: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";
const MAX_STREAMS: u32 = 20;

fn config() -> Config {
    Config {
        limits: Limits { head_bytes: 4096, fields: 50, target_bytes: 1024 },
        max_streams: MAX_STREAMS,
        stream_window: 5_000,
        connection_window: 70_000,
        ..Config::default()
    }
}

fn server() -> (Connection, Vec<u8>) {
    let mut connection = Connection::server(config());
    connection.start(&mut Vec::new());
    (connection, [wire::h2::PREFACE, GREETING].concat())
}

/// With three requests under way: GET, HEAD, and POST without its body.
fn client() -> (Connection, Vec<u8>) {
    let mut connection = Connection::client(config());
    let mut out = Vec::new();
    connection.start(&mut out);
    for (method, more) in [("GET", More::Ends), ("HEAD", More::Ends), ("POST", More::Follows)] {
        let (scheme, authority, path) = (&b"http"[..], &b"a"[..], &b"/"[..]);
        let line = RequestLine { method: method.as_bytes(), scheme, authority, path, query: None, protocol: None };
        connection.put_request(&line, &mut out).expect("room").finish(more);
    }
    (connection, GREETING.to_vec())
}

/// What an observer who answers nothing sees.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    events: Vec<String>,
    bodies: BTreeMap<u32, Vec<u8>>,
    out: Vec<u8>,
    error: Option<ConnectionError>,
}

/// Feeds pieces, and lets `act` do something about each event.
fn feed(
    (mut connection, greeting): (Connection, Vec<u8>),
    pieces: &[&[u8]],
    mut act: impl FnMut(&mut Connection, &Event, &HeadSlot, &mut Vec<u8>),
) -> Seen {
    let (mut seen, mut slot, mut left) = (Seen::default(), HeadSlot::default(), Vec::new());
    for piece in [&greeting[..]].iter().chain(pieces) {
        left.extend_from_slice(piece);
        let mut input = Input::new(&left);
        loop {
            let event = match connection.receive(&mut input, &mut slot, 0, &mut seen.out) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) => {
                    seen.error = Some(error);
                    return seen;
                }
            };
            note(&mut seen, &event, &slot, &left);
            act(&mut connection, &event, &slot, &mut seen.out);
            assert!(connection.streams() <= MAX_STREAMS as usize);
        }
        assert!(left.len() - input.at <= MAX_LEFT_BYTES);
        let used = input.at;
        left.drain(..used);
    }
    seen
}

/// Pieces of DATA are put together, so that it does not matter how it came.
fn note(seen: &mut Seen, event: &Event, slot: &HeadSlot, input: &[u8]) {
    match event {
        Event::Data { stream, range, ends } => {
            seen.bodies.entry(stream.id).or_default().extend_from_slice(&input[range.clone()]);
            if *ends {
                seen.events.push(format!("{stream:?} ends"));
            }
        }
        Event::Head { .. } | Event::Trailers { .. } => {
            let HeadSlot { buf, request, answer, trailers } = slot;
            seen.events.push(format!("{event:?} {request:?} {answer:?} {trailers:?} {}", buf.escape_ascii()));
        }
        event => seen.events.push(format!("{event:?}")),
    }
}

/// Output is whole frames; GOAWAY ends it exactly where the connection fails.
fn check_output(seen: &Seen) {
    let (mut rest, mut last) = (&seen.out[..], None);
    while let Some(([a, b, c, kind, ..], after)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        assert!(length <= 16_384 && after.len() >= length);
        (rest, last) = (&after[length..], Some(*kind));
    }
    assert!(rest.is_empty());
    assert!(seen.error.is_none() || last == Some(7));
}

/// However the bytes are cut, they mean the same.
fn check_pieces(side: fn() -> (Connection, Vec<u8>), input: &[u8]) {
    let nothing = |_: &mut Connection, _: &Event, _: &HeadSlot, _: &mut Vec<u8>| {};
    let whole = feed(side(), &[input], nothing);
    check_output(&whole);
    let sum: usize = input.iter().map(|b| usize::from(*b)).sum();
    let (first, second) = input.split_at(sum % (input.len() + 1));
    assert_eq!(feed(side(), &[first, second], nothing), whole);
    if input.len() < 300 {
        assert_eq!(feed(side(), &input.chunks(1).collect::<Vec<_>>(), nothing), whole);
    }
}

/// A server that answers what it is asked, in a way that depends on the stream.
pub(crate) fn h2_server(input: &[u8]) {
    check_pieces(server, input);
    let seen = feed(server(), &[input], |connection, event, slot, out| match event {
        Event::Head { stream, ends } => {
            check_request(&slot.request, &slot.buf, *ends);
            answer(connection, *stream, 200, out);
        }
        Event::Refused { stream, refusal, .. } => {
            assert!((400..600).contains(&refusal.status));
            answer(connection, *stream, refusal.status, out);
        }
        Event::Data { stream, range, ends } => {
            connection.consumed(*stream, range.len(), out);
            if *ends {
                connection.release(*stream, out);
            }
        }
        Event::Trailers { stream } => {
            check_trailers(&slot.trailers, &slot.buf);
            connection.release(*stream, out);
        }
        Event::Reset { stream, .. } => connection.release(*stream, out),
        _ => {}
    });
    check_output(&seen);
}

fn answer(connection: &mut Connection, stream: Handle, status: u16, out: &mut Vec<u8>) {
    let mut head = connection.put_answer(stream, status, out).expect("it has just come");
    head.field(b"Content-Type", b"text/plain");
    head.finish(More::Follows);
    let more = if stream.id.is_multiple_of(3) { More::Follows } else { More::Ends };
    let sent = connection.put_data(stream, &[b'x'; 2000], more, out).expect("it has just come");
    assert!(sent <= 2000);
    if stream.id.is_multiple_of(5) {
        connection.release(stream, out);
    }
    while let Some(waiting) = connection.next_writable() {
        connection.put_data(waiting, b"more", More::Ends, out).expect("it waits");
    }
}

/// What is forwarded in HTTP/1.1 is read there as the same request: nothing is smuggled.
fn check_request(request: &Request, buf: &[u8], ends: bool) {
    check_fields(&request.fields, buf);
    assert!(!(ends && request.framing == Framing::Chunked));
    assert_eq!(host::check(request.authority.of(buf)), Ok(()));
    let target = request.path(buf);
    assert!(target == b"*" || path::normalise(target, &mut Vec::new()) == Ok(path::Normal::AsIs));
    if request.method == Method::Connect {
        assert!(!request.upgrade.is_empty());
        return;
    }
    let mut head = [request.method_span.of(buf), b" ", target].concat();
    if request.has_query {
        head.extend_from_slice(&[b"?", request.query.of(buf)].concat());
    }
    head.extend_from_slice(&[b" HTTP/1.1\r\nhost: ", request.authority.of(buf), b"\r\n"].concat());
    let kept: Vec<_> = request.fields.iter().filter(|f| !f.hop_by_hop && f.known != Name::Host).collect();
    for run in kept.chunk_by(|one, next| one.value.end + 2 == next.name.start) {
        let range = run[0].name.start as usize..run[run.len() - 1].value.end as usize;
        head.extend_from_slice(&[&buf[range], b"\r\n"].concat());
    }
    if request.framing == Framing::Chunked {
        head.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let (mut read, limits) = (Request::default(), Limits { head_bytes: 1 << 20, fields: 100, target_bytes: 1 << 20 });
    assert_eq!(parse_request(&head, &limits, &mut read), Ok(Parsed::Complete(head.len())), "{}", head.escape_ascii());
    assert_eq!((read.framing, read.method), (request.framing, request.method));
    assert_eq!((read.path(&head), read.query.of(&head)), (target, request.query.of(buf)));
    let others = 1 + usize::from(request.framing == Framing::Chunked);
    assert_eq!(read.fields.len(), kept.len() + others);
    for (one, other) in read.fields[1..].iter().zip(&kept) {
        assert_eq!((one.name.of(&head), one.value.of(&head)), (other.name.of(buf), other.value.of(buf)));
        assert_eq!(one.known, other.known);
    }
    assert!(kept.iter().filter(|field| field.known == Name::Cookie).count() <= 1);
}

fn check_fields(fields: &[Field], buf: &[u8]) {
    for field in fields {
        let (name, value) = (field.name.of(buf), field.value.of(buf));
        assert!(!name.is_empty() && name.iter().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase() && *b != b':'));
        assert!(!value.iter().any(|b| b"\r\n\0".contains(b)));
        assert_eq!(&buf[field.name.end as usize..field.value.start as usize], b": ");
        assert_eq!(buf[field.value.end as usize..][..2], *b"\r\n");
    }
}

fn check_trailers(trailers: &[Field], buf: &[u8]) {
    check_fields(trailers, buf);
    assert!(trailers.iter().all(|field| field.known == Name::Other && !field.hop_by_hop));
}

/// A client that reads what it is answered.
pub(crate) fn h2_client(input: &[u8]) {
    check_pieces(client, input);
    let seen = feed(client(), &[input], |connection, event, slot, out| match event {
        Event::Head { stream, ends } => {
            check_answer(&slot.answer, &slot.buf, *ends);
            let _ = connection.put_data(*stream, b"body", More::Follows, out);
        }
        Event::Data { stream, range, ends } => {
            connection.consumed(*stream, range.len(), out);
            if *ends {
                connection.release(*stream, out);
            }
        }
        Event::Trailers { stream } => {
            check_trailers(&slot.trailers, &slot.buf);
            connection.release(*stream, out);
        }
        Event::Reset { stream, .. } => connection.release(*stream, out),
        Event::Refused { .. } | Event::Malformed { .. } => unreachable!("nobody asks a client"),
        _ => {}
    });
    check_output(&seen);
}

fn check_answer(answer: &Answer, buf: &[u8], ends: bool) {
    check_fields(&answer.fields, buf);
    assert!((100..600).contains(&answer.status) && answer.status != 101);
    assert!(answer.status >= 200 || !ends);
    let _ = answer.reason.of(buf);
    let lengths: Vec<_> = answer.fields.iter().filter(|f| f.known == Name::ContentLength && !f.hop_by_hop).collect();
    match answer.framing {
        Framing::Length(length) => {
            assert_eq!(lengths.len(), 1);
            let text = String::from_utf8_lossy(lengths[0].value.of(buf)).into_owned();
            assert_eq!(text.parse(), Ok(length));
        }
        Framing::Chunked => assert!(lengths.is_empty() && !ends),
        Framing::None => {}
        Framing::UntilClose => unreachable!("streams have an end"),
    }
}
