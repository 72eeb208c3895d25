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

/// What follows the bytes at the front of `bytes` that may stand in a registered name.
#[inline]
pub(crate) fn after_host_bytes(bytes: &[u8]) -> &[u8] {
    after_class(bytes, HOST)
}

/// What follows the bytes of a request target at the front of `bytes`.
#[inline(always)]
pub(crate) fn after_target_bytes(bytes: &[u8]) -> &[u8] {
    after_common(bytes, Common::Target).unwrap_or_else(|last| after_class(last, TARGET))
}

/// What follows the bytes of a class at the front of `bytes`.
#[inline(always)]
fn after_class(mut bytes: &[u8], class: u8) -> &[u8] {
    while let Some((four, rest)) = bytes.split_first_chunk::<4>() {
        if four.iter().fold(class, |all, b| all & CLASSES[*b as usize]) == 0 {
            break;
        }
        bytes = rest;
    }
    while let [byte, rest @ ..] = bytes
        && CLASSES[*byte as usize] & class != 0
    {
        bytes = rest;
    }
    bytes
}

/// Bytes that are told from others a word at a time.
#[derive(Clone, Copy)]
enum Common {
    /// Letters and hyphens.
    Name,
    /// Letters, digits, `-`, `/`, `_`, `~` and some less common ones.
    Path,
    /// Visible ASCII but `#`.
    Target,
    /// Printable ASCII.
    Value,
}

/// What follows the common bytes at the front of `bytes`; an error if that is not within its whole words: then what
/// follows them, to be looked at byte by byte.
#[inline(always)]
fn after_common(mut bytes: &[u8], common: Common) -> Result<&[u8], &[u8]> {
    while let Some((word, rest)) = bytes.split_first_chunk::<8>() {
        let others = others_than(common, u64::from_le_bytes(*word));
        if others != 0 {
            return Ok(&bytes[others.trailing_zeros() as usize / 8..]);
        }
        bytes = rest;
    }
    Err(bytes)
}

/// Bit 7 of each byte of `word` that is not common; only the lowest is to be trusted, as it may carry into the next.
#[inline(always)]
fn others_than(common: Common, word: u64) -> u64 {
    match common {
        Common::Name => other_than_letters_and_hyphens(word),
        Common::Path => other_than_common_path_bytes(word),
        Common::Target => other_than_target_bytes(word),
        Common::Value => other_than_printable_ascii(word),
    }
}

/// What follows the letters and hyphens at the front of `bytes`, or at least what follows all but the last seven of them:
/// the quick way to the end of most names.
#[inline(always)]
pub(crate) fn after_letters_and_hyphens(bytes: &[u8]) -> &[u8] {
    after_common(bytes, Common::Name).unwrap_or_else(|last| last)
}

/// What follows the bytes at the front of `bytes` that most paths are made of, or at least the first few of them: a
/// quick way from one byte that needs a look to the next.
#[inline(always)]
pub(crate) fn after_common_path_bytes(bytes: &[u8]) -> &[u8] {
    after_common(bytes, Common::Path).unwrap_or_else(|last| last)
}

/// What follows the printable ASCII at the front of `bytes`.
#[inline(always)]
pub(crate) fn after_printable_ascii(mut bytes: &[u8]) -> &[u8] {
    while let Some((chunk, rest)) = bytes.split_first_chunk::<16>() {
        // No early return, so that the compiler compares all of them at once.
        if chunk.iter().fold(false, |any, b| any | !is_printable_ascii(*b)) {
            break;
        }
        bytes = rest;
    }
    after_common(bytes, Common::Value).unwrap_or_else(|mut last| {
        while let [b' '..=b'~', rest @ ..] = last {
            last = rest;
        }
        last
    })
}

/// One comparison, as the signed number after that of `~` is negative.
#[inline(always)]
fn is_printable_ascii(byte: u8) -> bool {
    byte.wrapping_add(0x60).cast_signed() <= (0x60 + b'~').cast_signed()
}

/// What follows the text at the front of `bytes`, which ends at the first control character but HTAB. Text is what field
/// values and reason phrases are made of: HTAB, SP, visible ASCII and bytes from 0x80 on (RFC 9110, section 5.5).
#[inline(always)]
pub(crate) fn after_text(bytes: &[u8]) -> &[u8] {
    match after_printable_ascii(bytes) {
        end @ [b'\r', ..] => end,
        other => after_other_text(other),
    }
}

#[inline(never)]
fn after_other_text(mut bytes: &[u8]) -> &[u8] {
    let is_text = |byte: u8| (byte >= b' ') & (byte != 0x7f) | (byte == b'\t');
    while let Some((chunk, rest)) = bytes.split_first_chunk::<16>() {
        if !chunk.iter().fold(true, |all, b| all & is_text(*b)) {
            break;
        }
        bytes = rest;
    }
    while let [byte, rest @ ..] = bytes
        && is_text(*byte)
    {
        bytes = rest;
    }
    bytes
}

/// Every byte 1: times `x`, every byte `x`.
const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// Bit 7 of each byte of `word` that is no letter and no hyphen; only the lowest is to be trusted.
#[inline(always)]
fn other_than_letters_and_hyphens(word: u64) -> u64 {
    let lower = word | (ONES * 0x20);
    // From `a` on, bit 7 of the first sum is set; from `{` on, that of the second is not any more.
    let no_letter = lower.wrapping_add(ONES * (0x80 - 0x61)) ^ lower.wrapping_add(ONES * (0x100 - 0x7b));
    let no_hyphen = (word ^ (ONES * 0x2d)).wrapping_add(ONES * 0x7f);
    (no_letter & no_hyphen | word) & (ONES * 0x80)
}

/// Bit 7 of each byte of `word` that is not from 0x20 to 0x7e. A borrow or a carry may set it wrongly above a true hit, so
/// only the lowest is to be trusted.
#[inline]
fn other_than_printable_ascii(word: u64) -> u64 {
    other_than_range(word, b' ') & (ONES * 0x80)
}

/// Bit 7 of each byte of `word` that may not stand in a request target; only the lowest is to be trusted.
#[inline]
fn other_than_target_bytes(word: u64) -> u64 {
    (other_than_range(word, b'!') | equal(word, b'#')) & (ONES * 0x80)
}

/// Bit 7 of each byte of `word` but of letters, digits, `-`, `/`, `_`, `~` and some less common ones of paths; only the
/// lowest is to be trusted.
#[inline]
fn other_than_common_path_bytes(word: u64) -> u64 {
    let special = equal(word, b'.') | equal(word, b'?') | equal(word, b'\\');
    (other_than_range(word, b'-') | special) & (ONES * 0x80)
}

/// In bit 7: the bytes that are not from `first` to 0x7e, up to the first one.
#[inline]
fn other_than_range(word: u64, first: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(first)) | word.wrapping_add(ONES)
}

/// In bit 7: the bytes that are equal to `byte`, up to the first one, and those above 0x80.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES)
}

/// Whether `text` is the word `lower`, which is of letters, digits and hyphens, none of them upper case; compared without
/// case. Setting bit 5 lowers letters; the only other bytes that it could turn into such a character are control
/// characters, which no text has.
#[inline(always)]
pub(crate) fn is_word(text: &[u8], lower: &[u8]) -> bool {
    text.len() == lower.len()
        && match lower.len() {
            // Pieces that overlap are cheaper than bytes one by one.
            8.. => {
                let same = |at: usize| word_at(text, at) | (ONES * 0x20) == word_at(lower, at);
                same(0) && same(lower.len() - 8) && (lower.len() <= 16 || same(8))
            }
            4..8 => {
                let same = |at: usize| half_word_at(text, at) | 0x2020_2020 == half_word_at(lower, at);
                same(0) && same(lower.len() - 4)
            }
            _ => text.iter().zip(lower).all(|(a, b)| a | 0x20 == *b),
        }
}

#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

#[inline(always)]
fn half_word_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
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
    fn text_ends_at_the_first_control_character_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255_u8 {
                    let mut buf = vec![b'x'; length];
                    buf[at] = byte;
                    let control = byte != b'\t' && (byte < 0x20 || byte == 0x7f);
                    let end = length - after_text(&buf).len();
                    assert_eq!(end, if control { at } else { length }, "{byte:#x} at {at} of {length}");
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
                assert_eq!(buf.len() - after_text(&buf).len(), expected, "{first:#x} {second:#x}");
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
                    let expected = if token { length } else { at };
                    let quickly = after_letters_and_hyphens(&buf);
                    assert_eq!(length - after_token(&buf).len(), expected, "{byte:#x} at {at} of {length}");
                    assert_eq!(length - after_token(quickly).len(), expected, "{byte:#x} at {at} of {length}");
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
                assert_eq!(other_than_printable_ascii(word) == 0, printable, "{first:#x} {second:#x}");
            }
        }
    }

    #[test]
    fn letters_and_hyphens_are_told_from_all_else_in_every_place() {
        for byte in 0..=255_u8 {
            for neighbour in [0, b'a', b'-', 0x7f, 0x80, 0xff] {
                for at in 0..8 {
                    let mut bytes = *b"aZ-zA-bz";
                    bytes[at..].fill(neighbour);
                    bytes[at] = byte;
                    let stops = other_than_letters_and_hyphens(u64::from_le_bytes(bytes)).to_le_bytes();
                    assert_eq!(stops[..at], [0; 8][..at], "before {byte:#x} at {at}");
                    let fine = byte.is_ascii_alphabetic() || byte == b'-';
                    assert_eq!(stops[at] == 0, fine, "{byte:#x} at {at} before {neighbour:#x}");
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
