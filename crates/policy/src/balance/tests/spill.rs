//! Tiers that help each other out.

use super::*;

const OVER: SpillOver = SpillOver { below_percent: 100, full: false };

/// Four backends in tier 0 and two in tier 1, all ready.
fn worker(kind: PolicyKind, spill_over: SpillOver) -> Worker {
    let tiers = [0, 0, 0, 0, 1, 1];
    let backends: Vec<_> = (0..).zip(tiers).map(|(number, tier)| backend(&format!("b{number}"), 1, tier)).collect();
    let terms = Terms { seed: 5, spill_over: Some(spill_over), share: None };
    let mut worker = Worker::on_terms(kind, &backends, terms);
    for backend in 0..backends.len() {
        worker.set(backend, Standing::Ready);
    }
    worker
}

/// Requests for each backend, of so many that each come from another client and end at once.
fn hits(worker: &mut Worker, picks: u32) -> [u32; 6] {
    let mut hits = [0; 6];
    for number in 0..picks {
        hits[worker.pick_for(client(number), &[]).unwrap()] += 1;
    }
    hits
}

#[test]
fn what_a_tier_lacks_goes_to_the_next() {
    for kind in KINDS {
        let mut worker = worker(kind.clone(), OVER);
        assert_eq!(hits(&mut worker, 1000)[4..], [0, 0], "{}: all is well", kind.name());
        worker.set(0, Standing::Out);
        let all = hits(&mut worker, 40_000);
        let spilled = all[4] + all[5];
        assert!(all[0] == 0 && spilled.abs_diff(10_000) < 800, "{}: {all:?}", kind.name());
        worker.set(0, Standing::Ready);
        assert_eq!(hits(&mut worker, 1000)[4..], [0, 0], "{}: well again", kind.name());
    }
}

#[test]
fn a_tier_that_starts_slowly_is_short_by_its_part() {
    let mut worker = worker(PolicyKind::RoundRobin, OVER);
    for backend in 0..4 {
        worker.balancer.weight_changed(backend, 500);
    }
    let all = hits(&mut worker, 40_000);
    assert!((all[4] + all[5]).abs_diff(20_000) < 800, "{all:?}");
}

#[test]
fn who_is_out_by_hand_counts_neither_way() {
    let mut worker = worker(PolicyKind::RoundRobin, OVER);
    worker.set(0, Standing::Excluded);
    assert_eq!(hits(&mut worker, 1000)[4..], [0, 0]);
}

#[test]
fn the_same_keys_go_over() {
    let mut worker = worker(HASH, OVER);
    worker.set(0, Standing::Out);
    let owners =
        |worker: &mut Worker| -> Vec<_> { (0..2000).map(|number| worker.pick_for(client(number), &[])).collect() };
    assert_eq!(owners(&mut worker), owners(&mut worker));
}

#[test]
fn a_retry_stays_with_those_that_are_left() {
    let mut worker = worker(PolicyKind::RoundRobin, OVER);
    worker.set(0, Standing::Out);
    assert!((0..100).all(|_| [2, 3].contains(&worker.pick_but(&[1]).unwrap())));
    assert!((0..100).all(|_| worker.pick_but(&[1, 2, 3]).unwrap() >= 4));
}

#[test]
fn a_full_tier_goes_on_where_that_is_wanted() {
    let is_full = |backend: usize| backend >= 4;
    for full in [false, true] {
        let mut worker = worker(PolicyKind::LeastRequests, SpillOver { full, ..OVER });
        let requests = Rc::clone(&worker.requests);
        let mut pick = Pick { key: 0, tried: &[], rng: &mut worker.rng, loads: &*requests, now_ms: 0 };
        let found = worker.balancer.pick_with_room(&mut pick, &is_full);
        assert_eq!(found.is_some(), full);
        assert!(found.is_none_or(|found| found >= 4));
    }
}
