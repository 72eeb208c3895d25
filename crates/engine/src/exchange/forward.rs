//! The answer on its way to the client, and tunnels.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use super::proxied::{NO_RULES, Proxied, Upstream};
use crate::cause::Cause;
use crate::seam::{AnswerHead, Changes, Downstream, Progress, PumpError, Side, poll_pump};

/// How far the answer's body has come, and how far both bodies had when the deadline was set.
#[derive(Default)]
pub(super) struct Body {
    pub(super) progress: Progress,
    deadline_at: Option<[Progress; 2]>,
}

/// One direction of a tunnel.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Direction {
    progress: Progress,
    ended: bool,
}

impl<D: Downstream> Proxied<'_, D> {
    /// Forwards what follows the answer's head, to its end.
    pub(super) async fn forward(&mut self, up: &mut Upstream<'_>) -> Result<(), Cause> {
        if self.answer.status == 101 {
            return self.tunnel(up).await;
        }
        up.link.forget_head();
        let mut body = Body::default();
        let outcome = poll_fn(|cx| self.poll_answer(cx, up, &mut body)).await;
        self.facts.answer_bytes = body.progress.bytes;
        outcome
    }

    /// The answer's head; there will be no other attempt.
    pub(super) fn begin_forward(&mut self, up: &Upstream<'_>) {
        self.feed.let_go();
        self.count_answer();
        self.begin_answer(up);
    }

    fn count_answer(&mut self) {
        let status = self.answer.status;
        self.facts.status = status;
        self.counters().requests.add(1);
        if status >= 500 {
            self.counters().errors.add(1);
        }
        if let (Some(first), Some(attempted)) = (self.facts.times.first_byte, self.facts.times.attempted) {
            let waited = first.saturating_duration_since(attempted).as_micros();
            self.counters().first_byte_us.add(u64::try_from(waited).unwrap_or(0));
        }
    }

    fn begin_answer(&mut self, up: &Upstream<'_>) {
        let rules = self.facts.route.map_or(&NO_RULES, |id| &self.worker.plan.route(id).response_headers);
        let lines = super::answer::render_rules(self.down, self.facts, rules);
        self.facts.answer_begun = true;
        self.down.begin(&AnswerHead {
            answer: &self.answer,
            buf: up.link.head_buf(),
            changes: Changes { rules, lines: &lines },
            request_done: self.feed.done,
        });
    }

    /// The answer's body, and what is left of the request's.
    fn poll_answer(&mut self, cx: &mut Context<'_>, up: &mut Upstream<'_>, body: &mut Body) -> Poll<Result<(), Cause>> {
        self.poll_rest_of_request(cx, up);
        let pumped = poll_pump(cx, &mut up.link, self.down, &mut body.progress);
        self.poll_pumped(cx, pumped, body)
    }

    /// A backend may answer before it has the whole request; then the rest of it is worth no failure.
    pub(super) fn poll_rest_of_request(&mut self, cx: &mut Context<'_>, up: &mut Upstream<'_>) {
        if !self.feed.done && self.poll_request(cx, up).is_err() {
            self.feed.done = true;
        }
    }

    /// What a step of the answer's body has come to.
    #[inline]
    pub(super) fn poll_pumped(
        &mut self,
        cx: &mut Context<'_>,
        pumped: Poll<Result<(), PumpError>>,
        body: &mut Body,
    ) -> Poll<Result<(), Cause>> {
        match pumped {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(PumpError::Sink)) => return Poll::Ready(Err(Cause::ClientGone)),
            Poll::Ready(Err(PumpError::Source(_))) => {
                // What did come is not to be lost with what did not; the connection breaks anyway, so once is enough.
                let _ = self.down.poll_flush(cx);
                return Poll::Ready(Err(Cause::Truncated));
            }
            Poll::Pending => {}
        }
        self.set_body_deadline(body);
        if self.down.timer().poll_late(cx).is_ready() {
            return Poll::Ready(Err(match body.progress.waits_for {
                _ if self.is_over() => Cause::TotalTimeout,
                Side::Source => Cause::IdleTimeout,
                Side::Sink => Cause::ClientStalled,
            }));
        }
        if self.feed.done && self.down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Cause::ClientGone));
        }
        Poll::Pending
    }

    /// Each step forward, in either direction, starts the wait anew.
    fn set_body_deadline(&self, body: &mut Body) {
        let come = [body.progress, self.feed.progress];
        if body.deadline_at.replace(come) == Some(come) {
            return;
        }
        let longest = match body.progress.waits_for {
            Side::Source => self.target.timeouts.idle,
            Side::Sink => self.worker.client_timeouts(self.down.peer()).body,
        };
        self.down.timer().set_earlier(Instant::now(), longest, self.until);
    }

    /// After 101: bytes both ways until both have ended, or silence. Either side may end it as it likes; nobody is to
    /// blame.
    async fn tunnel(&mut self, up: &mut Upstream<'_>) -> Result<(), Cause> {
        up.link.become_tunnel();
        self.down.become_tunnel();
        let peer = *self.down.peer();
        self.worker.counters().listeners[usize::from(peer.listener.0)].tunnels.add(1);
        let silence = self.worker.client_timeouts(&peer).tunnel;
        let (mut to_backend, mut to_client) = (Direction::default(), Direction::default());
        let mut seen = None;
        let ended = poll_fn(|cx| {
            if !to_backend.ended {
                to_backend.ended = poll_pump(cx, self.down, &mut up.link, &mut to_backend.progress)?.is_ready();
            }
            if !to_client.ended {
                to_client.ended = poll_pump(cx, &mut up.link, self.down, &mut to_client.progress)?.is_ready();
            }
            if to_backend.ended && to_client.ended {
                return Poll::Ready(Ok::<(), PumpError>(()));
            }
            if seen.replace((to_backend, to_client)) != Some((to_backend, to_client)) {
                self.down.timer().set(Instant::now(), silence);
            }
            self.down.timer().poll_late(cx).map(Ok)
        });
        drop(ended.await);
        self.facts.request_bytes += to_backend.progress.bytes;
        self.facts.answer_bytes = to_client.progress.bytes;
        Ok(())
    }
}
