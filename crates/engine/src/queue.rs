//! Caps on running requests, and the queue before a pool whose backends are all at theirs (decision 0017, D10).
//!
//! Owns places: each running attempt at a backend of such a pool holds one, over the whole process. Pools without a cap
//! have none of this. The line is entered only under saturation; while anybody waits, newcomers go behind, and a place
//! that is given back goes straight to the first who may use it, whatever worker that is in.
//!
//! No wake-up is lost: who gives a place back lowers the count and then reads `waiting`; who joins raises `waiting` and
//! then reads the counts. Both in one order for all threads, so that one of the two sees the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use policy::balance::{Awaited, Standing};
use policy::plan::{Pool, Urgency};
use policy::surge::{self, Surge};

use crate::clock::Instant;
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
    shed: bool,
    epoch: Instant,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Cap {
    /// Most requests at once: as written, or as found at run time.
    places: AtomicU32,
    max_connections: u32,
    tier: u8,
}

impl Cap {
    /// What it begins with. Each request has a connection of its own: no more can run than may be open.
    fn first(backend: &policy::plan::Backend) -> Option<u32> {
        let found = backend.caps.adaptive.map(|terms| policy::adaptive::Limit::new(terms).get());
        [backend.max_requests, found, backend.caps.max_connections].into_iter().flatten().min()
    }

    fn places(&self) -> u32 {
        self.places.load(Ordering::SeqCst)
    }
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
    /// Requests refused early in a surge.
    pub shed: u64,
    /// Whether there is one now.
    pub surge: bool,
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
    surge: Surge,
    /// How many can run at once, as of a time.
    places: (u64, usize),
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
    /// It gave way to a newer or more urgent one in a surge.
    Shed,
}

#[derive(Debug)]
struct Waiter {
    tried: Tried,
    since: Instant,
    waker: Option<Waker>,
}

/// Why somebody may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many wait as may.
    Full,
    /// In a surge it has to give way.
    Shed,
}

/// Why a wait is over without a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// There is nobody left to wait for.
    Nobody,
    /// In a surge it had to give way.
    Shed,
}

/// Between two looks at how many can run at once.
const PLACES_MS: u64 = 25;

/// A turn in the line; given up when dropped, together with what it was granted.
#[derive(Debug)]
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    pool: usize,
    number: Option<usize>,
}

impl Queue {
    /// `None` where no backend has a cap.
    pub(crate) fn new(pool: &Pool) -> Option<Self> {
        if pool.backends.iter().all(|backend| Cap::first(backend).is_none()) {
            return None;
        }
        // Where a full tier spills over, any of them is as good to wait for.
        let is_one_tier = pool.spill_over.is_some_and(|terms| terms.full);
        let cap = |backend: &policy::plan::Backend| Cap {
            places: AtomicU32::new(Cap::first(backend).unwrap_or(NO_CAP)),
            max_connections: backend.caps.max_connections.unwrap_or(NO_CAP),
            tier: if is_one_tier { 0 } else { backend.tier },
        };
        Some(Self {
            waiting: AtomicUsize::new(0),
            caps: pool.backends.iter().map(cap).collect(),
            size: pool.queue.size,
            shed: pool.queue.shed,
            epoch: Instant::now(),
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
        let surge = self.shed && line.surge.is_on(self.now_ms());
        QueueFigures { waiting, longest: longest.max(line.figures.longest), surge, ..line.figures }
    }

    /// Counts a request that has waited too long. One that waited for what it had not tried says nothing of the line.
    fn timed_out(&self, number: usize) {
        let mut line = self.lock();
        line.figures.timeouts += 1;
        if matches!(&line.tickets[number], Entry::Waiting(waiter) if waiter.tried.list().is_empty()) {
            line.surge.refused(self.now_ms());
        }
    }

    fn now_ms(&self) -> u64 {
        Instant::now().ms_since(self.epoch)
    }

    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Most requests at once at a backend; `None` is no cap.
    pub(crate) fn cap(&self, backend: usize) -> Option<u32> {
        Some(self.caps[backend].places()).filter(|&places| places != NO_CAP)
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
        self.pool.backends[backend].active_in_order() < self.queue.caps[backend].places()
    }

    /// Takes a place at a backend, if there is one.
    pub(crate) fn take(self, backend: usize) -> bool {
        self.pool.backends[backend].begin_below(self.queue.caps[backend].places())
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

    /// Changes the cap of a backend. What runs above a lower one runs on.
    pub(crate) fn set_cap(self, backend: usize, places: u32) {
        let cap = &self.queue.caps[backend];
        let places = places.min(cap.max_connections);
        if cap.places.swap(places, Ordering::SeqCst) < places && self.has_waiting() {
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

    /// How many may wait, a newcomer included.
    fn room(self, line: &mut Line) -> usize {
        let Queue { size, shed, .. } = *self.queue;
        if !shed {
            return size;
        }
        let now_ms = self.queue.now_ms();
        if line.places.1 == 0 || now_ms >= line.places.0 + PLACES_MS {
            line.places = (now_ms, self.places(line));
        }
        let waiting = self.queue.waiting.load(Ordering::Relaxed);
        line.surge.came(now_ms, &surge::Line { waiting, places: line.places.1, size })
    }

    /// How many can run at once at those that the line waits for.
    fn places(self, line: &mut Line) -> usize {
        let Some(awaited) = self.awaited(line) else { return 0 };
        let counts = |backend: &usize| self.admits(awaited, *backend, &Tried::default());
        let caps = (0..self.queue.caps.len()).filter(counts).map(|backend| self.queue.caps[backend].places());
        caps.fold(0, |sum: usize, cap| sum.saturating_add(cap as usize))
    }

    /// Makes room in the line for a newcomer, if there can be: in a surge others give way, and are to be woken.
    fn make_room(self, line: &mut Line, urgency: Urgency, woken: &mut Vec<Waker>) -> Result<(), Refused> {
        let room = self.room(line);
        let waiting = || self.queue.waiting.load(Ordering::Relaxed);
        if waiting() < room {
            return Ok(());
        }
        let now_ms = self.queue.now_ms();
        let in_surge = self.queue.shed && line.surge.is_on(now_ms);
        line.surge.refused(now_ms);
        if !in_surge {
            line.figures.full += 1;
            return Err(Refused::Full);
        }
        while waiting() >= room {
            line.figures.shed += 1;
            let Some(number) = line.oldest_up_to(urgency) else { return Err(Refused::Shed) };
            woken.extend(line.leave(number, Entry::Shed, &self.queue.waiting));
        }
        Ok(())
    }

    /// Gives a ticket that has left the line a place that is already counted.
    fn grant(self, line: &mut Line, number: usize, backend: usize) -> Option<Waker> {
        line.surge.served();
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

    /// Takes the one who has waited longest of those who are least urgent, unless they are more urgent than this.
    fn oldest_up_to(&mut self, urgency: Urgency) -> Option<usize> {
        for class in (urgency as usize..self.classes.len()).rev() {
            self.pass_tombstones(class);
            if let Some(number) = self.classes[class].pop_front() {
                return Some(number);
            }
        }
        None
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
    pub(crate) fn join(shared: &Arc<Shared>, pool: usize, urgency: Urgency, tried: Tried) -> Result<Self, Refused> {
        let mut ticket = Self { shared: Arc::clone(shared), pool, number: None };
        // A pool without a queue has room for everybody.
        let Some(capped) = Capped::new(&shared.pools[pool]) else { return Err(Refused::Full) };
        let mut line = capped.queue.lock();
        let mut woken = Vec::new();
        if let Err(refused) = capped.make_room(&mut line, urgency, &mut woken) {
            drop(line);
            woken.into_iter().for_each(Waker::wake);
            return Err(refused);
        }
        ticket.number = Some(line.enter(urgency, Waiter { tried, since: Instant::now(), waker: None }));
        capped.queue.waiting.fetch_add(1, Ordering::SeqCst);
        woken.extend(capped.serve_all(&mut line));
        drop(line);
        woken.into_iter().for_each(Waker::wake);
        Ok(ticket)
    }

    /// Ready with the backend at which a place is held, which from then on is the caller's to give back.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<usize, NoTurn>> {
        let (Some(number), Some(capped)) = (self.number, Capped::new(&self.shared.pools[self.pool])) else {
            return Poll::Ready(Err(NoTurn::Nobody));
        };
        let mut line = capped.queue.lock();
        let granted = match &mut line.tickets[number] {
            Entry::Waiting(waiter) => {
                if !waiter.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    waiter.waker = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
            Entry::Granted(backend) => Ok(*backend),
            Entry::Shed => Err(NoTurn::Shed),
            Entry::Barred | Entry::Cancelled | Entry::Free => Err(NoTurn::Nobody),
        };
        line.release(number);
        self.number = None;
        Poll::Ready(granted)
    }

    /// Counts the wait as one that took too long, and ends it.
    pub(crate) fn time_out(self) {
        if let (Some(number), Some(capped)) = (self.number, Capped::new(&self.shared.pools[self.pool])) {
            capped.queue.timed_out(number);
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
