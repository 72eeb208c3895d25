//! The share that is refused, who is refused, and a worker that has too much to do in a simulation.

use super::*;

#[test]
fn a_wait_that_is_never_short_is_a_backlog_and_a_long_one_now_and_then_is_not() {
    let mut lag = Lag::new(100);
    for turn in 0..400 {
        assert_eq!(lag.pulse(if turn % 2 == 1 { 10 } else { 900 }), 0);
    }
    assert_eq!((lag.pulse(150), lag.pulse(150), lag.last_ms()), (0, 131, 150));
    let share = lag.pulse(150);
    assert!((0..400).all(|_| (share..=1000).contains(&lag.pulse(150))));
    assert_eq!((0..4).fold(0, |_, _| lag.pulse(150)), 950, "some always pass");
}

#[test]
fn between_half_the_limit_and_the_limit_nothing_changes_and_below_it_ends_soon() {
    let mut lag = Lag::new(100);
    let share = (0..80).fold(0, |_, _| lag.pulse(500));
    assert_eq!((share, lag.pulse(70)), (950, 950));
    assert!((0..40).all(|_| lag.pulse(70) == share), "{share}");
    let pulses = (1..).find(|_| lag.pulse(3) == 0);
    assert!(pulses.is_some_and(|pulses| pulses <= 140), "{pulses:?} pulses of 25 ms");
}

#[test]
fn what_is_used_is_refused_the_more_the_nearer_the_limit_is() {
    let usage = Use::new(85);
    assert_eq!([0, 500, 849].map(|used| usage.share(used, 1000)), [0; 3]);
    let shares = [850, 880, 910, 940, 970, 1000, 5000].map(|used| usage.share(used, 1000));
    assert!(shares[0] > 0 && shares.is_sorted(), "{shares:?}");
    assert_eq!((shares[4], shares[6]), (950, 950));
    assert_eq!(usage.share(10, 0), 0, "no limit is known");
    assert_eq!(Use::new(100).share(1000, 1000), 950);
}

/// How many of a hundred of each urgency are refused.
fn refused(gate: &mut Gate, came: [u32; 3]) -> [u32; 3] {
    let mut refused = [0; 3];
    for turn in 0..came.into_iter().max().unwrap_or(0) {
        for urgency in Urgency::ALL {
            let at = urgency as usize;
            refused[at] += u32::from(turn < came[at] && !gate.admits(urgency));
        }
    }
    refused
}

#[test]
fn the_least_urgent_are_refused_first() {
    let mut gate = Gate::default();
    assert_eq!(refused(&mut gate, [100, 300, 100]), [0; 3]);
    assert!(!gate.is_shedding());
    for (share, expected) in [(100, [0, 0, 50]), (200, [0, 0, 100]), (500, [0, 150, 100]), (900, [50, 300, 100])] {
        (0..20).for_each(|_| {
            refused(&mut gate, [100, 300, 100]);
            gate.refuse(share);
        });
        let got = refused(&mut gate, [100, 300, 100]);
        let near = got.iter().zip(expected).all(|(&got, expected)| u32::abs_diff(got, expected) <= 1);
        assert!(near, "{share}: {got:?}");
        assert_eq!((gate.is_shedding(), gate.is_extreme()), (true, share == 900));
    }
    gate.refuse(0);
    assert_eq!(refused(&mut gate, [100, 300, 100]), [0; 3]);
}

#[test]
fn who_has_not_come_lately_is_refused_with_the_more_urgent() {
    let mut gate = Gate::default();
    gate.refuse(300);
    assert_eq!(refused(&mut gate, [100, 100, 100]), [30; 3], "nobody came: nobody knows");
    let mut gate = Gate::default();
    refused(&mut gate, [0, 1000, 0]);
    gate.refuse(500);
    assert!(gate.admits(Urgency::High));
    let low = (0..100).filter(|_| !gate.admits(Urgency::Low)).count();
    assert_eq!(low, 95);
}

/// A worker that gets so many thousandths of what it can do in each millisecond. Returns the longest wait in milliseconds
/// and the mean share of the later half.
fn worker(offered: u64, ms: u64, refusing_costs: u64) -> (u64, u64) {
    let (mut lag, mut gate) = (Lag::new(100), Gate::default());
    let (mut backlog, mut longest, mut shares, mut pulse_at) = (0_u64, 0, 0, 25);
    for now in 0..ms {
        // Ten requests a millisecond, each of which takes a tenth of what is offered.
        for _ in 0..10 {
            backlog += if gate.admits(Urgency::Normal) { offered / 10 } else { offered * refusing_costs / 10_000 };
        }
        backlog = backlog.saturating_sub(1000);
        let waited = backlog / 1000;
        if now >= pulse_at {
            let share = lag.pulse(waited);
            gate.refuse(share);
            pulse_at = now + 25 + waited;
            longest = longest.max(if now > ms / 2 { waited } else { 0 });
        }
        shares += if now > ms / 2 { u64::from(gate.share) } else { 0 };
    }
    (longest, shares / (ms / 2))
}

#[test]
fn a_worker_with_too_much_to_do_settles_at_a_bearable_wait() {
    assert_eq!(worker(700, 10_000, 200), (0, 0));
    for (offered, share) in [(1_500, 330..520), (3_000, 660..850)] {
        let (longest, mean) = worker(offered, 60_000, 200);
        assert!(longest < 450, "{offered}: {longest} ms");
        assert!(share.contains(&mean), "{offered}: {mean}");
    }
}
