//! Caps: which backends are picked while others are full, and which are waited for.

use proptest::prelude::*;

use super::*;
use crate::balance::Awaited;

const STANDINGS: [Standing; 5] =
    [Standing::Ready, Standing::Unknown, Standing::Ejected, Standing::Out, Standing::Excluded];

impl Worker {
    fn pick_in(&mut self, tried: &[u16], has_room: &[bool]) -> Option<usize> {
        let requests = Rc::clone(&self.requests);
        let mut pick = Pick { key: 1, tried, rng: &mut self.rng, loads: &*requests, now_ms: 0 };
        self.balancer.pick_with_room(&mut pick, &|backend| has_room[backend])
    }
}

#[test]
fn no_policy_picks_a_full_backend_while_another_has_room() {
    for kind in KINDS {
        let mut worker = Worker::ready(kind.clone(), &[1, 5, 1, 3], 7);
        for _ in 0..200 {
            let picked = worker.pick_in(&[], &[false, false, true, false]);
            assert_eq!(picked, Some(2), "{kind:?}");
        }
        assert_eq!(worker.pick_in(&[], &[false; 4]), None, "{kind:?}");
    }
}

#[test]
fn a_busy_tier_does_not_spill_into_the_next() {
    let backends = [backend("a", 1, 0), backend("b", 1, 1)];
    for kind in KINDS {
        let mut worker = Worker::new(kind.clone(), &backends, 1);
        worker.set(0, Standing::Ready);
        worker.set(1, Standing::Ready);
        assert_eq!(worker.pick_in(&[], &[false, true]), None, "{kind:?}");
        for standing in [Standing::Ejected, Standing::Out] {
            worker.set(0, standing);
            assert_eq!(worker.pick_in(&[], &[true, true]), Some(1), "{kind:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_waited_for_is_what_would_be_picked(
        of in proptest::collection::vec((0..STANDINGS.len(), 0..3_u8, any::<bool>()), 1..7),
        tried in proptest::collection::vec(0..7_u16, 0..4),
        kind in 0..6_usize,
    ) {
        let backends: Vec<Backend> =
            of.iter().enumerate().map(|(index, (_, tier, _))| backend(&format!("b{index}"), 1, *tier)).collect();
        let slots: Vec<(Standing, u8)> = of.iter().map(|(standing, tier, _)| (STANDINGS[*standing], *tier)).collect();
        let has_room: Vec<bool> = of.iter().map(|(_, _, room)| *room).collect();
        let mut worker = Worker::new(KINDS[kind].clone(), &backends, 3);
        for (index, (standing, _)) in slots.iter().enumerate() {
            worker.set(index, *standing);
        }
        let awaited = Awaited::new(slots.iter().copied(), &tried);
        let admitted: Vec<usize> = (0..slots.len())
            .filter(|&index| awaited.is_some_and(|it| it.admits(u16::try_from(index).unwrap(), slots[index], &tried)))
            .collect();
        prop_assert_eq!(awaited.is_none(), slots.iter().all(|(standing, _)| *standing == Standing::Excluded));
        let roomy: Vec<usize> = admitted.iter().copied().filter(|&index| has_room[index]).collect();
        match worker.pick_in(&tried, &has_room) {
            Some(picked) => prop_assert!(roomy.contains(&picked), "{picked} of {roomy:?}"),
            None => prop_assert!(roomy.is_empty(), "none of {roomy:?}"),
        }
    }
}
