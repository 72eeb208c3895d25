//! The circuit breaker of a pool as the file wants it.

use std::time::Duration;

use wire::grpc::Statuses;

/// When a pool is asked no more, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// The share of failed attempts that opens it, in per cent.
    pub failure_percent: u32,
    /// Attempts within `window` that a judgement needs; at least 1.
    pub requests: u32,
    /// How far it looks back.
    pub window: Duration,
    /// `for`: how long it stays open the first time; each further time in a row twice as long.
    pub time: Duration,
    /// The longest.
    pub max_time: Duration,
    /// Requests that try the pool at once when that time is over, and that must pass to close it; at least 1.
    pub trials: u32,
    /// Statuses of answers that count as failures.
    pub statuses: Vec<u16>,
    /// Statuses of gRPC calls that do.
    pub grpc: Statuses,
}

/// What happens to requests while no backend of a pool is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Panic {
    /// They are spread over those that are ejected or down.
    #[default]
    Spread,
    /// They are refused.
    Refuse,
}
