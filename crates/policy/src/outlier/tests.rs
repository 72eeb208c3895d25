use std::net::SocketAddr;

use super::*;
use crate::plan::{Address, FailureRate, LatencyRule};

fn backends(count: u16) -> Vec<Backend> {
    let backend = |n| {
        let address = Address::Ip(SocketAddr::from(([10, 0, 0, 1], 1000 + n)));
        Backend {
            name: address.to_string(),
            address,
            weight: 1,
            tier: 0,
            state: Wanted::Ready,
            max_requests: None,
            caps: Default::default(),
            tls: false,
            http2: false,
        }
    };
    (0..count).map(backend).collect()
}

fn terms() -> Eject {
    Eject {
        failures: 3,
        time: Duration::from_secs(1),
        max_time: Duration::from_secs(60),
        max_share_percent: 50,
        statuses: vec![502, 503, 504],
        grpc: Default::default(),
        failure_rate: Some(FailureRate { percent: 50, requests: 20 }),
        latency: Some(LatencyRule { factor: 5, requests: 50 }),
    }
}

/// A pool whose backends are ready, what the workers have seen of it, and the time.
struct Scene {
    machine: Outliers,
    seen: Vec<Sighting>,
    now_ms: u64,
}

impl Scene {
    fn of(count: u16) -> Self {
        Self::with(terms(), count)
    }

    fn with(terms: Eject, count: u16) -> Self {
        let mut machine = Outliers::new(terms, &backends(count));
        (0..usize::from(count)).for_each(|backend| machine.stands(backend, Standing::Ready));
        Self { machine, seen: vec![Sighting::default(); usize::from(count)], now_ms: 1000 }
    }

    /// Attempts that fail; reported at each third in a row as workers do.
    fn fail(&mut self, backend: usize, count: u32, fault: Fault) {
        for _ in 0..count {
            let seen = &mut self.seen[backend];
            (seen.failures, seen.fault) = (seen.failures + 1, Some(fault));
            (seen.ended, seen.faults) = (seen.ended + 1, seen.faults + 1);
            if seen.failures.is_multiple_of(3) {
                self.machine.failed_in_a_row(self.now_ms, backend, &self.seen);
            }
        }
    }

    fn answer(&mut self, backend: usize, count: u64, first_byte_us: u64) {
        let seen = &mut self.seen[backend];
        seen.failures = 0;
        (seen.ended, seen.answers) = (seen.ended + count, seen.answers + count);
        seen.first_byte_us += count * first_byte_us;
    }

    fn after(&mut self, ms: u64) {
        self.now_ms += ms;
        self.machine.pass_time(self.now_ms);
    }

    fn second(&mut self) {
        self.after(1000);
        self.machine.look(self.now_ms, &self.seen);
    }

    /// Control forgets a streak when an ejection ends.
    fn trial(&mut self, backend: usize, trial: Trial) {
        self.machine.trial_told(self.now_ms, backend, trial);
        if !self.is_out(backend) {
            self.seen[backend].failures = 0;
        }
    }

    fn ruling(&self, backend: usize) -> Ruling {
        self.machine.ruling(self.now_ms, backend)
    }

    fn is_out(&self, backend: usize) -> bool {
        matches!(self.ruling(backend), Ruling::Ejected { .. })
    }

    fn offer(&self, backend: usize) -> Offer {
        match self.ruling(backend) {
            Ruling::Ejected { offer, .. } => offer,
            ruling => panic!("{ruling:?}"),
        }
    }

    #[track_caller]
    fn assert_reason(&self, backend: usize, part: &str) {
        let reason = match self.ruling(backend) {
            Ruling::Ejected { reason, .. } | Ruling::Spared(reason) => reason,
            Ruling::Clear => String::new(),
        };
        assert!(reason.contains(part), "{reason:?} lacks {part:?}");
    }

    /// How long a backend is out from now.
    fn time_out(&self, backend: usize) -> u64 {
        match self.ruling(backend) {
            Ruling::Ejected { until_ms, .. } => until_ms - self.now_ms,
            ruling => panic!("{ruling:?}"),
        }
    }
}

#[test]
fn three_failures_in_a_row_eject_and_a_success_between_does_not() {
    let mut scene = Scene::of(3);
    scene.fail(0, 2, Fault::Reset);
    scene.answer(0, 1, 100);
    scene.fail(0, 2, Fault::Reset);
    assert_eq!(scene.ruling(0), Ruling::Clear);
    scene.fail(0, 1, Fault::Status(503));
    assert_eq!((scene.offer(0), scene.time_out(0)), (Offer::Nothing, 1000));
    scene.assert_reason(0, "3 failures in a row: status 503; one request tries it after 1 s");
    assert_eq!((scene.machine.tally(0).ejections, scene.machine.ejected()), (1, 1));
}

#[test]
fn a_report_that_a_success_has_overtaken_ejects_nobody() {
    let mut scene = Scene::of(3);
    scene.fail(0, 2, Fault::Reset);
    assert_eq!(scene.machine.failed_in_a_row(scene.now_ms, 0, &scene.seen), Changed::No);
    assert_eq!(scene.ruling(0), Ruling::Clear);
}

#[test]
fn a_trial_lifts_and_a_failed_one_doubles_the_time() {
    let mut scene = Scene::of(3);
    scene.fail(0, 3, Fault::FirstByte);
    for wait in [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
        assert_eq!((scene.offer(0), scene.time_out(0)), (Offer::Nothing, wait));
        assert_eq!(scene.machine.next_due_ms(scene.now_ms), Some(scene.now_ms + wait));
        scene.after(wait - 1);
        assert_eq!(scene.offer(0), Offer::Nothing);
        scene.after(1);
        assert_eq!(scene.offer(0), Offer::Repeatable);
        scene.assert_reason(0, "the next request may try it");
        scene.trial(0, Trial::Failed(Fault::FirstByte));
    }
    scene.assert_reason(0, "8 trials failed");
    scene.after(60_000);
    scene.trial(0, Trial::Head { first_byte_us: 500 });
    assert_eq!(scene.ruling(0), Ruling::Clear);
    assert_eq!(scene.machine.next_due_ms(scene.now_ms), None);
}

#[test]
fn good_behaviour_is_rewarded_step_by_step() {
    let mut scene = Scene::of(3);
    let round = |scene: &mut Scene, wait: u64| {
        scene.fail(0, 3, Fault::Reset);
        assert_eq!(scene.time_out(0), wait);
        scene.after(wait);
        scene.trial(0, Trial::Head { first_byte_us: 1 });
    };
    for wait in [1000, 2000, 4000, 8000] {
        round(&mut scene, wait);
    }
    scene.after(9_999);
    round(&mut scene, 16_000);
    scene.after(20_000);
    round(&mut scene, 8000);
    scene.after(1_000_000);
    round(&mut scene, 1000);
}

#[test]
fn no_probe_lifts_what_a_probe_does_not_see() {
    for (fault, lifted) in [
        (Fault::Connect, true),
        (Fault::Reset, false),
        (Fault::FirstByte, false),
        (Fault::Malformed, false),
        (Fault::Truncated, false),
        (Fault::Status(503), false),
    ] {
        let mut scene = Scene::of(3);
        scene.fail(0, 3, fault);
        scene.machine.probed(scene.now_ms, 0, Probe::Failed, Standing::Ready);
        assert!(scene.is_out(0));
        scene.machine.probed(scene.now_ms, 0, Probe::Passed, Standing::Ready);
        assert_eq!(!scene.is_out(0), lifted, "{fault}");
    }
}

#[test]
fn cut_answers_are_lifted_by_whole_ones_only() {
    let mut scene = Scene::of(3);
    scene.fail(0, 3, Fault::Truncated);
    scene.after(1000);
    scene.trial(0, Trial::Head { first_byte_us: 1 });
    assert!(scene.is_out(0));
    scene.trial(0, Trial::Whole);
    assert!(!scene.is_out(0));
}

#[test]
fn while_probes_fail_nobody_need_try_it() {
    let mut scene = Scene::of(3);
    scene.fail(0, 3, Fault::Reset);
    scene.machine.probed(scene.now_ms, 0, Probe::Failed, Standing::Out);
    scene.after(1000);
    assert_eq!(scene.offer(0), Offer::Nothing);
    assert_eq!(scene.machine.probed(scene.now_ms, 0, Probe::Passed, Standing::Ready), Changed::Yes);
    assert_eq!(scene.offer(0), Offer::Repeatable);
}

#[test]
fn where_nothing_can_be_repeated_anything_may_try_it_in_the_end() {
    let mut scene = Scene::of(3);
    scene.fail(0, 3, Fault::Reset);
    scene.after(1000);
    scene.after(59_999);
    assert_eq!(scene.offer(0), Offer::Repeatable);
    assert_eq!(scene.machine.next_due_ms(scene.now_ms), Some(scene.now_ms + 1));
    scene.after(1);
    assert_eq!(scene.offer(0), Offer::Any);
    assert_eq!(scene.machine.next_due_ms(scene.now_ms), None);
}

#[test]
fn what_fails_everywhere_alike_ejects_nobody() {
    let mut scene = Scene::of(4);
    for _ in 0..3 {
        (0..4).for_each(|backend| scene.fail(backend, 1, Fault::Status(503)));
    }
    assert_eq!(scene.machine.ejected(), 0);
    scene.assert_reason(2, "all 4 backends fail alike (status 503), so that the cause is shared");
    (0..4).for_each(|backend| scene.answer(backend, 1, 100));
    scene.second();
    assert_eq!(scene.ruling(2), Ruling::Clear, "it is over");
}

#[test]
fn who_was_ejected_first_comes_back_when_all_fail_alike() {
    let mut scene = Scene::of(3);
    scene.fail(0, 3, Fault::FirstByte);
    assert!(scene.is_out(0));
    scene.fail(1, 2, Fault::FirstByte);
    scene.fail(2, 3, Fault::FirstByte);
    assert_eq!(scene.machine.ejected(), 0);
    scene.assert_reason(0, "all 3 backends fail alike");
}

#[test]
fn no_more_than_the_share_is_out_and_one_of_two_may_be() {
    let mut scene = Scene::of(5);
    scene.fail(0, 3, Fault::Reset);
    scene.fail(1, 3, Fault::Connect);
    scene.fail(2, 3, Fault::Malformed);
    assert_eq!((scene.machine.ejected(), scene.machine.allowed()), (2, 2));
    scene.assert_reason(2, "not ejected: 3 of 5 backends fail or are out, more than max_share = 50");
    let mut two = Scene::with(Eject { max_share_percent: 10, ..terms() }, 2);
    two.fail(0, 3, Fault::Reset);
    two.fail(1, 3, Fault::Connect);
    assert!(two.is_out(0) && !two.is_out(1));
    let mut one = Scene::of(1);
    one.fail(0, 3, Fault::Reset);
    one.assert_reason(0, "it is the only backend");
    assert!(!one.is_out(0));
}

#[test]
fn a_whole_share_judges_each_alone() {
    let mut scene = Scene::with(Eject { max_share_percent: 100, ..terms() }, 3);
    (0..3).for_each(|backend| scene.fail(backend, 3, Fault::Status(503)));
    assert_eq!((scene.machine.ejected(), scene.machine.allowed()), (3, 3));
    scene.assert_reason(2, "3 failures in a row: status 503");
    scene.after(1000);
    scene.trial(1, Trial::Whole);
    assert!(scene.is_out(0) && !scene.is_out(1) && scene.is_out(2));
    let mut one = Scene::with(Eject { max_share_percent: 100, ..terms() }, 1);
    one.fail(0, 3, Fault::Reset);
    assert!(one.is_out(0));
}

#[test]
fn who_is_down_by_probes_counts_as_out() {
    let mut scene = Scene::of(4);
    scene.machine.stands(0, Standing::Out);
    scene.machine.stands(1, Standing::Out);
    scene.fail(2, 3, Fault::Reset);
    assert!(!scene.is_out(2));
    scene.machine.stands(1, Standing::Ready);
    scene.fail(2, 3, Fault::Reset);
    assert!(scene.is_out(2));
}

#[test]
fn stale_failures_of_others_protect_nobody() {
    let mut scene = Scene::of(2);
    scene.fail(1, 2, Fault::Reset);
    for _ in 0..12 {
        scene.second();
    }
    scene.fail(0, 3, Fault::Reset);
    assert!(scene.is_out(0));
}

#[test]
fn every_second_attempt_that_fails_ejects_by_the_rate() {
    let mut scene = Scene::of(3);
    for _ in 0..9 {
        scene.fail(0, 1, Fault::Status(502));
        scene.answer(0, 1, 100);
    }
    scene.second();
    assert!(!scene.is_out(0), "18 attempts are too few");
    scene.fail(0, 1, Fault::Status(502));
    scene.answer(0, 1, 100);
    scene.second();
    scene.assert_reason(0, "10 of 20 attempts failed");
    scene.after(1000);
    scene.trial(0, Trial::Head { first_byte_us: 1 });
    assert!(scene.is_out(0), "a head is half the truth");
    scene.trial(0, Trial::Whole);
    scene.second();
    assert!(!scene.is_out(0), "what was before the ejection counts no more");
}

#[test]
fn who_is_much_slower_than_the_others_is_ejected_until_it_is_not() {
    let mut scene = Scene::of(4);
    for _ in 0..3 {
        (0..3).for_each(|backend| scene.answer(backend, 30, 4000));
        scene.answer(3, 30, 400_000);
        scene.second();
    }
    scene.assert_reason(3, "first byte after 400 ms, the others' after 4 ms");
    assert_eq!(scene.machine.ejected(), 1);
    scene.after(1000);
    scene.trial(3, Trial::Head { first_byte_us: 300_000 });
    assert_eq!(scene.time_out(3), 2000);
    scene.after(2000);
    scene.trial(3, Trial::Head { first_byte_us: 12_000 });
    assert!(!scene.is_out(3));
}

#[test]
fn one_slow_second_or_a_small_difference_is_no_slowness() {
    let mut scene = Scene::of(3);
    for second in 0..8 {
        scene.answer(0, 30, if second == 4 { 5_000_000 } else { 1000 });
        scene.answer(1, 30, 1000);
        scene.answer(2, 30, 9000);
        scene.second();
        assert_eq!(scene.machine.ejected(), 0);
    }
}

#[test]
fn an_ejection_that_all_evidence_speaks_against_is_counted() {
    let mut scene = Scene::of(3);
    let mut round = |probes: &[Probe], trials: &[Trial]| {
        scene.answer(0, 1, 1);
        scene.fail(0, 3, Fault::Reset);
        for probe in probes {
            scene.machine.probed(scene.now_ms, 0, *probe, Standing::Ready);
        }
        for trial in trials {
            scene.after(1_000_000);
            scene.trial(0, *trial);
        }
        scene.machine.tally(0).false_ejections
    };
    let (good, bad) = (Trial::Head { first_byte_us: 1 }, Trial::Failed(Fault::Reset));
    assert_eq!(round(&[], &[good]), 0, "no probe has spoken");
    assert_eq!(round(&[Probe::Passed, Probe::Failed], &[good]), 0);
    assert_eq!(round(&[Probe::Passed], &[bad, good]), 0);
    assert_eq!(round(&[Probe::Passed], &[good]), 1);
}

#[test]
fn drained_backends_are_left_out_of_the_account() {
    let mut backends = backends(3);
    backends[2].state = Wanted::Drained;
    let machine = Outliers::new(terms(), &backends);
    let mut scene = Scene { machine, seen: vec![Sighting::default(); 3], now_ms: 1000 };
    scene.fail(2, 3, Fault::Reset);
    assert!(!scene.is_out(2));
    scene.fail(0, 3, Fault::Reset);
    assert!(scene.is_out(0));
    assert_eq!(scene.machine.allowed(), 1);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Fail(usize, u16),
        Answer(usize, u64),
        Probe(usize, bool),
        Trial(usize, bool),
        Pass(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0..6usize, 1..6u16).prop_map(|(backend, fault)| Act::Fail(backend, fault)),
            2 => (0..6usize, 1..400_000u64).prop_map(|(backend, us)| Act::Answer(backend, us)),
            1 => (0..6usize, any::<bool>()).prop_map(|(backend, passed)| Act::Probe(backend, passed)),
            2 => (0..6usize, any::<bool>()).prop_map(|(backend, passed)| Act::Trial(backend, passed)),
            2 => (1..5000u64).prop_map(Act::Pass),
        ]
    }

    proptest! {
        #[test]
        fn the_share_is_never_exceeded_and_nobody_is_out_without_end(
            count in 1..7u16, share in 1..101u32, acts in prop::collection::vec(act(), 0..300),
        ) {
            let mut scene = Scene::with(Eject { max_share_percent: share, ..terms() }, count);
            for act in acts {
                let within = |backend: usize| backend % usize::from(count);
                let before = scene.machine.ejected();
                match act {
                    Act::Fail(backend, code) => {
                        scene.fail(within(backend), 1, Fault::from_code(code).unwrap_or(Fault::Reset));
                    }
                    Act::Answer(backend, us) => scene.answer(within(backend), 5, us),
                    Act::Probe(backend, passed) => {
                        let probe = if passed { Probe::Passed } else { Probe::Failed };
                        scene.machine.probed(scene.now_ms, within(backend), probe, Standing::Ready);
                    }
                    Act::Trial(backend, passed) => {
                        let trial = if passed { Trial::Whole } else { Trial::Failed(Fault::Reset) };
                        scene.trial(within(backend), trial);
                    }
                    Act::Pass(ms) => {
                        scene.after(ms);
                        scene.machine.look(scene.now_ms, &scene.seen);
                    }
                }
                let now = scene.machine.ejected();
                prop_assert!(now <= before || now <= scene.machine.allowed(), "{now} of {count}");
                prop_assert!(share == 100 || now < usize::from(count));
                for backend in 0..usize::from(count) {
                    if let Ruling::Ejected { until_ms, offer, .. } = scene.ruling(backend) {
                        prop_assert!(until_ms <= scene.now_ms + 60_000);
                        prop_assert_eq!(offer == Offer::Nothing, until_ms > scene.now_ms);
                    }
                }
            }
        }
    }
}

/// A pool under load with a round robin of workers that retry once elsewhere, all from one seed.
mod simulation {
    use super::*;
    use crate::rng::Rng;

    const BACKENDS: usize = 5;

    /// How a backend behaves: failures in per cent, microseconds to the first byte.
    #[derive(Clone, Copy)]
    struct Manner {
        fails_percent: u64,
        first_byte_us: u64,
    }

    const GOOD: Manner = Manner { fails_percent: 0, first_byte_us: 5000 };

    #[derive(Default)]
    struct Outcome {
        at: [u64; BACKENDS],
        failed_attempts: u64,
        ejections: [u64; BACKENDS],
        first_ejection_ms: Option<u64>,
    }

    /// So many seconds at 200 requests a second.
    fn run(seed: u64, seconds: u64, manner: impl Fn(usize, u64) -> Manner) -> Outcome {
        let (mut scene, mut rng, mut outcome) = (Scene::of(5), Rng::new(seed), Outcome::default());
        let (start, mut next) = (scene.now_ms, 0);
        for step in 0..seconds * 200 {
            if step % 200 == 0 {
                scene.machine.look(scene.now_ms, &scene.seen);
            }
            scene.after(5);
            let offered = (0..BACKENDS).find(|&backend| {
                matches!(scene.ruling(backend), Ruling::Ejected { offer: Offer::Repeatable | Offer::Any, .. })
            });
            let backend = offered.unwrap_or_else(|| {
                loop {
                    next = (next + 1) % BACKENDS;
                    if !scene.is_out(next) || scene.machine.ejected() == BACKENDS {
                        return next;
                    }
                }
            });
            let manner = manner(backend, scene.now_ms - start);
            outcome.at[backend] += 1;
            let failed = rng.below(100) < manner.fails_percent;
            outcome.failed_attempts += u64::from(failed);
            match (offered.is_some(), failed) {
                (false, true) => scene.fail(backend, 1, Fault::Status(503)),
                (false, false) => scene.answer(backend, 1, manner.first_byte_us),
                (true, true) => scene.trial(backend, Trial::Failed(Fault::Status(503))),
                (true, false) => {
                    scene.trial(backend, Trial::Head { first_byte_us: manner.first_byte_us });
                    scene.trial(backend, Trial::Whole);
                }
            }
            if outcome.first_ejection_ms.is_none() && scene.machine.ejected() > 0 {
                outcome.first_ejection_ms = Some(scene.now_ms - start);
            }
        }
        outcome.ejections = std::array::from_fn(|backend| scene.machine.tally(backend).ejections);
        outcome
    }

    #[test]
    fn one_that_fails_three_in_ten_loses_its_share() {
        for seed in 0..20 {
            let bad = Manner { fails_percent: 30, ..GOOD };
            let outcome = run(seed, 120, |backend, _| if backend == 2 { bad } else { GOOD });
            assert!(outcome.ejections[2] >= 3, "seed {seed}: {:?}", outcome.ejections);
            assert!(outcome.at[2] < outcome.at[0] / 2, "seed {seed}: {:?}", outcome.at);
            assert!([0, 1, 3, 4].iter().all(|&good| outcome.ejections[good] == 0), "seed {seed}");
        }
    }

    #[test]
    fn one_that_takes_ten_times_as_long_gets_next_to_nothing() {
        let slow = Manner { first_byte_us: 50_000, ..GOOD };
        for seed in 0..20 {
            let outcome = run(seed, 120, |backend, _| if backend == 4 { slow } else { GOOD });
            assert!(outcome.first_ejection_ms.is_some_and(|at| at <= 4000), "{:?}", outcome.first_ejection_ms);
            assert!(outcome.at[4] < outcome.at[0] / 20, "seed {seed}: {:?}", outcome.at);
            assert!((0..4).all(|good| outcome.ejections[good] == 0), "seed {seed}");
        }
    }

    #[test]
    fn when_all_fail_together_all_go_on_and_nobody_is_ejected_for_it() {
        let gone = Manner { fails_percent: 100, ..GOOD };
        for seed in 0..20 {
            let outcome = run(seed, 60, |_, at_ms| if (20_000..40_000).contains(&at_ms) { gone } else { GOOD });
            assert_eq!(outcome.ejections, [0; BACKENDS], "seed {seed}");
        }
    }

    #[test]
    fn a_few_failures_here_and_there_eject_nobody() {
        for seed in 0..20 {
            let outcome = run(seed, 300, |_, _| Manner { fails_percent: 1, ..GOOD });
            assert!(outcome.ejections.iter().sum::<u64>() <= 1, "seed {seed}: {:?}", outcome.ejections);
        }
    }
}
