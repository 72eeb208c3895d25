//! Deadlines against the real clock: what is due fires in time, what was moved does not, and the sweeper sleeps meanwhile.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{LATE, LONGEST_MS, Millis, NEVER, NO_BACKEND, RESOLUTION_MS, Timer, Timers, reached};

use crate::clock::Instant;

/// How late a deadline may fire on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_millis(500);
/// Milliseconds are counted whole, so that a deadline may fire by less than one early.
const ROUNDING: Duration = Duration::from_millis(1);
/// Nothing here waits for longer.
const BOUND: Duration = Duration::from_secs(20);

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Runs a test beside the sweeper of a table.
fn run<F: Future<Output = ()>>(timers: &Rc<Timers>, test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
    let timers = Rc::clone(timers);
    runtime.expect("a runtime").block_on(async move {
        tokio::task::spawn_local(timers.run());
        tokio::time::timeout(BOUND, test).await.expect("in time");
    });
}

async fn late(timer: &Timer) {
    poll_fn(|cx| timer.poll_late(cx)).await;
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn times(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A timer with a waker that counts.
fn watched(timers: &Rc<Timers>) -> (Timer, Arc<Woken>) {
    let (timer, woken) = (timers.timer(), Arc::new(Woken::default()));
    let waker = Waker::from(Arc::clone(&woken));
    assert!(timer.poll_late(&Context::from_waker(&waker)).is_pending());
    (timer, woken)
}

#[test]
fn a_deadline_fires_when_it_is_due_and_not_before() {
    let timers = Timers::new();
    run(&timers, async {
        let timer = timers.timer();
        for wait in [0, 1, 30, 75] {
            let set = Instant::now();
            timer.set(set, Some(ms(wait)));
            late(&timer).await;
            let took = set.elapsed();
            assert!(took + ROUNDING >= ms(wait), "{wait} ms fired after {took:?}");
            assert!(took < ms(wait) + PATIENCE, "{wait} ms fired after {took:?}");
        }
    });
}

#[test]
fn a_moved_deadline_does_not_fire_at_its_old_time() {
    let timers = Timers::new();
    run(&timers, async {
        let timer = timers.timer();
        let set = Instant::now();
        timer.set(set, Some(ms(20)));
        timer.set(set, Some(ms(120)));
        late(&timer).await;
        assert!(set.elapsed() + ROUNDING >= ms(120), "fired after {:?}", set.elapsed());
    });
}

#[test]
fn an_earlier_deadline_shortens_the_sleep_that_a_later_one_began() {
    let timers = Timers::new();
    run(&timers, async {
        let (far, near) = (timers.timer(), timers.timer());
        far.set(Instant::now(), Some(Duration::from_secs(3600)));
        // The sweeper goes to sleep for the hour.
        tokio::task::yield_now().await;
        let set = Instant::now();
        near.set(set, Some(ms(40)));
        late(&near).await;
        assert!(set.elapsed() < ms(40) + PATIENCE);
        assert!(poll_fn(|cx| Poll::Ready(far.poll_late(cx))).await.is_pending());
    });
}

#[test]
fn a_deadline_is_found_after_all_others_were_cleared() {
    let timers = Timers::new();
    run(&timers, async {
        let timer = timers.timer();
        timer.set(Instant::now(), Some(ms(15)));
        timer.clear();
        let (other, set) = (timers.timer(), Instant::now());
        other.set(set, Some(ms(60)));
        late(&other).await;
        assert!(set.elapsed() < ms(60) + PATIENCE);
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_late(cx))).await.is_pending(), "a cleared deadline never fires");
        // With nothing to wait for, the sweeper rests; the next deadline wakes it.
        let again = Instant::now();
        timer.set(again, Some(ms(20)));
        late(&timer).await;
        assert!(again.elapsed() < ms(20) + PATIENCE);
    });
}

#[test]
fn late_stays_late_until_it_is_set_anew() {
    let timers = Timers::new();
    run(&timers, async {
        let timer = timers.timer();
        timer.set(Instant::now(), Some(ms(1)));
        late(&timer).await;
        late(&timer).await;
        timer.set(Instant::now(), Some(Duration::from_secs(60)));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_late(cx))).await.is_pending());
        timer.set(Instant::now(), Some(ms(1)));
        late(&timer).await;
        timer.clear();
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_late(cx))).await.is_pending());
    });
}

#[test]
fn the_earlier_of_two_waits_counts_and_none_is_no_deadline() {
    let timers = Timers::new();
    let now = Instant::now();
    let due_of = |wait, until: Option<Duration>| {
        let timer = timers.timer();
        timer.set_earlier(now, wait, until.map(|after| now + after));
        timers.table.borrow().due[timer.slot as usize]
    };
    let at = |n: Millis| timers.millis(now) + n;
    assert_eq!(due_of(Some(ms(50)), Some(ms(70))), at(50));
    assert_eq!(due_of(Some(ms(50)), Some(ms(30))), at(30));
    assert_eq!(due_of(Some(ms(50)), None), at(50));
    assert_eq!(due_of(None, Some(ms(30))), at(30));
    assert_eq!(due_of(None, None), NEVER);
}

#[test]
fn waking_a_backend_reaches_those_who_wait_for_it_and_nobody_else() {
    let timers = Timers::new();
    let (first, first_woken) = watched(&timers);
    let (second, second_woken) = watched(&timers);
    let (_idle, idle_woken) = watched(&timers);
    first.waits_for(7);
    second.waits_for(8);
    timers.wake_backend(7);
    assert_eq!((first_woken.times(), second_woken.times(), idle_woken.times()), (1, 0, 0));
    first.waits_for(NO_BACKEND);
    timers.wake_backend(7);
    assert_eq!(first_woken.times(), 1);
    timers.wake_all();
    assert_eq!((first_woken.times(), second_woken.times(), idle_woken.times()), (2, 1, 1));
}

#[test]
fn the_waker_left_last_is_the_one_that_is_woken() {
    let timers = Timers::new();
    let (timer, old) = watched(&timers);
    let new = Arc::new(Woken::default());
    timer.register(&Context::from_waker(&Waker::from(Arc::clone(&new))));
    timers.wake_all();
    assert_eq!((old.times(), new.times()), (0, 1));
}

#[test]
fn a_place_is_given_back_clean_and_used_again() {
    let timers = Timers::new();
    let (timer, woken) = watched(&timers);
    let slot = timer.slot;
    timer.waits_for(7);
    timer.set(Instant::now(), Some(ms(0)));
    drop(timer);
    let next = timers.timer();
    assert_eq!(next.slot, slot);
    timers.sweep();
    timers.wake_all();
    timers.wake_backend(7);
    assert_eq!(woken.times(), 0, "nobody is woken for who was there before");
    assert_eq!(timers.table.borrow().due[slot as usize], NEVER);
    let many: Vec<_> = (0..100).map(|_| timers.timer()).collect();
    let size = timers.table.borrow().due.len();
    drop(many);
    let _again: Vec<_> = (0..100).map(|_| timers.timer()).collect();
    assert_eq!(timers.table.borrow().due.len(), size, "the table does not grow");
}

#[test]
fn a_task_may_drop_its_timer_while_it_is_woken() {
    let timers = Timers::new();
    run(&timers, async {
        let ended = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let (timer, ended) = (timers.timer(), Rc::clone(&ended));
                timer.set(Instant::now(), Some(ms(n % 5 * 10)));
                tokio::task::spawn_local(async move {
                    late(&timer).await;
                    drop(timer);
                    ended.set(ended.get() + 1);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(ended.get(), 50);
        assert_eq!(timers.table.borrow().free.len(), 50);
    });
}

#[test]
fn a_sweep_finds_exactly_what_is_due_and_the_earliest_of_the_rest() {
    let timers = Timers::new();
    let now = Instant::now();
    let waits = [0, 3_600_000, 0, 7_200_000, 1_800_000];
    let all: Vec<_> = waits.iter().map(|_| watched(&timers)).collect();
    for ((timer, _), wait) in all.iter().zip(waits) {
        timer.set(now, Some(ms(wait)));
    }
    timers.sweep();
    let woken: Vec<_> = all.iter().map(|(_, woken)| woken.times()).collect();
    assert_eq!(woken, [1, 0, 1, 0, 0]);
    assert_eq!(timers.table.borrow().next_sweep, Some(timers.millis(now) + 1_800_000));
    timers.sweep();
    assert_eq!(all[0].1.times(), 1, "who is late is told once");
}

#[test]
fn time_wraps_without_a_deadline_being_lost_or_early() {
    const HALF: Millis = Millis::MAX / 2;
    for due in [0, 1, HALF, NEVER - 2] {
        assert!(reached(due, due));
        assert!(reached(due.wrapping_add(1), due));
        assert!(reached(due.wrapping_add(HALF - 1), due));
        assert!(!reached(due.wrapping_sub(1), due));
        assert!(!reached(due.wrapping_sub(Millis::try_from(LONGEST_MS).expect("fits")), due));
    }
}

/// The table of a worker that started so long ago that its clock wraps in `left`.
fn about_to_wrap(left: Duration) -> Rc<Timers> {
    let cycle = Duration::from_millis(u64::from(Millis::MAX) + 1);
    let ago = cycle.checked_sub(left).expect("a cycle is long");
    Timers::since(Instant::now() - ago)
}

#[test]
fn deadlines_fire_in_time_when_the_clock_wraps() {
    for wraps_in in [ms(0), ms(20), ms(60), ms(200)] {
        let timers = about_to_wrap(wraps_in);
        run(&timers, async {
            let (timer, far) = (timers.timer(), timers.timer());
            let set = Instant::now();
            far.set(set, Some(Duration::from_secs(60)));
            timer.set(set, Some(ms(60)));
            late(&timer).await;
            let took = set.elapsed();
            assert!(took + ROUNDING >= ms(60) && took < ms(60) + PATIENCE, "{took:?}, wrap in {wraps_in:?}");
            assert!(poll_fn(|cx| Poll::Ready(far.poll_late(cx))).await.is_pending());
        });
    }
}

#[test]
fn the_sweeper_sleeps_as_long_after_the_wrap_as_before_it() {
    for wraps_in in [ms(1), Duration::from_secs(600)] {
        let timers = about_to_wrap(wraps_in);
        let due = timers.millis(Instant::now()).wrapping_add(3_600_000);
        let sleeps = timers.instant(due).saturating_duration_since(Instant::now());
        assert!(sleeps > Duration::from_secs(3590) && sleeps < Duration::from_secs(3610), "{sleeps:?}");
        let past = timers.millis(Instant::now()).wrapping_sub(5);
        assert!(timers.instant(past) <= Instant::now());
    }
}

#[test]
fn no_deadline_is_mistaken_for_a_mark() {
    let timers = Timers::new();
    let timer = timers.timer();
    for due in [LATE, NEVER, LATE - 1, 0] {
        timer.set_due(0, due);
        let kept = timers.table.borrow().due[timer.slot as usize];
        assert!(kept < LATE);
        assert!(kept.wrapping_sub(due) <= 2, "{due} became {kept}");
    }
}

#[test]
fn the_longest_waits_are_cut_to_what_the_clock_can_tell() {
    let timers = Timers::new();
    let timer = timers.timer();
    timer.set(Instant::now(), Some(Duration::from_secs(u64::MAX)));
    timers.sweep();
    assert!(timers.table.borrow().due[timer.slot as usize] < LATE, "it is not late at once");
    assert!(LONGEST_MS + u128::from(RESOLUTION_MS) < u128::from(Millis::MAX / 2));
}
