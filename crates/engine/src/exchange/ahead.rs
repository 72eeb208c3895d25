//! Reading an answer ahead of a client that takes it slowly, so that the backend is free once it has said all.
//!
//! Nothing is held back: what the client can take goes to it at once, and only what it leaves is kept. A backend that
//! breaks off is passed on as such, whatever was read ahead.

use std::future::poll_fn;
use std::task::{Context, Poll};

use wire::head::Field;

use super::forward::Body;
use super::proxied::{Detour, Proxied, Upstream};
use crate::buffered::Store;
use crate::cause::Cause;
use crate::seam::{Cut, Downstream, Fill, PumpError, Side, Source, Trailers, poll_pump};
use crate::upstream::BackendLink;

/// What was read of an answer and not yet taken by the client.
pub(super) struct Ahead {
    store: Store,
    /// It was filled; reading goes on when half of it is free, so that few bytes are moved about.
    is_resting: bool,
    half: usize,
    /// The backend has said all.
    ended: bool,
    trailer_fields: Vec<Field>,
    trailer_bytes: Vec<u8>,
    body: Body,
}

/// How far a read-ahead answer has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The client has it all.
    AllDone,
    /// The backend has said all and heard all: its place and connection are for others now.
    BackendDone,
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

impl<D: Downstream> Proxied<'_, D> {
    /// Forwards what follows the answer's head, reading so many bytes ahead: to its end, or until only `rest` is to be sent
    /// and the backend is needed no more.
    #[cold]
    pub(super) fn forward_ahead<'s>(
        &'s mut self,
        up: &'s mut Upstream<'_>,
        most: usize,
        rest: &'s mut Option<Box<Ahead>>,
    ) -> Detour<'s> {
        up.link.forget_head();
        let mut ahead = Box::new(Ahead {
            store: Store::new(self.worker, most),
            is_resting: false,
            half: most / 2,
            ended: false,
            trailer_fields: Vec::new(),
            trailer_bytes: Vec::new(),
            body: Body::default(),
        });
        Box::pin(async move {
            let step = poll_fn(|cx| self.poll_ahead(cx, up, &mut ahead)).await;
            self.facts.answer_bytes = ahead.body.progress.bytes;
            if step == Ok(Step::BackendDone) {
                // For the moment what came of the backend; `send_rest` tells what has gone to the client.
                self.facts.answer_bytes += ahead.store.data().len() as u64;
                *rest = Some(ahead);
            }
            step.map(|_| ())
        })
    }

    /// Sends what was read ahead; the backend is gone.
    #[cold]
    pub(super) fn send_rest(&mut self, mut rest: Box<Ahead>) -> Detour<'_> {
        Box::pin(async move {
            let outcome = poll_fn(|cx| {
                let mut body = std::mem::take(&mut rest.body);
                let pumped = poll_pump(cx, &mut Reader { ahead: &mut rest, link: None }, self.down, &mut body.progress);
                let step = self.poll_pumped(cx, None, (Ok(()), pumped), &mut body);
                rest.body = body;
                step
            })
            .await;
            self.facts.answer_bytes = rest.body.progress.bytes;
            outcome
        })
    }

    fn poll_ahead(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Upstream<'_>,
        ahead: &mut Ahead,
    ) -> Poll<Result<Step, Cause>> {
        let rest = self.poll_rest_of_request(cx, up);
        let mut body = std::mem::take(&mut ahead.body);
        let mut reader = Reader { ahead, link: Some(&mut up.link) };
        let mut pumped = poll_pump(cx, &mut reader, self.down, &mut body.progress);
        if pumped.is_pending()
            && body.progress.waits_for == Side::Sink
            && let Err(cut) = ahead.read(cx, &mut up.link)
        {
            pumped = Poll::Ready(Err(PumpError::Source(cut)));
        }
        let is_done = ahead.ended && self.feed.done && pumped.is_pending();
        let step = if is_done {
            Poll::Ready(Ok(Step::BackendDone))
        } else {
            self.poll_pumped(cx, Some(up), (rest, pumped), &mut body).map_ok(|()| Step::AllDone)
        };
        ahead.body = body;
        step
    }
}
