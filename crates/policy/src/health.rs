//! Health: the state machine of one backend under active checks.
//!
//! Owns the verdict on a backend, its reason, since when it holds, and when to probe next. `control` drives it: it sends
//! the probes, tells how they ended, and carries a changed [`Standing`] to the workers. What a probe sends and expects is
//! not known here.

use std::time::Duration;

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
}

impl Share {
    /// In thousandths.
    #[must_use]
    pub fn permille(self) -> u16 {
        match self {
            Self::Full => 1000,
            Self::SlowStart(permille) => permille,
        }
    }
}

/// Where a slow start begins, in thousandths.
const SLOW_START_FROM: u16 = 50;

/// The time of a slow start.
#[derive(Clone, Debug, Default)]
struct Ramp {
    /// Zero: there is none.
    over_ms: u64,
    since_ms: Option<u64>,
}

impl Ramp {
    /// Thousandths at a time, in a line from [`SLOW_START_FROM`] to the whole; `None` once there.
    fn permille(&self, now_ms: u64) -> Option<u16> {
        let passed = now_ms.saturating_sub(self.since_ms?);
        let grown = (passed < self.over_ms)
            .then(|| u128::from(passed) * u128::from(1000 - SLOW_START_FROM) / u128::from(self.over_ms))?;
        Some(SLOW_START_FROM + u16::try_from(grown).unwrap_or(0))
    }
}

/// One backend: what its probes say, and what the operator wants of it.
#[derive(Clone, Debug)]
pub struct Health {
    evidence: Evidence,
    wanted: Wanted,
    /// Unix milliseconds of the last change of standing.
    since_ms: Option<u64>,
    ramp: Ramp,
    terms: Terms,
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
///  `start_up`     rise passes in a row
/// ```
///
/// The first verdict needs one result: a backend that starts with the process should not wait for `rise` probes, and one
/// that is dead should not get work for `fall` of them. `start_up` is for backends that take their time to start: they
/// are not yet dead.
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
        Self { evidence, wanted, since_ms: None, ramp: Ramp::default(), terms: Terms::new(check, now_ms) }
    }

    /// With a ramp after each return; see [`Share::SlowStart`].
    #[must_use]
    pub fn with_slow_start(self, over: Option<Duration>) -> Self {
        Self { ramp: Ramp { over_ms: over.map_or(0, millis), since_ms: None }, ..self }
    }

    /// A probe passed. Returns whether the standing changed.
    pub fn probe_passed(&mut self, now_ms: u64) -> bool {
        let rise = self.terms.rise;
        self.change(now_ms, |evidence| match evidence {
            Evidence::Unchecked => Evidence::Unchecked,
            Evidence::Unknown { .. } => Evidence::Ready { passes: 1, doubt: None },
            Evidence::Ready { passes, .. } => Evidence::Ready { passes, doubt: None },
            Evidence::Down { passes, .. } if passes + 1 >= rise => Evidence::Ready { passes: passes + 1, doubt: None },
            Evidence::Down { failures, cause, passes } => Evidence::Down { failures, cause, passes: passes + 1 },
        })
    }

    /// A probe failed. Returns whether the standing changed.
    pub fn probe_failed(&mut self, now_ms: u64, cause: ProbeFailure) -> bool {
        let (fall, starts) = (self.terms.fall, now_ms < self.terms.started_up_ms);
        self.change(now_ms, |evidence| match evidence {
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
        })
    }

    /// The operator wants another state. Returns whether the standing changed.
    pub fn wanted_changed(&mut self, now_ms: u64, wanted: Wanted) -> bool {
        let old = self.standing();
        self.wanted = wanted;
        self.note(now_ms, old)
    }

    /// What workers must know. What the operator wants goes before what probes say; probes go on all the same, so that a
    /// backend comes back with a verdict.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match (self.wanted, &self.evidence) {
            (Wanted::Drained | Wanted::Down, _) => Standing::Excluded,
            (Wanted::Ready, Evidence::Unchecked | Evidence::Ready { .. }) => Standing::Ready,
            (Wanted::Ready, Evidence::Unknown { .. }) => Standing::Unknown,
            (Wanted::Ready, Evidence::Down { .. }) => Standing::Out,
        }
    }

    /// How much of its weight it gets.
    #[must_use]
    pub fn share(&self, now_ms: u64) -> Share {
        self.ramp.permille(now_ms).map_or(Share::Full, Share::SlowStart)
    }

    /// Why it stands as it does, for people.
    #[must_use]
    pub fn reason(&self) -> String {
        match self.wanted {
            Wanted::Ready => self.evidence.reason(&self.terms),
            Wanted::Drained => "drained by the operator".to_owned(),
            Wanted::Down => "taken down by the operator".to_owned(),
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

    fn change(&mut self, now_ms: u64, next: impl FnOnce(Evidence) -> Evidence) -> bool {
        let old = self.standing();
        self.evidence = next(std::mem::replace(&mut self.evidence, Evidence::Unchecked));
        self.note(now_ms, old)
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
            },
            None => Self {
                interval: Duration::MAX,
                interval_in_doubt: Duration::MAX,
                fall: 1,
                rise: 1,
                started_up_ms: now_ms,
            },
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Failures in a row after one more.
fn after(doubt: Option<&Doubt>) -> u32 {
    doubt.map_or(0, |doubt| doubt.failures).saturating_add(1)
}

impl Evidence {
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
                format!("{} failed: {cause}; since then {passes} of {} passed", probes(*failures), terms.rise)
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
        assert_eq!(good.reason(), "no probe has ended yet");
        assert_eq!(dialogue(&mut good, "+"), [(Ready, true)]);
        assert_eq!((good.reason().as_str(), good.share(1000)), ("1 probe passed", Share::Full));
        let mut bad = health(3, 2);
        assert_eq!(dialogue(&mut bad, "-"), [(Out, true)]);
        assert_eq!(bad.reason(), "1 probe failed: cannot connect: connection refused");
        assert_eq!(bad.since(), Some(1000));
    }

    #[test]
    fn only_failures_in_a_row_take_a_backend_out() {
        let mut health = health(3, 2);
        let seen = dialogue(&mut health, "+--+--+-");
        assert!(seen.iter().all(|(standing, _)| *standing == Ready), "{seen:?}");
        assert_eq!(health.since(), Some(1000));
        assert_eq!(health.reason(), "1 of 3 probes failed: cannot connect: connection refused");
        assert_eq!(dialogue(&mut health, "--"), [(Ready, false), (Out, true)]);
        assert_eq!(health.reason(), "3 probes failed: cannot connect: connection refused");
    }

    #[test]
    fn only_passes_in_a_row_bring_it_back() {
        let mut health = health(3, 3);
        let seen = dialogue(&mut health, "-++-++");
        assert!(seen.iter().all(|(standing, _)| *standing == Out), "{seen:?}");
        let reason = "2 probes failed: cannot connect: connection refused; since then 2 of 3 passed";
        assert_eq!(health.reason(), reason);
        assert_eq!(dialogue(&mut health, "+-"), [(Ready, true), (Ready, false)]);
        health.probe_passed(9000);
        assert_eq!(health.reason(), "3 probes passed");
    }

    #[test]
    fn the_reason_follows_the_latest_cause_and_since_does_not() {
        let mut health = health(1, 1);
        assert!(health.probe_failed(500, ProbeFailure::Timeout));
        assert!(!health.probe_failed(900, ProbeFailure::Status(503)));
        assert_eq!((health.reason().as_str(), health.since()), ("2 probes failed: status 503", Some(500)));
    }

    #[test]
    fn the_operators_word_goes_first_and_probes_go_on_beneath() {
        let mut health = health(3, 2);
        dialogue(&mut health, "+");
        assert!(health.wanted_changed(2000, Wanted::Drained));
        assert_eq!(health.standing(), Standing::Excluded);
        assert_eq!((health.reason().as_str(), health.since()), ("drained by the operator", Some(2000)));
        let seen = dialogue(&mut health, "---");
        assert!(seen.iter().all(|seen| *seen == (Standing::Excluded, false)), "{seen:?}");
        assert!(!health.wanted_changed(3000, Wanted::Down));
        assert_eq!(health.reason(), "taken down by the operator");
        assert_eq!(health.since(), Some(2000));
        assert!(health.wanted_changed(4000, Wanted::Ready));
        assert_eq!((health.standing(), health.since()), (Out, Some(4000)));
    }

    #[test]
    fn without_a_check_a_backend_is_ready_and_stays_so() {
        let mut health = Health::new(None, Wanted::Ready, 0);
        assert_eq!((health.standing(), health.reason().as_str()), (Ready, "no health check"));
        assert_eq!(dialogue(&mut health, "--+-"), [(Ready, false); 4]);
        assert_eq!(health.next_interval(&mut Rng::new(1)), Duration::MAX);
        assert_eq!(Health::new(None, Wanted::Drained, 0).standing(), Standing::Excluded);
    }

    #[test]
    fn failures_while_it_starts_leave_it_unknown() {
        let check = HealthCheck { start_up: Duration::from_millis(3500), ..check(3, 2) };
        let mut slow = Health::new(Some(&check), Wanted::Ready, 0);
        assert_eq!(dialogue(&mut slow, "---"), [(Standing::Unknown, false); 3]);
        assert_eq!(slow.reason(), "may still be starting: 3 probes failed: cannot connect: connection refused");
        let mut dead = slow.clone();
        assert!(slow.probe_passed(3400) && slow.standing() == Ready);
        // A verdict once made is not taken back: from now on the usual terms hold, even within the time.
        assert!(!slow.probe_failed(3450, refused()) && slow.standing() == Ready);
        assert!(dead.probe_failed(3500, refused()) && dead.standing() == Out);
        assert_eq!(dead.reason(), "4 probes failed: cannot connect: connection refused");
    }

    #[test]
    fn what_returns_starts_slowly_and_in_a_line() {
        let mut health = health(1, 1).with_slow_start(Some(Duration::from_secs(10)));
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
