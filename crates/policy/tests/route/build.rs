//! Routes and requests, written briefly.

use std::net::{IpAddr, Ipv4Addr};

use policy::access::CidrSet;
use policy::plan::{
    Action, FieldMatch, FieldTest, FixedAnswer, HeaderRules, HostMatch, ListenerId, Match, MethodName, PathMatch,
    Pattern, Route,
};
use policy::route::{Matched, Query, Router};
use wire::head::{Field, Method, Name, Request, Span};

/// A match as the configuration spells it: `on("*.shop.example", "/api/*")`; empty strings are no condition.
pub(crate) fn on(host: &str, path: &str) -> Match {
    Match { host: host_match(host), path: path_match(path), ..Match::default() }
}

fn host_match(written: &str) -> HostMatch {
    match written.strip_prefix("*.") {
        Some(suffix) => HostMatch::Wildcard(suffix.into()),
        None if written.is_empty() => HostMatch::Any,
        None => HostMatch::Exact(written.into()),
    }
}

/// `~` in front makes a regex.
fn path_match(written: &str) -> PathMatch {
    match (written.strip_prefix('~'), written.strip_suffix("/*")) {
        (Some(source), _) => PathMatch::Regex(pattern(source)),
        (None, Some(prefix)) => PathMatch::Prefix(prefix.into()),
        (None, None) if written.is_empty() => PathMatch::Any,
        (None, None) => PathMatch::Exact(written.into()),
    }
}

/// An anchored pattern.
pub(crate) fn pattern(source: &str) -> Pattern {
    let regex = regex::bytes::Regex::new(&format!("^(?:{source})$")).expect("the test's own pattern");
    Pattern { source: source.into(), regex }
}

/// A set of one range.
pub(crate) fn range(written: &str) -> CidrSet {
    CidrSet::new(&[written.parse().expect("the test's own range")])
}

fn field(name: &str, test: FieldTest) -> FieldMatch {
    FieldMatch { name: name.into(), test }
}

/// `Exact`, from a string.
pub(crate) fn is(value: &str) -> FieldTest {
    FieldTest::Exact(value.into())
}

/// Adds conditions to a match.
pub(crate) trait Narrow: Sized {
    fn priority(self, priority: i32) -> Self;
    fn listener(self, listener: u16) -> Self;
    fn method(self, method: &str) -> Self;
    fn header(self, name: &str, test: FieldTest) -> Self;
    fn query(self, name: &str, test: FieldTest) -> Self;
    fn cookie(self, name: &str, test: FieldTest) -> Self;
    fn client(self, range: &str) -> Self;
}

impl Narrow for Match {
    fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    fn listener(mut self, listener: u16) -> Self {
        self.listeners.push(ListenerId(listener));
        self
    }

    fn method(mut self, method: &str) -> Self {
        self.methods.push(MethodName { method: known_method(method), name: method.into() });
        self
    }

    fn header(mut self, name: &str, test: FieldTest) -> Self {
        self.headers.push(field(name, test));
        self
    }

    fn query(mut self, name: &str, test: FieldTest) -> Self {
        self.query.push(field(name, test));
        self
    }

    fn cookie(mut self, name: &str, test: FieldTest) -> Self {
        self.cookies.push(field(name, test));
        self
    }

    fn client(mut self, written: &str) -> Self {
        self.clients = Some(range(written));
        self
    }
}

fn known_method(token: &str) -> Method {
    match token {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "OPTIONS" => Method::Options,
        _ => Method::Other,
    }
}

/// A route of these matches.
pub(crate) fn route(matches: impl Into<Vec<Match>>) -> Route {
    Route {
        name: "route".into(),
        matches: matches.into(),
        action: Action::Answer(FixedAnswer { status: 200, body: Vec::new(), headers: Vec::new() }),
        rewrite: None,
        request_headers: HeaderRules::default(),
        response_headers: HeaderRules::default(),
        body_bytes: None,
        buffer: Default::default(),
        urgency: Default::default(),
        limit: None,
    }
}

/// Routes of one match each.
pub(crate) fn routes(matches: impl IntoIterator<Item = Match>) -> Vec<Route> {
    matches.into_iter().map(|it| route([it])).collect()
}

/// A request as a client sent it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) listener: ListenerId,
    pub(crate) client: IpAddr,
    pub(crate) head: Request,
    pub(crate) buf: Vec<u8>,
}

/// A GET of the path.
pub(crate) fn get(host: &str, path: &str) -> Sent {
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let mut sent = Sent { listener: ListenerId(0), client, head: Request::default(), buf: Vec::new() };
    sent.head.authority = sent.span(host);
    sent.head.path = sent.span(path);
    sent.method("GET")
}

impl Sent {
    fn span(&mut self, text: &str) -> Span {
        let start = self.buf.len();
        self.buf.extend_from_slice(text.as_bytes());
        let at = |n: usize| u32::try_from(n).expect("a test request is short");
        Span { start: at(start), end: at(self.buf.len()) }
    }

    pub(crate) fn listener(mut self, listener: u16) -> Self {
        self.listener = ListenerId(listener);
        self
    }

    pub(crate) fn client(mut self, client: &str) -> Self {
        self.client = client.parse().expect("the test's own address");
        self
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        self.head.method = known_method(method);
        self.head.method_span = self.span(method);
        self
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        self.head.query = self.span(query);
        self.head.has_query = true;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let known = if name.eq_ignore_ascii_case("cookie") { Name::Cookie } else { Name::Other };
        let (name, value) = (self.span(name), self.span(value));
        self.head.fields.push(Field { name, value, known, ..Field::default() });
        self
    }

    pub(crate) fn as_query(&self) -> Query<'_> {
        Query { listener: self.listener, head: &self.head, buf: &self.buf, client: self.client }
    }

    /// The match that takes it.
    pub(crate) fn matched(&self, router: &Router) -> Option<Matched> {
        router.route_matched(&self.as_query())
    }

    /// The index of the route that takes it.
    pub(crate) fn goes_to(&self, router: &Router) -> Option<u32> {
        router.route(&self.as_query()).map(|route| route.0)
    }

    /// What the `*` of the match that takes it stood for.
    pub(crate) fn rest(&self, router: &Router) -> Option<String> {
        let rest_at = self.matched(router)?.rest_at;
        Some(String::from_utf8_lossy(&self.head.path(&self.buf)[rest_at..]).into_owned())
    }
}
