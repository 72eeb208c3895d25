//! The client's side of an exchange over HTTP/1.1.

use super::Client;
use std::io;
use std::task::{Context, Poll, ready};

use wire::head::{Request, Version};

use super::super::encode::{put_answer, put_own};
use crate::buffers::Size;
use crate::seam::{AnswerHead, Cut, Downstream, Fill, OwnAnswer, Peer, Sink, Source, Trailers};
use crate::timers::Timer;

impl Source for Client<'_> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Cut>> {
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

impl Sink for Client<'_> {
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

impl Downstream for Client<'_> {
    fn head(&self) -> (&Request, &[u8]) {
        (&self.request, self.link.head_buf())
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn identity(&self) -> &[u8] {
        self.identity.as_deref().unwrap_or_default()
    }

    fn interim(&mut self, head: &AnswerHead<'_>) {
        let wanted = head.answer.status != 100 || self.request.expects_continue;
        if self.request.version == Version::Http11 && wanted {
            let facts = self.facts(false);
            put_answer(&mut self.link.mem.out, facts, head, &self.worker.calendar);
            self.counters().interim.add(1);
        }
    }

    // Within the one exchange.
    #[inline(always)]
    fn begin(&mut self, head: &AnswerHead<'_>) {
        let facts = self.facts(head.request_done);
        let from = self.link.mem.out.len();
        let begun = put_answer(&mut self.link.mem.out, facts, head, &self.worker.calendar);
        if self.peer.secure {
            self.add_hsts(from, Some(head));
        }
        self.keep_alive = begun.keep_alive;
        self.link.begin_write(begun.framing);
    }

    fn answer(&mut self, own: &OwnAnswer<'_>) {
        let facts = self.facts(own.request_done);
        self.keep_alive = facts.keep_alive;
        let from = self.link.mem.out.len();
        let framing = put_own(&mut self.link.mem.out, facts, own, &self.worker.calendar);
        if self.peer.secure {
            self.add_hsts(from, None);
        }
        self.link.begin_write(framing);
    }

    fn become_tunnel(&mut self) {
        self.tunnel = true;
        self.link.shrink_head();
        self.link.become_tunnel();
    }

    /// A client that ends its direction while it waits has gone away: HTTP has no use for a half-closed client.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.link.has_plenty() {
                // Enough is pipelined; it is read when its turn comes.
                return self.poll_left(cx);
            }
            match ready!(self.link.poll_read_more(cx, Size::Head)) {
                Ok(n) if n > 0 => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    fn limit_body(&mut self, bytes: Option<u64>) {
        self.link.limit_body(bytes);
    }

    fn thrift(&mut self) {
        self.link.thrift();
    }

    fn unsent(&self) -> u64 {
        self.link.stream.unsent()
    }
}
