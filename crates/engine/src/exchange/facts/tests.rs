//! Who the client is, and what stands for the exchange.

use std::net::SocketAddr;

use policy::access::CidrSet;
use policy::plan::ListenerId;
use wire::h1::{Limits, Parsed, parse_request};

use super::*;

/// Trusted here: 10.0.0.0/8 and one IPv6 network.
fn is_trusted(ip: IpAddr) -> bool {
    let ranges = ["10.0.0.0/8", "2001:db8:aa::/48"].map(|range| range.parse().expect("a range"));
    CidrSet::new(&ranges).contains(ip)
}

fn request(fields: &str) -> (Request, Vec<u8>) {
    let head = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n").into_bytes();
    let mut request = Request::default();
    let limits = Limits { head_bytes: 8192, fields: 100, target_bytes: 100 };
    assert_eq!(parse_request(&head, &limits, &mut request), Ok(Parsed::Complete(head.len())));
    (request, head)
}

fn peer(ip: &str) -> Peer {
    let ip: IpAddr = ip.parse().expect("an address");
    let local_ip = IpAddr::from([192, 0, 2, 1]);
    let addr = SocketAddr::new(ip, 4711);
    Peer { addr, trusted: is_trusted(ip), listener: ListenerId(0), local_ip, local_port: 80 }
}

/// The client of a request from a peer with these `X-Forwarded-For` values, one for each field.
fn client(from: &str, values: &[&str]) -> String {
    let fields: String = values.iter().map(|value| format!("X-Forwarded-For: {value}\r\n")).collect();
    let (request, buf) = request(&fields);
    client_ip(&request, &buf, &peer(from), is_trusted).to_string()
}

#[test]
fn a_stranger_is_who_it_is_whatever_it_says() {
    assert_eq!(client("203.0.113.9", &[]), "203.0.113.9");
    assert_eq!(client("203.0.113.9", &["198.51.100.7"]), "203.0.113.9");
    assert_eq!(client("::ffff:203.0.113.9", &["10.0.0.1"]), "203.0.113.9");
}

#[test]
fn the_nearest_hop_that_is_no_trusted_proxy_is_the_client() {
    for (values, expected) in [
        (&[][..], "10.0.0.2"),
        (&["198.51.100.7"][..], "198.51.100.7"),
        (&["198.51.100.7, 10.0.0.1"], "198.51.100.7"),
        (&["198.51.100.7,10.0.0.1 ,\t10.0.0.3"], "198.51.100.7"),
        (&["192.0.2.66, 198.51.100.7"], "198.51.100.7"),
        (&["192.0.2.66", "198.51.100.7", "10.0.0.1"], "198.51.100.7"),
        (&["10.0.0.1"], "10.0.0.1"),
        (&["10.0.0.4, 10.0.0.1"], "10.0.0.4"),
        (&["192.0.2.66, 2001:db8:aa::1"], "192.0.2.66"),
    ] {
        assert_eq!(client("10.0.0.2", values), expected, "{values:?}");
    }
}

#[test]
fn hops_may_have_ports_and_brackets() {
    for (hop, expected) in [
        ("198.51.100.7:4711", "198.51.100.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("[::ffff:198.51.100.7]:1", "198.51.100.7"),
    ] {
        assert_eq!(client("10.0.0.2", &[hop]), expected, "{hop}");
    }
}

#[test]
fn behind_a_hop_that_is_no_address_nothing_is_believed() {
    for hop in
        ["unknown", "_hidden", "", "198.51.100", "198.51.100.7:", "[2001:db8::7", "1.2.3.4, , 10.0.0.1", "\u{e9}"]
    {
        let expected = if hop.ends_with("10.0.0.1") { "10.0.0.1" } else { "10.0.0.2" };
        assert_eq!(client("10.0.0.2", &[&format!("198.51.100.7, {hop}")]), expected, "{hop:?}");
    }
}

#[test]
fn a_request_id_is_kept_from_trusted_peers_and_made_for_others() {
    let kept = |from: &str, fields: &str| {
        let (request, buf) = request(fields);
        let id = RequestId::new(&request, &buf, &peer(from), &mut Rng::new(1));
        let text = String::from_utf8(id.bytes(&buf).to_vec()).expect("text");
        assert_eq!(id.made().map(<[u8]>::len), matches!(id, RequestId::Made(_)).then_some(MADE_ID_BYTES));
        matches!(id, RequestId::Kept(_)).then_some(text)
    };
    let long = |bytes: usize| format!("X-Request-Id: {}\r\n", "a".repeat(bytes));
    assert_eq!(kept("10.0.0.2", "X-Request-Id: abc\r\n").as_deref(), Some("abc"));
    assert_eq!(kept("203.0.113.9", "X-Request-Id: abc\r\n"), None);
    assert_eq!(kept("10.0.0.2", ""), None);
    assert_eq!(kept("10.0.0.2", "X-Request-Id: \r\n"), None);
    assert!(kept("10.0.0.2", &long(KEPT_ID_BYTES)).is_some());
    assert_eq!(kept("10.0.0.2", &long(KEPT_ID_BYTES + 1)), None);
}

#[test]
fn made_request_ids_are_hexadecimal_and_differ() {
    let (request, buf) = request("");
    let mut rng = Rng::new(7);
    let mut ids: Vec<_> = (0..1000)
        .map(|_| RequestId::new(&request, &buf, &peer("203.0.113.9"), &mut rng).bytes(&buf).to_vec())
        .collect();
    assert!(ids.iter().all(|id| id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit)));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1000);
}

#[test]
fn eight_tried_backends_are_remembered_each_once() {
    let mut tried = Tried::default();
    for backend in [3, 3, 5, 3] {
        tried.push(backend);
    }
    assert_eq!(tried.list(), [3, 5]);
    (10..20).for_each(|backend| tried.push(backend));
    assert_eq!(tried.list(), [12, 13, 14, 15, 16, 17, 18, 19]);
    tried.push(1_000_000);
    assert_eq!(tried.list().last(), Some(&u16::MAX));
}

#[test]
fn digits_come_lowest_first() {
    assert_eq!(&hex(0xfedc_ba98_7654_3210), b"0123456789abcdef");
    assert_eq!(&hex(0xa0), b"0a00000000000000");
}
