//! Who is best where: the order of the policies by the time that 99 in 100 requests stay below.

use policy::plan::PolicyKind;

use crate::work::Work;
use crate::world::{Outcome, Server, Setup};
use crate::{ODD, QUEUE, SHARED, compare, nine_and, pool};

/// What came of each policy.
struct Compared {
    turns: Outcome,
    random: Outcome,
    least: Outcome,
    two: Outcome,
    peak: Outcome,
}

fn all(title: &str, setup: &Setup) -> Compared {
    let kinds = [
        PolicyKind::RoundRobin,
        PolicyKind::Random,
        PolicyKind::LeastRequests,
        PolicyKind::PowerOfTwo,
        PolicyKind::PeakEwma,
    ];
    let [turns, random, least, two, peak] = compare(title, kinds.map(|kind| (kind.name(), kind)), setup);
    Compared { turns, random, least, two, peak }
}

fn p99(outcome: &Outcome) -> f64 {
    outcome.quantile_ms(0.99)
}

/// Asserts that each is clearly better than the next.
#[track_caller]
fn assert_order<const N: usize>(outcomes: [&Outcome; N]) {
    let times = outcomes.map(p99);
    assert!(times.windows(2).all(|pair| pair[0] * 1.03 < pair[1]), "p99 in ms, the best first: {times:?}");
}

/// Asserts that two do not differ much.
#[track_caller]
fn assert_alike(one: &Outcome, other: &Outcome) {
    let (one, other) = (p99(one), p99(other));
    assert!((one / other - 1.0).abs() < 0.1, "p99 in ms: {one} and {other}");
}

#[test]
fn equal_backends_even_load() {
    let found = all("Ten equal backends, exponential work, load 0.7", &pool([QUEUE; 10], 0.7));
    assert_order([&found.least, &found.two, &found.turns, &found.random]);
    assert_alike(&found.peak, &found.two);
}

#[test]
fn equal_backends_near_their_limit() {
    let found = all("Ten equal backends, exponential work, load 0.9", &pool([QUEUE; 10], 0.9));
    assert_order([&found.least, &found.two, &found.turns, &found.random]);
    assert_alike(&found.peak, &found.two);
}

/// Where all are compared, latencies are no worse a measure than running requests.
#[test]
fn few_equal_backends() {
    let found = all("Five equal backends, exponential work, load 0.7", &pool([QUEUE; 5], 0.7));
    assert_order([&found.peak, &found.two, &found.turns, &found.random]);
    assert_order([&found.least, &found.two]);
}

#[test]
fn heavy_tailed_work_on_shared_backends() {
    let setup = Setup { work: Work::HeavyTailed, ..pool([SHARED; 10], 0.7) };
    let found = all("Ten equal backends that work on all requests at once, heavy-tailed work, load 0.7", &setup);
    assert_order([&found.least, &found.two, &found.peak, &found.turns]);
    assert_order([&found.peak, &found.random]);
}

#[test]
fn heavy_tailed_work_in_queues() {
    let setup = Setup { work: Work::HeavyTailed, ..pool([QUEUE; 10], 0.7) };
    let found = all("Ten equal backends that work on one request after the other, heavy-tailed work, load 0.7", &setup);
    assert_order([&found.least, &found.two, &found.peak, &found.turns]);
    assert_order([&found.peak, &found.random]);
}

#[test]
fn one_slow_backend() {
    let setup = pool(nine_and(QUEUE, Server::Queue { slowness: 10.0 }), 0.6);
    let found = all("One of ten is ten times slower, exponential work, load 0.6 of what they can do together", &setup);
    assert_order([&found.peak, &found.least, &found.two, &found.turns]);
    assert!(found.peak.share_of(ODD) < 0.01 && found.turns.share_of(ODD) > 0.09);
    assert!(p99(&found.random) > 100.0 * p99(&found.two), "a queue without end");
}

#[test]
fn one_far_backend() {
    let setup = pool(nine_and(QUEUE, Server::Far { delay_us: 90_000.0 }), 0.6);
    let found = all("One of ten is as fast as the others, but its answers take 90 ms longer, load 0.6", &setup);
    assert_order([&found.peak, &found.turns, &found.random]);
    assert!(found.peak.share_of(ODD) < 0.8 * found.two.share_of(ODD));
}

#[test]
fn one_dead_backend_that_nobody_probes() {
    let found = all(
        "One of ten refuses each connection at once, and nothing probes it; load 0.6",
        &pool(nine_and(QUEUE, Server::Dead), 0.6),
    );
    let failed = [&found.peak, &found.turns, &found.two, &found.least].map(Outcome::failed_share);
    assert!(failed.windows(2).all(|pair| pair[0] * 1.2 < pair[1]), "failed attempts, the fewest first: {failed:?}");
    assert!(failed[0] < 0.001, "{failed:?}");
    for outcome in [&found.turns, &found.random, &found.least, &found.two, &found.peak] {
        assert_eq!(outcome.errors, 0, "retries save every request");
    }
}
