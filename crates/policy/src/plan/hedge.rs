//! Hedged requests as the file wants them.

use std::time::Duration;

/// When a request gets a second attempt beside the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// After which time without an answer.
    pub after: HedgeAfter,
    /// Second attempts in per cent of the requests that may have one, over all of a pool, with the floor of retries.
    pub budget_percent: u32,
}

/// How long the first attempt is alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeAfter {
    /// So long.
    Time(Duration),
    /// As long as so many thousandths of the pool's answers take of late.
    Permille(u16),
}
