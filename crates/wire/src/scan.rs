//! Where names, values and targets end: the scans that meet every byte of a head.
//!
//! Owns speed. Most bytes are of the few kinds that can be told from all others eight or sixteen at a time; what may stand
//! where is said by [`crate::grammar`]. All are inlined: a scan is a few instructions, a call would be as many.

use crate::grammar::{after_target_bytes, is_text_byte};

/// What follows the letters and hyphens at the front of `bytes`, of which most field names are made, or what follows all
/// but the last seven of them.
#[inline(always)]
pub(crate) fn after_letters_and_hyphens(bytes: &[u8]) -> &[u8] {
    after_usual(bytes, Part::Name).unwrap_or_else(|last| last)
}

/// What follows some bytes at the front of `bytes` that a path may be made of and that need no second look: most of them.
#[inline(always)]
pub(crate) fn after_plain_path(bytes: &[u8]) -> &[u8] {
    after_usual(bytes, Part::Path).unwrap_or_else(|last| last)
}

/// What follows the bytes of a request target at the front of `bytes`.
#[inline(always)]
pub(crate) fn after_target(bytes: &[u8]) -> &[u8] {
    after_usual(bytes, Part::Target).unwrap_or_else(after_target_bytes)
}

/// What follows the printable ASCII at the front of `bytes`.
#[inline(always)]
pub(crate) fn after_printable_ascii(mut bytes: &[u8]) -> &[u8] {
    // A fold does not stop early, so that the compiler compares sixteen bytes at once.
    while let Some((chunk, rest)) = bytes.split_first_chunk::<16>()
        && !chunk.iter().fold(false, |any, b| any | !is_printable_ascii(*b))
    {
        bytes = rest;
    }
    after_usual(bytes, Part::Value).unwrap_or_else(|mut last| {
        while let [byte, rest @ ..] = last
            && is_printable_ascii(*byte)
        {
            last = rest;
        }
        last
    })
}

/// What follows the text at the front of `bytes`, which ends at the first control character but HTAB.
#[inline(always)]
pub(crate) fn after_text(bytes: &[u8]) -> &[u8] {
    match after_printable_ascii(bytes) {
        end @ [b'\r', ..] => end,
        rest => after_other_text(rest),
    }
}

#[inline(never)]
fn after_other_text(mut bytes: &[u8]) -> &[u8] {
    while let Some((chunk, rest)) = bytes.split_first_chunk::<16>()
        && chunk.iter().fold(true, |all, b| all & is_text_byte(*b))
    {
        bytes = rest;
    }
    while let [byte, rest @ ..] = bytes
        && is_text_byte(*byte)
    {
        bytes = rest;
    }
    bytes
}

/// Moved so that SP is the least signed number: one comparison is enough.
#[inline(always)]
fn is_printable_ascii(byte: u8) -> bool {
    const MOVE: u8 = 0x80 - b' ';
    byte.wrapping_add(MOVE).cast_signed() <= (b'~' + MOVE).cast_signed()
}

/// Parts of a head that have their own usual bytes.
#[derive(Clone, Copy)]
enum Part {
    /// Letters and hyphens.
    Name,
    /// Letters, digits, `-`, `/`, `_`, `~` and some less common ones.
    Path,
    /// Visible ASCII but `#`.
    Target,
    /// Printable ASCII.
    Value,
}

/// What follows the usual bytes at the front of `bytes`; an error if the whole words hold nothing else: what follows
/// them, less than a word.
#[inline(always)]
fn after_usual(mut bytes: &[u8], part: Part) -> Result<&[u8], &[u8]> {
    while let Some((word, rest)) = bytes.split_first_chunk::<8>() {
        let others = unusual(part, u64::from_le_bytes(*word));
        if others != 0 {
            return Ok(&bytes[others.trailing_zeros() as usize / 8..]);
        }
        bytes = rest;
    }
    Err(bytes)
}

/// Every byte 1: times `x`, every byte `x`.
const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// Bit 7 of each unusual byte of `word`. Only the lowest is to be trusted: an unusual byte may carry into the next one.
#[inline(always)]
fn unusual(part: Part, word: u64) -> u64 {
    let found = match part {
        Part::Name => other_than_letters(word) & other_than_hyphens(word) | word,
        Part::Path => outside(word, b'-') | equal(word, b'.') | equal(word, b'?') | equal(word, b'\\'),
        Part::Target => outside(word, b'!') | equal(word, b'#'),
        Part::Value => outside(word, b' '),
    };
    found & (ONES * 0x80)
}

/// In bit 7, for ASCII: from `a` on that of the first sum is set, up to `z` that of the second as well.
#[inline(always)]
fn other_than_letters(word: u64) -> u64 {
    let lower = word | (ONES * 0x20);
    lower.wrapping_add(ONES * (0x80 - 0x61)) ^ lower.wrapping_add(ONES * (0x100 - 0x7b))
}

/// In bit 7, for ASCII.
#[inline(always)]
fn other_than_hyphens(word: u64) -> u64 {
    (word ^ (ONES * 0x2d)).wrapping_add(ONES * 0x7f)
}

/// In bit 7: bytes that are not from `first` to `~`.
#[inline(always)]
fn outside(word: u64, first: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(first)) | word.wrapping_add(ONES)
}

/// In bit 7: bytes that are `byte`, and some that are not ASCII.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::{after_token, is_plain_path_byte};

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
    fn targets_and_printable_ascii_end_at_the_first_other_byte_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255_u8 {
                    let mut buf = vec![b'x'; length];
                    buf[at] = byte;
                    let end = |fine: bool| if fine { length } else { at };
                    let (printable, target) = (is_usual(Part::Value, byte), is_usual(Part::Target, byte));
                    let found = (length - after_printable_ascii(&buf).len(), length - after_target(&buf).len());
                    assert_eq!(found, (end(printable), end(target)), "{byte:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn the_first_unusual_byte_of_a_word_is_found_whatever_follows_it() {
        for part in [Part::Name, Part::Path, Part::Target, Part::Value] {
            for (at, usual) in [(0, b'a'), (0, b'-'), (3, b'a'), (3, b'-'), (6, b'z'), (6, b'-')] {
                for first in 0..=255_u8 {
                    for second in 0..=255_u8 {
                        let mut word = [usual; 8];
                        (word[at], word[at + 1]) = (first, second);
                        let expected = word.iter().position(|byte| !is_usual(part, *byte)).unwrap_or(8);
                        let found = unusual(part, u64::from_le_bytes(word)).trailing_zeros() as usize / 8;
                        assert_eq!(found, expected, "{word:x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn usual_bytes_of_paths_are_plain_ones() {
        assert!((0..=255).all(|byte| is_plain_path_byte(byte) || !is_usual(Part::Path, byte)));
    }

    fn is_usual(part: Part, byte: u8) -> bool {
        match part {
            Part::Name => byte.is_ascii_alphabetic() || byte == b'-',
            Part::Path => matches!(byte, b'-'..=b'~') && !matches!(byte, b'.' | b'?' | b'\\'),
            Part::Target => byte.is_ascii_graphic() && byte != b'#',
            Part::Value => byte.is_ascii_graphic() || byte == b' ',
        }
    }
}
