//! Stability, disruption and shares of `maglev`.

use proptest::prelude::*;

use super::*;

const KIND: PolicyKind = MAGLEV;
const CLIENTS: u32 = 4_000;

/// Where each of some clients goes.
fn owners(worker: &mut Worker) -> Vec<usize> {
    (0..CLIENTS).map(|number| worker.pick_for(client(number), &[]).unwrap()).collect()
}

/// Clients of backends that stayed, but who were moved nevertheless, in per cent of all.
fn moved_in_vain(before: &[usize], after: &[usize], changed: usize) -> f64 {
    let moved = |(old, new): &(&usize, &usize)| old != new && **old != changed && **new != changed;
    100.0 * before.iter().zip(after).filter(moved).count() as f64 / before.len() as f64
}

proptest! {
    // A table is filled for each change.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn workers_agree_and_a_client_stays(weights in prop::collection::vec(1u32..10, 1..20), seeds: (u64, u64)) {
        let mut one = Worker::ready(KIND, &weights, seeds.0);
        let owners_before = owners(&mut one);
        prop_assert_eq!(&owners_before, &owners(&mut one));
        prop_assert_eq!(owners_before, owners(&mut Worker::ready(KIND, &weights, seeds.1)));
    }

    #[test]
    fn nodes_agree_whatever_the_order_of_the_file(
        (weights, order) in prop::collection::vec(1u32..10, 1..20).prop_flat_map(|weights| {
            let order = Just((0..weights.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(weights), order)
        }),
    ) {
        let file = weighted(&weights);
        let other: Vec<_> = order.iter().map(|index| file[*index].clone()).collect();
        let mut workers = [Worker::new(KIND, &file, 1), Worker::new(KIND, &other, 2)];
        let [ours, theirs] = workers.each_mut().map(owners);
        prop_assert!(ours.iter().zip(theirs).all(|(ours, theirs)| file[*ours].name == other[theirs].name));
    }

    #[test]
    fn who_leaves_moves_few_but_its_own_and_gets_all_back(
        weights in prop::collection::vec(1u32..10, 2..20), leaver in any::<prop::sample::Index>(),
    ) {
        let leaver = leaver.index(weights.len());
        let mut worker = Worker::ready(KIND, &weights, 1);
        let before = owners(&mut worker);
        worker.set(leaver, Standing::Out);
        let without = owners(&mut worker);
        prop_assert!(without.iter().all(|owner| *owner != leaver));
        let moved = moved_in_vain(&before, &without, leaver);
        prop_assert!(moved < 12.0, "{moved} %");
        worker.set(leaver, Standing::Ready);
        prop_assert_eq!(before, owners(&mut worker));
    }
}

#[test]
fn of_a_hundred_backends_one_moves_less_than_two_in_a_hundred_in_vain() {
    let mut worker = Worker::ready(KIND, &[1; 100], 1);
    let before = owners(&mut worker);
    let mut all = 0.0;
    for leaver in 0..10 {
        worker.set(leaver, Standing::Out);
        let moved = moved_in_vain(&before, &owners(&mut worker), leaver);
        worker.set(leaver, Standing::Ready);
        assert!(moved < 2.0, "{moved} %");
        all += moved;
    }
    println!("maglev, 100 backends: {:.2} % moved in vain when one leaves", all / 10.0);
}

/// Each place of the table once, by keys that lead there.
fn shares(weights: &[u32]) -> Vec<u32> {
    let members: Vec<_> = weighted(weights).iter().zip(0..).map(|(b, index)| member(b, index)).collect();
    let mut hits = vec![0; weights.len()];
    for owner in super::super::maglev::fill(&members) {
        hits[usize::from(owner)] += 1;
    }
    hits
}

fn member(backend: &Backend, index: u16) -> super::super::tiers::Member {
    let key = crate::rng::hash(backend.name.as_bytes());
    super::super::tiers::Member { backend: index, weight: backend.weight, permille: 1000, key }
}

#[test]
fn equal_weights_differ_by_one_place_at_most() {
    for backends in [1, 2, 3, 10, 100, 1000] {
        let shares = shares(&vec![1; backends]);
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        assert!(most - least <= 1, "{backends} backends: {least} to {most} places");
        assert_eq!(shares.iter().sum::<u32>(), 65_537);
    }
}

#[test]
fn places_are_shared_by_weight() {
    for weights in [vec![1, 2, 3, 4], vec![1, 1000], (1..=100).collect()] {
        let total: u32 = weights.iter().sum();
        for (places, weight) in shares(&weights).iter().zip(&weights) {
            let expected = 65_537.0 * f64::from(*weight) / f64::from(total);
            // What a member takes in one round is its weight over the mean.
            let round = f64::from(*weight) * weights.len() as f64 / f64::from(total);
            assert!((f64::from(*places) - expected).abs() <= round + 1.0, "{places} for {weight} of {total}");
        }
    }
}

#[test]
fn a_retry_has_one_other_place() {
    let mut worker = Worker::ready(KIND, &[1; 10], 1);
    for number in 0..100 {
        let first = u16::try_from(worker.pick_for(client(number), &[]).unwrap()).unwrap();
        let second = worker.pick_for(client(number), &[first]);
        assert_ne!(second, Some(first.into()));
        assert_eq!(second, worker.pick_for(client(number), &[first]));
    }
}
