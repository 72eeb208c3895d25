//! What an attempt waits for, and until when.
//!
//! Owns the deadlines of one attempt: the client's timer holds the earliest of them, and what is over when it fires is
//! told here.

use std::task::{Context, Poll};
use std::time::Duration;

use policy::pace;
use policy::retry::Failure;

use super::attempt::Failed;
use super::hedge::Rival;
use super::proxied::{Proxied, SLACK, Upstream};
use super::watch::{Sight, Watch, Woken};
use crate::cause::Cause;
use crate::clock::Instant;
use crate::seam::{Downstream, Side};

/// What the deadline in force is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deadline {
    Connection,
    /// The client's next body bytes (so many have come).
    Body(u64),
    /// The backend's taking of what we send (so much is taken).
    Backend(u64),
    FirstByte,
}

impl Deadline {
    /// What it expects of the client.
    fn of_client(self) -> Option<pace::Wait> {
        matches!(self, Self::Body(_)).then_some(pace::Wait::Body)
    }
}

/// A wait for a connection, or for an answer's head.
pub(super) struct Wait<'a> {
    /// The backend was out when it was picked (panic): its being out is then no news.
    pub(super) was_down: bool,
    deadline: Option<Deadline>,
    /// Since when, and for how long at most.
    since: Instant,
    longest: Option<Duration>,
    /// When the attempt has had its time (`retry.per_try`).
    try_until: Option<Instant>,
    watch: Watch,
    /// After which time a second attempt begins, and when that is.
    hedge_after: Option<Duration>,
    hedge_at: Option<Instant>,
    /// The second attempt.
    pub(super) rival: Option<Box<Rival<'a>>>,
    /// Only the second attempt is left.
    pub(super) first_is_over: bool,
}

impl Wait<'_> {
    /// The wait for a head begins, or goes on after an interim answer.
    pub(super) fn begin(&mut self, is_down: bool) {
        self.was_down = is_down;
        self.deadline = None;
    }

    /// When what is waited for falls due.
    fn due(&self) -> Option<Instant> {
        self.longest.map(|longest| self.since + longest)
    }
}

fn is_past(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now + SLACK >= at)
}

impl<'a, D: Downstream> Proxied<'a, D> {
    /// The time of an attempt counts from its pick.
    pub(super) fn new_wait(&self) -> Wait<'a> {
        let per_try = self.target.retry.per_try;
        let try_until = per_try.and_then(|per_try| Some(self.facts.times.attempted? + per_try));
        Wait {
            was_down: false,
            deadline: None,
            since: self.facts.times.started,
            longest: None,
            try_until,
            watch: Watch::default(),
            hedge_after: None,
            hedge_at: None,
            rival: None,
            first_is_over: false,
        }
    }

    /// Says when a second attempt begins, if one may.
    pub(super) fn plan_hedge(&self, wait: &mut Wait<'a>) {
        if self.target.hedge.is_some() {
            wait.hedge_after = self.hedge_delay();
            wait.hedge_at = wait.hedge_after.and_then(|after| Some(self.facts.times.attempted? + after));
        }
    }

    /// Only the second attempt is left, which has a timer of its own.
    pub(super) fn end_first(&self, wait: &mut Wait<'a>) {
        (wait.longest, wait.try_until, wait.hedge_at) = (None, None, None);
        wait.first_is_over = true;
        self.set_timer(wait, Instant::now());
    }

    pub(super) fn begin_connecting(&self, wait: &mut Wait<'a>) {
        let now = Instant::now();
        wait.deadline = Some(Deadline::Connection);
        (wait.since, wait.longest) = (now, self.target.timeouts.connect);
        self.set_timer(wait, now);
    }

    /// Each step forward starts the wait for the next anew.
    pub(super) fn set_deadline(&mut self, wait: &mut Wait<'a>) {
        // A client that waits for 100 waits for the backend (RFC 9110, section 10.1.1).
        let awaits_word = !self.feed.invited && self.feed.progress.bytes == 0 && self.down.head().0.expects_continue;
        let wanted = match (self.feed.done, self.feed.progress.waits_for) {
            (true, _) => Deadline::FirstByte,
            (false, Side::Source) if awaits_word => Deadline::FirstByte,
            (false, Side::Source) => Deadline::Body(self.feed.progress.bytes),
            (false, Side::Sink) => Deadline::Backend(self.feed.progress.bytes),
        };
        let before = wait.deadline.replace(wanted);
        if before == Some(wanted) {
            return;
        }
        let longest = match wanted {
            Deadline::Body(_) => self.worker.client_timeouts(self.down.peer()).body,
            Deadline::Backend(_) => self.target.timeouts.idle,
            Deadline::FirstByte | Deadline::Connection => self.target.timeouts.first_byte,
        };
        let now = Instant::now();
        (wait.since, wait.longest) = (now, longest);
        if matches!(before, Some(Deadline::Body(_))) {
            // The time that the client took is not the backend's.
            wait.try_until = self.target.retry.per_try.map(|per_try| now + per_try);
            self.facts.times.asked = Some(now);
            wait.hedge_at = wait.hedge_after.map(|after| now + after);
        }
        wait.watch.pace.waits_for(wanted.of_client());
        self.set_timer(wait, now);
    }

    #[inline(always)]
    fn set_timer(&self, wait: &mut Wait<'a>, now: Instant) {
        let is_plain = wait.since == now && wait.try_until.is_none() && wait.hedge_at.is_none();
        match wait.deadline {
            Some(Deadline::Connection) if is_plain => self.down.timer().set_earlier(now, wait.longest, self.until),
            // Nearly always; what follows costs arithmetic on instants.
            _ if is_plain => wait.watch.stepped_at(now, self.down.timer(), wait.longest, self.until),
            _ => self.set_timer_to_earliest(wait, now),
        }
    }

    #[cold]
    fn set_timer_to_earliest(&self, wait: &mut Wait<'a>, now: Instant) {
        let own = [wait.try_until, wait.hedge_at].into_iter().flatten().min();
        let own = own.filter(|_| !matches!(wait.deadline, Some(Deadline::Body(_))));
        let earliest = [wait.due(), own, self.until].into_iter().flatten().min();
        match wait.deadline {
            Some(Deadline::Connection) => self.down.timer().set_earlier(now, None, earliest),
            _ => wait.watch.until(self.down.timer(), now, earliest),
        }
    }

    /// As `poll_late`, with a look at those who keep us waiting now and then.
    pub(super) fn poll_watched(
        &mut self,
        cx: &Context<'_>,
        up: &mut Upstream<'a>,
        wait: &mut Wait<'a>,
    ) -> Poll<Failed> {
        while let Poll::Ready(woken) = wait.watch.poll(self.down.timer(), cx) {
            let over = match woken {
                Woken::Due => self.late(wait),
                Woken::Look => self.look(up, wait).err().map(Failed::Exchange),
            };
            if let Some(failed) = over {
                return Poll::Ready(failed);
            }
        }
        Poll::Pending
    }

    /// Gives back what slow peers would pin, and judges the client's pace.
    #[cold]
    fn look(&mut self, up: &mut Upstream<'a>, wait: &mut Wait<'a>) -> Result<(), Cause> {
        let moved = self.feed.progress.bytes;
        let client = wait.deadline.and_then(Deadline::of_client);
        let seen = wait.watch.look(self.worker, self.down, &Sight { wait: client, moved });
        if seen.is_slow {
            self.down.thrift();
            up.link.thrift();
        }
        seen.cause.map_or(Ok(()), Err)
    }

    /// Ready when connecting took too long: the attempt, or the exchange.
    #[inline]
    pub(super) fn poll_late(&mut self, cx: &Context<'_>, wait: &mut Wait<'a>) -> Poll<Failed> {
        while self.down.timer().poll_late(cx).is_ready() {
            if let Some(failed) = self.late(wait) {
                return Poll::Ready(failed);
            }
        }
        Poll::Pending
    }

    /// What is over. Where no other attempt may be made, the one under way keeps what `timeouts` leave it: its limit is
    /// there to find a better one, not to make an error of a slow answer.
    #[cold]
    fn late(&mut self, wait: &mut Wait<'a>) -> Option<Failed> {
        let now = Instant::now();
        if is_past(self.until, now) {
            return Some(Failed::Exchange(Cause::TotalTimeout));
        }
        let (failure, cause) = match wait.deadline {
            Some(Deadline::Connection) => (Failure::Connect, Cause::ConnectTimeout),
            _ => (Failure::FirstByteTimeout, Cause::FirstByteTimeout),
        };
        let awaits_client = matches!(wait.deadline, Some(Deadline::Body(_)));
        if is_past(wait.hedge_at, now) && !awaits_client {
            wait.hedge_at = None;
            wait.rival = self.begin_rival();
        }
        if is_past(wait.try_until, now) && !awaits_client {
            wait.try_until = None;
            if wait.rival.is_some() {
                return Some(Failed::Attempt(failure, cause));
            }
            if self.is_granted_elsewhere(failure, wait.was_down) {
                return Some(Failed::Granted(failure, cause));
            }
        }
        if is_past(wait.due(), now) {
            return Some(match wait.deadline {
                Some(Deadline::Body(_)) => Failed::Exchange(Cause::BodyTimeout),
                _ => Failed::Attempt(failure, cause),
            });
        }
        self.set_timer(wait, now);
        None
    }
}
