//! Which wait ended an exchange, and whose fault that was.

use std::time::Duration;

use super::front::{Backend, Front, GET, OK, cause, plan, target};
use crate::clock::Instant;
use crate::testing::run;

const SHORT: Duration = Duration::from_millis(150);
const POST: &str = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_silent_backend_is_late_with_its_first_byte() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        target(&mut plan).timeouts.first_byte = Some(SHORT);
        let mut front = Front::new(plan).await;
        let asked = Instant::now();
        let mut client = front.asked(POST).await;
        let mut silent = backend.asked().await;
        let got = client.answer().await;
        assert_eq!(got.status, 504);
        assert!(asked.elapsed() >= SHORT - Duration::from_millis(1));
        let line = front.failure().await;
        assert_eq!(cause(&line), ("first-byte-timeout", 1), "what is not idempotent is not repeated");
        assert_eq!(got.field("X-Request-Id"), line["request_id"].as_str());
        assert_eq!(silent.rest().await, b"hello", "the attempt's connection is closed");
        front.at_rest().await;
        assert_eq!(front.counters(0).failures.get(), 1);
    });
}

#[test]
fn a_silent_backend_is_left_for_another() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut plan = plan(&[&first, &second]);
        target(&mut plan).timeouts.first_byte = Some(SHORT);
        let mut front = Front::new(plan).await;
        let mut client = front.asked(GET).await;
        let _silent = first.asked().await;
        let mut other = second.asked().await;
        other.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        front.at_rest().await;
        front.expect_no_failure();
    });
}

#[test]
fn an_attempt_that_takes_too_long_is_left_for_another() {
    for request in [GET, "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"] {
        run(async {
            let (first, second) = (Backend::new().await, Backend::new().await);
            let mut plan = plan(&[&first, &second]);
            target(&mut plan).retry.per_try = Some(SHORT);
            let mut front = Front::new(plan).await;
            let mut client = front.asked(request).await;
            let _silent = first.asked().await;
            let mut other = second.asked().await;
            other.send(OK).await;
            assert_eq!(client.answer().await.status, 200);
            front.at_rest().await;
            assert_eq!((front.counters(0).failures.get(), front.counters(1).retries.get()), (1, 1));
            front.expect_no_failure();
        });
    }
}

#[test]
fn an_attempt_that_cannot_be_made_elsewhere_has_all_the_time_there_is() {
    let chunked = "PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for (request, backends, tries, body_buffer) in
        [(GET, 1, 3, 100), (GET, 2, 1, 100), (POST, 2, 3, 100), (chunked, 2, 3, 4)]
    {
        run(async {
            let all = [Backend::new().await, Backend::new().await];
            let mut plan = plan(&all.iter().take(backends).collect::<Vec<_>>());
            let retry = &mut target(&mut plan).retry;
            (retry.per_try, retry.tries, retry.body_buffer) = (Some(SHORT), tries, body_buffer);
            let mut front = Front::new(plan).await;
            let mut client = front.asked(request).await;
            let mut slow = all[0].asked().await;
            tokio::time::sleep(SHORT * 2).await;
            slow.send(OK).await;
            assert_eq!(client.answer().await.status, 200, "{request}");
            front.at_rest().await;
            assert_eq!(front.counters(0).failures.get(), 0);
            front.expect_no_failure();
        });
    }
}

#[test]
fn the_last_attempt_ends_by_its_first_byte_and_not_by_its_try() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut plan = plan(&[&first, &second]);
        target(&mut plan).retry.per_try = Some(SHORT);
        target(&mut plan).retry.tries = 2;
        target(&mut plan).timeouts.first_byte = Some(SHORT * 3);
        let mut front = Front::new(plan).await;
        let asked = Instant::now();
        let mut client = front.asked(GET).await;
        let (_one, _two) = (first.asked().await, second.asked().await);
        assert_eq!(client.answer().await.status, 504);
        assert!(asked.elapsed() >= SHORT * 4 - Duration::from_millis(40), "{:?}", asked.elapsed());
        assert_eq!(cause(&front.failure().await), ("first-byte-timeout", 2));
        front.at_rest().await;
    });
}

#[test]
fn the_time_that_a_client_takes_for_its_body_is_not_the_attempts() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut plan = plan(&[&first, &second]);
        target(&mut plan).retry.per_try = Some(SHORT);
        let front = Front::new(plan).await;
        let mut client = front.asked("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n").await;
        let mut one = first.asked().await;
        tokio::time::sleep(SHORT * 2).await;
        second.expect_nobody().await;
        client.send("hello").await;
        assert_eq!(one.read_exactly(5).await, b"hello");
        let mut two = second.asked().await;
        assert_eq!(two.read_exactly(5).await, b"hello");
        two.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        front.at_rest().await;
    });
}

#[test]
fn the_whole_time_counts_over_all_attempts() {
    run(async {
        let (first, second) = (Backend::new().await, Backend::new().await);
        let mut plan = plan(&[&first, &second]);
        target(&mut plan).timeouts.first_byte = Some(SHORT * 2);
        target(&mut plan).timeouts.total = Some(SHORT * 3);
        let mut front = Front::new(plan).await;
        let asked = Instant::now();
        let mut client = front.asked(GET).await;
        let (_one, _two) = (first.asked().await, second.asked().await);
        assert_eq!(client.answer().await.status, 504);
        let took = asked.elapsed();
        assert!(took >= SHORT * 3 - Duration::from_millis(15) && took < Duration::from_secs(5), "{took:?}");
        assert_eq!(cause(&front.failure().await), ("total-timeout", 2));
        front.at_rest().await;
    });
}

#[test]
fn the_whole_time_ends_an_answer_that_trickles() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        target(&mut plan).timeouts.total = Some(SHORT * 2);
        let mut front = Front::new(plan).await;
        let mut client = front.asked(GET).await;
        let mut trickling = backend.asked().await;
        trickling.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        client.head().await;
        let mut ticks = tokio::time::interval(SHORT / 3);
        let (_, line) = tokio::join!(
            async {
                while tokio::io::AsyncWriteExt::write_all(&mut trickling.stream, b"x").await.is_ok() {
                    ticks.tick().await;
                }
            },
            front.failure()
        );
        assert_eq!(cause(&line), ("total-timeout", 1));
        assert!(client.rest().await.len() < 1000);
        front.at_rest().await;
    });
}

#[test]
fn a_body_that_stands_still_is_the_clients_fault() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        plan.listeners[0].timeouts.body = Some(SHORT);
        target(&mut plan).timeouts.first_byte = Some(SHORT / 3);
        let mut front = Front::new(plan).await;
        let mut client = front.asked("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nhello").await;
        let _waiting = backend.asked().await;
        assert_eq!(client.answer().await.status, 408);
        assert_eq!(cause(&front.failure().await), ("body-timeout", 1));
        front.at_rest().await;
        assert_eq!(front.counters(0).failures.get(), 0, "the backend has done nothing wrong");
    });
}

#[test]
fn a_client_that_waits_for_100_is_not_at_fault_but_the_backend_that_does_not_say_it() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        plan.listeners[0].timeouts.body = Some(SHORT);
        target(&mut plan).timeouts.first_byte = Some(SHORT * 2);
        target(&mut plan).retry.tries = 1;
        let mut front = Front::new(plan).await;
        let head = "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        let mut client = front.asked(head).await;
        let _silent = backend.asked().await;
        assert_eq!(client.answer().await.status, 504);
        assert_eq!(cause(&front.failure().await), ("first-byte-timeout", 1));
        front.at_rest().await;
        let mut client = front.asked(head).await;
        let mut inviting = backend.asked().await;
        inviting.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 100 "));
        assert_eq!(client.answer().await.status, 408, "now it is the client's turn");
        assert_eq!(cause(&front.failure().await), ("body-timeout", 1));
        front.at_rest().await;
    });
}

#[test]
fn an_answer_that_stands_still_is_cut() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        target(&mut plan).timeouts.idle = Some(SHORT);
        let mut front = Front::new(plan).await;
        let mut client = front.asked(GET).await;
        let mut stuck = backend.asked().await;
        stuck.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        client.head().await;
        assert_eq!(client.rest().await, b"half");
        assert_eq!(cause(&front.failure().await), ("idle-timeout", 1));
        front.at_rest().await;
    });
}

#[test]
fn an_upload_that_goes_on_keeps_the_wait_for_its_answer_alive() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        target(&mut plan).timeouts.idle = Some(SHORT * 3);
        let mut front = Front::new(plan).await;
        let mut client = front.asked("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8\r\n\r\n").await;
        let mut patient = backend.asked().await;
        patient.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
        client.head().await;
        let mut ticks = tokio::time::interval(SHORT / 2);
        for _ in 0..8 {
            ticks.tick().await;
            client.send("x").await;
        }
        patient.read_exactly(8).await;
        patient.send("hi").await;
        assert_eq!(client.read_exactly(2).await, b"hi");
        front.at_rest().await;
        front.expect_no_failure();
    });
}

#[test]
fn a_client_that_does_not_take_its_answer_is_given_up() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        plan.listeners[0].timeouts.body = Some(SHORT);
        let mut front = Front::new(plan).await;
        let client = front.asked(GET).await;
        let mut eager = backend.asked().await;
        let body = vec![b'x'; 32 * 1024 * 1024];
        eager.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        let (sent, line) = tokio::join!(
            async { tokio::io::AsyncWriteExt::write_all(&mut eager.stream, &body).await.is_ok() },
            front.failure()
        );
        assert!(!sent);
        assert_eq!(cause(&line), ("client-stalled", 1));
        front.at_rest().await;
        assert_eq!(front.counters(0).failures.get(), 0);
        drop(client);
    });
}

#[test]
fn a_tunnel_that_is_silent_ends_and_nobody_is_to_blame() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        plan.listeners[0].timeouts.tunnel = Some(SHORT);
        let mut front = Front::new(plan).await;
        let upgrade = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        let mut client = front.asked(upgrade).await;
        let mut silent = backend.asked().await;
        silent.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").await;
        client.head().await;
        assert_eq!(client.rest().await, b"");
        assert_eq!(silent.rest().await, b"");
        front.at_rest().await;
        front.expect_no_failure();
    });
}
