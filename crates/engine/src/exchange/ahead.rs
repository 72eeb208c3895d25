//! Reading an answer ahead of a client that takes it slowly, so that the backend is free once it has said all.
//!
//! Nothing is held back: what the client can take goes to it at once, and only what it leaves is kept. A backend that
//! breaks off is passed on as such, whatever was read ahead.

use std::future::poll_fn;
use std::task::{Context, Poll};

use wire::head::Field;

use super::forward::Body;
use super::proxied::{Proxied, Upstream};
use crate::buffered::Store;
use crate::cause::Cause;
use crate::h1::BackendLink;
use crate::seam::{Cut, Downstream, Fill, PumpError, Side, Source, Trailers, poll_pump};

/// What was read of an answer and not yet taken by the client.
struct Ahead {
    store: Store,
    /// It was filled; reading goes on when half of it is free, so that few bytes are moved about.
    is_resting: bool,
    half: usize,
    /// The backend has said all.
    ended: bool,
    trailer_fields: Vec<Field>,
    trailer_bytes: Vec<u8>,
}

impl Ahead {
    /// Reads on while there is room, or the process is full.
    fn read(&mut self, cx: &mut Context<'_>, link: &mut BackendLink<'_>) -> Result<(), Cut> {
        while !self.ended {
            if link.data().is_empty() {
                match link.poll_fill(cx) {
                    Poll::Ready(Ok(Fill::Data)) => {}
                    Poll::Ready(Ok(Fill::End)) => self.end(link),
                    Poll::Ready(Err(cut)) => return Err(cut),
                    Poll::Pending => return Ok(()),
                }
                continue;
            }
            self.is_resting &= self.store.room() < self.half;
            let n = link.data().len().min(self.store.room());
            if self.is_resting || n == 0 || self.store.push(&link.data()[..n]).is_err() {
                self.is_resting |= n == 0;
                return Ok(());
            }
            link.consume(n);
        }
        Ok(())
    }

    /// The trailers must outlive the link.
    fn end(&mut self, link: &BackendLink<'_>) {
        self.ended = true;
        let trailers = link.trailers();
        self.trailer_fields.extend_from_slice(trailers.fields);
        self.trailer_bytes.extend_from_slice(trailers.buf);
    }
}

/// The answer as a source: first what was read ahead, then what comes from the backend while it is there.
struct Reader<'a, 'w> {
    ahead: &'a mut Ahead,
    link: Option<&'a mut BackendLink<'w>>,
}

impl Source for Reader<'_, '_> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Cut>> {
        if self.ahead.ended {
            return Poll::Ready(Ok(Fill::End));
        }
        let Some(link) = &mut self.link else { return Poll::Ready(Err(Cut::Early)) };
        let filled = link.poll_fill(cx);
        if let Poll::Ready(Ok(Fill::End)) = filled {
            self.ahead.end(link);
        }
        filled
    }

    fn data(&self) -> &[u8] {
        match &self.link {
            Some(link) if self.ahead.store.is_empty() => link.data(),
            _ => self.ahead.store.data(),
        }
    }

    fn consume(&mut self, n: usize) {
        match &mut self.link {
            Some(link) if self.ahead.store.is_empty() => link.consume(n),
            _ => self.ahead.store.consume(n),
        }
    }

    fn trailers(&self) -> Trailers<'_> {
        Trailers { fields: &self.ahead.trailer_fields, buf: &self.ahead.trailer_bytes }
    }
}

impl<'a, D: Downstream> Proxied<'a, D> {
    /// Forwards the answer to its end, reading so many bytes ahead. The backend is given back as soon as it has said all.
    pub(super) async fn forward_ahead(&mut self, place: &mut Option<Upstream<'a>>, most: usize) -> Result<(), Cause> {
        if let Some(up) = place {
            self.begin_forward(up);
        }
        let mut ahead = Ahead {
            store: Store::new(self.worker, most),
            is_resting: false,
            half: most / 2,
            ended: false,
            trailer_fields: Vec::new(),
            trailer_bytes: Vec::new(),
        };
        let mut body = Body::default();
        let outcome = poll_fn(|cx| self.poll_answer_ahead(cx, place, (&mut ahead, &mut body))).await;
        self.facts.answer_bytes = body.progress.bytes;
        outcome
    }

    fn poll_answer_ahead(
        &mut self,
        cx: &mut Context<'_>,
        place: &mut Option<Upstream<'a>>,
        (ahead, body): (&mut Ahead, &mut Body),
    ) -> Poll<Result<(), Cause>> {
        let rest = place.as_mut().map_or(Ok(()), |up| self.poll_rest_of_request(cx, up));
        let mut reader = Reader { ahead, link: place.as_mut().map(|up| &mut up.link) };
        let mut pumped = poll_pump(cx, &mut reader, self.down, &mut body.progress);
        if pumped.is_pending()
            && body.progress.waits_for == Side::Sink
            && let Some(up) = place
            && let Err(cut) = ahead.read(cx, &mut up.link)
        {
            pumped = Poll::Ready(Err(PumpError::Source(cut)));
        }
        if ahead.ended && self.feed.done && pumped.is_pending() {
            let received = body.progress.bytes + ahead.store.data().len() as u64;
            self.release(place, received);
        }
        self.poll_pumped(cx, place.as_mut(), (rest, pumped), body)
    }

    /// The backend has said all and heard all: its place and connection are for others now.
    fn release(&mut self, place: &mut Option<Upstream<'a>>, received: u64) {
        let Some(up) = place.take() else { return };
        self.judge_end(Ok(()));
        self.counters().sent_bytes.add(self.facts.request_bytes + self.feed.progress.bytes);
        self.counters().received_bytes.add(received);
        self.give_back(up);
    }
}
