//! What was seen of a backend within the last ten looks, one a second.

use super::Sighting;

/// Looks back.
const SLOTS: usize = 10;
/// Looks with traffic that a judgement of latency needs: one slow second is none.
const LEAST_SLOTS: usize = 3;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    ended: u64,
    faults: u64,
    answers: u64,
    first_byte_us: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    slots: [Slot; SLOTS],
    next: usize,
    last: Sighting,
}

impl Window {
    /// Notes what came since the last look. Returns whether there was a fault.
    pub(super) fn note(&mut self, now: &Sighting) -> bool {
        let slot = Slot {
            ended: now.ended.saturating_sub(self.last.ended),
            faults: now.faults.saturating_sub(self.last.faults),
            answers: now.answers.saturating_sub(self.last.answers),
            first_byte_us: now.first_byte_us.saturating_sub(self.last.first_byte_us),
        };
        self.slots[self.next] = slot;
        self.next = (self.next + 1) % SLOTS;
        self.last = *now;
        slot.faults > 0
    }

    /// Whether there were faults since the last look.
    pub(super) fn is_behind(&self, now: &Sighting) -> bool {
        now.faults > self.last.faults
    }

    /// Forgets what was before an ejection, or in it.
    pub(super) fn forget(&mut self) {
        self.slots = Default::default();
    }

    /// Faults, and the attempts that they are of.
    pub(super) fn rate(&self) -> (u64, u64) {
        self.slots.iter().fold((0, 0), |(faults, of), slot| (faults + slot.faults, of + slot.ended))
    }

    /// The median of the seconds' means: a few very slow answers do not move it. `None` below so many answers.
    pub(super) fn typical_us(&self, least: u32) -> Option<u64> {
        let answers: u64 = self.slots.iter().map(|slot| slot.answers).sum();
        let busy = self.slots.iter().filter(|slot| slot.answers > 0);
        let mut means: Vec<u64> = busy.map(|slot| slot.first_byte_us / slot.answers).collect();
        if answers < u64::from(least) || means.len() < LEAST_SLOTS {
            return None;
        }
        median(&mut means)
    }
}

/// The middle one, the lower of two.
pub(super) fn median(values: &mut [u64]) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}
