//! One stream to a backend: the upstream half of an exchange.
//!
//! Owns the spelling of requests in HTTP/2, what came of the answer and was not taken, and what can be said of a stream
//! that failed: whether the backend has worked on it. The connection belongs to [`super::dialogue`].

use std::io;
use std::task::{Context, Poll};

use wire::h2::{By, ErrorCode, Handle, More, RequestLine};
use wire::head::{Answer, Framing};

use super::core::{Closed, Come, LastFrame, OwnTrailers, Shared, broken};
use super::fields::put_request_fields;
use super::websocket;
use crate::h1::{HeadError, RequestHead};
use crate::seam::{Cut, Fill, Sink, Source, Trailers};

/// Bytes of a request's body that are kept until its answer comes, so that a stream which was refused can be repeated.
const KEPT_BYTES: usize = 16 * 1024;

pub(crate) struct BackendStream {
    core: Shared,
    scheme: &'static str,
    /// `None` before the request, and where the connection took none.
    stream: Option<Handle>,
    /// The buffer of the answer's head.
    head: Vec<u8>,
    /// What was taken of the answer's body, used up to `at`.
    body: Vec<u8>,
    at: usize,
    trailers: Option<Box<OwnTrailers>>,
    /// The request's body so far; `None` where it is too long to be kept, or needs no more be.
    kept: Option<Vec<u8>>,
    is_ended: bool,
    /// WebSocket was asked for: the request is open, and begins when the answer has come.
    switch: Option<Box<Switch>>,
    last_frame: Option<LastFrame>,
}

/// A tunnel that is asked for.
struct Switch {
    /// What proves to the client that its key was read.
    proof: Vec<u8>,
    is_open: bool,
}

impl BackendStream {
    pub(super) fn new(core: &Shared, scheme: &'static str) -> Self {
        Self {
            core: Shared::clone(core),
            scheme,
            stream: None,
            head: Vec::new(),
            body: Vec::new(),
            at: 0,
            trailers: None,
            kept: Some(Vec::new()),
            is_ended: false,
            switch: None,
            last_frame: None,
        }
    }

    /// Begins the request: its head goes into the output.
    pub(crate) fn begin(&mut self, head: &RequestHead<'_>) {
        let request = head.request;
        if websocket::is_asked(request, head.buf) {
            let proof = websocket::key_of(request, head.buf).map(websocket::proof).unwrap_or_default();
            self.switch = Some(Box::new(Switch { proof, is_open: false }));
        }
        let is_switch = self.switch.is_some();
        let line = RequestLine {
            method: if is_switch { b"CONNECT" } else { request.method_span.of(head.buf) },
            scheme: self.scheme.as_bytes(),
            authority: head.host,
            path: head.path,
            query: request.has_query.then(|| request.query.of(head.buf)),
            protocol: is_switch.then_some(websocket::PROTOCOL),
        };
        self.is_ended = !is_switch && matches!(head.framing(), Framing::None | Framing::Length(0));
        let core = &mut *self.core.borrow_mut();
        // Full: another has taken the room meanwhile. It is found when the answer is waited for.
        let Ok(mut writer) = core.wire.put_request(&line, &mut core.out) else { return };
        put_request_fields(&mut writer, head);
        let stream = writer.finish(if self.is_ended { More::Ends } else { More::Follows });
        self.stream = Some(stream);
        core.begin(stream, false);
        core.tell_writer();
    }

    /// Whether the backend takes WebSocket (RFC 8441, section 3).
    pub(crate) fn takes_websocket(&self) -> bool {
        self.core.borrow().wire.takes_extended_connect()
    }

    /// After the switch: what is pushed from now on goes as data.
    pub(crate) fn become_tunnel(&mut self) {
        if let Some(switch) = &mut self.switch {
            switch.is_open = true;
        }
        self.forget_head();
    }

    /// Whether the request's end is not the end of what goes to the backend.
    fn awaits_switch(&self) -> bool {
        self.switch.as_ref().is_some_and(|switch| !switch.is_open)
    }

    fn closed(&self) -> Option<Closed> {
        let gone = Closed { by: By::Peer, code: ErrorCode::REFUSED_STREAM };
        self.stream.map_or(Some(gone), |stream| self.core.borrow().closed(stream))
    }

    /// Whether the backend has not worked on the request: it says so, or it never got it.
    pub(crate) fn is_unprocessed(&self) -> bool {
        self.closed().is_some_and(|closed| closed.by == By::Peer && closed.code == ErrorCode::REFUSED_STREAM)
    }

    /// What was taken from the client of a request that the backend has not worked on, as far as that is kept.
    pub(crate) fn unsent_body(&self) -> Option<&[u8]> {
        self.kept.as_deref().filter(|_| self.is_unprocessed())
    }

    /// With which code the backend has broken off.
    pub(crate) fn cut_by(&self) -> Option<ErrorCode> {
        self.closed().filter(|closed| closed.by == By::Peer).map(|closed| closed.code)
    }

    /// Waits for an answer head (1xx included).
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>, answer: &mut Answer) -> Poll<Result<(), HeadError>> {
        let Some(stream) = self.stream else { return Poll::Ready(Err(HeadError::Closed)) };
        let core = &mut *self.core.borrow_mut();
        if let Some((head, buf)) = core.take_head(stream) {
            *answer = head;
            self.head = buf;
            if let Some(switch) = self.switch.as_ref().filter(|_| matches!(answer.status, 200..300)) {
                websocket::switch(answer, &mut self.head, &switch.proof);
            }
            return Poll::Ready(Ok(()));
        }
        match core.closed(stream) {
            Some(Closed { by: By::Us(why), .. }) => Poll::Ready(Err(HeadError::Malformed(why))),
            Some(_) => Poll::Ready(Err(HeadError::Closed)),
            None => {
                core.wait(stream, cx);
                Poll::Pending
            }
        }
    }

    /// The buffer that the answer head's spans point into.
    pub(crate) fn head_buf(&self) -> &[u8] {
        &self.head
    }

    pub(crate) fn forget_head(&mut self) {
        self.kept = None;
        self.head = Vec::new();
    }

    /// Keeps what it must and no more while somebody is slow.
    pub(crate) fn thrift(&mut self) {
        if self.at == self.body.len() {
            self.body = Vec::new();
            self.at = 0;
        }
    }

    fn keep(&mut self, data: &[u8]) {
        if let Some(kept) = &mut self.kept {
            if kept.len() + data.len() > KEPT_BYTES {
                self.kept = None;
            } else {
                kept.extend_from_slice(data);
            }
        }
    }
}

impl Drop for BackendStream {
    fn drop(&mut self) {
        if let Some(stream) = self.stream {
            let core = &mut *self.core.borrow_mut();
            core.wire.release(stream, &mut core.out);
            core.tell_writer();
        }
    }
}

impl Source for BackendStream {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Cut>> {
        let Some(stream) = self.stream else { return Poll::Ready(Err(Cut::Broken)) };
        if self.trailers.is_some() {
            return Poll::Ready(Ok(Fill::End));
        }
        self.body.clear();
        self.at = 0;
        let core = &mut *self.core.borrow_mut();
        match core.take(stream, &mut self.body) {
            Come::Data => Poll::Ready(Ok(Fill::Data)),
            Come::End(trailers) => {
                self.trailers = trailers;
                Poll::Ready(Ok(Fill::End))
            }
            Come::Nothing => {
                core.wait(stream, cx);
                Poll::Pending
            }
            Come::Gone(Closed { by: By::Us(why), .. }) => Poll::Ready(Err(Cut::Malformed(why))),
            Come::Gone(_) => Poll::Ready(Err(Cut::Broken)),
        }
    }

    fn data(&self) -> &[u8] {
        &self.body[self.at..]
    }

    fn consume(&mut self, n: usize) {
        self.at += n;
        if let Some(stream) = self.stream {
            let core = &mut *self.core.borrow_mut();
            let before = core.out.len();
            core.consumed(stream, n);
            if core.out.len() > before {
                core.tell_writer();
            }
        }
    }

    fn trailers(&self) -> Trailers<'_> {
        self.trailers.as_ref().map_or(Trailers::default(), |own| Trailers { fields: &own.fields, buf: &own.buf })
    }
}

impl Sink for BackendStream {
    fn poll_push(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let Some(stream) = self.stream else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        if self.is_ended {
            return Poll::Ready(Ok(data.len()));
        }
        let pushed = {
            let core = &mut *self.core.borrow_mut();
            let pushed = core.push(stream, data, &mut self.last_frame);
            match &pushed {
                Ok(0) => core.wait(stream, cx),
                _ => core.tell_writer(),
            }
            pushed
        };
        match pushed {
            Ok(0) if !data.is_empty() => Poll::Pending,
            Ok(n) => {
                self.keep(&data[..n]);
                Poll::Ready(Ok(n))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// The connection's task writes what is there when it has its turn.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(if self.closed().is_some() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) })
    }

    fn poll_end(&mut self, _: &mut Context<'_>, trailers: Trailers<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = self.stream else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        if self.awaits_switch() || std::mem::replace(&mut self.is_ended, true) {
            return Poll::Ready(Ok(()));
        }
        let core = &mut *self.core.borrow_mut();
        let ended = if trailers.fields.is_empty() {
            core.end(stream, self.last_frame)
        } else {
            core.wire.put_trailers(stream, &mut core.out).map_err(broken).map(|mut writer| {
                for field in trailers.fields.iter().filter(|field| !field.hop_by_hop) {
                    writer.field(field.name.of(trailers.buf), field.value.of(trailers.buf));
                }
                writer.finish(More::Ends);
            })
        };
        core.tell_writer();
        Poll::Ready(ended)
    }
}
