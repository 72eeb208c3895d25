//! What a head becomes on its way through (RFC 9110, sections 7.6 and 7.7; RFC 9112, section 3.2).

use crate::harness::{Backend, Evenkeel, GET, Message, OK, Setup};

fn front(backend: &Backend) -> Evenkeel {
    Setup::new(backend).start()
}

/// The request as the backend saw it.
#[track_caller]
fn forwarded(request: &str) -> Message {
    let backend = Backend::answering(OK);
    let answer = front(&backend).exchange(request);
    assert_eq!(answer.status(), 200, "{answer:?}");
    backend.request()
}

/// The answer as the client saw it.
#[track_caller]
fn returned(answer: &str) -> Message {
    let backend = Backend::answering(answer);
    front(&backend).exchange(GET)
}

#[test]
fn rfc9110_7_6_1_connection_fields_of_a_request_end_here() {
    let request = forwarded(
        "GET /a HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, X-Hop, x-other\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nX-Hop: 1\r\nX-OTHER: 2\r\nX-End: 3\r\n\r\n",
    );
    for gone in ["Keep-Alive", "Proxy-Connection", "X-Hop", "X-Other", "Connection"] {
        assert!(!request.has(gone), "{gone} in {request:?}");
    }
    assert_eq!(request.value("X-End"), "3");
}

#[test]
fn rfc9110_7_6_1_connection_fields_of_an_answer_end_here() {
    let answer = returned(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n\
         X-End: 3\r\nProxy-Connection: keep-alive\r\n\r\nok",
    );
    for gone in ["Keep-Alive", "Proxy-Connection", "X-Hop", "Connection"] {
        assert!(!answer.has(gone), "{gone} in {answer:?}");
    }
    assert_eq!(answer.value("X-End"), "3");
}

#[test]
fn rfc9110_7_6_1_connection_cannot_remove_what_a_request_is_about() {
    let request = forwarded(
        "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: Cookie, Authorization, X-Forwarded-For, close\r\n\
         Cookie: a=1\r\nAuthorization: Basic eDp5\r\n\r\n",
    );
    assert_eq!(request.value("Cookie"), "a=1");
    assert_eq!(request.value("Authorization"), "Basic eDp5");
    assert_eq!(request.value("X-Forwarded-For"), "127.0.0.1");
}

#[test]
fn rfc9110_7_6_3_via_names_the_version_that_came_and_keeps_what_was_there() {
    assert_eq!(forwarded(GET).value("Via"), "1.1 evenkeel");
    let request = forwarded("GET / HTTP/1.0\r\nHost: shop.example\r\nVia: 1.1 edge\r\n\r\n");
    assert_eq!(request.values("Via").join(", "), "1.1 edge, 1.0 evenkeel");
}

#[test]
fn rfc9112_3_2_host_passes_as_it_came() {
    for host in ["shop.example", "Shop.EXAMPLE:8080", "shop.example.", "[::1]:80", "10.0.0.1"] {
        let request = forwarded(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(request.value("Host"), host);
    }
}

#[test]
fn rfc9112_3_2_2_absolute_form_becomes_origin_form_and_replaces_host() {
    let request = forwarded("GET http://shop.example:81/a/b?c=d HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_eq!(request.start_line(), "GET /a/b?c=d HTTP/1.1");
    assert_eq!(request.value("Host"), "shop.example:81");
    let request = forwarded("GET http://shop.example HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_eq!(request.start_line(), "GET / HTTP/1.1");
}

#[test]
fn rfc9112_3_2_4_options_for_the_whole_server_keeps_its_asterisk() {
    let request = forwarded("OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(request.start_line(), "OPTIONS * HTTP/1.1");
    let request = forwarded("OPTIONS http://shop.example HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(request.start_line(), "OPTIONS * HTTP/1.1");
}

#[test]
fn rfc9110_7_6_2_max_forwards_is_counted_down_for_options() {
    let request = forwarded("OPTIONS / HTTP/1.1\r\nHost: shop.example\r\nMax-Forwards: 3\r\n\r\n");
    assert_eq!(request.value("Max-Forwards"), "2");
    let request = forwarded("GET / HTTP/1.1\r\nHost: shop.example\r\nMax-Forwards: 3\r\n\r\n");
    assert_eq!(request.value("Max-Forwards"), "3");
}

#[test]
fn rfc9110_7_6_2_options_with_no_forwards_left_is_answered_here() {
    let backend = Backend::answering(OK);
    let front = front(&backend);
    let answer = front.exchange("OPTIONS / HTTP/1.1\r\nHost: shop.example\r\nMax-Forwards: 0\r\n\r\n");
    assert!(matches!(answer.status(), 200 | 204), "{answer:?}");
    assert_eq!(backend.requests(), []);
}

#[test]
fn request_line_and_fields_pass_byte_for_byte() {
    let backend = Backend::answering(OK);
    let front = front(&backend);
    front.exchange(
        "PURGE /a%2Fb//c;d=e?x=%20&y=%zz&z= HTTP/1.1\r\nHost: shop.example\r\nX-CaSe:  two  words \r\nX-Empty:\r\n\
         X-Twice: 1\r\nX-Twice: 2\r\nX-Bytes: h\u{e9}\r\n\r\n",
    );
    let request = backend.request();
    assert_eq!(request.start_line(), "PURGE /a%2Fb//c;d=e?x=%20&y=%zz&z= HTTP/1.1");
    assert!(request.head.contains("\r\nX-CaSe:"), "names keep their case: {request:?}");
    assert_eq!(request.value("X-CaSe"), "two  words");
    assert_eq!(request.value("X-Empty"), "");
    assert_eq!(request.values("X-Twice"), ["1", "2"]);
    assert_eq!(request.value("X-Bytes"), "h\u{e9}");
}

#[test]
fn dot_segments_are_resolved_before_a_backend_sees_them() {
    for (asked, seen) in
        [("/a/../b", "/b"), ("/a/./b", "/a/b"), ("/%2e%2E/x", "/x"), ("/a/..", "/"), ("/..;/x", "/..;/x")]
    {
        let request = forwarded(&format!("GET {asked}?q=/../ HTTP/1.1\r\nHost: shop.example\r\n\r\n"));
        assert_eq!(request.target(), format!("{seen}?q=/../"), "{asked}");
    }
}

#[test]
fn forwarding_fields_of_strangers_are_replaced() {
    let backend = Backend::answering(OK);
    let front = front(&backend);
    front.exchange(
        "GET / HTTP/1.1\r\nHost: shop.example:8080\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 443\r\nForwarded: for=1.2.3.4\r\nX-Request-Id: mine\r\n\r\n",
    );
    let request = backend.request();
    assert_eq!(request.value("X-Forwarded-For"), "127.0.0.1");
    assert_eq!(request.value("X-Forwarded-Proto"), "http");
    assert_eq!(request.value("X-Forwarded-Host"), "shop.example:8080");
    assert_eq!(request.value("X-Forwarded-Port"), front.port().to_string());
    assert!(!request.has("Forwarded"));
    assert_ne!(request.value("X-Request-Id"), "mine");
}

#[test]
fn forwarding_fields_of_trusted_proxies_are_kept() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener("trusted_proxies = [\"127.0.0.0/8\"]").start();
    front.exchange(
        "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: www.example\r\nX-Forwarded-Port: 443\r\nForwarded: for=192.0.2.7\r\nX-Request-Id: theirs\r\n\r\n",
    );
    let request = backend.request();
    assert_eq!(request.value("X-Forwarded-For"), "192.0.2.7, 127.0.0.1");
    assert_eq!(request.value("X-Forwarded-Proto"), "https");
    assert_eq!(request.value("X-Forwarded-Host"), "www.example");
    assert_eq!(request.value("X-Forwarded-Port"), "443");
    assert_eq!(request.value("Forwarded"), "for=192.0.2.7");
    assert_eq!(request.value("X-Request-Id"), "theirs");
}

#[test]
fn every_request_has_an_id_of_its_own() {
    let backend = Backend::answering(OK);
    let front = front(&backend);
    let mut client = front.client();
    for _ in 0..3 {
        client.exchange(GET);
    }
    let mut ids: Vec<String> = backend.requests().iter().map(|r| r.value("X-Request-Id").to_owned()).collect();
    assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn rfc7239_forwarded_is_added_where_the_pool_wants_it() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).pool("forwarded = true").start();
    front.exchange(GET);
    assert_eq!(backend.request().value("Forwarded"), "for=127.0.0.1;proto=http;host=\"shop.example\"");
}

#[test]
fn pool_may_name_the_host_that_backends_see() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).pool("host = \"app.internal\"").start();
    front.exchange(GET);
    let request = backend.request();
    assert_eq!(request.value("Host"), "app.internal");
    assert_eq!(request.value("X-Forwarded-Host"), "shop.example");
}

#[test]
fn rfc9110_9_3_2_head_keeps_the_length_and_has_no_body() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n");
    let front = front(&backend);
    let mut client = front.client();
    for _ in 0..2 {
        let answer = client.exchange("HEAD /a HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        assert_eq!((answer.status(), answer.value("Content-Length")), (200, "1234"));
    }
    assert_eq!(backend.requests()[0].start_line(), "HEAD /a HTTP/1.1");
}

#[test]
fn rfc9112_6_3_no_content_and_not_modified_have_no_body() {
    for answer in [
        "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"x\"\r\n\r\n",
    ] {
        let backend = Backend::answering(answer);
        let front = front(&backend);
        let mut client = front.client();
        for _ in 0..2 {
            let seen = client.exchange(GET);
            assert_eq!(seen.start_line(), answer.split("\r\n").next().unwrap());
            assert!(!seen.has("Transfer-Encoding"), "{seen:?}");
        }
    }
}

#[test]
fn status_and_reason_and_fields_of_an_answer_pass() {
    let answer = returned(
        "HTTP/1.1 418 I am a teapot, really\r\nContent-Length: 5\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n\
         Server: tiny/1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nshort",
    );
    assert_eq!(answer.start_line(), "HTTP/1.1 418 I am a teapot, really");
    assert_eq!(answer.values("Set-Cookie"), ["a=1; Path=/", "b=2"]);
    assert_eq!((answer.value("Server"), answer.value("Date")), ("tiny/1", "Thu, 01 Jan 1970 00:00:00 GMT"));
    assert_eq!(answer.body_text(), "short");
}

#[test]
fn rfc9112_2_3_an_answer_of_an_older_backend_goes_out_in_our_version() {
    let backend = Backend::closing("HTTP/1.0 200 Fine\r\nContent-Length: 2\r\n\r\nok");
    let front = front(&backend);
    let mut client = front.client();
    for _ in 0..2 {
        let answer = client.exchange(GET);
        assert_eq!(answer.start_line(), "HTTP/1.1 200 Fine");
        assert!(!answer.lists("Connection", "close"), "{answer:?}");
    }
}
