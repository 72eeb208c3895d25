//! What is kept of bodies so that slow clients do not hold a backend.

/// `buffer` of a route; all zero is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    /// Bytes of a request body that are read before a backend is asked.
    pub request: usize,
    /// What becomes of a larger one.
    pub beyond: Beyond,
    /// Bytes of an answer that are read ahead of a client that does not take them as fast as they come.
    pub response: usize,
}

/// What becomes of a request body that is larger than the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beyond {
    /// It goes to the backend as it comes.
    #[default]
    Stream,
    /// It is refused.
    Refuse,
}
