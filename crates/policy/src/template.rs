//! Templates: texts with places for parts of the request, in redirects and header rules.
//!
//! Owns the filling in and the promise that nothing comes out which would break a field line (RFC 9110, section 5.5) or
//! lead a redirect to a foreign host.

use std::fmt::Display;
use std::io::Write;
use std::net::IpAddr;

use crate::plan::{Piece, Template};

/// What the places stand for.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The request's host without port.
    pub host: &'a [u8],
    /// The normalised path.
    pub path: &'a [u8],
    /// What the `*` of the path condition stood for: `path` from `Matched::rest_at`.
    pub rest: &'a [u8],
    /// The query without `?`, if the request had one.
    pub query: Option<&'a [u8]>,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// The request id.
    pub request_id: &'a [u8],
}

/// The result would hold a control character (CR, LF, NUL, …), or a space where none may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsafeText;

impl Display for UnsafeText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the result holds a character that is not allowed there")
    }
}

impl std::error::Error for UnsafeText {}

/// Appends the value of a field to `out`.
///
/// # Errors
/// A control character other than a tab is in it; `out` is then as before.
pub fn render(template: &Template, parts: &Parts<'_>, out: &mut Vec<u8>) -> Result<(), UnsafeText> {
    let start = out.len();
    fill(template, parts, out);
    keep_if(out, start, |byte| byte == b'\t' || !byte.is_ascii_control())
}

/// Appends the target of a redirect to `out`.
///
/// A result that begins with `//` names a host, for browsers also `/\`: `/api//evil.example` on `{rest}` must not turn
/// into such a one. Only a template that itself begins with `//` may.
///
/// # Errors
/// A control character or a space is in it; `out` is then as before.
pub fn render_location(template: &Template, parts: &Parts<'_>, out: &mut Vec<u8>) -> Result<(), UnsafeText> {
    let start = out.len();
    fill(template, &without_asterisk(*parts), out);
    if !names_host(template) {
        let slashes = out[start..].iter().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
        if slashes > 1 {
            out.splice(start..start + slashes, [b'/']);
        }
    }
    keep_if(out, start, |byte| byte != b' ' && !byte.is_ascii_control())
}

/// `*` (OPTIONS *) is no path that could follow a host.
fn without_asterisk(parts: Parts<'_>) -> Parts<'_> {
    let path = if parts.path.starts_with(b"/") { parts.path } else { b"" };
    Parts { path, ..parts }
}

fn names_host(template: &Template) -> bool {
    matches!(template.0.first(), Some(Piece::Text(text)) if text.starts_with("//"))
}

fn fill(template: &Template, parts: &Parts<'_>, out: &mut Vec<u8>) {
    for piece in &template.0 {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Host => out.extend_from_slice(parts.host),
            Piece::Path => out.extend_from_slice(parts.path),
            Piece::Rest => out.extend_from_slice(parts.rest),
            Piece::Query => {
                if let Some(query) = parts.query {
                    out.push(b'?');
                    out.extend_from_slice(query);
                }
            }
            Piece::Scheme => out.extend_from_slice(parts.scheme.as_bytes()),
            Piece::Client => write_client(parts.client, out),
            Piece::RequestId => out.extend_from_slice(parts.request_id),
        }
    }
}

fn write_client(client: IpAddr, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{}", client.to_canonical());
}

fn keep_if(out: &mut Vec<u8>, start: usize, allowed: impl Fn(u8) -> bool) -> Result<(), UnsafeText> {
    if out[start..].iter().all(|&byte| allowed(byte)) {
        return Ok(());
    }
    out.truncate(start);
    Err(UnsafeText)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn parts<'a>() -> Parts<'a> {
        Parts {
            host: b"shop.example",
            path: b"/api/x",
            rest: b"/x",
            query: Some(b"a=1"),
            scheme: "https",
            client: Ipv4Addr::new(192, 0, 2, 7).into(),
            request_id: b"r-1",
        }
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    fn rendered(pieces: &[Piece], parts: &Parts<'_>) -> Result<String, UnsafeText> {
        collect(render, pieces, parts)
    }

    fn location(pieces: &[Piece], parts: &Parts<'_>) -> Result<String, UnsafeText> {
        collect(render_location, pieces, parts)
    }

    type Render = fn(&Template, &Parts<'_>, &mut Vec<u8>) -> Result<(), UnsafeText>;

    fn collect(render: Render, pieces: &[Piece], parts: &Parts<'_>) -> Result<String, UnsafeText> {
        let mut out = b"before ".to_vec();
        let result = render(&Template(pieces.to_vec()), parts, &mut out);
        let text = String::from_utf8_lossy(&out).into_owned();
        let new = text.strip_prefix("before ").expect("what was there stays").to_owned();
        assert!(result.is_ok() || new.is_empty(), "an error leaves nothing behind");
        result.map(|()| new)
    }

    #[test]
    fn every_piece_is_filled_in() {
        let pieces = [Piece::Scheme, text("://"), Piece::Host, Piece::Path, Piece::Query];
        assert_eq!(rendered(&pieces, &parts()).unwrap(), "https://shop.example/api/x?a=1");
        let pieces = [Piece::Client, text(" "), Piece::RequestId, text(" "), Piece::Rest];
        assert_eq!(rendered(&pieces, &parts()).unwrap(), "192.0.2.7 r-1 /x");
    }

    #[test]
    fn the_query_brings_its_question_mark_only_where_there_was_one() {
        let with = |query| rendered(&[Piece::Path, Piece::Query], &Parts { query, ..parts() }).unwrap();
        assert_eq!(with(None), "/api/x");
        assert_eq!(with(Some(b"")), "/api/x?");
        assert_eq!(with(Some(b"b")), "/api/x?b");
    }

    #[test]
    fn a_mapped_client_is_written_as_ipv4() {
        let client = Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().into();
        assert_eq!(rendered(&[Piece::Client], &Parts { client, ..parts() }).unwrap(), "192.0.2.7");
    }

    #[test]
    fn control_characters_are_refused() {
        for bad in ["a\rb", "a\nb", "a\0b", "\u{7f}", "\u{1b}"] {
            assert_eq!(rendered(&[text(bad)], &parts()), Err(UnsafeText), "{bad:?}");
            assert_eq!(rendered(&[Piece::Path], &Parts { path: bad.as_bytes(), ..parts() }), Err(UnsafeText));
            assert_eq!(location(&[text(bad)], &parts()), Err(UnsafeText), "{bad:?}");
        }
    }

    #[test]
    fn a_space_is_fine_in_a_field_and_not_in_a_location() {
        assert_eq!(rendered(&[text("a b\tc")], &parts()).unwrap(), "a b\tc");
        assert_eq!(location(&[text("/a b")], &parts()), Err(UnsafeText));
        assert_eq!(location(&[text("/a\tb")], &parts()), Err(UnsafeText));
    }

    #[test]
    fn a_request_cannot_turn_a_redirect_to_a_foreign_host() {
        let evil =
            |pieces: &[Piece], rest: &str| location(pieces, &Parts { rest: rest.as_bytes(), ..parts() }).unwrap();
        assert_eq!(evil(&[Piece::Rest], "//evil.example"), "/evil.example");
        assert_eq!(evil(&[text("/"), Piece::Rest], "/evil.example"), "/evil.example");
        assert_eq!(evil(&[Piece::Rest], "/\\evil.example"), "/evil.example");
        assert_eq!(evil(&[Piece::Rest], "\\/evil.example"), "/evil.example");
        assert_eq!(evil(&[text(""), Piece::Rest], "///evil.example"), "/evil.example");
    }

    #[test]
    fn a_template_may_itself_name_a_host_without_scheme() {
        assert_eq!(location(&[text("//cdn.example"), Piece::Path], &parts()).unwrap(), "//cdn.example/api/x");
    }

    #[test]
    fn slashes_further_back_stay() {
        let pieces = [text("https://new.example"), Piece::Path];
        let asked = Parts { path: b"/a//b", ..parts() };
        assert_eq!(location(&pieces, &asked).unwrap(), "https://new.example/a//b");
    }

    #[test]
    fn options_asterisk_adds_no_path_to_a_location() {
        let asked = Parts { path: b"*", ..parts() };
        assert_eq!(location(&[text("https://"), Piece::Host, Piece::Path], &asked).unwrap(), "https://shop.example");
        assert_eq!(rendered(&[Piece::Path], &asked).unwrap(), "*");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_line_break_ever_comes_out(first in any::<Vec<u8>>(), second in any::<Vec<u8>>()) {
            let asked = Parts { path: &first, rest: &second, query: Some(&second), host: &first, ..parts() };
            let pieces = Template(vec![Piece::Host, Piece::Path, Piece::Rest, Piece::Query]);
            let (mut field, mut target) = (Vec::new(), Vec::new());
            let _ = (render(&pieces, &asked, &mut field), render_location(&pieces, &asked, &mut target));
            prop_assert!(!field.iter().any(|byte| b"\r\n\0".contains(byte)));
            prop_assert!(!target.iter().any(|byte| b"\r\n\0 ".contains(byte)));
            prop_assert!(!target.starts_with(b"//"));
        }
    }
}
