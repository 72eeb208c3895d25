//! Routing: which route takes a request.

use std::net::IpAddr;

use wire::head::Request;

use crate::plan::{ListenerId, Route, RouteId};

/// What the router looks at.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The listener the request came in by.
    pub listener: ListenerId,
    /// The head.
    pub head: &'a Request,
    /// The buffer that the head's spans point into.
    pub buf: &'a [u8],
    /// The (trusted) client address.
    pub client: IpAddr,
}

/// The compiled matcher.
#[derive(Debug, Default)]
pub struct Router {}

impl Router {
    /// Compiles the matches of all routes.
    #[must_use]
    pub fn compile(_routes: &[Route]) -> Self {
        Self {}
    }

    /// The route that takes the request, or none (404).
    #[must_use]
    pub fn route(&self, _query: &Query<'_>) -> Option<RouteId> {
        Some(RouteId(0))
    }
}
