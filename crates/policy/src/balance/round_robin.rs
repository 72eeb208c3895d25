//! `round-robin`: smooth weighted turns. Driven by [`super::tiers`].
//!
//! With equal weights a ring in file order, O(1). With different weights each member has a lattice of turns in virtual
//! time, `(k + phase) / weight` for k = 0, 1, 2 …; the earliest turn is next, O(log n). So:
//! - any `sum of weights` picks in a row hold each member exactly `weight` times;
//! - a member comes at most ⌈its weight / the greatest other weight⌉ times in a row;
//! - light members lie evenly between the turns of heavy ones, since phases follow the golden ratio.
//!
//! Turns are exact fractions: no rounding drifts. After a change of members, and at the start, the time is set by chance,
//! so that workers do not walk in step. After a change of weights alone it goes on, so that a weight that ramps up in many
//! steps brings no disorder.
//!
//! Only first attempts take turns. A retry is thrown by weight among the untried: would it take a turn, each first attempt
//! in a pool of two with one broken backend would fall to the broken one.

use std::cmp::Ordering;

use super::shares::Shares;
use super::tiers::{Choose, Member};
use super::tournament::{Key, Tournament};
use super::{Loads, Pick};
use crate::rng::Rng;

/// Parts of a virtual interval between two turns of a member, and of a round.
const PARTS: u64 = 1 << 16;

/// The golden section of [`PARTS`]; being odd, it gives each index a phase of its own.
const GOLDEN: u64 = 40_503;

/// Turns of one level.
pub(super) struct RoundRobin {
    turns: Turns,
    /// For retries.
    shares: Shares,
    /// Where to start after a change.
    starts: Rng,
    /// Virtual time just after the last turn, in [`PARTS`] of a round; a ring has none.
    now: Option<u64>,
}

enum Turns {
    Ring { order: Vec<u16>, next: usize },
    Tournament(Tournament<Turn>),
}

impl RoundRobin {
    pub(super) fn new(seed: u64) -> Self {
        let turns = Turns::Ring { order: Vec::new(), next: 0 };
        Self { turns, shares: Shares::default(), starts: Rng::new(seed), now: None }
    }
}

impl Choose for RoundRobin {
    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
        let same = members.iter().map(|member| member.backend).eq(self.shares.members().iter().map(|old| old.backend));
        let start = self.now.filter(|_| same).unwrap_or_else(|| self.starts.below(PARTS));
        self.shares = Shares::new(members);
        let equal = members.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        self.now = None;
        self.turns = if equal { Turns::ring(members, &mut self.starts) } else { Turns::tournament(members, start) };
    }

    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        if pick.tried.is_empty() {
            let (backend, now) = self.turns.next()?;
            self.now = now;
            Some(backend)
        } else {
            self.shares.throw(pick.tried, pick.rng).map(|member| member.backend)
        }
    }
}

impl Turns {
    fn ring(members: &[Member], starts: &mut Rng) -> Self {
        let order: Vec<_> = members.iter().map(|member| member.backend).collect();
        let next = usize::try_from(starts.below(members.len() as u64)).unwrap_or(0);
        Self::Ring { order, next }
    }

    fn tournament(members: &[Member], start: u64) -> Self {
        let mut turns = Tournament::new();
        for member in members {
            turns.set(member.backend, Turn::after(start, member));
        }
        Self::Tournament(turns)
    }

    /// The next backend, and what time it is then.
    fn next(&mut self) -> Option<(u16, Option<u64>)> {
        match self {
            Self::Ring { order, next } => {
                let backend = order.get(*next).copied()?;
                *next = if *next + 1 < order.len() { *next + 1 } else { 0 };
                Some((backend, None))
            }
            Self::Tournament(turns) => {
                let (turn, backend) = turns.least(&[])?;
                turns.set(backend, turn.next());
                Some((backend, Some(turn.parts / u64::from(turn.weight) + 1)))
            }
        }
    }
}

/// A point in virtual time: `parts / (PARTS * weight)`. Within a round of length 1 a member has `weight` turns.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Grows by [`PARTS`] each turn; at a million turns a second it lasts nine years.
    parts: u64,
    weight: u32,
    /// Breaks ties, always in the same way, so that each round is like the one before.
    backend: u16,
}

impl Turn {
    /// The first turn of a member after `start`, which is in [`PARTS`] of a round.
    fn after(start: u64, member: &Member) -> Self {
        let phase = u64::from(member.backend) * GOLDEN % PARTS;
        let now = start.saturating_mul(u64::from(member.weight));
        let passed = if now < phase { 0 } else { (now - phase) / PARTS + 1 };
        Self { parts: passed * PARTS + phase, weight: member.weight, backend: member.backend }
    }

    fn next(self) -> Self {
        Self { parts: self.parts + PARTS, ..self }
    }
}

impl Key for Turn {
    const NONE: Self = Self { parts: u64::MAX, weight: 1, backend: u16::MAX };
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        let mine = u128::from(self.parts) * u128::from(other.weight);
        let others = u128::from(other.parts) * u128::from(self.weight);
        mine.cmp(&others).then(self.backend.cmp(&other.backend))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Turn {}
