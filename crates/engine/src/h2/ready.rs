//! Which streams of a connection can go on.
//!
//! Owns the wakers of a connection's exchanges: they run in the connection's own task (DESIGN D6), and whoever wakes one,
//! from whatever thread, says by a bit which it is. A waker lives as long as its place and is used again, so that a stream
//! costs none.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// Bits in a word.
const BITS: usize = u64::BITS as usize;

/// The bits of all places and the task that looks at them.
pub(super) struct Ready {
    shared: Arc<Shared>,
    wakers: Vec<Waker>,
}

struct Shared {
    words: Box<[AtomicU64]>,
    /// Whether any bit was set since the task last looked.
    is_told: AtomicBool,
    task: Mutex<Option<Waker>>,
}

struct Place {
    shared: Arc<Shared>,
    place: usize,
}

impl Ready {
    /// For so many places at most.
    pub(super) fn new(places: usize) -> Self {
        let words = (0..places.div_ceil(BITS).max(1)).map(|_| AtomicU64::new(0)).collect();
        let shared = Shared { words, is_told: AtomicBool::new(false), task: Mutex::new(None) };
        Self { shared: Arc::new(shared), wakers: Vec::new() }
    }

    /// Whoever is woken from now on wakes this task; asked for at the beginning of each of its turns.
    pub(super) fn begin_turn(&self, cx: &Context<'_>) {
        let mut task = self.shared.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    /// The waker of a place.
    pub(super) fn waker(&mut self, place: usize) -> Waker {
        while self.wakers.len() <= place {
            let place = Place { shared: Arc::clone(&self.shared), place: self.wakers.len() };
            self.wakers.push(Waker::from(Arc::new(place)));
        }
        self.wakers[place].clone()
    }

    /// The connection's own task finds that a place can go on.
    pub(super) fn set(&self, place: usize) {
        if let Some(word) = self.shared.words.get(place / BITS) {
            word.fetch_or(1 << (place % BITS), Ordering::Relaxed);
        }
    }

    /// Takes the places that can go on, in order, word by word.
    pub(super) fn take(&self) -> impl Iterator<Item = usize> + use<> {
        // Before the bits are read, so that one that is set behind our back tells the task again.
        self.shared.is_told.store(false, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        (0..shared.words.len()).flat_map(move |word| {
            let bits = shared.words[word].swap(0, Ordering::SeqCst);
            Bits(bits).map(move |bit| word * BITS + bit)
        })
    }

    /// Gives wakers back where there are no streams.
    pub(super) fn shrink(&mut self) {
        self.wakers = Vec::new();
    }
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let shared = &self.shared;
        shared.words[self.place / BITS].fetch_or(1 << (self.place % BITS), Ordering::SeqCst);
        if !shared.is_told.swap(true, Ordering::SeqCst)
            && let Some(task) = &*shared.task.lock().unwrap_or_else(PoisonError::into_inner)
        {
            task.wake_by_ref();
        }
    }
}

/// The bits of a word that are set, lowest first.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_wake_names_its_place_and_wakes_the_task_once_a_turn() {
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut ready = Ready::new(130);
        ready.begin_turn(&Context::from_waker(&waker));
        let (third, last) = (ready.waker(2), ready.waker(129));
        third.wake_by_ref();
        last.wake();
        third.wake();
        assert_eq!(task.0.load(Ordering::SeqCst), 1);
        assert_eq!(ready.take().collect::<Vec<_>>(), [2, 129]);
        assert_eq!(ready.take().count(), 0);
        ready.waker(64).wake();
        assert_eq!((task.0.load(Ordering::SeqCst), ready.take().collect::<Vec<_>>()), (2, vec![64]));
    }

    #[test]
    fn what_the_task_finds_itself_wakes_nobody() {
        let ready = Ready::new(3);
        ready.set(1);
        ready.set(1000);
        assert_eq!(ready.take().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn wakes_of_other_threads_are_not_lost() {
        let task = Arc::new(Task::default());
        let mut ready = Ready::new(64);
        ready.begin_turn(&Context::from_waker(&Waker::from(Arc::clone(&task))));
        let wakers: Vec<Waker> = (0..64).map(|place| ready.waker(place)).collect();
        let mut seen = 0;
        std::thread::scope(|scope| {
            for waker in wakers {
                scope.spawn(move || waker.wake());
            }
            while seen < 64 {
                seen += ready.take().count();
            }
        });
        assert!(task.0.load(Ordering::SeqCst) >= 1);
    }
}
