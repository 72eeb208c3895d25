//! Limits of request bodies, and what our own answers make of a request that has not ended.

use policy::plan::{Action, FixedAnswer};

use super::front::{Backend, Front, GET, OK, cause, plan};
use crate::testing::run;

fn put(framing: &str, body: &str) -> String {
    format!("PUT / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n{body}")
}

#[test]
fn a_body_over_the_limit_is_refused_before_or_while_it_comes() {
    for (request, attempts) in [
        (put("Content-Length: 11", "hello world"), 0),
        (put("Transfer-Encoding: chunked", "b\r\nhello world\r\n0\r\n\r\n"), 1),
        (put("Transfer-Encoding: chunked", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), 1),
    ] {
        run(async {
            let backend = Backend::new().await;
            let mut plan = plan(&[&backend]);
            plan.limits.body_bytes = Some(10);
            let mut front = Front::new(plan).await;
            let mut client = front.asked(&request).await;
            let got = client.answer().await;
            assert_eq!(got.status, 413, "{request}");
            assert_eq!(cause(&front.failure().await), ("body-too-large", attempts));
            front.at_rest().await;
            assert_eq!(front.counters(0).failures.get(), 0);
            // The whole request was here, so the connection is as good as new.
            client.send(GET).await;
            let mut next = backend.accept().await;
            if attempts == 1 {
                // The first connection is the refused one's.
                assert!(!next.rest().await.ends_with(b"0\r\n\r\n"), "it never looked whole");
                next = backend.accept().await;
            }
            next.head().await;
            next.send(OK).await;
            assert_eq!(client.answer().await.status, 200);
            front.at_rest().await;
        });
    }
}

#[test]
fn a_body_of_the_limit_passes() {
    for request in
        [put("Content-Length: 5", "hello"), put("Transfer-Encoding: chunked", "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")]
    {
        run(async {
            let backend = Backend::new().await;
            let mut plan = plan(&[&backend]);
            plan.routes[0].body_bytes = Some(5);
            plan.limits.body_bytes = Some(1);
            let front = Front::new(plan).await;
            let mut client = front.asked(&request).await;
            let mut one = backend.asked().await;
            one.send(OK).await;
            assert_eq!(client.answer().await.status, 200, "{request}");
        });
    }
}

#[test]
fn a_malformed_body_is_the_clients_fault() {
    run(async {
        let backend = Backend::new().await;
        let mut front = Front::new(plan(&[&backend])).await;
        let mut client = front.asked(put("Transfer-Encoding: chunked", "5\r\nhelloX\r\n0\r\n\r\n")).await;
        let got = client.answer().await;
        assert_eq!((got.status, got.field("Connection")), (400, Some("close")));
        assert_eq!(cause(&front.failure().await), ("bad-request", 1));
        assert_eq!(client.rest().await, b"", "what follows is not looked at");
        front.at_rest().await;
        assert_eq!(front.counters(0).failures.get(), 0);
    });
}

#[test]
fn our_own_answers_keep_the_connection_when_the_whole_request_is_here() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        let fixed = FixedAnswer { status: 200, body: b"here".to_vec(), headers: Vec::new() };
        plan.routes[0].action = Action::Answer(fixed);
        let front = Front::new(plan).await;
        let mut client = front.client().await;
        for request in [
            GET.to_owned(),
            put("Content-Length: 5", "hello"),
            put("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
            GET.to_owned(),
        ] {
            client.send(&request).await;
            let got = client.answer().await;
            assert_eq!((got.status, got.body.as_slice(), got.field("Connection")), (200, &b"here"[..], None));
        }
        client.send(put("Content-Length: 5", "hel")).await;
        let got = client.answer().await;
        assert_eq!((got.status, got.field("Connection")), (200, Some("close")));
        client.send("lo").await;
        assert_eq!(client.rest().await, b"", "the rest of a body is never taken for a request");
    });
}

#[test]
fn a_body_that_goes_wrong_while_the_answer_runs_cuts_both_sides() {
    for (wrong, limit, expected) in [("X\r\n", None, "bad-request"), ("8\r\nfar more\r\n", Some(10), "body-too-large")]
    {
        run(async {
            let backend = Backend::new().await;
            let mut plan = plan(&[&backend]);
            plan.limits.body_bytes = limit;
            let mut front = Front::new(plan).await;
            let mut client = front.asked(&put("Transfer-Encoding: chunked", "5\r\nhello\r\n")).await;
            let mut early = backend.accept().await;
            assert!(early.read_until("hello").await.ends_with("hello"));
            early.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome").await;
            client.head().await;
            assert_eq!(client.read_exactly(4).await, b"some");
            client.send(wrong).await;
            assert_eq!(client.rest().await, b"", "the answer breaks off");
            let seen = String::from_utf8_lossy(&early.rest().await).into_owned();
            assert!(!seen.ends_with("0\r\n\r\n"), "the request never looked whole: {seen:?}");
            assert_eq!(cause(&front.failure().await), (expected, 1));
            front.at_rest().await;
            assert_eq!((front.counters(0).failures.get(), front.counters(0).idle.get()), (0, 0));
            assert_eq!(front.worker.counters().listeners[0].refused.get(), 1);
        });
    }
}

#[test]
fn an_answer_that_is_whole_when_the_body_goes_wrong_is_delivered() {
    run(async {
        let backend = Backend::new().await;
        let front = Front::new(plan(&[&backend])).await;
        let mut client = front.asked(&put("Transfer-Encoding: chunked", "5\r\nhello\r\n")).await;
        let mut early = backend.accept().await;
        assert!(early.read_until("hello").await.ends_with("hello"));
        early.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nless").await;
        client.send("X\r\n").await;
        let got = client.answer().await;
        assert!(matches!(got.status, 400 | 413), "whichever came first: {got:?}");
        assert_eq!(got.field("Connection"), Some("close"));
        assert_eq!(client.rest().await, b"");
        front.at_rest().await;
        assert_eq!(front.counters(0).idle.get(), 0);
    });
}
