//! Who may be picked, for every policy alike.

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

#[derive(Clone, Debug)]
struct Made {
    weight: u32,
    tier: u8,
    standing: Standing,
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::Ready),
        Just(Standing::Unknown),
        Just(Standing::Ejected),
        Just(Standing::Out),
        Just(Standing::Excluded)
    ]
}

fn made() -> impl Strategy<Value = Made> {
    (1u32..10, 0u8..3, standing()).prop_map(|(weight, tier, standing)| Made { weight, tier, standing })
}

/// Everybody that a pick may name, straight from the documented order of choice.
fn allowed(pool: &[Made], tried: &[u16]) -> Vec<usize> {
    let among = |wanted: (Standing, Option<u8>), also_tried: bool| -> Vec<usize> {
        let (standing, tier) = wanted;
        let fits = |(index, made): &(usize, &Made)| {
            made.standing == standing
                && tier.is_none_or(|tier| made.tier == tier)
                && (also_tried || !tried.iter().any(|tried| usize::from(*tried) == *index))
        };
        pool.iter().enumerate().filter(fits).map(|(index, _)| index).collect()
    };
    let mut choices = Vec::new();
    for also_tried in [false, true] {
        for standing in [Standing::Ready, Standing::Unknown] {
            choices.extend((0..3).map(|tier| among((standing, Some(tier)), also_tried)));
        }
    }
    for also_tried in [false, true] {
        choices.extend([Standing::Ejected, Standing::Out].map(|standing| among((standing, None), also_tried)));
    }
    choices.into_iter().find(|choice| !choice.is_empty()).unwrap_or_default()
}

fn assert_allowed(worker: &mut Worker, pool: &[Made], tried: &[u16]) {
    let allowed = allowed(pool, tried);
    for number in 0..4 {
        match worker.pick_for(client(number), tried) {
            Some(picked) => assert!(allowed.contains(&picked), "{picked} of {allowed:?} in {pool:?} but {tried:?}"),
            None => assert_eq!(allowed, [0; 0], "nothing picked in {pool:?} but {tried:?}"),
        }
    }
}

fn worker(kind: PolicyKind, pool: &[Made]) -> Worker {
    let backends: Vec<_> =
        pool.iter().enumerate().map(|(index, made)| backend(&format!("b{index}"), made.weight, made.tier)).collect();
    let mut worker = Worker::new(kind, &backends, 7);
    for (index, made) in pool.iter().enumerate() {
        worker.set(index, made.standing);
    }
    worker
}

/// Changes standings one by one.
fn assert_order_of_choice(
    kind: &PolicyKind,
    mut pool: Vec<Made>,
    changes: &[(prop::sample::Index, Standing)],
    tried: &[u16],
) {
    let mut worker = worker(kind.clone(), &pool);
    assert_allowed(&mut worker, &pool, tried);
    for (index, standing) in changes {
        let backend = index.index(pool.len());
        pool[backend].standing = *standing;
        worker.set(backend, *standing);
        assert_allowed(&mut worker, &pool, tried);
        assert_allowed(&mut worker, &pool, &[]);
    }
}

proptest! {
    #[test]
    fn only_the_best_level_with_an_untried_backend_is_picked(
        pool in prop::collection::vec(made(), 1..12),
        changes in prop::collection::vec((any::<prop::sample::Index>(), standing()), 0..12),
        tried in prop::collection::vec(0u16..12, 0..14),
    ) {
        for kind in KINDS.into_iter().filter(|kind| kind.name() != "maglev") {
            assert_order_of_choice(&kind, pool.clone(), &changes, &tried);
        }
    }
}

proptest! {
    // A table is filled for each change.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn only_the_best_level_is_picked_from_tables(
        pool in prop::collection::vec(made(), 1..12),
        changes in prop::collection::vec((any::<prop::sample::Index>(), standing()), 0..12),
        tried in prop::collection::vec(0u16..12, 0..14),
    ) {
        assert_order_of_choice(&MAGLEV, pool.clone(), &changes, &tried);
        assert_order_of_choice(&BOUNDED_MAGLEV, pool, &changes, &tried);
    }
}

#[test]
fn a_thousand_backends_come_and_go() {
    let standings = [Standing::Ready, Standing::Unknown, Standing::Out, Standing::Excluded];
    for kind in KINDS {
        let mut rng = Rng::new(3);
        let mut throw = |n: usize| usize::try_from(rng.below(n as u64)).unwrap();
        let made = |index: u32| Made { weight: index % 7 + 1, tier: 0, standing: Standing::Ready };
        let mut pool: Vec<_> = (0..1000).map(made).collect();
        let mut worker = worker(kind.clone(), &pool);
        for _ in 0..100 {
            let (backend, standing) = (throw(1000), standings[throw(4)]);
            pool[backend].standing = standing;
            worker.set(backend, standing);
            let tried = [throw(1000), throw(1000), throw(1000)].map(|backend| u16::try_from(backend).unwrap());
            assert_allowed(&mut worker, &pool, &tried);
            assert_allowed(&mut worker, &pool, &[]);
        }
    }
}

#[test]
fn one_backend_takes_it_all() {
    for kind in KINDS {
        let mut worker = Worker::ready(kind.clone(), &[3], 1);
        assert_eq!([worker.pick(), worker.pick(), worker.pick_but(&[0])], [Some(0); 3], "{kind:?}");
    }
}

#[test]
fn panic_spreads_over_all_that_are_out_whatever_their_tier() {
    for kind in KINDS {
        let backends = [backend("a", 1, 0), backend("b", 1, 1), backend("c", 1, 2)];
        let mut worker = Worker::new(kind.clone(), &backends, 1);
        for index in 0..2 {
            worker.set(index, Standing::Out);
        }
        worker.set(2, Standing::Excluded);
        let hits: std::collections::BTreeSet<_> = (0..40).map(|n| worker.pick_for(client(n), &[])).collect();
        let expected = if kind == PolicyKind::First { vec![Some(0)] } else { vec![Some(0), Some(1)] };
        assert_eq!(hits.into_iter().collect::<Vec<_>>(), expected, "{kind:?}");
    }
}

#[test]
fn what_the_operator_took_out_is_never_picked() {
    for kind in KINDS {
        let mut worker = Worker::ready(kind.clone(), &[1, 1], 1);
        worker.set(0, Standing::Excluded);
        worker.set(1, Standing::Excluded);
        assert_eq!(worker.pick(), None, "{kind:?}");
    }
}

#[test]
fn before_any_verdict_all_may_be_picked() {
    for kind in KINDS {
        let mut worker = Worker::new(kind.clone(), &weighted(&[1, 1]), 1);
        assert_eq!([worker.pick_but(&[0]), worker.pick_but(&[1])], [Some(1), Some(0)], "{kind:?}");
    }
}

#[test]
fn what_the_pool_does_not_have_is_ignored() {
    for kind in KINDS {
        let mut worker = Worker::ready(kind.clone(), &[1], 1);
        worker.set(7, Standing::Ready);
        worker.balancer.taken(7, &Requests::default());
        worker.balancer.returned(7, &Requests::default());
        assert_eq!(worker.pick_but(&[7, 9]), Some(0), "{kind:?}");
        assert_eq!(Worker::new(kind.clone(), &[], 1).pick(), None, "{kind:?}");
    }
}

#[test]
fn first_keeps_to_file_order() {
    let mut worker = Worker::ready(PolicyKind::First, &[1, 9, 1], 1);
    assert_eq!([worker.pick(), worker.pick_but(&[0]), worker.pick_but(&[1, 0])], [Some(0), Some(1), Some(2)]);
    worker.set(0, Standing::Out);
    assert_eq!(worker.pick(), Some(1));
    worker.set(0, Standing::Ready);
    assert_eq!(worker.pick(), Some(0));
}
