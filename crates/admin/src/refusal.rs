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
    /// A request body, which nothing here takes.
    Body,
    /// No such path.
    NotFound,
    /// Not a method of that path.
    Method,
    /// A query parameter that cannot be read.
    Query,
    /// The answer could not be made.
    Internal,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::CrossSite | Self::TokenUnset => StatusCode::FORBIDDEN,
            Self::TokenMissing | Self::TokenWrong => StatusCode::UNAUTHORIZED,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Query => StatusCode::BAD_REQUEST,
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
            Self::Body => ("body-refused", "nothing here takes a request body", "send the request without a body"),
            Self::NotFound => ("not-found", "there is no such path", "GET /api/v1/openapi.json lists the paths"),
            Self::Method => ("method-refused", "only GET is served", "use GET"),
            Self::Query => (
                "query-refused",
                "a query parameter is unknown or cannot be read",
                "GET /api/v1/openapi.json lists the parameters",
            ),
            Self::Internal => ("internal", "the answer could not be made", "report it as a bug, with the path"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, message, remedy) = self.words();
        let error = json!({ "error": { "code": code, "message": message, "remedy": remedy } });
        let mut response = (self.status(), axum::Json(error)).into_response();
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenge = axum::http::HeaderValue::from_static("Bearer realm=\"evenkeel\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
