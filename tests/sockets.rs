//! Who may connect, over which kind of socket, and as whom (PROXY protocol).

use crate::harness::{Backend, Evenkeel, GET, Method, OK, Setup, Wire, eventually};

#[test]
fn unix_socket_listener_and_unix_socket_backend() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::unix(folder.path().join("app.sock"), |conn| {
        loop {
            conn.request()?;
            conn.send(OK);
        }
    });
    let front = Setup::new(&backend).bind(format!("unix:{}/web.sock", folder.path().display())).start();
    let mut client = front.client();
    for _ in 0..3 {
        assert_eq!(client.exchange(GET).body_text(), "ok");
    }
    let request = &backend.requests()[0];
    assert_eq!((request.value("Host"), request.value("X-Forwarded-For")), ("shop.example", "127.0.0.1"));
    assert_eq!(backend.connections(), 1);
}

#[test]
fn dead_unix_socket_is_taken_over_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let backend = Backend::answering(OK);
    let bind = format!("unix:{}", path.display());
    let front = Setup::new(&backend).bind(&bind).start();
    assert_eq!(front.exchange(GET).status(), 200);
    let (status, said) =
        Setup::new(&backend).bind(&bind).run_to_end(std::process::Command::new(crate::harness::binary()));
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(front.exchange(GET).status(), 200);
}

#[test]
fn denied_addresses_are_closed_at_accept() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener("deny = [\"127.0.0.2\", \"127.1.0.0/16\"]").start();
    assert!(front.serves("127.0.0.1"));
    assert!(!front.serves("127.0.0.2"));
    assert!(!front.serves("127.1.2.3"));
    assert_eq!(front.counter("denied"), 2);
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn only_allowed_addresses_are_served_and_deny_comes_first() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener("allow = [\"127.0.0.0/29\"]\ndeny = \"127.0.0.3\"").start();
    assert!(front.serves("127.0.0.2"));
    assert!(!front.serves("127.0.0.3"));
    assert!(!front.serves("127.0.0.9"));
}

#[test]
fn address_lists_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("blocked.txt");
    std::fs::write(&list, "# bots\n127.0.0.2\n\n127.0.0.4/30\n").unwrap();
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener(&format!("deny = \"${{file:{}}}\"", list.display())).start();
    assert!(front.serves("127.0.0.1"));
    assert!(!front.serves("127.0.0.2"));
    assert!(!front.serves("127.0.0.5"));
}

const TRUSTING: &str = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]";

/// The version 2 header of 192.0.2.7:5000 for 198.51.100.1:443.
fn version_two() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([192, 0, 2, 7, 198, 51, 100, 1]);
    header.extend(5000_u16.to_be_bytes());
    header.extend(443_u16.to_be_bytes());
    header
}

#[test]
fn proxy_protocol_says_who_the_client_is() {
    for header in [b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n".to_vec(), version_two()] {
        let backend = Backend::answering(OK);
        let front = Setup::new(&backend).listener(TRUSTING).start();
        let mut client = front.client();
        client.send([header.as_slice(), GET.as_bytes()].concat());
        assert_eq!(client.answer(Method::Other).status(), 200);
        client.exchange(GET);
        for request in backend.requests() {
            assert_eq!((request.value("X-Forwarded-For"), request.value("X-Forwarded-Port")), ("192.0.2.7", "443"));
        }
    }
}

#[test]
fn proxy_protocol_may_come_in_any_pieces() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener(TRUSTING).start();
    let mut client = front.client();
    for byte in [version_two().as_slice(), GET.as_bytes()].concat() {
        client.send([byte]);
    }
    assert_eq!(client.answer(Method::Other).status(), 200);
    assert_eq!(backend.request().value("X-Forwarded-For"), "192.0.2.7");
}

#[test]
fn connection_without_its_proxy_header_is_closed() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).listener(TRUSTING).start();
    for start in [GET.as_bytes(), b"PROXY TCP4 192.0.2.7 198.51.100.1 5000\r\n", b"PROXY TCP4 1.2.3.4"] {
        let mut client = front.client();
        client.send(start);
        client.finish();
        assert!(client.read_answer(Method::Other).is_err());
    }
    let mut stranger = front.client_from("127.0.0.2");
    let _ = stranger.try_send([version_two().as_slice(), GET.as_bytes()].concat());
    assert!(stranger.read_answer(Method::Other).is_err(), "only trusted proxies may speak for others");
    eventually("all are counted", || front.counter("denied") == 4);
    assert_eq!(backend.requests(), []);
}

#[test]
fn proxy_header_goes_to_backends_that_want_it() {
    for (version, start) in
        [("v1", &b"PROXY TCP4 127.0.0.1 127.0.0.1 "[..]), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c")]
    {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = std::sync::Arc::clone(&seen);
        let backend = Backend::serving(move |conn| {
            let length = if version == "v2" { 28 } else { start.len() + "65535 65535\r\n".len() };
            let header = conn.wire.read_exactly(length)?;
            kept.lock().unwrap().push(header);
            while !conn.wire.read_head()?.head.is_empty() {
                conn.send(OK);
            }
            Ok(())
        });
        let front = Setup::new(&backend).pool(&format!("send_proxy = \"{version}\"")).start();
        let mut client = client_with_five_digits(&front);
        client.exchange(GET);
        client.exchange(GET);
        let headers = seen.lock().unwrap().clone();
        assert_eq!(headers.len(), backend.connections(), "one for a connection");
        assert!(headers[0].starts_with(start), "{headers:?}");
        let ports = [client.stream().local_addr().unwrap().port(), front.port()];
        if version == "v1" {
            assert!(headers[0].ends_with(format!("{} {}\r\n", ports[0], ports[1]).as_bytes()), "{headers:?}");
        } else {
            assert_eq!(headers[0][24..28], [ports[0].to_be_bytes(), ports[1].to_be_bytes()].concat());
        }
    }
}

/// Ephemeral ports have five digits, which makes the length of a version 1 header known.
fn client_with_five_digits(front: &Evenkeel) -> Wire {
    let client = front.client();
    assert!(client.stream().local_addr().unwrap().port() > 9999 && front.port() > 9999);
    client
}

#[test]
fn connection_with_a_proxy_header_serves_its_own_client_alone() {
    let backend = Backend::serving(|conn| {
        let line = conn.wire.read_exactly(8)?;
        assert_eq!(line, b"PROXY TC");
        loop {
            let request = conn.wire.read_head()?;
            let who = request.value("X-Forwarded-For").to_owned();
            let named = request.head.contains(&who);
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{who}", who.len()));
            assert!(named);
        }
    });
    let front = Setup::new(&backend).pool("send_proxy = \"v1\"").start();
    for source in ["127.0.0.1", "127.0.0.2", "127.0.0.1"] {
        let mut client = front.client_from(source);
        assert_eq!(client.exchange(GET).body_text(), source);
    }
    assert_eq!(backend.connections(), 3, "a connection that speaks for one client is not another's");
}

#[test]
fn nearest_untrusted_hop_is_the_client() {
    let (ours, theirs) = (Backend::named("ours"), Backend::named("theirs"));
    let front = Setup::new(&theirs)
        .listener("trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]")
        .more_pool("ours", &ours)
        .more("[[route]]\nclient = [\"192.0.2.0/24\"]\npool = \"ours\"")
        .start();
    for (forwarded, body) in [
        ("192.0.2.7", "ours"),
        ("203.0.113.1, 192.0.2.7, 10.1.2.3", "ours"),
        ("192.0.2.7, 203.0.113.1", "theirs"),
        ("10.0.0.1", "theirs"),
        ("[2001:db8::1]:80, 192.0.2.7:1234", "ours"),
    ] {
        let answer = front.exchange(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {forwarded}\r\n\r\n"));
        assert_eq!(answer.body_text(), body, "{forwarded}");
    }
}

#[test]
fn ipv6_listener_serves_both_families() {
    let backend = Backend::answering(OK);
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return crate::harness::skip("ipv6_listener_serves_both_families", "no IPv6 loopback here");
    }
    let front = Setup::new(&backend).bind(":0").start();
    let port = front.port();
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        assert_eq!(Wire::connect(&address).exchange(GET).status(), 200, "{address}");
    }
    let requests = backend.requests();
    assert_eq!(requests[0].value("X-Forwarded-For"), "127.0.0.1", "a mapped address is shown as what it is");
    assert_eq!(requests[1].value("X-Forwarded-For"), "::1");
}
