//! Deadlines of one worker: a flat table that is swept when its earliest entry is due.
//!
//! Owns when a waiting task is woken for lateness. Setting a deadline is one store into the table, with no list or
//! wheel to maintain: nearly every deadline of a proxy is moved long before it is due. A sweep walks the table (four
//! bytes an entry), wakes what is late and finds the next earliest. The table also knows which backend a task waits
//! for, so that all who wait for a backend that went down can be woken at once.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::Instant;

/// Milliseconds since the worker started; wraps after 49 days, which `reached` copes with for waits below 24 days.
pub(crate) type Millis = u32;

/// No deadline.
const NEVER: Millis = Millis::MAX;
/// The sweep found the deadline past; stays until the next `set` or `clear`.
const LATE: Millis = Millis::MAX - 1;
/// Sweeps are at least this far apart, which is also how late a deadline may fire.
const RESOLUTION_MS: Millis = 10;
/// A sweep that comes this much too late has been held up, and so has the news that others may have sent in time.
const HELD_UP_MS: Millis = 50;
/// Sockets of which the runtime hears in one look.
const HEARD_AT_ONCE: usize = 1024;
/// Longest representable wait; longer ones fire early and are set again by nobody, so `config` stays below it.
const LONGEST_MS: u128 = 24 * 24 * 3600 * 1000;

/// Nobody's backend: the entry waits for no backend in particular.
pub(crate) const NO_BACKEND: u32 = u32::MAX;
/// In place of a backend: a client's connection between two requests.
pub(crate) const IDLE: u32 = u32::MAX - 1;
/// In place of a backend: a client's connection that has not brought a whole head yet.
pub(crate) const SILENT: u32 = u32::MAX - 2;
/// In place of a backend: an idle or silent connection that was chosen to make room.
const SHED: u32 = u32::MAX - 3;
/// A silent connection gets so long to speak before it makes room for others.
const SPARED_MS: Millis = 1000;
/// Of the idle and silent connections, one in so many is shed at once,
const SHED_ONE_IN: usize = 16;
/// and no more than these.
const SHED_MOST: usize = 64;

#[derive(Default)]
struct Table {
    due: Vec<Millis>,
    /// When `due` was set last.
    set_at: Vec<Millis>,
    backend: Vec<u32>,
    wakers: Vec<Option<Waker>>,
    free: Vec<u32>,
    /// Entries marked [`SHED`].
    leaving: usize,
    next_sweep: Option<Millis>,
    sweeper: Option<Waker>,
}

/// The table of a worker.
pub(crate) struct Timers {
    epoch: Instant,
    table: RefCell<Table>,
}

/// One entry; gives its place back when dropped.
pub(crate) struct Timer {
    timers: Rc<Timers>,
    slot: u32,
}

/// Whether `now` is not before `due` on the wrapping clock.
fn reached(now: Millis, due: Millis) -> bool {
    now.wrapping_sub(due) < Millis::MAX / 2
}

impl Timers {
    pub(crate) fn new() -> Rc<Self> {
        Self::since(Instant::now())
    }

    /// A table that counts from `epoch`.
    fn since(epoch: Instant) -> Rc<Self> {
        Rc::new(Self { epoch, table: RefCell::default() })
    }

    /// The instant as the table counts.
    #[expect(clippy::cast_possible_truncation, reason = "wraps on purpose")]
    pub(crate) fn millis(&self, at: Instant) -> Millis {
        at.ms_since(self.epoch) as Millis
    }

    /// When the table will count `due`; now if it has.
    fn instant(&self, due: Millis) -> Instant {
        let now = Instant::now();
        let counted = self.millis(now);
        let left = if reached(counted, due) { 0 } else { due.wrapping_sub(counted) };
        now + Duration::from_millis(u64::from(left))
    }

    pub(crate) fn timer(self: &Rc<Self>) -> Timer {
        let mut table = self.table.borrow_mut();
        let slot = table.free.pop().unwrap_or_else(|| {
            table.due.push(NEVER);
            table.set_at.push(0);
            table.backend.push(NO_BACKEND);
            table.wakers.push(None);
            u32::try_from(table.due.len() - 1).unwrap_or(0)
        });
        Timer { timers: Rc::clone(self), slot }
    }

    /// Wakes every task that waits for this backend.
    pub(crate) fn wake_backend(&self, backend: u32) {
        self.wake_where(|table, slot| table.backend[slot] == backend);
    }

    /// Wakes every task that waits for one of these backends.
    pub(crate) fn wake_backends(&self, backends: &std::ops::Range<u32>) {
        self.wake_where(|table, slot| backends.contains(&table.backend[slot]));
    }

    /// Wakes every task that has an entry.
    pub(crate) fn wake_all(&self) {
        self.wake_where(|_, _| true);
    }

    /// Ends some connections that nobody would miss, as if their time had come: silent ones first, then idle ones, and of
    /// each the oldest. How many.
    pub(crate) fn shed(&self) -> usize {
        let now = self.millis(Instant::now());
        let mut shed: Vec<(bool, Millis, usize)> = {
            let table = self.table.borrow();
            let age = |slot: usize| now.wrapping_sub(table.set_at[slot]);
            let is_spared = |slot: usize| table.backend[slot] == SILENT && age(slot) < SPARED_MS;
            let slots = (0..table.due.len()).filter(|&slot| matches!(table.backend[slot], IDLE | SILENT));
            let slots = slots.filter(|&slot| table.due[slot] != LATE && !is_spared(slot));
            slots.map(|slot| (table.backend[slot] == IDLE, Millis::MAX - age(slot), slot)).collect()
        };
        let count = shed.len().div_ceil(SHED_ONE_IN).min(SHED_MOST);
        if count < shed.len() {
            shed.select_nth_unstable(count);
        }
        let woken: Vec<Waker> = {
            let table = &mut *self.table.borrow_mut();
            shed[..count].iter().for_each(|&(_, _, slot)| (table.due[slot], table.backend[slot]) = (LATE, SHED));
            table.leaving += count;
            shed[..count].iter().filter_map(|&(_, _, slot)| table.wakers[slot].clone()).collect()
        };
        woken.into_iter().for_each(Waker::wake);
        count
    }

    /// Connections that were shed and are not closed yet.
    pub(crate) fn leaving(&self) -> usize {
        self.table.borrow().leaving
    }

    /// Entries, free ones included: what a walk costs.
    pub(crate) fn len(&self) -> usize {
        self.table.borrow().due.len()
    }

    fn wake_where(&self, wanted: impl Fn(&Table, usize) -> bool) {
        let woken: Vec<Waker> = {
            let table = self.table.borrow();
            (0..table.due.len())
                .filter(|&slot| wanted(&table, slot))
                .filter_map(|slot| table.wakers[slot].clone())
                .collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Runs for the life of the worker: sweeps whenever the earliest deadline is due.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            let next = std::future::poll_fn(|cx| self.poll_wanted(cx)).await;
            let soonest = Instant::now() + Duration::from_millis(u64::from(RESOLUTION_MS));
            self.sleep_until_or_earlier(self.instant(next).max(soonest)).await;
            self.hear().await;
            self.sweep();
        }
    }

    fn poll_wanted(&self, cx: &mut Context<'_>) -> Poll<Millis> {
        let mut table = self.table.borrow_mut();
        match table.next_sweep {
            Some(next) => Poll::Ready(next),
            None => {
                table.sweeper = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Sleeps, but goes on sleeping less when an earlier deadline has been set meanwhile.
    async fn sleep_until_or_earlier(&self, at: Instant) {
        let mut planned = self.millis(at);
        let sleep = tokio::time::sleep_until(at.for_tokio());
        tokio::pin!(sleep);
        std::future::poll_fn(|cx| {
            let mut table = self.table.borrow_mut();
            if let Some(next) = table.next_sweep.filter(|&next| reached(planned, next.wrapping_add(RESOLUTION_MS + 1)))
            {
                planned = next.wrapping_add(RESOLUTION_MS);
                sleep.as_mut().reset(self.instant(planned).for_tokio());
            }
            table.sweeper = Some(cx.waker().clone());
            drop(table);
            sleep.as_mut().poll(cx)
        })
        .await;
    }

    /// After a pause of the process (SIGSTOP, a frozen container, a suspended machine) deadlines may fire before the runtime
    /// has looked at its sockets. What has come meanwhile is heard first: nobody is late whose word is here.
    async fn hear(&self) {
        let (now, next) = (self.millis(Instant::now()), self.table.borrow().next_sweep);
        if next.is_some_and(|next| reached(now, next.wrapping_add(HELD_UP_MS))) {
            for _ in 0..=self.len() / HEARD_AT_ONCE {
                // Comes back when the runtime has looked.
                tokio::task::yield_now().await;
            }
        }
    }

    fn sweep(&self) {
        let now = self.millis(Instant::now());
        let mut woken = Vec::new();
        {
            let table = &mut *self.table.borrow_mut();
            let mut earliest: Option<Millis> = None;
            for (slot, due) in table.due.iter_mut().enumerate().filter(|(_, due)| **due < LATE) {
                if reached(now, *due) {
                    *due = LATE;
                    woken.extend(table.wakers[slot].clone());
                } else if earliest.is_none_or(|e| reached(e, *due)) {
                    earliest = Some(*due);
                }
            }
            table.next_sweep = earliest;
        }
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Timer {
    /// Sets the deadline so long after `now`; `None` clears it.
    pub(crate) fn set(&self, now: Instant, wait: Option<Duration>) {
        let now = self.timers.millis(now);
        let Some(wait) = wait else {
            self.timers.table.borrow_mut().set_at[self.slot as usize] = now;
            return self.clear();
        };
        self.set_due(now, now.wrapping_add(wait.as_millis().min(LONGEST_MS) as Millis));
    }

    /// Sets the earlier of two waits from `now`.
    pub(crate) fn set_earlier(&self, now: Instant, wait: Option<Duration>, until: Option<Instant>) {
        let left = until.map(|until| until.saturating_duration_since(now));
        let wait = match (wait, left) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.set(now, wait);
    }

    fn set_due(&self, now: Millis, due: Millis) {
        let due = if due < LATE { due } else { 0 };
        let mut table = self.timers.table.borrow_mut();
        table.set_at[self.slot as usize] = now;
        table.due[self.slot as usize] = due;
        if table.next_sweep.is_none_or(|next| !reached(due, next)) {
            table.next_sweep = Some(due);
            if let Some(sweeper) = table.sweeper.take() {
                drop(table);
                sweeper.wake();
            }
        }
    }

    /// No deadline.
    pub(crate) fn clear(&self) {
        self.timers.table.borrow_mut().due[self.slot as usize] = NEVER;
    }

    /// Says which backend the task waits for, so that its going down wakes the task; [`NO_BACKEND`] for none.
    pub(crate) fn waits_for(&self, backend: u32) {
        let table = &mut *self.timers.table.borrow_mut();
        let before = std::mem::replace(&mut table.backend[self.slot as usize], backend);
        if before == SHED {
            table.leaving -= 1;
        }
    }

    /// Whether the deadline was brought forward to make room.
    pub(crate) fn was_shed(&self) -> bool {
        self.timers.table.borrow().backend[self.slot as usize] == SHED
    }

    /// Leaves the task's waker, so that `wake_all` and `wake_backend` reach it, without judging the deadline.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        let mut table = self.timers.table.borrow_mut();
        let waker = &mut table.wakers[self.slot as usize];
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Ready once a sweep has found the deadline past; costs no look at the clock.
    pub(crate) fn poll_late(&self, cx: &Context<'_>) -> Poll<()> {
        if self.timers.table.borrow().due[self.slot as usize] == LATE {
            return Poll::Ready(());
        }
        self.register(cx);
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut table = self.timers.table.borrow_mut();
        let slot = self.slot as usize;
        table.due[slot] = NEVER;
        let before = std::mem::replace(&mut table.backend[slot], NO_BACKEND);
        table.leaving -= usize::from(before == SHED);
        let waker = table.wakers[slot].take();
        table.free.push(self.slot);
        drop(table);
        drop(waker);
    }
}

#[cfg(test)]
mod tests;
