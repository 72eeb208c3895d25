//! Who may ask: peer, `Host`, origin and token.
//!
//! A browser on this machine is the danger: any page it shows can send requests to 127.0.0.1. `Host` is checked against
//! DNS rebinding, `Sec-Fetch-Site` and `Origin` against plain cross-site requests. A request with the token has proved
//! itself, whatever its `Host`.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN};

use crate::refusal::Refusal;

/// Who is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The Unix socket: its mode says who may connect.
    Unix,
    /// An IP address.
    Ip(IpAddr),
}

/// How much an endpoint tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing that is worth protecting: the empty page, `/healthz`.
    Open,
    /// The state of the process.
    Read,
    /// It changes what the process does: for the socket, and for who has the token.
    Change,
}

/// The rules of this process.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) token: Option<String>,
    /// TCP addresses in force.
    pub(crate) bound: Vec<SocketAddr>,
}

/// What a request carries in place of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Right,
    Wrong,
    Missing,
}

impl Gate {
    /// Whether a request may be answered.
    pub(crate) fn judge(&self, peer: Peer, access: Access, fields: &HeaderMap) -> Result<(), Refusal> {
        match self.proof(fields) {
            Proof::Right => return Ok(()),
            Proof::Wrong => return Err(Refusal::TokenWrong),
            Proof::Missing => {}
        }
        if is_cross_site(fields) && !(access == Access::Open && is_navigation(fields)) {
            return Err(Refusal::CrossSite);
        }
        match (access, peer) {
            (Access::Open, _) | (Access::Read, Peer::Unix) => Ok(()),
            (Access::Change, Peer::Unix) if !is_forwarded(fields) => Ok(()),
            (Access::Change, Peer::Unix) => Err(self.wants_token()),
            (Access::Read, Peer::Ip(ip)) => self.judge_ip(ip, fields),
            (Access::Change, Peer::Ip(ip)) => self.judge_ip(ip, fields).and(Err(Refusal::ReadOnly)),
        }
    }

    fn judge_ip(&self, ip: IpAddr, fields: &HeaderMap) -> Result<(), Refusal> {
        if !ip.to_canonical().is_loopback() || is_forwarded(fields) {
            return Err(self.wants_token());
        }
        if self.is_ours(fields) { Ok(()) } else { Err(Refusal::Host) }
    }

    fn wants_token(&self) -> Refusal {
        if self.token.is_some() { Refusal::TokenMissing } else { Refusal::TokenUnset }
    }

    fn proof(&self, fields: &HeaderMap) -> Proof {
        let sent = fields.get(AUTHORIZATION).map(|value| value.as_bytes());
        match (&self.token, sent) {
            (None, _) | (_, None) => Proof::Missing,
            (Some(token), Some(sent)) => match sent.split_at_checked(b"Bearer ".len()) {
                Some((scheme, sent)) if scheme.eq_ignore_ascii_case(b"Bearer ") && equal(sent, token.as_bytes()) => {
                    Proof::Right
                }
                _ => Proof::Wrong,
            },
        }
    }

    /// Whether `Host` is one that only this machine can be meant by. Its port does not matter: a forwarded port is
    /// another, and rebinding changes names, not ports.
    fn is_ours(&self, fields: &HeaderMap) -> bool {
        let mut hosts = fields.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Some(name) = host.to_str().ok().and_then(without_port) else { return false };
        match name.parse::<IpAddr>() {
            Ok(ip) => self.is_our_ip(ip.to_canonical()),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        }
    }

    fn is_our_ip(&self, ip: IpAddr) -> bool {
        // A page whose address is an IP address was served from there: rebinding needs a name.
        let anywhere = self.bound.iter().any(|addr| addr.ip().is_unspecified());
        ip.is_loopback() || anywhere || self.bound.iter().any(|addr| addr.ip().to_canonical() == ip)
    }
}

/// `Host` without port and brackets (RFC 3986, section 3.2.2).
fn without_port(host: &str) -> Option<&str> {
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(ip, _)| ip),
        None => host.split(':').next(),
    }
}

/// What came through a proxy on this machine came from anywhere.
fn is_forwarded(fields: &HeaderMap) -> bool {
    fields.contains_key(FORWARDED) || fields.contains_key("x-forwarded-for")
}

/// Whether a browser says that another site's page sent it. Programs send neither field.
fn is_cross_site(fields: &HeaderMap) -> bool {
    let foreign_fetch = fields.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    let foreign_origin = fields.get(ORIGIN).is_some_and(|origin| !is_own_origin(origin.as_bytes(), fields));
    foreign_fetch || foreign_origin
}

fn is_own_origin(origin: &[u8], fields: &HeaderMap) -> bool {
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority.zip(fields.get(HOST)).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host.as_bytes()))
}

/// Somebody followed a link: the browser shows the answer and keeps it from the other site.
fn is_navigation(fields: &HeaderMap) -> bool {
    fields.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate") && !fields.contains_key(ORIGIN)
}

/// Compares in a time that depends on the lengths only.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    a.len() == b.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: Peer = Peer::Ip(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn gate(token: Option<&str>, bound: &str) -> Gate {
        Gate { token: token.map(str::to_owned), bound: vec![bound.parse().unwrap()] }
    }

    fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in pairs {
            fields.append(*name, value.parse().unwrap());
        }
        fields
    }

    fn read(gate: &Gate, peer: Peer, pairs: &[(&'static str, &str)]) -> Result<(), Refusal> {
        gate.judge(peer, Access::Read, &fields(pairs))
    }

    fn ip(text: &str) -> Peer {
        Peer::Ip(text.parse().unwrap())
    }

    #[test]
    fn hosts_that_only_this_machine_can_be() {
        let gate = gate(None, "192.0.2.7:9900");
        for host in ["localhost", "LocalHost:9900", "127.0.0.1:9900", "127.8.8.8", "[::1]:9900", "192.0.2.7:1"] {
            assert_eq!(read(&gate, LOOPBACK, &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:9900", "192.0.2.8", "", "[::1", "127.0.0.1.evil.example"] {
            assert_eq!(read(&gate, LOOPBACK, &[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(read(&gate, LOOPBACK, &[]), Err(Refusal::Host));
        assert_eq!(read(&gate, LOOPBACK, &[("host", "localhost"), ("host", "localhost")]), Err(Refusal::Host));
    }

    #[test]
    fn bound_to_all_addresses_takes_any_ip_but_no_name() {
        let gate = gate(None, "0.0.0.0:9900");
        assert_eq!(read(&gate, LOOPBACK, &[("host", "198.51.100.1:9900")]), Ok(()));
        assert_eq!(read(&gate, LOOPBACK, &[("host", "evil.example")]), Err(Refusal::Host));
    }

    #[test]
    fn unix_socket_needs_no_host() {
        assert_eq!(read(&gate(Some("t"), "127.0.0.1:1"), Peer::Unix, &[]), Ok(()));
    }

    #[test]
    fn other_machines_need_the_token() {
        let (with, without) = (gate(Some("secret"), "0.0.0.0:9900"), gate(None, "0.0.0.0:9900"));
        let remote = ip("192.0.2.9");
        assert_eq!(read(&without, remote, &[("host", "192.0.2.1")]), Err(Refusal::TokenUnset));
        assert_eq!(read(&with, remote, &[("host", "192.0.2.1")]), Err(Refusal::TokenMissing));
        for (value, expected) in [
            ("Bearer secret", Ok(())),
            ("bearer secret", Ok(())),
            ("Bearer secreT", Err(Refusal::TokenWrong)),
            ("Bearer secret2", Err(Refusal::TokenWrong)),
            ("Bearer ", Err(Refusal::TokenWrong)),
            ("Bear", Err(Refusal::TokenWrong)),
            ("Basic secret", Err(Refusal::TokenWrong)),
        ] {
            assert_eq!(read(&with, remote, &[("authorization", value)]), expected, "{value}");
            assert_eq!(read(&with, LOOPBACK, &[("authorization", value), ("host", "x")]), expected, "{value}");
        }
    }

    #[test]
    fn mapped_loopback_is_loopback() {
        assert_eq!(read(&gate(None, "[::]:9900"), ip("::ffff:127.0.0.1"), &[("host", "localhost")]), Ok(()));
        assert_eq!(
            read(&gate(None, "[::]:9900"), ip("::ffff:192.0.2.1"), &[("host", "localhost")]),
            Err(Refusal::TokenUnset)
        );
    }

    #[test]
    fn through_a_proxy_is_from_anywhere() {
        let gate = gate(Some("t"), "127.0.0.1:9900");
        for field in ["x-forwarded-for", "forwarded"] {
            let pairs = [("host", "localhost"), (field, "for=192.0.2.1")];
            assert_eq!(read(&gate, LOOPBACK, &pairs), Err(Refusal::TokenMissing));
        }
    }

    #[test]
    fn cross_site_requests_are_refused() {
        let gate = gate(Some("t"), "127.0.0.1:9900");
        let host = ("host", "localhost:9900");
        for pair in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:3000"),
        ] {
            assert_eq!(read(&gate, LOOPBACK, &[host, pair]), Err(Refusal::CrossSite), "{pair:?}");
            assert_eq!(read(&gate, Peer::Unix, &[host, pair]), Err(Refusal::CrossSite), "{pair:?}");
        }
        for pair in [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none"), ("origin", "http://localhost:9900")]
        {
            assert_eq!(read(&gate, LOOPBACK, &[host, pair]), Ok(()), "{pair:?}");
        }
    }

    #[test]
    fn link_from_another_site_opens_the_page_but_reads_nothing() {
        let gate = gate(None, "127.0.0.1:9900");
        let link = fields(&[("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]);
        assert_eq!(gate.judge(LOOPBACK, Access::Open, &link), Ok(()));
        assert_eq!(gate.judge(LOOPBACK, Access::Read, &link), Err(Refusal::CrossSite));
        let script = fields(&[("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]);
        assert_eq!(gate.judge(LOOPBACK, Access::Open, &script), Err(Refusal::CrossSite));
    }

    #[test]
    fn open_endpoints_are_for_everybody() {
        let gate = gate(Some("t"), "0.0.0.0:9900");
        assert_eq!(gate.judge(ip("192.0.2.9"), Access::Open, &fields(&[("host", "lb.example")])), Ok(()));
    }

    #[test]
    fn comparison_sees_every_byte() {
        assert!(equal(b"", b"") && equal(b"abc", b"abc"));
        for other in ["", "ab", "abcd", "xbc", "axc", "abx"] {
            assert!(!equal(b"abc", other.as_bytes()), "{other}");
        }
    }
}
