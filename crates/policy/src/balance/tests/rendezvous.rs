//! Stability, disruption and shares of `ip-hash` and `hash`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const KIND: PolicyKind = PolicyKind::IpHash;

/// Where each of some clients goes.
fn owners(worker: &mut Worker) -> Vec<usize> {
    (0..400).map(|number| worker.pick_for(client(number), &[]).unwrap()).collect()
}

proptest! {
    #[test]
    fn workers_agree_and_a_client_stays(weights in prop::collection::vec(1u32..10, 1..20), seeds: (u64, u64)) {
        let mut one = Worker::ready(KIND, &weights, seeds.0);
        let owners_before = owners(&mut one);
        prop_assert_eq!(&owners_before, &owners(&mut one));
        prop_assert_eq!(owners_before, owners(&mut Worker::ready(KIND, &weights, seeds.1)));
    }

    #[test]
    fn who_leaves_moves_only_its_own_clients_and_gets_them_back(
        weights in prop::collection::vec(1u32..10, 2..20), leaver in any::<prop::sample::Index>(),
    ) {
        let leaver = leaver.index(weights.len());
        let mut worker = Worker::ready(KIND, &weights, 1);
        let before = owners(&mut worker);
        worker.set(leaver, Standing::Out);
        for (old, new) in before.iter().zip(owners(&mut worker)) {
            prop_assert_eq!(*old == leaver, new != *old);
            prop_assert_ne!(new, leaver);
        }
        worker.set(leaver, Standing::Ready);
        prop_assert_eq!(before, owners(&mut worker));
    }

    #[test]
    fn a_new_plan_with_one_backend_more_moves_clients_only_to_it(
        weights in prop::collection::vec(1u32..10, 1..20), at in any::<prop::sample::Index>(), weight in 1u32..10,
    ) {
        let old = weighted(&weights);
        let mut new = old.clone();
        let at = at.index(old.len() + 1);
        new.insert(at, backend("new", weight, 0));
        let before = owners(&mut Worker::new(KIND, &old, 1));
        for (was, is) in before.into_iter().zip(owners(&mut Worker::new(KIND, &new, 2))) {
            prop_assert!(is == at || new[is].name == old[was].name);
        }
    }

    /// Winners that were kept through changes are those that a rendezvous among all would have.
    #[test]
    fn what_is_kept_is_what_a_fresh_worker_finds(
        weights in prop::collection::vec(1u32..10, 1..12),
        rounds in prop::collection::vec(prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..6), 1..12),
    ) {
        let mut worker = Worker::ready(KIND, &weights, 1);
        let mut standings = vec![Standing::Ready; weights.len()];
        for round in rounds {
            for (index, ready) in round {
                let backend = index.index(weights.len());
                standings[backend] = if ready { Standing::Ready } else { Standing::Excluded };
                worker.set(backend, standings[backend]);
            }
            let mut fresh = Worker::new(KIND, &weighted(&weights), 2);
            for (backend, standing) in standings.iter().enumerate() {
                fresh.set(backend, *standing);
            }
            for number in 0..100 {
                prop_assert_eq!(worker.pick_for(client(number), &[]), fresh.pick_for(client(number), &[]));
            }
        }
    }

    #[test]
    fn a_retry_of_a_client_has_one_other_place(weights in prop::collection::vec(1u32..10, 2..20), number: u16) {
        let mut worker = Worker::ready(KIND, &weights, 1);
        let client = client(number.into());
        let first = u16::try_from(worker.pick_for(client, &[]).unwrap()).unwrap();
        let second = worker.pick_for(client, &[first]);
        prop_assert_ne!(second, Some(first.into()));
        prop_assert_eq!(second, worker.pick_for(client, &[first]));
    }
}

#[test]
fn clients_are_shared_by_weight() {
    let weights = [1, 2, 3, 4, 10];
    let mut worker = Worker::ready(KIND, &weights, 1);
    let mut hits = [0u32; 5];
    for number in 0..200_000 {
        hits[worker.pick_for(client(number), &[]).unwrap()] += 1;
    }
    for (hits, weight) in hits.iter().zip(weights) {
        // 65,536 buckets: a standard deviation of 1.6 % for the lightest, which has 3,277.
        assert!(hits.abs_diff(weight * 10_000) < weight * 10_000 / 12, "{hits} for {weight}");
    }
}

/// A member that joins one by one, as at start, ends with its share.
#[test]
fn a_thousand_backends_get_their_share() {
    let mut worker = Worker::ready(KIND, &[1; 1000], 1);
    let mut hits: BTreeMap<usize, u32> = BTreeMap::new();
    for number in 0..20_000 {
        *hits.entry(worker.pick_for(client(number * 37), &[]).unwrap()).or_default() += 1;
    }
    assert!(hits.len() > 990, "{} of 1,000 have clients", hits.len());
    assert!(hits.values().all(|hits| *hits < 60), "{hits:?}");
}

#[test]
fn a_hash_of_the_client_is_ip_hash() {
    let weights = [1, 2, 3, 4, 5];
    assert_eq!(owners(&mut Worker::ready(KIND, &weights, 1)), owners(&mut Worker::ready(HASH, &weights, 2)));
}

/// Keys stay with their backends when the program is replaced: the numbers below may not change.
#[test]
fn the_owners_are_the_same_in_every_build() {
    let mut worker = Worker::ready(KIND, &[1, 2, 1, 1], 1);
    let found: Vec<_> = (0..16).map(|number| worker.pick_for(client(number), &[]).unwrap()).collect();
    assert_eq!(found, [1, 0, 1, 0, 2, 1, 1, 2, 1, 1, 1, 0, 0, 1, 0, 1]);
}
