//! Failed exchanges: the last ones, kept for `evenkeel errors`, and a log line for each that the rate allows.
//!
//! Both are bounded: a ring in lines and bytes, a number of log lines each second.

use std::collections::VecDeque;

use serde_json::Value;

/// Lines kept.
pub(crate) const RING_LINES: usize = 1000;
/// Bytes kept over all lines.
pub(crate) const RING_BYTES: usize = 4 << 20;
/// Log lines each second; what is beyond is counted.
pub(crate) const LINES_PER_SECOND: u32 = 10;

/// The last failed exchanges, as access log lines.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Ring {
    /// Adds a line; the oldest make room. A line larger than the whole ring is not kept.
    pub(crate) fn push(&mut self, mut line: String) {
        line.truncate(line.trim_end().len());
        if line.len() > RING_BYTES {
            return;
        }
        while self.lines.len() >= RING_LINES || self.bytes + line.len() > RING_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len();
        }
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    /// The last `count` lines, oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<String> {
        let skip = self.lines.len().saturating_sub(count);
        self.lines.iter().skip(skip).cloned().collect()
    }
}

/// What to do with an event that wants a log line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Write it.
    Write,
    /// Only count it.
    Suppress,
}

/// So many lines each second.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    second: u64,
    used: u32,
    suppressed: u64,
}

impl Rate {
    /// Whether the next line may be written.
    pub(crate) fn admit(&mut self, now_ms: u64) -> Admission {
        let second = now_ms / 1000;
        if second != self.second {
            self.second = second;
            self.used = 0;
        }
        if self.used < LINES_PER_SECOND {
            self.used += 1;
            return Admission::Write;
        }
        self.suppressed += 1;
        Admission::Suppress
    }

    /// Lines suppressed since the last call.
    pub(crate) fn take_suppressed(&mut self) -> u64 {
        std::mem::take(&mut self.suppressed)
    }
}

/// An access log line in a person's words: `502 connect-failed: … (GET shop.example/cart, pool app, backend b, …)`.
pub(crate) fn sentence(line: &str) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return line.trim_end().to_owned() };
    // Clients write some of these: no control character reaches the log.
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => text.escape_debug().to_string(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    };
    let why = match fields.get("cause") {
        Some(_) => format!("{}: {}", text("cause"), text("detail")),
        None => "answer of the backend".to_owned(),
    };
    let request = match text("method") {
        method if method.is_empty() => "unreadable request".to_owned(),
        method => format!("{method} {}{}", text("host"), text("path")),
    };
    format!(
        "{} {why} ({request}, pool {}, backend {}, attempts {}, request {})",
        text("status"),
        text("pool"),
        text("backend"),
        text("attempts"),
        text("request_id")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_names_cause_pool_backend_and_attempts() {
        let line = r#"{"status":502,"cause":"connect-failed","detail":"refused","method":"GET","host":"a\u001b[1m",
            "path":"/x","pool":"app","backend":"b","attempts":3,"request_id":"r1"}"#;
        let expected = r"502 connect-failed: refused (GET a\u{1b}[1m/x, pool app, backend b, attempts 3, request r1)";
        assert_eq!(sentence(line), expected);
    }

    #[test]
    fn sentence_of_something_else_is_itself() {
        assert_eq!(sentence("no json\n"), "no json");
        let unreadable =
            r#"{"status":400,"cause":"bad-request","detail":"invalid method","method":"","host":"","path":""}"#;
        assert!(sentence(unreadable).starts_with("400 bad-request: invalid method (unreadable request, pool -"));
        assert!(sentence(r#"{"status":503}"#).starts_with("503 answer of the backend (- --, pool -"));
    }

    #[test]
    fn ring_keeps_the_last_lines() {
        let mut ring = Ring::default();
        for n in 0..RING_LINES + 5 {
            ring.push(format!("{n}\n"));
        }
        assert_eq!(ring.last(usize::MAX).len(), RING_LINES);
        assert_eq!(ring.last(2), ["1003", "1004"]);
        assert_eq!(ring.last(usize::MAX)[0], "5");
    }

    #[test]
    fn ring_is_bounded_in_bytes() {
        let mut ring = Ring::default();
        for _ in 0..20 {
            ring.push("x".repeat(RING_BYTES / 8));
        }
        assert_eq!(ring.last(usize::MAX).len(), 8);
        ring.push("y".repeat(RING_BYTES + 1));
        assert_eq!(ring.last(usize::MAX).len(), 8);
        ring.push("z".repeat(RING_BYTES));
        assert_eq!(ring.last(usize::MAX).len(), 1);
        assert_eq!(ring.bytes, RING_BYTES);
    }

    #[test]
    fn rate_counts_what_it_suppresses() {
        let mut rate = Rate::default();
        let written = (0..25).filter(|_| rate.admit(5_000) == Admission::Write).count();
        assert_eq!(written, 10);
        assert_eq!(rate.take_suppressed(), 15);
        assert_eq!(rate.take_suppressed(), 0);
        assert_eq!(rate.admit(6_000), Admission::Write);
    }
}
