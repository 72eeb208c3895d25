//! The record of every backend: its state, why, since when; and the last changes.
//!
//! Owns the words people read; the workers read the standing in `engine::Shared`, which is written here and nowhere
//! else. Driven by the posts that probe.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use engine::Shared;
use policy::balance::Standing;
use policy::health::Share;
use policy::outlier::Tally;
use policy::plan::{Backend, Plan, Pool, PoolId, Wanted};

use crate::clock::steady_ms;
use crate::evidence::Evidence;

/// Changes kept for [`crate::Handle::events_after`].
const EVENTS: usize = 1000;

/// One backend of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seat {
    pub(crate) pool: PoolId,
    pub(crate) backend: usize,
}

/// The state of a backend, in the words of the lexicon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Takes work.
    Ready,
    /// No verdict yet.
    Unknown,
    /// Takes less than its share, for a while after it returned.
    SlowStart,
    /// Out by passive evidence.
    Ejected,
    /// Out by probes or by hand.
    Down,
    /// Takes no new work; old work still runs.
    Draining,
    /// Takes no work; none is left.
    Drained,
}

impl State {
    /// The word that status, log and metrics show.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unknown => "unknown",
            Self::SlowStart => "slow-start",
            Self::Ejected => "ejected",
            Self::Down => "down",
            Self::Draining => "draining",
            Self::Drained => "drained",
        }
    }
}

/// A change of a backend's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts from 1 over the life of the process.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// The pool's name.
    pub pool: String,
    /// The backend's name.
    pub backend: String,
    /// The state before.
    pub from: State,
    /// The state since.
    pub to: State,
    /// Why.
    pub reason: String,
}

/// What is known of one backend.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) since: SystemTime,
    /// Until when at least an ejected one stays out.
    pub(crate) until: Option<SystemTime>,
    pub(crate) tally: Tally,
}

/// What a post found out about a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) standing: Standing,
    pub(crate) share: Share,
    pub(crate) reason: String,
}

/// What real requests say against a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Against {
    #[default]
    Nothing,
    /// It fails but is left to work; why.
    Spared(String),
    Ejected {
        reason: String,
        until: SystemTime,
    },
}

/// All backends.
#[derive(Debug)]
pub(crate) struct Backends {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    ledger: Mutex<Ledger>,
    /// By pool: weights were set of which the workers have not been told.
    reweighed: Vec<AtomicBool>,
    first_looks_left: AtomicUsize,
}

#[derive(Debug)]
struct Ledger {
    /// By pool and backend.
    records: Vec<Vec<Record>>,
    evidence: Vec<Vec<Evidence>>,
    /// Those that ramp up after an ejection.
    ramping: Vec<Seat>,
    events: VecDeque<Event>,
    last_event: u64,
}

impl Backends {
    /// Records for a plan; backends that the operator wants out are out from here on.
    pub(crate) fn new(plan: Arc<Plan>, shared: Arc<Shared>) -> Self {
        let now = SystemTime::now();
        let record = |backend: &Backend| Record {
            state: state_of(Standing::Unknown, Share::Full, backend.state),
            reason: operators_reason(backend.state).unwrap_or("no probe has ended yet").to_owned(),
            since: now,
            until: None,
            tally: Tally::default(),
        };
        let none =
            Verdict { standing: Standing::Unknown, share: Share::Full, reason: "no probe has ended yet".to_owned() };
        let evidence =
            plan.pools.iter().map(|pool| vec![Evidence::new(none.clone(), pool.slow_start); pool.backends.len()]);
        let evidence = evidence.collect();
        let records = plan.pools.iter().map(|pool| pool.backends.iter().map(record).collect()).collect();
        let ledger =
            Mutex::new(Ledger { records, evidence, ramping: Vec::new(), events: VecDeque::new(), last_event: 0 });
        let reweighed = plan.pools.iter().map(|_| AtomicBool::new(false)).collect();
        let backends = Self { plan, shared, ledger, reweighed, first_looks_left: AtomicUsize::new(0) };
        backends.exclude_unwanted();
        backends
    }

    fn exclude_unwanted(&self) {
        for (pool, shared) in self.plan.pools.iter().zip(&self.shared.pools) {
            for (index, backend) in pool.backends.iter().enumerate() {
                if backend.state != Wanted::Ready {
                    shared.set_standing(index, Standing::Excluded);
                }
            }
        }
    }

    /// Takes a verdict down. Returns whether the workers see another standing now.
    pub(crate) fn judge(&self, seat: Seat, verdict: &Verdict) -> Changed {
        self.ledger().evidence(seat).probes.clone_from(verdict);
        self.conclude(seat)
    }

    /// Takes down what real requests say; [`Self::conclude`] draws the conclusion. Returns whether it was ejected
    /// before.
    pub(crate) fn rule(&self, seat: Seat, against: Against, tally: Tally) -> bool {
        let mut ledger = self.ledger();
        ledger.records[seat.pool.0 as usize][seat.backend].tally = tally;
        ledger.evidence(seat).rule(steady_ms(), against)
    }

    /// Those whose weights grow after an ejection; [`Self::conclude`] carries them on.
    pub(crate) fn take_ramping(&self) -> Vec<Seat> {
        std::mem::take(&mut self.ledger().ramping)
    }

    /// Draws the conclusion from all evidence. Returns whether the workers see another standing now.
    pub(crate) fn conclude(&self, seat: Seat) -> Changed {
        let (pool, backend) = self.named(seat);
        let mut ledger = self.ledger();
        let (evidence, now_ms) = (ledger.evidence(seat), steady_ms());
        let (verdict, until, ramps) = (evidence.verdict(now_ms), evidence.until(), evidence.ramps(now_ms));
        if ramps && !ledger.ramping.contains(&seat) {
            ledger.ramping.push(seat);
        }
        let standing = if backend.state == Wanted::Ready { verdict.standing } else { Standing::Excluded };
        let share = verdict.share;
        let reason = operators_reason(backend.state).unwrap_or(&verdict.reason).to_owned();
        ledger.records[seat.pool.0 as usize][seat.backend].until = until;
        ledger.enter(seat, pool, &Verdict { standing, share, reason });
        drop(ledger);
        let shared = &self.shared.pools[seat.pool.0 as usize];
        // Before the standing, so that nobody sees a backend return with all its weight.
        if shared.set_weight(seat.backend, share.permille()) {
            self.reweighed[seat.pool.0 as usize].store(true, Ordering::Release);
        }
        if shared.backends[seat.backend].standing() == standing {
            return Changed::No;
        }
        shared.set_standing(seat.backend, standing);
        Changed::Yes
    }

    /// Tells the workers of the weights that were set since the last time.
    pub(crate) fn announce_weights(&self) {
        for (pool, reweighed) in self.shared.pools.iter().zip(&self.reweighed) {
            if reweighed.swap(false, Ordering::AcqRel) {
                pool.announce();
            }
        }
    }

    /// So many posts have yet to look for the first time.
    pub(crate) fn expect_first_looks(&self, count: usize) {
        self.first_looks_left.store(count, Ordering::Release);
    }

    /// A post has looked for the first time.
    pub(crate) fn first_look_done(&self) {
        if self.first_looks_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tell_first_round();
        }
    }

    /// Whether every post has looked once.
    pub(crate) fn first_round_done(&self) -> bool {
        self.first_looks_left.load(Ordering::Acquire) == 0
    }

    fn tell_first_round(&self) {
        let ledger = self.ledger();
        let records = || ledger.records.iter().flatten();
        let count = |state| records().filter(|record| record.state == state).count();
        tracing::info!(
            backends = records().count(),
            ready = count(State::Ready),
            down = count(State::Down),
            "the first round of probes has finished"
        );
    }

    /// A copy of all records.
    pub(crate) fn records(&self) -> Vec<Vec<Record>> {
        self.ledger().records.clone()
    }

    /// Changes with a number above `number`, oldest first, as far as they are kept.
    pub(crate) fn events_after(&self, number: u64) -> Vec<Event> {
        self.ledger().events.iter().filter(|event| event.number > number).cloned().collect()
    }

    /// The pool and backend of a seat.
    pub(crate) fn named(&self, seat: Seat) -> (&Pool, &Backend) {
        let pool = self.plan.pool(seat.pool);
        (pool, &pool.backends[seat.backend])
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a call changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Yes,
    No,
}

impl Ledger {
    fn evidence(&mut self, seat: Seat) -> &mut Evidence {
        &mut self.evidence[seat.pool.0 as usize][seat.backend]
    }

    fn enter(&mut self, seat: Seat, pool: &Pool, verdict: &Verdict) {
        let backend = &pool.backends[seat.backend];
        let record = &mut self.records[seat.pool.0 as usize][seat.backend];
        record.reason.clone_from(&verdict.reason);
        let to = state_of(verdict.standing, verdict.share, backend.state);
        let from = std::mem::replace(&mut record.state, to);
        if from == to {
            return;
        }
        record.since = SystemTime::now();
        self.last_event += 1;
        let event = Event {
            number: self.last_event,
            at: record.since,
            pool: pool.name.clone(),
            backend: backend.name.clone(),
            from,
            to,
            reason: verdict.reason.clone(),
        };
        tell(&event);
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

fn tell(event: &Event) {
    let Event { pool, backend, reason, .. } = event;
    let (from, to) = (event.from.name(), event.to.name());
    if matches!(event.to, State::Down | State::Ejected) {
        tracing::warn!(pool, backend, from, to, reason, "backend is {to}");
    } else {
        tracing::info!(pool, backend, from, to, reason, "backend is {to}");
    }
}

/// The state that a standing is; whether a drained backend still works is seen when status is asked for.
fn state_of(standing: Standing, share: Share, wanted: Wanted) -> State {
    match (wanted, standing, share) {
        (Wanted::Down, ..) => State::Down,
        (Wanted::Drained, ..) => State::Drained,
        (Wanted::Ready, Standing::Ready, Share::SlowStart(_)) => State::SlowStart,
        (Wanted::Ready, Standing::Ready, Share::Full | Share::Asked(_) | Share::Drained) => State::Ready,
        (Wanted::Ready, Standing::Excluded, Share::Drained) => State::Drained,
        (Wanted::Ready, Standing::Unknown, _) => State::Unknown,
        (Wanted::Ready, Standing::Ejected, _) => State::Ejected,
        (Wanted::Ready, Standing::Out | Standing::Excluded, _) => State::Down,
    }
}

fn operators_reason(wanted: Wanted) -> Option<&'static str> {
    match wanted {
        Wanted::Ready => None,
        Wanted::Drained => Some("state = \"drained\" in the configuration"),
        Wanted::Down => Some("state = \"down\" in the configuration"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{plan, pool};

    const SEAT: Seat = Seat { pool: PoolId(0), backend: 0 };

    fn backends(wanted: Wanted) -> Backends {
        let mut pool = pool("app", 1);
        pool.backends[0].state = wanted;
        let plan = Arc::new(plan(vec![pool]));
        let shared = Shared::new(&plan, 1);
        Backends::new(plan, shared)
    }

    fn verdict(standing: Standing, reason: &str) -> Verdict {
        Verdict { standing, share: Share::Full, reason: reason.to_owned() }
    }

    #[test]
    fn weights_are_there_with_the_standing_and_announced_together() {
        let backends = backends(Wanted::Ready);
        let (shared, epoch) = (&backends.shared.pools[0].backends[0], &backends.shared.pools[0].epoch);
        let ramping = |permille| Verdict { share: Share::SlowStart(permille), ..verdict(Standing::Ready, "back") };
        backends.judge(SEAT, &ramping(50));
        assert_eq!((shared.standing(), shared.permille()), (Standing::Ready, 50));
        assert_eq!(backends.records()[0][0].state, State::SlowStart);
        backends.announce_weights();
        let before = epoch.load(Ordering::Relaxed);
        for permille in [60, 70, 80] {
            assert_eq!(backends.judge(SEAT, &ramping(permille)), Changed::No);
        }
        assert_eq!(epoch.load(Ordering::Relaxed), before);
        backends.announce_weights();
        backends.announce_weights();
        assert_eq!((epoch.load(Ordering::Relaxed), shared.permille()), (before + 1, 80));
        backends.judge(SEAT, &verdict(Standing::Ready, "back"));
        let states: Vec<State> = backends.events_after(0).iter().map(|event| event.to).collect();
        assert_eq!(states, [State::SlowStart, State::Ready]);
    }

    #[test]
    fn change_is_recorded_shared_and_told() {
        let backends = backends(Wanted::Ready);
        assert_eq!(backends.records()[0][0].state, State::Unknown);
        assert_eq!(backends.judge(SEAT, &verdict(Standing::Out, "status 500")), Changed::Yes);
        assert_eq!(backends.shared.pools[0].backends[0].standing(), Standing::Out);
        let events = backends.events_after(0);
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].from, events[0].to), (State::Unknown, State::Down));
        assert_eq!((events[0].pool.as_str(), events[0].reason.as_str()), ("app", "status 500"));
        assert!(backends.events_after(1).is_empty());
    }

    #[test]
    fn same_verdict_changes_only_the_reason() {
        let backends = backends(Wanted::Ready);
        backends.judge(SEAT, &verdict(Standing::Out, "status 500"));
        let (since, epoch) = (backends.records()[0][0].since, &backends.shared.pools[0].epoch);
        let before = epoch.load(Ordering::Relaxed);
        assert_eq!(backends.judge(SEAT, &verdict(Standing::Out, "no answer in time")), Changed::No);
        assert_eq!(epoch.load(Ordering::Relaxed), before);
        let record = &backends.records()[0][0];
        assert_eq!((record.since, record.reason.as_str()), (since, "no answer in time"));
        assert_eq!(backends.events_after(0).len(), 1);
    }

    #[test]
    fn operators_wish_stands_above_probes() {
        for (wanted, state) in [(Wanted::Down, State::Down), (Wanted::Drained, State::Drained)] {
            let backends = backends(wanted);
            assert_eq!(backends.shared.pools[0].backends[0].standing(), Standing::Excluded);
            assert_eq!(backends.judge(SEAT, &verdict(Standing::Ready, "passed")), Changed::No);
            let record = &backends.records()[0][0];
            assert_eq!(record.state, state);
            assert!(record.reason.contains("configuration"), "{}", record.reason);
            assert!(backends.events_after(0).is_empty());
        }
    }

    #[test]
    fn ejected_goes_before_ready_and_behind_down_and_the_operator() {
        let ejected = || Against::Ejected { reason: "3 failures in a row".to_owned(), until: SystemTime::UNIX_EPOCH };
        let after = |wanted, standing| {
            let backends = backends(wanted);
            backends.judge(SEAT, &verdict(standing, "by probes"));
            assert!(!backends.rule(SEAT, ejected(), Tally::default()));
            backends.conclude(SEAT);
            let record = backends.records()[0][0].clone();
            assert!(backends.rule(SEAT, Against::Nothing, Tally::default()));
            backends.conclude(SEAT);
            assert!(backends.records()[0][0].until.is_none());
            (record.state, record.reason, record.until.is_some())
        };
        for standing in [Standing::Ready, Standing::Unknown] {
            assert_eq!(after(Wanted::Ready, standing), (State::Ejected, "3 failures in a row".to_owned(), true));
        }
        assert_eq!(after(Wanted::Ready, Standing::Out), (State::Down, "by probes".to_owned(), false));
        assert_eq!(after(Wanted::Drained, Standing::Ready).0, State::Drained);
    }

    #[test]
    fn ejection_hides_a_slow_start_but_not_what_the_backend_asks() {
        let backends = backends(Wanted::Ready);
        let shared = &backends.shared.pools[0].backends[0];
        let ramping = Verdict { share: Share::SlowStart(50), ..verdict(Standing::Ready, "back") };
        backends.judge(SEAT, &ramping);
        let ejected = Against::Ejected { reason: "3 failures in a row".to_owned(), until: SystemTime::UNIX_EPOCH };
        backends.rule(SEAT, ejected, Tally::default());
        backends.conclude(SEAT);
        assert_eq!((backends.records()[0][0].state, shared.standing()), (State::Ejected, Standing::Ejected));
        backends.judge(SEAT, &Verdict { share: Share::SlowStart(90), ..ramping });
        assert_eq!((shared.standing(), shared.permille()), (Standing::Ejected, 90), "it goes on meanwhile");
        backends.judge(SEAT, &Verdict { share: Share::Drained, ..verdict(Standing::Excluded, "drain") });
        assert_eq!((backends.records()[0][0].state, shared.standing()), (State::Drained, Standing::Excluded));
        backends.rule(SEAT, Against::Nothing, Tally::default());
        assert_eq!(backends.judge(SEAT, &verdict(Standing::Ready, "1 probe passed")), Changed::Yes);
        assert_eq!((backends.records()[0][0].state, shared.permille()), (State::Ready, 1000));
    }

    #[test]
    fn who_is_spared_stays_ready_and_says_why() {
        let backends = backends(Wanted::Ready);
        backends.judge(SEAT, &verdict(Standing::Ready, "1 probe passed"));
        backends.rule(SEAT, Against::Spared("all fail alike".to_owned()), Tally::default());
        assert_eq!(backends.conclude(SEAT), Changed::No);
        let record = &backends.records()[0][0];
        assert_eq!((record.state, record.reason.as_str()), (State::Ready, "all fail alike"));
    }

    #[test]
    fn kept_events_are_bounded() {
        let backends = backends(Wanted::Ready);
        for _ in 0..EVENTS {
            backends.judge(SEAT, &verdict(Standing::Out, "a"));
            backends.judge(SEAT, &verdict(Standing::Ready, "b"));
        }
        let events = backends.events_after(0);
        assert_eq!(events.len(), EVENTS);
        assert_eq!(events[EVENTS - 1].number, 2 * EVENTS as u64);
    }

    #[test]
    fn first_round_ends_with_the_last_look() {
        let backends = backends(Wanted::Ready);
        backends.expect_first_looks(2);
        backends.first_look_done();
        assert!(!backends.first_round_done());
        backends.first_look_done();
        assert!(backends.first_round_done());
    }
}
