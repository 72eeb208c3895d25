//! Path normalisation: one spelling for what is matched and what is forwarded.
//!
//! Owns the only changes that this proxy makes to a path unasked: dot segments are resolved (RFC 3986, section 5.2.4),
//! also those spelt with `%2e`. `%2F` and `//` stay, and so do parameters such as `..;`: backends differ about them, and
//! whoever rewrote them would choose a side. What hides a second meaning is refused: broken percent-escapes, `%00` and
//! other escaped control characters, and the backslash, which some backends take for a slash.

use crate::grammar;

/// What normalising did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normal {
    /// The path is normal already; nothing was written.
    AsIs,
    /// The normal path was written.
    Changed,
}

/// Normalises an absolute path without its query. `out` is cleared first and gets the normal path if that differs from
/// `raw`. Going above the root stays at the root.
///
/// # Errors
/// Why the path must be refused, in a few plain words.
pub fn normalise(raw: &[u8], out: &mut Vec<u8>) -> Result<Normal, &'static str> {
    out.clear();
    if raw.first() != Some(&b'/') {
        return Err("path does not start with a slash");
    }
    check(raw)?;
    let Some(first) = first_dot_segment(raw) else { return Ok(Normal::AsIs) };
    out.extend_from_slice(&raw[..first]);
    resolve(&raw[first..], out);
    Ok(Normal::Changed)
}

fn check(raw: &[u8]) -> Result<(), &'static str> {
    let mut at = 0;
    while at < raw.len() {
        let byte = raw[at];
        at += 1;
        if grammar::is_plain_path_byte(byte) || byte == b'.' {
            continue;
        }
        match byte {
            b'%' => at = check_escape(raw, at)?,
            b'\\' => return Err("backslash in the path"),
            _ => return Err("invalid character in the path"),
        }
    }
    Ok(())
}

/// Checks the two digits at `at` and returns where they end.
fn check_escape(raw: &[u8], at: usize) -> Result<usize, &'static str> {
    let digit = |at: usize| raw.get(at).and_then(|b| char::from(*b).to_digit(16));
    let (Some(high), Some(low)) = (digit(at), digit(at + 1)) else { return Err("broken percent-escape in the path") };
    match high * 16 + low {
        0..0x20 | 0x7f => Err("escaped control character in the path"),
        _ => Ok(at + 2),
    }
}

/// Where the slash of the first segment is that must be resolved.
fn first_dot_segment(raw: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'/', raw).find(|slash| dots(segment(&raw[slash + 1..])).is_some())
}

/// Resolves `rest`, which starts with a slash, onto the resolved segments in `out`.
fn resolve(mut rest: &[u8], out: &mut Vec<u8>) {
    while let Some((_, after)) = rest.split_first() {
        let name = segment(after);
        let kind = dots(name);
        match kind {
            None => out.extend_from_slice(&rest[..=name.len()]),
            Some(Dots::Here) => {}
            Some(Dots::Parent) => out.truncate(memchr::memrchr(b'/', out).unwrap_or(0)),
        }
        rest = &after[name.len()..];
        if rest.is_empty() && kind.is_some() {
            out.push(b'/');
        }
    }
}

/// The bytes up to the next slash.
fn segment(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(b'/', bytes).unwrap_or(bytes.len())]
}

enum Dots {
    /// `.`
    Here,
    /// `..`
    Parent,
}

/// Which dot segment `segment` is, if it is one; each dot may be spelt `%2e`.
fn dots(segment: &[u8]) -> Option<Dots> {
    match without_dot(segment)? {
        [] => Some(Dots::Here),
        rest => without_dot(rest)?.is_empty().then_some(Dots::Parent),
    }
}

fn without_dot(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => Some(rest),
        _ => None,
    }
}
