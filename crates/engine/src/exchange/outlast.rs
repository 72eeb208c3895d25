//! What an exchange does when its tries are over and no backend took its connection: it goes on to those it has not
//! asked, and waits a short outage of the whole pool out. Nothing was written, so that any method may.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use policy::retry::{self, Failure};

use super::facts::Tried;
use super::proxied::Proxied;
use crate::cause::Cause;
use crate::clock::Instant;
use crate::outage::Waiting;
use crate::seam::Downstream;

/// Between two looks of one that waits.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Where `timeouts.connect` is off.
const LONGEST: Duration = Duration::from_secs(2);

/// How an exchange comes by a connection.
#[derive(Clone, Copy, Default)]
pub(super) struct Reach {
    /// When the first attempt began that got none.
    since: Option<Instant>,
    /// Attempts that got none.
    pub(super) unmade: u32,
    /// Those of them that do not count as tries.
    pub(super) forgiven: u32,
}

impl<D: Downstream> Proxied<'_, D> {
    /// Notes an attempt that got no connection.
    pub(super) fn not_reached(&mut self) {
        self.reach.unmade += 1;
        if self.reach.since.is_none() {
            self.reach.since = self.facts.times.attempted;
        }
    }

    /// Whether the exchange goes on although its tries are over.
    ///
    /// # Errors
    /// The client has gone meanwhile.
    pub(super) async fn outlasts(&mut self, failure: Failure, cause: Cause) -> Result<bool, Cause> {
        if cause != Cause::ConnectFailed
            || self.has_given_up()
            || !retry::may_outlast(&self.target.retry, &self.attempted(failure, false), failure)
        {
            return Ok(false);
        }
        let now = Instant::now();
        let longest = self.target.timeouts.connect.unwrap_or(LONGEST);
        let connect = self.reach.since.unwrap_or(now) + longest;
        let until = self.until.map_or(connect, |until| until.min(connect));
        if now >= until {
            return Ok(false);
        }
        let (pool, shared) = (self.worker.pool(self.target.pool), &self.worker.shared);
        if !pool.has_hopeful(&shared.pools[self.target.pool.0 as usize]) {
            let most = self.worker.plan.pool(self.target.pool).queue.size.div_ceil(shared.workers.len().max(1));
            let Some(waiting) = pool.outage.join(now, most) else { return Ok(false) };
            if !self.wait_out(&waiting, until).await? {
                return Ok(false);
            }
            self.facts.tried = Tried::default();
        }
        self.reach.forgiven = self.reach.unmade;
        Ok(true)
    }

    /// Waits until it is worth while to try again; whether that came in time.
    async fn wait_out(&mut self, waiting: &Waiting<'_>, until: Instant) -> Result<bool, Cause> {
        let (pool, shared) = (self.worker.pool(self.target.pool), &self.worker.shared);
        loop {
            self.down.timer().set(Instant::now(), Some(LOOK_EVERY));
            poll_fn(|cx| match self.down.poll_gone(cx) {
                Poll::Ready(()) => Poll::Ready(Err(Cause::ClientGone)),
                Poll::Pending => self.down.timer().poll_late(cx).map(Ok),
            })
            .await?;
            let now = Instant::now();
            if waiting.tries_now(now) || pool.has_hopeful(&shared.pools[self.target.pool.0 as usize]) {
                return Ok(true);
            }
            if now >= until {
                return Ok(false);
            }
        }
    }
}
