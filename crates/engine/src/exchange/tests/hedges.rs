//! Two attempts side by side: which one wins, what becomes of the other, and when there is only one.

use std::time::Duration;

use policy::balance::Standing;
use policy::plan::{Hedge, HedgeAfter, Plan};

use super::front::{Backend, Front, GET, OK, cause, plan, target};
use crate::testing::run;

const SHORT: Duration = Duration::from_millis(60);
const PUT: &str = "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
const PUT_CHUNKED: &str =
    "PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n";
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

fn hedged(backends: &[&Backend]) -> Plan {
    let mut plan = plan(backends);
    target(&mut plan).hedge = Some(Hedge { after: HedgeAfter::Time(SHORT), budget_percent: 5 });
    plan.access_log.write = policy::plan::LogWrite::All;
    plan
}

/// Hedges, hedges won, overtaken, failures of a backend.
fn figures(front: &Front, backend: usize) -> [u64; 4] {
    let counters = front.counters(backend);
    [&counters.hedges, &counters.hedges_won, &counters.overtaken, &counters.failures].map(|counter| counter.get())
}

#[test]
fn the_second_answers_first_and_the_first_is_given_up_without_blame() {
    for request in [GET, PUT, PUT_CHUNKED] {
        run(async {
            let (first, second) = (Backend::new().await, Backend::new().await);
            let mut front = Front::new(hedged(&[&first, &second])).await;
            let mut client = front.asked(request).await;
            let mut slow = first.asked().await;
            let mut fast = second.asked().await;
            match request {
                PUT => assert_eq!(fast.read_exactly(5).await, b"hello"),
                PUT_CHUNKED => {
                    assert_eq!(fast.read_until("0\r\n").await, "5\r\nhello\r\n0\r\n");
                    assert_eq!(fast.read_until("\r\n\r\n").await, "x-sum: 1\r\n\r\n");
                }
                _ => {}
            }
            fast.send(OK).await;
            assert_eq!(client.answer().await.body, b"hi", "{request}");
            slow.rest().await;
            front.at_rest().await;
            assert_eq!((figures(&front, 0), figures(&front, 1)), ([0, 0, 1, 0], [1, 1, 0, 0]));
            assert!(front.counters(0).overtaken_us.get() >= 50_000, "{}", front.counters(0).overtaken_us.get());
            assert_eq!(front.worker.shared.pools[0].backends[0].passive.streak().0, 0);
            assert_eq!(front.counters(1).retries.get(), 0);
            // Its connection goes on to serve.
            front.goes_down(0);
            client.send(GET).await;
            fast.head().await;
            fast.send(OK).await;
            assert_eq!(client.answer().await.status, 200);
            front.expect_no_failure();
        });
    }
}

#[test]
fn the_first_may_still_win_and_the_second_ends_without_blame() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut front = Front::new(hedged(&[&first, &second])).await;
        let mut client = front.asked(GET).await;
        let mut one = first.asked().await;
        let mut two = second.asked().await;
        one.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        assert_eq!(two.rest().await, b"", "it is closed");
        front.at_rest().await;
        assert_eq!((figures(&front, 0), figures(&front, 1)), ([0, 0, 0, 0], [1, 0, 0, 0]));
        front.expect_no_failure();
    });
}

#[test]
fn what_fails_of_two_leaves_the_other() {
    for (first_fails, by_status) in [(true, true), (true, false), (false, true), (false, false)] {
        run(async {
            let (first, second) = (Backend::new().await, Backend::new().await);
            let mut front = Front::new(hedged(&[&first, &second])).await;
            let mut client = front.asked(GET).await;
            let one = first.asked().await;
            let two = second.asked().await;
            let (mut failing, mut good) = if first_fails { (one, two) } else { (two, one) };
            if by_status {
                failing.send(UNAVAILABLE).await;
            } else {
                failing.reset();
            }
            let (of_failing, of_good) = if first_fails { (0, 1) } else { (1, 0) };
            front.until(|worker| worker.counters().pools[0][of_failing].failures.get() == 1).await;
            good.send(OK).await;
            assert_eq!(client.answer().await.status, 200);
            front.at_rest().await;
            assert_eq!(figures(&front, of_good)[3], 0);
            assert_eq!(figures(&front, 1)[1], u64::from(first_fails), "the second has won");
            assert_eq!(figures(&front, 0)[2], 0, "nobody was overtaken");
            front.expect_no_failure();
        });
    }
}

#[test]
fn when_both_fail_the_exchange_goes_on_as_after_any_failure() {
    run(async {
        let all = [Backend::new().await, Backend::new().await, Backend::new().await];
        let mut front = Front::new(hedged(&all.iter().collect::<Vec<_>>())).await;
        let mut client = front.asked(GET).await;
        let one = all[0].asked().await;
        let two = all[1].asked().await;
        one.reset();
        front.until(|worker| worker.counters().pools[0][0].failures.get() == 1).await;
        two.reset();
        let three = all[2].asked().await;
        three.reset();
        assert_eq!(client.answer().await.status, 502);
        assert_eq!(cause(&front.failure().await), ("reset", 3));
        front.at_rest().await;
    });
}

#[test]
fn a_second_attempt_that_cannot_connect_leaves_the_first_alone() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let plan = hedged(&[&first, &second]);
        drop(second);
        let mut front = Front::new(plan).await;
        let mut client = front.asked(GET).await;
        let mut one = first.asked().await;
        front.until(|worker| worker.counters().pools[0][1].failures.get() == 1).await;
        one.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        front.at_rest().await;
        assert_eq!((figures(&front, 0), figures(&front, 1)), ([0, 0, 0, 0], [1, 0, 0, 1]));
        front.expect_no_failure();
    });
}

#[test]
fn a_second_attempt_on_a_stale_connection_gets_a_fresh_one() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut front = Front::new(hedged(&[&first, &second])).await;
        // Leaves a kept connection to the second.
        front.worker.shared.pools[0].set_standing(0, Standing::Excluded);
        let (mut client, mut kept) = front.kept(&second).await;
        front.worker.shared.pools[0].set_standing(0, Standing::Unknown);
        client.send(GET).await;
        let one = first.asked().await;
        kept.head().await;
        kept.reset();
        let mut fresh = second.asked().await;
        fresh.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        front.at_rest().await;
        assert_eq!((figures(&front, 0), figures(&front, 1)), ([0, 0, 1, 0], [1, 1, 0, 0]));
        front.expect_no_failure();
        drop(one);
    });
}

#[test]
fn what_must_not_be_repeated_is_not_hedged() {
    let post = PUT.replace("PUT", "POST");
    let upgrade = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    for (request, body_buffer, tries) in
        [(&*post, 100, 3), (upgrade, 100, 3), (PUT, 4, 3), (PUT_CHUNKED, 4, 3), (GET, 100, 1)]
    {
        run(async {
            let (first, second) = (Backend::new().await, Backend::new().await);
            let mut plan = hedged(&[&first, &second]);
            let retry = &mut target(&mut plan).retry;
            (retry.body_buffer, retry.tries) = (body_buffer, tries);
            let mut front = Front::new(plan).await;
            let mut client = front.asked(request).await;
            let mut one = first.asked().await;
            tokio::time::sleep(SHORT * 2).await;
            second.expect_nobody().await;
            one.send(OK).await;
            assert_eq!(client.answer().await.status, 200, "{request}");
            front.at_rest().await;
            front.expect_no_failure();
        });
    }
}

#[test]
fn nobody_is_hedged_without_another_backend_room_or_budget() {
    for case in 0..3 {
        run(async {
            let (first, second) = (Backend::new().await, Backend::new().await);
            let mut plan = hedged(&[&first, &second]);
            if case == 1 {
                plan.pools[0].backends.iter_mut().for_each(|backend| backend.max_requests = Some(1));
            }
            let mut front = Front::new(plan).await;
            match case {
                0 => front.goes_down(1),
                1 => assert!(front.worker.shared.pools[0].backends[1].begin_below(1)),
                _ => while front.worker.pool(super::front::POOL).hedging().budget.try_take(0, 0) {},
            }
            let mut client = front.asked(GET).await;
            let mut one = first.asked().await;
            tokio::time::sleep(SHORT * 2).await;
            second.expect_nobody().await;
            one.send(OK).await;
            assert_eq!(client.answer().await.status, 200);
            assert_eq!(figures(&front, 1), [0; 4]);
            front.expect_no_failure();
        });
    }
}

#[test]
fn a_backend_that_goes_down_is_left_by_either_attempt() {
    run(async {
        let all = [Backend::new().await, Backend::new().await, Backend::new().await];
        let mut front = Front::new(hedged(&all.iter().collect::<Vec<_>>())).await;
        // The second one's: the first goes on.
        let mut client = front.asked(GET).await;
        let mut one = all[0].asked().await;
        let mut two = all[1].asked().await;
        front.goes_down(1);
        assert_eq!(two.rest().await, b"");
        one.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        // The first one's, then that of the second, which is alone: both are left.
        front.worker.shared.pools[0].set_standing(1, Standing::Ready);
        client.send(GET).await;
        let _first = all[1].asked().await;
        let mut second = one;
        second.head().await;
        front.goes_down(1);
        front.until(|worker| worker.counters().pools[0][1].failures.get() == 1).await;
        front.goes_down(0);
        let mut last = all[2].asked().await;
        last.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        front.at_rest().await;
        front.expect_no_failure();
    });
}

#[test]
fn a_client_that_goes_ends_both() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let front = Front::new(hedged(&[&first, &second])).await;
        let client = front.asked(GET).await;
        let mut one = first.asked().await;
        let mut two = second.asked().await;
        drop(client);
        assert_eq!((one.rest().await, two.rest().await), (Vec::new(), Vec::new()));
        front.at_rest().await;
        assert_eq!((figures(&front, 0), figures(&front, 1)), ([0; 4], [1, 0, 0, 0]));
    });
}

#[test]
fn an_answer_before_the_end_of_the_second_body_gets_the_rest_of_it() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut plan = hedged(&[&first, &second]);
        // More than the kernel's buffers take at once.
        const BYTES: usize = 8 * 1024 * 1024;
        target(&mut plan).retry.body_buffer = BYTES;
        let mut front = Front::new(plan).await;
        let mut client = front.client().await;
        let body = vec![b'x'; BYTES];
        let head = format!("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {BYTES}\r\n\r\n");
        client.send(&head).await;
        let mut one = first.accept().await;
        let (_, ()) = tokio::join!(client.send(&body), async {
            one.head().await;
            one.read_exactly(BYTES).await;
        });
        let mut two = second.asked().await;
        two.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(two.read_exactly(BYTES).await.len(), BYTES);
        two.send("hi").await;
        assert_eq!(client.read_exactly(2).await, b"hi");
        front.at_rest().await;
        assert_eq!(figures(&front, 1), [1, 1, 0, 0]);
        front.expect_no_failure();
    });
}

#[test]
fn a_percentile_is_that_of_first_attempts_of_late() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut plan = hedged(&[&first, &second]);
        target(&mut plan).hedge = Some(Hedge { after: HedgeAfter::Permille(950), budget_percent: 5 });
        let mut front = Front::new(plan).await;
        let mut client = front.asked(GET).await;
        let mut one = first.asked().await;
        tokio::time::sleep(SHORT).await;
        second.expect_nobody().await;
        one.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        // No more than it takes to know a percentile: from here on everybody may be hedged.
        for _ in 0..49 {
            client.send(GET).await;
            one.head().await;
            one.send(OK).await;
            assert_eq!(client.answer().await.status, 200);
        }
        client.send(GET).await;
        one.head().await;
        let mut two = second.asked().await;
        two.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        front.at_rest().await;
        assert_eq!(figures(&front, 1), [1, 1, 0, 0]);
        front.expect_no_failure();
    });
}
