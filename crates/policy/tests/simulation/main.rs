//! The policies compared in simulated time: against queueing theory, and against each other.
//!
//! Each run follows from one seed. The tables of docs/policies.md are what this prints:
//! `cargo test -p policy --release --test simulation -- --nocapture --test-threads 1`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, its figures are to be read, and times in simulations are small"
)]

mod against_each_other;
mod against_theory;
mod hashed;
mod theory;
mod work;
mod world;

use policy::plan::PolicyKind;

use work::{Keys, MEAN_US, Work};
use world::{Outcome, Server, Setup, run};

const SEED: u64 = 20_261_120;

const QUEUE: Server = Server::Queue { slowness: 1.0 };
const SHARED: Server = Server::Shared { slowness: 1.0 };

/// The place of the one backend that is unlike the others.
const ODD: usize = 3;

/// A pool behind four workers, with `load` of its capacity in use.
fn pool<const N: usize>(servers: [Server; N], load: f64) -> Setup {
    Setup {
        rate: load * capacity(&servers),
        servers: servers.to_vec(),
        work: Work::Exponential,
        keys: Keys::Own,
        requests: 100_000,
        workers: 4,
        seed: SEED,
    }
}

/// Requests each second that servers can do.
fn capacity(servers: &[Server]) -> f64 {
    let speed = |server: &Server| match server {
        Server::Queue { slowness } | Server::Shared { slowness } => 1.0 / slowness,
        Server::Far { .. } => 1.0,
        Server::Dead => 0.0,
    };
    servers.iter().map(speed).sum::<f64>() * 1e6 / MEAN_US
}

/// Nine of a kind and an odd one.
fn nine_and(server: Server, odd: Server) -> [Server; 10] {
    std::array::from_fn(|index| if index == ODD { odd } else { server })
}

/// Runs policies through a setup and prints a table of their figures.
fn compare<const N: usize>(title: &str, kinds: [(&str, PolicyKind); N], setup: &Setup) -> [Outcome; N] {
    println!("\n{title}\n\n| policy | mean | p50 | p99 | p99.9 | to the odd one | failed attempts |");
    println!("|---|---|---|---|---|---|---|");
    kinds.map(|(name, kind)| {
        let outcome = run(&kind, setup);
        println!(
            "| {name} | {} | {} | {} | {} | {:.1} % | {:.2} % |",
            time(outcome.mean_ms()),
            time(outcome.quantile_ms(0.5)),
            time(outcome.quantile_ms(0.99)),
            time(outcome.quantile_ms(0.999)),
            100.0 * outcome.share_of(ODD),
            100.0 * outcome.failed_share(),
        );
        outcome
    })
}

/// A time for people.
fn time(ms: f64) -> String {
    match ms {
        ..100.0 => format!("{ms:.1} ms"),
        ..1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}
