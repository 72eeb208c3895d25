//! Version 2: a binary header with addresses and typed extras (TLVs), which are checked and passed over.

use std::net::{IpAddr, SocketAddr};

use super::{Header, Pair, UnixKind, UnixPaths, starts_with};
use crate::Malformed;

/// Bytes of the longest header that is read; the format itself would allow 64 KiB more.
pub(super) const MAX_BYTES: usize = 4096;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const UDP4: u8 = 0x12;
const TCP6: u8 = 0x21;
const UDP6: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;
/// The TLV that holds a CRC32c of the whole header.
const TLV_CRC32C: u8 = 0x03;

pub(super) fn parse(buf: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    if starts_with(buf, SIGNATURE)?.is_none() {
        return Ok(None);
    }
    let Some(fixed) = buf.first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let [command, family] = [fixed[12], fixed[13]];
    let end = FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if !matches!(command, LOCAL | PROXY) {
        return Err(Malformed { why: "unknown version or command in a PROXY header" });
    }
    if end > MAX_BYTES {
        return Err(Malformed { why: "PROXY header too long" });
    }
    let Some(header) = buf.get(..end) else { return Ok(None) };
    if command == LOCAL || family == UNSPECIFIED {
        // What follows is to be passed over unread, whatever it says.
        return Ok(Some((if command == LOCAL { Header::Local } else { Header::Unknown }, end)));
    }
    let mut rest = &header[FIXED_BYTES..];
    let said = take_addresses(family, &mut rest)?;
    check_tlvs(header, rest)?;
    Ok(Some((said, end)))
}

/// Takes the addresses from the front of `rest` and leaves the TLVs.
fn take_addresses(family: u8, rest: &mut &[u8]) -> Result<Header, Malformed> {
    let header = match family {
        TCP4 => take_pair::<4>(rest).map(|(source, destination)| Header::Tcp { source, destination }),
        TCP6 => take_pair::<16>(rest).map(|(source, destination)| Header::Tcp { source, destination }),
        UDP4 => take_pair::<4>(rest).map(|(source, destination)| Header::Udp { source, destination }),
        UDP6 => take_pair::<16>(rest).map(|(source, destination)| Header::Udp { source, destination }),
        UNIX_STREAM => take_paths(UnixKind::Stream, rest),
        UNIX_DATAGRAM => take_paths(UnixKind::Datagram, rest),
        _ => return Err(Malformed { why: "unknown address family in a PROXY header" }),
    };
    header.ok_or(Malformed { why: "PROXY header too short for its addresses" })
}

/// Two addresses of `N` bytes, then two ports.
fn take_pair<const N: usize>(rest: &mut &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, destination) = (take::<N>(rest)?, take::<N>(rest)?);
    let (source_port, destination_port) = (take::<2>(rest)?, take::<2>(rest)?);
    Some((
        SocketAddr::new(source.into(), u16::from_be_bytes(source_port)),
        SocketAddr::new(destination.into(), u16::from_be_bytes(destination_port)),
    ))
}

fn take_paths(kind: UnixKind, rest: &mut &[u8]) -> Option<Header> {
    let (source, destination) = (take(rest)?, take(rest)?);
    Some(Header::Unix(Box::new(UnixPaths { kind, source, destination })))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

/// Checks that the TLVs at the end of `header` fill it exactly, and its checksum if there is one.
fn check_tlvs(header: &[u8], mut tlvs: &[u8]) -> Result<(), Malformed> {
    const BROKEN: Malformed = Malformed { why: "TLV of a PROXY header out of bounds" };
    let mut checksums = 0;
    while !tlvs.is_empty() {
        let [kind, high, low] = take::<3>(&mut tlvs).ok_or(BROKEN)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let at = header.len() - tlvs.len();
        let value = tlvs.split_off(..length).ok_or(BROKEN)?;
        if kind != TLV_CRC32C {
            continue;
        }
        checksums += 1;
        // One is all that makes sense, and each costs a pass over the header.
        if checksums > 1 || value != checksum_without(header, at, length).to_be_bytes() {
            return Err(Malformed { why: "wrong checksum in a PROXY header" });
        }
    }
    Ok(())
}

/// The CRC32c of `header` as if `length` bytes at `at`, its own place, were zero.
fn checksum_without(header: &[u8], at: usize, length: usize) -> u32 {
    let own_place = at..at + length;
    let bytes = header.iter().enumerate().map(|(i, byte)| if own_place.contains(&i) { 0 } else { *byte });
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

/// Writes a version 2 header without TLVs.
pub fn encode_v2(out: &mut Vec<u8>, header: &Header) {
    match header {
        Header::Local => put_fixed(out, LOCAL, UNSPECIFIED, 0),
        Header::Unknown => put_fixed(out, PROXY, UNSPECIFIED, 0),
        Header::Tcp { source, destination } => put_pair(out, [TCP4, TCP6], &Pair::of(*source, *destination)),
        Header::Udp { source, destination } => put_pair(out, [UDP4, UDP6], &Pair::of(*source, *destination)),
        Header::Unix(paths) => {
            let family = if paths.kind == UnixKind::Stream { UNIX_STREAM } else { UNIX_DATAGRAM };
            put_fixed(out, PROXY, family, 216);
            out.extend_from_slice(&paths.source);
            out.extend_from_slice(&paths.destination);
        }
    }
}

fn put_fixed(out: &mut Vec<u8>, command: u8, family: u8, length: u16) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[command, family]);
    out.extend_from_slice(&length.to_be_bytes());
}

/// `families` are the codes for IPv4 and IPv6.
fn put_pair(out: &mut Vec<u8>, families: [u8; 2], pair: &Pair) {
    let ports = match pair {
        Pair::V4(from, to) => {
            put_fixed(out, PROXY, families[0], 12);
            out.extend_from_slice(&from.ip().octets());
            out.extend_from_slice(&to.ip().octets());
            [from.port(), to.port()]
        }
        Pair::V6(from, to) => {
            put_fixed(out, PROXY, families[1], 36);
            out.extend_from_slice(&from.ip().octets());
            out.extend_from_slice(&to.ip().octets());
            [from.port(), to.port()]
        }
    };
    ports.iter().for_each(|port| out.extend_from_slice(&port.to_be_bytes()));
}
