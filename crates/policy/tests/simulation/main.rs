//! The policies compared in simulated time, against each other and against queueing theory.
//!
//! Everything follows from one seed: the figures are the same on each machine. `cargo test -p policy --release --test
//! simulation -- --nocapture --test-threads 1` prints the tables of docs/policies.md.

mod theory;
mod work;
mod world;

use policy::hashing::{Bound, HashKey, Hashing};
use policy::plan::PolicyKind;

use work::{Keys, MEAN_US, Work};
use world::{Outcome, Server, Setup, run};

const SEED: u64 = 20_261_120;

const QUEUE: Server = Server::Queue { slowness: 1.0 };
const SHARED: Server = Server::Shared { slowness: 1.0 };

/// A pool of ten, behind four workers, with so much of its capacity in use.
fn ten(servers: [Server; 10], load: f64) -> Setup {
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

/// Nine of a kind and another one.
fn nine_and(server: Server, odd: Server) -> [Server; 10] {
    std::array::from_fn(|index| if index == 3 { odd } else { server })
}

const COMPARED: [PolicyKind; 5] = [
    PolicyKind::RoundRobin,
    PolicyKind::Random,
    PolicyKind::LeastRequests,
    PolicyKind::PowerOfTwo,
    PolicyKind::PeakEwma,
];

/// Runs the policies and prints their figures; `odd` is the backend that is unlike the others.
fn compare(title: &str, kinds: &[PolicyKind], setup: &Setup) -> Vec<Outcome> {
    println!(
        "\n{title}\n\n| policy | mean ms | p50 | p99 | p99.9 | to the odd one | failed attempts |\n|---|---|---|---|---|---|---|"
    );
    let outcomes: Vec<Outcome> = kinds.iter().map(|kind| run(kind, setup)).collect();
    for (kind, outcome) in kinds.iter().zip(&outcomes) {
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} % | {:.2} % |",
            kind.name(),
            outcome.mean_ms(),
            outcome.quantile_ms(0.5),
            outcome.quantile_ms(0.99),
            outcome.quantile_ms(0.999),
            100.0 * outcome.share_of(3),
            100.0 * outcome.failed_share(),
        );
    }
    outcomes
}

#[test]
fn explore() {
    let mut setup = ten([QUEUE; 10], 0.7);
    compare("equal, exponential, FIFO .7", &COMPARED, &setup);
    setup = ten([QUEUE; 10], 0.9);
    compare("equal, exponential, FIFO .9", &COMPARED, &setup);
    setup = Setup { work: Work::HeavyTailed, ..ten([SHARED; 10], 0.7) };
    compare("equal, heavy, PS .7", &COMPARED, &setup);
    setup = Setup { work: Work::HeavyTailed, ..ten([QUEUE; 10], 0.7) };
    compare("equal, heavy, FIFO .7", &COMPARED, &setup);
    setup = ten(nine_and(QUEUE, Server::Queue { slowness: 10.0 }), 0.6);
    compare("one slow, exp FIFO .6", &COMPARED, &setup);
    setup = Setup { work: Work::HeavyTailed, ..ten(nine_and(SHARED, Server::Shared { slowness: 10.0 }), 0.6) };
    compare("one slow, heavy PS .6", &COMPARED, &setup);
    setup = ten(nine_and(QUEUE, Server::Far { delay_us: 90_000.0 }), 0.6);
    compare("one far, exp FIFO .6", &COMPARED, &setup);
    setup = ten(nine_and(QUEUE, Server::Dead), 0.6);
    compare("one dead, exp FIFO .6", &COMPARED, &setup);
    let client = |bound| Hashing { key: HashKey::Client, bound };
    let hashes = [
        PolicyKind::Hash(client(None)),
        PolicyKind::Maglev(client(None)),
        PolicyKind::Hash(client(Some(Bound(200)))),
        PolicyKind::Hash(client(Some(Bound(125)))),
        PolicyKind::PowerOfTwo,
    ];
    setup = Setup { keys: Keys::zipf(10_000), ..ten([QUEUE; 10], 0.6) };
    compare("zipf", &hashes, &setup);
}
