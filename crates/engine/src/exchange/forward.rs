//! The answer on its way to the client, and tunnels.

use std::future::poll_fn;
use std::task::{Context, Poll};

use policy::pace::Wait;

use super::proxied::{NO_RULES, Proxied, Upstream};
use super::watch::{Sight, Watch, Woken};
use crate::cause::Cause;
use crate::seam::{AnswerHead, Changes, Downstream, Progress, PumpError, Side, poll_pump};

/// How far the answer's body has come, and how far both bodies had when the deadline was set.
#[derive(Default)]
pub(super) struct Body {
    pub(super) progress: Progress,
    deadline_at: Option<[Progress; 2]>,
    watch: Watch,
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
            self.counters().first_byte_us.add(first.us_since(attempted));
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
        let rest = self.poll_rest_of_request(cx, up);
        let pumped = poll_pump(cx, &mut up.link, self.down, &mut body.progress);
        self.poll_pumped(cx, Some(up), (rest, pumped), body)
    }

    /// A backend may answer before it has the whole request.
    pub(super) fn poll_rest_of_request(&mut self, cx: &mut Context<'_>, up: &mut Upstream<'_>) -> Result<(), Cause> {
        if self.feed.done { Ok(()) } else { self.poll_request(cx, up) }
    }

    /// What a step of both bodies has come to.
    #[inline]
    pub(super) fn poll_pumped(
        &mut self,
        cx: &mut Context<'_>,
        mut up: Option<&mut Upstream<'_>>,
        (rest, pumped): (Result<(), Cause>, Poll<Result<(), PumpError>>),
        body: &mut Body,
    ) -> Poll<Result<(), Cause>> {
        match pumped {
            // Neither side may take what it has for whole: not the backend the request, nor the client the answer,
            // unless that is all here.
            Poll::Pending | Poll::Ready(Err(_)) if rest.is_err() => return Poll::Ready(rest),
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
        while let Poll::Ready(woken) = body.watch.poll(self.down.timer(), cx) {
            match (woken, body.progress.waits_for) {
                (Woken::Look, _) => self.look_at_bodies(up.as_deref_mut(), body)?,
                _ if self.is_over() => return Poll::Ready(Err(Cause::TotalTimeout)),
                (Woken::Due, Side::Source) => return Poll::Ready(Err(Cause::IdleTimeout)),
                (Woken::Due, Side::Sink) => return Poll::Ready(Err(Cause::ClientStalled)),
            }
        }
        if self.down.has_left() || (self.feed.done && self.down.poll_gone(cx).is_ready()) {
            return Poll::Ready(Err(Cause::ClientGone));
        }
        Poll::Pending
    }

    /// Each step forward, in either direction, starts the wait anew.
    fn set_body_deadline(&self, body: &mut Body) {
        let come = [body.progress, self.feed.progress];
        let before = body.deadline_at.replace(come);
        if before == Some(come) {
            return;
        }
        let longest = match body.progress.waits_for {
            Side::Source => self.target.timeouts.idle,
            Side::Sink => self.worker.client_timeouts(self.down.peer()).body,
        };
        let answer_moved = before.is_none_or(|[answer, _]| answer.bytes != body.progress.bytes);
        let wait = match self.expects(body) {
            // While the answer goes on, its request's body may come as it likes.
            Some(Wait::Body) if answer_moved => None,
            wait => wait,
        };
        body.watch.pace.waits_for(wait);
        body.watch.stepped(self.down.timer(), longest, self.until);
    }

    /// What is waited for of the client.
    fn expects(&self, body: &Body) -> Option<Wait> {
        match body.progress.waits_for {
            Side::Sink => Some(Wait::Drain),
            Side::Source if !self.feed.done && self.feed.progress.waits_for == Side::Source => Some(Wait::Body),
            Side::Source => None,
        }
    }

    /// Looks at those who keep us waiting: gives back what they would pin, and judges the client's pace.
    #[cold]
    fn look_at_bodies(&mut self, up: Option<&mut Upstream<'_>>, body: &mut Body) -> Result<(), Cause> {
        let wait = self.expects(body);
        let moved = if wait == Some(Wait::Body) { self.feed.progress.bytes } else { body.progress.bytes };
        let seen = body.watch.look(self.worker, self.down, &Sight { wait, moved });
        if seen.is_slow {
            self.down.thrift();
            if let Some(up) = up {
                up.link.thrift();
            }
        }
        seen.cause.map_or(Ok(()), Err)
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
        let (mut seen, mut watch) = (None, Watch::default());
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
                watch.stepped(self.down.timer(), silence, None);
            }
            while let Poll::Ready(woken) = watch.poll(self.down.timer(), cx) {
                if woken == Woken::Due {
                    return Poll::Ready(Ok(()));
                }
                let moved = to_backend.progress.bytes + to_client.progress.bytes;
                if watch.look(self.worker, self.down, &Sight { wait: None, moved }).is_slow {
                    self.down.thrift();
                    up.link.thrift();
                }
            }
            Poll::Pending
        });
        drop(ended.await);
        self.facts.request_bytes += to_backend.progress.bytes;
        self.facts.answer_bytes = to_client.progress.bytes;
        Ok(())
    }
}
