//! Characters and lists of RFC 9110, section 5.6, and RFC 3986, as tables and word-at-a-time tests.
//!
//! Owns what a byte may be used for; what a sequence of bytes means belongs to the modules that ask.

/// May stand in a token: methods, field names, options (RFC 9110, section 5.6.2).
const TOKEN: u8 = 1;
/// May stand in a request target: visible ASCII but `#`, which starts a fragment and is never sent (RFC 9112, section 3.2).
const TARGET: u8 = 2;
/// May stand in a path and needs no second look: not `?`, `%`, `\` and `.`.
const PLAIN_PATH: u8 = 4;
/// May stand in a registered name (RFC 3986, section 3.2.2) but for `%`, which hides other spellings of the same host,
/// and the comma, which joined field values have.
const HOST: u8 = 8;

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
pub(crate) fn is_token_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & TOKEN != 0
}

#[inline]
pub(crate) fn is_target_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & TARGET != 0
}

#[inline]
pub(crate) fn is_plain_path_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & PLAIN_PATH != 0
}

#[inline]
pub(crate) fn is_host_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & HOST != 0
}

/// Whether `bytes` is a token, which is never empty.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| is_token_byte(*b))
}

/// Where the token that starts at `at` ends: at the first byte that may not stand in one, or at the end of `buf`.
#[inline]
pub(crate) fn token_end(buf: &[u8], mut at: usize) -> usize {
    // Most names are letters and hyphens, which are told apart eight at a time; the rest is looked up.
    while let Some(word) = word_at(buf, at) {
        let stops = other_than_letters_and_hyphens(word);
        if stops != 0 {
            at += stops.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    while at < buf.len() && is_token_byte(buf[at]) {
        at += 1;
    }
    at
}

/// Where the text that starts at `at` ends: at the first control character but HTAB, or at the end of `buf`. Text is what
/// field values and reason phrases are made of: HTAB, SP, visible ASCII and bytes from 0x80 on (RFC 9110, section 5.5).
#[inline]
pub(crate) fn text_end(buf: &[u8], mut at: usize) -> usize {
    while let Some(word) = word_at(buf, at) {
        if is_printable_ascii(word) {
            at += 8;
            continue;
        }
        let stops = control_bytes(word);
        if stops == 0 {
            at += 8;
            continue;
        }
        at += stops.trailing_zeros() as usize / 8;
        if buf[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    while at < buf.len() && (buf[at] >= b' ' && buf[at] != 0x7f || buf[at] == b'\t') {
        at += 1;
    }
    at
}

/// The eight bytes at `at`, the first one lowest; none near the end.
#[inline]
fn word_at(buf: &[u8], at: usize) -> Option<u64> {
    buf.get(at..)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Every byte 1: times `x`, every byte `x`.
const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// Bit 7 of each byte of `word` that is no ASCII letter and no hyphen. No sum carries into the next byte.
#[inline]
fn other_than_letters_and_hyphens(word: u64) -> u64 {
    let lower = (word | (ONES * 0x20)) & (ONES * 0x7f);
    let from_a = lower + ONES * (0x80 - 0x61);
    let beyond_z = lower + ONES * (0x80 - 0x7b);
    let letter = from_a & !beyond_z & !word;
    let no_hyphen = word ^ (ONES * 0x2d);
    let no_hyphen = ((no_hyphen & (ONES * 0x7f)) + ONES * 0x7f) | no_hyphen;
    !letter & no_hyphen & (ONES * 0x80)
}

/// Whether all bytes of `word` are from 0x20 to 0x7e: the cheap question that most words of a value answer. A byte that
/// borrows or carries into the next one has bit 7 set itself, so that nothing slips through.
#[inline]
fn is_printable_ascii(word: u64) -> bool {
    (word.wrapping_sub(ONES * 0x20) | word.wrapping_add(ONES)) & (ONES * 0x80) == 0
}

/// Bit 7 of each byte of `word` that is below 0x20 or is 0x7f. A borrow may set it wrongly above a true hit, so only the
/// lowest is to be trusted.
#[inline]
fn control_bytes(word: u64) -> u64 {
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    let delete = word ^ (ONES * 0x7f);
    let delete = delete.wrapping_sub(ONES) & !delete;
    (low | delete) & (ONES * 0x80)
}

/// `bytes` without optional white space (SP, HTAB) around it.
#[inline]
pub(crate) fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
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
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_at_the_first_control_character_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255_u8 {
                    let mut buf = vec![b'x'; length];
                    buf[at] = byte;
                    let control = byte != b'\t' && (byte < 0x20 || byte == 0x7f);
                    assert_eq!(text_end(&buf, 0), if control { at } else { length }, "{byte:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn two_special_bytes_in_one_word_are_told_apart() {
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                let buf = [b'a', first, second, b'b', b'c', b'd', b'e', b'f'];
                let expected = buf.iter().position(|b| *b != b'\t' && (*b < 0x20 || *b == 0x7f)).unwrap_or(8);
                assert_eq!(text_end(&buf, 0), expected, "{first:#x} {second:#x}");
            }
        }
    }

    #[test]
    fn a_token_ends_at_the_first_other_byte_wherever_it_stands() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=255_u8 {
                    let mut buf = b"Ab-9zZ_aAb-zQz.Zz-Az"[..length].to_vec();
                    buf[at] = byte;
                    let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
                    assert_eq!(token_end(&buf, 0), if token { length } else { at }, "{byte:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn printable_words_are_told_from_all_others() {
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                let word = u64::from_le_bytes([b'a', first, second, b'~', b' ', first, b'z', second]);
                let printable = [first, second].iter().all(|b| (0x20..0x7f).contains(b));
                assert_eq!(is_printable_ascii(word), printable, "{first:#x} {second:#x}");
            }
        }
    }

    #[test]
    fn letters_and_hyphens_are_told_from_all_else_in_every_place() {
        for byte in 0..=255_u8 {
            for neighbour in [0, b'a', b'-', 0x7f, 0x80, 0xff] {
                let mut bytes = [neighbour; 8];
                bytes[3] = byte;
                let stops = other_than_letters_and_hyphens(u64::from_le_bytes(bytes)).to_le_bytes();
                assert_eq!(
                    stops[3] == 0,
                    byte.is_ascii_alphabetic() || byte == b'-',
                    "{byte:#x} beside {neighbour:#x}"
                );
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
