//! How many may wait before a busy pool: as many as the queue holds, or, in a surge, hardly more than run.
//!
//! ```text
//!              a request is refused (the line is full, or somebody waited too long), or
//!              in 4 looks in a row at least twice as many came as were served
//!   ┌──────┐ ──────────────────────────────────────────────────────────────────────────► ┌───────┐
//!   │ calm │                                                                             │ surge │
//!   └──────┘ ◄────────────────────────────────────────────────────────────────────────── └───────┘
//!              nobody has had to be refused for a second, or for a quarter of one and the line is empty
//! ```
//!
//! While everybody can be served in time, everybody waits, however long the line is. When some must be refused, whom
//! shall it be? A line that is full all the time only makes everybody wait for its whole length. So in a surge it is cut
//! to about the number of those who run, and the oldest gives way to the newest: whoever gets through has waited
//! for a fraction of what a request takes, the more come the less; all others know soon. Which of them stay is for the
//! line to say: the most urgent, and among them the newest.
//!
//! A look lasts 25 ms and until somebody was served, so that a pause of the backends is no surge by itself, nor is a
//! burst: afterwards nobody comes. The line drives it: [`Surge::came`] for each that joins, [`Surge::served`] for each
//! that gets its turn, [`Surge::refused`] for each that is refused or has waited too long.

/// A look lasts at least so long.
const LOOK_MS: u64 = 25;
/// So many looks in a row make a surge.
const LOOKS: u8 = 4;
/// A surge is over when nobody has had to be refused for so long,
const CALM_MS: u64 = 1000;
/// or for so long and nobody waits.
const EMPTY_MS: u64 = 250;
/// In a surge as many may wait as can run, and so many more, that chance leaves no place unused.
const WAITING_MORE: usize = 4;

/// Whether more come than can be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surge {
    look: Option<Look>,
    /// Looks in a row that spoke for a surge.
    streak: u8,
    /// When somebody had to be refused last.
    refused_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    began_ms: u64,
    came: u32,
    served: u32,
}

/// The line as it is when somebody joins it.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// How many wait.
    pub waiting: usize,
    /// How many can run at once.
    pub places: usize,
    /// How many may wait at most.
    pub size: usize,
}

impl Surge {
    /// Somebody wants to join the line. Returns how many may wait, that one included.
    pub fn came(&mut self, now_ms: u64, line: &Line) -> usize {
        if line.waiting == 0 {
            (self.look, self.streak) = (None, 0);
            self.refused_ms = self.refused_ms.filter(|&at| now_ms < at + EMPTY_MS);
        }
        let look = self.look.get_or_insert(Look { began_ms: now_ms, came: 0, served: 0 });
        look.came += 1;
        if now_ms.saturating_sub(look.began_ms) >= LOOK_MS && look.served > 0 {
            let speaks_for = look.came >= 2 * look.served + 2 && line.waiting > line.places;
            self.streak = if speaks_for { self.streak.saturating_add(1) } else { 0 };
            self.look = None;
        }
        if self.streak >= LOOKS {
            self.refused(now_ms);
        }
        let in_surge = line.places.saturating_add(WAITING_MORE);
        if self.is_on(now_ms) { line.size.min(in_surge) } else { line.size }
    }

    /// Somebody got his turn.
    pub fn served(&mut self) {
        if let Some(look) = &mut self.look {
            look.served += 1;
        }
    }

    /// Somebody was refused, or had waited too long.
    pub fn refused(&mut self, now_ms: u64) {
        self.refused_ms = Some(now_ms);
    }

    /// Whether there is a surge.
    #[must_use]
    pub fn is_on(&self, now_ms: u64) -> bool {
        self.refused_ms.is_some_and(|at| now_ms < at + CALM_MS)
    }
}

#[cfg(test)]
mod tests;
