//! Room where there is none: what a worker gives up when connections or descriptors are at their limit.
//!
//! Owns the order. What is idle goes before anybody is turned away: connections to backends that nobody uses, then clients
//! that have said nothing, then those between two requests, the oldest first. A little at a time, and seldom.

use std::cell::Cell;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Instant;
use crate::worker::{Command, Worker};

/// Between two complaints.
const COMPLAINT: Duration = Duration::from_secs(10);

/// Who wants room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// This worker, for descriptors: idle connections to backends count, too.
    ForDescriptors,
    /// This worker, for one more client at the limit of connections.
    ForClient,
    /// Another, which has nothing idle.
    ByAnother,
}

/// What a worker knows of its want of room.
#[derive(Default)]
pub(crate) struct Room {
    /// When it looked last for what it can give up, and how long it does not look again.
    looked: Cell<Option<(Instant, Duration)>>,
    /// Nothing was idle: for a while no connection keeps itself warm for its next request.
    short: Cell<bool>,
    complained: Cell<Option<Instant>>,
}

impl Room {
    /// Gives something up. A worker that has nothing asks the others, who have to do so in their turn.
    pub(crate) fn give_up(&self, worker: &Worker, asked: Asked) {
        let now = Instant::now();
        if self.looked.get().is_some_and(|(last, pause)| now.saturating_duration_since(last) < pause) {
            return;
        }
        if asked != Asked::ForClient {
            worker.close_all_idle();
        }
        let shed = worker.timers.shed();
        // A walk over the table of deadlines takes a few nanoseconds an entry: a hundredth of the time at most.
        let pause = Duration::from_nanos(100 * worker.timers.len() as u64);
        self.looked.set(Some((now, pause)));
        if shed == 0 && worker.warm.get() > 0 && !self.short.replace(true) {
            // Those who keep warm fold up, and are idle then.
            worker.timers.wake_all();
        }
        if shed == 0 && asked == Asked::ForDescriptors {
            for (_, other) in worker.peers.iter().enumerate().filter(|&(id, _)| id != worker.id) {
                // A worker that has ended holds nothing.
                let _ = other.send(Command::MakeRoom);
            }
        }
    }

    /// Whether connections fold up as soon as they can.
    pub(crate) fn is_short(&self) -> bool {
        self.short.get()
    }

    /// A while has passed.
    pub(crate) fn relax(&self) {
        self.short.set(false);
    }

    /// Whether one more client may come in; at the limit somebody idle goes for it.
    pub(crate) fn for_client(&self, worker: &Worker) -> bool {
        if !self.is_full(worker) {
            return true;
        }
        self.give_up(worker, Asked::ForClient);
        !self.is_full(worker)
    }

    /// Those who leave in this turn are as good as gone.
    fn is_full(&self, worker: &Worker) -> bool {
        let limit = worker.shared.connection_limit.load(Ordering::Relaxed);
        worker.shared.connections() >= limit + worker.timers.leaving()
    }

    /// Says, seldom enough, what could not be done and what to do about it.
    pub(crate) fn complain(&self, what: &str, error: &io::Error) {
        let now = Instant::now();
        if self.complained.get().is_none_or(|last| now.saturating_duration_since(last) > COMPLAINT) {
            self.complained.set(Some(now));
            tracing::warn!("{what}: {error}; {}", remedy(error));
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL | libc::EAGAIN) => {
            "all local ports towards a backend are in use: widen net.ipv4.ip_local_port_range, or give it more addresses"
        }
        Some(libc::ENOBUFS | libc::ENOMEM) => "the system is out of memory: give it more, or lower limits.connections",
        _ => "raise the descriptor limit (LimitNOFILE=) or lower limits.connections",
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::testing;
    use crate::timers::{IDLE, SILENT, Timer};

    fn worker() -> std::rc::Rc<Worker> {
        testing::worker(testing::plan(&[SocketAddr::from(([127, 0, 0, 1], 1))])).0
    }

    /// Entries of connections that wait for so long already.
    fn waiting(worker: &Worker, mark: u32, ages_ms: &[u64]) -> Vec<Timer> {
        let entry = |&age_ms: &u64| {
            let timer = worker.timers.timer();
            timer.set(Instant::now() - Duration::from_millis(age_ms), Some(Duration::from_secs(60)));
            timer.waits_for(mark);
            timer
        };
        // The table counts from the worker's start.
        std::thread::sleep(Duration::from_millis(10));
        ages_ms.iter().map(entry).collect()
    }

    fn shed(timers: &[Timer]) -> Vec<usize> {
        (0..timers.len()).filter(|&at| timers[at].was_shed()).collect()
    }

    #[test]
    fn the_oldest_goes_first() {
        let worker = worker();
        let idle = waiting(&worker, IDLE, &[2, 8, 5]);
        assert_eq!(worker.timers.shed(), 1);
        assert_eq!(shed(&idle), [1]);
        assert_eq!(worker.timers.shed(), 1);
        assert_eq!(shed(&idle), [1, 2]);
        assert_eq!(worker.timers.shed(), 1);
        assert_eq!(worker.timers.shed(), 0, "none is shed twice");
    }

    #[test]
    fn who_is_busy_or_new_is_spared() {
        let worker = worker();
        let busy = waiting(&worker, crate::timers::NO_BACKEND, &[9]);
        let new = waiting(&worker, SILENT, &[5]);
        assert_eq!(worker.timers.shed(), 0);
        assert!(shed(&busy).is_empty() && shed(&new).is_empty());
    }

    #[test]
    fn one_in_sixteen_goes_and_never_more_than_so_many() {
        let worker = worker();
        let idle = waiting(&worker, IDLE, &[1; 160]);
        assert_eq!(worker.timers.shed(), 10);
        assert_eq!(shed(&idle).len(), 10);
        let _more = waiting(&worker, IDLE, &[1; 3000]);
        assert_eq!(worker.timers.shed(), 64);
    }

    #[test]
    fn each_that_goes_makes_room_for_one() {
        let worker = worker();
        let idle = waiting(&worker, IDLE, &[1; 32]);
        worker.shared.connection_limit.store(32, Ordering::Relaxed);
        let connections = &worker.shared.workers[0].connections;
        connections.store(32, Ordering::Relaxed);
        let comes = || {
            let may = worker.room.for_client(&worker);
            connections.fetch_add(usize::from(may), Ordering::Relaxed);
            may
        };
        assert!(comes() && comes(), "two in thirty-two are shed at once");
        assert_eq!((worker.timers.leaving(), shed(&idle).len()), (2, 2));
        std::thread::sleep(Duration::from_millis(1));
        assert!(comes());
        assert_eq!(worker.timers.leaving(), 4);
        connections.fetch_sub(32, Ordering::Relaxed);
        drop(idle);
        assert_eq!(worker.timers.leaving(), 0);
        assert!(comes());
    }

    #[test]
    fn who_speaks_in_the_last_moment_stays_and_makes_no_room() {
        let worker = worker();
        let idle = waiting(&worker, IDLE, &[1]);
        assert_eq!(worker.timers.shed(), 1);
        idle[0].waits_for(crate::timers::NO_BACKEND);
        assert_eq!(worker.timers.leaving(), 0);
        assert!(!idle[0].was_shed());
    }

    #[test]
    fn nobody_comes_in_where_nobody_can_go() {
        let worker = worker();
        worker.shared.connection_limit.store(0, Ordering::Relaxed);
        assert!(!worker.room.for_client(&worker));
    }

    #[test]
    fn complaints_are_seldom_but_go_on() {
        let room = Room::default();
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        room.complain("cannot accept connections", &error);
        let first = room.complained.get();
        assert!(first.is_some());
        room.complain("cannot accept connections", &error);
        assert_eq!(room.complained.get(), first, "one that is not told does not put off the next");
    }

    #[test]
    fn the_remedy_fits_what_is_short() {
        let remedy = |code| remedy(&io::Error::from_raw_os_error(code));
        assert!(remedy(libc::EMFILE).contains("LimitNOFILE"));
        assert!(remedy(libc::EADDRNOTAVAIL).contains("ip_local_port_range"));
        assert!(remedy(libc::ENOMEM).contains("memory"));
    }
}
