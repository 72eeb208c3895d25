//! Passive health: which backends of a pool are ejected by what real requests showed.
//!
//! Owns the verdict, its reason, how long it holds and what lifts it. `control` drives it with what the workers counted
//! ([`Sighting`]), what probes said and how trials ended; it carries changed rulings to the workers. What counts as a
//! failure is seen where it happens, in the engine.
//!
//! A pool is judged as a whole: what fails everywhere alike is no backend's fault, and a share of the backends always
//! stays. With a share of 100 per cent each backend is judged for itself, and all may be out.

mod evidence;
mod window;

use std::time::Duration;

use crate::balance::Standing;
use crate::plan::{Backend, Eject, Wanted};
pub use evidence::{Fault, Probe, Sighting, Trial};
use window::Window;

/// Failures older than that say nothing of whether a backend fails now.
const FRESH_MS: u64 = 10_000;
/// So many times `for` without an ejection halve the next one.
const FORGIVEN_AFTER: u64 = 10;
/// A backend that is slower than the others by less than that is not slow, whatever the factor.
const LEAST_EXCESS_US: u64 = 10_000;

/// Which request may be a trial now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// None.
    Nothing,
    /// One that can be repeated.
    Repeatable,
    /// Any: for so long, none came that could be repeated.
    Any,
}

/// What the workers and people must know of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Nothing against it.
    Clear,
    /// It fails, but is not ejected, and why not.
    Spared(String),
    /// Ejected.
    Ejected {
        /// Why.
        reason: String,
        /// When a trial may be made, in the caller's milliseconds.
        until_ms: u64,
        /// Which request may be one now.
        offer: Offer,
    },
}

/// Counted over the life of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ejections.
    pub ejections: u64,
    /// Ejections during which every probe passed (at least one) and that the first trial lifted: probably wrong.
    pub false_ejections: u64,
}

/// Why a backend is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    InARow { failures: u32, fault: Fault },
    Rate { faults: u64, of: u64 },
    Slow { mean_us: u64, others_us: u64 },
}

impl Why {
    /// Whether a head is evidence of its own kind; else only a whole answer is.
    fn is_lifted_by_head(self) -> bool {
        !matches!(self, Self::Rate { .. }) && !matches!(self, Self::InARow { fault, .. } if fault.is_at_end())
    }

    fn is_connect(self) -> bool {
        matches!(self, Self::InARow { fault: Fault::Connect, .. })
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |us: u64| us / 1000;
        match self {
            Self::InARow { failures, fault } => write!(f, "{failures} failures in a row: {fault}"),
            Self::Rate { faults, of } => write!(f, "{faults} of {of} attempts failed"),
            Self::Slow { mean_us, others_us } => {
                write!(f, "first byte after {} ms, the others' after {} ms", ms(*mean_us), ms(*others_us))
            }
        }
    }
}

/// One backend.
///
/// ```text
///        failures in a row, their rate, slowness          its time is over
///   ┌────┐ ───────────────────────────────► ┌─────────┐ ─────────────────► ┌───────┐
///   │ In │                                  │ Ejected │                    │ Trial │
///   └────┘ ◄─────────────────────────────── └─────────┘ ◄───────────────── └───────┘
///      ▲       all fail alike; for failed connects: a probe passed    failed: twice as long │
///      └────────────────────────────────────────────────────────────────────────────────────┘
///                                         passed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    In,
    Ejected(Ejection),
    /// One request at a time may try it, since so many milliseconds.
    Trial(Ejection, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ejection {
    why: Why,
    until_ms: u64,
    failed_trials: u32,
    /// How its probes went meanwhile.
    passed: bool,
    failed: bool,
}

#[derive(Clone, Debug)]
struct Member {
    state: State,
    wanted: Wanted,
    /// By its probes.
    standing: Standing,
    /// Ejections that are not forgiven yet; each doubles the next.
    times: u32,
    /// When the last one ended.
    ended_ms: u64,
    note: Option<String>,
    window: Window,
    fault_at_ms: Option<u64>,
    tally: Tally,
}

impl Member {
    fn new(backend: &Backend) -> Self {
        Self {
            state: State::In,
            wanted: backend.state,
            standing: Standing::Unknown,
            times: 0,
            ended_ms: 0,
            note: None,
            window: Window::default(),
            fault_at_ms: None,
            tally: Tally::default(),
        }
    }

    fn ejection(&self) -> Option<&Ejection> {
        match &self.state {
            State::In => None,
            State::Ejected(ejection) | State::Trial(ejection, _) => Some(ejection),
        }
    }

    fn is_wanted(&self) -> bool {
        self.wanted == Wanted::Ready && self.standing != Standing::Excluded
    }

    fn is_down(&self) -> bool {
        self.standing == Standing::Out
    }

    /// Takes work, as far as is known.
    fn works(&self) -> bool {
        self.is_wanted() && !self.is_down() && self.state == State::In
    }
}

/// The passive health of a pool.
#[derive(Clone, Debug)]
pub struct Outliers {
    terms: Eject,
    members: Vec<Member>,
}

/// Whether a call changed a ruling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Some ruling of the pool is another.
    Yes,
    /// None is.
    No,
}

impl Outliers {
    /// Nobody is ejected.
    #[must_use]
    pub fn new(terms: Eject, backends: &[Backend]) -> Self {
        Self { terms, members: backends.iter().map(Member::new).collect() }
    }

    /// A worker says that the backend failed so many times in a row; what is known of all, by index.
    pub fn failed_in_a_row(&mut self, now_ms: u64, backend: usize, seen: &[Sighting]) -> Changed {
        let (Some(member), Some(sighting)) = (self.members.get(backend), seen.get(backend)) else { return Changed::No };
        let (failures, Some(fault)) = (sighting.failures, sighting.fault) else { return Changed::No };
        // A success may have come since the worker said so.
        if !member.works() || failures < self.terms.failures {
            return Changed::No;
        }
        let why = Why::InARow { failures, fault };
        let suspects: Vec<bool> = (0..self.members.len()).map(|other| self.fails_now(now_ms, other, seen)).collect();
        if !self.judges_each_alone() && self.all_alike(backend, fault, &suspects, seen) {
            return self.acquit_all(now_ms, fault);
        }
        self.eject_or_spare(now_ms, backend, why, &suspects)
    }

    /// To be called once a second with what is known of all: failure rates, latencies, and whose trouble is over.
    pub fn look(&mut self, now_ms: u64, seen: &[Sighting]) -> Changed {
        let mut changed = Changed::No;
        for (member, sighting) in self.members.iter_mut().zip(seen) {
            if member.window.note(sighting) {
                member.fault_at_ms = Some(now_ms);
            }
            if sighting.failures == 0 && member.note.take().is_some() {
                changed = Changed::Yes;
            }
        }
        for backend in 0..self.members.len() {
            if self.judge_rate(now_ms, backend) == Changed::Yes || self.judge_latency(now_ms, backend) == Changed::Yes {
                changed = Changed::Yes;
            }
        }
        changed
    }

    /// Time has passed: trials may be due.
    pub fn pass_time(&mut self, now_ms: u64) -> Changed {
        let mut changed = Changed::No;
        let patience = millis(self.terms.max_time);
        for member in &mut self.members {
            match member.state {
                State::Ejected(ejection) if ejection.until_ms <= now_ms => {
                    member.state = State::Trial(ejection, now_ms);
                    changed = Changed::Yes;
                }
                State::Trial(_, since) if since.saturating_add(patience) <= now_ms => changed = Changed::Yes,
                _ => {}
            }
        }
        changed
    }

    /// When [`Self::pass_time`] has something to do next.
    #[must_use]
    pub fn next_due_ms(&self, now_ms: u64) -> Option<u64> {
        let patience = millis(self.terms.max_time);
        let due = |member: &Member| match member.state {
            State::In => None,
            State::Ejected(ejection) => Some(ejection.until_ms),
            State::Trial(_, since) => Some(since.saturating_add(patience)).filter(|at| *at > now_ms),
        };
        self.members.iter().filter_map(due).min()
    }

    /// A probe of the backend ended; its standing by probes now.
    pub fn probed(&mut self, now_ms: u64, backend: usize, probe: Probe, standing: Standing) -> Changed {
        let Some(member) = self.members.get_mut(backend) else { return Changed::No };
        let before = std::mem::replace(&mut member.standing, standing);
        if let State::Ejected(ejection) | State::Trial(ejection, _) = &mut member.state {
            match probe {
                Probe::Passed if ejection.why.is_connect() => {
                    lift(member, now_ms);
                    return Changed::Yes;
                }
                Probe::Passed => ejection.passed = true,
                Probe::Failed => ejection.failed = true,
            }
        }
        if before == standing || member.state == State::In { Changed::No } else { Changed::Yes }
    }

    /// The backend's standing by probes, where no probe says more.
    pub fn stands(&mut self, backend: usize, standing: Standing) {
        if let Some(member) = self.members.get_mut(backend) {
            member.standing = standing;
        }
    }

    /// A trial told something.
    pub fn trial_told(&mut self, now_ms: u64, backend: usize, trial: Trial) -> Changed {
        let Some(Member { state: State::Trial(ejection, _), .. }) = self.members.get(backend) else {
            return Changed::No;
        };
        let mut ejection = *ejection;
        let passed = match trial {
            Trial::Failed(_) => false,
            Trial::Head { first_byte_us } => match ejection.why {
                Why::Slow { others_us, .. } => !self.is_slow(first_byte_us, others_us),
                why if why.is_lifted_by_head() => true,
                _ => return Changed::No,
            },
            // A head that came too late has been judged already.
            Trial::Whole => true,
        };
        let member = &mut self.members[backend];
        if passed {
            let falsely = ejection.failed_trials == 0 && ejection.passed && !ejection.failed;
            member.tally.false_ejections += u64::from(falsely);
            lift(member, now_ms);
        } else {
            ejection.failed_trials += 1;
            member.times = member.times.saturating_add(1);
            ejection.until_ms = now_ms.saturating_add(wait_ms(&self.terms, member.times));
            member.state = State::Ejected(ejection);
        }
        Changed::Yes
    }

    /// What holds for a backend now.
    #[must_use]
    pub fn ruling(&self, now_ms: u64, backend: usize) -> Ruling {
        let Some(member) = self.members.get(backend) else { return Ruling::Clear };
        match (&member.state, &member.note) {
            (State::In, None) => Ruling::Clear,
            (State::In, Some(note)) => Ruling::Spared(note.clone()),
            (State::Ejected(ejection), _) => Ruling::Ejected {
                reason: reason(ejection, &format!("one request tries it after {}", self.time_out(member))),
                until_ms: ejection.until_ms,
                offer: Offer::Nothing,
            },
            (State::Trial(ejection, since), _) => Ruling::Ejected {
                reason: reason(ejection, "the next request may try it"),
                until_ms: ejection.until_ms,
                offer: self.offer(member, now_ms, *since),
            },
        }
    }

    /// Counts of a backend.
    #[must_use]
    pub fn tally(&self, backend: usize) -> Tally {
        self.members.get(backend).map_or_else(Tally::default, |member| member.tally)
    }

    /// How many backends are ejected.
    #[must_use]
    pub fn ejected(&self) -> usize {
        self.members.iter().filter(|member| member.ejection().is_some()).count()
    }

    /// The most that may be ejected or down at a time; at least one where there are others, all only if the terms say so.
    #[must_use]
    pub fn allowed(&self) -> usize {
        let all = self.members.iter().filter(|member| member.is_wanted()).count();
        if self.judges_each_alone() {
            return all;
        }
        let share = all * self.terms.max_share_percent as usize / 100;
        share.max(1).min(all.saturating_sub(1))
    }

    /// Whether all may be ejected: then one that fails is, whatever the others do.
    fn judges_each_alone(&self) -> bool {
        self.terms.max_share_percent >= 100
    }

    fn time_out(&self, member: &Member) -> String {
        let wait = wait_ms(&self.terms, member.times);
        if wait.is_multiple_of(1000) { format!("{} s", wait / 1000) } else { format!("{wait} ms") }
    }

    /// While its probes fail nobody need try it.
    fn offer(&self, member: &Member, now_ms: u64, since_ms: u64) -> Offer {
        if member.is_down() || !member.is_wanted() {
            return Offer::Nothing;
        }
        let long = since_ms.saturating_add(millis(self.terms.max_time)) <= now_ms;
        if long { Offer::Any } else { Offer::Repeatable }
    }

    /// Whether a backend that takes work is failing itself: half way to an ejection, and of late.
    fn fails_now(&self, now_ms: u64, backend: usize, seen: &[Sighting]) -> bool {
        let (Some(member), Some(sighting)) = (self.members.get(backend), seen.get(backend)) else { return false };
        let lately = member.window.is_behind(sighting)
            || member.fault_at_ms.is_some_and(|at| now_ms.saturating_sub(at) < FRESH_MS);
        member.works() && lately && sighting.failures >= self.terms.failures.div_ceil(2)
    }

    /// Whether every backend that is not down fails in the same way.
    fn all_alike(&self, backend: usize, fault: Fault, suspects: &[bool], seen: &[Sighting]) -> bool {
        let others = || (0..self.members.len()).filter(|&other| other != backend && self.members[other].is_wanted());
        let alike = |other: usize| {
            let member = &self.members[other];
            match member.ejection() {
                _ if member.is_down() => true,
                Some(Ejection { why: Why::InARow { fault: theirs, .. }, .. }) => theirs.is_like(fault),
                Some(_) => false,
                None => suspects[other] && seen[other].fault.is_some_and(|theirs| theirs.is_like(fault)),
            }
        };
        others().any(|other| !self.members[other].is_down()) && others().all(alike)
    }

    /// All fail alike: who is ejected comes back, since the cause lies elsewhere.
    fn acquit_all(&mut self, now_ms: u64, fault: Fault) -> Changed {
        let all = self.members.iter().filter(|member| member.is_wanted() && !member.is_down()).count();
        let note = format!("not ejected: all {all} backends fail alike ({fault}), so that the cause is shared");
        for member in self.members.iter_mut().filter(|member| member.is_wanted()) {
            if member.ejection().is_some() {
                lift(member, now_ms);
                member.times = member.times.saturating_sub(1);
            }
            member.note = Some(note.clone());
        }
        Changed::Yes
    }

    fn eject_or_spare(&mut self, now_ms: u64, backend: usize, why: Why, suspects: &[bool]) -> Changed {
        let gone = |(index, member): (usize, &Member)| {
            member.is_wanted() && (index == backend || suspects[index] || !member.works())
        };
        let failing = self.members.iter().enumerate().filter(|member| gone(*member)).count();
        let all = self.members.iter().filter(|member| member.is_wanted()).count();
        if failing > self.allowed() {
            return self.spare(backend, failing, all, why);
        }
        let terms = &self.terms;
        let member = &mut self.members[backend];
        let good = now_ms.saturating_sub(member.ended_ms) / (millis(terms.time) * FORGIVEN_AFTER).max(1);
        member.times = member.times.saturating_sub(u32::try_from(good).unwrap_or(u32::MAX)) + 1;
        let until_ms = now_ms.saturating_add(wait_ms(terms, member.times));
        member.state = State::Ejected(Ejection { why, until_ms, failed_trials: 0, passed: false, failed: false });
        member.tally.ejections += 1;
        member.note = None;
        member.window.forget();
        Changed::Yes
    }

    fn spare(&mut self, backend: usize, failing: usize, all: usize, why: Why) -> Changed {
        let note = match all {
            1 => format!("{why}; not ejected: it is the only backend"),
            _ => format!(
                "{why}; not ejected: {failing} of {all} backends fail or are out, more than max_share = {}",
                self.terms.max_share_percent
            ),
        };
        let old = self.members[backend].note.replace(note);
        if old.is_some() { Changed::No } else { Changed::Yes }
    }

    fn over_rate(&self, backend: usize) -> Option<(u64, u64)> {
        let rule = self.terms.failure_rate?;
        let member = &self.members[backend];
        let (faults, of) = member.window.rate();
        let over = of >= u64::from(rule.requests) && faults * 100 >= u64::from(rule.percent) * of;
        (member.works() && over).then_some((faults, of))
    }

    fn judge_rate(&mut self, now_ms: u64, backend: usize) -> Changed {
        let Some((faults, of)) = self.over_rate(backend) else { return Changed::No };
        let suspects: Vec<bool> = (0..self.members.len()).map(|other| self.over_rate(other).is_some()).collect();
        self.eject_or_spare(now_ms, backend, Why::Rate { faults, of }, &suspects)
    }

    fn judge_latency(&mut self, now_ms: u64, backend: usize) -> Changed {
        let Some(rule) = self.terms.latency else { return Changed::No };
        let typical = |member: &Member| member.window.typical_us(rule.requests);
        let member = &self.members[backend];
        let Some(mean_us) = typical(member).filter(|_| member.works()) else { return Changed::No };
        let others = self.members.iter().enumerate().filter(|(other, member)| *other != backend && member.works());
        let mut others: Vec<u64> = others.filter_map(|(_, member)| typical(member)).collect();
        let Some(others_us) = window::median(&mut others) else { return Changed::No };
        if !self.is_slow(mean_us, others_us) {
            return Changed::No;
        }
        let nobody = vec![false; self.members.len()];
        self.eject_or_spare(now_ms, backend, Why::Slow { mean_us, others_us }, &nobody)
    }

    fn is_slow(&self, us: u64, others_us: u64) -> bool {
        let factor = self.terms.latency.map_or(u64::MAX, |rule| u64::from(rule.factor));
        us >= others_us.saturating_mul(factor) && us >= others_us.saturating_add(LEAST_EXCESS_US)
    }
}

fn lift(member: &mut Member, now_ms: u64) {
    member.state = State::In;
    member.ended_ms = now_ms;
    member.window.forget();
}

fn reason(ejection: &Ejection, next: &str) -> String {
    match ejection.failed_trials {
        0 => format!("{}; {next}", ejection.why),
        1 => format!("{}; 1 trial failed; {next}", ejection.why),
        n => format!("{}; {n} trials failed; {next}", ejection.why),
    }
}

/// How long an ejection lasts that is the `times`-th in a row.
fn wait_ms(terms: &Eject, times: u32) -> u64 {
    let doublings = times.saturating_sub(1).min(32);
    (millis(terms.time) << doublings).min(millis(terms.max_time)).max(1)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 30)
}

#[cfg(test)]
mod tests;
