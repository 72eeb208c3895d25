//! What the two kinds of evidence say of a backend: probes, and real requests.
//!
//! Owns how they combine, and the slow start after an ejection; that after a return by probes is `policy::health`'s.

use std::time::{Duration, SystemTime};

use policy::balance::Standing;
use policy::health::{Ramp, Share};

use crate::backends::{Against, Verdict};

/// Who was ejected for less has lost nothing that it would have to warm up again.
const RAMPS_AFTER_MS: u64 = 5000;

/// What is known of one backend.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub(crate) probes: Verdict,
    against: Against,
    ejected_since_ms: u64,
    ramp: Ramp,
}

impl Evidence {
    /// With a slow start, if there is one, after each long ejection.
    pub(crate) fn new(probes: Verdict, slow_start: Option<Duration>) -> Self {
        Self { probes, against: Against::Nothing, ejected_since_ms: 0, ramp: Ramp::over(slow_start) }
    }

    /// Takes a ruling down. Returns whether the backend was ejected before.
    pub(crate) fn rule(&mut self, now_ms: u64, against: Against) -> bool {
        let is_ejected = |against: &Against| matches!(against, Against::Ejected { .. });
        let (was, is) = (is_ejected(&self.against), is_ejected(&against));
        self.against = against;
        match (was, is) {
            (false, true) => {
                self.ejected_since_ms = now_ms;
                self.ramp.end();
            }
            (true, false) if now_ms.saturating_sub(self.ejected_since_ms) >= RAMPS_AFTER_MS => self.ramp.begin(now_ms),
            _ => {}
        }
        was
    }

    /// Down goes before ejected: what probes say holds for every request.
    pub(crate) fn verdict(&self, now_ms: u64) -> Verdict {
        let works = matches!(self.probes.standing, Standing::Ready | Standing::Unknown);
        let share = self.probes.share;
        match &self.against {
            Against::Ejected { reason, .. } if works => {
                Verdict { standing: Standing::Ejected, share, reason: reason.clone() }
            }
            Against::Spared(note) if works => Verdict { standing: self.probes.standing, share, reason: note.clone() },
            _ => self.ramped(now_ms),
        }
    }

    /// What probes say, with the part of the weight that grows after an ejection. A slow start of theirs goes first.
    fn ramped(&self, now_ms: u64) -> Verdict {
        let mut verdict = self.probes.clone();
        let Some(permille) = self.ramp.permille(now_ms).filter(|_| self.ramps(now_ms)) else { return verdict };
        let part = u32::from(permille) * u32::from(verdict.share.permille()) / 1000;
        verdict.share = Share::SlowStart(u16::try_from(part).unwrap_or(1).max(1));
        verdict.reason += &format!("; slow start after an ejection with {} % of its weight", permille / 10);
        verdict
    }

    /// Whether its weight grows after an ejection.
    pub(crate) fn ramps(&self, now_ms: u64) -> bool {
        self.probes.standing == Standing::Ready
            && matches!(self.probes.share, Share::Full | Share::Asked(_))
            && self.ramp.permille(now_ms).is_some()
    }

    /// Until when at least an ejected one stays out.
    pub(crate) fn until(&self) -> Option<SystemTime> {
        match self.against {
            Against::Ejected { until, .. } if self.verdict(0).standing == Standing::Ejected => Some(until),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(share: Share) -> Evidence {
        let probes = Verdict { standing: Standing::Ready, share, reason: "2 probes passed".to_owned() };
        Evidence::new(probes, Some(Duration::from_secs(10)))
    }

    fn ejected() -> Against {
        Against::Ejected { reason: "3 failures in a row".to_owned(), until: SystemTime::UNIX_EPOCH }
    }

    #[test]
    fn who_was_ejected_for_long_ramps_up() {
        let mut evidence = evidence(Share::Full);
        assert!(!evidence.rule(0, ejected()));
        assert!(evidence.rule(3000, ejected()), "another trial has failed");
        assert!(evidence.rule(5000, Against::Nothing));
        let verdict = evidence.verdict(10_000);
        assert_eq!(verdict.share, Share::SlowStart(525));
        assert_eq!(verdict.reason, "2 probes passed; slow start after an ejection with 52 % of its weight");
        assert!(evidence.ramps(14_999) && !evidence.ramps(15_000));
        assert_eq!(evidence.verdict(15_000).share, Share::Full);
    }

    #[test]
    fn who_was_ejected_for_a_moment_does_not() {
        let mut evidence = evidence(Share::Full);
        evidence.rule(0, ejected());
        evidence.rule(4999, Against::Nothing);
        assert_eq!(evidence.verdict(5000).share, Share::Full);
    }

    #[test]
    fn another_ejection_ends_the_ramp_and_the_backends_wish_counts_beside_it() {
        let mut evidence = evidence(Share::Asked(500));
        evidence.rule(0, ejected());
        evidence.rule(6000, Against::Nothing);
        assert_eq!(evidence.verdict(11_000).share, Share::SlowStart(262));
        evidence.rule(11_000, ejected());
        evidence.rule(12_000, Against::Nothing);
        assert_eq!(evidence.verdict(12_000).share, Share::Asked(500));
    }
}
