//! How many requests to refuse while the node itself is short of CPU, memory or descriptors, and which.
//!
//! Owns two decisions. **How large a share** is refused, in thousandths: of CPU by [`Lag`], which watches how long ready
//! work waits for its turn and turns the share up and down until that is bearable again; of memory and descriptors by
//! [`Use`], which grows with what is used of a limit. **Who** is refused: [`Gate`], the least urgent first.
//!
//! ```text
//!            twice in a row the wait is above the limit: more, the further above
//!   ┌──────┐ ───────────────────────────────────────────────────────────────────► ┌──────────┐
//!   │ calm │                                                                      │ shedding │ ⟲ more, less
//!   └──────┘ ◄─────────────────────────────────────────────────────────────────── └──────────┘
//!            below half the limit: an eighth less each window,  until nothing is left
//! ```
//!
//! The shorter of two waits counts, since a long one now and then is a burst or a neighbour on the machine; a wait that is
//! never short is a backlog. Between half the limit and the limit nothing changes, so that the share does not swing.

use crate::plan::Urgency;

/// All of it, in thousandths.
const WHOLE: u16 = 1000;
/// Never are more refused: some must get through, to see whether it is over.
const MOST: u16 = 950;
/// From here on new connections are taken in slowly, too.
const EXTREME: u16 = 900;
/// Between two pulses of a worker that has work.
pub const PULSE_MS: u64 = 25;
/// What so long above the limit adds at the limit; twice the wait adds twice as much, and so does twice the time.
const STEP: u64 = 50;
const STEP_MS: u64 = 100;
/// What one pulse adds at most.
const LONGEST_STEP: u64 = 500;
/// One in so many of the share a window below half the limit takes away.
const BACK: u16 = 8;
/// A share below this is none.
const LEAST: u16 = 10;
/// Of what is used, in thousandths of the limit, when as many are refused as ever are.
const ALL_USED: u16 = 970;

/// What the node is short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Workers do not get their work done.
    Cpu,
    /// The process comes near the memory that it may use.
    Memory,
    /// The process comes near the descriptors that it may have.
    Descriptors,
}

impl Shortage {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Descriptors];

    /// Its name in status, metrics and log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
        }
    }
}

/// How long ready work of a worker waits.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    limit_ms: u64,
    share: u16,
    /// The wait of the last pulse.
    last_ms: u64,
    /// How long it has been below half the limit since the share was last taken back.
    low_ms: u64,
}

impl Lag {
    /// A worker whose work may wait so long.
    #[must_use]
    pub fn new(limit_ms: u64) -> Self {
        Self { limit_ms, share: 0, last_ms: 0, low_ms: 0 }
    }

    /// Something that was ready waited so long. Returns the share to refuse.
    pub fn pulse(&mut self, waited_ms: u64) -> u16 {
        let least_ms = waited_ms.min(std::mem::replace(&mut self.last_ms, waited_ms));
        let lasted_ms = PULSE_MS + waited_ms;
        if least_ms > self.limit_ms {
            let step = (STEP * least_ms / self.limit_ms.max(1)).saturating_mul(lasted_ms) / STEP_MS;
            let step = u16::try_from(step.min(LONGEST_STEP)).unwrap_or(0);
            self.share = self.share.saturating_add(step).min(MOST);
        }
        self.low_ms = if least_ms < self.limit_ms / 2 { self.low_ms + lasted_ms } else { 0 };
        if self.low_ms >= STEP_MS {
            self.low_ms = 0;
            self.share -= self.share.div_ceil(BACK);
            if self.share < LEAST {
                self.share = 0;
            }
        }
        self.share
    }

    /// The wait of the last pulse.
    #[must_use]
    pub fn last_ms(&self) -> u64 {
        self.last_ms
    }
}

/// What is used of a limit.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// From here on, in thousandths.
    from: u16,
}

impl Use {
    /// Short from so many per cent on.
    #[must_use]
    pub fn new(percent: u8) -> Self {
        Self { from: u16::from(percent.min(100)) * 10 }
    }

    /// The share to refuse while so much is used.
    #[must_use]
    pub fn share(self, used: u64, limit: u64) -> u16 {
        let used = u64::from(WHOLE).saturating_mul(used).checked_div(limit).unwrap_or(0);
        let used = u16::try_from(used).unwrap_or(u16::MAX);
        if used < self.from {
            return 0;
        }
        let range = u32::from(ALL_USED.saturating_sub(self.from).max(1));
        let above = u32::from(used - self.from) + 1;
        u16::try_from((above * u32::from(MOST)).div_ceil(range)).unwrap_or(MOST).min(MOST)
    }
}

/// Lets requests pass or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    share: u16,
    /// Of each urgency, in thousandths.
    shares: [u16; Urgency::ALL.len()],
    /// What each urgency is due of a refusal.
    due: [u16; Urgency::ALL.len()],
    /// Who came lately.
    came: [u32; Urgency::ALL.len()],
}

impl Gate {
    /// From now on refuses this share of all, of the least urgent first. To be called regularly, since who comes changes.
    pub fn refuse(&mut self, share: u16) {
        self.share = share.min(MOST);
        let all: u64 = self.came.iter().map(|&came| u64::from(came)).sum();
        let mut left = all * u64::from(self.share);
        for urgency in Urgency::ALL.iter().rev() {
            let at = *urgency as usize;
            let whole = u64::from(self.came[at]) * u64::from(WHOLE);
            // Of whom nobody came lately, all are refused if some of the more urgent must be, too.
            let takes = left.min(whole);
            self.shares[at] = match whole {
                0 if left > 0 || (all == 0 && share > 0) => MOST.min(if all == 0 { share } else { WHOLE }),
                0 => 0,
                _ => u16::try_from(takes * u64::from(WHOLE) / whole).unwrap_or(WHOLE),
            };
            left -= takes;
        }
        self.came = self.came.map(|came| came / 2);
    }

    /// Whether a request may pass.
    pub fn admits(&mut self, urgency: Urgency) -> bool {
        let at = urgency as usize;
        self.came[at] = self.came[at].saturating_add(1);
        self.due[at] += self.shares[at];
        if self.due[at] < WHOLE {
            return true;
        }
        self.due[at] -= WHOLE;
        false
    }

    /// Whether it is so bad that new connections must wait.
    #[must_use]
    pub fn is_extreme(&self) -> bool {
        self.share >= EXTREME
    }

    /// Whether anything is refused.
    #[must_use]
    pub fn is_shedding(&self) -> bool {
        self.share > 0
    }
}

#[cfg(test)]
mod tests;
