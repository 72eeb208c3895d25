//! Path normalisation: one spelling for what is matched and what is forwarded.
//!
//! Owns the only changes that this proxy makes to a path unasked: escaped unreserved characters are written plainly
//! (`%61` is `a`; RFC 3986, section 6.2.2.2), so that nobody walks around a route by escaping a letter, and dot segments
//! are resolved (section 5.2.4). Other escapes, `%2F` among them, and `//` stay, and so do parameters such as `..;`: backends differ about them, and
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
#[inline(never)]
pub fn normalise(raw: &[u8], out: &mut Vec<u8>) -> Result<Normal, &'static str> {
    out.clear();
    if raw.first() != Some(&b'/') {
        return Err("path does not start with a slash");
    }
    if check(raw)? == Escapes::HideUnreserved {
        resolve(&unescape(raw), out);
        return Ok(Normal::Changed);
    }
    let Some(first) = first_dot_segment(raw) else { return Ok(Normal::AsIs) };
    out.extend_from_slice(&raw[..first]);
    resolve(&raw[first..], out);
    Ok(Normal::Changed)
}

/// What the escapes of a path stand for.
#[derive(PartialEq, Eq)]
enum Escapes {
    /// Nothing, or characters that need escaping.
    Needed,
    /// At least one unreserved character.
    HideUnreserved,
}

fn check(raw: &[u8]) -> Result<Escapes, &'static str> {
    let mut found = Escapes::Needed;
    let mut at = 0;
    while at < raw.len() {
        let byte = raw[at];
        at += 1;
        if grammar::is_plain_path_byte(byte) || byte == b'.' {
            continue;
        }
        match byte {
            b'%' => {
                if is_unreserved(check_escape(raw, at)?) {
                    found = Escapes::HideUnreserved;
                }
                at += 2;
            }
            b'\\' => return Err("backslash in the path"),
            _ => return Err("invalid character in the path"),
        }
    }
    Ok(found)
}

/// What the two digits at `at` stand for.
fn check_escape(raw: &[u8], at: usize) -> Result<u8, &'static str> {
    let digit = |at: usize| raw.get(at).and_then(|b| char::from(*b).to_digit(16));
    let (Some(high), Some(low)) = (digit(at), digit(at + 1)) else { return Err("broken percent-escape in the path") };
    match u8::try_from(high * 16 + low) {
        Ok(byte) if !byte.is_ascii_control() => Ok(byte),
        _ => Err("escaped control character in the path"),
    }
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The path with unreserved characters written plainly. Once is enough: no plain character makes an escape of what
/// follows it, since `%` itself stays escaped.
#[cold]
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        match check_escape(raw, at + 1) {
            Ok(byte) if raw[at] == b'%' && is_unreserved(byte) => {
                plain.push(byte);
                at += 3;
            }
            _ => {
                plain.push(raw[at]);
                at += 1;
            }
        }
    }
    plain
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

/// Which dot segment `segment` is, if it is one; escaped dots are plain by now.
fn dots(segment: &[u8]) -> Option<Dots> {
    match segment {
        b"." => Some(Dots::Here),
        b".." => Some(Dots::Parent),
        _ => None,
    }
}
