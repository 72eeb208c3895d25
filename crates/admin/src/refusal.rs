//! Errors of the API: one JSON shape, always with what to do next.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `Host` names neither this machine's loopback nor a bound address.
    Host,
    /// Another site's page sent it.
    CrossSite,
    /// Not from this machine and without a token.
    TokenMissing,
    /// Not from this machine, and no token is configured that could be sent.
    TokenUnset,
    /// The token is not ours.
    TokenWrong,
    /// A change over TCP without a token.
    ReadOnly,
    /// A request body that is too large or that nothing there takes.
    Body,
    /// No such path.
    NotFound,
    /// Not a method of that path.
    Method,
    /// A query parameter that cannot be read.
    Query,
    /// The request did not come in time.
    Late,
    /// The answer could not be made.
    Internal,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::CrossSite | Self::TokenUnset | Self::ReadOnly => StatusCode::FORBIDDEN,
            Self::TokenMissing | Self::TokenWrong => StatusCode::UNAUTHORIZED,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Query => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Code for programs, message and remedy for people.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Host => (
                "host-refused",
                "the Host field names neither localhost nor an address of the admin interface",
                "use http://localhost or the IP address that [admin] bind has, or send the token",
            ),
            Self::CrossSite => (
                "cross-site",
                "the request was sent by a page of another site",
                "open the admin interface directly; programs send neither Origin nor Sec-Fetch-Site",
            ),
            Self::TokenMissing => (
                "token-missing",
                "requests from other machines need a token",
                "send `Authorization: Bearer TOKEN` with the token of [admin] token",
            ),
            Self::TokenUnset => (
                "token-unset",
                "requests from other machines need a token, and none is configured",
                "set [admin] token, or ask from this machine",
            ),
            Self::TokenWrong => {
                ("token-wrong", "that token is not the one of [admin] token", "check the token that was sent")
            }
            Self::ReadOnly => (
                "read-only",
                "over TCP, changes need a token",
                "use the admin socket (as the user of the process, or root), or set [admin] token and send it",
            ),
            Self::Body => (
                "body-refused",
                "this takes no request body, or not so large a one",
                "GET /api/v1/openapi.json tells what takes a body",
            ),
            Self::NotFound => ("not-found", "there is no such path", "GET /api/v1/openapi.json lists the paths"),
            Self::Method => {
                ("method-refused", "the path does not take this method", "the field Allow names those it takes")
            }
            Self::Query => (
                "query-refused",
                "a query parameter is unknown or cannot be read",
                "GET /api/v1/openapi.json lists the parameters",
            ),
            Self::Late => ("late", "the request did not come in time", "send it at once"),
            Self::Internal => ("internal", "the answer could not be made", "report it as a bug, with the path"),
        }
    }
}

/// An error in the API's shape.
pub(crate) fn response(status: StatusCode, code: &str, message: &str, remedy: &str) -> Response {
    let error = json!({ "error": { "code": code, "message": message, "remedy": remedy } });
    (status, axum::Json(error)).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, message, remedy) = self.words();
        let mut response = response(self.status(), code, message, remedy);
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenge = axum::http::HeaderValue::from_static("Bearer realm=\"evenkeel\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
