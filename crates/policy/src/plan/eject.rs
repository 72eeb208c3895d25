//! Passive ejection as the file wants it: which evidence takes a backend out, and for how long.

use std::time::Duration;

use wire::grpc::Statuses;

/// When real requests take a backend out, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eject {
    /// Failures in a row, over all workers; at least 1.
    pub failures: u32,
    /// `for`: how long the first ejection lasts; each further one twice as long.
    pub time: Duration,
    /// The longest.
    pub max_time: Duration,
    /// Most backends of the pool that may be ejected or down at a time, in per cent; with 100 each is judged alone.
    pub max_share_percent: u32,
    /// Statuses of answers that count as failures.
    pub statuses: Vec<u16>,
    /// Statuses of gRPC calls that do.
    pub grpc: Statuses,
    /// The rule for those that fail now and then.
    pub failure_rate: Option<FailureRate>,
    /// The rule for those that are slower than the others.
    pub latency: Option<LatencyRule>,
}

/// Ejects who fails too large a share of its attempts within ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRate {
    /// The share.
    pub percent: u32,
    /// Attempts that it needs to be judged.
    pub requests: u32,
}

/// Ejects who is so many times slower than the pool's other backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyRule {
    /// Times the median of the others.
    pub factor: u32,
    /// Answers within ten seconds that it needs to be judged.
    pub requests: u32,
}
