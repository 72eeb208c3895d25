//! Why an exchange did not end well: one closed list for answers, log and metrics.
//!
//! Owns the code, the status and the RFC 9209 error type of each cause, and the sentence for people.

/// A cause of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The request is malformed or over a limit; status and words come from the parser.
    BadRequest { status: u16, why: &'static str },
    /// The request head did not arrive in time.
    HeaderTimeout,
    /// The request body stood still for too long.
    BodyTimeout,
    /// The request body is larger than the limit.
    BodyTooLarge,
    /// No route takes the request and the listener has no pool.
    NoRoute,
    /// The route's rewrite made something that is no path.
    BadRewrite,
    /// Every backend of the pool is out by the operator's wish.
    NoBackend,
    /// The backend's name has no address.
    Unresolved,
    /// A connection could not be made.
    ConnectFailed,
    /// A connection was not made in time.
    ConnectTimeout,
    /// We have no port, descriptor or memory left for a connection.
    LocalExhausted,
    /// The backend closed before its answer began.
    Reset,
    /// The backend's answer did not begin in time.
    FirstByteTimeout,
    /// The whole exchange took too long.
    TotalTimeout,
    /// The backend was declared down while we waited for its answer.
    BackendDown,
    /// The backend's answer is no HTTP.
    Malformed(&'static str),
    /// The answer broke off in the middle; the client sees the truncation.
    Truncated,
    /// The backend stood still in the middle of its answer.
    IdleTimeout,
    /// The client did not take the answer in time.
    ClientStalled,
    /// The client went away.
    ClientGone,
}

impl Cause {
    /// The status that the client gets if the answer has not begun.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::BadRequest { status, .. } => status,
            Self::HeaderTimeout | Self::BodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::NoRoute => 404,
            Self::BadRewrite => 500,
            Self::NoBackend | Self::LocalExhausted => 503,
            Self::Unresolved
            | Self::ConnectFailed
            | Self::Reset
            | Self::Malformed(_)
            | Self::Truncated
            | Self::BackendDown => 502,
            Self::ConnectTimeout | Self::FirstByteTimeout | Self::TotalTimeout | Self::IdleTimeout => 504,
            Self::ClientGone | Self::ClientStalled => 499,
        }
    }

    /// The code in logs and metrics.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::BadRequest { .. } => "bad-request",
            Self::HeaderTimeout => "header-timeout",
            Self::BodyTimeout => "body-timeout",
            Self::BodyTooLarge => "body-too-large",
            Self::NoRoute => "no-route",
            Self::BadRewrite => "bad-rewrite",
            Self::NoBackend => "no-backend",
            Self::Unresolved => "unresolved",
            Self::ConnectFailed => "connect-failed",
            Self::ConnectTimeout => "connect-timeout",
            Self::LocalExhausted => "local-exhausted",
            Self::Reset => "reset",
            Self::FirstByteTimeout => "first-byte-timeout",
            Self::TotalTimeout => "total-timeout",
            Self::BackendDown => "backend-down",
            Self::Malformed(_) => "malformed-answer",
            Self::Truncated => "truncated",
            Self::IdleTimeout => "idle-timeout",
            Self::ClientStalled => "client-stalled",
            Self::ClientGone => "client-gone",
        }
    }

    /// The error type of `Proxy-Status` (RFC 9209, section 2.3).
    pub(crate) fn proxy_error(self) -> &'static str {
        match self {
            Self::BadRequest { .. } | Self::HeaderTimeout | Self::BodyTimeout | Self::BodyTooLarge => {
                "http_request_error"
            }
            Self::NoRoute => "destination_not_found",
            Self::NoBackend | Self::BackendDown => "destination_unavailable",
            Self::Unresolved => "dns_error",
            Self::ConnectFailed => "connection_refused",
            Self::ConnectTimeout => "connection_timeout",
            Self::Reset => "connection_terminated",
            Self::FirstByteTimeout | Self::TotalTimeout | Self::IdleTimeout => "http_response_timeout",
            Self::Malformed(_) => "http_protocol_error",
            Self::Truncated => "http_response_incomplete",
            Self::BadRewrite | Self::LocalExhausted => "proxy_internal_error",
            Self::ClientGone | Self::ClientStalled => "http_request_error",
        }
    }

    /// What to tell people.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::BadRequest { why, .. } | Self::Malformed(why) => why,
            Self::HeaderTimeout => "the request head did not arrive in time",
            Self::BodyTimeout => "the request body did not arrive in time",
            Self::BodyTooLarge => "the request body is larger than allowed",
            Self::NoRoute => "nothing is configured for this host and path",
            Self::BadRewrite => "the configured rewrite made an invalid path",
            Self::NoBackend => "no backend takes requests",
            Self::Unresolved => "the backend's name does not resolve",
            Self::ConnectFailed => "no connection to a backend could be made",
            Self::ConnectTimeout => "no connection to a backend was made in time",
            Self::LocalExhausted => "the balancer has no port, descriptor or memory left",
            Self::Reset => "the backend closed the connection before it answered",
            Self::FirstByteTimeout => "the backend did not begin to answer in time",
            Self::TotalTimeout => "the exchange took longer than allowed",
            Self::BackendDown => "the backend went down before it answered",
            Self::Truncated => "the backend broke off its answer",
            Self::IdleTimeout => "the backend stood still in the middle of its answer",
            Self::ClientStalled => "the client did not take the answer",
            Self::ClientGone => "the client went away",
        }
    }
}
