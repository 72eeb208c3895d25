//! Work that a peer makes without need, and where it is cut off.
//!
//! Owns the budgets. Each kind of cheap frame that costs us more than it costs its sender has a bucket that leaks with
//! time; useful work gives some of it back, so that a busy connection may do more of everything than a lazy one. A bucket
//! that runs over ends the connection with ENHANCE_YOUR_CALM.

/// Kinds of abuse, each with a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Abuse {
    /// Requests that are reset as soon as they are made (CVE-2023-44487).
    RapidReset,
    /// Frames that make us reset streams (CVE-2025-8671), and streams beyond the limit.
    ProvokedReset,
    /// A header block in more frames than any needs (CVE-2024-27316), or without end.
    ContinuationFlood,
    /// Frames that carry nothing (CVE-2019-9518).
    EmptyFrames,
    /// SETTINGS (CVE-2019-9515).
    SettingsFlood,
    /// PING (CVE-2019-9512).
    PingFlood,
    /// WINDOW_UPDATE that hardly moves the window (CVE-2019-9511).
    WindowUpdateFlood,
    /// PRIORITY (CVE-2019-9513).
    PriorityFlood,
    /// A small header block that grows large (CVE-2016-1544), or large ones again and again.
    HeaderBomb,
}

impl Abuse {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::RapidReset,
        Self::ProvokedReset,
        Self::ContinuationFlood,
        Self::EmptyFrames,
        Self::SettingsFlood,
        Self::PingFlood,
        Self::WindowUpdateFlood,
        Self::PriorityFlood,
        Self::HeaderBomb,
    ];

    /// As it is named in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RapidReset => "rapid-reset",
            Self::ProvokedReset => "provoked-reset",
            Self::ContinuationFlood => "continuation-flood",
            Self::EmptyFrames => "empty-frames",
            Self::SettingsFlood => "settings-flood",
            Self::PingFlood => "ping-flood",
            Self::WindowUpdateFlood => "window-update-flood",
            Self::PriorityFlood => "priority-flood",
            Self::HeaderBomb => "header-bomb",
        }
    }

    const fn budget(self) -> Budget {
        match self {
            Self::RapidReset | Self::ProvokedReset => Budget { burst: 200, per_second: 50 },
            Self::ContinuationFlood => Budget { burst: 200, per_second: 20 },
            Self::EmptyFrames => Budget { burst: 100, per_second: 10 },
            Self::SettingsFlood => Budget { burst: 30, per_second: 2 },
            Self::PingFlood => Budget { burst: 100, per_second: 10 },
            Self::WindowUpdateFlood => Budget { burst: 1000, per_second: 100 },
            Self::PriorityFlood => Budget { burst: 300, per_second: 20 },
            Self::HeaderBomb => Budget { burst: 20, per_second: 1 },
        }
    }
}

/// How often something may come: so many at once, and so many a second.
struct Budget {
    burst: u32,
    per_second: u32,
}

/// What a bucket counts in: thousandths, so that milliseconds leak without fractions.
const UNIT: u32 = 1000;

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    level: u32,
    /// When it leaked last; wraps around.
    at_ms: u32,
}

/// The buckets of a connection.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    buckets: [Bucket; Abuse::ALL.len()],
}

impl Budgets {
    /// One more of its kind came.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "only differences count")]
    pub(super) fn charge(&mut self, abuse: Abuse, now_ms: u64) -> Result<(), Abuse> {
        let (budget, bucket) = (abuse.budget(), &mut self.buckets[abuse as usize]);
        let elapsed_ms = (now_ms as u32).wrapping_sub(bucket.at_ms);
        bucket.at_ms = now_ms as u32;
        let leaked = bucket.level.saturating_sub(elapsed_ms.saturating_mul(budget.per_second));
        bucket.level = leaked + UNIT;
        if bucket.level > budget.burst * UNIT { Err(abuse) } else { Ok(()) }
    }

    /// Useful work was done, for which so many of a kind are in order.
    #[inline]
    pub(super) fn earn(&mut self, abuse: Abuse, count: u32) {
        let bucket = &mut self.buckets[abuse as usize];
        bucket.level = bucket.level.saturating_sub(count * UNIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_number_and_its_budget() {
        for (at, abuse) in Abuse::ALL.into_iter().enumerate() {
            assert_eq!(abuse as usize, at);
            let mut budgets = Budgets::default();
            let burst = abuse.budget().burst;
            for _ in 0..burst {
                assert_eq!(budgets.charge(abuse, 5), Ok(()));
            }
            assert_eq!(budgets.charge(abuse, 5), Err(abuse));
        }
    }

    #[test]
    fn time_and_useful_work_give_back() {
        let mut budgets = Budgets::default();
        let Budget { burst, per_second } = Abuse::PingFlood.budget();
        for at in 0..u64::from(burst) * 20 {
            assert_eq!(budgets.charge(Abuse::PingFlood, at * 1000 / u64::from(per_second)), Ok(()));
        }
        let mut budgets = Budgets::default();
        for _ in 0..burst * 20 {
            assert_eq!(budgets.charge(Abuse::PingFlood, 7), Ok(()));
            budgets.earn(Abuse::PingFlood, 1);
        }
        for _ in 0..burst {
            assert_eq!(budgets.charge(Abuse::PingFlood, 7), Ok(()));
        }
        assert_eq!(budgets.charge(Abuse::PingFlood, u64::from(u32::MAX) + 8), Err(Abuse::PingFlood));
    }
}
