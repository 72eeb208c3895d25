//! What is wrong, where, and what to do: the errors and warnings that people read.

use std::path::PathBuf;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// There is no plan.
    Error,
    /// There is a plan, with a known mistake in it.
    Warning,
}

/// Where it is. Lines and columns start at 1; columns and lengths count characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as it is shown to people.
    pub file: PathBuf,
    /// The line.
    pub line: usize,
    /// The column of its first character.
    pub column: usize,
    /// Characters, up to the end of the line; at least 1.
    pub length: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// A stable name, such as `unknown-key` or `one-backend`; `[check] allow` silences warnings by it.
    pub code: &'static str,
    /// Where, when it is anywhere.
    pub place: Option<Place>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// A finding before it has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) remedy: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: None }
    }

    /// A value that its type does not take.
    pub(crate) fn value(message: impl Into<String>) -> Self {
        Self::new(code::BAD_VALUE, message)
    }

    /// Something of the contract that is not built yet, with the nearest alternative (may be empty).
    pub(crate) fn not_available(what: &str, instead: &str) -> Self {
        Self::new(code::NOT_AVAILABLE, format!("{what} is not available yet")).remedy_if(instead)
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// With a remedy unless it is empty.
    pub(crate) fn remedy_if(self, remedy: impl Into<String>) -> Self {
        let remedy = remedy.into();
        if remedy.is_empty() { self } else { self.remedy(remedy) }
    }
}

/// The codes of errors. Those of warnings stand in [`crate::warn::CODES`].
pub(crate) mod code {
    pub(crate) const SYNTAX: &str = "syntax";
    pub(crate) const UNREADABLE: &str = "unreadable";
    pub(crate) const UNKNOWN_KEY: &str = "unknown-key";
    pub(crate) const DUPLICATE_KEY: &str = "duplicate-key";
    pub(crate) const MISSING_KEY: &str = "missing-key";
    pub(crate) const WRONG_TYPE: &str = "wrong-type";
    pub(crate) const BAD_VALUE: &str = "bad-value";
    pub(crate) const NOT_AVAILABLE: &str = "not-available";
    pub(crate) const UNSET: &str = "unset";
    pub(crate) const UNKNOWN_POOL: &str = "unknown-pool";
    pub(crate) const UNKNOWN_LISTENER: &str = "unknown-listener";
    pub(crate) const CONFLICT: &str = "conflict";
    pub(crate) const DUPLICATE: &str = "duplicate";
    pub(crate) const NO_LISTENER: &str = "no-listener";
    pub(crate) const NO_BACKEND: &str = "no-backend";
    pub(crate) const TOO_MANY: &str = "too-many";
    pub(crate) const CERTIFICATE: &str = "certificate";
    pub(crate) const DEFECT: &str = "defect";

    /// Those that say something of one written value alone, and so stay true beside a syntax error elsewhere.
    pub(crate) const LOCAL: &[&str] =
        &[UNKNOWN_KEY, DUPLICATE_KEY, WRONG_TYPE, BAD_VALUE, NOT_AVAILABLE, UNSET, UNREADABLE];
}
