//! The line of handshakes of a worker: so many at once, and one costly step of them each turn of the loop.
//!
//! A handshake takes about as long as ten requests on connections that are open. Taken as they come, a crowd of them
//! would keep everybody else waiting; in line, each turn of the loop is longer by one step, however many wait.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// For each handshake under way, so many may wait; more are turned away.
const WAITING_FOR_EACH: usize = 16;

pub(crate) struct Line {
    places: Semaphore,
    waiting: Cell<usize>,
    most_waiting: usize,
    /// One permit each turn of the loop.
    steps: Semaphore,
    wanted: Cell<usize>,
    called: Notify,
}

/// Counts as long as it is there.
struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    fn new(cell: &'a Cell<usize>) -> Self {
        cell.set(cell.get() + 1);
        Self(cell)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Line {
    /// For one of so many workers that have so many handshakes at once together.
    pub(crate) fn new(at_once: usize, workers: usize) -> Self {
        let places = at_once.div_ceil(workers.max(1)).clamp(1, Semaphore::MAX_PERMITS / 2);
        Self {
            places: Semaphore::new(places),
            waiting: Cell::new(0),
            most_waiting: places.saturating_mul(WAITING_FOR_EACH),
            steps: Semaphore::new(0),
            wanted: Cell::new(0),
            called: Notify::new(),
        }
    }

    /// A place, when those who came before have theirs; `None` where too many wait.
    pub(crate) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(place) = self.places.try_acquire() {
            return Some(place);
        }
        if self.waiting.get() >= self.most_waiting {
            return None;
        }
        let _counted = Counted::new(&self.waiting);
        self.places.acquire().await.ok()
    }

    /// Whether anybody waits for a place.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.get() > 0
    }

    /// Leave for one step.
    pub(crate) async fn step(&self) {
        let _counted = Counted::new(&self.wanted);
        self.called.notify_one();
        if let Ok(step) = self.steps.acquire().await {
            step.forget();
        }
    }

    /// Lets one step through at each turn of the loop, for the life of the worker.
    pub(crate) async fn keep(self: Rc<Self>) {
        loop {
            self.called.notified().await;
            while self.wanted.get() > 0 {
                // One who went away has left theirs.
                if self.steps.available_permits() == 0 {
                    self.steps.add_permits(1);
                }
                tokio::task::yield_now().await;
            }
        }
    }
}
