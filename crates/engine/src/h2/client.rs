//! One stream of a client's connection: the client's side of one exchange.
//!
//! Owns the request's head, what was taken of its body, and the spelling of answers in HTTP/2 (RFC 9113, section 8).

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use wire::h2::{By, ErrorCode, Handle, HeadWriter, More};
use wire::head::{Framing, Method, Request};

use super::core::{Closed, Come, Core, LastFrame, OwnTrailers, Shared, broken};
use super::fields::{put_field, put_lines};
use super::websocket::is_handshake;
use crate::clock::Instant;
use crate::date::Calendar;
use crate::exchange::Ended;
use crate::seam::{AnswerHead, Cut, Downstream, Fill, OwnAnswer, Peer, Sink, Source, Trailers};
use crate::timers::Timer;
use crate::worker::Worker;

/// So long, and so many bytes, for the end of a request that was answered before it.
const LINGER: Duration = Duration::from_millis(250);
const LINGER_BYTES: usize = 64 * 1024;

/// How far the answer has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// Its body follows.
    Body,
    /// Nothing follows: it has ended, or it has no body.
    Ended,
}

pub(super) struct ClientStream {
    worker: Rc<Worker>,
    core: Shared,
    stream: Handle,
    peer: Peer,
    timer: Timer,
    request: Box<Request>,
    head: Vec<u8>,
    /// What was taken of the body, used up to `at`.
    body: Vec<u8>,
    at: usize,
    /// Bytes of the body that may still come.
    left_to_limit: Option<u64>,
    trailers: Option<Box<OwnTrailers>>,
    writing: Writing,
    /// A tunnel is asked for: what comes is no body, but what follows the switch.
    awaits_switch: bool,
    /// What is left of an own answer's body.
    own: Vec<u8>,
    last_frame: Option<LastFrame>,
    /// What backends are told of the certificate that the client has shown.
    pub(super) identity: Option<Rc<[u8]>>,
}

impl ClientStream {
    /// A stream whose head is in `request` and `head`.
    pub(super) fn new(
        worker: &Rc<Worker>,
        core: &Shared,
        (stream, peer): (Handle, Peer),
        (request, head): (Box<Request>, Vec<u8>),
    ) -> Self {
        let awaits_switch = !request.upgrade.is_empty();
        Self {
            worker: Rc::clone(worker),
            core: Rc::clone(core),
            stream,
            peer,
            timer: worker.timers.timer(),
            request,
            head,
            body: Vec::new(),
            at: 0,
            left_to_limit: None,
            trailers: None,
            writing: Writing::Body,
            awaits_switch,
            own: Vec::new(),
            last_frame: None,
            identity: None,
        }
    }

    /// Waits a little for the end of a request that was answered before it, and drops what comes: to some clients a reset
    /// loses the answer.
    pub(super) async fn linger(&mut self) {
        self.timer.set(Instant::now(), Some(LINGER));
        let mut dropped = 0;
        poll_fn(|cx| {
            while dropped <= LINGER_BYTES {
                let here = self.data().len();
                dropped += here;
                self.consume(here);
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(Fill::Data)) => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.timer.poll_late(cx),
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// The exchange is over. What broke must not look whole.
    pub(super) fn finish(&mut self, ended: Ended) {
        if ended == Ended::Broken {
            let core = &mut *self.core.borrow_mut();
            core.wire.reset(self.stream, ErrorCode::INTERNAL_ERROR, &mut core.out);
        }
    }

    /// Writes the head of an answer; `put` adds its fields.
    fn put_head(&mut self, status: u16, more: More, put: impl FnOnce(&mut HeadWriter<'_>)) {
        let core = &mut *self.core.borrow_mut();
        // A client that has gone is told of by `poll_gone`, and by whatever is written next.
        if let Ok(mut writer) = core.wire.put_answer(self.stream, status, &mut core.out) {
            put(&mut writer);
            writer.finish(more);
        }
        self.last_frame = None;
    }

    fn push(&mut self, data: &[u8]) -> Poll<io::Result<usize>> {
        let core = &mut *self.core.borrow_mut();
        match core.push(self.stream, data, &mut self.last_frame) {
            Ok(0) if !data.is_empty() => Poll::Pending,
            pushed => Poll::Ready(pushed),
        }
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let core = &mut *self.core.borrow_mut();
        core.wire.release(self.stream, &mut core.out);
        core.keep_head(std::mem::take(&mut self.head));
        self.worker.requests.put(std::mem::take(&mut self.request));
    }
}

/// Copies the fields of a backend's answer that go on.
fn put_fields(writer: &mut HeadWriter<'_>, head: &AnswerHead<'_>) {
    let plain = head.changes.rules.is_empty();
    for field in &head.answer.fields {
        let name = field.name.of(head.buf);
        let is_handshake = head.answer.status == 101 && is_handshake(name);
        if field.hop_by_hop || is_handshake || (!plain && head.changes.drops(name)) {
            continue;
        }
        put_field(writer, field, head.buf);
    }
}

/// RFC 9110, section 6.6.1: whoever has a clock says when an answer without a date came.
fn put_date(writer: &mut HeadWriter<'_>, calendar: &Calendar) {
    put_lines(writer, &calendar.line());
}

impl Source for ClientStream {
    fn poll_fill(&mut self, _: &mut Context<'_>) -> Poll<Result<Fill, Cut>> {
        if self.trailers.is_some() || self.awaits_switch {
            return Poll::Ready(Ok(Fill::End));
        }
        self.body.clear();
        self.at = 0;
        // The one that is taken away again is woken by the session when there is more.
        match self.core.borrow_mut().take(self.stream, &mut self.body) {
            Come::Data => match self.left_to_limit {
                Some(left) if self.body.len() as u64 > left => Poll::Ready(Err(Cut::TooLarge)),
                _ => Poll::Ready(Ok(Fill::Data)),
            },
            Come::End(trailers) => {
                self.trailers = trailers;
                Poll::Ready(Ok(Fill::End))
            }
            Come::Nothing => Poll::Pending,
            Come::Gone(Closed { by: By::Peer, .. }) => Poll::Ready(Err(Cut::Broken)),
            Come::Gone(Closed { by: By::Us(why), .. }) => Poll::Ready(Err(Cut::Malformed(why))),
        }
    }

    fn data(&self) -> &[u8] {
        &self.body[self.at..]
    }

    fn consume(&mut self, n: usize) {
        self.at += n;
        if let Some(left) = &mut self.left_to_limit {
            *left = left.saturating_sub(n as u64);
        }
        self.core.borrow_mut().consumed(self.stream, n);
    }

    fn trailers(&self) -> Trailers<'_> {
        match &self.trailers {
            Some(trailers) => Trailers { fields: &trailers.fields, buf: &trailers.buf },
            None => Trailers::default(),
        }
    }
}

impl Sink for ClientStream {
    fn poll_push(&mut self, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.writing == Writing::Ended { Poll::Ready(Ok(data.len())) } else { self.push(data) }
    }

    /// The session sends what is there after each turn.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(if self.core.borrow().closed(self.stream).is_some() {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(())
        })
    }

    fn poll_end(&mut self, _: &mut Context<'_>, trailers: Trailers<'_>) -> Poll<io::Result<()>> {
        if self.writing == Writing::Ended {
            return Poll::Ready(Ok(()));
        }
        while !self.own.is_empty() {
            let own = std::mem::take(&mut self.own);
            let pushed = self.push(&own);
            self.own = own;
            match pushed {
                Poll::Ready(Ok(n)) => drop(self.own.drain(..n)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.writing = Writing::Ended;
        let core = &mut *self.core.borrow_mut();
        let ended = if trailers.fields.is_empty() {
            core.end(self.stream, self.last_frame)
        } else {
            put_trailers(core, self.stream, trailers)
        };
        Poll::Ready(ended)
    }
}

fn put_trailers(core: &mut Core, stream: Handle, trailers: Trailers<'_>) -> io::Result<()> {
    let mut writer = core.wire.put_trailers(stream, &mut core.out).map_err(broken)?;
    for field in trailers.fields.iter().filter(|field| !field.hop_by_hop) {
        writer.field(field.name.of(trailers.buf), field.value.of(trailers.buf));
    }
    writer.finish(More::Ends);
    Ok(())
}

impl Downstream for ClientStream {
    fn head(&self) -> (&Request, &[u8]) {
        (&self.request, &self.head)
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn interim(&mut self, head: &AnswerHead<'_>) {
        if head.answer.status != 100 || self.request.expects_continue {
            self.put_head(head.answer.status, More::Follows, |writer| put_fields(writer, head));
            self.worker.counters().listeners[usize::from(self.peer.listener.0)].interim.add(1);
        }
    }

    fn begin(&mut self, head: &AnswerHead<'_>) {
        let (answer, worker) = (head.answer, Rc::clone(&self.worker));
        let is_bodiless = self.request.method == Method::Head
            || matches!(answer.framing, Framing::None | Framing::Length(0)) && answer.status != 101;
        let more = if is_bodiless { More::Ends } else { More::Follows };
        if is_bodiless {
            self.writing = Writing::Ended;
        }
        // RFC 8441, section 5: what HTTP/1.1 calls a switch of protocols is a plain success here.
        let status = if answer.status == 101 { 200 } else { answer.status };
        self.put_head(status, more, |writer| {
            put_fields(writer, head);
            if !answer.has_date(head.buf) && (head.changes.rules.is_empty() || !head.changes.drops(b"date")) {
                put_date(writer, &worker.calendar);
            }
            put_lines(writer, head.changes.lines);
        });
    }

    fn answer(&mut self, own: &OwnAnswer<'_>) {
        let worker = Rc::clone(&self.worker);
        let is_bodiless = matches!(own.status, 204 | 304);
        let has_body = !is_bodiless && self.request.method != Method::Head && !own.body.is_empty();
        let more = if has_body { More::Follows } else { More::Ends };
        self.writing = if has_body { Writing::Body } else { Writing::Ended };
        self.put_head(own.status, more, |writer| {
            put_date(writer, &worker.calendar);
            if !is_bodiless {
                writer.field(b"content-length", own.body.len().to_string().as_bytes());
            }
            for (name, value) in &own.fields {
                writer.field(name.as_bytes(), value);
            }
        });
        if has_body && own.is_small() {
            self.own = own.body.to_vec();
        }
    }

    fn become_tunnel(&mut self) {
        self.awaits_switch = false;
        self.writing = Writing::Body;
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        if self.core.borrow().closed(self.stream).is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn has_left(&self) -> bool {
        self.core.borrow().closed(self.stream).is_some()
    }

    fn identity(&self) -> &[u8] {
        self.identity.as_deref().unwrap_or_default()
    }

    fn limit_body(&mut self, bytes: Option<u64>) {
        self.left_to_limit = bytes;
    }

    fn thrift(&mut self) {
        if self.at == self.body.len() {
            self.body = Vec::new();
            self.at = 0;
        }
    }
}
