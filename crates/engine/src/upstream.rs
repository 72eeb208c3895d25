//! The backend's side of an exchange, whatever the HTTP version.
//!
//! Owns the choice between a connection of one's own (HTTP/1.1) and a stream on one that is shared (HTTP/2), and nothing
//! else: what either does is theirs.

use std::borrow::Cow;
use std::io;
use std::task::{Context, Poll};

use wire::h1::Limits;
use wire::h2::ErrorCode;
use wire::head::{Answer, Method};

use crate::buffers::Buffers;
use crate::h1::{self, HeadError, RequestHead};
use crate::h2::BackendStream;
use crate::seam::{Cut, Fill, Sink, Source, Trailers};
use crate::stream::Stream;

/// What an attempt goes over.
pub(crate) enum Carrier {
    /// A connection that serves one exchange after the other.
    Own(Stream),
    /// A stream on a connection that serves many at once.
    Shared(Box<BackendStream>),
}

impl Carrier {
    /// Whether something has come on it that nobody asked for, as the kernel itself tells.
    pub(crate) fn is_stale(&self) -> bool {
        match self {
            Self::Own(stream) => stream.is_stale(),
            Self::Shared(_) => false,
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "it stays in its place, and the large one is the usual one")]
pub(crate) enum BackendLink<'w> {
    Http1(h1::BackendLink<'w>),
    Http2(Box<BackendStream>),
}

/// The same of either.
macro_rules! either {
    ($link:expr, $inner:ident => $said:expr) => {
        match $link {
            BackendLink::Http1($inner) => $said,
            BackendLink::Http2($inner) => $said,
        }
    };
}

impl<'w> BackendLink<'w> {
    #[inline]
    pub(crate) fn new(carrier: Carrier, buffers: &'w Buffers) -> Self {
        match carrier {
            Carrier::Own(stream) => Self::Http1(h1::BackendLink::new(stream, buffers)),
            Carrier::Shared(stream) => Self::Http2(stream),
        }
    }

    /// Puts bytes before the first request (a PROXY header): on connections of one's own only.
    pub(crate) fn put_first(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        if let Self::Http1(link) = self {
            link.put_first(put);
        }
    }

    /// Begins a request; nothing need be sent before the body's end or a flush.
    #[inline]
    pub(crate) fn begin(&mut self, head: &RequestHead<'_>) {
        either!(self, link => link.begin(head));
    }

    /// Whether the backend has seen nothing of the request, or says that it has not worked on it.
    pub(crate) fn wrote_nothing(&self) -> bool {
        match self {
            Self::Http1(link) => link.wrote_nothing(),
            Self::Http2(stream) => stream.is_unprocessed(),
        }
    }

    /// Bytes of the request body that were taken from the client, if the backend has seen nothing of the request.
    pub(crate) fn unsent_body(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Http1(link) => link.unsent_body(),
            Self::Http2(stream) => stream.unsent_body().map(Cow::from),
        }
    }

    /// With which code the backend has broken off, where it can say so.
    pub(crate) fn cut_by(&self) -> Option<ErrorCode> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(stream) => stream.cut_by(),
        }
    }

    /// Waits for an answer head (1xx included).
    #[inline(always)]
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        method: Method,
        answer: &mut Answer,
    ) -> Poll<Result<(), HeadError>> {
        match self {
            Self::Http1(link) => link.poll_head(cx, limits, method, answer),
            Self::Http2(stream) => stream.poll_head(cx, answer),
        }
    }

    /// The buffer that the answer head's spans point into.
    #[inline]
    pub(crate) fn head_buf(&self) -> &[u8] {
        either!(self, link => link.head_buf())
    }

    #[inline]
    pub(crate) fn forget_head(&mut self) {
        either!(self, link => link.forget_head());
    }

    /// Keeps what it must and no more while somebody is slow.
    pub(crate) fn thrift(&mut self) {
        either!(self, link => link.thrift());
    }

    /// Both directions become raw bytes.
    pub(crate) fn become_tunnel(&mut self) {
        either!(self, link => link.become_tunnel());
    }

    /// Whether the backend takes WebSocket: over HTTP/1.1 that is between the client and it.
    pub(crate) fn takes_websocket(&self) -> bool {
        match self {
            Self::Http1(_) => true,
            Self::Http2(stream) => stream.takes_websocket(),
        }
    }

    /// Whether there is a connection to be kept: all written, all read, nothing unasked left.
    #[inline]
    pub(crate) fn is_reusable(&self) -> bool {
        matches!(self, Self::Http1(link) if link.is_reusable())
    }

    /// Whether bytes have come behind the end of the answer.
    pub(crate) fn has_unasked(&self) -> bool {
        matches!(self, Self::Http1(link) if link.has_unasked())
    }

    /// The connection, where it is one's own.
    #[inline]
    pub(crate) fn into_stream(self) -> Option<Stream> {
        match self {
            Self::Http1(link) => Some(link.into_stream()),
            Self::Http2(_) => None,
        }
    }

    /// Remembers that writing failed: a backend may answer and close before it has read the whole request.
    pub(crate) fn writing_failed(&mut self) {
        if let Self::Http1(link) = self {
            link.writing_failed();
        }
    }
}

impl Source for BackendLink<'_> {
    #[inline]
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Cut>> {
        either!(self, link => link.poll_fill(cx))
    }
    #[inline]
    fn data(&self) -> &[u8] {
        either!(self, link => link.data())
    }
    #[inline]
    fn consume(&mut self, n: usize) {
        either!(self, link => link.consume(n));
    }
    #[inline]
    fn trailers(&self) -> Trailers<'_> {
        either!(self, link => link.trailers())
    }
}

impl Sink for BackendLink<'_> {
    #[inline]
    fn poll_push(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, link => link.poll_push(cx, data))
    }
    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, link => link.poll_flush(cx))
    }
    #[inline]
    fn poll_end(&mut self, cx: &mut Context<'_>, trailers: Trailers<'_>) -> Poll<io::Result<()>> {
        either!(self, link => link.poll_end(cx, trailers))
    }
}
