//! The end of a worker: what runs is finished, what has come is served, what is idle closes.

use std::rc::Rc;

use super::front::{Backend, Front, GET, OK, plan};
use crate::testing::run;
use crate::worker::Worker;

fn stop(worker: &Rc<Worker>) {
    worker.stopping.set(true);
    worker.stop.notify_waiters();
    worker.timers.wake_all();
}

#[test]
fn what_runs_is_finished_and_told_that_the_connection_closes() {
    run(async {
        let backend = Backend::new().await;
        let front = Front::new(plan(&[&backend])).await;
        let mut client = front.asked(GET).await;
        let mut working = backend.asked().await;
        stop(&front.worker);
        working.send(OK).await;
        let got = client.answer().await;
        assert_eq!((got.status, got.field("Connection")), (200, Some("close")));
        assert_eq!(client.rest().await, b"");
        front.until(|worker| worker.shared.connections() == 0).await;
        assert_eq!(working.rest().await, b"", "its connection is not kept");
        assert_eq!(front.worker.warm.get(), 0);
    });
}

#[test]
fn idle_connections_close_whether_they_have_served_or_not() {
    run(async {
        let backend = Backend::new().await;
        let front = Front::new(plan(&[&backend])).await;
        let mut fresh = front.client().await;
        let mut warm = front.asked(GET).await;
        let mut one = backend.asked().await;
        one.send(OK).await;
        warm.answer().await;
        front.until(|worker| worker.warm.get() == 1).await;
        stop(&front.worker);
        assert_eq!((fresh.rest().await, warm.rest().await), (Vec::new(), Vec::new()));
        front.until(|worker| worker.shared.connections() == 0).await;
        assert_eq!(front.worker.warm.get(), 0);
        assert_eq!(front.worker.counters().listeners[0].open.get(), 0);
    });
}

#[test]
fn a_client_that_is_still_sending_reads_its_answer_although_we_stop() {
    run(async {
        let backend = Backend::new().await;
        let front = Front::new(plan(&[&backend])).await;
        let mut client = front.asked("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nsome").await;
        let mut hasty = backend.asked().await;
        hasty.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await;
        front.at_rest().await;
        stop(&front.worker);
        for _ in 0..5 {
            // A reset would make one of these fail, and could cost the client the answer.
            client.send(&[b'x'; 100]).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(client.answer().await.status, 413);
        drop(client);
        front.until(|worker| worker.shared.connections() == 0).await;
    });
}

#[test]
fn a_request_that_is_here_when_its_connection_is_accepted_is_served() {
    run(async {
        let backend = Backend::new().await;
        let front = Front::new(plan(&[&backend])).await;
        let (mut client, queued) = front.at_the_door().await;
        client.send(GET).await;
        stop(&front.worker);
        front.serve(queued);
        let mut one = backend.asked().await;
        one.send(OK).await;
        let got = client.answer().await;
        assert_eq!((got.status, got.field("Connection")), (200, Some("close")));
        front.until(|worker| worker.shared.connections() == 0).await;
    });
}

#[test]
fn a_warm_connection_folds_up_after_a_while_and_serves_on() {
    run(async {
        let backend = Backend::new().await;
        let front = Front::new(plan(&[&backend])).await;
        let mut client = front.client().await;
        let mut one = None;
        for _ in 0..2 {
            client.send(GET).await;
            let mut serving = match one.take() {
                Some(serving) => serving,
                None => backend.accept().await,
            };
            serving.head().await;
            serving.send(OK).await;
            assert_eq!(client.answer().await.status, 200);
            one = Some(serving);
            front.until(|worker| worker.warm.get() == 1).await;
            // Sleeps meanwhile: nothing but the deadline ends the warmth.
            while front.worker.warm.get() == 1 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            assert_eq!(front.worker.shared.connections(), 1);
        }
    });
}
