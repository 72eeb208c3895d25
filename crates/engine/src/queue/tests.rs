//! The line: order, cancelling, changes of standing, and four threads that must never lose a wake-up.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;
use std::task::Wake;

use policy::plan::Plan;

use super::*;
use crate::testing;

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A plan whose backends have these caps and tiers.
fn plan(backends: &[(u32, u8)], size: usize) -> Plan {
    let addresses: Vec<SocketAddr> =
        (1..).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).take(backends.len()).collect();
    let mut plan = testing::plan(&addresses);
    plan.pools[0].queue.size = size;
    for (backend, (cap, tier)) in plan.pools[0].backends.iter_mut().zip(backends) {
        backend.max_requests = Some(*cap);
        backend.tier = *tier;
    }
    plan
}

fn shared(backends: &[(u32, u8)], size: usize) -> Arc<Shared> {
    let shared = Shared::new(&plan(backends, size), 1);
    for index in 0..backends.len() {
        shared.pools[0].set_standing(index, Standing::Ready);
    }
    shared
}

fn capped(shared: &Shared) -> Capped<'_> {
    Capped::new(&shared.pools[0]).expect("it has caps")
}

fn join(shared: &Arc<Shared>, urgency: Urgency) -> Ticket {
    Ticket::join(shared, 0, urgency, Tried::default()).expect("there is room in the line")
}

fn join_after(shared: &Arc<Shared>, tried: &[usize]) -> Ticket {
    let mut all = Tried::default();
    tried.iter().for_each(|backend| all.push(*backend));
    Ticket::join(shared, 0, Urgency::Normal, all).expect("there is room in the line")
}

fn poll(ticket: &mut Ticket) -> Poll<Option<usize>> {
    ticket.poll(&Context::from_waker(Waker::noop())).map(Result::ok)
}

#[test]
fn a_pool_without_caps_has_no_queue() {
    let shared = Shared::new(&testing::plan(&[SocketAddr::from(([127, 0, 0, 1], 1))]), 1);
    assert!(Capped::new(&shared.pools[0]).is_none());
    assert_eq!(shared.pools[0].queue_figures(), QueueFigures::default());
}

#[test]
fn first_come_first_served() {
    let shared = shared(&[(1, 0)], 10);
    assert!(capped(&shared).take(0));
    assert!(!capped(&shared).take(0));
    let mut tickets: Vec<Ticket> = (0..5).map(|_| join(&shared, Urgency::Normal)).collect();
    for turn in 0..5 {
        assert!(tickets.iter_mut().all(|ticket| poll(ticket).is_pending()), "nobody before a place is given back");
        capped(&shared).give_back(0);
        assert!(!capped(&shared).take(0), "the place is handed over, not offered");
        assert_eq!(poll(&mut tickets.remove(0)), Poll::Ready(Some(0)), "turn {turn}");
    }
    capped(&shared).give_back(0);
    assert_eq!(shared.pools[0].backends[0].active(), 0);
    let figures = shared.pools[0].queue_figures();
    assert_eq!((figures.waiting, figures.queued, figures.full), (0, 5, 0));
}

#[test]
fn the_urgent_go_first_and_in_their_order() {
    let shared = shared(&[(1, 0)], 10);
    assert!(capped(&shared).take(0));
    let of = [Urgency::Low, Urgency::Normal, Urgency::High, Urgency::Normal, Urgency::High, Urgency::Low];
    let mut tickets: Vec<(usize, Ticket)> = of.iter().map(|urgency| join(&shared, *urgency)).enumerate().collect();
    let mut served = Vec::new();
    while !tickets.is_empty() {
        capped(&shared).give_back(0);
        let at = tickets.iter_mut().position(|(_, ticket)| poll(ticket).is_ready()).expect("one is served");
        served.push(tickets.remove(at).0);
    }
    assert_eq!(served, [2, 4, 1, 3, 0, 5]);
}

#[test]
fn a_full_line_refuses_and_counts() {
    let shared = shared(&[(1, 0)], 2);
    assert!(capped(&shared).take(0));
    let (first, _second) = (join(&shared, Urgency::Normal), join(&shared, Urgency::Low));
    assert_eq!(Ticket::join(&shared, 0, Urgency::High, Tried::default()).err(), Some(Refused::Full));
    drop(first);
    let _third = join(&shared, Urgency::Normal);
    let figures = shared.pools[0].queue_figures();
    assert_eq!((figures.waiting, figures.queued, figures.full), (2, 3, 1));
}

#[test]
fn who_gives_up_is_passed_over_and_gives_back_what_was_granted() {
    let shared = shared(&[(1, 0)], 1000);
    assert!(capped(&shared).take(0));
    let first = join(&shared, Urgency::Normal);
    let second = join(&shared, Urgency::Normal);
    let mut third = join(&shared, Urgency::Normal);
    drop(second);
    capped(&shared).give_back(0);
    // The first was granted and goes without having looked.
    drop(first);
    assert_eq!(poll(&mut third), Poll::Ready(Some(0)));
    capped(&shared).give_back(0);
    assert_eq!((shared.pools[0].backends[0].active(), shared.pools[0].queue_figures().waiting), (0, 0));
}

#[test]
fn the_line_does_not_grow_by_those_who_give_up() {
    let shared = shared(&[(1, 0)], 10);
    assert!(capped(&shared).take(0));
    let _first = join(&shared, Urgency::Normal);
    (0..10_000).for_each(|_| drop(join(&shared, Urgency::Normal)));
    let line = capped(&shared).queue.lock();
    assert!(line.tickets.len() <= 2 * TOMBSTONES, "{} entries", line.tickets.len());
}

#[test]
fn a_place_that_came_free_before_joining_is_found() {
    let shared = shared(&[(1, 0)], 10);
    assert_eq!(poll(&mut join(&shared, Urgency::Normal)), Poll::Ready(Some(0)));
}

#[test]
fn a_backend_that_becomes_ready_takes_those_who_wait() {
    let shared = shared(&[(1, 0), (2, 0)], 10);
    shared.pools[0].set_standing(1, Standing::Out);
    assert!(capped(&shared).take(0));
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut tickets: Vec<Ticket> = (0..3).map(|_| join(&shared, Urgency::Normal)).collect();
    for ticket in &mut tickets {
        assert!(ticket.poll(&Context::from_waker(&waker)).is_pending());
    }
    shared.pools[0].set_standing(1, Standing::Ready);
    assert_eq!(bell.0.load(Ordering::SeqCst), 2, "as many are woken as have a place");
    let found: Vec<_> = tickets.iter_mut().map(poll).collect();
    assert_eq!(found, [Poll::Ready(Some(1)), Poll::Ready(Some(1)), Poll::Pending]);
}

#[test]
fn a_place_at_a_backend_that_is_out_is_nobodys() {
    let shared = shared(&[(1, 0), (1, 0)], 10);
    assert!(capped(&shared).take(0) && capped(&shared).take(1));
    let mut ticket = join(&shared, Urgency::Normal);
    shared.pools[0].set_standing(0, Standing::Out);
    capped(&shared).give_back(0);
    assert!(poll(&mut ticket).is_pending());
    capped(&shared).give_back(1);
    assert_eq!(poll(&mut ticket), Poll::Ready(Some(1)));
}

#[test]
fn when_all_are_taken_out_by_hand_nobody_waits() {
    let shared = shared(&[(1, 0), (1, 0)], 10);
    assert!(capped(&shared).take(0) && capped(&shared).take(1));
    let mut tickets = [join(&shared, Urgency::Normal), join_after(&shared, &[0])];
    shared.pools[0].set_standing(0, Standing::Excluded);
    assert!(tickets.iter_mut().all(|ticket| poll(ticket).is_pending()));
    shared.pools[0].set_standing(1, Standing::Excluded);
    assert_eq!(tickets.each_mut().map(poll), [Poll::Ready(None), Poll::Ready(None)]);
    assert_eq!(shared.pools[0].queue_figures().waiting, 0);
}

#[test]
fn a_repetition_waits_for_another_backend_than_it_has_tried() {
    let shared = shared(&[(1, 0), (1, 0)], 10);
    assert!(capped(&shared).take(0) && capped(&shared).take(1));
    let mut again = join_after(&shared, &[0]);
    let mut fresh = join(&shared, Urgency::Normal);
    capped(&shared).give_back(0);
    assert!(poll(&mut again).is_pending());
    assert_eq!(poll(&mut fresh), Poll::Ready(Some(0)));
    capped(&shared).give_back(1);
    assert_eq!(poll(&mut again), Poll::Ready(Some(1)));
}

/// Exchanges of each of 64 tasks.
const EACH: usize = 1600;

/// What runs at each backend, counted beside the queue's own count.
#[derive(Default)]
struct Watch {
    inside: [AtomicU32; 3],
    done: AtomicUsize,
}

async fn exchange(shared: &Arc<Shared>, watch: &Watch, caps: [u32; 3], turn: usize) {
    let free = (0..3).map(|n| (n + turn) % 3).find(|&at| !capped(shared).has_waiting() && capped(shared).take(at));
    let at = match free {
        Some(at) => at,
        None => {
            let mut ticket = join(shared, Urgency::ALL[turn % 3]);
            if turn.is_multiple_of(17) {
                // Some give up, at once or a little later.
                tokio::task::yield_now().await;
                return;
            }
            poll_fn(|cx| ticket.poll(cx)).await.expect("a backend")
        }
    };
    let running = watch.inside[at].fetch_add(1, Ordering::SeqCst) + 1;
    assert!(running <= caps[at], "{running} run at backend {at}");
    if turn.is_multiple_of(3) {
        tokio::task::yield_now().await;
    }
    watch.inside[at].fetch_sub(1, Ordering::SeqCst);
    capped(shared).give_back(at);
    watch.done.fetch_add(1, Ordering::Relaxed);
}

fn on_a_runtime(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build_local(Default::default());
    let bounded = async { tokio::time::timeout(Duration::from_secs(60), work).await };
    runtime.expect("a runtime").block_on(bounded).expect("nobody waits for ever");
}

#[test]
fn four_threads_keep_the_caps_and_lose_no_wake_up() {
    let caps = [1, 2, 3];
    let shared = shared(&caps.map(|cap| (cap, 0)), 1000);
    let watch = Arc::new(Watch::default());
    let worker = |_| {
        let (shared, watch) = (Arc::clone(&shared), Arc::clone(&watch));
        std::thread::spawn(move || {
            on_a_runtime(async {
                let task = |task: usize| {
                    let (shared, watch) = (Arc::clone(&shared), Arc::clone(&watch));
                    tokio::task::spawn_local(async move {
                        for turn in 0..EACH {
                            exchange(&shared, &watch, caps, turn + task).await;
                        }
                    })
                };
                let tasks: Vec<_> = (0..16).map(task).collect();
                for task in tasks {
                    task.await.expect("no cap was exceeded");
                }
            });
        })
    };
    let threads: Vec<_> = (0..4).map(worker).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a worker ends well"));
    let figures = shared.pools[0].queue_figures();
    assert!(watch.done.load(Ordering::Relaxed) > 64 * EACH * 9 / 10);
    assert!(figures.queued > 1000, "it was a crowd: {figures:?}");
    assert_eq!(figures.waiting, 0);
    assert!(shared.pools[0].backends.iter().all(|backend| backend.active() == 0), "every place was given back");
    let line = capped(&shared).queue.lock();
    assert!(line.tickets.iter().all(|entry| matches!(entry, Entry::Free | Entry::Cancelled)));
}

/// A line of ten thousand before one place, in a surge, so that hardly anybody may wait.
fn surging() -> Arc<Shared> {
    let shared = shared(&[(1, 0)], 10_000);
    assert!(capped(&shared).take(0));
    let now_ms = capped(&shared).queue.now_ms();
    capped(&shared).queue.lock().surge.refused(now_ms);
    shared
}

fn poll_whole(ticket: &mut Ticket) -> Poll<Result<usize, NoTurn>> {
    ticket.poll(&Context::from_waker(Waker::noop()))
}

#[test]
fn in_a_surge_the_oldest_gives_way_and_is_woken() {
    let shared = surging();
    let mut tickets: Vec<Ticket> = (0..5).map(|_| join(&shared, Urgency::Normal)).collect();
    let bell = Arc::new(Bell::default());
    assert!(tickets[0].poll(&Context::from_waker(&Waker::from(Arc::clone(&bell)))).is_pending());
    let mut newest = join(&shared, Urgency::Normal);
    assert_eq!((bell.0.load(Ordering::SeqCst), poll_whole(&mut tickets[0])), (1, Poll::Ready(Err(NoTurn::Shed))));
    capped(&shared).give_back(0);
    assert_eq!(poll(&mut tickets[1]), Poll::Ready(Some(0)), "of those who stay the first goes first");
    assert!(poll(&mut newest).is_pending());
    let figures = shared.pools[0].queue_figures();
    assert_eq!((figures.waiting, figures.shed, figures.full, figures.surge), (4, 1, 0, true));
}

#[test]
fn in_a_surge_the_less_urgent_give_way_and_nobody_to_the_less_urgent() {
    let shared = surging();
    let of = [Urgency::High, Urgency::Low, Urgency::Normal, Urgency::High, Urgency::High];
    let mut tickets: Vec<Ticket> = of.iter().map(|urgency| join(&shared, *urgency)).collect();
    tickets.push(join(&shared, Urgency::Normal));
    assert_eq!(poll_whole(&mut tickets[1]), Poll::Ready(Err(NoTurn::Shed)));
    tickets.push(join(&shared, Urgency::High));
    assert_eq!(poll_whole(&mut tickets[2]), Poll::Ready(Err(NoTurn::Shed)), "the older of two");
    let refused = Ticket::join(&shared, 0, Urgency::Low, Tried::default());
    assert_eq!(refused.err(), Some(Refused::Shed));
    assert_eq!(shared.pools[0].queue_figures().shed, 3);
}

#[test]
fn a_line_that_is_too_long_when_a_surge_begins_is_cut_at_once() {
    let shared = shared(&[(1, 0)], 10_000);
    assert!(capped(&shared).take(0));
    let mut tickets: Vec<Ticket> = (0..500).map(|_| join(&shared, Urgency::Normal)).collect();
    tickets.remove(0).time_out();
    tickets.push(join(&shared, Urgency::Normal));
    let stay = tickets.iter_mut().filter_map(|ticket| poll_whole(ticket).is_pending().then_some(())).count();
    assert_eq!((stay, poll_whole(&mut tickets[498]).is_pending()), (5, true));
    assert_eq!(shared.pools[0].queue_figures().shed, 495);
}

#[test]
fn without_shed_the_line_is_plain() {
    let mut plan = plan(&[(1, 0)], 1_000);
    plan.pools[0].queue.shed = false;
    let shared = Shared::new(&plan, 1);
    shared.pools[0].set_standing(0, Standing::Ready);
    assert!(capped(&shared).take(0));
    let mut tickets: Vec<Ticket> = (0..500).map(|_| join(&shared, Urgency::Normal)).collect();
    tickets.remove(0).time_out();
    assert!(poll(&mut tickets[0]).is_pending());
    let _more: Vec<Ticket> = (0..501).map(|_| join(&shared, Urgency::Normal)).collect();
    assert_eq!(Ticket::join(&shared, 0, Urgency::High, Tried::default()).err(), Some(Refused::Full));
    let figures = shared.pools[0].queue_figures();
    assert_eq!((figures.waiting, figures.shed, figures.surge), (1_000, 0, false));
}
