//! Where theory has an answer, the simulation must find it.

use policy::plan::PolicyKind;

use crate::theory;
use crate::work::{Keys, MEAN_US, Work};
use crate::world::{Outcome, Setup, run};
use crate::{QUEUE, SEED, SHARED, capacity};

/// Equal servers behind one worker, since theory knows of one.
fn equal(servers: usize, load: f64) -> Setup {
    let servers = vec![QUEUE; servers];
    Setup {
        rate: load * capacity(&servers),
        servers,
        work: Work::Exponential,
        keys: Keys::Own,
        requests: 200_000,
        workers: 1,
        seed: SEED,
    }
}

fn mean(outcome: &Outcome) -> f64 {
    outcome.mean_ms() * 1000.0 / MEAN_US
}

/// Prints what was found beside what theory says, in units of the mean work, and holds them together.
#[track_caller]
fn assert_near(what: &str, found: f64, theory: f64, tolerance: f64) {
    println!("| {what} | {theory:.2} | {found:.2} |");
    assert!((found / theory - 1.0).abs() < tolerance, "{what}: {found} where theory says {theory}");
}

#[test]
fn mean_times_are_those_of_theory() {
    println!("\nIn units of the mean work:\n\n| what | theory | found |\n|---|---|---|");
    for load in [0.5, 0.8] {
        let setup = equal(10, load);
        let random = run(&PolicyKind::Random, &setup);
        assert_near(&format!("random, load {load}: M/M/1 mean"), mean(&random), theory::random_mean(load), 0.05);
        let p99 = random.quantile_ms(0.99) * 1000.0 / MEAN_US;
        assert_near(&format!("random, load {load}: M/M/1 p99"), p99, theory::random_quantile(load, 0.99), 0.08);
        let turns = mean(&run(&PolicyKind::RoundRobin, &setup));
        assert_near(&format!("round-robin, load {load}: E10/M/1 mean"), turns, theory::turns_mean(load, 10.0), 0.05);
    }
    let setup = equal(100, 0.9);
    let two = mean(&run(&PolicyKind::PowerOfTwo, &setup));
    assert_near("power-of-two, 100 backends, load 0.9: Mitzenmacher", two, theory::two_choices_mean(0.9), 0.05);
    let least = mean(&run(&PolicyKind::LeastRequests, &setup));
    let one_queue = theory::one_queue_mean(0.9, 100);
    println!("| least-requests, 100 backends, load 0.9: above M/M/100 | {one_queue:.2} | {least:.2} |");
    assert!((one_queue..two).contains(&least), "{least}");
}

/// The mean time of a shared server depends on nothing but the mean work (insensitivity of M/G/1 processor sharing), but
/// heavy tails take long to show it.
#[test]
fn shared_servers_do_not_mind_a_heavy_tail() {
    let servers = vec![SHARED; 10];
    let setup = Setup { servers, work: Work::HeavyTailed, ..equal(10, 0.6) };
    let random = mean(&run(&PolicyKind::Random, &setup));
    println!("\n| what | theory | found |\n|---|---|---|");
    assert_near("random, heavy tail, shared, load 0.6: mean", random, theory::random_mean(0.6), 0.12);
}

#[test]
fn a_seed_repeats_itself() {
    let setup = Setup { requests: 5_000, workers: 4, ..equal(10, 0.8) };
    for kind in [PolicyKind::LeastRequests, PolicyKind::PeakEwma] {
        assert_eq!(run(&kind, &setup).times_us, run(&kind, &setup).times_us);
    }
}
