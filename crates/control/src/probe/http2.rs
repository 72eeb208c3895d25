//! The HTTP/2 part of a probe: one request on a connection that nobody uses again.
//!
//! Speaks by the same machine as requests do, so that a backend which passes is one that can be spoken to.

use std::io;

use policy::ask::Ask;
use policy::health::ProbeFailure;
use policy::plan::{Expected, Question};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::grpc::{self, Status};
use wire::h2::{By, Config, Connection, ErrorCode, Event, Handle, HeadSlot, Input, More, RequestLine};
use wire::head::{Answer as Head, Field};

use super::http::Answer;
use super::talk::lacking;

/// Bytes of an answer body that are read.
const MAX_BODY: usize = 64 << 10;
/// Bytes that are read at a time.
const READ: usize = 16 << 10;
/// More interim answers than this to one probe are an attack or a fault, as they are to a request.
const MAX_INTERIM: usize = 16;
/// The path of the health service of gRPC.
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Who is asked, and how.
pub(super) struct Asked<'a> {
    pub(super) scheme: &'static str,
    pub(super) host: &'a str,
}

/// What came of the one request.
#[derive(Default)]
struct Came {
    head: Option<(Head, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Option<(Vec<Field>, Vec<u8>)>,
    interim: usize,
    has_ended: bool,
    reset: Option<ErrorCode>,
}

impl Came {
    fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |(head, _)| head.status)
    }

    fn field(&self, name: &str) -> Option<&str> {
        let (head, buf) = self.head.as_ref()?;
        std::str::from_utf8(head.field(buf, name.as_bytes())?).ok()
    }

    /// The status of gRPC, from the trailers or from a head that is all, and what was said of it.
    fn grpc_status(&self) -> Option<(Status, &[u8])> {
        let of_head = self.head.as_ref().map(|(head, buf)| (&head.fields[..], &buf[..]));
        let of_trailers = self.trailers.as_ref().map(|(fields, buf)| (&fields[..], &buf[..]));
        let (fields, buf) = of_trailers.or(of_head)?;
        let is_message = |field: &&Field| field.name.of(buf).eq_ignore_ascii_case(grpc::MESSAGE);
        let message = fields.iter().find(is_message).map_or(&[][..], |field| field.value.of(buf));
        Status::of(fields, buf).map(|status| (status, message))
    }
}

/// Sends the question; the head of a well-formed answer whose body, where the status lets it pass, has what it must.
pub(super) async fn ask<S>(stream: S, asked: &Asked<'_>, question: &Question) -> Result<Answer, ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let path = question.path.as_bytes();
    let (path, query) = match path.iter().position(|&byte| byte == b'?') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    };
    let mut fields = vec![("user-agent", "evenkeel-probe")];
    fields.retain(|(name, _)| !question.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
    fields.extend(question.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let line = RequestLine {
        method: question.method.as_bytes(),
        scheme: asked.scheme.as_bytes(),
        authority: asked.host.as_bytes(),
        path,
        query,
        protocol: None,
    };
    let is_enough = |came: &Came| match &question.body {
        Some(expected) => expected.is_in(&came.body) || !question.accepts(came.status()),
        // The status is what was asked; how the body ends is not.
        None => true,
    };
    let mut probe = Probe::begin(stream, &line, (&fields, None))?;
    probe.run(is_enough).await?;
    let came = probe.leave().await;
    let status = came.status();
    if let Some(code) = came.reset.filter(|_| status == 0 || (question.body.is_some() && question.accepts(status))) {
        return Err(ProbeFailure::Malformed(format!("the stream was reset ({})", told(code))));
    }
    match &question.body {
        Some(expected) if question.accepts(status) && !expected.is_in(&came.body) => {
            return Err(missing(expected, &came.body));
        }
        _ => {}
    }
    Ok(Answer { status, ask: Ask::from_fields(came.field("x-evenkeel-state"), came.field("x-evenkeel-weight")) })
}

fn missing(expected: &Expected, body: &[u8]) -> ProbeFailure {
    lacking("body", expected, body)
}

/// Whether anybody is there who speaks HTTP/2: `HEAD /`, and any well-formed answer. Servers that know nothing but gRPC may
/// reset the stream, which is as good.
pub(super) async fn ask_alive<S>(stream: S, asked: &Asked<'_>) -> Result<Option<Answer>, ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let line = RequestLine {
        method: b"HEAD",
        scheme: asked.scheme.as_bytes(),
        authority: asked.host.as_bytes(),
        path: b"/",
        query: None,
        protocol: None,
    };
    let mut probe = Probe::begin(stream, &line, (&[("user-agent", "evenkeel-probe")], None))?;
    probe.run(|_| true).await?;
    let came = probe.leave().await;
    let ask = || Ask::from_fields(came.field("x-evenkeel-state"), came.field("x-evenkeel-weight"));
    Ok(came.head.as_ref().map(|(head, _)| Answer { status: head.status, ask: ask() }))
}

/// Calls the health service of gRPC; passes where the service is serving.
pub(super) async fn ask_grpc<S>(stream: S, asked: &Asked<'_>, service: &str) -> Result<(), ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let line = RequestLine {
        method: b"POST",
        scheme: asked.scheme.as_bytes(),
        authority: asked.host.as_bytes(),
        path: CHECK.as_bytes(),
        query: None,
        protocol: None,
    };
    let fields = [("content-type", grpc::MEDIA_TYPE), ("te", "trailers"), ("user-agent", "evenkeel-probe")];
    let mut probe = Probe::begin(stream, &line, (&fields, Some(&grpc::framed(&question(service)))))?;
    probe.run(|_| false).await?;
    let came = probe.leave().await;
    if let Some(code) = came.reset {
        return Err(ProbeFailure::Malformed(format!("the stream was reset ({})", told(code))));
    }
    judge(&came, service)
}

/// The message of the request: `string service = 1`.
fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 4);
    if !service.is_empty() {
        message.push(0x0a);
        put_varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    message
}

fn put_varint(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0x7f) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0x7f));
}

fn judge(came: &Came, service: &str) -> Result<(), ProbeFailure> {
    let name = if service.is_empty() { "the server" } else { service };
    let wrong = |what: String| Err(ProbeFailure::Unexpected(what));
    if came.status() != 200 {
        return Err(ProbeFailure::Status(came.status()));
    }
    match came.grpc_status() {
        None => wrong("the answer is not gRPC: it has no grpc-status".to_owned()),
        Some((Status::Ok, _)) => match serving_status(&came.body) {
            Some(1) => Ok(()),
            Some(2) => wrong(format!("{name} is NOT_SERVING")),
            Some(3) => wrong(format!("{name} is SERVICE_UNKNOWN")),
            Some(0) => wrong(format!("{name} is UNKNOWN")),
            _ => Err(ProbeFailure::Malformed("not an answer of grpc.health.v1.Health".to_owned())),
        },
        Some((Status::Unimplemented, _)) => {
            wrong("gRPC status unimplemented: the server has no service grpc.health.v1.Health".to_owned())
        }
        Some((Status::NotFound, _)) => wrong(format!("gRPC status not-found: the server does not know {name}")),
        Some((status, message)) => {
            let message = String::from_utf8_lossy(&message[..message.len().min(80)]);
            let colon = if message.is_empty() { "" } else { ": " };
            wrong(format!("gRPC status {}{colon}{message}", status.name()))
        }
    }
}

/// `ServingStatus status = 1` of the one message; 0 where it is left out.
fn serving_status(body: &[u8]) -> Option<u8> {
    let (head, message) = body.split_at_checked(5)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if head[0] != 0 || usize::try_from(length) != Ok(message.len()) {
        return None;
    }
    match message {
        [] => Some(0),
        [0x08, status @ ..] => status.first().copied(),
        _ => None,
    }
}

fn told(code: ErrorCode) -> String {
    match code.name() {
        "" => format!("code {}", code.0),
        name => name.to_owned(),
    }
}

/// A connection with the one request.
struct Probe<S> {
    stream: S,
    wire: Connection,
    out: Vec<u8>,
    slot: HeadSlot,
    request: Handle,
    came: Came,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Probe<S> {
    fn begin(
        stream: S,
        line: &RequestLine<'_>,
        (fields, body): (&[(&str, &str)], Option<&[u8]>),
    ) -> Result<Self, ProbeFailure> {
        let (mut wire, mut out) = (Connection::client(Config::default()), Vec::new());
        wire.start(&mut out);
        let mut writer = wire
            .put_request(line, &mut out)
            .map_err(|_| ProbeFailure::Malformed("the check's request cannot be sent".to_owned()))?;
        for (name, value) in fields {
            writer.field(name.as_bytes(), value.as_bytes());
        }
        let request = writer.finish(if body.is_some() { More::Follows } else { More::Ends });
        let body = body.unwrap_or_default();
        if !body.is_empty() {
            // The first window of a stream has room for a message so short.
            let _ = wire.put_data(request, body, More::Ends, &mut out);
        }
        Ok(Self { stream, wire, out, slot: HeadSlot::default(), request, came: Came::default() })
    }

    /// Reads until the answer has ended, was reset, or is enough.
    async fn run(&mut self, is_enough: impl Fn(&Came) -> bool) -> Result<(), ProbeFailure> {
        let mut input = Vec::with_capacity(READ);
        loop {
            self.stream.write_all(&self.out).await.map_err(|error| broken(&error))?;
            self.out.clear();
            let is_over = self.came.has_ended || self.came.reset.is_some();
            if is_over || (self.came.head.is_some() && is_enough(&self.came)) || self.came.body.len() >= MAX_BODY {
                return Ok(());
            }
            let read = self.stream.read_buf(&mut input).await.map_err(|error| broken(&error))?;
            if read == 0 {
                return Err(ProbeFailure::Malformed("connection closed before the answer".to_owned()));
            }
            self.take(&mut input)?;
        }
    }

    fn take(&mut self, read: &mut Vec<u8>) -> Result<(), ProbeFailure> {
        let mut input = Input::new(read);
        loop {
            match self.wire.receive(&mut input, &mut self.slot, 0, &mut self.out) {
                Ok(Some(event)) => self.came_event(event, input.bytes)?,
                Ok(None) => break,
                Err(error) => return Err(ProbeFailure::Malformed(format!("not HTTP/2: {}", error.why))),
            }
        }
        let used = input.at;
        read.drain(..used);
        Ok(())
    }

    fn came_event(&mut self, event: Event, input: &[u8]) -> Result<(), ProbeFailure> {
        match event {
            Event::Head { ends, .. } if self.slot.answer.status < 200 && !ends => {
                self.came.interim += 1;
                if self.came.interim > MAX_INTERIM {
                    return Err(ProbeFailure::Malformed("too many interim answers".to_owned()));
                }
            }
            Event::Head { ends, .. } => {
                let head = (std::mem::take(&mut self.slot.answer), std::mem::take(&mut self.slot.buf));
                (self.came.head, self.came.has_ended) = (Some(head), ends);
            }
            Event::Data { stream, range, ends } => {
                self.wire.consumed(stream, range.len(), &mut self.out);
                let room = MAX_BODY.saturating_sub(self.came.body.len());
                self.came.body.extend_from_slice(&input[range.start..range.end.min(range.start + room)]);
                self.came.has_ended = ends;
            }
            Event::Trailers { .. } => {
                self.came.trailers =
                    Some((std::mem::take(&mut self.slot.trailers), std::mem::take(&mut self.slot.buf)));
                self.came.has_ended = true;
            }
            Event::Reset { by: By::Us(why), .. } => return Err(ProbeFailure::Malformed(why.to_owned())),
            // Whoever has answered need not hear the rest (RFC 9113, section 8.1).
            Event::Reset { code, by: By::Peer, .. } => self.came.reset = Some(code),
            Event::GoAway { last, .. } if last < self.request.id => self.came.reset = Some(ErrorCode::REFUSED_STREAM),
            Event::GoAway { .. } | Event::Refused { .. } | Event::Malformed { .. } | Event::Pong => {}
        }
        Ok(())
    }

    /// Says goodbye, as far as the backend takes it.
    async fn leave(mut self) -> Came {
        self.wire.release(self.request, &mut self.out);
        self.wire.leave(ErrorCode::NO_ERROR, "", &mut self.out);
        let _ = self.stream.write_all(&self.out).await;
        let _ = self.stream.shutdown().await;
        self.came
    }
}

fn broken(error: &io::Error) -> ProbeFailure {
    let text = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset before the answer".to_owned(),
        _ => error.to_string(),
    };
    ProbeFailure::Malformed(text)
}
