//! Chance: how long requests take, and which keys they have.

use policy::rng::{Rng, mix};

/// A number above 0 and below 1.
pub(crate) fn uniform(rng: &mut Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// The work of a request on a server of speed 1; the mean is [`MEAN_US`] for each kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Exponential: many short, some long.
    Exponential,
    /// Pareto of shape 1.5, cut off at a thousand times the mean: most are short, few bring most of the work.
    HeavyTailed,
}

/// The mean work.
pub(crate) const MEAN_US: f64 = 10_000.0;

const SHAPE: f64 = 1.5;
const CUT_US: f64 = 1000.0 * MEAN_US;

impl Work {
    pub(crate) fn throw_us(self, rng: &mut Rng) -> f64 {
        let chance = uniform(rng);
        match self {
            Self::Exponential => -chance.ln() * MEAN_US,
            Self::HeavyTailed => {
                let least = least_us();
                let beyond = 1.0 - (least / CUT_US).powf(SHAPE);
                least / (1.0 - chance * beyond).powf(1.0 / SHAPE)
            }
        }
    }
}

/// The least work of the heavy tail, such that its mean is [`MEAN_US`].
fn least_us() -> f64 {
    let mean = |least: f64| {
        let ratio: f64 = least / CUT_US;
        least * SHAPE / (SHAPE - 1.0) * (1.0 - ratio.powf(SHAPE - 1.0)) / (1.0 - ratio.powf(SHAPE))
    };
    let (mut low, mut high) = (0.0, MEAN_US);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if mean(middle) < MEAN_US { low = middle } else { high = middle }
    }
    low
}

/// Keys of requests.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    /// Each request has its own.
    Own,
    /// Zipf: the second key is half as frequent as the first, the third a third. Holds the sums of frequencies.
    Zipf(Vec<f64>),
}

impl Keys {
    pub(crate) fn zipf(keys: u32) -> Self {
        let sums = (1..=keys).scan(0.0, |sum, rank| {
            *sum += 1.0 / f64::from(rank);
            Some(*sum)
        });
        Self::Zipf(sums.collect())
    }

    pub(crate) fn throw(&self, rng: &mut Rng) -> u64 {
        match self {
            Self::Own => rng.next_u64(),
            Self::Zipf(sums) => {
                let place = uniform(rng) * sums.last().unwrap_or(&1.0);
                mix(sums.partition_point(|sum| *sum <= place) as u64)
            }
        }
    }
}
