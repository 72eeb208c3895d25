//! Dialogues with another implementation, the `h2` crate, in both roles: what one side says is what the other hears.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use wire::h2::{Config, Connection, Event, Handle, More, RequestLine};

use crate::peer::Side;

type Fields = Vec<(String, String)>;

/// One direction of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    /// Method and path, or the status.
    line: (String, String),
    fields: Fields,
    body: Vec<u8>,
    trailers: Fields,
}

impl Message {
    /// In an order that does not depend on who tells it.
    fn sorted(mut self) -> Self {
        self.fields.sort();
        self.trailers.sort();
        self
    }
}

/// What is asked and what is answered.
#[derive(Clone, Debug)]
struct Exchange {
    request: Message,
    answer: Message,
}

/// How the bytes travel.
#[derive(Clone, Copy, Debug)]
struct Transport {
    /// Bytes that fit between the two.
    pipe: usize,
    /// Bytes that ours reads at once.
    read: usize,
    window: u32,
    table: u32,
}

fn fields() -> impl Strategy<Value = Fields> {
    let name = prop_oneof![
        Just("accept".to_owned()),
        Just("user-agent".to_owned()),
        Just("x-request-id".to_owned()),
        Just("content-type".to_owned()),
        Just("authorization".to_owned()),
        Just("grpc-timeout".to_owned()),
        "x-[a-z]{1,30}",
    ];
    let value = prop_oneof![
        Just(String::new()),
        Just("text/html; charset=utf-8".to_owned()),
        "[!-~]{1,20}",
        "[!-~]([ -~]{0,200}[!-~])?",
        "[a-z]{3000,5000}",
    ];
    proptest::collection::vec((name, value), 0..8)
}

fn message(line: impl Strategy<Value = (String, String)>) -> impl Strategy<Value = Message> {
    let size = prop_oneof![Just(0_usize), 1_usize..100, 10_000_usize..60_000, 60_000_usize..200_000];
    let body = (size, any::<u8>()).prop_map(|(size, seed)| {
        (0..size).map(|at| u8::try_from((at / 3 + usize::from(seed)) % 251).expect("a byte")).collect::<Vec<_>>()
    });
    let trailers = prop_oneof![Just(vec![]), Just(vec![("grpc-status".to_owned(), "0".to_owned())])];
    (line, fields(), body, trailers).prop_map(|(line, fields, body, trailers)| Message { line, fields, body, trailers })
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let method = prop_oneof![Just("GET"), Just("POST"), Just("PUT"), Just("DELETE"), Just("PATCH")];
    let request = (method, "/([a-z0-9]{1,20}){0,3}(\\?[a-z=&]{0,20})?").prop_map(|(m, p)| (m.to_owned(), p));
    let status = prop_oneof![Just(200_u16), Just(201), Just(404), Just(418), Just(503)];
    let answer = status.prop_map(|status| (status.to_string(), String::new()));
    (message(request), message(answer)).prop_map(|(request, answer)| Exchange { request, answer })
}

fn dialogue() -> impl Strategy<Value = (Vec<Exchange>, Transport)> {
    let window = prop_oneof![Just(65_535_u32), Just(65_536), Just(20_000), Just(1_000_000)];
    let table = prop_oneof![Just(4096_u32), Just(0), Just(200), Just(20_000)];
    let transport = (100_usize..100_000, 1_usize..20_000, window, table)
        .prop_map(|(pipe, read, window, table)| Transport { pipe, read, window, table });
    (proptest::collection::vec(exchange(), 1..12), transport)
}

fn config(transport: Transport) -> Config {
    Config { stream_window: transport.window, table_bytes: transport.table, ..Config::default() }
}

/// Our end and its application, which sends one message on each stream and notes the one that comes.
struct Ours {
    side: Side,
    io: DuplexStream,
    heard: BTreeMap<u32, Message>,
    sending: BTreeMap<u32, (Handle, Message, usize)>,
    complete: Vec<Handle>,
}

impl Ours {
    fn new(connection: Connection, io: DuplexStream) -> Self {
        let side = Side::new(connection);
        Self { side, io, heard: BTreeMap::new(), sending: BTreeMap::new(), complete: Vec::new() }
    }

    /// Reads once and notes what came. False at the end.
    async fn turn(&mut self, buf: &mut [u8]) -> bool {
        while let Some(stream) = self.side.connection.next_writable() {
            self.write(stream);
        }
        self.io.write_all(&std::mem::take(&mut self.side.out)).await.expect("the other end reads");
        let Ok(length @ 1..) = self.io.read(buf).await else { return false };
        self.side.feed(&buf[..length]);
        while let Some(event) = self.side.next_event().expect("the other end does no wrong") {
            self.note(event);
        }
        true
    }

    fn note(&mut self, event: Event) {
        let slot = &self.side.slot;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let read = |fields: &[wire::head::Field]| -> Fields {
            fields.iter().map(|f| (text(f.name.of(&slot.buf)), text(f.value.of(&slot.buf)))).collect()
        };
        let (stream, ends) = match event {
            Event::Head { stream, ends } => {
                let message = if slot.answer.status != 0 {
                    let fields = slot.answer.fields.iter().filter(|f| f.known != wire::head::Name::ContentLength);
                    let fields: Vec<_> = fields.copied().collect();
                    Message {
                        line: (slot.answer.status.to_string(), String::new()),
                        fields: read(&fields),
                        ..Message::default()
                    }
                } else {
                    let request = &slot.request;
                    let mut path = text(request.path(&slot.buf));
                    if request.has_query {
                        path = format!("{path}?{}", text(request.query.of(&slot.buf)));
                    }
                    let line = (text(request.method_span.of(&slot.buf)), path);
                    Message { line, fields: read(&request.fields), ..Message::default() }
                };
                self.heard.insert(stream.id, message);
                (stream, ends)
            }
            Event::Data { stream, range, ends } => {
                self.side.connection.consumed(stream, range.len(), &mut self.side.out);
                (stream, ends)
            }
            Event::Trailers { stream } => {
                self.heard.get_mut(&stream.id).expect("a head came").trailers = read(&slot.trailers);
                (stream, true)
            }
            Event::GoAway { .. } => return,
            event => unreachable!("{event:?}"),
        };
        if ends {
            let body = self.side.bodies.remove(&stream.id).unwrap_or_default();
            self.heard.get_mut(&stream.id).expect("a head came").body = body;
            self.complete.push(stream);
        }
    }

    /// Sends what follows a head.
    fn send(&mut self, stream: Handle, message: Message) {
        self.sending.insert(stream.id, (stream, message, 0));
        self.write(stream);
    }

    fn write(&mut self, stream: Handle) {
        let Some((_, message, sent)) = self.sending.get_mut(&stream.id) else { return };
        let (connection, out) = (&mut self.side.connection, &mut self.side.out);
        let more = if message.trailers.is_empty() { More::Ends } else { More::Follows };
        *sent += connection.put_data(stream, &message.body[*sent..], more, out).expect("it is there");
        if *sent == message.body.len() && more == More::Follows {
            let mut writer = connection.put_trailers(stream, out).expect("it is there");
            message.trailers.iter().for_each(|(name, value)| writer.field(name.as_bytes(), value.as_bytes()));
            writer.finish(More::Ends);
        }
    }
}

fn map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        map.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    map
}

fn unmap(map: &HeaderMap) -> Fields {
    map.iter().map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect()
}

async fn read_all(mut body: h2::RecvStream) -> (Vec<u8>, Fields) {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("data");
        all.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len()).expect("it came");
    }
    (all, body.trailers().await.expect("trailers").map(|map| unmap(&map)).unwrap_or_default())
}

fn send_all(mut stream: h2::SendStream<Bytes>, message: &Message) {
    let ends = message.trailers.is_empty();
    stream.send_data(Bytes::from(message.body.clone()), ends).expect("it is there");
    if !ends {
        stream.send_trailers(map(&message.trailers)).expect("it is there");
    }
}

async fn theirs_asks(io: DuplexStream, exchanges: Vec<Exchange>, transport: Transport) {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(transport.window).header_table_size(transport.table).enable_push(false);
    let (mut requests, connection) = builder.handshake::<_, Bytes>(io).await.expect("a handshake");
    let driver = tokio::spawn(connection);
    let mut tasks = Vec::new();
    for exchange in exchanges {
        requests = requests.ready().await.expect("room");
        let (method, path) = &exchange.request.line;
        let uri = format!("http://example.com{path}");
        let mut request = Request::builder().method(method.as_str()).uri(uri).body(()).expect("a request");
        *request.headers_mut() = map(&exchange.request.fields);
        let (answer, stream) = requests.send_request(request, false).expect("room");
        send_all(stream, &exchange.request);
        tasks.push(tokio::spawn(async move {
            let answer = answer.await.expect("an answer");
            let line = (answer.status().as_str().to_owned(), String::new());
            let fields = unmap(answer.headers());
            let (body, trailers) = read_all(answer.into_body()).await;
            assert_eq!(Message { line, fields, body, trailers }.sorted(), exchange.answer.sorted());
        }));
    }
    for task in tasks {
        task.await.expect("the answer is as it was sent");
    }
    drop(requests);
    driver.await.expect("no panic").expect("no error");
}

async fn ours_answers(io: DuplexStream, exchanges: Vec<Exchange>, transport: Transport) {
    let mut ours = Ours::new(Connection::server(config(transport)), io);
    let mut buf = vec![0; transport.read];
    while ours.turn(&mut buf).await {
        for stream in std::mem::take(&mut ours.complete) {
            let exchange = &exchanges[stream.id as usize / 2];
            assert_eq!(ours.heard[&stream.id].clone().sorted(), exchange.request.clone().sorted());
            let status = exchange.answer.line.0.parse().expect("a status");
            let mut head = ours.side.connection.put_answer(stream, status, &mut ours.side.out).expect("it is there");
            exchange.answer.fields.iter().for_each(|(name, value)| head.field(name.as_bytes(), value.as_bytes()));
            head.finish(More::Follows);
            ours.send(stream, exchange.answer.clone());
        }
    }
    assert_eq!(ours.heard.len(), exchanges.len());
}

async fn theirs_answers(io: DuplexStream, exchanges: Vec<Exchange>, transport: Transport) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(transport.window);
    let mut connection = builder.handshake::<_, Bytes>(io).await.expect("a handshake");
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted.expect("a request");
        let exchange = exchanges[respond.stream_id().as_u32() as usize / 2].clone();
        tokio::spawn(async move {
            let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
            let line = (request.method().to_string(), path);
            let fields = unmap(request.headers());
            let (body, trailers) = read_all(request.into_body()).await;
            assert_eq!(Message { line, fields, body, trailers }.sorted(), exchange.request.sorted());
            let status: u16 = exchange.answer.line.0.parse().expect("a status");
            let mut answer = Response::builder().status(status).body(()).expect("an answer");
            *answer.headers_mut() = map(&exchange.answer.fields);
            let stream = respond.send_response(answer, false).expect("it is there");
            send_all(stream, &exchange.answer);
        });
    }
}

async fn ours_asks(io: DuplexStream, exchanges: Vec<Exchange>, transport: Transport) {
    let mut ours = Ours::new(Connection::client(config(transport)), io);
    for exchange in &exchanges {
        let (method, target) = &exchange.request.line;
        let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(p, q)| (p, Some(q.as_bytes())));
        let line = RequestLine {
            method: method.as_bytes(),
            scheme: b"http",
            authority: b"example.com",
            path: path.as_bytes(),
            query,
            protocol: None,
        };
        let mut head = ours.side.connection.put_request(&line, &mut ours.side.out).expect("room");
        exchange.request.fields.iter().for_each(|(name, value)| head.field(name.as_bytes(), value.as_bytes()));
        let stream = head.finish(More::Follows);
        ours.send(stream, exchange.request.clone());
    }
    let mut buf = vec![0; transport.read];
    while ours.complete.len() < exchanges.len() {
        assert!(ours.turn(&mut buf).await, "the other end stays");
    }
    for stream in ours.complete {
        let exchange = &exchanges[stream.id as usize / 2];
        assert_eq!(ours.heard[&stream.id].clone().sorted(), exchange.answer.clone().sorted());
        ours.side.connection.release(stream, &mut ours.side.out);
    }
    assert_eq!(ours.side.connection.streams(), 0);
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn our_server_and_their_client_hear_each_other((exchanges, transport) in dialogue()) {
        run(async {
            let (one, other) = duplex(transport.pipe);
            let asks = theirs_asks(one, exchanges.clone(), transport);
            tokio::join!(asks, ours_answers(other, exchanges.clone(), transport));
        });
    }

    #[test]
    fn our_client_and_their_server_hear_each_other((exchanges, transport) in dialogue()) {
        run(async {
            let (one, other) = duplex(transport.pipe);
            let answers = theirs_answers(other, exchanges.clone(), transport);
            tokio::join!(answers, ours_asks(one, exchanges.clone(), transport));
        });
    }
}
