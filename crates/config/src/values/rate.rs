//! Rates, and who shares one.

use std::time::Duration;

use policy::limit::{By, CLIENT_V4, CLIENT_V6};

use super::name;
use crate::diagnostic::Problem;

/// Windows with their lengths in seconds.
const WINDOWS: &[(&str, u64)] = &[("s", 1), ("m", 60), ("h", 3600)];
/// Most that may be written before the slash.
const MOST: u32 = 1_000_000;

/// Reads `"100/s"`: requests and their window.
pub(crate) fn parse(text: &str) -> Result<(u32, Duration), Problem> {
    let malformed =
        || Problem::value(format!("`{text}` is no rate")).remedy("write `\"100/s\"`, `\"30/m\"` or `\"500/h\"`");
    let (number, window) = text.split_once('/').ok_or_else(malformed)?;
    let (_, seconds) = WINDOWS.iter().find(|(name, _)| *name == window.trim()).ok_or_else(malformed)?;
    let number: u32 = number.trim().parse().map_err(|_| malformed())?;
    if !(1..=MOST).contains(&number) {
        return Err(Problem::value(format!("a rate is a number from 1 to {MOST} and a window, not `{text}`")));
    }
    Ok((number, Duration::from_secs(*seconds)))
}

/// Reads `"client"`, `"client/24"`, `"client/24/48"`, `"header:NAME"` or the word that stands for everybody.
pub(crate) fn by(text: &str, everybody: &str) -> Result<By, Problem> {
    if text == everybody {
        return Ok(By::All);
    }
    if let Some(field) = text.strip_prefix("header:") {
        return Ok(By::Header(name::field(field)?.to_ascii_lowercase()));
    }
    let malformed = || {
        let remedy = format!("write `client`, `client/24` (networks), `header:NAME` or `{everybody}`");
        Problem::value(format!("a limit cannot be by `{text}`")).remedy(remedy)
    };
    let rest = text.strip_prefix("client").ok_or_else(malformed)?;
    let bits = |part: &str, most: u8| {
        let bits = part.parse::<u8>().ok().filter(|bits| (1..=most).contains(bits));
        bits.ok_or_else(|| Problem::value(format!("a network has from 1 to {most} bits, not `{part}`")))
    };
    let parts: Vec<&str> = rest.split('/').collect();
    match parts[..] {
        [""] => Ok(By::Client { v4: CLIENT_V4, v6: CLIENT_V6 }),
        ["", v4] => Ok(By::Client { v4: bits(v4, 32)?, v6: CLIENT_V6 }),
        ["", v4, v6] => Ok(By::Client { v4: bits(v4, 32)?, v6: bits(v6, 128)? }),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_number_and_a_window() {
        assert_eq!(parse("100/s"), Ok((100, Duration::from_secs(1))));
        assert_eq!(parse("30 / m"), Ok((30, Duration::from_secs(60))));
        assert_eq!(parse("1/h"), Ok((1, Duration::from_secs(3600))));
        for text in ["", "100", "100/d", "/s", "0/s", "-1/s", "1.5/s", "1000001/s", "s/100", "100/s/s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_is_by_client_network_header_or_all() {
        assert_eq!(by("client", "route"), Ok(By::Client { v4: 32, v6: 64 }));
        assert_eq!(by("client/24", "route"), Ok(By::Client { v4: 24, v6: 64 }));
        assert_eq!(by("client/24/48", "route"), Ok(By::Client { v4: 24, v6: 48 }));
        assert_eq!(by("header:X-Key", "route"), Ok(By::Header("x-key".to_owned())));
        assert_eq!(by("route", "route"), Ok(By::All));
        for text in [
            "",
            "clients",
            "client/",
            "client/33",
            "client/0",
            "client/24/129",
            "client/1/2/3",
            "header:",
            "header:a b",
            "listener",
        ] {
            assert!(by(text, "route").is_err(), "{text}");
        }
    }
}
