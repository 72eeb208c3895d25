//! Integers with a prefix (RFC 7541, section 5.1).

use super::CompressionError;

/// Bytes that may follow a full prefix: enough for numbers below 2^28 and a prefix, far above any length or index here.
const MAX_CONTINUATION_BYTES: usize = 4;

/// Reads the integer whose prefix is the low `PREFIX` bits of `block[at]`; moves `at` behind it.
#[inline(always)]
pub(super) fn read<const PREFIX: u8>(block: &[u8], at: &mut usize) -> Result<usize, CompressionError> {
    let largest = (1_usize << PREFIX) - 1;
    let Some(first) = block.get(*at) else { return Err(CompressionError("header block ends within an integer")) };
    *at += 1;
    let value = usize::from(*first) & largest;
    if value < largest { Ok(value) } else { read_rest(block, at, value) }
}

#[inline(never)]
fn read_rest(block: &[u8], at: &mut usize, prefix: usize) -> Result<usize, CompressionError> {
    let mut value = prefix;
    for place in 0..MAX_CONTINUATION_BYTES {
        let Some(byte) = block.get(*at) else { return Err(CompressionError("header block ends within an integer")) };
        *at += 1;
        value += usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(CompressionError("integer too large in a header block"))
}

/// Writes an integer behind a prefix of `PREFIX` bits; `first` holds the other bits of the first byte.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "each byte takes the bits that it has room for")]
pub(super) fn put<const PREFIX: u8>(out: &mut Vec<u8>, first: u8, value: usize) {
    let largest = (1_usize << PREFIX) - 1;
    if value < largest {
        out.push(first | value as u8);
        return;
    }
    out.push(first | largest as u8);
    let mut rest = value - largest;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7541_c_1_examples() {
        let mut out = Vec::new();
        put::<5>(&mut out, 0, 10);
        put::<5>(&mut out, 0, 1337);
        put::<8>(&mut out, 0, 42);
        assert_eq!(out, [0x0a, 0x1f, 0x9a, 0x0a, 0x2a]);
        let mut at = 0;
        assert_eq!(read::<5>(&out, &mut at), Ok(10));
        assert_eq!(read::<5>(&out, &mut at), Ok(1337));
        assert_eq!(read::<8>(&out, &mut at), Ok(42));
        assert_eq!(at, out.len());
    }

    #[test]
    fn what_is_written_is_read() {
        for value in (0..600).chain([16_383, 16_384, 65_535, 1 << 20, (1 << 28) - 1]) {
            let mut out = Vec::new();
            put::<4>(&mut out, 0x10, value);
            put::<7>(&mut out, 0x80, value);
            let mut at = 0;
            assert_eq!(read::<4>(&out, &mut at), Ok(value));
            assert_eq!(read::<7>(&out, &mut at), Ok(value));
            assert_eq!(at, out.len());
        }
    }

    #[test]
    fn numbers_that_do_not_end_are_refused() {
        for wrong in [&b""[..], b"\xff", b"\xff\x80", b"\xff\x80\x80\x80\x80\x01", b"\xff\xff\xff\xff\xff\xff\xff"] {
            assert!(read::<7>(wrong, &mut 0).is_err(), "{wrong:?}");
        }
    }
}
