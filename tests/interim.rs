//! Interim answers and expectations (RFC 9110, sections 10.1.1 and 15.2).

use crate::harness::{Backend, GET, Method, OK, Setup};

const EXPECTING: &str = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[test]
fn rfc9110_10_1_1_the_backend_says_when_the_body_is_to_come() {
    let backend = Backend::serving(|conn| {
        let mut request = conn.head()?;
        assert_eq!(request.value("Expect"), "100-continue");
        conn.send("HTTP/1.1 100 Continue\r\n\r\n");
        conn.wire.read_body_of_request(&mut request)?;
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", request.body_text()));
        Ok(())
    });
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    client.send(EXPECTING);
    assert_eq!(client.read_head().unwrap().status(), 100);
    client.send("hello");
    assert_eq!(client.answer(Method::Other).body_text(), "hello");
    assert_eq!(front.counter("interim"), 1);
}

#[test]
fn rfc9110_10_1_1_a_final_answer_in_place_of_continue_passes() {
    let backend = Backend::serving(|conn| {
        conn.head()?;
        conn.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        conn.until_closed();
        Ok(())
    });
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    client.send(EXPECTING);
    let answer = client.answer(Method::Other);
    assert_eq!((answer.status(), answer.body_text().as_str()), (403, "no"));
    assert!(answer.lists("Connection", "close"), "the body is still to come: {answer:?}");
}

#[test]
fn rfc9110_10_1_1_other_expectations_are_refused() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let answer = front.exchange("POST / HTTP/1.1\r\nHost: a\r\nExpect: gold\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(answer.status(), 417);
    assert_eq!(backend.requests(), []);
}

#[test]
fn rfc9110_10_1_1_an_old_client_does_not_expect_anything() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let answer = front.exchange("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(answer.status(), 200);
    let request = backend.request();
    assert!(!request.has("Expect"), "{request:?}");
    assert_eq!(request.body_text(), "hello");
}

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";

#[test]
fn rfc8297_early_hints_pass_before_the_answer() {
    let backend = Backend::answering(format!("{HINTS}{HINTS}{OK}"));
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    for _ in 0..2 {
        client.send(GET);
        for _ in 0..2 {
            let hints = client.read_head().unwrap();
            assert_eq!((hints.status(), hints.value("Link")), (103, "</a.css>; rel=preload"));
            assert!(!hints.has("Connection"), "{hints:?}");
        }
        assert_eq!(client.answer(Method::Other).body_text(), "ok");
    }
}

#[test]
fn rfc9110_15_2_old_clients_get_no_interim_answers() {
    let backend = Backend::answering(format!("{HINTS}{OK}"));
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_head().unwrap().status(), 200);
}

#[test]
fn continue_that_nobody_asked_for_is_not_passed_on() {
    let backend = Backend::answering(format!("HTTP/1.1 100 Continue\r\n\r\n{OK}"));
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    client.send(GET);
    assert_eq!(client.read_head().unwrap().status(), 200);
}

#[test]
fn endless_interim_answers_are_a_fault_of_the_backend() {
    let backend = Backend::closing(HINTS.repeat(1000));
    let front = Setup::new(&backend).pool("retry = { tries = 1 }").start();
    assert_eq!(front.exchange(GET).status(), 502);
    assert_eq!(front.failure()["cause"], "malformed-answer");
}
