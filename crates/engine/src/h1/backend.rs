//! A backend connection over HTTP/1.1: the upstream half of an exchange.

use std::borrow::Cow;
use std::io;
use std::task::{Context, Poll, ready};

use wire::h1::chunked::{Decoder, Step};
use wire::h1::{Limits, Parsed, parse_answer};
use wire::head::{Answer, Framing, Method};

use super::encode::{RequestHead, put_request};
use super::link::Link;
use crate::buffers::{Buffers, Size};
use crate::seam::{Fill, Sink, Source, Trailers};
use crate::stream::Stream;

/// Why no answer head came.
#[derive(Debug)]
pub(crate) enum HeadError {
    /// The connection ended or broke before any byte of the answer.
    Closed,
    /// It ended or broke within the head.
    Early,
    /// The bytes are no answer.
    Malformed(&'static str),
}

pub(crate) struct BackendLink<'w> {
    link: Link<'w>,
    /// Where the request's body begins in the output buffer.
    head_end: usize,
    /// How that body is framed.
    framing: Framing,
    /// The request can no longer be written; the answer may still come.
    write_failed: bool,
}

impl<'w> BackendLink<'w> {
    pub(crate) fn new(stream: Stream, buffers: &'w Buffers) -> Self {
        Self { link: Link::new(stream, buffers), head_end: 0, framing: Framing::None, write_failed: false }
    }

    /// Puts bytes before the first request (a PROXY header).
    pub(crate) fn put_first(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        put(&mut self.link.mem.out);
    }

    /// Begins a request; nothing is sent before the body's end or a flush.
    pub(crate) fn begin(&mut self, head: &RequestHead<'_>) {
        put_request(&mut self.link.mem.out, head);
        self.head_end = self.link.mem.out.len();
        self.framing = head.framing();
        self.link.begin_write(self.framing);
    }

    /// Whether the kernel has taken nothing of the request.
    pub(crate) fn wrote_nothing(&self) -> bool {
        !self.link.wrote
    }

    /// Bytes of the request body that were taken from the client, if nothing of the request was sent.
    pub(crate) fn unsent_body(&self) -> Option<Cow<'_, [u8]>> {
        let unsent = self.link.unsent_body(self.head_end)?;
        if self.framing == Framing::Chunked { Some(unframed(unsent).into()) } else { Some(unsent.into()) }
    }

    /// Waits for an answer head (1xx included).
    // Within the wait for a first attempt, although a second one needs it as well.
    #[inline(always)]
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        method: Method,
        answer: &mut Answer,
    ) -> Poll<Result<(), HeadError>> {
        loop {
            if self.link.has_input() {
                match parse_answer(self.link.head_input(), limits, method, answer) {
                    Ok(Parsed::Complete(n)) => {
                        let framing = if answer.status == 101 { Framing::None } else { answer.framing };
                        self.link.begin_read(n, framing);
                        return Poll::Ready(Ok(()));
                    }
                    Ok(Parsed::Partial) => {}
                    Err(malformed) => return Poll::Ready(Err(HeadError::Malformed(malformed.why))),
                }
            }
            match ready!(self.link.poll_read_more(cx, Size::Bulk)) {
                Ok(n) if n > 0 => {}
                _ if self.link.has_input() => return Poll::Ready(Err(HeadError::Early)),
                _ => return Poll::Ready(Err(HeadError::Closed)),
            }
        }
    }

    /// The buffer that the answer head's spans point into.
    pub(crate) fn head_buf(&self) -> &[u8] {
        self.link.head_buf()
    }

    pub(crate) fn forget_head(&mut self) {
        self.link.forget_head();
    }

    /// Keeps what it must and no more while somebody is slow.
    pub(crate) fn thrift(&mut self) {
        self.link.thrift();
    }

    pub(crate) fn become_tunnel(&mut self) {
        self.link.forget_head();
        self.link.become_tunnel();
    }

    /// Whether the connection can serve another request: all written, all read, nothing unasked left.
    pub(crate) fn is_reusable(&self) -> bool {
        self.link.read_done() && self.link.write_done() && !self.link.has_input() && !self.write_failed
    }

    /// Whether bytes have come behind the end of the answer.
    pub(crate) fn has_unasked(&self) -> bool {
        self.link.read_done() && self.link.has_input()
    }

    pub(crate) fn into_stream(self) -> Stream {
        self.link.into_stream()
    }

    /// Remembers that writing failed: a backend may answer and close before it has read the whole request.
    pub(crate) fn writing_failed(&mut self) {
        self.write_failed = true;
    }
}

/// What is in chunks of our own making, as far as they go.
fn unframed(mut chunks: &[u8]) -> Vec<u8> {
    let (mut decoder, mut body) = (Decoder::new(), Vec::with_capacity(chunks.len()));
    while let Ok(Step::Data { skip, data }) = decoder.decode(chunks) {
        body.extend_from_slice(&chunks[skip..skip + data]);
        chunks = &chunks[skip + data..];
    }
    body
}

impl Source for BackendLink<'_> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, crate::seam::Cut>> {
        self.link.poll_fill(cx)
    }
    fn data(&self) -> &[u8] {
        self.link.data()
    }
    fn consume(&mut self, n: usize) {
        self.link.consume(n);
    }
    fn trailers(&self) -> Trailers<'_> {
        self.link.trailers()
    }
}

impl Sink for BackendLink<'_> {
    fn poll_push(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.link.poll_push(cx, data)
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.poll_flush(cx)
    }
    fn poll_end(&mut self, cx: &mut Context<'_>, trailers: Trailers<'_>) -> Poll<io::Result<()>> {
        self.link.poll_end(cx, trailers)
    }
}

#[cfg(test)]
mod tests;
