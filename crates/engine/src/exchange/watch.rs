//! Waits on a peer in the middle of an exchange: until when, and when to look at it meanwhile.
//!
//! Owns the deadline of such a wait and the pace of the client. A look is seldom: the first after a second, then every few.
//! It is when an exchange gives back the buffers that a slow peer would pin, and when `policy::pace` judges the client.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use policy::pace::{Floors, Pace, Wait};

use crate::buffers::SIP_BYTES;
use crate::cause::Cause;
use crate::clock::Instant;
use crate::seam::Downstream;
use crate::timers::Timer;
use crate::worker::Worker;

/// Deadlines fire up to so much early or late.
const SLACK: Duration = Duration::from_millis(10);
/// From the beginning to the first look, at most.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// Between two looks, at most.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// One wait, whatever it is for at the moment.
#[derive(Default)]
pub(super) struct Watch {
    /// When the last step was.
    step: Option<Instant>,
    /// Longest wait for the next.
    longest: Option<Duration>,
    /// When the whole exchange must be over.
    until: Option<Instant>,
    next_look: Option<Instant>,
    /// Bytes moved until the last look.
    seen: u64,
    /// Bytes that the client had not taken at the last look.
    unsent: Option<u64>,
    pub(super) pace: Pace,
}

/// Why a watch woke its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// It has waited too long.
    Due,
    /// It is time for a look; [`Watch::look`] says when the next is.
    Look,
}

/// What a look is about.
pub(super) struct Sight {
    /// What is waited for of the client, if it is the client.
    pub(super) wait: Option<Wait>,
    /// Bytes moved so far.
    pub(super) moved: u64,
}

/// What a look says.
pub(super) struct Seen {
    /// Little moves: buffers are better given back.
    pub(super) is_slow: bool,
    /// The client is slower than allowed.
    pub(super) cause: Option<Cause>,
}

impl Watch {
    /// There was a step forward, or the wait is for something else now: for `longest` from now, but not beyond `until`.
    #[inline]
    pub(super) fn stepped(&mut self, timer: &Timer, longest: Option<Duration>, until: Option<Instant>) {
        self.stepped_at(Instant::now(), timer, longest, until);
    }

    /// As `stepped`, when it is known what time it is.
    #[inline]
    pub(super) fn stepped_at(
        &mut self,
        now: Instant,
        timer: &Timer,
        longest: Option<Duration>,
        until: Option<Instant>,
    ) {
        (self.step, self.longest, self.until) = (Some(now), longest, until);
        let look = match self.next_look {
            Some(look) => look.saturating_duration_since(now),
            None => {
                self.next_look = Some(now + FIRST_LOOK);
                FIRST_LOOK
            }
        };
        timer.set_earlier(now, Some(longest.map_or(look, |longest| longest.min(look))), until);
    }

    /// The wait is over at `due`, whatever moves.
    pub(super) fn until(&mut self, timer: &Timer, now: Instant, due: Option<Instant>) {
        (self.step, self.longest, self.until) = (None, None, due);
        let look = *self.next_look.get_or_insert(now + FIRST_LOOK);
        timer.set_earlier(now, Some(look.saturating_duration_since(now)), due);
    }

    fn due(&self) -> Option<Instant> {
        let due = self.step.zip(self.longest).map(|(step, longest)| step + longest);
        match (due, self.until) {
            (Some(due), Some(until)) => Some(due.min(until)),
            (due, until) => due.or(until),
        }
    }

    /// Ready when the time has come for either.
    #[inline]
    pub(super) fn poll(&self, timer: &Timer, cx: &Context<'_>) -> Poll<Woken> {
        ready!(timer.poll_late(cx));
        Poll::Ready(self.woken())
    }

    #[cold]
    fn woken(&self) -> Woken {
        let is_due = self.due().is_some_and(|due| Instant::now() + SLACK >= due);
        if is_due { Woken::Due } else { Woken::Look }
    }

    /// Looks at the peers, and sets the time of the next look.
    pub(super) fn look<D: Downstream>(&mut self, worker: &Worker, down: &D, sight: &Sight) -> Seen {
        let now = Instant::now();
        let floors = &worker.plan.listeners[usize::from(down.peer().listener.0)].floors;
        let unsent = if sight.wait == Some(Wait::Drain) { down.unsent() } else { 0 };
        self.see_drain(now, sight, unsent);
        let is_slow = sight.moved.saturating_sub(std::mem::replace(&mut self.seen, sight.moved)) < SIP_BYTES as u64;
        // What the kernel holds has moved for us, but not for the client.
        let taken = i64::try_from(sight.moved).unwrap_or(i64::MAX).saturating_sub_unsigned(unsent);
        let too_slow = self.pace.is_too_slow(floors, worker.now_ms(now), sight.wait, taken);
        let look = now + look_every(floors);
        self.next_look = Some(look);
        down.timer().set_earlier(now, self.due().map(|due| due.saturating_duration_since(now)), Some(look));
        let cause = match sight.wait {
            Some(Wait::Body) => Cause::BodyTooSlow,
            _ => Cause::ClientTooSlow,
        };
        Seen { is_slow, cause: too_slow.then_some(cause) }
    }

    /// A client that takes what the kernel holds is not silent, though we have nothing to write to the kernel.
    fn see_drain(&mut self, now: Instant, sight: &Sight, unsent: u64) {
        let before = match sight.wait {
            Some(Wait::Drain) => self.unsent.replace(unsent),
            _ => self.unsent.take(),
        };
        if before.is_some_and(|before| unsent < before) && sight.moved == self.seen && sight.wait.is_some() {
            self.step = Some(now);
        }
    }
}

/// Often enough to cut within twice the time over which the average is taken.
fn look_every(floors: &Floors) -> Duration {
    LOOK_EVERY.min(floors.over / 3).max(SLACK)
}
