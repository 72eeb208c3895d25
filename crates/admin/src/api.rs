//! The endpoints: one table, from which the router and the OpenAPI document are made.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use control::{Handle, ProcessState};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::access::{Access, Gate, Peer};
use crate::refusal::Refusal;
use crate::{metrics, openapi, page, view};

/// One path.
pub(crate) struct Endpoint {
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) access: Access,
    pub(crate) content: Content,
    /// Query parameters: name and meaning; all are whole numbers.
    pub(crate) query: &'static [(&'static str, &'static str)],
    handler: fn() -> MethodRouter<Office>,
}

/// What an endpoint answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// JSON of the named schema of the OpenAPI document.
    Json(&'static str),
    /// Another media type.
    Other(&'static str),
}

/// Every path there is.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/api/v1/status",
        summary: "What is true now: process, listeners, pools and their backends",
        access: Access::Read,
        content: Content::Json("Status"),
        query: &[],
        handler: || get(status),
    },
    Endpoint {
        path: "/api/v1/errors",
        summary: "The last failed exchanges, oldest first, as access log lines",
        access: Access::Read,
        content: Content::Json("Errors"),
        query: &[("last", "so many at most; at most 1000 are kept")],
        handler: || get(errors),
    },
    Endpoint {
        path: "/api/v1/openapi.json",
        summary: "This document",
        access: Access::Read,
        content: Content::Json("Document"),
        query: &[],
        handler: || get(async || Json(openapi::document())),
    },
    Endpoint {
        path: "/metrics",
        summary: "Metrics in the OpenMetrics text format; docs/metrics.md lists them",
        access: Access::Read,
        content: Content::Other(metrics::CONTENT_TYPE),
        query: &[],
        handler: || get(metrics_text),
    },
    Endpoint {
        path: "/healthz",
        summary: "200 while the process is alive",
        access: Access::Open,
        content: Content::Other(TEXT),
        query: &[],
        handler: || get(async || "alive\n"),
    },
    Endpoint {
        path: "/readyz",
        summary: "200 once the first round of probes has finished, 503 before that and while the process stops",
        access: Access::Open,
        content: Content::Other(TEXT),
        query: &[],
        handler: || get(readiness),
    },
    Endpoint {
        path: "/",
        summary: "The status page, for browsers",
        access: Access::Open,
        content: Content::Other(page::HTML_TYPE),
        query: &[],
        handler: || get(async || page::html()),
    },
    Endpoint {
        path: "/assets/page.css",
        summary: "Looks of the status page",
        access: Access::Open,
        content: Content::Other(page::CSS_TYPE),
        query: &[],
        handler: || get(async || page::css()),
    },
    Endpoint {
        path: "/assets/page.js",
        summary: "The script of the status page",
        access: Access::Open,
        content: Content::Other(page::JS_TYPE),
        query: &[],
        handler: || get(async || page::js()),
    },
];

const TEXT: &str = "text/plain; charset=utf-8";

/// What handlers know.
#[derive(Clone, Debug)]
pub(crate) struct Office {
    handle: Handle,
    gate: Arc<Gate>,
}

/// All endpoints behind the gate.
pub(crate) fn router(handle: Handle, gate: Gate) -> Router {
    let office = Office { handle, gate: Arc::new(gate) };
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        router = router.route(endpoint.path, (endpoint.handler)());
    }
    router
        .fallback(async || Refusal::NotFound)
        .method_not_allowed_fallback(async || Refusal::Method)
        .layer(from_fn_with_state(office.clone(), guard))
        .with_state(office)
}

/// Every request passes here first.
async fn guard(State(office): State<Office>, request: Request, next: Next) -> Response {
    let refused = office.judge(&request);
    let mut response = match refused {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    protect(response.headers_mut());
    response
}

impl Office {
    fn judge(&self, request: &Request) -> Result<(), Refusal> {
        // Every connection has a peer; without one nobody is trusted.
        let peer = request.extensions().get::<Peer>().copied().ok_or(Refusal::Internal)?;
        let known = ENDPOINTS.iter().find(|endpoint| endpoint.path == request.uri().path());
        let access = known.map_or(Access::Read, |endpoint| endpoint.access);
        self.gate.judge(peer, access, request.headers())?;
        if has_body(request.headers()) { Err(Refusal::Body) } else { Ok(()) }
    }
}

fn has_body(fields: &HeaderMap) -> bool {
    let length = fields.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    length || fields.contains_key(header::TRANSFER_ENCODING)
}

/// Fields that keep browsers strict: nothing is cached, framed, sniffed or loaded from elsewhere.
fn protect(fields: &mut HeaderMap) {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                          img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    const FIELDS: [(HeaderName, &str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in FIELDS {
        fields.insert(name, HeaderValue::from_static(value));
    }
}

async fn status(State(office): State<Office>) -> Response {
    Json(view::Status::from(&office.handle.status())).into_response()
}

/// Query of `/api/v1/errors`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorsQuery {
    last: Option<usize>,
}

async fn errors(State(office): State<Office>, query: Result<Query<ErrorsQuery>, QueryRejection>) -> Response {
    let Ok(Query(ErrorsQuery { last })) = query else { return Refusal::Query.into_response() };
    let lines = office.handle.failures(last.unwrap_or(usize::MAX));
    // A line that is no JSON would spoil the whole answer: better one line less.
    let lines: Vec<Box<RawValue>> = lines.into_iter().filter_map(|line| RawValue::from_string(line).ok()).collect();
    Json(lines).into_response()
}

async fn metrics_text(State(office): State<Office>) -> Response {
    match metrics::text(office.handle.status()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => Refusal::Internal.into_response(),
    }
}

async fn readiness(State(office): State<Office>) -> Response {
    let state = office.handle.state();
    let status = if state == ProcessState::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{}\n", state.name())).into_response()
}
