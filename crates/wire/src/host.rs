//! Authorities: `uri-host [":" port]` (RFC 9110, section 4.2; RFC 3986, section 3.2).
//!
//! Owns which bytes are a valid authority and its part that names a host. Whether a host is served belongs to the router,
//! and so does lower-casing.

use std::net::Ipv6Addr;

use crate::grammar;

/// Checks an authority: a registered name or IPv4 address, or an IPv6 address in brackets, then perhaps a colon and a
/// port (0 to 65535, or empty). User information, percent-escapes and commas are refused: each has been used to make two
/// servers see two hosts.
///
/// # Errors
/// What is wrong, in a few plain words.
#[inline]
pub fn check(authority: &[u8]) -> Result<(), &'static str> {
    let rest = grammar::after_host_bytes(authority);
    match rest {
        _ if rest.len() == authority.len() => check_address(authority, rest),
        [] => Ok(()),
        [b':', port @ ..] => check_port(port),
        rest => check_address(authority, rest),
    }
}

fn check_port(digits: &[u8]) -> Result<(), &'static str> {
    if digits.is_empty() || digits.len() <= 5 && grammar::decimal(digits).is_some_and(|port| port <= 65535) {
        Ok(())
    } else {
        Err("invalid port")
    }
}

/// Checks what is no registered name; `rest` is what follows the bytes that may stand in one.
fn check_address(authority: &[u8], rest: &[u8]) -> Result<(), &'static str> {
    let Some(address) = authority.strip_prefix(b"[") else {
        return Err(match rest.first() {
            None | Some(b':') => "empty host",
            Some(_) if rest.contains(&b'@') => "user information in the authority",
            Some(_) => "invalid host",
        });
    };
    const INVALID: &str = "invalid IPv6 address as host";
    let length = address.iter().position(|b| *b == b']').ok_or(INVALID)?;
    let text = std::str::from_utf8(&address[..length]).map_err(|_| INVALID)?;
    text.parse::<Ipv6Addr>().map_err(|_| INVALID)?;
    match &address[length + 1..] {
        [] => Ok(()),
        [b':', port @ ..] => check_port(port),
        _ => Err(INVALID),
    }
}

/// The host of a valid authority without its port and without one trailing dot; brackets stay.
#[inline]
#[must_use]
pub fn normal(authority: &[u8]) -> &[u8] {
    let host = split(authority).0;
    host.strip_suffix(b".").unwrap_or(host)
}

/// The port that a valid authority names.
#[must_use]
pub fn port(authority: &[u8]) -> Option<u16> {
    grammar::decimal(split(authority).1?).and_then(|p| u16::try_from(p).ok())
}

/// Cuts an authority at the colon of its port, which is the first one after the brackets.
#[inline]
fn split(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let from = match authority.first() {
        Some(b'[') => authority.iter().position(|b| *b == b']').unwrap_or(0),
        _ => 0,
    };
    match authority[from..].iter().position(|b| *b == b':') {
        Some(colon) => (&authority[..from + colon], Some(&authority[from + colon + 1..])),
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_4_2_valid_authorities_pass() {
        let valid = [
            "example.com",
            "example.com:80",
            "example.com:",
            "EXAMPLE.com.",
            "a_b-c.example",
            "10.0.0.1:65535",
            "[::1]",
            "[2001:db8::1]:8080",
            "[::ffff:10.0.0.1]:",
            "x:0",
            "~!$&'()*+;=",
        ];
        for authority in valid {
            assert_eq!(check(authority.as_bytes()), Ok(()), "{authority}");
        }
    }

    #[test]
    fn rfc9110_4_2_invalid_authorities_are_refused() {
        let invalid = [
            "",
            ":80",
            "a b",
            "a,b",
            "a/b",
            "a?b",
            "a#b",
            "u@a",
            "u:p@a",
            "a:65536",
            "a:-1",
            "a:+1",
            "a:8o",
            "a:000080",
            "a:1:2",
            "[::1",
            "::1",
            "[]",
            "[::1]x",
            "[::1]x:80",
            "[::1%25eth0]",
            "[v1.x]",
            "[g::]",
            "a]",
            "a%2eb",
            "a\\b",
            "h\u{e9}",
            "a\tb",
            "a\0",
            "<a>",
            "a\"b",
            "[::1]]",
            "[[::1]]",
        ];
        for authority in invalid {
            assert!(check(authority.as_bytes()).is_err(), "{authority}");
        }
    }

    #[test]
    fn the_normal_host_has_no_port_and_no_trailing_dot() {
        let table = [
            ("example.com", "example.com", None),
            ("example.com:80", "example.com", Some(80)),
            ("example.com.:80", "example.com", Some(80)),
            ("example.com.", "example.com", None),
            ("[::1]:443", "[::1]", Some(443)),
            ("[::1]", "[::1]", None),
            ("a:", "a", None),
            ("", "", None),
        ];
        for (authority, host, number) in table {
            assert_eq!((normal(authority.as_bytes()), port(authority.as_bytes())), (host.as_bytes(), number));
        }
    }
}
