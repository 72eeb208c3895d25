//! Version 1: one line of text.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Header, Pair, starts_with};
use crate::{Malformed, grammar};

/// Bytes of the longest line, its CRLF included.
const MAX_BYTES: usize = 107;
const PREFIX: &[u8] = b"PROXY ";

pub(super) fn parse(buf: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    if starts_with(buf, PREFIX)?.is_none() {
        return Ok(None);
    }
    let bounded = &buf[..buf.len().min(MAX_BYTES)];
    let Some(end) = memchr::memchr(b'\n', bounded) else {
        return if bounded.len() < MAX_BYTES { Ok(None) } else { Err(Malformed { why: "PROXY line too long" }) };
    };
    let Some(line) = bounded[PREFIX.len()..end].strip_suffix(b"\r") else {
        return Err(Malformed { why: "bare LF in a PROXY line" });
    };
    let header = parse_line(line).ok_or(Malformed { why: "invalid PROXY line" })?;
    Ok(Some((header, end + 1)))
}

/// What follows `PROXY `.
fn parse_line(line: &[u8]) -> Option<Header> {
    let mut words = line.split(|b| *b == b' ');
    let addresses = match words.next()? {
        b"UNKNOWN" => return Some(Header::Unknown),
        b"TCP4" => (address::<Ipv4Addr>(words.next()?)?, address::<Ipv4Addr>(words.next()?)?),
        b"TCP6" => (address::<Ipv6Addr>(words.next()?)?, address::<Ipv6Addr>(words.next()?)?),
        _ => return None,
    };
    let source = SocketAddr::new(addresses.0, port(words.next()?)?);
    let destination = SocketAddr::new(addresses.1, port(words.next()?)?);
    words.next().is_none().then_some(Header::Tcp { source, destination })
}

fn address<T: FromStr + Into<IpAddr>>(word: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(word).ok()?.parse::<T>().ok().map(Into::into)
}

/// A port without leading zeros.
fn port(word: &[u8]) -> Option<u16> {
    if word.len() > 1 && word[0] == b'0' {
        return None;
    }
    u16::try_from(grammar::decimal(word)?).ok()
}

/// Writes a version 1 header. It can only say TCP; all else becomes `UNKNOWN`.
pub fn encode_v1(out: &mut Vec<u8>, header: &Header) {
    let Header::Tcp { source, destination } = header else {
        out.extend_from_slice(b"PROXY UNKNOWN\r\n");
        return;
    };
    let (source_port, destination_port) = (source.port(), destination.port());
    // Writing into a Vec cannot fail.
    let _ = match Pair::of(*source, *destination) {
        Pair::V4(from, to) => write!(out, "PROXY TCP4 {} {} {source_port} {destination_port}\r\n", from.ip(), to.ip()),
        Pair::V6(from, to) => write!(out, "PROXY TCP6 {} {} {source_port} {destination_port}\r\n", from.ip(), to.ip()),
    };
}
