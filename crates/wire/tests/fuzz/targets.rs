//! The targets: what must hold for every input.

use wire::h1::chunked::{Decoder, MAX_TRAILER_BYTES, Step, trailer_fields};
use wire::h1::{Limits, Malformed, Parsed, parse_answer, parse_request};
use wire::head::{Answer, Field, Framing, Method, Name, Request, Version};
use wire::path::{Normal, normalise};
use wire::{host, proxy, x509};

const LIMITS: Limits = Limits { head_bytes: 8 * 1024, fields: 60, target_bytes: 2 * 1024 };

/// A request head that is taken is one that a slow reader, line by line, would read the same way.
pub(crate) fn request_head(input: &[u8]) {
    let mut out = Request::default();
    let found = parse_request(input, &LIMITS, &mut out);
    for prefix in prefixes(input) {
        let earlier = parse_request(prefix, &LIMITS, &mut Request::default());
        check_order(earlier, found);
    }
    let Ok(Parsed::Complete(end)) = found else { return };
    let head = &input[..end];
    let mut again = Request::default();
    assert_eq!(parse_request(head, &LIMITS, &mut again), found);
    assert_eq!(format!("{out:?}"), format!("{again:?}"));

    let line = check_lines(head, &out.fields);
    let written = [out.method_span.of(head), b" "].concat();
    assert!(line.starts_with(&written));
    assert_request_framing(head, &out);
    let path = out.path(head);
    assert!(path.starts_with(b"/") || path == b"*" && out.method == Method::Options);
    assert!(out.has_query || out.query.is_empty());
    if path != b"*" {
        assert_eq!(normalise(path, &mut Vec::new()), Ok(Normal::AsIs));
    }
    if out.version == Version::Http11 || !out.authority.is_empty() {
        assert_eq!(host::check(out.authority.of(head)), Ok(()));
    }
    assert_eq!(out.fields.iter().filter(|f| f.known == Name::Host && f.hop_by_hop).count(), 0);
    let _ = out.upgrade.of(head);
}

fn assert_request_framing(head: &[u8], out: &Request) {
    let lengths = values(head, &out.fields, b"content-length");
    let codings = values(head, &out.fields, b"transfer-encoding");
    match out.framing {
        Framing::None => assert!(lengths.is_empty() && codings.is_empty()),
        Framing::Length(length) => {
            assert!(codings.is_empty());
            assert_eq!(lengths.len(), 1);
            assert!(lengths[0].iter().all(u8::is_ascii_digit));
            assert_eq!(String::from_utf8_lossy(lengths[0]).parse(), Ok(length));
        }
        Framing::Chunked => {
            assert!(lengths.is_empty() && out.version == Version::Http11);
            let joined = codings.join(&b',').to_ascii_lowercase();
            let named: Vec<_> = joined.split(|b| b",\t ".contains(b)).filter(|coding| !coding.is_empty()).collect();
            assert_eq!(named, [b"chunked"]);
        }
        Framing::UntilClose => unreachable!("a request ends before its connection"),
    }
}

/// The same for answers, to GET and to HEAD.
pub(crate) fn answer_head(input: &[u8]) {
    for method in [Method::Get, Method::Head] {
        let mut out = Answer::default();
        let found = parse_answer(input, &LIMITS, method, &mut out);
        for prefix in prefixes(input) {
            let earlier = parse_answer(prefix, &LIMITS, method, &mut Answer::default());
            check_order(earlier, found);
        }
        let Ok(Parsed::Complete(end)) = found else { continue };
        let head = &input[..end];
        let mut again = Answer::default();
        assert_eq!(parse_answer(head, &LIMITS, method, &mut again), found);
        assert_eq!(format!("{out:?}"), format!("{again:?}"));
        let line = check_lines(head, &out.fields);
        assert!(line.starts_with(b"HTTP/1.") && line.ends_with(out.reason.of(head)));
        assert!((100..=599).contains(&out.status));
        assert_answer_framing(head, method, &out);
    }
}

fn assert_answer_framing(head: &[u8], method: Method, out: &Answer) {
    let lengths = values(head, &out.fields, b"content-length");
    let codings = values(head, &out.fields, b"transfer-encoding");
    assert!(lengths.len() < 2 && (lengths.is_empty() || codings.is_empty()));
    let bodiless = method == Method::Head || matches!(out.status, 100..200 | 204 | 304);
    assert_eq!(out.framing == Framing::None, bodiless);
    match out.framing {
        Framing::None => {}
        Framing::Length(_) => assert_eq!(lengths.len(), 1),
        Framing::Chunked => assert!(!codings.is_empty()),
        Framing::UntilClose => assert!(lengths.is_empty() && codings.is_empty() && !out.keep_alive),
    }
}

/// What was whole stays so, whatever follows; what was refused is not taken later.
fn check_order<E: PartialEq + std::fmt::Debug>(earlier: Result<Parsed, E>, later: Result<Parsed, E>) {
    let is_whole = |found: &Result<Parsed, E>| matches!(found, Ok(Parsed::Complete(_)));
    assert!(!is_whole(&earlier) || earlier == later, "{earlier:?}, then {later:?}");
    assert!(earlier.is_ok() || !is_whole(&later), "{earlier:?}, then {later:?}");
}

/// Compares field lines with the head cut at CRLF; returns the start line.
fn check_lines<'a>(mut head: &'a [u8], fields: &[Field]) -> &'a [u8] {
    let whole = head;
    while let Some(rest) = head.strip_prefix(b"\r\n") {
        head = rest;
    }
    let head = head.strip_suffix(b"\r\n\r\n").expect("a head ends with an empty line");
    let mut lines = Vec::new();
    let mut rest = head;
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    assert!(lines.iter().all(|line| !line.iter().any(|b| b"\r\n\0".contains(b))));
    assert_eq!(lines.len(), fields.len() + 1);
    for (line, field) in lines[1..].iter().zip(fields) {
        let colon = line.iter().position(|b| *b == b':').expect("a field line has a colon");
        assert_eq!(field.name.of(whole), &line[..colon]);
        assert_eq!(field.value.of(whole), line[colon + 1..].trim_ascii());
        assert!(field.known == Name::of(&line[..colon]) || field.known == Name::Shadow);
        assert!(field.hop_by_hop || !field.known.is_hop_by_hop());
    }
    lines[0]
}

fn values<'a>(head: &'a [u8], fields: &[Field], name: &[u8]) -> Vec<&'a [u8]> {
    fields.iter().filter(|f| f.name.of(head).eq_ignore_ascii_case(name)).map(|f| f.value.of(head)).collect()
}

/// A few shorter inputs, at places that differ from input to input.
fn prefixes(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let sum: usize = input.iter().map(|b| usize::from(*b)).sum();
    [sum, sum / 3, sum / 7, input.len().saturating_sub(1)].into_iter().map(|at| &input[..at % (input.len() + 1)])
}

/// However a body is cut into pieces, it decodes to the same, or is refused in all of them.
pub(crate) fn chunked(input: &[u8]) {
    let whole = decode(&[input]);
    for prefix in prefixes(input) {
        assert_eq!(decode(&[prefix, &input[prefix.len()..]]), whole);
    }
    if input.len() < 200 {
        assert_eq!(decode(&input.chunks(1).collect::<Vec<_>>()), whole);
    }
    let Ok((data, trailers, used)) = whole else { return };
    assert!(data.len() + trailers.len() <= input.len());
    if let Some(used) = used {
        assert_eq!(decode(&[&input[..used]]), Ok((data, trailers.clone(), Some(used))));
        let mut fields = Vec::new();
        assert_eq!(trailer_fields(&trailers, &mut fields), Ok(()));
        assert!(fields.iter().all(|field| field.known == Name::Other && !field.name.of(&trailers).is_empty()));
    }
    // What is no output of the decoder may be refused but not panic.
    let _ = trailer_fields(input, &mut Vec::new());
}

/// Body, trailer section and bytes used, if the body ends.
type Decoded = (Vec<u8>, Vec<u8>, Option<usize>);

fn decode(pieces: &[&[u8]]) -> Result<Decoded, Malformed> {
    let (mut decoder, mut data, mut held, mut used) = (Decoder::new(), Vec::new(), Vec::new(), 0);
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let bytes = match decoder.decode(&held)? {
                Step::Data { skip, data: bytes } => {
                    assert!(bytes > 0);
                    data.extend_from_slice(&held[skip..skip + bytes]);
                    skip + bytes
                }
                Step::More { used: bytes } => {
                    used += bytes;
                    held.drain(..bytes);
                    assert!(held.len() < MAX_TRAILER_BYTES, "only trailers are held back");
                    break;
                }
                Step::End { used: bytes, trailers: (start, end) } => {
                    return Ok((data, held[start..end].to_vec(), Some(used + bytes)));
                }
            };
            used += bytes;
            held.drain(..bytes);
        }
    }
    Ok((data, Vec::new(), None))
}

/// A PROXY header that is read can be written, and reads the same then.
pub(crate) fn proxy(input: &[u8]) {
    let found = proxy::parse(input);
    for prefix in prefixes(input) {
        let earlier = proxy::parse(prefix);
        assert!(earlier == found || earlier == Ok(None) || found.is_err(), "{earlier:?} then {found:?}");
        assert!(earlier.is_ok() || found.is_err(), "refused, then taken");
    }
    let Ok(Some((header, end))) = found else {
        assert!(found.is_err() || input.len() < proxy::MAX_HEADER_BYTES);
        return;
    };
    assert!(end <= input.len() && end <= proxy::MAX_HEADER_BYTES);
    let mut out = Vec::new();
    proxy::encode_v2(&mut out, &header);
    let (again, length) = proxy::parse(&out).expect("own headers are valid").expect("own headers are whole");
    assert_eq!(length, out.len());
    let mut rewritten = Vec::new();
    proxy::encode_v2(&mut rewritten, &again);
    assert_eq!(rewritten, out);
    let mut line = Vec::new();
    proxy::encode_v1(&mut line, &header);
    assert!(matches!(proxy::parse(&line), Ok(Some((_, length))) if length == line.len()));
}

/// A normal path stays normal, has no dot segment and grows nowhere.
pub(crate) fn path(input: &[u8]) {
    let mut out = Vec::new();
    let normal = match normalise(input, &mut out) {
        Err(_) => return,
        Ok(Normal::AsIs) => input,
        Ok(Normal::Changed) => &out,
    };
    assert!(normal.starts_with(b"/") && normal.len() <= input.len());
    assert!(normal.iter().all(|b| (0x21..0x7f).contains(b)));
    for segment in normal.split(|b| *b == b'/') {
        let spelt = String::from_utf8_lossy(segment).to_ascii_lowercase().replace("%2e", ".");
        assert!(spelt != "." && spelt != "..");
    }
    assert_eq!(normalise(normal, &mut Vec::new()), Ok(Normal::AsIs));
}

/// A certificate or a stapled answer is read or refused; what is shown of it is visible ASCII.
pub(crate) fn certificate(input: &[u8]) {
    let _ = x509::stapled(input);
    let Some(found) = x509::parse(input) else { return };
    for name in [found.issuer, found.subject] {
        assert!(x509::show_name(name).bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
    for name in &found.names {
        if let x509::AltName::Dns(text) | x509::AltName::Mail(text) | x509::AltName::Uri(text) = name {
            assert!(text.is_ascii());
        }
    }
}
