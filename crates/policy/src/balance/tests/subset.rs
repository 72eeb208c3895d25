//! Parts of a pool: of a node, and of a key.

use std::collections::BTreeSet;

use super::*;

fn node(number: u64, backends: usize, size: u16) -> Worker {
    let share = NodeShare { size, node: crate::rng::mix(number) };
    let terms = Terms { seed: number, spill_over: None, share: Some(share) };
    let mut worker = Worker::on_terms(PolicyKind::RoundRobin, &weighted(&vec![1; backends]), terms);
    for backend in 0..backends {
        worker.set(backend, Standing::Ready);
    }
    worker
}

fn used(worker: &mut Worker, picks: usize) -> BTreeSet<usize> {
    (0..picks).map(|_| worker.pick().unwrap()).collect()
}

#[test]
fn a_node_uses_so_many_and_always_the_same() {
    let mut worker = node(1, 100, 20);
    let before = used(&mut worker, 200);
    assert_eq!(before.len(), 20);
    assert_eq!(used(&mut node(1, 100, 20), 200), before);
    assert_ne!(used(&mut node(2, 100, 20), 200), before);
    let lost = *before.first().unwrap();
    worker.set(lost, Standing::Out);
    let after = used(&mut worker, 200);
    assert_eq!((after.len(), before.difference(&after).count()), (20, 1), "one takes its place");
    worker.set(lost, Standing::Ready);
    assert_eq!(used(&mut worker, 200), before);
}

#[test]
fn others_gone_change_nothing_and_few_are_all() {
    let mut worker = node(3, 50, 10);
    let before = used(&mut worker, 100);
    for other in (0..50).filter(|backend| !before.contains(backend)).take(20) {
        worker.set(other, Standing::Out);
    }
    assert_eq!(used(&mut worker, 100), before);
    assert_eq!(used(&mut node(3, 5, 10), 100).len(), 5);
}

#[test]
fn nodes_spread_over_the_backends() {
    let mut users = [0u32; 50];
    for number in 0..400 {
        for backend in used(&mut node(number, 50, 10), 10) {
            users[backend] += 1;
        }
    }
    // 80 each in the mean, give or take four times the root of that.
    assert!(users.iter().all(|users| users.abs_diff(80) < 36), "{users:?}");
}

#[test]
fn a_retry_looks_only_within_the_part_of_the_node() {
    let mut worker = node(1, 100, 3);
    let part: Vec<u16> = used(&mut worker, 10).into_iter().map(|backend| u16::try_from(backend).unwrap()).collect();
    let last = worker.pick_but(&part[..2]).unwrap();
    assert_eq!(last, usize::from(part[2]));
    assert!(part.contains(&u16::try_from(worker.pick_but(&part).unwrap()).unwrap()));
}

const AMONG: PolicyKind = PolicyKind::Hash(Hashing { key: HashKey::Client, bound: None, among: 3 });

/// The backends of a client, found by filling each as it is picked.
fn sharing(worker: &mut Worker, number: u32) -> BTreeSet<usize> {
    let picked: Vec<usize> = (0..30)
        .map(|_| {
            let backend = worker.pick_for(client(number), &[]).unwrap();
            worker.take(backend);
            backend
        })
        .collect();
    for backend in &picked {
        worker.end(*backend);
    }
    let counts: Vec<usize> = (0..).take(20).map(|at| picked.iter().filter(|backend| **backend == at).count()).collect();
    assert!(counts.iter().all(|count| [0, 10].contains(count)), "the least loaded takes it: {counts:?}");
    picked.into_iter().collect()
}

#[test]
fn a_key_is_shared_by_a_few_that_stay_the_same() {
    let mut worker = Worker::ready(AMONG, &[1; 20], 1);
    let mut other = Worker::ready(AMONG, &[1; 20], 2);
    let mut alike = 0;
    for number in 0..200 {
        let mine = sharing(&mut worker, number);
        assert_eq!(mine.len(), 3);
        assert_eq!(mine, sharing(&mut other, number), "all workers agree");
        alike += usize::from(mine == sharing(&mut worker, number + 1000));
    }
    // One pair of a thousand or so: there are 1,140 sets of three.
    assert!(alike <= 3, "{alike} of 200 pairs share all");
}

#[test]
fn idle_backends_keep_a_key_at_its_first() {
    let mut worker = Worker::ready(AMONG, &[1; 20], 1);
    let first = worker.pick_for(client(7), &[]);
    assert!((0..10).all(|_| worker.pick_for(client(7), &[]) == first));
    let tried: Vec<u16> = sharing(&mut worker, 7).into_iter().map(|backend| u16::try_from(backend).unwrap()).collect();
    let beyond = worker.pick_for(client(7), &tried).unwrap();
    assert!(!tried.contains(&u16::try_from(beyond).unwrap()), "others are better than none");
}

#[test]
fn who_leaves_is_replaced_by_one() {
    let mut worker = Worker::ready(AMONG, &[1; 20], 1);
    let before: Vec<_> = (0..300).map(|number| sharing(&mut worker, number)).collect();
    worker.set(4, Standing::Out);
    for (number, before) in (0..).zip(&before) {
        let after = sharing(&mut worker, number);
        let lost = before.difference(&after).count();
        assert_eq!(lost, usize::from(before.contains(&4)), "{before:?} {after:?}");
    }
}

#[test]
fn a_small_pool_is_shared_by_all() {
    let mut worker = Worker::ready(AMONG, &[1, 1], 1);
    for _ in 0..4 {
        let backend = worker.pick_for(client(1), &[]).unwrap();
        worker.take(backend);
    }
    assert_eq!((worker.requests.get(0), worker.requests.get(1)), (2, 2));
}
