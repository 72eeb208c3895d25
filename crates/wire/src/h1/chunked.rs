//! The chunked transfer coding (RFC 9112, section 7.1): a decoder that never copies, and the encoder's lines.

/// What the decoder found at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Skip `skip` bytes of framing; then `data` bytes of body follow (more of the same chunk may come later).
    Data {
        /// Bytes of framing before the data.
        skip: usize,
        /// Bytes of body.
        data: usize,
    },
    /// `used` bytes of framing are consumed; more input is needed.
    More {
        /// Bytes consumed.
        used: usize,
    },
    /// The body ends after `used` bytes. If `trailers` is not empty it is the range within the input, relative to its
    /// start, that holds the trailer field lines, each ended by CRLF, without the final empty line.
    End {
        /// Bytes consumed, the final CRLF included.
        used: usize,
        /// Where the trailer section is.
        trailers: (usize, usize),
    },
}
