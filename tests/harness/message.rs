//! An HTTP/1 message as it came over the wire, read by rules of its own: this reader must not share a mistake with the
//! balancer's.

use std::fmt;

/// Bytes for people.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A request or an answer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Start line and field lines, without the empty line.
    pub(crate) head: String,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
    /// Trailer field lines.
    pub(crate) trailers: Vec<String>,
}

impl Message {
    pub(crate) fn new(head: String) -> Self {
        Self { head, body: Vec::new(), trailers: Vec::new() }
    }

    pub(crate) fn start_line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    /// The target of a request.
    pub(crate) fn target(&self) -> &str {
        self.start_line().split(' ').nth(1).unwrap_or_default()
    }

    /// The status of an answer; 0 when there is none.
    pub(crate) fn status(&self) -> u16 {
        self.start_line().split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// All field lines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
    }

    /// The values of all fields of this name.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.lines().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// The value of a field that must be there once.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> &str {
        let values = self.values(name);
        assert_eq!(values.len(), 1, "{name} should be there once in {self:?}");
        values[0]
    }

    pub(crate) fn body_text(&self) -> String {
        text(&self.body)
    }

    /// Whether one of a field's comma-separated items is this one.
    pub(crate) fn lists(&self, name: &str, item: &str) -> bool {
        self.values(name).iter().flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(item))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.body.len().min(200);
        write!(f, "\n{}\n\n{} ({} bytes)", self.head, text(&self.body[..shown]), self.body.len())?;
        if self.trailers.is_empty() { Ok(()) } else { write!(f, "\n{:?}", self.trailers) }
    }
}
