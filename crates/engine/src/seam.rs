//! The seams of the relay: what one exchange needs of a client's side, whatever the HTTP version.
//!
//! Owns the traits only. [`Source`] and [`Sink`] are the two directions of a body under back-pressure; a [`Downstream`]
//! is both, plus heads. An HTTP/1 connection implements it for the exchange at its front, an HTTP/2 connection for
//! each stream; the tests drive two exchanges in one task through a mock of it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};

use policy::plan::{HeaderRules, ListenerId};
use wire::head::{Answer, Field, Request};

use crate::timers::Timer;

/// What a fill found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// There is data.
    Data,
    /// The body has ended, properly.
    End,
}

/// Why a body cannot be read to its end.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The peer ended the stream before the body's end.
    Early,
    /// The connection broke.
    Broken,
    /// The framing is wrong.
    Malformed(&'static str),
    /// It is larger than the limit.
    TooLarge,
}

/// Trailer fields; spans count from the start of `buf`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Trailers<'a> {
    pub(crate) fields: &'a [Field],
    pub(crate) buf: &'a [u8],
}

/// A body that is read.
pub(crate) trait Source {
    /// Called when `data` is empty: waits for more, or for the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Cut>>;
    /// Bytes of the body that are here.
    fn data(&self) -> &[u8];
    /// So many of them are done with.
    fn consume(&mut self, n: usize);
    /// After the end.
    fn trailers(&self) -> Trailers<'_>;
}

/// A body that is written.
pub(crate) trait Sink {
    /// Takes some of `data`, perhaps only into a buffer.
    fn poll_push(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;
    /// Sends what is buffered.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Ends the body and sends everything. Called again until ready.
    fn poll_end(&mut self, cx: &mut Context<'_>, trailers: Trailers<'_>) -> Poll<io::Result<()>>;
}

/// Who is on the other side of a client connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The peer of the connection, or who the PROXY header says it stands for.
    pub(crate) addr: SocketAddr,
    /// Its forwarding headers are believed.
    pub(crate) trusted: bool,
    /// The listener it came in by.
    pub(crate) listener: ListenerId,
    /// The address it came in by; unspecified for Unix sockets.
    pub(crate) local_ip: IpAddr,
    /// The port it came in by; 0 for Unix sockets.
    pub(crate) local_port: u16,
    /// Whether it speaks TLS.
    pub(crate) secure: bool,
}

impl Peer {
    pub(crate) fn ip(&self) -> IpAddr {
        self.addr.ip().to_canonical()
    }

    /// How it asks: `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Whether it came by a Unix socket, so that its address says nothing.
    pub(crate) fn is_unix(&self) -> bool {
        self.local_port == 0 && self.local_ip.is_unspecified()
    }
}

/// Header rules of a route, rendered for one exchange.
#[derive(Clone, Copy)]
pub(crate) struct Changes<'a> {
    /// Fields that these name in `set` or `remove` are dropped.
    pub(crate) rules: &'a HeaderRules,
    /// Whole field lines to add.
    pub(crate) lines: &'a [u8],
}

impl OwnAnswer<'_> {
    /// Whether the body goes with the head.
    pub(crate) fn is_small(&self) -> bool {
        self.body.len() <= OWN_BODY_BYTES
    }
}

impl Changes<'_> {
    /// Whether a field of that name is dropped.
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        let named = |text: &String| text.as_bytes().eq_ignore_ascii_case(name);
        self.rules.remove.iter().any(named) || self.rules.set.iter().any(|(text, _)| named(text))
    }
}

/// An answer head on its way to the client.
pub(crate) struct AnswerHead<'a> {
    /// The backend's head with the buffer its spans point into.
    pub(crate) answer: &'a Answer,
    pub(crate) buf: &'a [u8],
    /// What the route changes.
    pub(crate) changes: Changes<'a>,
    /// Whether the whole request has been read: only then can the connection serve another.
    pub(crate) request_done: bool,
}

/// Bodies of our own answers that are larger than this are pushed after their head, as the client takes them.
pub(crate) const OWN_BODY_BYTES: usize = 8 * 1024;

/// An answer of our own.
#[derive(Default)]
pub(crate) struct OwnAnswer<'a> {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(&'a str, std::borrow::Cow<'a, [u8]>)>,
    pub(crate) body: &'a [u8],
    /// Whether the whole request has been read.
    pub(crate) request_done: bool,
}

/// The client's side of one exchange: the request is read from it, the answer written to it.
pub(crate) trait Downstream: Source + Sink {
    /// The request head and the buffer that its spans point into; stays until the answer's head is begun.
    fn head(&self) -> (&Request, &[u8]);
    fn peer(&self) -> &Peer;
    /// The deadline of this exchange.
    fn timer(&self) -> &Timer;
    /// Forwards an interim answer (1xx, not 101) if the client can take it.
    fn interim(&mut self, head: &AnswerHead<'_>);
    /// Begins the answer; its body follows through [`Sink`].
    fn begin(&mut self, head: &AnswerHead<'_>);
    /// Answers by itself, with the body if that has no more than [`OWN_BODY_BYTES`], else it is for the caller to push;
    /// then `poll_end` sends it.
    fn answer(&mut self, own: &OwnAnswer<'_>);
    /// After `begin` of a 101: both directions become raw bytes.
    fn become_tunnel(&mut self);
    /// Ready when the client has gone away; asked while nothing is read from it.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Whether it is known without a look that the client has gone away, even while there is more to be read.
    fn has_left(&self) -> bool {
        false
    }
    /// Limits what may still be read of the request body.
    fn limit_body(&mut self, bytes: Option<u64>);
    /// Whole lines for backends about the certificate that the client has shown; none where it is not asked for one.
    fn identity(&self) -> &[u8] {
        &[]
    }
    /// Somebody keeps the exchange waiting: gives back what is not needed meanwhile.
    fn thrift(&mut self) {}
    /// Bytes that were sent and that the client has not taken yet, as far as that is known.
    fn unsent(&self) -> u64 {
        0
    }
}

/// How far a pump has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes moved.
    pub(crate) bytes: u64,
    /// Who it waits for when it is pending.
    pub(crate) waits_for: Side,
}

/// One end of a pump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Side {
    #[default]
    Source,
    Sink,
}

/// Moves a body on as far as both sides allow. Ready when it has ended and all is sent.
pub(crate) fn poll_pump<A: Source, B: Sink>(
    cx: &mut Context<'_>,
    from: &mut A,
    to: &mut B,
    progress: &mut Progress,
) -> Poll<Result<(), PumpError>> {
    loop {
        if from.data().is_empty() {
            progress.waits_for = Side::Source;
            match from.poll_fill(cx) {
                Poll::Ready(Ok(Fill::Data)) => {}
                Poll::Ready(Ok(Fill::End)) => {
                    progress.waits_for = Side::Sink;
                    return to.poll_end(cx, from.trailers()).map_err(|_| PumpError::Sink);
                }
                Poll::Ready(Err(cut)) => return Poll::Ready(Err(PumpError::Source(cut))),
                Poll::Pending => return poll_flush_meanwhile(cx, to, progress),
            }
        }
        progress.waits_for = Side::Sink;
        let n = ready!(to.poll_push(cx, from.data())).map_err(|_| PumpError::Sink)?;
        from.consume(n);
        progress.bytes += n as u64;
    }
}

/// What came so far must not wait for what comes later.
fn poll_flush_meanwhile<B: Sink>(
    cx: &mut Context<'_>,
    to: &mut B,
    progress: &mut Progress,
) -> Poll<Result<(), PumpError>> {
    match to.poll_flush(cx) {
        Poll::Ready(Err(_)) => Poll::Ready(Err(PumpError::Sink)),
        Poll::Ready(Ok(())) => Poll::Pending,
        Poll::Pending => {
            progress.waits_for = Side::Sink;
            Poll::Pending
        }
    }
}

/// Which side ended a pump.
#[derive(Debug)]
pub(crate) enum PumpError {
    Source(Cut),
    Sink,
}
