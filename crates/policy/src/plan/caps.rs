//! What is wanted of caps beside `max_requests`.

/// Caps of a backend beside [`super::Backend::max_requests`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Most connections, idle ones included, over the whole process; at least 1; `None` is no cap.
    pub max_connections: Option<u32>,
    /// The cap on running requests is found at run time, in place of [`super::Backend::max_requests`].
    pub adaptive: Option<Adaptive>,
}

/// Between what a cap that is found at run time may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adaptive {
    /// Least; at least 1.
    pub min: u32,
    /// Most; not below `min`.
    pub max: u32,
}
