//! Host names.

use std::net::IpAddr;

use policy::plan::HostMatch;

use crate::diagnostic::Problem;

/// Bytes of a name (RFC 1035, section 2.3.4) and of one of its labels.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Reads the host of a route: `shop.example` or `*.shop.example`.
pub(crate) fn condition(text: &str) -> Result<HostMatch, Problem> {
    if text == "*" {
        return Err(Problem::value("`*` is every host").remedy("leave `host` out"));
    }
    if let Some(below) = text.strip_prefix("*.") {
        return name(below).map(HostMatch::Wildcard);
    }
    if text.contains('*') {
        return Err(Problem::value(format!("`{text}`: a star stands for whole labels at the start"))
            .remedy("write `\"*.shop.example\"`"));
    }
    name(text).map(HostMatch::Exact)
}

/// Reads a host without port, in lower case.
fn name(text: &str) -> Result<String, Problem> {
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_suffix('.').unwrap_or(&lower);
    if is_name(bare) || is_ip(bare) {
        return Ok(bare.to_owned());
    }
    let problem = Problem::value(format!("`{text}` is not a host"));
    if let Some((host, port)) = bare.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && (is_name(host) || is_ip(host))
    {
        return Err(problem.remedy(format!("ports do not take part in matching: write `\"{host}\"`")));
    }
    if let Some((_, rest)) = bare.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or("");
        return Err(problem.remedy(format!("write `\"{host}\"`")));
    }
    if !text.is_ascii() {
        return Err(problem.remedy("write the name in its ASCII form, as in `\"xn--bcher-kva.example\"`"));
    }
    Err(problem.remedy("write a name such as `\"shop.example\"`, or `\"*.shop.example\"` for all below it"))
}

/// Reads a value for the Host field: a name or address, perhaps with a port.
pub(crate) fn field(text: &str) -> Result<String, Problem> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if (is_name(host) || is_ip(host)) && port.is_none_or(is_port) {
        return Ok(text.to_owned());
    }
    Err(Problem::value(format!("`{text}` is not a host")).remedy("write a name such as `\"app.internal\"`"))
}

/// Whether it is an IPv4 address, or an IPv6 one in brackets.
fn is_ip(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()),
        None => text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()),
    }
}

/// Whether it is a host name: labels of letters, digits, hyphens and (as many systems use them) underscores. A name
/// whose last label is a number is an address that went wrong, never a name.
pub(crate) fn is_name(text: &str) -> bool {
    let bare = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let bytes = label.as_bytes();
        bytes.len() <= LABEL_MAX
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last_is_number = bare.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    bare.len() <= NAME_MAX && !last_is_number && bare.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        assert_eq!(condition("Shop.Example."), Ok(HostMatch::Exact("shop.example".to_owned())));
        assert_eq!(condition("*.shop.example"), Ok(HostMatch::Wildcard("shop.example".to_owned())));
        assert_eq!(condition("[::1]"), Ok(HostMatch::Exact("[::1]".to_owned())));
        assert_eq!(condition("127.0.0.1"), Ok(HostMatch::Exact("127.0.0.1".to_owned())));
    }

    #[test]
    fn bad_conditions_say_what_to_write() {
        let remedy = |text| condition(text).unwrap_err().remedy.unwrap();
        assert_eq!(remedy("*"), "leave `host` out");
        assert_eq!(remedy("shop.example:443"), "ports do not take part in matching: write `\"shop.example\"`");
        assert_eq!(remedy("https://shop.example/x"), "write `\"shop.example\"`");
        assert_eq!(remedy("www.*"), "write `\"*.shop.example\"`");
        for text in ["", "a..b", "-a", "a b", "::1", "1.2.3", "*.", "bücher.example"] {
            assert!(condition(text).is_err(), "{text}");
        }
    }

    #[test]
    fn host_fields_may_have_a_port() {
        for text in ["app.internal", "app:8080", "[::1]:80", "[::1]", "10.0.0.1:80"] {
            assert_eq!(field(text).as_deref(), Ok(text));
        }
        for text in ["", "a\r\nb", "app:x", "a b", "app:"] {
            assert!(field(text).is_err(), "{text:?}");
        }
    }
}
