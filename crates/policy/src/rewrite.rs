//! Rewrites: the path that the backend sees.
//!
//! Owns the new path and the promise that it is one: it begins with `/`, holds no query and no dot segment, and nothing
//! that would break the request line (RFC 9112, section 3).

use std::fmt::Display;

use crate::plan::Rewrite;

/// The rewritten text is not a normalised path; the fault is the rule's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPath;

impl Display for NotAPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the rewritten path is not a path; see the route's `rewrite`")
    }
}

impl std::error::Error for NotAPath {}

/// Appends the new path to `out`. `path` is the normalised path, `rest_at` comes with `Matched`. The path `*`
/// (OPTIONS *) stays, and so does a path that a regex rewrite does not match.
///
/// # Errors
/// The result is not a path; `out` is then as before.
pub fn apply(rewrite: &Rewrite, path: &[u8], rest_at: usize, out: &mut Vec<u8>) -> Result<(), NotAPath> {
    let start = out.len();
    if path == b"*" || !write(rewrite, path, rest_at, out) {
        out.extend_from_slice(path);
        return Ok(());
    }
    one_slash_in_front(out, start);
    if is_path(&out[start..]) {
        return Ok(());
    }
    out.truncate(start);
    Err(NotAPath)
}

/// Whether the rule applies; then the new path is written.
fn write(rewrite: &Rewrite, path: &[u8], rest_at: usize, out: &mut Vec<u8>) -> bool {
    match rewrite {
        Rewrite::To(text) => out.extend_from_slice(text.as_bytes()),
        Rewrite::Prefix(prefix) => join(prefix.as_bytes(), path.get(rest_at..).unwrap_or_default(), out),
        Rewrite::Regex(pattern, to) => {
            let Some(found) = pattern.regex.captures(path) else { return false };
            found.expand(to.as_bytes(), out);
        }
    }
    true
}

/// Puts the rest (empty, or with its leading slash) behind the prefix; a slash that both have is there once. Empty
/// segments that the client wrote stay: they may mean something to the backend.
fn join(prefix: &[u8], rest: &[u8], out: &mut Vec<u8>) {
    let prefix = if rest.is_empty() { prefix } else { prefix.strip_suffix(b"/").unwrap_or(prefix) };
    out.extend_from_slice(prefix);
    out.extend_from_slice(rest);
}

/// An empty path is the root; a path with two slashes in front looks like a host to whoever resolves it.
fn one_slash_in_front(out: &mut Vec<u8>, start: usize) {
    let slashes = out[start..].iter().take_while(|&&byte| byte == b'/').count();
    if out.len() == start || slashes > 1 {
        out.splice(start..start + slashes, [b'/']);
    }
}

fn is_path(path: &[u8]) -> bool {
    path.starts_with(b"/") && !path.iter().any(|&byte| breaks_path(byte)) && !has_dot_segment(path)
}

fn breaks_path(byte: u8) -> bool {
    byte.is_ascii_control() || matches!(byte, b' ' | b'?' | b'#')
}

/// `.` and `..`, also as `%2e`: a backend would resolve them, and reach what no route let through.
fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|segment| {
        let dots = strip_dot(segment);
        dots.is_some_and(|rest| rest.is_empty() || strip_dot(rest).is_some_and(<[u8]>::is_empty))
    })
}

fn strip_dot(segment: &[u8]) -> Option<&[u8]> {
    match segment {
        [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => Some(rest),
        _ => None,
    }
}
