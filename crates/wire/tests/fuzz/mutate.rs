//! Mutations of a corpus from a fixed seed.

/// What breaks parsers more often than random bytes do.
const WORDS: [&[u8]; 56] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\t",
    b":",
    b"\0",
    b",",
    b";",
    b"=",
    b"\x7f",
    b"\xff",
    b"0",
    b"0\r\n\r\n",
    b"5\r\n",
    b"ffffffffffffffff",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"chunked",
    b"gzip",
    b"Connection: close\r\n",
    b"Connection: upgrade, x\r\n",
    b"Upgrade: h2c\r\n",
    b"Host: b\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"HEAD ",
    b"http://a",
    b"*",
    b"?",
    b"#",
    b"/../",
    b"/./",
    b"%2e",
    b"%00",
    b"\\",
    b"[::1]",
    b"PROXY ",
    b"\r\n\r\n\0\r\nQUIT\n",
    b"\x03\0\x04",
    b"\0\0\x04\x01\x05\0\0\0\x01\x82\x86\x84\x41",
    b"\0\0\0\x01\x04\0\0\0\x03",
    b"\0\0\x01\x09\x04\0\0\0\x01\x82",
    b"\0\0\x02\0\x01\0\0\0\x01hi",
    b"\0\0\x03\0\x08\0\0\0\x01\x01x\0",
    b"\0\0\x04\x08\0\0\0\0\x01\0\0\x10\0",
    b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
    b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\x05",
    b"\x82\x87\x84\x41\x01a",
    b"\x88\x5c\x01\x30",
    b"\xbe",
    b"\x40\x01x\x01y",
];

/// Longer inputs only repeat what shorter ones say.
const MAX_BYTES: usize = 12 * 1024;

/// An endless source of inputs.
pub(crate) struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    state: u64,
}

impl<'a> Mutator<'a> {
    /// The same inputs for the same corpus.
    pub(crate) fn new(corpus: &'a [Vec<u8>]) -> Self {
        Self { corpus, state: 1 }
    }

    /// One input of the corpus with a few changes.
    pub(crate) fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.pick().clone();
        for _ in 0..=self.below(4) {
            self.change(&mut input);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let start = self.below(input.len() + 1);
        let end = start + self.below(input.len() - start + 1).min(1 << self.below(12));
        match self.below(8) {
            0 => input.truncate(end),
            1 => drop(input.drain(start..end)),
            2 if start < input.len() => input[start] ^= 1 << self.below(8),
            3 if start < input.len() => input[start] = self.byte(),
            4 => {
                let again = input[start..end].to_vec();
                input.splice(start..start, again);
            }
            5 => {
                let other = self.pick();
                input.truncate(start);
                input.extend_from_slice(&other[self.below(other.len() + 1)..]);
            }
            6 => drop(input.splice(start..end.min(start + 4), self.word().iter().copied())),
            _ => drop(input.splice(start..start, self.word().iter().copied())),
        }
    }

    fn pick(&mut self) -> &'a Vec<u8> {
        let corpus = self.corpus;
        &corpus[self.below(corpus.len())]
    }

    fn word(&mut self) -> &'static [u8] {
        WORDS[self.below(WORDS.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    /// A Weyl sequence whose terms are scrambled by multiplications.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ mixed >> 32
    }
}
