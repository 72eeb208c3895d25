//! What of a request a pool hashes, so that requests that belong together stay at one backend.
//!
//! Owns the terms of hashing policies and the 64-bit key of a request. Who takes a key is the business of
//! [`crate::balance`]. Keys depend on nothing but the request: all workers, nodes and restarts agree.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::rng::{hash, mix};
use crate::route::Query;
use crate::route::values::{cookie_values, field_values, query_values};

/// The terms of a policy that hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// What is hashed.
    pub key: HashKey,
    /// How far above the mean a backend may be loaded; none is no bound.
    pub bound: Option<Bound>,
    /// How many backends share a key; at least 1, and more only for `hash` without a bound.
    pub among: u16,
}

/// What is hashed. Where a request has no such value, or an empty one, its client address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The trusted client address, IPv6 by /64.
    Client,
    /// The normalised path, without query.
    Path,
    /// The first value of the field with this name (lower case).
    Header(String),
    /// The first cookie with this name.
    Cookie(String),
    /// The first query parameter with this name, decoded.
    Query(String),
}

impl Hashing {
    /// By this key, one backend for each.
    #[must_use]
    pub const fn by(key: HashKey) -> Self {
        Self { key, bound: None, among: 1 }
    }
}

/// The most running requests of a backend, in hundredths of the mean; above 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(pub u16);

impl HashKey {
    /// The key of a request.
    #[must_use]
    pub fn of(&self, request: &Query<'_>) -> u64 {
        let (head, buf) = (request.head, request.buf);
        let value = match self {
            Self::Client => None,
            Self::Path => Some(Cow::Borrowed(head.path(buf))),
            Self::Header(name) => first(field_values(head, buf, name)),
            Self::Cookie(name) => first(cookie_values(head, buf, name)),
            Self::Query(name) => first(query_values(head.query.of(buf), name)),
        };
        value.map_or_else(|| client_key(request.client), |value| hash(&value))
    }
}

/// The key of a client address.
#[must_use]
pub fn client_key(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(ip) => mix(u64::from(ip.to_bits())),
        IpAddr::V6(ip) => mix(!u64::try_from(ip.to_bits() >> 64).unwrap_or(0)),
    }
}

/// Empty values count as missing: all who have one would else be one crowd at one backend.
fn first<'a>(mut values: impl Iterator<Item = Cow<'a, [u8]>>) -> Option<Cow<'a, [u8]>> {
    values.find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use wire::h1::{Limits, Parsed, parse_request};
    use wire::head::Request;

    use super::*;
    use crate::plan::ListenerId;

    const CLIENT: &str = "192.0.2.7";

    /// The key of a request with this target and these field lines.
    fn key(of: &HashKey, target: &str, fields: &str) -> u64 {
        key_for(of, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), CLIENT)
    }

    fn key_for(of: &HashKey, text: &str, client: &str) -> u64 {
        let mut head = Request::default();
        let limits = Limits { head_bytes: 8192, fields: 100, target_bytes: 4096 };
        assert_eq!(parse_request(text.as_bytes(), &limits, &mut head), Ok(Parsed::Complete(text.len())));
        let client = client.parse().unwrap();
        of.of(&Query { listener: ListenerId(0), head: &head, buf: text.as_bytes(), client })
    }

    fn of_client() -> u64 {
        client_key(CLIENT.parse().unwrap())
    }

    #[test]
    fn a_header_is_found_by_its_name_and_told_apart_by_its_value() {
        let header = HashKey::Header("x-user".to_owned());
        assert_eq!(key(&header, "/a", "X-User: ann\r\n"), key(&header, "/b?c", "Other: 1\r\nx-user:  ann \r\n"));
        assert_ne!(key(&header, "/", "X-User: ann\r\n"), key(&header, "/", "X-User: bob\r\n"));
        assert_eq!(key(&header, "/", "X-User: ann\r\nX-User: bob\r\n"), key(&header, "/", "X-User: ann\r\n"));
    }

    #[test]
    fn a_cookie_a_parameter_and_a_header_of_one_value_are_one_key() {
        let (cookie, query) = (HashKey::Cookie("id".to_owned()), HashKey::Query("id".to_owned()));
        let header = HashKey::Header("id".to_owned());
        let keys = [
            key(&cookie, "/", "Cookie: a=1; id=ann b; c=2\r\n"),
            key(&query, "/?a=1&id=ann+b&id=bob", ""),
            key(&header, "/", "id: ann b\r\n"),
        ];
        assert_eq!(keys, [hash(b"ann b"); 3]);
    }

    #[test]
    fn the_path_counts_without_its_query() {
        assert_eq!(key(&HashKey::Path, "/a/b?x=1", ""), key(&HashKey::Path, "/a/b", ""));
        assert_ne!(key(&HashKey::Path, "/a/b", ""), key(&HashKey::Path, "/a/c", ""));
    }

    #[test]
    fn what_is_missing_or_empty_falls_back_to_the_client() {
        for of in [HashKey::Header("id".to_owned()), HashKey::Cookie("id".to_owned()), HashKey::Query("id".to_owned())]
        {
            assert_eq!(key(&of, "/", ""), of_client(), "{of:?}");
            assert_eq!(key(&of, "/?id=&id", "id:\r\nCookie: id=; id\r\n"), of_client(), "{of:?}");
        }
        assert_eq!(key(&HashKey::Client, "/?id=ann", "id: ann\r\n"), of_client());
    }

    #[test]
    fn an_ipv6_client_counts_by_its_network_and_a_mapped_one_as_ipv4() {
        let key = |client: &str| client_key(client.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:1:2:3"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
        assert_ne!(key("192.0.2.7"), key("192.0.2.8"));
    }

    /// Keys stay with their backends when the program is replaced: the numbers below may not change.
    #[test]
    fn a_key_is_the_same_in_every_build() {
        let keys = [hash(b""), hash(b"ann"), hash(b"a value of more than eight bytes"), of_client()];
        let pinned = [
            5_272_463_233_947_570_727,
            6_258_828_208_889_123_640,
            11_688_148_959_557_865_990,
            17_431_063_659_695_111_804,
        ];
        assert_eq!(keys, pinned);
    }
}
