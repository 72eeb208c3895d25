//! Bodies through two links over a real socket, in random pieces, with stalls on both sides: they arrive as they left.

mod bodies;
mod limits;

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use policy::rng::Rng;
use wire::head::{Field, Framing};

use super::Link;
use crate::buffers::{Buffers, Size};
use crate::seam::{Cut, Fill, Sink, Source, Trailers};
use crate::stream::Stream;
use crate::testing::{pair, run};

/// Ends a head, for these tests; its spelling does not matter to a link.
const HEAD_END: &[u8] = b"\r\n\r\n";

fn number(rng: &mut Rng, below: usize) -> usize {
    usize::try_from(rng.below(below as u64)).expect("small")
}

/// Wakes the task and says that it must wait, one time in `one_in`.
fn stalls(cx: &Context<'_>, rng: &mut Rng, one_in: usize) -> bool {
    let stalls = number(rng, one_in) == 0;
    if stalls {
        cx.waker().wake_by_ref();
    }
    stalls
}

/// A body that comes in random pieces and now and then not at all.
struct Pieces {
    body: Vec<u8>,
    at: usize,
    here: usize,
    trailer_bytes: Vec<u8>,
    trailers: Vec<Field>,
    rng: Rng,
}

impl Pieces {
    fn new(body: Vec<u8>, trailers: &str, seed: u64) -> Self {
        let mut fields = Vec::new();
        wire::h1::chunked::trailer_fields(trailers.as_bytes(), &mut fields).expect("good trailers");
        Self { body, at: 0, here: 0, trailer_bytes: trailers.into(), trailers: fields, rng: Rng::new(seed) }
    }
}

impl Source for Pieces {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Cut>> {
        assert_eq!(self.here, 0, "a fill is only asked for when nothing is left");
        if stalls(cx, &mut self.rng, 4) {
            return Poll::Pending;
        }
        if self.at == self.body.len() {
            return Poll::Ready(Ok(Fill::End));
        }
        let largest = [1, 40, 5_000, 100_000][number(&mut self.rng, 4)];
        self.here = (1 + number(&mut self.rng, largest)).min(self.body.len() - self.at);
        Poll::Ready(Ok(Fill::Data))
    }
    fn data(&self) -> &[u8] {
        &self.body[self.at..self.at + self.here]
    }
    fn consume(&mut self, n: usize) {
        self.at += n;
        self.here -= n;
    }
    fn trailers(&self) -> Trailers<'_> {
        Trailers { fields: &self.trailers, buf: &self.trailer_bytes }
    }
}

/// Takes a body in random pieces and now and then nothing.
struct Taken {
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
    rng: Rng,
}

impl Taken {
    fn new(seed: u64) -> Self {
        Self { body: Vec::new(), trailers: Vec::new(), rng: Rng::new(seed) }
    }
}

impl Sink for Taken {
    fn poll_push(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if stalls(cx, &mut self.rng, 4) {
            return Poll::Pending;
        }
        let n = 1 + number(&mut self.rng, data.len());
        self.body.extend_from_slice(&data[..n]);
        Poll::Ready(Ok(n))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_end(&mut self, _: &mut Context<'_>, trailers: Trailers<'_>) -> Poll<io::Result<()>> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        self.trailers =
            trailers.fields.iter().map(|f| (text(f.name.of(trailers.buf)), text(f.value.of(trailers.buf)))).collect();
        Poll::Ready(Ok(()))
    }
}

/// Waits for a head and begins to read the body behind it. Returns the head.
async fn read_head(link: &mut Link<'_>, framing: Framing) -> Vec<u8> {
    loop {
        let end = link.head_input().windows(4).position(|bytes| bytes == HEAD_END);
        if let Some(end) = end {
            let head = link.head_input()[..end + 4].to_vec();
            link.begin_read(head.len(), framing);
            return head;
        }
        let read = poll_fn(|cx| link.poll_read_more(cx, Size::Head)).await;
        assert_ne!(read.expect("the head comes"), 0);
    }
}

fn link(stream: tokio::net::UnixStream, buffers: &Buffers) -> Link<'_> {
    Link::new(Stream::Unix(stream), buffers)
}

/// Bytes without a short period, so that a lost or doubled piece shows.
fn body(bytes: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut body = Vec::with_capacity(bytes + 8);
    while body.len() < bytes {
        body.extend_from_slice(&rng.next_u64().to_le_bytes());
    }
    body.truncate(bytes);
    body
}
