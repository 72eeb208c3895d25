//! What evidence does to a latency, and how it ages.

use proptest::prelude::*;

use super::*;
use Evidence::{Answer, ErrorAnswer, Failure, Silence};

const NOW_MS: u64 = 1_000_000;

/// A latency that was seen just now.
fn seen(us: u64) -> Latency {
    Latency::default().after(Answer, us, NOW_MS)
}

fn evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![Just(Answer), Just(ErrorAnswer), Just(Failure), Just(Silence)]
}

fn fallen(us: f64, age_ms: u64) -> f64 {
    us * (-(age_ms as f64) / 10_000.0).exp()
}

#[test]
fn a_slow_answer_counts_at_once() {
    assert_eq!(seen(1_000).after(Answer, 50_000, NOW_MS).at(NOW_MS), Some(50_000));
}

#[test]
fn quick_answers_let_it_fall_with_a_time_constant_of_ten_seconds_down_to_what_they_take() {
    let mut latency = seen(10_000);
    let mut after = |ms| {
        latency = latency.after(Answer, 1_000, NOW_MS + ms);
        latency.at(NOW_MS + ms).unwrap()
    };
    let course: Vec<_> = (0..=40_000).map(&mut after).collect();
    assert!(course[10_000].abs_diff(3_679) < 10, "{}", course[10_000]);
    assert_eq!((course[24_000], course[40_000]), (1_000, 1_000));
}

#[test]
fn what_changes_nothing_is_no_change() {
    let latency = seen(10_000);
    assert_eq!(latency.after(Answer, 9_999, NOW_MS), latency);
    assert_eq!(latency.after(ErrorAnswer, 9_999, NOW_MS), latency);
}

#[test]
fn what_is_read_falls_while_nothing_comes() {
    let after = |ms: u64| seen(100_000).at(NOW_MS + ms);
    assert_eq!([after(0), after(10_000), after(23_040)], [Some(100_000), Some(36_787), Some(9_985)]);
}

#[test]
fn after_half_a_minute_nothing_is_known() {
    let later = NOW_MS + 30_016;
    assert!(seen(1_000).at(NOW_MS + 30_000).is_some());
    assert_eq!(seen(1_000).at(later), None);
    assert_eq!(seen(60_000_000).after(Answer, 7, later).at(later), Some(7));
    assert_eq!(Latency::default().at(NOW_MS), None);
}

#[test]
fn failing_fast_is_not_being_fast() {
    assert_eq!(seen(1_000).after(Failure, 10, NOW_MS).at(NOW_MS), Some(2_000));
    assert_eq!(seen(1_000).after(Failure, 30_000_000, NOW_MS).at(NOW_MS), Some(30_000_000));
    assert_eq!(Latency::default().after(Failure, 10, NOW_MS).at(NOW_MS), Some(1_000_000));
    let ten = (0..10).fold(seen(1_000), |latency, _| latency.after(Failure, 10, NOW_MS));
    assert_eq!(ten.at(NOW_MS), Some(1_024_000));
}

#[test]
fn an_error_answer_holds_what_is_known() {
    assert_eq!(seen(1_000).after(ErrorAnswer, 10, NOW_MS + 9_000).at(NOW_MS + 9_000), Some(1_000));
    assert_eq!(seen(1_000).after(ErrorAnswer, 5_000, NOW_MS).at(NOW_MS), Some(5_000));
    assert_eq!(Latency::default().after(ErrorAnswer, 10, NOW_MS), Latency::default());
}

#[test]
fn who_is_silent_takes_at_least_as_long_as_somebody_waited() {
    assert_eq!(seen(1_000).after(Silence, 5_000, NOW_MS).at(NOW_MS), Some(5_000));
    assert_eq!(seen(1_000).after(Silence, 600, NOW_MS + 5_000), seen(1_000), "606 of it are left");
    assert_eq!(Latency::default().after(Silence, 7, NOW_MS).at(NOW_MS), Some(7));
}

#[test]
fn who_is_not_to_blame_is_not_blamed() {
    use crate::retry::{Attempted, Failure as Failed};
    let attempted = |reused| Attempted { idempotent: true, replayable: true, reused, tries_done: 1 };
    let of = |failure, reused| Evidence::of_failure(failure, &attempted(reused));
    for failure in [Failed::Connect, Failed::FirstByteTimeout, Failed::Malformed] {
        assert_eq!([of(failure, false), of(failure, true)], [Some(Failure); 2]);
    }
    assert_eq!([of(Failed::Reset, false), of(Failed::Reset, true)], [Some(Failure), None]);
    assert_eq!([of(Failed::NothingWritten, true), of(Failed::BackendDown, false)], [None, None]);
    assert_eq!([of(Failed::Status(503), false), of(Failed::Status(404), false)], [Some(ErrorAnswer), Some(Answer)]);
}

#[test]
fn bounds_are_kept() {
    assert_eq!(seen(0).at(NOW_MS), Some(1));
    assert_eq!(seen(u64::MAX).at(NOW_MS), Some(60_000_000));
    assert_eq!(seen(u64::MAX).after(Failure, u64::MAX, NOW_MS).at(NOW_MS), Some(60_000_000));
    let years = 7 * 365 * 24 * 3_600_000;
    for before in [Latency::default(), seen(9)] {
        assert_eq!(before.after(Answer, 5, years).at(years), Some(5));
    }
}

proptest! {
    /// Against the rule as it is written, in floating point.
    #[test]
    fn it_follows_the_rule(steps in prop::collection::vec((evidence(), 1u64..5_000_000, 0u64..40_000), 1..50)) {
        let (mut latency, mut model, mut now_ms): (_, Option<(f64, u64)>, _) = (Latency::default(), None, NOW_MS);
        for (evidence, took, later) in steps {
            now_ms += later / 16 * 16;
            latency = latency.after(evidence, took, now_ms);
            let known = model.filter(|(_, at)| now_ms - at <= 30_000);
            let took = took as f64;
            let next = match (evidence, known) {
                (Silence, Some((us, at))) if took <= fallen(us, now_ms - at) => None,
                (Silence, _) => Some(took),
                (Answer, None) => Some(took),
                (Answer, Some((us, at))) => Some(fallen(us, now_ms - at).max(took)),
                (ErrorAnswer, known) => known.map(|(us, _)| us.max(took)),
                (Failure, known) => Some(known.map_or(1e6, |(us, at)| fallen(us, now_ms - at) * 2.0).max(took)),
            };
            if let Some(us) = next {
                model = Some((us.min(60_000_000.0), now_ms));
                let found = f64::from(latency.at(now_ms).unwrap());
                prop_assert!((found / us.min(60_000_000.0) - 1.0).abs() < 1e-5 || (found - us).abs() <= 1.0, "{found} for {us}");
            }
        }
    }

    /// Workers read the clock each for itself.
    #[test]
    fn a_clock_that_is_behind_does_no_harm(us in 1u64..60_000_000, behind in 0u64..100) {
        let latency = seen(us);
        prop_assert_eq!(latency.at(NOW_MS - behind), latency.at(NOW_MS));
        prop_assert_eq!(latency.after(Answer, us / 2, NOW_MS - behind).at(NOW_MS), latency.at(NOW_MS));
        prop_assert_eq!(Latency::from_bits(latency.to_bits()), latency);
    }
}
