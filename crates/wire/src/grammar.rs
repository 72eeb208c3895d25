//! Characters and lists of RFC 9110, section 5.6, and RFC 3986.
//!
//! Owns what a byte may be used for; what a sequence of bytes means belongs to the modules that ask. How the end of a long
//! sequence is found quickly belongs to [`crate::scan`].

/// May stand in a token: methods, field names, options (RFC 9110, section 5.6.2).
const TOKEN: u8 = 1;
/// May stand in a request target: visible ASCII but `#`, which starts a fragment and is never sent (RFC 9112, section 3.2).
const TARGET: u8 = 2;
/// May stand in a path and needs no second look: not `?`, `%`, `\` and `.`.
const PLAIN_PATH: u8 = 4;
/// May stand in a registered name (RFC 3986, section 3.2.2) but for `%`, which hides other spellings of the same host,
/// and the comma, which joined field values have.
const HOST: u8 = 8;
/// Lower-case letters, digits and hyphens, which names in HTTP/2 are made of but for rare ones.
const LOWER_NAME: u8 = 16;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f_u8 {
        let mut classes = 0;
        if byte.is_ascii_alphanumeric() || is_one_of(byte, b"!#$%&'*+-.^_`|~") {
            classes |= TOKEN;
        }
        if byte != b'#' {
            classes |= TARGET;
        }
        if !is_one_of(byte, b"#?%\\.") {
            classes |= PLAIN_PATH;
        }
        if byte.is_ascii_alphanumeric() || is_one_of(byte, b"-._~!$&'()*+;=") {
            classes |= HOST;
        }
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' {
            classes |= LOWER_NAME;
        }
        table[byte as usize] = classes;
        byte += 1;
    }
    table
}

const fn is_one_of(byte: u8, set: &[u8]) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

#[inline]
pub(crate) fn is_plain_path_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & PLAIN_PATH != 0
}

/// Whether `bytes` is a token, which is never empty.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && after_token(bytes).is_empty()
}

/// What follows the token at the front of `bytes`.
#[inline]
pub(crate) fn after_token(bytes: &[u8]) -> &[u8] {
    after_class(bytes, TOKEN)
}

/// What follows the bytes of a registered name at the front of `bytes`.
#[inline]
pub(crate) fn after_host_bytes(bytes: &[u8]) -> &[u8] {
    after_class(bytes, HOST)
}

/// What follows the lower-case letters, digits and hyphens at the front of `bytes`.
#[inline]
pub(crate) fn after_lower_name(bytes: &[u8]) -> &[u8] {
    after_class(bytes, LOWER_NAME)
}

/// What follows the bytes of a request target at the front of `bytes`.
#[inline]
pub(crate) fn after_target_bytes(bytes: &[u8]) -> &[u8] {
    after_class(bytes, TARGET)
}

/// What follows the bytes of a class at the front of `bytes`. One branch for four bytes is cheaper than four.
#[inline(always)]
fn after_class(mut bytes: &[u8], class: u8) -> &[u8] {
    while let Some((four, rest)) = bytes.split_first_chunk::<4>()
        && four.iter().fold(class, |all, b| all & CLASSES[*b as usize]) != 0
    {
        bytes = rest;
    }
    while let [byte, rest @ ..] = bytes
        && CLASSES[*byte as usize] & class != 0
    {
        bytes = rest;
    }
    bytes
}

/// May stand in a text: HTAB, SP, visible ASCII and bytes from 0x80 on, which is what field values and reason phrases are
/// made of (RFC 9110, section 5.5).
#[inline(always)]
pub(crate) fn is_text_byte(byte: u8) -> bool {
    (byte >= b' ') & (byte != 0x7f) | (byte == b'\t')
}

/// Whether `text` is the word `lower`, which is of letters, digits and hyphens, none of them upper case, and has 24 bytes
/// at most; compared without case. Setting bit 5 lowers letters; the only other bytes that it could turn into such a
/// character are control characters, which no text has.
#[inline(always)]
pub(crate) fn is_word(text: &[u8], lower: &[u8]) -> bool {
    debug_assert!(lower.len() <= 24, "three pieces hold no more");
    // Pieces that overlap are cheaper than bytes one by one.
    text.len() == lower.len()
        && match lower.len() {
            8.. => {
                let same = |at| is_piece::<8>(text, lower, at);
                same(0) && same(lower.len() - 8) && (lower.len() <= 16 || same(8))
            }
            4..8 => is_piece::<4>(text, lower, 0) && is_piece::<4>(text, lower, lower.len() - 4),
            _ => text.iter().zip(lower).all(|(a, b)| a | 0x20 == *b),
        }
}

/// The same for `N` bytes from `at` on.
#[inline(always)]
fn is_piece<const N: usize>(text: &[u8], lower: &[u8], at: usize) -> bool {
    let lowered = text[at..].first_chunk::<N>().map(|piece| piece.map(|byte| byte | 0x20));
    lowered.as_ref() == lower[at..].first_chunk::<N>()
}

/// `bytes` without optional white space (SP, HTAB) around it.
#[inline]
pub(crate) fn trimmed(bytes: &[u8]) -> &[u8] {
    trimmed_end(trimmed_start(bytes))
}

/// `bytes` without optional white space before it.
#[inline]
pub(crate) fn trimmed_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// `bytes` without optional white space behind it.
#[inline]
pub(crate) fn trimmed_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list; empty ones are passed over (RFC 9110, section 5.6.1.2).
#[inline]
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(trimmed).filter(|member| !member.is_empty())
}

/// A number of digits only, no sign; none if it is empty or does not fit.
#[inline]
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| Some(u64::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit <= 9);
    // Nineteen digits always fit.
    let (first, rest) = digits.split_at(digits.len().min(19));
    let value = first.iter().try_fold(0, |value, byte| Some(value * 10 + digit(byte)?))?;
    let value = rest.iter().try_fold(value, |value: u64, byte| value.checked_mul(10)?.checked_add(digit(byte)?))?;
    (!digits.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_in_each_byte() {
        let lower = b"x-forwarded-100-continue";
        for length in 0..=lower.len() {
            let lower = &lower[..length];
            assert!(is_word(lower, lower) && is_word(&lower.to_ascii_uppercase(), lower));
            assert!(!is_word(b"x-forwarded-100-continue-", lower));
            for at in 0..length {
                for byte in b'\t'..=255 {
                    let mut text = lower.to_ascii_uppercase();
                    text[at] = byte;
                    let is_text = byte == b'\t' || byte >= b' ';
                    assert!(!is_text || is_word(&text, lower) == text.eq_ignore_ascii_case(lower), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn lists_pass_over_empty_members() {
        assert_eq!(list(b" , a,\t b c ,,").collect::<Vec<_>>(), [&b"a"[..], b"b c"]);
        assert_eq!(list(b"").count(), 0);
    }

    #[test]
    fn decimals_are_digits_that_fit() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"007"), Some(7));
        for wrong in [&b""[..], b"18446744073709551616", b"+1", b"-1", b"1 ", b"0x1", b"1.0", b"\xb2"] {
            assert_eq!(decimal(wrong), None, "{wrong:?}");
        }
    }
}
