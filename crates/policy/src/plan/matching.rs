//! What requests a route is for.

use wire::head::Method;

use super::ListenerId;
use crate::access::CidrSet;

/// A match. All conditions must hold; see the contract for the order among matches.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// Higher first.
    pub priority: i32,
    /// Only on these listeners; empty is all.
    pub listeners: Vec<ListenerId>,
    /// Host.
    pub host: HostMatch,
    /// Path.
    pub path: PathMatch,
    /// Methods (upper case tokens); empty is all.
    pub methods: Vec<MethodName>,
    /// Field conditions; names in lower case.
    pub headers: Vec<FieldMatch>,
    /// Query parameters (percent-decoded, `+` is a space).
    pub query: Vec<FieldMatch>,
    /// Cookies.
    pub cookies: Vec<FieldMatch>,
    /// Client addresses; empty set with `any_client` true is all.
    pub clients: Option<CidrSet>,
}

/// A method by enum, or by name for methods without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodName {
    /// The known method, or `Method::Other`.
    pub method: Method,
    /// Its token as written.
    pub name: String,
}

/// Host condition; hosts in lower case, without port and trailing dot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Every host.
    #[default]
    Any,
    /// This one.
    Exact(String),
    /// `*.shop.example` is stored as `shop.example`: any depth below it, not itself.
    Wildcard(String),
}

/// Path condition, on normalised paths.
#[derive(Clone, Debug, Default)]
pub enum PathMatch {
    /// Every path.
    #[default]
    Any,
    /// This one.
    Exact(String),
    /// `/api/*` is stored as `/api`: itself and everything below, by segment. `/*` is stored as the empty string.
    Prefix(String),
    /// The whole path matches.
    Regex(Pattern),
}

/// A regular expression that remembers its source text; anchored at both ends unless its user says otherwise.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As written.
    pub source: String,
    /// Compiled, as `^(?:source)$` where it is anchored.
    pub regex: regex::bytes::Regex,
}

/// Expressions are equal when they were written alike.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for Pattern {}

/// A condition on a named value.
#[derive(Clone, Debug)]
pub struct FieldMatch {
    /// The name.
    pub name: String,
    /// The test.
    pub test: FieldTest,
}

/// The test on a value.
#[derive(Clone, Debug)]
pub enum FieldTest {
    /// The name is there (`true`).
    Present,
    /// The name is not there (`false`).
    Absent,
    /// Exactly this value.
    Exact(String),
    /// The whole value matches.
    Regex(Pattern),
}
