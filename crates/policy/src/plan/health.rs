//! Active checks as the file wants them: what is asked, how often, and what passes.

use std::time::Duration;

use super::Pattern;
use crate::ask::Wish;

/// An active check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What one probe does.
    pub kind: ProbeKind,
    /// Where probes go instead of the backend's own port.
    pub port: Option<u16>,
    /// Between probes.
    pub interval: Duration,
    /// Between probes while the next one may well change the verdict.
    pub interval_in_doubt: Duration,
    /// For one probe.
    pub timeout: Duration,
    /// Failures in a row that take a backend out.
    pub fall: u32,
    /// Successes in a row that bring it back.
    pub rise: u32,
    /// How long after the start failures say nothing; zero if they count at once.
    pub start_up: Duration,
    /// The longest time for which a backend that goes down again and again is held down; zero if it never is.
    pub hold_down_max: Duration,
    /// Asked for what the backend wants for itself.
    pub agent: Option<Agent>,
}

/// A process beside the backend that says a line about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Where it listens, on the backend's host.
    pub port: u16,
    /// Between two lines.
    pub interval: Duration,
}

impl HealthCheck {
    /// A check with the usual terms, which are those of the table of keys.
    #[must_use]
    pub fn new(kind: ProbeKind) -> Self {
        let interval = Duration::from_secs(2);
        Self {
            kind,
            port: None,
            interval,
            interval_in_doubt: interval / 3,
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
            start_up: Duration::ZERO,
            hold_down_max: Duration::from_secs(60),
            agent: None,
        }
    }
}

/// What one probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// Connects.
    Tcp,
    /// Connects, says something and waits for the reply.
    Talk(Talk),
    /// `HEAD /`; any well-formed answer below 500, or 501, passes.
    Alive,
    /// One request.
    Http(Box<Question>),
    /// A call of the health service of gRPC.
    Grpc {
        /// The service it asks for; empty for the whole server.
        service: String,
    },
}

/// A dialogue over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talk {
    /// Sent first; may be empty.
    pub send: Vec<u8>,
    /// What must come; `None` if it is enough that the bytes can be sent.
    pub expect: Option<Expected>,
}

/// What must be in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// These bytes, anywhere.
    Text(Vec<u8>),
    /// A match, anywhere unless the expression is anchored.
    Pattern(Pattern),
}

impl Expected {
    /// Whether a reply, or what has come of it so far, has it.
    #[must_use]
    pub fn is_in(&self, reply: &[u8]) -> bool {
        match self {
            Self::Text(text) => text.is_empty() || reply.windows(text.len()).any(|part| part == text),
            Self::Pattern(pattern) => pattern.regex.is_match(reply),
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "`{}`", text.escape_ascii()),
            Self::Pattern(pattern) => write!(f, "a match of `{}`", pattern.source),
        }
    }
}

fn is_within(status: u16, ranges: &[(u16, u16)]) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&status))
}

/// The request of a probe, and what its answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The method.
    pub method: String,
    /// The path with query.
    pub path: String,
    /// The `Host` field; `None` for the pool's or the backend's.
    pub host: Option<String>,
    /// Further fields.
    pub headers: Vec<(String, String)>,
    /// Ranges of statuses that pass, both ends included.
    pub status: Vec<(u16, u16)>,
    /// What the body must have.
    pub body: Option<Expected>,
    /// Ranges of statuses that pass and ask for less weight.
    pub degraded: Vec<(u16, u16)>,
    /// Thousandths of the weight that these get.
    pub degraded_permille: u16,
    /// Ranges of statuses that pass and ask for no new work.
    pub drain: Vec<(u16, u16)>,
}

impl Question {
    /// `GET path`, which passes with 200 to 399.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            host: None,
            headers: Vec::new(),
            status: vec![(200, 399)],
            body: None,
            degraded: Vec::new(),
            degraded_permille: 500,
            drain: Vec::new(),
        }
    }

    /// Whether a status passes.
    #[must_use]
    pub fn accepts(&self, status: u16) -> bool {
        is_within(status, &self.status)
    }

    /// What a status asks for, which passes then.
    #[must_use]
    pub fn asked_by(&self, status: u16) -> Option<Wish> {
        if is_within(status, &self.drain) {
            return Some(Wish::Drain);
        }
        is_within(status, &self.degraded).then_some(Wish::Part(self.degraded_permille))
    }
}
