//! Caps on connections to a backend, over all workers (decision 0017, D10).
//!
//! Owns the count: whoever has a connection, or opens one, has a [`Hold`] on it until it is closed. Backends without
//! such a cap have none of this. Who finds as many open as may be is given one that another worker keeps idle, rather
//! than that one being closed: the backend notices nothing, and the count never moves.
//!
//! A running attempt takes a place first (`queue`), and of places there are never more than of connections. So who has a
//! place and no connection knows that one is idle somewhere or may still be opened, and waits a moment only.
//!
//! No wake-up is lost: who seeks raises `seeking` and then looks for idle connections; who lets one go idle, or closes
//! one, counts that first and then reads `seeking`. All in one order for all threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::stream::Loose;

/// The connections to a backend that caps them.
#[derive(Debug)]
pub(crate) struct Connections {
    most: u32,
    open: AtomicU32,
    /// How many seek; a hint for those who do not hold the lock.
    seeking: AtomicU32,
    seekers: Mutex<VecDeque<Arc<Seeker>>>,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Connections>);

/// What a seeker is given: an open connection, or leave to open one. Closed first, then counted as closed.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) stream: Option<Loose>,
    pub(crate) hold: Hold,
}

/// Somebody who seeks a connection; leaves the line when dropped.
#[derive(Debug)]
pub(crate) struct Seeking {
    connections: Arc<Connections>,
    seeker: Arc<Seeker>,
}

#[derive(Debug, Default)]
struct Seeker(Mutex<Slot>);

#[derive(Debug, Default)]
struct Slot {
    found: Option<Found>,
    waker: Option<Waker>,
}

impl Seeker {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, found: Found) {
        let mut slot = self.slot();
        slot.found = Some(found);
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Connections {
    /// At most so many.
    pub(crate) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { most, open: AtomicU32::new(0), seeking: AtomicU32::new(0), seekers: Mutex::default() })
    }

    /// How many are open or being opened.
    #[cfg(test)]
    pub(crate) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Leave to open one, unless as many are open as may be, or others seek.
    pub(crate) fn hold(self: &Arc<Self>) -> Option<Hold> {
        let free = self.seeking.load(Ordering::SeqCst) == 0 && self.count_one();
        free.then(|| Hold(Arc::clone(self)))
    }

    /// Goes to the end of the line of those who seek. The caller then looks for idle ones.
    pub(crate) fn seek(self: &Arc<Self>) -> Seeking {
        let seeker = Arc::new(Seeker::default());
        let mut seekers = self.seekers();
        seekers.push_back(Arc::clone(&seeker));
        self.seeking.fetch_add(1, Ordering::SeqCst);
        drop(seekers);
        // One may have been closed meanwhile.
        self.open_for_seekers();
        Seeking { connections: Arc::clone(self), seeker }
    }

    /// Whether anybody seeks one; asked by whoever has just let one go idle.
    pub(crate) fn are_sought(&self) -> bool {
        fence(Ordering::SeqCst);
        self.seeking.load(Ordering::SeqCst) > 0
    }

    /// Gives an open connection to the first who seeks one; back if nobody does any more.
    pub(crate) fn pass_on(&self, found: Found) -> Option<Found> {
        let Some(seeker) = self.next_seeker() else { return Some(found) };
        seeker.give(found);
        None
    }

    fn count_one(&self) -> bool {
        let one_more = |open: u32| (open < self.most).then(|| open + 1);
        self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }

    fn open_for_seekers(self: &Arc<Self>) {
        while self.seeking.load(Ordering::SeqCst) > 0 && self.count_one() {
            match self.next_seeker() {
                Some(seeker) => seeker.give(Found { stream: None, hold: Hold(Arc::clone(self)) }),
                // Whoever has joined meanwhile is seen by another look.
                None => {
                    self.open.fetch_sub(1, Ordering::SeqCst);
                }
            }
        }
    }

    fn next_seeker(&self) -> Option<Arc<Seeker>> {
        let mut seekers = self.seekers();
        let seeker = seekers.pop_front()?;
        self.seeking.fetch_sub(1, Ordering::SeqCst);
        Some(seeker)
    }

    fn seekers(&self) -> MutexGuard<'_, VecDeque<Arc<Seeker>>> {
        self.seekers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seeking {
    /// Ready with what was found.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Found> {
        let mut slot = self.seeker.slot();
        if let Some(found) = slot.found.take() {
            return Poll::Ready(found);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Seeking {
    fn drop(&mut self) {
        let mut seekers = self.connections.seekers();
        if let Some(at) = seekers.iter().position(|seeker| Arc::ptr_eq(seeker, &self.seeker)) {
            seekers.remove(at);
            self.connections.seeking.fetch_sub(1, Ordering::SeqCst);
        }
        drop(seekers);
        // What was given meanwhile goes to the next, or is closed. What is being given right now goes with its giver.
        let given = self.seeker.slot().found.take();
        if let Some(Found { stream: Some(stream), hold }) = given {
            let connections = Arc::clone(&hold.0);
            drop(connections.pass_on(Found { stream: Some(stream), hold }));
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.open_for_seekers();
    }
}

#[cfg(test)]
mod tests;
