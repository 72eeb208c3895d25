//! Health: the state machine of one backend under active checks.
//!
//! Owns the verdict on a backend, its reason, since when it holds, and when to probe next. `control` drives it: it sends
//! the probes, tells how they ended, and carries a changed [`Standing`] to the workers. What a probe sends and expects is
//! not known here.

use std::fmt::Write as _;
use std::time::Duration;

use crate::ask::{Ask, Wish};
use crate::balance::Standing;
use crate::plan::{HealthCheck, Wanted};
use crate::rng::Rng;

/// Why a probe failed; shown to people as the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeFailure {
    /// The name does not resolve.
    Resolve(String),
    /// The connection was refused or failed.
    Connect(String),
    /// No answer in time.
    Timeout,
    /// A bad status.
    Status(u16),
    /// Bytes that are not HTTP, or an early end.
    Malformed(String),
    /// A reply without what must be in it.
    Unexpected(String),
}

impl std::fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resolve(why) => write!(f, "name does not resolve: {why}"),
            Self::Connect(why) => write!(f, "cannot connect: {why}"),
            Self::Timeout => write!(f, "no answer in time"),
            Self::Status(code) => write!(f, "status {code}"),
            Self::Malformed(why) => write!(f, "bad answer: {why}"),
            Self::Unexpected(what) => write!(f, "{what}"),
        }
    }
}

/// How much of its weight a backend gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Share {
    /// All of it.
    #[default]
    Full,
    /// So many thousandths, as it returned a short while ago.
    SlowStart(u16),
    /// So many thousandths, as it asks for no more.
    Asked(u16),
    /// It asks for no new work.
    Drained,
}

impl Share {
    /// In thousandths.
    #[must_use]
    pub fn permille(self) -> u16 {
        match self {
            Self::Full => 1000,
            Self::SlowStart(permille) | Self::Asked(permille) => permille,
            // Its standing keeps work away.
            Self::Drained => 1000,
        }
    }
}

/// Where a slow start begins, in thousandths.
const SLOW_START_FROM: u16 = 50;

/// The time of a slow start.
#[derive(Clone, Debug, Default)]
pub struct Ramp {
    /// Zero: there is none.
    over_ms: u64,
    since_ms: Option<u64>,
}

impl Ramp {
    /// One that takes so long once it begins; `None`: there is none.
    #[must_use]
    pub fn over(time: Option<Duration>) -> Self {
        Self { over_ms: time.map_or(0, millis), since_ms: None }
    }

    /// It begins.
    pub fn begin(&mut self, now_ms: u64) {
        self.since_ms = Some(now_ms);
    }

    /// It is over, wherever it was.
    pub fn end(&mut self) {
        self.since_ms = None;
    }

    /// Thousandths at a time, in a line from 50 to the whole; `None` once there.
    #[must_use]
    pub fn permille(&self, now_ms: u64) -> Option<u16> {
        let passed = now_ms.saturating_sub(self.since_ms?);
        let grown = (passed < self.over_ms)
            .then(|| u128::from(passed) * u128::from(1000 - SLOW_START_FROM) / u128::from(self.over_ms))?;
        Some(SLOW_START_FROM + u16::try_from(grown).unwrap_or(0))
    }
}

/// How often a backend went down of late, and until when that holds it down.
///
/// The first fall holds nobody. The second holds for twice the interval from when it went down, and each further one for
/// twice as long, up to `hold_down_max`. One fall is forgotten for each `hold_down_max` of being ready.
#[derive(Clone, Debug, Default)]
struct Falls {
    count: u32,
    ready_since_ms: u64,
    held_until_ms: u64,
}

impl Falls {
    fn rose(&mut self, now_ms: u64) {
        self.ready_since_ms = now_ms;
    }

    fn fell(&mut self, now_ms: u64, terms: &Terms) {
        if terms.hold_down_max_ms == 0 {
            return;
        }
        let forgotten = now_ms.saturating_sub(self.ready_since_ms) / terms.hold_down_max_ms;
        self.count = self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX)).saturating_add(1);
        let doublings = (self.count - 1).min(20);
        let hold = millis(terms.interval).saturating_mul(1 << doublings).min(terms.hold_down_max_ms);
        self.held_until_ms = if doublings == 0 { 0 } else { now_ms.saturating_add(hold) };
    }

    fn hold(&self, now_ms: u64) -> bool {
        now_ms < self.held_until_ms
    }
}

/// One backend: what its probes say, and what the operator wants of it.
#[derive(Clone, Debug)]
pub struct Health {
    evidence: Evidence,
    wanted: Wanted,
    /// Unix milliseconds of the last change of standing.
    since_ms: Option<u64>,
    falls: Falls,
    ramp: Ramp,
    asks: Asks,
    terms: Terms,
}

/// What the backend asks for itself. Each wish stands until the one who uttered it says something else: an agent's `down`
/// is lifted by the agent alone, not by a passing probe.
#[derive(Clone, Debug, Default)]
struct Asks {
    /// With the last passing probe.
    probe: Option<Ask>,
    agent: Option<Ask>,
    /// Why the agent's last word may be old.
    silence: Option<String>,
}

impl Asks {
    fn all(&self) -> impl Iterator<Item = &Ask> {
        self.agent.iter().chain(&self.probe)
    }

    fn of(&self, wish: Wish) -> Option<&Ask> {
        self.all().find(|ask| ask.wish == wish)
    }

    /// The wish for the least.
    fn part(&self) -> Option<(u16, &Ask)> {
        let parts = self.all().filter_map(|ask| match ask.wish {
            Wish::Part(permille) => Some((permille, ask)),
            Wish::All | Wish::Drain | Wish::Down => None,
        });
        parts.min_by_key(|(permille, _)| *permille)
    }
}

/// When a verdict changes and how often to ask.
#[derive(Clone, Debug)]
struct Terms {
    interval: Duration,
    interval_in_doubt: Duration,
    fall: u32,
    rise: u32,
    /// Failures up to here say nothing, Unix milliseconds.
    started_up_ms: u64,
    /// Zero: nobody is held down.
    hold_down_max_ms: u64,
}

/// What the probes say.
///
/// ```text
///             first pass ┌───────┐ fall failures in a row
///           ┌───────────►│ Ready ├─────────┐
///      ┌────┴────┐       └───▲───┘         │
///  ┌───┤ Unknown │           │             │      Unchecked: without a check, for ever
///  │   └─▲──┬────┘           │         ┌───▼──┐
///  └─────┘  └────────────────┼────────►│ Down │
///  failure    first failure  └─────────┤      │
///  within     after `start_up`         └──────┘
///  `start_up`     rise passes in a row,
///                 once it is not held down
/// ```
///
/// The first verdict needs one result: a backend that starts with the process should not wait for `rise` probes, and one
/// that is dead should not get work for `fall` of them. `start_up` is for backends that take their time to start: they
/// are not yet dead. What goes down again and again is held down ([`Falls`]), so that a backend that cannot make up its
/// mind does not take the work of every other minute down with it.
#[derive(Clone, Debug)]
enum Evidence {
    Unchecked,
    /// With what failed while it starts.
    Unknown {
        failed: Option<Doubt>,
    },
    Ready {
        passes: u32,
        doubt: Option<Doubt>,
    },
    Down {
        failures: u32,
        cause: ProbeFailure,
        passes: u32,
    },
}

/// Failures in a row of a backend that is not down; at least one.
#[derive(Clone, Debug)]
struct Doubt {
    failures: u32,
    cause: ProbeFailure,
}

impl Health {
    /// A backend without a verdict yet, from `now_ms` on; without a check it is ready.
    #[must_use]
    pub fn new(check: Option<&HealthCheck>, wanted: Wanted, now_ms: u64) -> Self {
        let evidence = if check.is_some() { Evidence::Unknown { failed: None } } else { Evidence::Unchecked };
        Self {
            evidence,
            wanted,
            since_ms: None,
            falls: Falls::default(),
            ramp: Ramp::default(),
            asks: Asks::default(),
            terms: Terms::new(check, now_ms),
        }
    }

    /// With a ramp after each return; see [`Share::SlowStart`].
    #[must_use]
    pub fn with_slow_start(self, over: Option<Duration>) -> Self {
        Self { ramp: Ramp::over(over), ..self }
    }

    /// A probe passed and asked for nothing. Returns whether the standing changed.
    pub fn probe_passed(&mut self, now_ms: u64) -> bool {
        self.probe_asked(now_ms, None)
    }

    /// The agent said a line. Returns whether the standing changed.
    pub fn agent_asked(&mut self, now_ms: u64, ask: Ask) -> bool {
        let old = self.standing();
        self.asks.agent = Some(ask);
        self.asks.silence = None;
        self.note(now_ms, old)
    }

    /// The agent said nothing that can be understood: its last word stands.
    pub fn agent_silent(&mut self, why: String) {
        self.asks.silence = Some(why);
    }

    /// A probe passed, and its answer asks for something. Returns whether the standing changed.
    pub fn probe_asked(&mut self, now_ms: u64, ask: Option<Ask>) -> bool {
        let old = self.standing();
        self.asks.probe = ask;
        self.passed(now_ms);
        self.note(now_ms, old)
    }

    fn passed(&mut self, now_ms: u64) {
        let (rise, held) = (self.terms.rise, self.falls.hold(now_ms));
        self.learn(now_ms, |evidence| match evidence {
            Evidence::Unchecked => Evidence::Unchecked,
            Evidence::Unknown { .. } => Evidence::Ready { passes: 1, doubt: None },
            Evidence::Ready { passes, .. } => Evidence::Ready { passes, doubt: None },
            Evidence::Down { failures, cause, passes } => match passes.saturating_add(1) {
                passes if passes >= rise && !held => Evidence::Ready { passes, doubt: None },
                passes => Evidence::Down { failures, cause, passes },
            },
        });
    }

    /// A probe failed. Returns whether the standing changed.
    pub fn probe_failed(&mut self, now_ms: u64, cause: ProbeFailure) -> bool {
        let (fall, starts) = (self.terms.fall, now_ms < self.terms.started_up_ms);
        let old = self.standing();
        self.learn(now_ms, |evidence| match evidence {
            Evidence::Unchecked => Evidence::Unchecked,
            Evidence::Unknown { failed } => {
                let failures = after(failed.as_ref());
                match starts {
                    true => Evidence::Unknown { failed: Some(Doubt { failures, cause }) },
                    false => Evidence::Down { failures, cause, passes: 0 },
                }
            }
            Evidence::Ready { passes, doubt } => {
                let failures = after(doubt.as_ref());
                if failures >= fall {
                    Evidence::Down { failures, cause, passes: 0 }
                } else {
                    Evidence::Ready { passes, doubt: Some(Doubt { failures, cause }) }
                }
            }
            Evidence::Down { failures, .. } => {
                Evidence::Down { failures: failures.saturating_add(1), cause, passes: 0 }
            }
        });
        self.note(now_ms, old)
    }

    /// The operator wants another state. Returns whether the standing changed.
    pub fn wanted_changed(&mut self, now_ms: u64, wanted: Wanted) -> bool {
        let old = self.standing();
        self.wanted = wanted;
        self.note(now_ms, old)
    }

    /// What workers must know. What the operator wants goes before what probes say, and they before what the backend asks;
    /// probes go on all the same, so that a backend comes back with a verdict.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match (self.wanted, &self.evidence) {
            (Wanted::Drained | Wanted::Down, _) => Standing::Excluded,
            (Wanted::Ready, Evidence::Down { .. }) => Standing::Out,
            (Wanted::Ready, _) if self.asks.of(Wish::Down).is_some() => Standing::Out,
            (Wanted::Ready, _) if self.asks.of(Wish::Drain).is_some() => Standing::Excluded,
            (Wanted::Ready, Evidence::Unchecked | Evidence::Ready { .. }) => Standing::Ready,
            (Wanted::Ready, Evidence::Unknown { .. }) => Standing::Unknown,
        }
    }

    /// How much of its weight it gets.
    #[must_use]
    pub fn share(&self, now_ms: u64) -> Share {
        if self.wanted == Wanted::Ready && self.standing() == Standing::Excluded {
            return Share::Drained;
        }
        let asked = self.asks.part().map(|(permille, _)| permille);
        match (self.ramp.permille(now_ms), asked) {
            (None, None) => Share::Full,
            (None, Some(asked)) => Share::Asked(asked),
            (Some(ramp), None) => Share::SlowStart(ramp),
            (Some(ramp), Some(asked)) => Share::SlowStart(scaled(ramp, asked)),
        }
    }

    /// Why it stands as it does, for people.
    #[must_use]
    pub fn reason(&self, now_ms: u64) -> String {
        match self.wanted {
            Wanted::Ready => {
                let mut reason = self.evidence.reason(&self.terms);
                if matches!(self.evidence, Evidence::Down { .. }) && self.falls.hold(now_ms) {
                    let (left, times) = ((self.falls.held_until_ms - now_ms).div_ceil(1000), self.falls.count);
                    // Writing to a string cannot fail.
                    let _ = write!(reason, "; held down for {left} s more, as it went down {times} times of late");
                }
                self.add_asks(&mut reason, now_ms);
                reason
            }
            Wanted::Drained => "drained by the operator".to_owned(),
            Wanted::Down => "taken down by the operator".to_owned(),
        }
    }

    /// Adds what the backend asks for, and how its weight stands.
    fn add_asks(&self, reason: &mut String, now_ms: u64) {
        let asks = &self.asks;
        // Writing to a string cannot fail.
        let _ = match (asks.of(Wish::Down), asks.of(Wish::Drain), asks.part()) {
            (Some(ask), ..) => write!(reason, "; its agent says `{}`", ask.words),
            (_, Some(ask), _) => write!(reason, "; it asks for no new work: `{}`", ask.words),
            (_, _, Some((part, ask))) => write!(reason, "; it asks for {} % of its weight: `{}`", part / 10, ask.words),
            (None, None, None) => Ok(()),
        };
        if let Share::SlowStart(permille) = self.share(now_ms) {
            let _ = write!(reason, "; slow start with {} % of its weight", permille / 10);
        }
        if let Some(why) = &asks.silence {
            let _ = write!(reason, "; its agent: {why}");
        }
    }

    /// Since when the standing holds, in Unix milliseconds; `None` while it never changed.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        self.since_ms
    }

    /// How long to wait for the next probe: the interval, or the shorter one while a verdict is in doubt, give or take a
    /// tenth, so that probes do not come in step. [`Duration::MAX`] without a check: never.
    #[must_use]
    pub fn next_interval(&self, rng: &mut Rng) -> Duration {
        if matches!(self.evidence, Evidence::Unchecked) {
            return Duration::MAX;
        }
        let terms = &self.terms;
        let base = if self.evidence.is_in_doubt() { terms.interval_in_doubt } else { terms.interval };
        let micros = u64::try_from(base.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros - micros / 10 + rng.below(micros / 5 + 1))
    }

    fn learn(&mut self, now_ms: u64, next: impl FnOnce(Evidence) -> Evidence) {
        let was_ready = self.evidence.is_ready();
        self.evidence = next(std::mem::replace(&mut self.evidence, Evidence::Unchecked));
        match (was_ready, self.evidence.is_ready()) {
            (true, false) => self.falls.fell(now_ms, &self.terms),
            (false, true) => self.falls.rose(now_ms),
            _ => {}
        }
    }

    fn note(&mut self, now_ms: u64, old: Standing) -> bool {
        let new = self.standing();
        if new == old {
            return false;
        }
        self.since_ms = Some(now_ms);
        // Only what was out returns: what begins with the process begins with all others.
        let returns = new == Standing::Ready && matches!(old, Standing::Out | Standing::Excluded);
        self.ramp.since_ms = returns.then_some(now_ms);
        true
    }
}

impl Terms {
    fn new(check: Option<&HealthCheck>, now_ms: u64) -> Self {
        match check {
            Some(check) => Self {
                interval: check.interval,
                interval_in_doubt: check.interval_in_doubt,
                fall: check.fall.max(1),
                rise: check.rise.max(1),
                started_up_ms: now_ms.saturating_add(millis(check.start_up)),
                hold_down_max_ms: millis(check.hold_down_max),
            },
            None => Self {
                interval: Duration::MAX,
                interval_in_doubt: Duration::MAX,
                fall: 1,
                rise: 1,
                started_up_ms: now_ms,
                hold_down_max_ms: 0,
            },
        }
    }
}

fn scaled(one: u16, other: u16) -> u16 {
    u16::try_from(u32::from(one) * u32::from(other) / 1000).unwrap_or(1).max(1)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Failures in a row after one more.
fn after(doubt: Option<&Doubt>) -> u32 {
    doubt.map_or(0, |doubt| doubt.failures).saturating_add(1)
}

impl Evidence {
    fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }

    /// Whether the next result may well bring another verdict.
    fn is_in_doubt(&self) -> bool {
        match self {
            Self::Unchecked => false,
            Self::Unknown { .. } => true,
            Self::Ready { doubt, .. } => doubt.is_some(),
            Self::Down { passes, .. } => *passes > 0,
        }
    }

    fn reason(&self, terms: &Terms) -> String {
        match self {
            Self::Unchecked => "no health check".to_owned(),
            Self::Unknown { failed: None } => "no probe has ended yet".to_owned(),
            Self::Unknown { failed: Some(Doubt { failures, cause }) } => {
                format!("may still be starting: {} failed: {cause}", probes(*failures))
            }
            Self::Ready { passes, doubt: None } => format!("{} passed", probes(*passes)),
            Self::Ready { doubt: Some(Doubt { failures, cause }), .. } => {
                format!("{failures} of {} failed: {cause}", probes(terms.fall))
            }
            Self::Down { failures, cause, passes: 0 } => format!("{} failed: {cause}", probes(*failures)),
            Self::Down { failures, cause, passes } => {
                let (failures, rise) = (probes(*failures), terms.rise.max(*passes));
                format!("{failures} failed: {cause}; since then {passes} of {rise} passed")
            }
        }
    }
}

fn probes(count: u32) -> String {
    if count == 1 { "1 probe".to_owned() } else { format!("{count} probes") }
}

#[cfg(test)]
mod tests {
    use Standing::{Out, Ready};

    use super::*;
    use crate::plan::ProbeKind;

    const INTERVAL: Duration = Duration::from_secs(2);

    fn check(fall: u32, rise: u32) -> HealthCheck {
        HealthCheck {
            interval: INTERVAL,
            interval_in_doubt: INTERVAL / 3,
            fall,
            rise,
            ..HealthCheck::new(ProbeKind::Alive)
        }
    }

    fn health(fall: u32, rise: u32) -> Health {
        Health::new(Some(&check(fall, rise)), Wanted::Ready, 0)
    }

    fn refused() -> ProbeFailure {
        ProbeFailure::Connect("connection refused".to_owned())
    }

    /// A dialogue: one letter for each probe, `+` passed and `-` failed; what is seen after each.
    fn dialogue(health: &mut Health, probes: &str) -> Vec<(Standing, bool)> {
        let mut now_ms = 0;
        let mut probe = |letter| {
            now_ms += 1000;
            let changed =
                if letter == '+' { health.probe_passed(now_ms) } else { health.probe_failed(now_ms, refused()) };
            (health.standing(), changed)
        };
        probes.chars().map(&mut probe).collect()
    }

    #[test]
    fn the_first_result_is_a_verdict() {
        let mut good = health(3, 2);
        assert_eq!((good.standing(), good.since()), (Standing::Unknown, None));
        assert_eq!(good.reason(99_000_000), "no probe has ended yet");
        assert_eq!(dialogue(&mut good, "+"), [(Ready, true)]);
        assert_eq!((good.reason(99_000_000).as_str(), good.share(1000)), ("1 probe passed", Share::Full));
        let mut bad = health(3, 2);
        assert_eq!(dialogue(&mut bad, "-"), [(Out, true)]);
        assert_eq!(bad.reason(99_000_000), "1 probe failed: cannot connect: connection refused");
        assert_eq!(bad.since(), Some(1000));
    }

    #[test]
    fn only_failures_in_a_row_take_a_backend_out() {
        let mut health = health(3, 2);
        let seen = dialogue(&mut health, "+--+--+-");
        assert!(seen.iter().all(|(standing, _)| *standing == Ready), "{seen:?}");
        assert_eq!(health.since(), Some(1000));
        assert_eq!(health.reason(99_000_000), "1 of 3 probes failed: cannot connect: connection refused");
        assert_eq!(dialogue(&mut health, "--"), [(Ready, false), (Out, true)]);
        assert_eq!(health.reason(99_000_000), "3 probes failed: cannot connect: connection refused");
    }

    #[test]
    fn only_passes_in_a_row_bring_it_back() {
        let mut health = health(3, 3);
        let seen = dialogue(&mut health, "-++-++");
        assert!(seen.iter().all(|(standing, _)| *standing == Out), "{seen:?}");
        let reason = "2 probes failed: cannot connect: connection refused; since then 2 of 3 passed";
        assert_eq!(health.reason(99_000_000), reason);
        assert_eq!(dialogue(&mut health, "+-"), [(Ready, true), (Ready, false)]);
        health.probe_passed(9000);
        assert_eq!(health.reason(99_000_000), "3 probes passed");
    }

    #[test]
    fn the_reason_follows_the_latest_cause_and_since_does_not() {
        let mut health = health(1, 1);
        assert!(health.probe_failed(500, ProbeFailure::Timeout));
        assert!(!health.probe_failed(900, ProbeFailure::Status(503)));
        assert_eq!((health.reason(99_000_000).as_str(), health.since()), ("2 probes failed: status 503", Some(500)));
    }

    #[test]
    fn the_operators_word_goes_first_and_probes_go_on_beneath() {
        let mut health = health(3, 2);
        dialogue(&mut health, "+");
        assert!(health.wanted_changed(2000, Wanted::Drained));
        assert_eq!(health.standing(), Standing::Excluded);
        assert_eq!((health.reason(99_000_000).as_str(), health.since()), ("drained by the operator", Some(2000)));
        let seen = dialogue(&mut health, "---");
        assert!(seen.iter().all(|seen| *seen == (Standing::Excluded, false)), "{seen:?}");
        assert!(!health.wanted_changed(3000, Wanted::Down));
        assert_eq!(health.reason(99_000_000), "taken down by the operator");
        assert_eq!(health.since(), Some(2000));
        assert!(health.wanted_changed(4000, Wanted::Ready));
        assert_eq!((health.standing(), health.since()), (Out, Some(4000)));
    }

    #[test]
    fn without_a_check_a_backend_is_ready_and_stays_so() {
        let mut health = Health::new(None, Wanted::Ready, 0);
        assert_eq!((health.standing(), health.reason(99_000_000).as_str()), (Ready, "no health check"));
        assert_eq!(dialogue(&mut health, "--+-"), [(Ready, false); 4]);
        assert_eq!(health.next_interval(&mut Rng::new(1)), Duration::MAX);
        assert_eq!(Health::new(None, Wanted::Drained, 0).standing(), Standing::Excluded);
    }

    #[test]
    fn failures_while_it_starts_leave_it_unknown() {
        let check = HealthCheck { start_up: Duration::from_millis(3500), ..check(3, 2) };
        let mut slow = Health::new(Some(&check), Wanted::Ready, 0);
        assert_eq!(dialogue(&mut slow, "---"), [(Standing::Unknown, false); 3]);
        assert_eq!(
            slow.reason(99_000_000),
            "may still be starting: 3 probes failed: cannot connect: connection refused"
        );
        let mut dead = slow.clone();
        assert!(slow.probe_passed(3400) && slow.standing() == Ready);
        // A verdict once made is not taken back: from now on the usual terms hold, even within the time.
        assert!(!slow.probe_failed(3450, refused()) && slow.standing() == Ready);
        assert!(dead.probe_failed(3500, refused()) && dead.standing() == Out);
        assert_eq!(dead.reason(99_000_000), "4 probes failed: cannot connect: connection refused");
    }

    #[test]
    fn what_returns_starts_slowly_and_in_a_line() {
        let check = HealthCheck { hold_down_max: Duration::ZERO, ..check(1, 1) };
        let mut health = Health::new(Some(&check), Wanted::Ready, 0).with_slow_start(Some(Duration::from_secs(10)));
        health.probe_passed(0);
        assert_eq!(health.share(0), Share::Full, "all begin together");
        health.probe_failed(1000, refused());
        health.probe_passed(2000);
        let shares: Vec<u16> = (0..=10).map(|second| health.share(2000 + second * 1000).permille()).collect();
        assert_eq!(shares, [50, 145, 240, 335, 430, 525, 620, 715, 810, 905, 1000]);
        assert_eq!(health.share(11_999), Share::SlowStart(999));
        assert_eq!(health.share(12_000), Share::Full);
        // Going down in the middle begins anew; further passes do not.
        health.probe_failed(5000, refused());
        health.probe_passed(6000);
        health.probe_passed(7000);
        assert_eq!(health.share(7000).permille(), 145);
        // The operator's return counts as one, too.
        health.wanted_changed(20_000, Wanted::Drained);
        health.wanted_changed(30_000, Wanted::Ready);
        assert_eq!(health.share(30_000).permille(), 50);
    }

    /// Down at `at_ms` by one failure, then passing probes every second until it is ready: how many.
    fn falls_and_rises(health: &mut Health, at_ms: &mut u64) -> u64 {
        assert!(health.probe_failed(*at_ms, refused()));
        let down_ms = *at_ms;
        loop {
            *at_ms += 1000;
            if health.probe_passed(*at_ms) {
                return (*at_ms - down_ms) / 1000;
            }
            assert!(*at_ms - down_ms < 100_000, "never ready again");
        }
    }

    #[test]
    fn what_goes_down_again_and_again_is_held_down_for_longer() {
        let mut health = health(1, 2);
        health.probe_passed(0);
        let mut now_ms = 1000;
        let held: Vec<u64> = (0..8).map(|_| falls_and_rises(&mut health, &mut now_ms)).collect();
        // Two passes; then from twice the interval of two seconds, doubling up to a minute.
        assert_eq!(held, [2, 4, 8, 16, 32, 60, 60, 60]);
        // Each minute of being ready takes one fall back; what is calm for long begins anew.
        now_ms += 6 * 60_000;
        assert_eq!(falls_and_rises(&mut health, &mut now_ms), 8);
        now_ms += 600_000;
        assert_eq!(falls_and_rises(&mut health, &mut now_ms), 2);
    }

    #[test]
    fn the_reason_says_that_it_is_held_down() {
        let mut health = health(1, 1);
        for now_ms in [0, 2000] {
            health.probe_passed(now_ms);
            health.probe_failed(now_ms + 1000, refused());
        }
        let since = "1 probe failed: cannot connect: connection refused";
        let held = "held down for 4 s more, as it went down 2 times of late";
        assert_eq!(health.reason(3000), format!("{since}; {held}"));
        health.probe_passed(4000);
        assert_eq!(health.standing(), Out);
        health.probe_passed(5000);
        let held = "held down for 1 s more, as it went down 2 times of late";
        assert_eq!(health.reason(6500), format!("{since}; since then 2 of 2 passed; {held}"));
        // The first probe after that lets it in.
        assert!(health.probe_passed(7000));
        assert_eq!(health.reason(7000), "3 probes passed");
    }

    #[test]
    fn nobody_is_held_down_where_that_is_off_or_for_the_start() {
        let off = HealthCheck { hold_down_max: Duration::ZERO, ..check(1, 1) };
        let mut health = Health::new(Some(&off), Wanted::Ready, 0);
        assert!(dialogue(&mut health, "+-+-+-+-+").iter().all(|(_, changed)| *changed));
        // A verdict at the start is no fall.
        let mut late = Health::new(Some(&check(1, 1)), Wanted::Ready, 0);
        assert_eq!(dialogue(&mut late, "-+-+"), [(Out, true), (Ready, true), (Out, true), (Ready, true)]);
    }

    /// The drill: a backend that is well for three probes and ill for three, for half an hour, then well.
    #[test]
    fn a_flapping_backend_takes_ever_less_work_and_returns_by_itself() {
        let mut health = health(3, 2);
        let (mut ready, mut changes) = ([0u32; 2], 0);
        for probe in 0..900u64 {
            let now_ms = probe * 2000;
            let changed = match probe % 6 {
                0..3 => health.probe_passed(now_ms),
                _ => health.probe_failed(now_ms, ProbeFailure::Timeout),
            };
            changes += u32::from(changed);
            let half = usize::from(probe >= 450);
            ready[half] += u32::from(health.standing() == Ready);
        }
        // Unheld it were ready for four of six probes, and change its standing 300 times.
        assert!(ready[1] < 450 / 5 && changes < 80, "{ready:?} of 450 probes each, {changes} changes");
        let back = (900..).find(|probe| health.probe_passed(probe * 2000)).unwrap();
        assert!(back - 900 <= 30, "a minute at most");
        assert_eq!(health.standing(), Ready);
        println!("flapping: ready at {} and {} of 450 probes, {changes} changes", ready[0], ready[1]);
    }

    fn says(line: &str) -> Ask {
        Ask::from_line(line).unwrap()
    }

    #[test]
    fn a_probe_that_asks_for_less_gets_less_until_it_asks_no_more() {
        let mut health = health(3, 2);
        let ask = Ask::from_fields(None, Some("50"));
        assert!(health.probe_asked(0, ask));
        assert_eq!((health.standing(), health.share(0)), (Ready, Share::Asked(500)));
        assert_eq!(health.reason(0), "1 probe passed; it asks for 50 % of its weight: `x-evenkeel-weight: 50`");
        // A failed probe says nothing about weights.
        health.probe_failed(1000, refused());
        assert_eq!(health.share(1000), Share::Asked(500));
        assert!(!health.probe_passed(2000));
        assert_eq!((health.share(2000), health.reason(2000).as_str()), (Share::Full, "1 probe passed"));
    }

    #[test]
    fn a_backend_drains_and_returns_as_it_asks() {
        let mut health = health(3, 2).with_slow_start(Some(Duration::from_secs(10)));
        health.probe_passed(0);
        assert!(health.probe_asked(1000, Ask::from_fields(Some("drain"), None)));
        assert_eq!((health.standing(), health.share(1000)), (Standing::Excluded, Share::Drained));
        assert_eq!(health.reason(1000), "1 probe passed; it asks for no new work: `x-evenkeel-state: drain`");
        assert!(health.probe_passed(2000));
        assert_eq!((health.standing(), health.share(2000)), (Ready, Share::SlowStart(50)));
        assert_eq!(health.reason(2000), "1 probe passed; slow start with 5 % of its weight");
        // Both at once: a tenth of the weight in the middle of the ramp.
        health.agent_asked(2000, says("weight=10%"));
        assert_eq!(health.share(7000), Share::SlowStart(52));
    }

    #[test]
    fn only_the_agent_lifts_what_the_agent_said() {
        let mut health = health(3, 2);
        health.probe_passed(0);
        assert!(health.agent_asked(1000, says("down disk full")));
        assert_eq!(health.standing(), Out);
        assert_eq!(health.reason(1000), "1 probe passed; its agent says `down disk full`");
        assert_eq!(dialogue(&mut health, "+++"), [(Out, false); 3]);
        health.agent_silent("no answer in time".to_owned());
        assert_eq!(health.standing(), Out);
        assert!(
            health.reason(2000).ends_with("`down disk full`; its agent: no answer in time"),
            "{}",
            health.reason(0)
        );
        assert!(health.agent_asked(9000, says("ready")));
        assert_eq!((health.standing(), health.reason(9000).as_str()), (Ready, "1 probe passed"));
    }

    #[test]
    fn probes_that_fail_are_stronger_than_what_is_asked() {
        let mut health = health(1, 1);
        health.probe_passed(0);
        health.agent_asked(1000, says("drain"));
        assert_eq!(health.standing(), Standing::Excluded);
        assert!(health.probe_failed(2000, refused()));
        assert_eq!(health.standing(), Out);
        health.agent_asked(3000, says("ready"));
        assert_eq!(health.standing(), Out, "an agent's word is no evidence against a probe");
        health.agent_asked(3000, says("weight=30%"));
        health.probe_asked(4000, Ask::from_fields(None, Some("60%")));
        assert_eq!((health.standing(), health.share(4000)), (Ready, Share::Asked(300)));
        health.wanted_changed(5000, Wanted::Drained);
        assert_eq!(health.reason(5000), "drained by the operator");
        assert_ne!(health.share(5000), Share::Drained);
    }

    /// Many intervals: all within a tenth of `base`, on both sides of it.
    fn assert_about(health: &Health, base: Duration) {
        let mut rng = Rng::new(7);
        let all: Vec<_> = (0..1000).map(|_| health.next_interval(&mut rng)).collect();
        let (least, most) = (all.iter().min().copied().unwrap(), all.iter().max().copied().unwrap());
        assert!(base.mul_f64(0.8999) <= least && least < base.mul_f64(0.91), "{least:?} for {base:?}");
        assert!(base.mul_f64(1.09) < most && most <= base.mul_f64(1.1001), "{most:?} for {base:?}");
    }

    #[test]
    fn in_doubt_probes_come_three_times_as_often() {
        let mut health = health(3, 2);
        assert_about(&health, INTERVAL / 3);
        for (probe, doubt) in [('+', false), ('-', true), ('+', false), ('-', true), ('-', true), ('-', false)] {
            dialogue(&mut health, &probe.to_string());
            assert_about(&health, if doubt { INTERVAL / 3 } else { INTERVAL });
        }
        for (probe, doubt) in [('-', false), ('+', true), ('-', false), ('+', true), ('+', false)] {
            dialogue(&mut health, &probe.to_string());
            assert_about(&health, if doubt { INTERVAL / 3 } else { INTERVAL });
        }
    }
}
