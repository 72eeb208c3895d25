//! What is wanted of the queue before a busy pool.

use std::time::Duration;

/// `queue` of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Most requests that wait; 0 refuses at once.
    pub size: usize,
    /// Longest wait; `None` is off.
    pub timeout: Option<Duration>,
    /// In a surge only the newest wait ([`crate::surge`]).
    pub shed: bool,
}

impl Default for Queue {
    fn default() -> Self {
        Self { size: 1000, timeout: Some(Duration::from_secs(5)), shed: true }
    }
}

/// Who goes first when requests wait for a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Urgency {
    /// Before all others.
    High,
    /// As usual.
    #[default]
    Normal,
    /// When nobody else waits.
    Low,
}

impl Urgency {
    /// All, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// The name in configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}
