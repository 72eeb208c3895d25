//! What queueing theory says of equal servers with exponential work, mean times in units of the mean work.
//!
//! `load` is the share of its time that a server works.

/// Random splitting: each server is an M/M/1 queue of its own.
pub(crate) fn random_mean(load: f64) -> f64 {
    1.0 / (1.0 - load)
}

/// The time that `share` of all requests stay below with random splitting: an M/M/1 queue's time is exponential.
pub(crate) fn random_quantile(load: f64, share: f64) -> f64 {
    -(1.0 - share).ln() / (1.0 - load)
}

/// Turns: each server gets every n-th request, an Eₙ/M/1 queue. Its time is exponential, too, with σ the root below 1 of
/// σ = (1 + (1 - σ) / (n · load))⁻ⁿ (G/M/1, Kendall 1953).
pub(crate) fn turns_mean(load: f64, servers: f64) -> f64 {
    let mut sigma = load;
    for _ in 0..10_000 {
        sigma = (1.0 + (1.0 - sigma) / (servers * load)).powf(-servers);
    }
    1.0 / (1.0 - sigma)
}

/// The shorter of two queues with many servers: Σ load^(2ⁱ − 2) for i from 1 (Mitzenmacher 1996; Vvedenskaya, Dobrushin,
/// Karpelevich 1996).
pub(crate) fn two_choices_mean(load: f64) -> f64 {
    (1..=60).map(|i| load.powf(2f64.powi(i) - 2.0)).sum()
}

/// One queue for all servers (M/M/n, Erlang C), which no policy that chooses at arrival can beat, and the shortest queue
/// comes near to with many servers.
pub(crate) fn one_queue_mean(load: f64, servers: u32) -> f64 {
    let offered = load * f64::from(servers);
    // Erlang B by its recursion, then C.
    let blocked = (1..=servers).fold(1.0, |blocked, n| offered * blocked / (f64::from(n) + offered * blocked));
    let waits = blocked / (1.0 - load * (1.0 - blocked));
    1.0 + waits / (f64::from(servers) * (1.0 - load))
}
