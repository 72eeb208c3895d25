//! Address ranges.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::diagnostic::Problem;

/// Reads `10.0.0.0/8`; a single address is a range of one.
pub(crate) fn parse(text: &str) -> Result<IpNet, Problem> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(ip));
    }
    match text.parse::<IpNet>() {
        Ok(net) if net.trunc() == net => Ok(net),
        Ok(net) => Err(Problem::value(format!("`{text}` has bits beyond its prefix")).remedy(format!(
            "write `\"{}\"` for the range, or `\"{}\"` for the address",
            net.trunc(),
            net.addr()
        ))),
        Err(_) => Err(Problem::value(format!("`{text}` is not an address range"))
            .remedy("write `\"10.0.0.0/8\"`, `\"fd00::/8\"` or one address")),
    }
}

/// The lines of a list of ranges, with their numbers; `#` starts a comment.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let bare = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    bare.enumerate().map(|(index, line)| (index + 1, line)).filter(|(_, line)| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_addresses() {
        assert_eq!(parse("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(parse("192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert_eq!(parse("::/0").unwrap().to_string(), "::/0");
    }

    #[test]
    fn a_slip_in_the_prefix_is_told() {
        let problem = parse("10.0.0.5/8").unwrap_err();
        assert_eq!(problem.remedy.unwrap(), "write `\"10.0.0.0/8\"` for the range, or `\"10.0.0.5\"` for the address");
        for text in ["", "10.0.0.0/33", "10.0.0/8", "host", "::/129"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_have_comments() {
        let found: Vec<_> = lines("# blocked\n10.0.0.1 # one\n\n  10.0.0.2\n").collect();
        assert_eq!(found, [(2, "10.0.0.1"), (4, "10.0.0.2")]);
    }
}
