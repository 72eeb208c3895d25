//! What is wanted when the node itself is short of something.

use std::time::Duration;

/// `[overload]`, and `memory` of `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// A worker whose ready work waits longer than this for its turn is short of CPU; `None` is off.
    pub lag: Option<Duration>,
    /// From this share of its memory on, in per cent, the process is short of memory; `None` is off.
    pub memory: Option<u8>,
    /// From this share of its descriptors on, in per cent, the process is short of them; `None` is off.
    pub descriptors: Option<u8>,
    /// Bytes that the process may use; `None` is what its control group or the machine has.
    pub memory_bytes: Option<u64>,
}

impl Default for Overload {
    fn default() -> Self {
        Self { lag: Some(Duration::from_millis(100)), memory: Some(85), descriptors: Some(85), memory_bytes: None }
    }
}
