//! Exchanges over HTTP/2, on a connection that has seen the same before: a request is received, an answer of a kibibyte
//! written, the stream released.

use std::hint::black_box;

use wire::h2::{Config, Connection, Event, Handle, HeadSlot, Input, More, PREFACE, RequestLine};

use crate::Run;
use crate::parse::{BROWSER, CURL};

/// Empty settings, and the acknowledgement of the server's.
const GREETING: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";

const ANSWER: [(&str, &str); 9] = [
    ("Server", "nginx/1.26.3"),
    ("Date", "Fri, 20 Nov 2026 12:00:00 GMT"),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Length", "1024"),
    ("Last-Modified", "Thu, 19 Nov 2026 08:00:00 GMT"),
    ("ETag", "\"673c5e80-1000\""),
    ("Cache-Control", "private, max-age=0"),
    ("Vary", "Accept-Encoding"),
    ("X-Frame-Options", "DENY"),
];

/// The frames of the same request, made `times` times.
fn requests(head: &str, times: usize) -> Vec<Vec<u8>> {
    let mut client = Connection::client(Config::default());
    let mut lines = head.split("\r\n").take_while(|line| !line.is_empty());
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("/");
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.as_bytes())));
    let fields: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
    let authority = fields.first().map_or("", |(_, host)| host);
    let (method, scheme) = (&b"GET"[..], &b"https"[..]);
    let line =
        RequestLine { method, scheme, authority: authority.as_bytes(), path: path.as_bytes(), query, protocol: None };
    let made = (0..times).map(|_| {
        let mut out = Vec::new();
        if let Ok(mut writer) = client.put_request(&line, &mut out) {
            fields[1..].iter().for_each(|(name, value)| writer.field(name.as_bytes(), value.as_bytes()));
            writer.finish(More::Ends);
        }
        out
    });
    made.collect()
}

struct Server {
    connection: Connection,
    slot: HeadSlot,
    out: Vec<u8>,
    next_id: u32,
}

impl Server {
    fn new() -> Self {
        let mut connection = Connection::server(Config::default());
        connection.start(&mut Vec::new());
        let mut server = Self { connection, slot: HeadSlot::default(), out: Vec::new(), next_id: 1 };
        assert_eq!(server.receive(&[PREFACE, GREETING].concat()), None);
        server
    }

    fn receive(&mut self, bytes: &[u8]) -> Option<Event> {
        let mut input = Input::new(bytes);
        let received = self.connection.receive(&mut input, &mut self.slot, 0, &mut self.out);
        assert!(received.is_ok());
        received.unwrap_or_default()
    }

    fn exchange(&mut self, request: &mut [u8], body: &[u8]) {
        self.out.clear();
        request[5..9].copy_from_slice(&self.next_id.to_be_bytes());
        self.next_id += 2;
        let event = self.receive(request);
        assert!(matches!(event, Some(Event::Head { .. })));
        if let Some(Event::Head { stream, .. }) = event {
            self.answer(stream, body);
        }
        assert!(black_box(&self.out).len() > body.len());
    }

    fn answer(&mut self, stream: Handle, body: &[u8]) {
        if let Ok(mut head) = self.connection.put_answer(stream, 200, &mut self.out) {
            for (name, value) in black_box(ANSWER) {
                head.field(name.as_bytes(), value.as_bytes());
            }
            head.finish(More::Follows);
        }
        assert_eq!(self.connection.put_data(stream, body, More::Ends, &mut self.out), Ok(body.len()));
        self.connection.release(stream, &mut self.out);
    }
}

/// The windows of the client are as large as they can be, again and again.
fn refill(server: &mut Server) {
    server.receive(b"\0\0\x04\x08\0\0\0\0\0\0\0\x04\0");
}

fn exchange(head: &'static str, times: usize) -> Run {
    let mut server = Server::new();
    let mut frames = requests(head, times);
    let body = vec![b'x'; 1024];
    for frame in &mut frames {
        server.exchange(frame, &body);
    }
    let mut request = frames.pop().unwrap_or_default();
    Box::new(move |count| {
        for _ in 0..count {
            refill(&mut server);
            server.exchange(black_box(&mut request), &body);
        }
    })
}

pub(crate) fn curl() -> Run {
    exchange(CURL, 3)
}

pub(crate) fn browser() -> Run {
    exchange(BROWSER, 3)
}

/// The second request of a client of ours is the one whose lines go into the table.
pub(crate) fn literals() -> Run {
    exchange(BROWSER, 2)
}
