//! The endpoints: one table, from which the router and the OpenAPI document are made.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Json, Router};
use control::{Handle, ProcessState};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::access::{Access, Gate, Peer};
use crate::refusal::Refusal;
use crate::{blocks, metrics, openapi, page, view};

/// One path and method.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) access: Access,
    pub(crate) content: Content,
    /// Query parameters: name, type and meaning.
    pub(crate) query: &'static [(&'static str, Type, &'static str)],
    /// The schema of the JSON body that it takes.
    pub(crate) body: Option<&'static str>,
    handler: fn() -> MethodRouter<Office>,
}

/// The type of a query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Whole,
    Text,
    Flag,
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
        method: Method::GET,
        path: "/api/v1/status",
        summary: "What is true now: process, listeners, pools and their backends",
        access: Access::Read,
        content: Content::Json("Status"),
        query: &[],
        body: None,
        handler: || get(status),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/v1/errors",
        summary: "The last failed exchanges, oldest first, as access log lines",
        access: Access::Read,
        content: Content::Json("Errors"),
        query: &[("last", Type::Whole, "so many at most; at most 1000 are kept")],
        body: None,
        handler: || get(errors),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/v1/blocks",
        summary: "Blocked networks with reason, author, time and what they refused",
        access: Access::Read,
        content: Content::Json("Blocks"),
        query: &[],
        body: None,
        handler: || get(blocks::list),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/v1/blocks",
        summary: "Blocks networks, all or none; connections from there are closed with what runs on them",
        access: Access::Change,
        content: Content::Json("Blocks"),
        query: &[],
        body: Some("BlockOrder"),
        handler: || post(blocks::block),
    },
    Endpoint {
        method: Method::DELETE,
        path: "/api/v1/blocks",
        summary: "Lifts the block of one network, or all",
        access: Access::Change,
        content: Content::Json("Blocks"),
        query: &[("network", Type::Text, "the network, as it is listed"), ("all", Type::Flag, "true lifts all blocks")],
        body: None,
        handler: || delete(blocks::lift),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/v1/openapi.json",
        summary: "This document",
        access: Access::Read,
        content: Content::Json("Document"),
        query: &[],
        body: None,
        handler: || get(async || Json(openapi::document())),
    },
    Endpoint {
        method: Method::GET,
        path: "/metrics",
        summary: "Metrics in the OpenMetrics text format; docs/metrics.md lists them",
        access: Access::Read,
        content: Content::Other(metrics::CONTENT_TYPE),
        query: &[],
        body: None,
        handler: || get(metrics_text),
    },
    Endpoint {
        method: Method::GET,
        path: "/healthz",
        summary: "200 while the process is alive",
        access: Access::Open,
        content: Content::Other(TEXT),
        query: &[],
        body: None,
        handler: || get(async || "alive\n"),
    },
    Endpoint {
        method: Method::GET,
        path: "/readyz",
        summary: "200 once the first round of probes has finished, 503 before that and while the process stops",
        access: Access::Open,
        content: Content::Other(TEXT),
        query: &[],
        body: None,
        handler: || get(readiness),
    },
    Endpoint {
        method: Method::GET,
        path: "/",
        summary: "The status page, for browsers",
        access: Access::Open,
        content: Content::Other(page::HTML_TYPE),
        query: &[],
        body: None,
        handler: || get(async || page::html()),
    },
    Endpoint {
        method: Method::GET,
        path: "/assets/page.css",
        summary: "Looks of the status page",
        access: Access::Open,
        content: Content::Other(page::CSS_TYPE),
        query: &[],
        body: None,
        handler: || get(async || page::css()),
    },
    Endpoint {
        method: Method::GET,
        path: "/assets/page.js",
        summary: "The script of the status page",
        access: Access::Open,
        content: Content::Other(page::JS_TYPE),
        query: &[],
        body: None,
        handler: || get(async || page::js()),
    },
];

const TEXT: &str = "text/plain; charset=utf-8";

/// For a request with a body.
const HANDLING: Duration = Duration::from_secs(30);

impl Endpoint {
    fn takes(&self, method: &Method) -> bool {
        self.method == *method || (self.method == Method::GET && *method == Method::HEAD)
    }
}

/// What handlers know.
#[derive(Clone, Debug)]
pub(crate) struct Office {
    pub(crate) handle: Handle,
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
        .layer(DefaultBodyLimit::max(blocks::ORDER_BYTES))
        .layer(from_fn_with_state(office.clone(), guard))
        .with_state(office)
}

/// Every request passes here first.
async fn guard(State(office): State<Office>, request: Request, next: Next) -> Response {
    let refused = office.judge(&request);
    let mut response = match refused {
        Ok(()) if has_body(request.headers()) => {
            timeout(HANDLING, next.run(request)).await.unwrap_or_else(|_| Refusal::Late.into_response())
        }
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
        let here = |endpoint: &&Endpoint| endpoint.path == request.uri().path() && endpoint.takes(request.method());
        let known = ENDPOINTS.iter().find(here);
        let access = known.map_or(Access::Read, |endpoint| endpoint.access);
        self.gate.judge(peer, access, request.headers())?;
        let takes_body = known.is_some_and(|endpoint| endpoint.body.is_some()) && !is_too_long(request.headers());
        if has_body(request.headers()) && !takes_body { Err(Refusal::Body) } else { Ok(()) }
    }
}

fn has_body(fields: &HeaderMap) -> bool {
    let length = fields.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    length || fields.contains_key(header::TRANSFER_ENCODING)
}

/// Whether a body is announced that will not be taken: no need to wait for it.
fn is_too_long(fields: &HeaderMap) -> bool {
    let length = fields.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| length > blocks::ORDER_BYTES)
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
