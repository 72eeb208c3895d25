//! Shares of `random`.

use super::*;

#[test]
fn chance_follows_the_weights() {
    for (seed, weights) in [vec![1; 10], vec![1, 2, 3, 4], vec![1000, 1, 500], vec![3; 1000]].iter().enumerate() {
        let mut worker = Worker::ready(PolicyKind::Random, weights, seed as u64);
        let mut hits = vec![0; weights.len()];
        for _ in 0..100_000 {
            hits[worker.pick().unwrap()] += 1;
        }
        assert_shares(&hits, weights);
    }
}

#[test]
fn what_is_out_leaves_its_share_to_the_others_by_weight() {
    let mut worker = Worker::ready(PolicyKind::Random, &[4, 1, 2, 1], 9);
    worker.set(0, Standing::Out);
    let mut hits = [0; 4];
    for _ in 0..100_000 {
        hits[worker.pick().unwrap()] += 1;
    }
    assert_eq!(hits[0], 0);
    assert_shares(&hits[1..], &[1, 2, 1]);
}
