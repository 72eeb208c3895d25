//! What is tried again, where, and what never is.

use policy::balance::Standing;

use super::front::{Backend, Front, GET, OK, cause, plan, target};
use crate::testing::run;

fn eject() -> policy::plan::Eject {
    policy::plan::Eject {
        failures: 3,
        time: std::time::Duration::from_secs(1),
        max_time: std::time::Duration::from_secs(60),
        max_share_percent: 50,
        statuses: vec![503],
        grpc: Default::default(),
        failure_rate: None,
        latency: None,
    }
}

const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
const PUT: &str = "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
const PUT_CHUNKED: &str =
    "PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nx-sum: 1\r\n\r\n";

#[test]
fn a_pooled_connection_that_breaks_costs_nothing_even_without_retries() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        target(&mut plan).retry.tries = 1;
        let mut front = Front::new(plan).await;
        let (mut client, mut first) = front.kept(&backend).await;
        client.send(GET).await;
        first.head().await;
        drop(first);
        let mut second = backend.asked().await;
        second.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        front.at_rest().await;
        assert_eq!((front.counters(0).connects.get(), front.counters(0).retries.get()), (2, 0));
        assert_eq!((front.counters(0).attempts.get(), front.counters(0).failures.get()), (2, 0));
        front.expect_no_failure();
    });
}

#[test]
fn what_cannot_be_repeated_does_not_meet_a_connection_that_has_ended() {
    for request in [POST, PUT, PUT_CHUNKED] {
        run(async {
            let backend = Backend::new().await;
            let mut plan = plan(&[&backend]);
            target(&mut plan).retry.tries = 1;
            let front = Front::new(plan).await;
            let (mut client, first) = front.kept(&backend).await;
            drop(first);
            client.send(request).await;
            let mut second = backend.asked().await;
            second.send(OK).await;
            assert_eq!(client.answer().await.status, 200, "{request}");
            front.at_rest().await;
        });
    }
}

#[test]
fn a_backend_that_goes_down_is_left_at_once() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut front = Front::new(plan(&[&first, &second])).await;
        let mut client = front.asked(GET).await;
        let mut waiting = first.asked().await;
        front.goes_down(0);
        let mut other = second.asked().await;
        assert_eq!(waiting.rest().await, b"", "the first connection is closed");
        other.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        front.at_rest().await;
        assert_eq!(front.counters(0).failures.get(), 1);
        front.expect_no_failure();
    });
}

#[test]
fn a_backend_that_goes_down_may_still_answer_what_cannot_go_elsewhere() {
    let chunk = "PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for (backends, tries, body_buffer, request) in
        [(1, 3, 65_536, GET), (2, 1, 65_536, GET), (2, 3, 4, PUT), (2, 3, 4, chunk), (2, 3, 65_536, POST)]
    {
        run(async {
            let all = [Backend::new().await, Backend::new().await];
            let mut plan = plan(&all.iter().take(backends).collect::<Vec<_>>());
            target(&mut plan).retry.tries = tries;
            target(&mut plan).retry.body_buffer = body_buffer;
            let mut front = Front::new(plan).await;
            let mut client = front.asked(request).await;
            let mut waiting = all[0].asked().await;
            front.goes_down(0);
            // It is woken by this, and finds nothing better to do than to wait on.
            tokio::task::yield_now().await;
            waiting.send(OK).await;
            assert_eq!(client.answer().await.status, 200, "{request}");
            front.at_rest().await;
            all[1].expect_nobody().await;
            front.expect_no_failure();
        });
    }
}

#[test]
fn a_status_is_tried_elsewhere_and_the_last_one_passes() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let front = Front::new(plan(&[&first, &second])).await;
        for (says, expected) in [(OK, 200), (UNAVAILABLE, 503)] {
            let mut client = front.asked(GET).await;
            let mut one = first.asked().await;
            one.send(UNAVAILABLE).await;
            let mut two = second.asked().await;
            two.send(says).await;
            assert_eq!(client.answer().await.status, expected);
            front.at_rest().await;
            // The next exchange begins anew, on new connections.
            for backend in 0..2 {
                front.goes_down(backend);
                front.worker.shared.pools[0].set_standing(backend, Standing::Ready);
            }
        }
    });
}

#[test]
fn a_status_passes_at_once_where_nobody_else_may_answer() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let front = Front::new(plan(&[&first, &second])).await;
        front.goes_down(1);
        let mut client = front.asked(GET).await;
        let mut one = first.asked().await;
        one.send(UNAVAILABLE).await;
        assert_eq!(client.answer().await.status, 503);
        front.at_rest().await;
        assert_eq!(front.counters(0).attempts.get(), 1, "it is not asked again");
    });
}

#[test]
fn a_status_is_not_tried_again_for_methods_that_are_not_idempotent() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let front = Front::new(plan(&[&first, &second])).await;
        let mut client = front.asked(POST).await;
        let mut one = first.asked().await;
        one.send(UNAVAILABLE).await;
        assert_eq!(client.answer().await.status, 503);
        second.expect_nobody().await;
    });
}

#[test]
fn a_body_is_sent_again_whole_with_its_framing_and_trailers() {
    for request in [PUT, PUT_CHUNKED] {
        run(async {
            let (first, second) = (Backend::new().await, Backend::new().await);
            let mut front = Front::new(plan(&[&first, &second])).await;
            let mut client = front.asked(request).await;
            let mut one = first.asked().await;
            let is_chunked = request == PUT_CHUNKED;
            if is_chunked {
                one.chunks().await
            } else {
                one.read_exactly(5).await
            };
            one.reset();
            let mut two = second.accept().await;
            let head = two.head().await;
            assert_eq!(head.contains("Transfer-Encoding: chunked"), is_chunked);
            assert_eq!(head.contains("Content-Length: 5"), !is_chunked);
            if is_chunked {
                assert!(two.read_until("0\r\n").await.contains("hello"));
                assert_eq!(two.read_until("\r\n\r\n").await, "x-sum: 1\r\n\r\n");
            } else {
                assert_eq!(two.read_exactly(5).await, b"hello");
            }
            two.send(OK).await;
            assert_eq!(client.answer().await.status, 200);
            front.at_rest().await;
            assert_eq!(front.counters(1).sent_bytes.get(), 5, "what was sent elsewhere does not count here");
            front.goes_down(0);
            client.send(GET).await;
            two.head().await;
            two.send(OK).await;
            assert_eq!(client.answer().await.status, 200, "both connections serve on");
            front.expect_no_failure();
        });
    }
}

#[test]
fn a_body_that_is_still_on_its_way_is_sent_again_from_its_start() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let front = Front::new(plan(&[&first, &second])).await;
        let mut client = front.asked("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello").await;
        let mut one = first.asked().await;
        assert_eq!(one.read_exactly(5).await, b"hello");
        one.reset();
        let mut two = second.asked().await;
        assert_eq!(two.read_exactly(5).await, b"hello");
        client.send("world").await;
        assert_eq!(two.read_exactly(5).await, b"world");
        two.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        front.at_rest().await;
    });
}

#[test]
fn a_body_beyond_the_buffer_is_not_sent_again() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut plan = plan(&[&first, &second]);
        target(&mut plan).retry.body_buffer = 4;
        let mut front = Front::new(plan).await;
        let mut client = front.asked(PUT).await;
        let mut one = first.asked().await;
        one.read_exactly(5).await;
        one.reset();
        assert_eq!(client.answer().await.status, 502);
        assert_eq!(cause(&front.failure().await), ("reset", 1));
        second.expect_nobody().await;
        front.at_rest().await;
    });
}

#[test]
fn what_is_not_idempotent_is_not_repeated_once_a_byte_was_written() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut front = Front::new(plan(&[&first, &second])).await;
        let mut client = front.asked(POST).await;
        let one = first.asked().await;
        one.reset();
        let got = client.answer().await;
        assert_eq!(got.status, 502);
        let said = got.field("Proxy-Status").expect("it says why");
        assert!(said.starts_with("evenkeel; error=connection_terminated"), "{said}");
        assert_eq!(cause(&front.failure().await), ("reset", 1));
        second.expect_nobody().await;
        front.at_rest().await;
    });
}

#[test]
fn whoever_cannot_be_connected_to_costs_nobody_an_answer() {
    for request in [GET, POST] {
        run(async {
            let (first, second) = (Backend::new().await, Backend::new().await);
            let plan = plan(&[&first, &second]);
            drop(first);
            let front = Front::new(plan).await;
            let mut client = front.asked(request).await;
            let mut two = second.asked().await;
            two.send(OK).await;
            assert_eq!(client.answer().await.status, 200);
            front.at_rest().await;
            assert_eq!((front.counters(0).failures.get(), front.counters(1).failures.get()), (1, 0));
        });
    }
}

#[test]
fn an_answer_that_is_no_http_is_not_tried_elsewhere() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut front = Front::new(plan(&[&first, &second])).await;
        let mut client = front.asked(GET).await;
        let mut one = first.asked().await;
        one.send("SSH-2.0-x\r\n").await;
        assert_eq!(client.answer().await.status, 502);
        assert_eq!(cause(&front.failure().await), ("malformed-answer", 1));
        second.expect_nobody().await;
        front.at_rest().await;
    });
}

#[test]
fn tries_end() {
    run(async {
        let all = [Backend::new().await, Backend::new().await, Backend::new().await, Backend::new().await];
        let mut front = Front::new(plan(&all.iter().collect::<Vec<_>>())).await;
        let mut client = front.asked(GET).await;
        for backend in &all[..3] {
            let one = backend.asked().await;
            one.reset();
        }
        assert_eq!(client.answer().await.status, 502);
        assert_eq!(cause(&front.failure().await), ("reset", 3));
        all[3].expect_nobody().await;
        front.at_rest().await;
    });
}

#[test]
fn a_stale_connection_is_replaced_at_the_same_backend() {
    for request in [GET, PUT, PUT_CHUNKED] {
        run(async {
            let (first, second) = (Backend::new().await, Backend::new().await);
            let mut plan = plan(&[&first, &second]);
            target(&mut plan).retry.budget_percent = 0;
            plan.pools[0].eject = Some(eject());
            let mut front = Front::new(plan).await;
            let (mut client, mut one) = front.kept(&first).await;
            client.send(request).await;
            // It ends only when it is asked again.
            one.head().await;
            one.reset();
            let mut fresh = first.asked().await;
            fresh.send(OK).await;
            assert_eq!(client.answer().await.status, 200, "{request}");
            front.at_rest().await;
            let counters = front.counters(0);
            assert_eq!((counters.attempts.get(), counters.failures.get(), counters.faults.get()), (2, 0, 0));
            assert_eq!(front.worker.shared.pools[0].backends[0].passive.streak().0, 0);
            second.expect_nobody().await;
            front.expect_no_failure();
        });
    }
}

#[test]
fn a_fresh_connection_that_breaks_as_well_is_a_failure() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut plan = plan(&[&first, &second]);
        plan.pools[0].eject = Some(eject());
        let mut front = Front::new(plan).await;
        let (mut client, mut one) = front.kept(&first).await;
        client.send(GET).await;
        one.head().await;
        one.reset();
        let fresh = first.asked().await;
        fresh.reset();
        let mut two = second.asked().await;
        two.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        front.at_rest().await;
        assert_eq!((front.counters(0).failures.get(), front.counters(0).faults.get()), (1, 1));
        front.expect_no_failure();
    });
}

#[test]
fn a_kept_connection_that_breaks_within_the_head_is_a_failure() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut plan = plan(&[&first, &second]);
        target(&mut plan).retry.tries = 1;
        let mut front = Front::new(plan).await;
        let (mut client, mut one) = front.kept(&first).await;
        client.send(GET).await;
        one.head().await;
        one.send("HTTP/1.1 200 OK\r\nContent-").await;
        drop(one);
        assert_eq!(client.answer().await.status, 502);
        assert_eq!(cause(&front.failure().await), ("reset", 1));
        first.expect_nobody().await;
        front.at_rest().await;
        assert_eq!(front.counters(0).failures.get(), 1);
    });
}
