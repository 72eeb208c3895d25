//! What is wanted of caps beside `max_requests`.

/// Caps of a backend beside [`super::Backend::max_requests`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Most connections, idle ones included, over the whole process; at least 1; `None` is no cap.
    pub max_connections: Option<u32>,
}
