//! Shares, smoothness and phases of `round-robin`.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const KIND: PolicyKind = PolicyKind::RoundRobin;

fn picks(worker: &mut Worker, count: usize) -> Vec<usize> {
    (0..count).map(|_| worker.pick().unwrap()).collect()
}

fn round_of(weights: &[u32]) -> usize {
    weights.iter().sum::<u32>() as usize
}

/// The longest row of one backend.
fn longest_row(picks: &[usize], backend: usize) -> usize {
    picks.split(|pick| *pick != backend).map(<[usize]>::len).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn any_round_holds_each_backend_as_often_as_it_weighs(
        weights in prop::collection::vec(1u32..40, 1..12), seed: u64,
    ) {
        let round = round_of(&weights);
        let picks = picks(&mut Worker::ready(KIND, &weights, seed), 3 * round);
        for window in picks.windows(round) {
            for (backend, weight) in weights.iter().enumerate() {
                let hits = window.iter().filter(|pick| **pick == backend).count();
                prop_assert_eq!(hits, *weight as usize);
            }
        }
    }

    #[test]
    fn a_row_is_no_longer_than_the_next_heaviest_allows(
        weights in prop::collection::vec(1u32..40, 2..12), seed: u64,
    ) {
        let picks = picks(&mut Worker::ready(KIND, &weights, seed), 3 * round_of(&weights));
        for (backend, weight) in weights.iter().enumerate() {
            let others = weights.iter().enumerate().filter(|(other, _)| *other != backend);
            let next = others.map(|(_, weight)| *weight).max().unwrap();
            prop_assert!(longest_row(&picks, backend) <= weight.div_ceil(next) as usize);
        }
    }

    #[test]
    fn a_backend_that_comes_or_goes_leaves_exact_rounds(
        weights in prop::collection::vec(1u32..10, 2..8), gone in any::<prop::sample::Index>(), seed: u64,
    ) {
        let mut worker = Worker::ready(KIND, &weights, seed);
        picks(&mut worker, 17);
        let gone = gone.index(weights.len());
        worker.set(gone, Standing::Out);
        let round = picks(&mut worker, round_of(&weights) - weights[gone] as usize);
        worker.set(gone, Standing::Ready);
        let whole = picks(&mut worker, round_of(&weights));
        for (backend, weight) in weights.iter().enumerate() {
            let hits = |picks: &[usize]| picks.iter().filter(|pick| **pick == backend).count();
            prop_assert_eq!(hits(&round), if backend == gone { 0 } else { *weight as usize });
            prop_assert_eq!(hits(&whole), *weight as usize);
        }
    }
}

#[test]
fn equal_weights_go_round_in_file_order() {
    for weight in [1, 5] {
        let picks = picks(&mut Worker::ready(KIND, &[weight; 4], 2), 12);
        assert!(picks.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 4), "{picks:?}");
    }
}

#[test]
fn light_backends_lie_spread_between_the_turns_of_a_heavy_one() {
    let mut weights = vec![1; 50];
    weights.push(50);
    let picks = picks(&mut Worker::ready(KIND, &weights, 5), 200);
    assert!((0..51).all(|backend| longest_row(&picks, backend) <= 3), "{picks:?}");
}

#[test]
fn workers_do_not_start_together() {
    for weights in [vec![1; 100], (1..=100).collect()] {
        let starts: BTreeSet<_> = (0..16).map(|seed| Worker::ready(KIND, &weights, seed).pick()).collect();
        assert!(starts.len() > 8, "{starts:?}");
    }
}

/// The retries of one broken backend must not push the rotation so that each first attempt falls to it.
#[test]
fn retries_leave_the_rotation_alone() {
    for weights in [[1, 1], [2, 1]] {
        let mut worker = Worker::ready(KIND, &weights, 4);
        let mut broken = 0;
        for _ in 0..300 {
            if worker.pick() == Some(0) {
                broken += 1;
                assert_eq!(worker.pick_but(&[0]), Some(1));
            }
        }
        assert_eq!(broken, 300 * weights[0] / (weights[0] + weights[1]));
    }
}
