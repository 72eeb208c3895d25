//! How two matches relate: which comes first, whether one takes all of the other's requests, whether they meet.

use ipnet::IpNet;
use policy::plan::{FieldMatch, FieldTest, HostMatch, Match, PathMatch};

/// A match with what judging needs beside it.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) found: &'a Match,
    /// The ranges of `client`; empty is all.
    pub(super) clients: &'a [IpNet],
    /// Its position among all matches.
    pub(super) order: usize,
}

/// What a match is ordered by, the winner greatest; the contract's match order, as [`policy::route`] keeps it.
fn rank(found: &Match) -> impl Ord + use<> {
    let host = match &found.host {
        HostMatch::Exact(_) => (2, 0),
        HostMatch::Wildcard(host) => (1, host.len()),
        HostMatch::Any => (0, 0),
    };
    let path = match &found.path {
        PathMatch::Exact(_) => (3, 0),
        PathMatch::Regex(_) => (2, 0),
        PathMatch::Prefix(path) => (1, path.len()),
        PathMatch::Any => (0, 0),
    };
    let conditions = (
        !found.methods.is_empty(),
        found.headers.len(),
        found.query.len(),
        found.cookies.len(),
        found.clients.is_some(),
    );
    (found.priority, host, path, conditions)
}

/// Conditions on headers, query and cookies.
pub(super) fn fields(found: &Match) -> usize {
    found.headers.len() + found.query.len() + found.cookies.len()
}

/// Whether `one` is tried before `other`.
pub(super) fn outranks(one: Judged<'_>, other: Judged<'_>) -> bool {
    let (first, second) = (rank(one.found), rank(other.found));
    first > second || (first == second && one.order < other.order)
}

/// Whether `one` matches every request that `other` matches. May miss cases; never claims one.
pub(super) fn covers(one: Judged<'_>, other: Judged<'_>) -> bool {
    let (a, b) = (one.found, other.found);
    covers_list(&a.listeners, &b.listeners)
        && covers_host(&a.host, &b.host)
        && covers_path(&a.path, &b.path)
        && covers_list(&a.methods, &b.methods)
        && covers_fields(&a.headers, &b.headers)
        && covers_fields(&a.query, &b.query)
        && covers_fields(&a.cookies, &b.cookies)
        && covers_clients(one.clients, other.clients)
}

/// Lists in which empty means all.
fn covers_list<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    one.is_empty() || (!other.is_empty() && other.iter().all(|item| one.contains(item)))
}

fn covers_clients(one: &[IpNet], other: &[IpNet]) -> bool {
    one.is_empty() || (!other.is_empty() && other.iter().all(|inner| one.iter().any(|net| net.contains(inner))))
}

fn covers_host(one: &HostMatch, other: &HostMatch) -> bool {
    match (one, other) {
        (HostMatch::Any, _) => true,
        (HostMatch::Wildcard(one), HostMatch::Wildcard(other)) => one == other || is_below(other, one),
        (HostMatch::Wildcard(one), HostMatch::Exact(other)) => is_below(other, one),
        (HostMatch::Exact(one), HostMatch::Exact(other)) => one == other,
        _ => false,
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

fn covers_path(one: &PathMatch, other: &PathMatch) -> bool {
    match (one, other) {
        (PathMatch::Any, _) => true,
        (PathMatch::Prefix(prefix), other) => match other {
            PathMatch::Prefix(path) | PathMatch::Exact(path) => is_within(path, prefix),
            PathMatch::Any | PathMatch::Regex(_) => prefix.is_empty(),
        },
        (PathMatch::Exact(one), PathMatch::Exact(other)) => one == other,
        (PathMatch::Regex(one), PathMatch::Exact(path)) => one.regex.is_match(path.as_bytes()),
        (PathMatch::Regex(one), PathMatch::Regex(other)) => one.source == other.source,
        _ => false,
    }
}

/// Whether a path is a prefix's own or below it, by segment.
pub(super) fn is_within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the conditions of `other` imply those of `one`.
fn covers_fields(one: &[FieldMatch], other: &[FieldMatch]) -> bool {
    one.iter().all(|wanted| other.iter().any(|given| wanted.name == given.name && implies(&given.test, &wanted.test)))
}

fn implies(given: &FieldTest, wanted: &FieldTest) -> bool {
    match (given, wanted) {
        (FieldTest::Absent, FieldTest::Absent) => true,
        (FieldTest::Absent, _) | (_, FieldTest::Absent) => false,
        (_, FieldTest::Present) => true,
        (FieldTest::Exact(given), FieldTest::Exact(wanted)) => given == wanted,
        (FieldTest::Exact(given), FieldTest::Regex(wanted)) => wanted.regex.is_match(given.as_bytes()),
        (FieldTest::Regex(given), FieldTest::Regex(wanted)) => given.source == wanted.source,
        _ => false,
    }
}

/// Whether some request may match both, as far as listeners, hosts and methods tell.
pub(super) fn meet(one: &Match, other: &Match) -> bool {
    let listeners = covers_list(&one.listeners, &other.listeners) || covers_list(&other.listeners, &one.listeners);
    let methods = covers_list(&one.methods, &other.methods) || covers_list(&other.methods, &one.methods);
    let hosts = covers_host(&one.host, &other.host) || covers_host(&other.host, &one.host);
    listeners && methods && hosts
}
