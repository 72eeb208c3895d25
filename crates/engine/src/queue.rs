//! Caps on running requests, and the queue before a pool whose backends are all at theirs (DESIGN D10).
//!
//! Owns places: each running attempt at a backend of such a pool holds one, over the whole process. Pools without a cap
//! have none of this. The line is entered only under saturation; while anybody waits, newcomers go behind, and a place
//! that is given back goes straight to the first who may use it, whatever worker that is in.
//!
//! No wake-up is lost: who gives a place back lowers the count and then reads `waiting`; who joins raises `waiting` and
//! then reads the counts. Both in one order for all threads, so that one of the two sees the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use policy::balance::{Awaited, Standing};
use policy::plan::{Pool, Urgency};

use crate::exchange::Tried;
use crate::shared::{PoolShared, Shared};

/// No cap.
const NO_CAP: u32 = u32::MAX;
/// Tombstones in the line beyond the number of those who wait before they are swept.
const TOMBSTONES: usize = 64;

/// The queue of a pool in which a backend has a cap.
#[derive(Debug)]
pub(crate) struct Queue {
    /// How many wait; a hint for those who do not hold the lock.
    waiting: AtomicUsize,
    caps: Vec<Cap>,
    size: usize,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Cap {
    max_requests: u32,
    tier: u8,
}

/// What a queue has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueFigures {
    /// Requests that wait now.
    pub waiting: u64,
    /// Requests that have waited, those that wait now included.
    pub queued: u64,
    /// Requests refused because as many waited as may.
    pub full: u64,
    /// Requests refused because they had waited too long.
    pub timeouts: u64,
    /// The longest wait so far.
    pub longest: Duration,
}

#[derive(Debug, Default)]
struct Line {
    /// Numbers of tickets, by urgency; in each the first to come is the first.
    classes: [VecDeque<usize>; Urgency::ALL.len()],
    tickets: Vec<Entry>,
    free: Vec<usize>,
    /// Cancelled tickets that are still in `classes`.
    tombstones: usize,
    /// Those who wait and have tried backends, so that not every backend of their level will do.
    choosy: usize,
    figures: QueueFigures,
    /// What those who have tried nothing wait for, as of an epoch of the pool.
    awaited: Option<(u64, Option<Awaited>)>,
}

#[derive(Debug, Default)]
enum Entry {
    #[default]
    Free,
    Waiting(Waiter),
    /// Gone before its turn; its number is still in the line.
    Cancelled,
    /// A place at this backend is held for it.
    Granted(usize),
    /// All backends were taken out by hand.
    Barred,
}

#[derive(Debug)]
struct Waiter {
    tried: Tried,
    since: Instant,
    waker: Option<Waker>,
}

/// As many wait as may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

/// A place in the line; given up when dropped, together with what it was granted.
#[derive(Debug)]
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    pool: usize,
    number: Option<usize>,
}

impl Queue {
    /// `None` where no backend has a cap.
    pub(crate) fn new(pool: &Pool) -> Option<Self> {
        let places = |backend: &policy::plan::Backend| {
            backend.max_requests.into_iter().chain(backend.caps.max_connections).min()
        };
        if pool.backends.iter().all(|backend| places(backend).is_none()) {
            return None;
        }
        let cap = |backend: &policy::plan::Backend| Cap {
            // Each request has a connection of its own: no more can run than may be open.
            max_requests: places(backend).unwrap_or(NO_CAP),
            tier: backend.tier,
        };
        Some(Self {
            waiting: AtomicUsize::new(0),
            caps: pool.backends.iter().map(cap).collect(),
            size: pool.queue.size,
            line: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn figures(&self) -> QueueFigures {
        let line = self.lock();
        let waits = |entry: &Entry| match entry {
            Entry::Waiting(waiter) => Some(waiter.since.elapsed()),
            _ => None,
        };
        let longest = line.tickets.iter().filter_map(waits).max().unwrap_or_default();
        let waiting = self.waiting.load(Ordering::Relaxed) as u64;
        QueueFigures { waiting, longest: longest.max(line.figures.longest), ..line.figures }
    }

    /// Counts a request that has waited too long.
    pub(crate) fn timed_out(&self) {
        self.lock().figures.timeouts += 1;
    }

    fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }
}

/// A pool with a queue.
#[derive(Clone, Copy)]
pub(crate) struct Capped<'a> {
    pool: &'a PoolShared,
    queue: &'a Queue,
}

impl<'a> Capped<'a> {
    pub(crate) fn new(pool: &'a PoolShared) -> Option<Self> {
        pool.queue.as_deref().map(|queue| Self { pool, queue })
    }

    pub(crate) fn loads(self) -> &'a PoolShared {
        self.pool
    }

    /// Whether newcomers go behind others.
    pub(crate) fn has_waiting(self) -> bool {
        self.queue.has_waiting()
    }

    pub(crate) fn has_room(self, backend: usize) -> bool {
        self.pool.backends[backend].active_in_order() < self.queue.caps[backend].max_requests
    }

    /// Takes a place at a backend, if there is one.
    pub(crate) fn take(self, backend: usize) -> bool {
        self.pool.backends[backend].begin_below(self.queue.caps[backend].max_requests)
    }

    /// Gives a place back: to the first who waits for it, else to everybody.
    pub(crate) fn give_back(self, backend: usize) {
        if self.has_waiting() {
            let mut line = self.queue.lock();
            if let Some(number) = self.next(&mut line, backend) {
                let waker = self.grant(&mut line, number, backend);
                drop(line);
                wake(waker);
                return;
            }
        }
        self.pool.backends[backend].end_in_order();
        if self.has_waiting() {
            let woken = self.serve_backend(&mut self.queue.lock(), backend);
            woken.into_iter().for_each(Waker::wake);
        }
    }

    /// Gives every place there is to those who wait for it: after a change of standings.
    pub(crate) fn serve(self) {
        if self.has_waiting() {
            let woken = self.serve_all(&mut self.queue.lock());
            woken.into_iter().for_each(Waker::wake);
        }
    }

    fn serve_all(self, line: &mut Line) -> Vec<Waker> {
        if self.awaited(line).is_none() {
            return self.bar_all(line);
        }
        (0..self.queue.caps.len()).flat_map(|backend| self.serve_backend(line, backend)).collect()
    }

    fn serve_backend(self, line: &mut Line, backend: usize) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.has_waiting() && self.has_room(backend) && self.take(backend) {
            let Some(number) = self.next(line, backend) else {
                // Whoever has missed this place meanwhile stands at the lock, and looks again behind it.
                self.pool.backends[backend].end_in_order();
                break;
            };
            woken.extend(self.grant(line, number, backend));
        }
        woken
    }

    /// The first in the line who may have a place at this backend; leaves the line.
    fn next(self, line: &mut Line, backend: usize) -> Option<usize> {
        let common = self.awaited(line).is_some_and(|it| self.admits(it, backend, &Tried::default()));
        if !common && line.choosy == 0 {
            return None;
        }
        for class in 0..line.classes.len() {
            line.pass_tombstones(class);
            let fits = |number: &usize| match &line.tickets[*number] {
                Entry::Waiting(waiter) if waiter.tried.list().is_empty() => common,
                Entry::Waiting(waiter) => {
                    let awaited = Awaited::new(self.standings(), waiter.tried.list());
                    awaited.is_some_and(|it| self.admits(it, backend, &waiter.tried))
                }
                _ => false,
            };
            if let Some(at) = line.classes[class].iter().position(fits) {
                return line.classes[class].remove(at);
            }
        }
        None
    }

    /// Gives a ticket that has left the line a place that is already counted.
    fn grant(self, line: &mut Line, number: usize, backend: usize) -> Option<Waker> {
        line.leave(number, Entry::Granted(backend), &self.queue.waiting)
    }

    /// Nobody is left to wait for.
    fn bar_all(self, line: &mut Line) -> Vec<Waker> {
        let mut woken = Vec::new();
        for class in 0..line.classes.len() {
            line.pass_tombstones(class);
            while let Some(number) = line.classes[class].pop_front() {
                woken.extend(line.leave(number, Entry::Barred, &self.queue.waiting));
                line.pass_tombstones(class);
            }
        }
        woken
    }

    fn standings(self) -> impl Iterator<Item = (Standing, u8)> + Clone + 'a {
        let Self { pool, queue } = self;
        pool.backends.iter().zip(&queue.caps).map(|(backend, cap)| (backend.standing(), cap.tier))
    }

    fn admits(self, awaited: Awaited, backend: usize, tried: &Tried) -> bool {
        let slot = (self.pool.backends[backend].standing(), self.queue.caps[backend].tier);
        u16::try_from(backend).is_ok_and(|backend| awaited.admits(backend, slot, tried.list()))
    }

    /// What those who have tried nothing wait for.
    fn awaited(self, line: &mut Line) -> Option<Awaited> {
        let epoch = self.pool.epoch.load(Ordering::Acquire);
        match line.awaited {
            Some((of, awaited)) if of == epoch => awaited,
            _ => {
                let awaited = Awaited::new(self.standings(), &[]);
                line.awaited = Some((epoch, awaited));
                awaited
            }
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Line {
    fn enter(&mut self, urgency: Urgency, waiter: Waiter) -> usize {
        self.figures.queued += 1;
        self.choosy += usize::from(!waiter.tried.list().is_empty());
        let number = self.free.pop().unwrap_or_else(|| {
            self.tickets.push(Entry::Free);
            self.tickets.len() - 1
        });
        self.tickets[number] = Entry::Waiting(waiter);
        self.classes[urgency as usize].push_back(number);
        number
    }

    /// Ends the wait of a ticket: what became of it, and whom to wake.
    fn leave(&mut self, number: usize, entry: Entry, waiting: &AtomicUsize) -> Option<Waker> {
        let Entry::Waiting(waiter) = std::mem::replace(&mut self.tickets[number], entry) else { return None };
        self.choosy -= usize::from(!waiter.tried.list().is_empty());
        self.figures.longest = self.figures.longest.max(waiter.since.elapsed());
        waiting.fetch_sub(1, Ordering::SeqCst);
        waiter.waker
    }

    fn release(&mut self, number: usize) {
        self.tickets[number] = Entry::Free;
        self.free.push(number);
    }

    /// Takes cancelled tickets from the front.
    fn pass_tombstones(&mut self, class: usize) {
        while let Some(&number) = self.classes[class].front()
            && matches!(self.tickets[number], Entry::Cancelled)
        {
            self.classes[class].pop_front();
            self.tombstones -= 1;
            self.release(number);
        }
    }

    fn sweep(&mut self) {
        for class in 0..self.classes.len() {
            let numbers = std::mem::take(&mut self.classes[class]);
            let (dead, alive) =
                numbers.into_iter().partition(|&number| matches!(self.tickets[number], Entry::Cancelled));
            self.classes[class] = alive;
            let dead: VecDeque<usize> = dead;
            dead.into_iter().for_each(|number| self.release(number));
        }
        self.tombstones = 0;
    }
}

impl Ticket {
    /// Goes to the end of the line. The ticket may be granted at once, if a place has become free meanwhile.
    ///
    /// # Errors
    /// As many wait as may.
    pub(crate) fn join(shared: &Arc<Shared>, pool: usize, urgency: Urgency, tried: Tried) -> Result<Self, QueueFull> {
        let mut ticket = Self { shared: Arc::clone(shared), pool, number: None };
        // A pool without a queue has room for everybody.
        let Some(capped) = Capped::new(&shared.pools[pool]) else { return Err(QueueFull) };
        let mut line = capped.queue.lock();
        if capped.queue.waiting.load(Ordering::Relaxed) >= capped.queue.size {
            line.figures.full += 1;
            return Err(QueueFull);
        }
        ticket.number = Some(line.enter(urgency, Waiter { tried, since: Instant::now(), waker: None }));
        capped.queue.waiting.fetch_add(1, Ordering::SeqCst);
        let woken = capped.serve_all(&mut line);
        drop(line);
        woken.into_iter().for_each(Waker::wake);
        Ok(ticket)
    }

    /// Ready with the backend at which a place is held, which from then on is the caller's to give back; `None` when
    /// there is nobody left to wait for.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<usize>> {
        let (Some(number), Some(capped)) = (self.number, Capped::new(&self.shared.pools[self.pool])) else {
            return Poll::Ready(None);
        };
        let mut line = capped.queue.lock();
        let granted = match &mut line.tickets[number] {
            Entry::Waiting(waiter) => {
                if !waiter.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    waiter.waker = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
            Entry::Granted(backend) => Some(*backend),
            Entry::Barred | Entry::Cancelled | Entry::Free => None,
        };
        line.release(number);
        self.number = None;
        Poll::Ready(granted)
    }

    /// Counts the wait as one that took too long, and ends it.
    pub(crate) fn time_out(self) {
        if let Some(capped) = Capped::new(&self.shared.pools[self.pool]) {
            capped.queue.timed_out();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let (Some(number), Some(capped)) = (self.number, Capped::new(&self.shared.pools[self.pool])) else { return };
        let mut line = capped.queue.lock();
        if let Entry::Granted(backend) = line.tickets[number] {
            line.release(number);
            drop(line);
            return capped.give_back(backend);
        }
        if matches!(line.tickets[number], Entry::Waiting(_)) {
            let waker = line.leave(number, Entry::Cancelled, &capped.queue.waiting);
            line.tombstones += 1;
            if line.tombstones > capped.queue.waiting.load(Ordering::Relaxed) + TOMBSTONES {
                line.sweep();
            }
            drop(line);
            drop(waker);
        } else {
            line.release(number);
        }
    }
}

#[cfg(test)]
mod tests;
