//! RFC 7541, appendix C, and what its other sections ask.

use super::super::hpack::{CompressionError, Decoder, Encoder, Kind};
use crate::head::Name;

/// Bytes written in hexadecimal.
fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<_> = hexadecimal.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits")).collect()
}

/// The lines of a block.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, CompressionError> {
    let mut at = decoder.begin(block)?;
    let (mut buf, mut lines) = (Vec::new(), Vec::new());
    while at < block.len() {
        let line = decoder.line(block, &mut at, &mut buf)?;
        let text = |span: crate::head::Span| String::from_utf8_lossy(span.of(&buf)).into_owned();
        lines.push(format!("{}: {}", text(line.field.name), text(line.field.value)));
    }
    let joined: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    assert_eq!(String::from_utf8_lossy(&buf), joined, "lines follow each other as in HTTP/1.1");
    Ok(lines)
}

/// Blocks of one connection, each with its lines.
fn check(limit: u32, blocks: &[(&str, &[&str])]) {
    let mut decoder = Decoder::new(limit);
    for (block, lines) in blocks {
        assert_eq!(decode(&mut decoder, &bytes(block)).as_deref(), Ok(&lines.map_to_owned()[..]), "{block}");
    }
}

trait MapToOwned {
    fn map_to_owned(&self) -> Vec<String>;
}

impl MapToOwned for &[&str] {
    fn map_to_owned(&self) -> Vec<String> {
        self.iter().map(|line| (*line).to_owned()).collect()
    }
}

#[test]
fn rfc7541_c_2_single_fields() {
    let literal = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(4096, &[(literal, &["custom-key: custom-header"]), ("be", &["custom-key: custom-header"])]);
    check(4096, &[("040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"])]);
    check(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"])]);
    check(4096, &[("82", &[":method: GET"])]);
}

const REQUESTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

#[test]
fn rfc7541_c_3_requests_without_huffman() {
    let blocks = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    check(4096, &[(blocks[0], REQUESTS[0]), (blocks[1], REQUESTS[1]), (blocks[2], REQUESTS[2])]);
}

#[test]
fn rfc7541_c_4_requests_with_huffman() {
    let blocks = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    check(4096, &[(blocks[0], REQUESTS[0]), (blocks[1], REQUESTS[1]), (blocks[2], REQUESTS[2])]);
}

const ANSWERS: [&[&str]; 3] = [
    &[
        ":status: 302",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:21 GMT",
        "location: https://www.example.com",
    ],
    &[
        ":status: 307",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:21 GMT",
        "location: https://www.example.com",
    ],
    &[
        ":status: 200",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:22 GMT",
        "location: https://www.example.com",
        "content-encoding: gzip",
        "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ],
];

#[test]
fn rfc7541_c_5_answers_without_huffman_and_with_evictions() {
    let blocks = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
         3d31",
    ];
    check(256, &[(blocks[0], ANSWERS[0]), (blocks[1], ANSWERS[1]), (blocks[2], ANSWERS[2])]);
}

#[test]
fn rfc7541_c_6_answers_with_huffman_and_with_evictions() {
    let blocks = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    check(256, &[(blocks[0], ANSWERS[0]), (blocks[1], ANSWERS[1]), (blocks[2], ANSWERS[2])]);
}

#[test]
fn rfc7541_2_3_3_an_index_beyond_the_tables_is_an_error() {
    for wrong in ["80", "be", "ff 80 01", "7e 01 61", "0f 2f 01 61"] {
        assert!(decode(&mut Decoder::new(4096), &bytes(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn rfc7541_4_2_size_updates_come_first_and_keep_to_the_limit() {
    assert_eq!(decode(&mut Decoder::new(4096), &bytes("20 3fe11f 82")), Ok(vec![":method: GET".to_owned()]));
    for wrong in ["3fe21f 82", "82 20", "3fff ffff ff0f"] {
        assert!(decode(&mut Decoder::new(4096), &bytes(wrong)).is_err(), "{wrong}");
    }
    let mut decoder = Decoder::new(4096);
    decoder.set_limit(100);
    assert!(decode(&mut decoder, &bytes("82")).is_err(), "the lower limit must be acknowledged");
    let mut decoder = Decoder::new(4096);
    decoder.set_limit(100);
    assert!(decode(&mut decoder, &bytes("3f45 82")).is_ok());
    assert!(decode(&mut decoder, &bytes("3f46 82")).is_err());
}

#[test]
fn rfc7541_5_2_strings_end_within_the_block() {
    for wrong in ["40", "4001", "400161", "40016102", "0402 61", "7f", "0085 ffff"] {
        assert!(decode(&mut Decoder::new(4096), &bytes(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn names_are_known_and_faults_stay_with_their_lines() {
    let mut decoder = Decoder::new(4096);
    let mut line = |block: &str| {
        let block = bytes(block);
        decoder.line(&block, &mut 0, &mut Vec::new()).expect("fine for the context")
    };
    // x-request-id: a
    let block = "400c 782d 7265 7175 6573 742d 6964 0161";
    assert_eq!(line(block).kind, Kind::Field(Name::XRequestId));
    let again = line("be");
    assert_eq!(
        (again.kind, again.field.known, again.fault.why()),
        (Kind::Field(Name::XRequestId), Name::XRequestId, None)
    );
    // X: a, then by index, then its name with another value
    for block in ["4001 5801 61", "be", "7e01 62", "0f2f 0162"] {
        assert!(line(block).fault.why().is_some(), "{block}");
    }
    // x: LF, then by index; its name is fine.
    assert!(line("4001 7801 0a").fault.why().is_some());
    assert!(line("be").fault.why().is_some());
    assert!(line("0f2f 0162").fault.why().is_none());
    // Padded values, empty names, unknown pseudo-header fields.
    for block in ["0001 7802 2061", "0001 7802 6109", "0000 0161", "0002 3a78 0161"] {
        assert!(line(block).fault.why().is_some(), "{block}");
    }
    // A space alone is no value either; an empty one is.
    assert!(line("0001 7801 20").fault.why().is_some());
    assert!(line("0001 7800").fault.why().is_none());
    // content_length is not what it seems.
    assert_eq!(line("000e 636f 6e74 656e 745f 6c65 6e67 7468 0130").kind, Kind::Field(Name::Shadow));
    // Never-indexed literals stay so.
    assert!(line("1001 7801 61").field.never_indexed);
    assert!(!line("0001 7801 61").field.never_indexed);
}

/// What the peer reads of a few fields, and how many bytes they took.
fn exchange(encoder: &mut Encoder, decoder: &mut Decoder, fields: &[(&str, &str)]) -> (Vec<String>, usize) {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value) in fields {
        encoder.put_field(name.as_bytes(), value.as_bytes(), &mut out);
    }
    (decode(decoder, &out).expect("it was just made"), out.len())
}

#[test]
fn lines_that_come_again_are_indexed_and_others_push_out_nobody() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    for at in 0..1000 {
        let id = format!("id-{at}");
        let fields = [("Server", "nginx"), ("Content-Type", "text/html; charset=utf-8"), ("X-Request-Id", &id)];
        let (lines, length) = exchange(&mut encoder, &mut decoder, &fields);
        assert_eq!(
            lines,
            [
                "server: nginx".to_owned(),
                "content-type: text/html; charset=utf-8".to_owned(),
                format!("x-request-id: {id}"),
            ]
        );
        assert!(at < 2 || length <= 2 + 14 + 1 + id.len(), "{length}");
    }
}

#[test]
fn rfc7541_7_1_3_secrets_are_never_indexed() {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let secrets = ["Authorization", "cookie", "Set-Cookie", "proxy-authorization"];
    for name in secrets.repeat(3) {
        out.clear();
        encoder.put_field(name.as_bytes(), b"a=b", &mut out);
        let mut decoder = Decoder::new(4096);
        let line = decoder.line(&out, &mut 0, &mut Vec::new()).expect("it was just made");
        assert!(line.field.never_indexed, "{name}");
    }
    for _ in 0..3 {
        out.clear();
        encoder.put_secret(b"X-Token", b"abc", &mut out);
        assert_eq!(out, bytes("10 07 782d 746f 6b65 6e 03 6162 63"));
    }
}

#[test]
fn rfc7541_4_2_changes_of_size_are_told() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    let fields = [("server", "nginx"), ("x-a", "b")];
    for _ in 0..3 {
        exchange(&mut encoder, &mut decoder, &fields);
    }
    // Down to nothing and up again between two blocks: both are told, and both sides have forgotten all.
    encoder.set_limit(0);
    encoder.set_limit(1000);
    encoder.set_limit(1 << 20);
    let mut out = Vec::new();
    encoder.begin(&mut out);
    assert_eq!(out, bytes("20 3fe11f"));
    encoder.put_field(b"server", b"nginx", &mut out);
    assert_eq!(decode(&mut decoder, &out), Ok(vec!["server: nginx".to_owned()]));
    encoder.set_limit(0);
    for _ in 0..4 {
        let (lines, _) = exchange(&mut encoder, &mut decoder, &fields);
        assert_eq!(lines, ["server: nginx", "x-a: b"]);
    }
}

#[test]
fn rare_statuses_methods_and_schemes_survive() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    for status in [100, 200, 204, 206, 304, 400, 404, 418, 500, 599] {
        let mut out = Vec::new();
        encoder.put_status(status, &mut out);
        assert_eq!(decode(&mut decoder, &out), Ok(vec![format!(":status: {status}")]));
    }
    for _ in 0..3 {
        for method in ["GET", "POST", "PUT", "BREW"] {
            let mut out = Vec::new();
            encoder.put_method(method.as_bytes(), &mut out);
            encoder.put_scheme(b"http", &mut out);
            encoder.put_scheme(b"https", &mut out);
            encoder.put_authority(b"example.com", &mut out);
            encoder.put_path(b"/", None, &mut out);
            encoder.put_path(b"/a", None, &mut out);
            encoder.put_path(b"/", Some(b""), &mut out);
            encoder.put_protocol(b"websocket", &mut out);
            let expected = [
                format!(":method: {method}"),
                ":scheme: http".to_owned(),
                ":scheme: https".to_owned(),
                ":authority: example.com".to_owned(),
                ":path: /".to_owned(),
                ":path: /a".to_owned(),
                ":path: /?".to_owned(),
                ":protocol: websocket".to_owned(),
            ];
            assert_eq!(decode(&mut decoder, &out).as_deref(), Ok(&expected[..]));
        }
    }
}
