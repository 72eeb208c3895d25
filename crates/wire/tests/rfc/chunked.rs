//! The chunked transfer coding.

use proptest::prelude::*;
use wire::h1::Malformed;
use wire::h1::chunked::{
    CHUNK_END, Decoder, LAST_CHUNK, LAST_CHUNK_BEFORE_TRAILERS, MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, Step,
    TRAILERS_END, put_chunk_size, trailer_fields,
};

/// A decoded body.
#[derive(Debug, Default, PartialEq, Eq)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<u8>,
    /// Bytes of the coding; none if it does not end.
    used: Option<usize>,
}

/// Decodes `input` as it comes in `pieces`, the way a connection would: what is not consumed is shown again.
fn decode(pieces: &[&[u8]]) -> Result<Body, Malformed> {
    let (mut decoder, mut body, mut held, mut used) = (Decoder::new(), Body::default(), Vec::new(), 0);
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let taken = match decoder.decode(&held)? {
                Step::Data { skip, data } => {
                    assert!(data > 0);
                    body.data.extend_from_slice(&held[skip..skip + data]);
                    skip + data
                }
                Step::More { used: bytes } => {
                    used += bytes;
                    held.drain(..bytes);
                    break;
                }
                Step::End { used: bytes, trailers: (start, end) } => {
                    body.trailers.extend_from_slice(&held[start..end]);
                    body.used = Some(used + bytes);
                    return Ok(body);
                }
            };
            used += taken;
            held.drain(..taken);
        }
    }
    Ok(body)
}

/// Decodes in one piece, at every split and byte by byte; all must agree.
fn decode_everywhere(input: &[u8]) -> Result<Body, Malformed> {
    let whole = decode(&[input]);
    for at in 0..=input.len() {
        assert_eq!(
            decode(&[&input[..at], &input[at..]]),
            whole,
            "split at {at} of {:?}",
            String::from_utf8_lossy(input)
        );
    }
    assert_eq!(decode(&input.chunks(1).collect::<Vec<_>>()), whole);
    whole
}

#[test]
fn rfc9112_7_1_a_body_is_its_chunks_joined() {
    let table = [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
        ("A\r\n0123456789\r\n00\r\n\r\n", "0123456789"),
        ("a\r\n0123456789\r\n0000000000000000\r\n\r\n", "0123456789"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("0000000000000003\r\n0\r\n\r\n0\r\n\r\n", "0\r\n"),
    ];
    for (input, data) in table {
        let body = decode_everywhere(input.as_bytes()).unwrap();
        assert_eq!((&body.data[..], body.used), (data.as_bytes(), Some(input.len())), "{input:?}");
    }
}

#[test]
fn rfc9112_7_1_what_follows_the_body_is_left_alone() {
    let body = decode_everywhere(b"1\r\nx\r\n0\r\n\r\n\0GET").unwrap();
    assert_eq!(body.used, Some(11));
}

#[test]
fn rfc9112_7_1_chunk_sizes_are_hex_digits_and_crlf() {
    for input in [
        "\r\n",
        "g\r\n",
        " 5\r\nhello",
        "+5\r\nhello",
        "-5\r\n",
        "0x5\r\nhello",
        "5 \r\nhello",
        "5\nhello",
        "5\rhello",
        "5\r\rhello",
        "5\0\r\n",
        ";x\r\n",
        "5,5\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\nhellox\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\n\rx",
        "0\n\n",
        "5 x\r\nhello",
        "5\t\r\nhello",
        "\u{660}\r\n",
        "5\u{b}\r\nhello",
        "5=\r\n",
    ] {
        assert!(decode_everywhere(input.as_bytes()).is_err(), "{input:?}");
    }
}

#[test]
fn rfc9112_7_1_chunk_sizes_do_not_overflow() {
    assert_eq!(decode(&[b"ffffffffffffffff\r\nab"]).unwrap().data, b"ab");
    assert!(decode_everywhere(b"10000000000000000\r\nab").is_err());
    assert!(decode_everywhere(b"00000000000000001\r\na\r\n0\r\n\r\n").is_err());
}

#[test]
fn rfc9112_7_1_1_extensions_are_passed_over() {
    for line in ["5;x", "5;x=y", "5 ; x = \"y;\\\" z\"", "5\t;x", "5;x=\u{e9}", "5;", "5;a;b;c=d"] {
        let input = format!("{line}\r\nhello\r\n0;last\r\n\r\n");
        let body = decode_everywhere(input.as_bytes()).unwrap();
        assert_eq!((&body.data[..], body.used), (&b"hello"[..], Some(input.len())), "{line:?}");
    }
    for line in ["5;x\n", "5;x\0", "5;\u{7f}", "5;x\ry", "5;\"x\ny\""] {
        assert!(decode_everywhere(format!("{line}\r\nhello\r\n0\r\n\r\n").as_bytes()).is_err(), "{line:?}");
    }
}

#[test]
fn rfc9112_7_1_1_extensions_are_bounded_by_what_they_come_with() {
    let most = usize::try_from(MAX_EXTENSION_BYTES).unwrap();
    let one = |length: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(length - 1));
    assert!(decode(&[one(most).as_bytes()]).is_ok());
    assert!(decode(&[one(most + 1).as_bytes()]).is_err());
    let many = "1;e\r\nx\r\n".repeat(most - 1) + "0\r\n\r\n";
    assert!(decode(&[many.as_bytes()]).is_ok(), "one byte beyond each byte of body");
    assert!(decode(&["1;ee\r\nx\r\n".repeat(most).as_bytes()]).is_err());
    let signed = "64;signature=0123456789abcdef0123456789abcdef\r\n".to_owned() + &"x".repeat(100) + "\r\n";
    assert!(decode(&[signed.repeat(10_000).as_bytes()]).is_ok());
}

#[test]
fn rfc9112_7_1_2_trailers_are_given_as_one_section() {
    let body = decode_everywhere(b"1\r\nx\r\n0\r\nA: b\r\nC:d\r\n\r\nnext").unwrap();
    assert_eq!(body.trailers, b"A: b\r\nC:d\r\n");
    assert_eq!(body.used, Some(22));
}

#[test]
fn rfc9112_7_1_2_malformed_trailers_are_refused() {
    for lines in [
        "A : b\r\n",
        ": b\r\n",
        "A\r\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        "A: b\n",
        "A: \0\r\n",
        "A: b\rC: d\r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        let input = format!("0\r\n{lines}\r\n");
        assert!(decode_everywhere(input.as_bytes()).is_err(), "{lines:?}");
    }
}

#[test]
fn rfc9112_7_1_2_the_trailer_section_is_bounded() {
    let section = |bytes: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(bytes - 7));
    assert!(decode(&[section(MAX_TRAILER_BYTES).as_bytes()]).unwrap().used.is_some());
    assert!(decode(&[section(MAX_TRAILER_BYTES + 1).as_bytes()]).is_err());
    let endless = section(MAX_TRAILER_BYTES);
    assert!(decode(&[&endless.as_bytes()[..endless.len() - 1], b"x"]).is_err());
}

#[test]
fn rfc9110_6_5_1_fields_that_may_not_come_late_are_dropped() {
    let section = "Grpc-Status: 0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\nHost: b\r\nauthorization: x\r\nCookie: x\r\n\
                   Set-Cookie: x\r\nConnection: close\r\nX-Forwarded-For: x\r\nTrailer: x\r\nTE: x\r\nContent-Type: x\r\nX-Checksum: y\r\n";
    let mut fields = Vec::new();
    trailer_fields(section.as_bytes(), &mut fields).unwrap();
    let kept: Vec<_> = fields.iter().map(|f| (f.name.of(section.as_bytes()), f.value.of(section.as_bytes()))).collect();
    assert_eq!(kept, [(&b"Grpc-Status"[..], &b"0"[..]), (b"X-Checksum", b"y")]);
}

#[test]
fn trailer_sections_that_no_decoder_gives_are_refused() {
    for section in ["A: b", "A: b\r", "A: b\r\n\r\n", "A: b\r\n\r\nC: d\r\n", "A\r\n", "A: b\nC: d\r\n", " A: b\r\n"] {
        assert!(trailer_fields(section.as_bytes(), &mut Vec::new()).is_err(), "{section:?}");
    }
    assert_eq!(trailer_fields(b"", &mut Vec::new()), Ok(()));
}

/// Encodes `chunks` as a body of one chunk each.
fn encode(chunks: &[Vec<u8>], trailers: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        put_chunk_size(&mut out, chunk.len());
        out.extend_from_slice(chunk);
        out.extend_from_slice(CHUNK_END);
    }
    if trailers.is_empty() {
        out.extend_from_slice(LAST_CHUNK);
    } else {
        out.extend_from_slice(LAST_CHUNK_BEFORE_TRAILERS);
        out.extend_from_slice(trailers);
        out.extend_from_slice(TRAILERS_END);
    }
    out
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        trailers in prop::sample::select(vec![&b""[..], b"A: b\r\n", b"A: b\r\nC:\r\n"]),
    ) {
        let input = encode(&chunks, trailers);
        let body = decode_everywhere(&input).unwrap();
        prop_assert_eq!(body, Body { data: chunks.concat(), trailers: trailers.to_vec(), used: Some(input.len()) });
    }
}
