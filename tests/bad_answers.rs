//! Malformed answers: a backend is trusted no more than a client (RFC 9112, sections 4 to 7).

use crate::harness::{Backend, GET, Method, OK, Setup};

/// What is wrong, and the answer.
const HEADS: &[(&str, &str)] = &[
    ("no HTTP at all", "hello\r\n\r\n"),
    ("another protocol", "SSH-2.0-OpenSSH_9.6\r\n"),
    ("HTTP/2 by name", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("lower-case name", "http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status 099", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status 600", "HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status in letters", "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok"),
    ("bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ("space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
    ("line folding", "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok"),
    ("field without a colon", "HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 2\r\n\r\nok"),
    ("NUL in a value", "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nok"),
    ("bare CR in a value", "HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\nok"),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    ("negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"),
    ("length in letters", "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok"),
    (
        "length and chunked",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    ("other coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok"),
    ("chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
    ("204 with chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("unasked 101", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
];

#[test]
fn rfc9112_4_malformed_answer_heads_become_502() {
    let mut wrong = Vec::new();
    for (about, answer) in HEADS {
        let backend = Backend::closing(answer);
        let front = Setup::new(&backend).pool("retry = { tries = 1 }").start();
        let seen = front.exchange(GET);
        let cause = front.failure()["cause"].clone();
        if (seen.status(), cause.as_str()) != (502, Some("malformed-answer")) {
            wrong.push(format!("{about}: {cause} {seen:?}"));
        } else {
            assert!(seen.value("Proxy-Status").contains("error=http_protocol_error"), "{about}: {seen:?}");
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), HEADS.len(), wrong.join("\n"));
}

#[test]
fn rfc9110_15_6_3_a_head_over_the_limit_becomes_502() {
    let fields = "X-A: 1\r\n".repeat(120);
    let bytes = format!("X-A: {}\r\n", "a".repeat(40_000));
    for too_much in [fields, bytes] {
        let backend = Backend::closing(format!("HTTP/1.1 200 OK\r\n{too_much}Content-Length: 2\r\n\r\nok"));
        let front = Setup::new(&backend).pool("retry = { tries = 1 }").start();
        assert_eq!(front.exchange(GET).status(), 502);
        assert_eq!(front.failure()["cause"], "malformed-answer");
    }
}

#[test]
fn backend_that_closes_before_or_in_its_head_becomes_502() {
    for start in ["", "HTTP/1.1 200 O", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"] {
        let backend = Backend::closing(start);
        let front = Setup::new(&backend).pool("retry = { tries = 1 }").start();
        let answer = front.exchange(GET);
        assert_eq!(answer.status(), 502, "{start:?}");
        assert!(answer.value("Proxy-Status").contains("error=connection_terminated"), "{answer:?}");
        assert_eq!(front.failure()["cause"], "reset");
    }
}

#[test]
fn rfc9112_7_1_malformed_chunks_of_an_answer_never_look_whole() {
    let bodies = [
        "zz\r\nok\r\n0\r\n\r\n",
        "2\nok\r\n0\r\n\r\n",
        "2\r\nokk\r\n0\r\n\r\n",
        "2\r\nok\r\n-1\r\n\r\n",
        "2\r\nok\r\nfffffffffffffffff\r\n",
        "2\r\nok\r\n0\r\nX-A\r\n\r\n",
    ];
    for body in bodies {
        let backend = Backend::closing(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        let front = Setup::new(&backend).pool("retry = { tries = 1 }").start();
        let mut client = front.client();
        client.send(GET);
        let seen = client.read_answer(Method::Other);
        assert!(!matches!(&seen, Ok(answer) if answer.status() == 200), "{body:?}: {seen:?}");
    }
}

#[test]
fn malformed_answer_is_not_asked_for_twice_and_not_blamed_on_others() {
    let (bad, good) = (Backend::closing("HTTP/9.9 nonsense\r\n\r\n"), Backend::answering(OK));
    let front = Setup::over([&bad.address, &good.address].map(String::as_str)).start();
    let mut statuses: Vec<u16> = (0..10).map(|_| front.exchange(GET).status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert!(statuses.iter().all(|status| [200, 502].contains(status)), "{statuses:?}");
    assert_eq!(front.backends("failures")[1], 0);
}
