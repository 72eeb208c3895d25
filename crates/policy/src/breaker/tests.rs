use proptest::prelude::*;

use super::*;

fn terms() -> plan::Breaker {
    plan::Breaker {
        failure_percent: 50,
        requests: 10,
        window: Duration::from_secs(5),
        time: Duration::from_secs(1),
        max_time: Duration::from_secs(6),
        trials: 3,
        statuses: vec![503],
        grpc: Default::default(),
    }
}

/// A breaker with what its pool has counted.
struct Scene {
    breaker: Breaker,
    counts: Counts,
    now_ms: u64,
}

impl Scene {
    fn new() -> Self {
        Self { breaker: Breaker::new(terms()), counts: Counts::default(), now_ms: 1_000_000 }
    }

    fn ended(&mut self, well: u64, ill: u64) -> Changed {
        self.counts.ended += well + ill;
        self.counts.failed += ill;
        self.breaker.note(self.now_ms, self.counts)
    }

    fn after(&mut self, ms: u64) -> Admission {
        self.now_ms += ms;
        self.breaker.admit(self.now_ms)
    }

    /// The end of a trial of the last opening.
    fn trial(&mut self, outcome: Outcome) -> Changed {
        self.breaker.trial_ended(self.now_ms, self.breaker.openings, outcome)
    }

    fn reason(&self) -> String {
        self.breaker.figures().reason
    }
}

const TRIAL: Admission = Admission::Trial(1);
const REFUSED: fn(u64) -> Admission = |until_ms| Admission::Refused { until_ms };

#[test]
fn it_opens_when_enough_attempts_fail_and_not_before() {
    let mut scene = Scene::new();
    assert_eq!(scene.ended(5, 4), Changed::No, "too few");
    assert_eq!(scene.ended(1, 0), Changed::No, "four of ten");
    assert_eq!(scene.after(0), Admission::Pass);
    assert_eq!(scene.ended(0, 2), Changed::Yes, "six of twelve");
    assert_eq!(scene.reason(), "6 of 12 attempts failed");
    assert_eq!(scene.after(999), REFUSED(1_001_000));
    assert_eq!(scene.breaker.figures().until_ms, Some(1_001_000));
    assert_eq!(scene.breaker.position(), Position::Open);
}

#[test]
fn what_is_older_than_the_window_does_not_count() {
    let mut scene = Scene::new();
    scene.ended(1000, 0);
    scene.now_ms += 5_000;
    assert_eq!(scene.ended(0, 9), Changed::No);
    scene.now_ms += 5_000;
    assert_eq!(scene.ended(1, 1), Changed::No, "the nine are forgotten");
    scene.now_ms += 4_000;
    assert_eq!(scene.ended(0, 8), Changed::Yes);
}

#[test]
fn a_few_trials_close_it() {
    let mut scene = Scene::new();
    scene.ended(0, 10);
    assert_eq!(scene.after(1_000), TRIAL);
    assert_eq!(scene.breaker.position(), Position::HalfOpen);
    assert_eq!([scene.after(0), scene.after(0)], [TRIAL; 2]);
    assert_eq!(scene.after(5), REFUSED(scene.now_ms));
    assert_eq!(scene.trial(Outcome::Passed), Changed::No);
    assert_eq!(scene.after(0), REFUSED(scene.now_ms), "no more than needed");
    assert_eq!(scene.trial(Outcome::Nothing), Changed::No);
    assert_eq!(scene.after(0), TRIAL, "in place of the one that said nothing");
    assert_eq!(scene.trial(Outcome::Passed), Changed::No);
    assert_eq!(scene.reason(), "10 of 10 attempts failed; 2 of 3 trials passed");
    assert_eq!(scene.trial(Outcome::Passed), Changed::Yes);
    assert_eq!((scene.after(0), scene.breaker.position()), (Admission::Pass, Position::Closed));
    assert_eq!(scene.reason(), "3 trials passed");
    assert_eq!(scene.ended(0, 9), Changed::No, "what was before is forgotten");
}

#[test]
fn each_failed_trial_doubles_the_wait_up_to_the_longest() {
    let mut scene = Scene::new();
    scene.ended(0, 10);
    for (wait_ms, next_ms) in [(1_000, 2_000), (2_000, 4_000), (4_000, 6_000), (6_000, 6_000)] {
        assert_eq!(scene.after(wait_ms - 1), REFUSED(scene.now_ms + 1));
        let number = scene.breaker.openings;
        assert_eq!([scene.after(1), scene.after(0)], [Admission::Trial(number); 2]);
        assert_eq!(scene.trial(Outcome::Failed), Changed::Yes);
        assert_eq!(scene.trial(Outcome::Passed), Changed::No, "the second one comes too late");
        assert_eq!(scene.breaker.figures().until_ms, Some(scene.now_ms + next_ms));
    }
    assert_eq!(scene.reason(), "10 of 10 attempts failed; opened 5 times in a row");
    assert_eq!(scene.breaker.figures().openings, 5);
}

#[test]
fn calm_is_rewarded() {
    let waits = |calm_ms: u64| {
        let mut scene = Scene::new();
        scene.ended(0, 10);
        scene.after(1_000);
        scene.trial(Outcome::Failed);
        scene.after(2_000);
        (0..2).for_each(|_| assert_eq!(scene.after(0), Admission::Trial(2)));
        let ends = [(); 3].map(|()| scene.trial(Outcome::Passed));
        assert_eq!(ends, [Changed::No, Changed::No, Changed::Yes]);
        scene.now_ms += calm_ms;
        assert_eq!(scene.ended(0, 10), Changed::Yes);
        scene.breaker.figures().until_ms.unwrap() - scene.now_ms
    };
    assert_eq!([waits(0), waits(10_000), waits(20_000), waits(900_000)], [4_000, 2_000, 1_000, 1_000]);
}

#[test]
fn a_trial_of_an_earlier_time_says_nothing() {
    let mut scene = Scene::new();
    scene.ended(0, 10);
    assert_eq!([scene.after(1_000), scene.after(0)], [TRIAL; 2]);
    scene.trial(Outcome::Failed);
    assert_eq!(scene.after(2_000), Admission::Trial(2));
    assert_eq!(scene.breaker.trial_ended(scene.now_ms, 1, Outcome::Failed), Changed::No);
    assert_eq!(scene.breaker.position(), Position::HalfOpen);
    assert_eq!([scene.after(0), scene.after(0)], [Admission::Trial(2); 2]);
    assert_eq!(scene.after(0), REFUSED(scene.now_ms));
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Ended(u64, u64),
    Ask,
    Trial(Outcome),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let outcome = prop::sample::select(vec![Outcome::Passed, Outcome::Failed, Outcome::Nothing]);
    prop_oneof![
        1 => (0..20u64, 0..20u64).prop_map(|(well, ill)| Act::Ended(well, ill)),
        3 => Just(Act::Ask),
        3 => outcome.prop_map(Act::Trial),
        1 => (1..3_000u64).prop_map(Act::Pass),
    ]
}

proptest! {
    #[test]
    fn trials_are_bounded_and_it_is_never_open_for_ever(acts in prop::collection::vec(act(), 0..400)) {
        let mut scene = Scene::new();
        let mut running = 0u32;
        for act in acts {
            match act {
                Act::Ended(well, ill) => {
                    scene.ended(well, ill);
                }
                Act::Ask => running += u32::from(matches!(scene.after(0), Admission::Trial(_))),
                Act::Trial(outcome) if running > 0 => {
                    running -= 1;
                    scene.trial(outcome);
                }
                Act::Trial(_) => {}
                Act::Pass(ms) => scene.now_ms += ms,
            }
            if scene.breaker.position() != Position::HalfOpen {
                // Those still under way are told to nobody.
                running = 0;
            }
            prop_assert!(running <= 3);
        }
        // From wherever it is, a healthy pool is closed again after the longest wait and three good trials.
        for _ in 0..running {
            scene.trial(Outcome::Nothing);
        }
        scene.now_ms += 6_000;
        for _ in 0..3 {
            if matches!(scene.after(0), Admission::Trial(_)) {
                scene.trial(Outcome::Passed);
            }
        }
        prop_assert_eq!(scene.breaker.position(), Position::Closed);
    }
}
