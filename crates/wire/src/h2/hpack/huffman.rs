//! The Huffman code of RFC 7541, appendix B.
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and longer ones follow
//! shorter ones. So the lengths say all of it, and the tables here are made from them while compiling.

use super::CompressionError;

/// Bits of the code of each byte, then of the end-of-string symbol, which may not occur.
#[rustfmt::skip]
static LENGTHS: [u8; 257] = LENGTH_TABLE;
#[rustfmt::skip]
const LENGTH_TABLE: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const SYMBOLS: usize = 257;
const LONGEST: usize = 30;
/// Bits that are looked up at once; codes of two frequent bytes fit.
const FAST_BITS: u32 = 10;

/// What the next bits hold: one or two whole codes, or none where the first is longer than [`FAST_BITS`].
#[derive(Clone, Copy)]
struct Fast {
    bytes: [u8; 2],
    /// How many of them; 0 if the first code is a long one.
    count: u8,
    /// Bits of their codes.
    bits: u8,
}

/// The codes of one length.
#[derive(Clone, Copy)]
struct Length {
    /// One past the last code, moved to the top of 32 bits: what is below has this length or a shorter one.
    end: u64,
    /// The first code.
    first: u32,
    /// Where its symbol is in [`Tables::order`].
    at: u16,
}

struct Tables {
    fast: [Fast; 1 << FAST_BITS],
    lengths: [Length; LONGEST + 1],
    /// The symbols in the order of their codes.
    order: [u16; SYMBOLS],
    codes: [u32; SYMBOLS],
}

static TABLES: Tables = tables();

#[expect(clippy::cast_possible_truncation, reason = "symbols and lengths are small")]
const fn tables() -> Tables {
    let mut made = Tables {
        fast: [Fast { bytes: [0; 2], count: 0, bits: 0 }; 1 << FAST_BITS],
        lengths: [Length { end: 0, first: 0, at: 0 }; LONGEST + 1],
        order: [0; SYMBOLS],
        codes: [0; SYMBOLS],
    };
    let (mut code, mut placed, mut bits) = (0_u32, 0, 1);
    while bits <= LONGEST {
        code <<= 1;
        made.lengths[bits].first = code;
        made.lengths[bits].at = placed as u16;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTH_TABLE[symbol] as usize == bits {
                made.codes[symbol] = code;
                made.order[placed] = symbol as u16;
                placed += 1;
                code += 1;
            }
            symbol += 1;
        }
        made.lengths[bits].end = (code as u64) << (32 - bits);
        bits += 1;
    }
    fill_fast(&mut made);
    made
}

#[expect(clippy::cast_possible_truncation, reason = "only bytes have codes so short")]
const fn fill_fast(made: &mut Tables) {
    let mut bits = 0;
    while bits < 1 << FAST_BITS {
        let window = (bits as u64) << (32 - FAST_BITS);
        let mut length = 1;
        while length <= FAST_BITS && window >= made.lengths[length as usize].end {
            length += 1;
        }
        if length <= FAST_BITS {
            let first = symbol(made, window, length);
            let (rest, mut more) = ((window << length) & 0xffff_ffff, 1);
            while length + more <= FAST_BITS && rest >= made.lengths[more as usize].end {
                more += 1;
            }
            let fits = length + more <= FAST_BITS;
            made.fast[bits] = Fast {
                bytes: [first as u8, if fits { symbol(made, rest, more) as u8 } else { 0 }],
                count: if fits { 2 } else { 1 },
                bits: if fits { length + more } else { length } as u8,
            };
        }
        bits += 1;
    }
}

/// The symbol whose code of `length` bits is at the top of `window`.
#[expect(clippy::cast_possible_truncation, reason = "a code has thirty bits at most")]
const fn symbol(tables: &Tables, window: u64, length: u32) -> u16 {
    let row = &tables.lengths[length as usize];
    tables.order[row.at as usize + ((window >> (32 - length)) as usize - row.first as usize)]
}

/// Lookups between two refills of the window, which holds more than 32 bits after one.
const LOOKUPS: usize = 3;
/// Bytes that so many lookups may write, and some more that they do not keep.
const PIECE_BYTES: usize = 8;

/// Appends what `code` stands for to `out`.
pub(super) fn decode(code: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    // No code has fewer than five bits.
    let start = out.len();
    out.resize(start + code.len() * 8 / 5 + PIECE_BYTES, 0);
    let length = Bits { window: 0, have: 0, rest: code }.decode(&mut out[start..]);
    out.truncate(start + length.unwrap_or(0));
    if length.is_some() { Ok(()) } else { Err(CompressionError("invalid Huffman code in a header block")) }
}

/// Code that is read bit by bit.
struct Bits<'a> {
    /// The next bits, from the top.
    window: u64,
    /// How many of them are there.
    have: u32,
    rest: &'a [u8],
}

impl Bits<'_> {
    /// Returns how many bytes were written, or none if the code is wrong.
    #[inline]
    fn decode(mut self, out: &mut [u8]) -> Option<usize> {
        let mut length = 0;
        while let Some((four, rest)) = self.rest.split_first_chunk::<4>() {
            if self.have <= 32 {
                self.window |= u64::from(u32::from_be_bytes(*four)) << (32 - self.have);
                (self.have, self.rest) = (self.have + 32, rest);
            }
            length += self.look_up(out.get_mut(length..)?.first_chunk_mut()?)?;
        }
        self.decode_end(out, length)
    }

    /// Decodes the next few codes, all of whose bits are there. Returns how many bytes were written.
    #[inline(always)]
    fn look_up(&mut self, piece: &mut [u8; PIECE_BYTES]) -> Option<usize> {
        let mut length = 0;
        for _ in 0..LOOKUPS {
            let fast = TABLES.fast[(self.window >> (64 - FAST_BITS)) as usize];
            let count = usize::from(fast.count);
            if count == 0 {
                let (byte, bits) = long(self.window)?;
                // A code of 30 bits may not be there whole after other lookups: it is met again first of all.
                if bits <= self.have {
                    piece[length % PIECE_BYTES] = byte;
                    length += 1;
                    self.pass(bits);
                }
                break;
            }
            piece[length % PIECE_BYTES] = fast.bytes[0];
            piece[(length + 1) % PIECE_BYTES] = fast.bytes[1];
            length += count;
            self.pass(u32::from(fast.bits));
        }
        Some(length)
    }

    #[inline(always)]
    fn pass(&mut self, bits: u32) {
        self.window <<= bits;
        self.have -= bits;
    }

    /// Decodes what is left when there are fewer than four bytes more, code by code.
    #[inline]
    fn decode_end(mut self, out: &mut [u8], mut length: usize) -> Option<usize> {
        loop {
            while self.have <= 56
                && let Some((byte, rest)) = self.rest.split_first()
            {
                self.window |= u64::from(*byte) << (56 - self.have);
                (self.have, self.rest) = (self.have + 8, rest);
            }
            let fast = TABLES.fast[(self.window >> (64 - FAST_BITS)) as usize];
            let (byte, bits) = match fast.count {
                0 => long(self.window)?,
                _ => (fast.bytes[0], u32::from(LENGTHS[usize::from(fast.bytes[0])])),
            };
            if bits > self.have {
                // RFC 7541, section 5.2: the end is filled with the first bits, all ones, of the end-of-string code;
                // fewer than eight of them.
                let have = self.have;
                let filled = have < 8 && (have == 0 || self.window >> (64 - have) == (1 << have) - 1);
                return filled.then_some(length);
            }
            *out.get_mut(length)? = byte;
            length += 1;
            self.pass(bits);
        }
    }
}

/// The long code at the top of `window`: its byte and its bits. None for the end-of-string symbol, which has so many ones
/// that no filling looks like it.
#[inline(never)]
fn long(window: u64) -> Option<(u8, u32)> {
    let top = window >> 32;
    let bits = (FAST_BITS + 1..=30).find(|bits| top < TABLES.lengths[*bits as usize].end)?;
    let symbol = symbol(&TABLES, top, bits);
    // The end-of-string symbol is none.
    Some((u8::try_from(symbol).ok()?, bits))
}

/// Bytes that `text` takes when it is encoded.
#[inline]
pub(super) fn encoded_bytes(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

/// Appends the code of `text`.
#[expect(clippy::cast_possible_truncation, reason = "whole bytes are cut off the top")]
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut window, mut have) = (0_u64, 0);
    for byte in text {
        let bits = u32::from(LENGTHS[usize::from(*byte)]);
        window = window << bits | u64::from(TABLES.codes[usize::from(*byte)]);
        have += bits;
        if have >= 32 {
            out.extend_from_slice(&((window >> (have - 32)) as u32).to_be_bytes());
            have -= 32;
        }
    }
    while have >= 8 {
        have -= 8;
        out.push((window >> have) as u8);
    }
    if have > 0 {
        out.push((window << (8 - have)) as u8 | (0xff >> have) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_complete() {
        assert_eq!(TABLES.lengths[LONGEST].end, 1 << 32);
        assert_eq!(TABLES.codes[usize::from(b'0')], 0);
        assert_eq!(TABLES.codes[256], 0x3fff_ffff);
        assert_eq!((TABLES.codes[10], LENGTHS[10]), (0x3fff_fffc, 30));
    }

    #[test]
    fn every_pair_of_bytes_survives() {
        for first in 0..=255 {
            for second in 0..=255 {
                let text = [first, second, b'a', first];
                let mut code = Vec::new();
                encode(&text, &mut code);
                assert_eq!(code.len(), encoded_bytes(&text));
                let mut back = b"x".to_vec();
                decode(&code, &mut back).expect("it was just made");
                assert_eq!(back[1..], text);
            }
        }
    }

    #[test]
    fn long_texts_of_short_and_long_codes_survive() {
        for step in 1..97_usize {
            let text: Vec<_> = (0..900).map(|at| u8::try_from(at * step % 256).expect("a byte")).collect();
            for length in [0, 1, 2, 3, 5, 8, 13, 100, 900] {
                let mut code = Vec::new();
                encode(&text[..length], &mut code);
                let mut back = Vec::new();
                decode(&code, &mut back).expect("it was just made");
                assert_eq!(back, text[..length]);
            }
        }
    }

    #[test]
    fn rfc7541_5_2_wrong_fillings_are_refused() {
        let decoded = |code: &[u8]| decode(code, &mut Vec::new());
        // '0' is 00000, so that three bits are left.
        assert!(decoded(&[0b0000_0111]).is_ok());
        for wrong in
            [&[0b0000_0000][..], &[0b0000_0110], &[0b0000_0111, 0xff], &[0xff], &[0xff; 4], &[0xff; 8], &[0xff; 99]]
        {
            assert!(decoded(wrong).is_err(), "{wrong:x?}");
        }
        // The whole end-of-string symbol after 'a' (00011).
        assert!(decoded(&[0b0001_1111, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(decoded(&[]).is_ok());
    }
}
