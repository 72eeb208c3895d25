//! Elements of DER (X.690): tag, length, content.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OBJECT_ID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const CONTEXT: u8 = 0x80;

/// The tag of a constructed element that its context numbers.
pub(super) const fn context(number: u8) -> u8 {
    CONTEXT | 0x20 | number
}

/// The tag of a primitive element that its context numbers.
pub(super) const fn context_bits(number: u8) -> u8 {
    CONTEXT | number
}

/// Elements, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element: its tag and content.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, whole, head) = self.peek()?;
        self.0 = &self.0[whole..];
        Some((tag, head))
    }

    /// The tag, the length of the whole element, and its content.
    fn peek(&self) -> Option<(u8, usize, &'a [u8])> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            // Four bytes are more than any certificate has.
            long @ 0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let content = rest.get(..length)?;
        Some((*tag, self.0.len() - rest.len() + length, content))
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.optional(tag)
    }

    /// The content of the next element if it has this tag; else nothing is taken.
    pub(super) fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, whole, content) = self.peek()?;
        (found == tag).then(|| {
            self.0 = &self.0[whole..];
            content
        })
    }

    /// The next element with its tag and length.
    pub(super) fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, whole, _) = self.peek()?;
        let (element, rest) = self.0.split_at_checked(whole)?;
        (found == tag).then(|| {
            self.0 = rest;
            element
        })
    }

    pub(super) fn sequence(&mut self) -> Option<Self> {
        self.expect(SEQUENCE).map(Self)
    }
}

/// The bytes of a number that is not negative, without leading zeros.
pub(super) fn unsigned(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    &integer[zeros.min(integer.len().saturating_sub(1))..]
}
