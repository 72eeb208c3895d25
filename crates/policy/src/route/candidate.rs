//! One match, ready to be evaluated.

use std::net::IpAddr;

use regex::bytes::Regex;
use wire::head::{Method, Request};

use super::order::Place;
use super::values::{cookie_values, field_values, holds, query_values};
use super::{Matched, Query};
use crate::access::CidrSet;
use crate::plan::{FieldMatch, HostMatch, ListenerId, Match, MethodName, PathMatch, RouteId};

/// A match without host and path, which the tables answer for (but for regexes).
#[derive(Debug)]
pub(super) struct Candidate {
    route: RouteId,
    index: usize,
    rest: Rest,
    narrowed_host_or_path: bool,
    listeners: Vec<ListenerId>,
    methods: Vec<MethodName>,
    clients: Option<CidrSet>,
    headers: Vec<FieldMatch>,
    cookies: Vec<FieldMatch>,
    query: Vec<FieldMatch>,
    path: Option<Regex>,
}

/// What a path condition leaves to its `*`.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// What follows so many bytes.
    After(usize),
    /// Nothing.
    Nothing,
}

impl Candidate {
    pub(super) fn new(wanted: &Match, place: Place) -> Self {
        let (rest, path) = match &wanted.path {
            PathMatch::Any => (Rest::After(0), None),
            PathMatch::Prefix(prefix) => (Rest::After(prefix.len()), None),
            PathMatch::Exact(_) => (Rest::Nothing, None),
            PathMatch::Regex(pattern) => (Rest::Nothing, Some(pattern.regex.clone())),
        };
        Self {
            route: RouteId(u32::try_from(place.route).unwrap_or(u32::MAX)),
            index: place.index,
            rest,
            narrowed_host_or_path: wanted.host != HostMatch::Any || !matches!(wanted.path, PathMatch::Any),
            listeners: wanted.listeners.clone(),
            methods: wanted.methods.clone(),
            clients: wanted.clients.clone(),
            headers: wanted.headers.clone(),
            cookies: wanted.cookies.clone(),
            query: wanted.query.clone(),
            path,
        }
    }

    /// Whether it takes every request.
    pub(super) fn is_unconditional(&self) -> bool {
        !self.narrowed_host_or_path
            && self.listeners.is_empty()
            && self.methods.is_empty()
            && self.clients.is_none()
            && self.headers.is_empty()
            && self.cookies.is_empty()
            && self.query.is_empty()
    }

    pub(super) fn matched(&self, path: &[u8]) -> Matched {
        let rest_at = match self.rest {
            Rest::After(prefix) if path.starts_with(b"/") => prefix.min(path.len()),
            // Of `*` (OPTIONS *) nothing is left that could follow a prefix.
            Rest::After(_) | Rest::Nothing => path.len(),
        };
        Matched { route: self.route, match_index: self.index, rest_at }
    }

    /// Whether all conditions hold that the tables did not settle; the cheap ones first.
    pub(super) fn holds(&self, query: &Query<'_>, path: &[u8]) -> bool {
        let (head, buf) = (query.head, query.buf);
        (self.listeners.is_empty() || self.listeners.contains(&query.listener))
            && (self.methods.is_empty() || self.methods.iter().any(|method| is_method(method, head, buf)))
            && self.admits(query.client)
            && self.headers.iter().all(|field| holds(&field.test, field_values(head, buf, &field.name)))
            && self.cookies.iter().all(|field| holds(&field.test, cookie_values(head, buf, &field.name)))
            && self.query.iter().all(|field| holds(&field.test, query_values(head.query.of(buf), &field.name)))
            && self.path.as_ref().is_none_or(|regex| regex.is_match(path))
    }

    fn admits(&self, client: IpAddr) -> bool {
        self.clients.as_ref().is_none_or(|clients| clients.contains(client))
    }
}

fn is_method(wanted: &MethodName, head: &Request, buf: &[u8]) -> bool {
    // Methods are compared with case (RFC 9110, section 9.1).
    wanted.method == head.method
        && (wanted.method != Method::Other || wanted.name.as_bytes() == head.method_span.of(buf))
}
