//! Waiting in a pool's queue for a backend that has room.
//!
//! Owns what one exchange does meanwhile: it looks after its client, and leaves when that goes away or time is up. The line
//! itself, and whose turn it is, belong to [`crate::queue`]. Driven by `proxied`, before an attempt.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::proxied::Proxied;
use crate::backends::Attempt;
use crate::cause::Cause;
use crate::clock::Instant;
use crate::queue::{NoTurn, Refused, Ticket};
use crate::seam::Downstream;

impl<D: Downstream> Proxied<'_, D> {
    /// Waits for a place at a backend: until one is free, the client gone or the time out.
    pub(super) async fn queued(&mut self) -> Result<Attempt, Cause> {
        let (pool, began) = (self.target.pool, Instant::now());
        let urgency = self.facts.route.map(|id| self.worker.plan.route(id).urgency).unwrap_or_default();
        let avoided = self.worker.pool(pool).avoided(self.facts.tried);
        let joined = Ticket::join(&self.worker.shared, pool.0 as usize, urgency, avoided);
        let mut ticket = joined.map_err(|refused| match refused {
            Refused::Full => Cause::QueueFull,
            Refused::Shed => Cause::QueueShed,
        })?;
        self.down.timer().set_earlier(began, self.worker.plan.pool(pool).queue.timeout, self.until);
        let outcome = poll_fn(|cx| self.poll_queued(cx, &mut ticket)).await;
        self.down.timer().clear();
        *self.facts.times.queued.get_or_insert_default() += began.elapsed();
        if outcome == Err(Cause::QueueTimeout) {
            ticket.time_out();
        }
        let attempt = outcome.map(|backend| Attempt::at(self.worker, pool, backend))?;
        // They may have gone while it waited.
        if self.worker.pool(pool).refuses() { Err(Cause::NoneReady) } else { Ok(attempt) }
    }

    fn poll_queued(&mut self, cx: &mut Context<'_>, ticket: &mut Ticket) -> Poll<Result<usize, Cause>> {
        if let Poll::Ready(place) = ticket.poll(cx) {
            return Poll::Ready(place.map_err(|none| match none {
                NoTurn::Nobody => Cause::NoBackend,
                NoTurn::Shed => Cause::QueueShed,
            }));
        }
        if self.down.timer().poll_late(cx).is_ready() {
            return Poll::Ready(Err(if self.is_over() { Cause::TotalTimeout } else { Cause::QueueTimeout }));
        }
        self.down.poll_gone(cx).map(|()| Err(Cause::ClientGone))
    }
}
