//! The PROXY protocol, by the sections of its specification.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use wire::Malformed;
use wire::proxy::{Header, MAX_HEADER_BYTES, UnixKind, UnixPaths, encode_v1, encode_v2, parse};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Parses a whole header with bytes after it; no prefix may be taken for a whole one or refused.
fn parse_whole(header: &[u8]) -> Result<Header, Malformed> {
    let buf = [header, b"after"].concat();
    let found = parse(&buf)?.expect("the header is whole");
    assert_eq!(found.1, header.len());
    for length in 0..header.len() {
        assert_eq!(parse(&header[..length]), Ok(None), "{length}");
    }
    Ok(found.0)
}

fn tcp(source: &str, destination: &str) -> Header {
    let address = |text: &str| text.parse::<SocketAddr>().expect("tests hold valid addresses");
    Header::Tcp { source: address(source), destination: address(destination) }
}

/// A version 2 header with this command, family and rest.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("tests use short headers");
    [SIGNATURE, &[command, family], &length.to_be_bytes(), rest].concat()
}

/// 192.0.2.1:4660 to 198.51.100.2:443.
const PAIR4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 1, 187];

#[test]
fn section_2_1_lines_are_read() {
    let table = [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n", tcp("192.0.2.1:4660", "198.51.100.2:443")),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", tcp("255.255.255.255:65535", "0.0.0.0:0")),
        ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", tcp("[2001:db8::1]:1", "[::1]:2")),
        ("PROXY UNKNOWN\r\n", Header::Unknown),
        ("PROXY UNKNOWN ffff::1 whatever 1\r\n", Header::Unknown),
    ];
    for (line, header) in table {
        assert_eq!(parse_whole(line.as_bytes()), Ok(header), "{line:?}");
    }
}

#[test]
fn section_2_1_malformed_lines_are_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1  2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
        "PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UNIX a b\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY TCP4\r\n",
        "PROXY\tTCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "POST / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\n",
        "\x16\x03\x01",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 ::1%eth0 ::1 1 2\r\n",
    ] {
        assert!(parse(line.as_bytes()).is_err(), "{line:?}");
    }
}

#[test]
fn section_2_1_a_line_is_107_bytes_at_most() {
    let line = |bytes: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(bytes - 16));
    assert_eq!(parse_whole(line(107).as_bytes()), Ok(Header::Unknown));
    assert!(parse(line(108).as_bytes()).is_err());
    assert!(parse(&line(200).as_bytes()[..107]).is_err());
    assert_eq!(parse(&line(200).as_bytes()[..106]), Ok(None));
}

#[test]
fn section_2_2_binary_headers_are_read() {
    let pair = tcp("192.0.2.1:4660", "198.51.100.2:443");
    assert_eq!(parse_whole(&v2(0x21, 0x11, PAIR4)), Ok(pair.clone()));
    let Header::Tcp { source, destination } = pair else { unreachable!("tcp makes Tcp") };
    assert_eq!(parse_whole(&v2(0x21, 0x12, PAIR4)), Ok(Header::Udp { source, destination }));
    assert_eq!(parse_whole(&v2(0x21, 0x00, b"")), Ok(Header::Unknown));
    assert_eq!(parse_whole(&v2(0x21, 0x00, b"junk")), Ok(Header::Unknown));
}

#[test]
fn section_2_2_local_is_taken_whatever_follows() {
    for family in [0x00, 0x11, 0x21, 0x31, 0x77] {
        assert_eq!(parse_whole(&v2(0x20, family, b"xyz")), Ok(Header::Local), "{family:#x}");
    }
}

#[test]
fn section_2_2_malformed_binary_headers_are_refused() {
    for command in [0x00, 0x01, 0x11, 0x22, 0x2f, 0x30, 0x31, 0xff] {
        assert!(parse(&v2(command, 0x11, PAIR4)).is_err(), "{command:#x}");
    }
    for family in [0x01, 0x10, 0x13, 0x20, 0x23, 0x30, 0x33, 0x41, 0xff] {
        assert!(parse(&v2(0x21, family, PAIR4)).is_err(), "{family:#x}");
    }
    for (family, least) in [(0x11, 12), (0x12, 12), (0x21, 36), (0x22, 36), (0x31, 216), (0x32, 216)] {
        assert!(parse(&v2(0x21, family, &vec![0; least - 1])).is_err(), "{family:#x}");
        assert!(parse_whole(&v2(0x21, family, &vec![0; least])).is_ok(), "{family:#x}");
    }
}

#[test]
fn section_2_2_headers_are_bounded_and_refused_before_they_are_read() {
    let padding = MAX_HEADER_BYTES - 16;
    assert_eq!(parse_whole(&v2(0x20, 0, &vec![0; padding])), Ok(Header::Local));
    assert!(parse(&v2(0x20, 0, &vec![0; padding + 1])[..16]).is_err());
}

#[test]
fn section_2_2_tlvs_must_fill_the_header() {
    let with = |tlvs: &[u8]| v2(0x21, 0x11, &[PAIR4, tlvs].concat());
    for tlvs in [&b"\x01\0\x02h2"[..], b"\x04\0\0", b"\x04\0\x03\0\0\0\x05\0\x01x", b"\xee\0\x01\0"] {
        assert!(parse_whole(&with(tlvs)).is_ok(), "{tlvs:?}");
    }
    for tlvs in [&b"\x01"[..], b"\x01\0", b"\x01\0\x01", b"\x01\0\x02x", b"\x01\xff\xff", b"\x04\0\0\x01"] {
        assert!(parse(&with(tlvs)).is_err(), "{tlvs:?}");
    }
}

#[test]
fn section_2_2_3_a_checksum_is_verified() {
    // The CRC32c of the header with zeros in place of the checksum, worked out apart from this code.
    let with = |checksum: &[u8]| v2(0x21, 0x11, &[PAIR4, b"\x03\0\x04", checksum].concat());
    let right = crc32c(&with(&[0; 4])).to_be_bytes();
    assert!(parse_whole(&with(&right)).is_ok());
    for bit in 0..32 {
        let mut wrong = with(&right);
        let at = wrong.len() - 4 + bit / 8;
        wrong[at] ^= 1 << (bit % 8);
        assert!(parse(&wrong).is_err(), "{bit}");
        let mut wrong = with(&right);
        wrong[16 + bit / 8] ^= 1 << (bit % 8);
        assert!(parse(&wrong).is_err(), "{bit}");
    }
    assert!(parse(&v2(0x21, 0x11, &[PAIR4, b"\x03\0\0"].concat())).is_err());
}

/// CRC32c by polynomial division, the most significant bit first: another road than the one under test.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut remainder = u32::MAX;
    for byte in bytes {
        remainder ^= u32::from(byte.reverse_bits()) << 24;
        for _ in 0..8 {
            let carry = remainder >> 31 == 1;
            remainder <<= 1;
            if carry {
                remainder ^= 0x1edc_6f41;
            }
        }
    }
    !remainder.reverse_bits()
}

#[test]
fn the_check_value_of_crc32c_is_right() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn mapped_and_mixed_addresses_are_written_in_one_family() {
    let mut out = Vec::new();
    encode_v1(&mut out, &tcp("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2"));
    encode_v1(&mut out, &tcp("192.0.2.1:1", "[2001:db8::2]:2"));
    encode_v1(&mut out, &Header::Local);
    let expected =
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nPROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\nPROXY UNKNOWN\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

/// Two addresses of one family; mapped ones are written as what they are mapped from.
fn pairs() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let port = any::<u16>;
    let v4 = (any::<[u8; 4]>(), port(), any::<[u8; 4]>(), port())
        .prop_map(|(from, a, to, b)| ends(from.into(), a, to.into(), b));
    let v6 = (any::<[u8; 16]>(), port(), any::<[u8; 16]>(), port())
        .prop_map(|(from, a, to, b)| ends(from.into(), a, to.into(), b));
    prop_oneof![v4, v6]
        .prop_filter("mapped", |(from, to)| from.ip().to_canonical() == from.ip() && to.ip().to_canonical() == to.ip())
}

fn ends(source: IpAddr, source_port: u16, destination: IpAddr, destination_port: u16) -> (SocketAddr, SocketAddr) {
    (SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port))
}

fn encoded(encode: fn(&mut Vec<u8>, &Header), header: &Header) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, header);
    out
}

proptest! {
    #[test]
    fn what_version_1_writes_is_read_back((source, destination) in pairs()) {
        let header = Header::Tcp { source, destination };
        let out = encoded(encode_v1, &header);
        prop_assert!(out.len() <= 107);
        prop_assert_eq!(parse_whole(&out), Ok(header));
    }

    #[test]
    fn what_version_2_writes_is_read_back((source, destination) in pairs(), paths in any::<([u8; 32], [u8; 32])>()) {
        let padded = |path: [u8; 32]| std::array::from_fn(|at| path.get(at).copied().unwrap_or(0));
        let unix = |kind| Header::Unix(Box::new(UnixPaths { kind, source: padded(paths.0), destination: padded(paths.1) }));
        let headers = [
            Header::Local, Header::Unknown, Header::Tcp { source, destination }, Header::Udp { source, destination },
            unix(UnixKind::Stream), unix(UnixKind::Datagram),
        ];
        for header in headers {
            prop_assert_eq!(parse_whole(&encoded(encode_v2, &header)), Ok(header));
        }
    }

    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), family in any::<u8>()) {
        let _ = parse(&bytes);
        let _ = parse(&[b"PROXY ", &bytes[..]].concat());
        let _ = parse(&v2(0x21, family, &bytes));
        let _ = parse(&v2(0x21, 0x11, &[PAIR4, &bytes].concat()));
    }
}
