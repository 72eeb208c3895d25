//! The cap of a backend that finds it for itself: `max_requests = "auto"`.
//!
//! A backend that is not busy answers in some time, its **base**. Given more at once than it can work on, it lets the rest
//! wait inside, and its latency grows while it serves no more than before. So the cap follows the ratio of the two: while
//! the latency is near the base, the cap grows by a little; when it is above, the cap shrinks in that ratio. It settles
//! where the backend is fully used and hardly anything waits in it; what cannot run waits in the pool's queue, where it can
//! be refused. The idea is that of TCP Vegas, as the gradient limits of Netflix's concurrency-limits and the adaptive
//! concurrency filter of Envoy have it for requests.
//!
//! The base must be measured while the backend is not full. Three ways lead to it:
//! - a window in which less than half of the cap ran tells it at no cost;
//! - after half a minute without one (give or take some, so that backends do not do it together), while the cap is used, it
//!   is lowered to a quarter, and once what ran before has ended a longer window tells the base: a **dip**;
//! - where the cap has come down to its least and the latency is still above the base, the backend has become slower: that
//!   is its base now.
//!
//! Driven by whoever owns the clock: [`Limit::tick`] a few times a second, with what came since the last.

use crate::plan::Adaptive;
use crate::rng::Rng;

/// A window has at least so many answers,
const ANSWERS: u64 = 20;
/// so many times as many where the base is measured,
const MEASURED: u64 = 8;
/// or lasts so long and has so many.
const LONGEST_MS: u64 = 2_000;
const FEWEST: u64 = 5;
/// A cap before the first window.
const FIRST: f64 = 10.0;
/// Until the latency first says that it is enough, a window may add this share of it.
const FAST: f64 = 0.1;
/// A cap of which no such share runs, and for which nobody waits, is large enough.
const USED: f64 = 0.8;
/// Less than this share of the cap leaves a backend with nothing to wait for.
const LIGHT: f64 = 0.5;
/// Latency up to so many times the base is no sign,
const TOLERANCE: f64 = 1.1;
/// nor are so many times what windows differ by anyway.
const DEVIATIONS: f64 = 1.0;
/// What windows are taken to differ by, of the first one's latency, until that is known.
const FIRST_DEVIATION: f64 = 0.25;
/// How far a window moves what windows differ by.
const DEVIATION_SMOOTHING: f64 = 0.1;
/// Down to what one window may bring the cap.
const STEEPEST: f64 = 0.5;
/// What is left of the cap in a dip: so little that nothing waits in the backend even where the cap was far too high.
const DIP: f64 = 0.25;
/// So many latencies after a dip began, what ran before has ended.
const DRAIN: f64 = 1.5;
/// How far a window moves the latency that counts.
const SMOOTHING: f64 = 0.5;
/// How far a window without load moves the base.
const BASE_SMOOTHING: f64 = 0.2;
/// One in so many attempts that fail says that the cap is too high.
const FAILURES: u64 = 10;
/// What these make of the cap.
const BACK_OFF: f64 = 0.8;
/// Between two measurements of the base, and what chance adds at most.
const MEASURE_MS: u64 = 25_000;
const MEASURE_JITTER_MS: u64 = 10_000;
/// Before the first.
const FIRST_MEASURE_MS: u64 = 4_000;
/// Windows at the least cap above the base after which that is the base.
const AT_LEAST: u8 = 3;

/// What came since the last tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Came {
    /// Answers.
    pub answers: u64,
    /// Microseconds to their first byte, summed.
    pub latency_us: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Whether somebody waits for the backend.
    pub waiting: bool,
}

/// The cap of one backend.
#[derive(Clone, Debug)]
pub struct Limit {
    terms: Adaptive,
    limit: f64,
    base_us: Option<f64>,
    latency_us: Option<f64>,
    /// How far windows are from `latency_us` on average.
    deviation_us: f64,
    window: Window,
    measure_at_ms: Option<u64>,
    dip: Option<Dip>,
    /// No window has yet said that it is enough.
    is_new: bool,
    /// Windows in a row at the least cap, above the base.
    at_least: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began_ms: u64,
    came: Came,
}

/// The cap is lowered, to measure the base.
#[derive(Clone, Copy, Debug)]
struct Dip {
    /// What it is otherwise.
    limit: f64,
    /// When all that ran before has ended, by its latency.
    drained_ms: u64,
    /// A window has begun after that.
    is_drained: bool,
}

impl Limit {
    /// A cap within these terms.
    #[must_use]
    pub fn new(terms: Adaptive) -> Self {
        Self {
            terms,
            limit: FIRST.clamp(terms.min.into(), terms.max.into()),
            base_us: None,
            latency_us: None,
            deviation_us: 0.0,
            window: Window::default(),
            measure_at_ms: None,
            dip: None,
            is_new: true,
            at_least: 0,
        }
    }

    /// The cap now.
    #[must_use]
    pub fn get(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to two u32")]
        let limit = self.limit.round() as u32;
        limit
    }

    /// Takes what came since the last tick. Returns the cap from now on.
    pub fn tick(&mut self, now_ms: u64, came: Came, rng: &mut Rng) -> u32 {
        let sum = &mut self.window.came;
        sum.answers += came.answers;
        sum.latency_us += came.latency_us;
        sum.failures += came.failures;
        sum.waiting |= came.waiting;
        let lasted_ms = now_ms.saturating_sub(self.window.began_ms);
        let seen = sum.answers + sum.failures;
        // What holds for half a minute is worth a longer look.
        let is_measured = self.dip.as_ref().is_some_and(|dip| dip.is_drained);
        let enough = if is_measured { ANSWERS * MEASURED } else { ANSWERS };
        if seen >= enough || (lasted_ms >= LONGEST_MS && seen >= FEWEST) {
            let window = std::mem::replace(&mut self.window, Window { began_ms: now_ms, came: Came::default() });
            self.judge(now_ms, &window, rng);
        } else if lasted_ms >= LONGEST_MS {
            self.window = Window { began_ms: now_ms, came: Came::default() };
        }
        self.get()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts and times of seconds")]
    fn judge(&mut self, now_ms: u64, window: &Window, rng: &mut Rng) {
        let Came { answers, latency_us, failures, waiting } = window.came;
        if failures * FAILURES >= answers + failures {
            return self.set(self.limit * BACK_OFF);
        }
        let latency = latency_us as f64 / answers as f64;
        let lasted_us = (now_ms.saturating_sub(window.began_ms).max(1) * 1000) as f64;
        // By Little's law.
        let ran = latency_us as f64 / lasted_us;
        if self.dip.is_some() {
            return self.measure(now_ms, latency, rng);
        }
        let smooth = self.latency_us.map_or(latency, |old| old + SMOOTHING * (latency - old));
        match self.latency_us.replace(smooth) {
            Some(old) => self.deviation_us += DEVIATION_SMOOTHING * ((latency - old).abs() - self.deviation_us),
            None if self.base_us.is_none() => self.deviation_us = latency * FIRST_DEVIATION,
            None => {}
        }
        let is_light = !waiting && ran < self.limit * LIGHT;
        if is_light || self.is_new {
            self.move_base(latency);
        }
        let base = *self.base_us.get_or_insert(latency);
        let bearable = base * TOLERANCE + self.deviation_us * DEVIATIONS;
        // A new cap grows so fast that it must not be late to see that it is enough.
        let seen = if self.is_new { smooth.max(latency) } else { smooth };
        let gradient = (bearable / seen).clamp(STEEPEST, 1.0);
        self.is_new &= gradient >= 1.0;
        self.look_at_the_floor(gradient, smooth);
        let is_used = waiting || ran >= self.limit * USED;
        let growth = match is_used {
            true if self.is_new => self.limit * FAST,
            true => self.limit.sqrt() / 2.0,
            false => 0.0,
        };
        self.set(self.limit * gradient + growth);
        if self.measure_at_ms.is_none() {
            // What the first windows told is not worth much.
            self.measure_at_ms = Some(now_ms + FIRST_MEASURE_MS);
        } else if is_light {
            self.measure_later(now_ms, rng);
        } else if is_used && self.measure_at_ms.is_some_and(|at| now_ms >= at) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of a latency")]
            let drained_ms = now_ms + (smooth * DRAIN / 1000.0) as u64;
            self.dip = Some(Dip { limit: self.limit, drained_ms, is_drained: false });
            self.set(self.limit * DIP);
        }
    }

    /// A window of a dip: the first ones still have what ran before.
    fn measure(&mut self, now_ms: u64, latency: f64, rng: &mut Rng) {
        match &mut self.dip {
            Some(dip) if !dip.is_drained => dip.is_drained = now_ms >= dip.drained_ms,
            _ => {
                let before = self.dip.take().map_or(self.limit, |dip| dip.limit);
                // Where it is not far from the one before, the two are better than one.
                let is_near = |base: &f64| (0.7..1.4).contains(&(latency / base));
                let old = self.base_us.filter(is_near).unwrap_or(latency);
                self.base_us = Some((old + latency) / 2.0);
                self.latency_us = None;
                self.set(before);
                self.measure_later(now_ms, rng);
            }
        }
    }

    fn move_base(&mut self, latency: f64) {
        self.base_us = Some(self.base_us.map_or(latency, |base| base + BASE_SMOOTHING * (latency - base)));
    }

    fn measure_later(&mut self, now_ms: u64, rng: &mut Rng) {
        self.measure_at_ms = Some(now_ms + MEASURE_MS + rng.below(MEASURE_JITTER_MS));
    }

    /// Below its least the cap cannot go: if that does not help, the backend is as slow as that.
    fn look_at_the_floor(&mut self, gradient: f64, latency: f64) {
        let is_at_least = gradient < 1.0 && self.get() <= self.terms.min;
        self.at_least = if is_at_least { self.at_least + 1 } else { 0 };
        if self.at_least >= AT_LEAST {
            self.at_least = 0;
            self.base_us = Some(latency);
        }
    }

    fn set(&mut self, limit: f64) {
        self.limit = limit.clamp(self.terms.min.into(), self.terms.max.into());
    }
}

#[cfg(test)]
mod tests;
