//! How slowly a client may send its request's body or take its answer: floors under its average rate.
//!
//! Owns the judgement. Whoever waits for a client asks now and then, and says at once when it has waited for somebody
//! else meanwhile: a client answers for no time in which it was not waited for.
//!
//! ```text
//!                judge: it waits for the client            judge: `over` has passed, too few bytes
//! Outside a window ───────────────────────────► In a window ───────────────────────────────────► too slow
//!        ▲                                        │  ▲   │ judge: `over` has passed, enough bytes
//!        └──── judge: it waited for others ───────┘  └───┘ (a new window)
//! ```

use std::time::Duration;

/// The floors of a listener; `None` is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floors {
    /// Bytes a second of a request's body.
    pub body: Option<u64>,
    /// Bytes a second that a client takes of an answer.
    pub drain: Option<u64>,
    /// Over how long the average is taken; nobody is too slow before.
    pub over: Duration,
}

impl Default for Floors {
    /// No floors.
    fn default() -> Self {
        Self { body: None, drain: None, over: Duration::from_secs(30) }
    }
}

impl Floors {
    fn of(&self, wait: Wait) -> Option<u64> {
        match wait {
            Wait::Body => self.body,
            Wait::Drain => self.drain,
        }
    }
}

/// What is waited for of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// More of its request's body.
    Body,
    /// That it takes more of its answer.
    Drain,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    wait: Wait,
    since_ms: u64,
    moved: i64,
}

/// The pace of one client in one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    window: Option<Window>,
}

impl Pace {
    /// What is waited for at this moment; `None` is nothing of the client. Whatever it was before, it ends.
    #[inline]
    pub fn waits_for(&mut self, wait: Option<Wait>) {
        if self.window.is_some_and(|window| wait != Some(window.wait)) {
            self.window = None;
        }
    }

    /// Whether the client is too slow, with the bytes that it has moved so far, from any point of reference. Begins a
    /// window where there is none.
    pub fn is_too_slow(&mut self, floors: &Floors, now_ms: u64, wait: Option<Wait>, moved: i64) -> bool {
        self.waits_for(wait);
        let Some((wait, floor)) = wait.and_then(|wait| Some((wait, floors.of(wait)?))) else { return false };
        let Window { since_ms, moved: before, .. } =
            *self.window.get_or_insert(Window { wait, since_ms: now_ms, moved });
        let waited_ms = now_ms.saturating_sub(since_ms);
        if u128::from(waited_ms) < floors.over.as_millis() {
            return false;
        }
        self.window = Some(Window { wait, since_ms: now_ms, moved });
        let floor = i128::from(floor).saturating_mul(i128::from(waited_ms));
        i128::from(moved.saturating_sub(before)) * 1000 < floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOORS: Floors = Floors { body: Some(100), drain: Some(1000), over: Duration::from_secs(10) };

    /// Judges each second a client that moves so many bytes a second; the second at which it was too slow.
    fn cut_at(floors: &Floors, wait: Wait, rate: impl Fn(u64) -> i64) -> Option<u64> {
        let (mut pace, mut moved) = (Pace::default(), 0);
        (0..120).find(|second| {
            moved += rate(*second);
            pace.is_too_slow(floors, second * 1000, Some(wait), moved)
        })
    }

    #[test]
    fn who_is_slower_than_the_floor_is_cut_after_the_first_window() {
        assert_eq!(cut_at(&FLOORS, Wait::Body, |_| 1), Some(10));
        assert_eq!(cut_at(&FLOORS, Wait::Body, |_| 99), Some(10));
        assert_eq!(cut_at(&FLOORS, Wait::Body, |_| 100), None);
        assert_eq!(cut_at(&FLOORS, Wait::Drain, |_| 999), Some(10));
        assert_eq!(cut_at(&FLOORS, Wait::Drain, |_| 1000), None);
    }

    #[test]
    fn the_average_counts_not_the_steps() {
        assert_eq!(cut_at(&FLOORS, Wait::Body, |second| if second % 9 == 0 { 1000 } else { 0 }), None);
        assert_eq!(cut_at(&FLOORS, Wait::Body, |second| if second < 25 { 1000 } else { 1 }), Some(40), "a good start");
    }

    #[test]
    fn what_is_off_cuts_nobody() {
        let off = Floors { body: None, ..FLOORS };
        assert_eq!(cut_at(&off, Wait::Body, |_| 0), None);
        assert_eq!(cut_at(&off, Wait::Drain, |_| 0), Some(10));
        assert_eq!(cut_at(&Floors::default(), Wait::Drain, |_| 0), None);
    }

    #[test]
    fn nobody_answers_for_a_time_in_which_others_were_waited_for() {
        let mut pace = Pace::default();
        for second in 0..100 {
            // The backend holds it up once in each window.
            pace.waits_for(if second % 9 == 0 { None } else { Some(Wait::Body) });
            assert!(!pace.is_too_slow(&FLOORS, second * 1000, Some(Wait::Body), 0), "{second}");
        }
        let mut pace = Pace::default();
        for second in 0..100 {
            let wait = if second % 9 == 0 { Wait::Drain } else { Wait::Body };
            assert!(!pace.is_too_slow(&FLOORS, second * 1000, Some(wait), 0), "{second}");
        }
    }

    #[test]
    fn clocks_and_counts_at_their_ends_do_no_harm() {
        let mut pace = Pace::default();
        let floors = Floors { body: Some(u64::MAX), ..FLOORS };
        assert!(!pace.is_too_slow(&floors, 5000, Some(Wait::Body), 0));
        assert!(!pace.is_too_slow(&floors, 0, Some(Wait::Body), 0), "a clock that went back");
        assert!(pace.is_too_slow(&floors, u64::MAX, Some(Wait::Body), i64::MAX));
    }
}
