//! Backends that are slow, gone or nowhere: status, cause and what is tried again.

use std::time::{Duration, Instant};

use crate::harness::{Backend, Blackhole, Broken, Evenkeel, GET, Message, Method, OK, Setup};

/// Says so much and then nothing.
fn stalling(start: &'static str) -> Backend {
    Backend::serving(move |conn| {
        conn.request()?;
        conn.send(start);
        conn.until_closed();
        Ok(())
    })
}

const ONCE: &str = "retry = { tries = 1 }";

/// Checks that an exchange failed with this status, cause and RFC 9209 error type, in answer and record alike.
#[track_caller]
fn expect_failure(front: &Evenkeel, answer: &Message, (status, cause, error): (u16, &str, &str)) {
    assert_eq!(answer.status(), status, "{answer:?}");
    let proxy_status = answer.value("Proxy-Status");
    assert!(proxy_status.contains(&format!("error={error}")), "{proxy_status}");
    assert!(proxy_status.contains(cause), "{proxy_status}");
    let failure = front.failure();
    assert_eq!((&failure["cause"], &failure["status"]), (&cause.into(), &status.into()), "{failure}");
    assert_eq!(failure["request_id"], answer.value("X-Request-Id"));
}

#[test]
fn backend_that_does_not_answer_in_time_is_504() {
    let backend = Backend::silent();
    let front = Setup::new(&backend).pool(ONCE).pool("timeouts = { first_byte = \"150ms\" }").start();
    let answer = front.exchange(GET);
    expect_failure(&front, &answer, (504, "first-byte-timeout", "http_response_timeout"));
    assert_eq!(front.backends("failures")[0], 1);
}

#[test]
fn first_byte_is_waited_for_from_the_end_of_the_request() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).pool(ONCE).pool("timeouts = { first_byte = \"700ms\" }").start();
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    for byte in ["b", "o", "d", "y"] {
        // Slower than the limit as a whole: that is not the backend's fault.
        std::thread::sleep(Duration::from_millis(250));
        client.send(byte);
    }
    assert_eq!(client.answer(Method::Other).status(), 200);
}

#[test]
fn address_that_never_answers_is_504_in_time() {
    let hole = Blackhole::new();
    let front = Setup::over([hole.address.as_str()]).pool(ONCE).pool("timeouts = { connect = \"150ms\" }").start();
    let began = Instant::now();
    let answer = front.exchange(GET);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    expect_failure(&front, &answer, (504, "connect-timeout", "connection_timeout"));
}

#[test]
fn address_that_never_answers_costs_nobody_an_answer_where_another_does() {
    let (hole, good) = (Blackhole::new(), Backend::answering(OK));
    let front = Setup::over([hole.address.as_str(), &good.address]).pool("timeouts = { connect = \"100ms\" }").start();
    for _ in 0..4 {
        assert_eq!(front.exchange(GET).status(), 200);
        let posted = front.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(posted.status(), 200, "nothing was written: any method may be tried again");
    }
}

#[test]
fn port_that_nobody_listens_on_is_502() {
    let front = Setup::over([format!("127.0.0.1:{}", crate::harness::free_port())]).pool(ONCE).start();
    let answer = front.exchange(GET);
    expect_failure(&front, &answer, (502, "connect-failed", "connection_refused"));
}

#[test]
fn answer_that_stands_still_is_cut() {
    let backend = stalling("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    let front = Setup::new(&backend).pool("timeouts = { idle = \"150ms\" }").start();
    let mut client = front.client();
    client.send(GET);
    let broken = client.read_answer(Method::Other).unwrap_err();
    assert!(matches!(broken, Broken::Early(_) | Broken::Reset), "{broken:?}");
    assert_eq!(front.failure()["cause"], "idle-timeout");
    assert_eq!(front.counter("truncated"), 1);
}

#[test]
fn answer_that_trickles_is_not_idle() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        for byte in ["h", "e", "l", "l", "o"] {
            std::thread::sleep(Duration::from_millis(250));
            conn.send(byte);
        }
        Ok(())
    });
    let front = Setup::new(&backend).pool("timeouts = { idle = \"1s\" }").start();
    assert_eq!(front.exchange(GET).body_text(), "hello");
}

#[test]
fn exchange_that_takes_too_long_as_a_whole_is_504() {
    let backend = Backend::silent();
    let front = Setup::new(&backend).pool("timeouts = { total = \"200ms\", first_byte = \"150ms\" }").start();
    let began = Instant::now();
    let answer = front.exchange(GET);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    expect_failure(&front, &answer, (504, "total-timeout", "http_response_timeout"));
}

#[test]
fn total_time_ends_an_answer_that_trickles_on() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while conn.wire.try_send("x").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    });
    let front = Setup::new(&backend).pool("timeouts = { total = \"300ms\" }").start();
    let mut client = front.client();
    client.send(GET);
    assert!(client.read_answer(Method::Other).is_err());
    assert_eq!(front.failure()["cause"], "total-timeout");
}

#[test]
fn route_may_have_timeouts_of_its_own() {
    let backend = Backend::silent();
    let front = Setup::new(&backend)
        .pool(ONCE)
        .more("[[route]]\npath = \"/slow\"\npool = \"app\"\ntimeouts = { first_byte = \"100ms\" }")
        .start();
    assert_eq!(front.exchange("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").status(), 504);
}

/// Two backends, of which the first is bad and is asked first, however often it fails.
fn bad_then_good(bad: &Backend, good: &Backend, pool: &str) -> Evenkeel {
    let terms = "policy = \"first\"\neject = \"off\"";
    Setup::over([&bad.address, &good.address].map(String::as_str)).pool(terms).pool(pool).start()
}

#[test]
fn slow_backend_is_left_for_another_by_idempotent_requests_alone() {
    let (bad, good) = (Backend::silent(), Backend::answering(OK));
    let front = bad_then_good(&bad, &good, "timeouts = { first_byte = \"700ms\" }");
    for request in
        [GET, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        assert_eq!(front.exchange(request).status(), 200, "{request:?}");
    }
    assert_eq!(good.requests()[1].body_text(), "hi", "the body is sent again");
    let posted = front.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(posted.status(), 504);
    assert_eq!(good.requests().len(), 3);
}

#[test]
fn connection_that_breaks_is_left_for_another_by_idempotent_requests_alone() {
    let bad = Backend::serving(|conn| {
        conn.request()?;
        conn.end_with_reset();
        Ok(())
    });
    let good = Backend::answering(OK);
    let front = bad_then_good(&bad, &good, "");
    assert_eq!(front.exchange(GET).status(), 200);
    let posted = front.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(posted.status(), 502);
    assert_eq!(good.requests().len(), 1);
}

#[test]
fn statuses_are_tried_elsewhere_as_configured() {
    let bad = Backend::answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nbad");
    let good = Backend::answering(OK);
    let front = bad_then_good(&bad, &good, "");
    assert_eq!(front.exchange(GET).status(), 200);
    let posted = front.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((posted.status(), posted.body_text().as_str()), (503, "bad"));
    let front = bad_then_good(&bad, &good, "retry = { on = [\"connect\"] }");
    assert_eq!(front.exchange(GET).status(), 503);
}

#[test]
fn last_answer_passes_when_all_are_bad() {
    let one = Backend::answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\none");
    let two = Backend::answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\ntwo");
    let front = bad_then_good(&one, &two, "");
    let answer = front.exchange(GET);
    assert_eq!((answer.status(), answer.body_text().as_str()), (503, "two"));
}

#[test]
fn without_retries_each_failure_shows() {
    let bad = Backend::closing("");
    let good = Backend::answering(OK);
    let front = bad_then_good(&bad, &good, ONCE);
    let answer = front.exchange(GET);
    expect_failure(&front, &answer, (502, "reset", "connection_terminated"));
    assert_eq!(good.requests(), []);
}

#[test]
fn body_beyond_the_replay_buffer_is_not_repeated() {
    let bad = Backend::closing("");
    let good = Backend::answering(OK);
    let front = bad_then_good(&bad, &good, "retry = { body_buffer = \"1KiB\" }");
    let put = |length: usize| {
        let body = "x".repeat(length);
        front.exchange(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")).status()
    };
    assert_eq!((put(1000), put(5000)), (200, 502));
    assert_eq!(good.requests().len(), 1);
}

#[test]
fn kept_connection_that_the_backend_closed_costs_nobody_an_answer() {
    let backend = Backend::closing(OK);
    let front = Setup::new(&backend).start();
    let mut client = front.client();
    for _ in 0..50 {
        // The close may come at any moment around this one.
        assert_eq!(client.exchange(GET).status(), 200);
        // What may not be repeated meets a connection that is closed for sure.
        backend.wait_until_all_closed();
        let posted = client.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(posted.status(), 200);
    }
}

#[test]
fn half_an_answer_is_never_tried_again() {
    let bad = Backend::closing("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    let good = Backend::answering(OK);
    let front = bad_then_good(&bad, &good, "");
    let mut client = front.client();
    client.send(GET);
    assert!(client.read_answer(Method::Other).is_err());
    assert_eq!(good.requests(), []);
}

#[test]
fn chunked_body_with_trailers_is_sent_again_whole() {
    let bad = Backend::serving(|conn| {
        conn.request()?;
        conn.end_with_reset();
        Ok(())
    });
    let good = Backend::answering(OK);
    let front = bad_then_good(&bad, &good, "");
    let put =
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n";
    assert_eq!(front.exchange(put).status(), 200);
    for backend in [&bad, &good] {
        let request = backend.request();
        assert_eq!((request.body_text().as_str(), request.trailers.len()), ("abcdefg", 1));
    }
}

#[test]
fn body_of_any_size_goes_elsewhere_when_no_connection_could_be_made() {
    let good = Backend::answering(OK);
    let nowhere = format!("127.0.0.1:{}", crate::harness::free_port());
    let front = Setup::over([nowhere.as_str(), &good.address]).pool("policy = \"first\"").start();
    let body = "b".repeat(1_000_000);
    let answer = front.exchange(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(answer.status(), 200);
    assert!(good.request().body_text() == body);
}

#[test]
fn early_hints_do_not_hinder_a_second_attempt() {
    let bad = Backend::closing("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    let good = Backend::answering(OK);
    let front = bad_then_good(&bad, &good, "");
    assert_eq!(front.exchange(GET).status(), 200);
}
