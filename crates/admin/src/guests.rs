//! Who is connected: a bounded number, and the oldest who waits for its client makes room for the next.
//!
//! A crowd that connects and says nothing must not keep the operator out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// All connections of a kind.
#[derive(Debug)]
pub(crate) struct Guests {
    most: usize,
    /// By number: the oldest is the first.
    here: Mutex<(u64, BTreeMap<u64, Arc<Seat>>)>,
    /// Told when a place is free, or may be.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Seat {
    /// A request of it is being answered.
    is_served: AtomicBool,
    leave: Notify,
}

/// One connection; leaves when dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    guests: Arc<Guests>,
    number: u64,
    seat: Arc<Seat>,
}

/// A request being answered.
#[derive(Debug)]
pub(crate) struct Served {
    guests: Arc<Guests>,
    seat: Arc<Seat>,
}

impl Guests {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, here: Mutex::default(), freed: Notify::new() })
    }

    /// Lets one in: at once, unless all are being served.
    pub(crate) async fn admit(self: &Arc<Self>) -> Guest {
        loop {
            if let Some(guest) = self.try_admit() {
                return guest;
            }
            self.freed.notified().await;
        }
    }

    fn try_admit(self: &Arc<Self>) -> Option<Guest> {
        let mut here = self.here();
        let (next, seats) = &mut *here;
        if seats.len() >= self.most {
            let oldest = seats.iter().find(|(_, seat)| !seat.is_served.load(Ordering::Relaxed));
            let number = oldest.map(|(&number, _)| number)?;
            seats.remove(&number)?.leave.notify_one();
        }
        let (number, seat) = (*next, Arc::<Seat>::default());
        *next += 1;
        seats.insert(number, Arc::clone(&seat));
        Some(Guest { guests: Arc::clone(self), number, seat })
    }

    fn here(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Arc<Seat>>)> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// Until the value is dropped it makes no room for others.
    pub(crate) fn is_served(&self) -> Served {
        self.seat.is_served.store(true, Ordering::Relaxed);
        Served { guests: Arc::clone(&self.guests), seat: Arc::clone(&self.seat) }
    }

    /// Comes when somebody else needs the place.
    pub(crate) async fn must_leave(&self) {
        self.seat.leave.notified().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.here().1.remove(&self.number);
        self.guests.freed.notify_one();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.seat.is_served.store(false, Ordering::Relaxed);
        self.guests.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn must_leave(guest: &Guest) -> bool {
        let mut leaving = polled_once(guest.must_leave());
        leaving.take().is_some()
    }

    /// One poll of a future.
    fn polled_once<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn the_oldest_who_is_not_served_makes_room() {
        let guests = Guests::new(3);
        let all: Vec<Guest> = (0..3).map(|_| guests.try_admit().unwrap()).collect();
        let _served = all[0].is_served();
        let newcomer = guests.try_admit().unwrap();
        assert_eq!(all.iter().map(must_leave).collect::<Vec<_>>(), [false, true, false]);
        drop(all);
        assert_eq!(guests.here().1.len(), 1, "who left has given up no place of another");
        drop(newcomer);
        assert_eq!(guests.here().1.len(), 0);
    }

    #[test]
    fn when_all_are_served_newcomers_wait() {
        let guests = Guests::new(1);
        let guest = guests.try_admit().unwrap();
        let served = guest.is_served();
        let mut waiting = std::pin::pin!(guests.admit());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(served);
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        assert!(must_leave(&guest));
    }
}
