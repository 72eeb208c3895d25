//! Why an exchange did not end well: one closed list for answers, log and metrics.
//!
//! Owns the code, the status and the RFC 9209 error type of each cause, and the sentence for people.

use policy::overload::Shortage;
use wire::grpc;

use crate::tls::TlsFault;

/// A cause of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The request is malformed or over a limit; status and words come from the parser.
    BadRequest { status: u16, why: &'static str },
    /// The request head did not arrive in time.
    HeaderTimeout,
    /// The request body stood still for too long.
    BodyTimeout,
    /// The request body came too slowly for too long.
    BodyTooSlow,
    /// The request body is larger than the limit.
    BodyTooLarge,
    /// The client asks more often than it may.
    RateLimited {
        /// Whose limit it is.
        whose: Whose,
        /// Seconds until another request would pass.
        wait_s: u32,
    },
    /// The network of the client or its proxy is blocked.
    Blocked(Whom),
    /// The node is short of something, and others are more urgent.
    Overload(Shortage),
    /// No route takes the request and the listener has no pool.
    NoRoute,
    /// The route's rewrite made something that is no path.
    BadRewrite,
    /// WebSocket was asked for, and the backend does not take it over HTTP/2.
    NoWebSocket,
    /// Every backend of the pool is out by the operator's wish.
    NoBackend,
    /// No backend is ready, and the pool does not spread requests over those that are ejected or down.
    NoneReady,
    /// Too many attempts at the pool's backends fail: it is asked no more for a while.
    CircuitOpen {
        /// Seconds until another request may pass.
        wait_s: u32,
    },
    /// Every backend is at its cap and the queue is full.
    QueueFull,
    /// Every backend is at its cap and more come than can be served: this one gave way.
    QueueShed,
    /// No backend had room in time.
    QueueTimeout,
    /// The backend's name has no address.
    Unresolved,
    /// A connection could not be made.
    ConnectFailed,
    /// The backend's certificate is not one to believe.
    BadCertificate(TlsFault),
    /// The backend does not speak TLS as it must.
    TlsFailed(TlsFault),
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
    /// A gRPC call took longer than its client waits.
    Deadline,
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
    /// The client took the answer too slowly for too long.
    ClientTooSlow,
    /// The client went away.
    ClientGone,
}

/// Whose rate limit a request exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Listener,
    Route,
}

/// Whose network is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// That of the connection's peer, which gets no answer.
    Peer,
    /// That of the client for whom a trusted proxy asks.
    Client,
}

/// What a cause means to clients, scripts and people.
struct Meaning {
    /// Status that the client gets if the answer has not begun.
    status: u16,
    /// The code in logs.
    code: &'static str,
    /// The error type of `Proxy-Status` (RFC 9209, section 2.3).
    error: &'static str,
    sentence: &'static str,
}

impl Cause {
    /// Whether it is one by which a flood is turned away: counted, and no failure of its own in the log.
    pub(crate) fn comes_in_floods(self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::QueueShed | Self::Overload(_) | Self::Blocked(_))
    }

    /// Whether the client's connection is to go with it: it holds what the node is short of.
    pub(crate) fn costs_the_connection(self) -> bool {
        matches!(self, Self::Overload(Shortage::Memory | Shortage::Descriptors))
    }

    /// The status that the client gets if the answer has not begun.
    pub(crate) fn status(self) -> u16 {
        self.meaning().status
    }

    /// The code in logs.
    pub(crate) fn code(self) -> &'static str {
        self.meaning().code
    }

    /// The error type of `Proxy-Status` (RFC 9209, section 2.3).
    pub(crate) fn proxy_error(self) -> &'static str {
        self.meaning().error
    }

    /// The status that a gRPC client gets (docs/grpc.md shows the table).
    pub(crate) fn grpc_status(self) -> grpc::Status {
        use grpc::Status;
        match self {
            Self::BadRequest { status: 413 | 414 | 431, .. }
            | Self::BodyTooLarge
            | Self::RateLimited { .. }
            | Self::Overload(_)
            | Self::QueueFull
            | Self::QueueShed => Status::ResourceExhausted,
            Self::BadRequest { .. } | Self::BadRewrite | Self::Malformed(_) => Status::Internal,
            Self::HeaderTimeout
            | Self::BodyTimeout
            | Self::BodyTooSlow
            | Self::FirstByteTimeout
            | Self::TotalTimeout
            | Self::Deadline
            | Self::IdleTimeout => Status::DeadlineExceeded,
            Self::Blocked(_) => Status::PermissionDenied,
            Self::NoRoute | Self::NoWebSocket => Status::Unimplemented,
            Self::NoBackend
            | Self::NoneReady
            | Self::CircuitOpen { .. }
            | Self::QueueTimeout
            | Self::Unresolved
            | Self::ConnectFailed
            | Self::BadCertificate(_)
            | Self::TlsFailed(_)
            | Self::ConnectTimeout
            | Self::LocalExhausted
            | Self::Reset
            | Self::BackendDown
            | Self::Truncated => Status::Unavailable,
            Self::ClientStalled | Self::ClientTooSlow | Self::ClientGone => Status::Cancelled,
        }
    }

    /// What to tell people.
    pub(crate) fn sentence(self) -> &'static str {
        self.meaning().sentence
    }

    /// Whether the backends of a pool are at fault, as far as can be told.
    pub(crate) fn is_pools(self) -> bool {
        matches!(
            self,
            Self::ConnectFailed
                | Self::BadCertificate(_)
                | Self::TlsFailed(_)
                | Self::ConnectTimeout
                | Self::Reset
                | Self::FirstByteTimeout
                | Self::TotalTimeout
                | Self::BackendDown
                | Self::Malformed(_)
        )
    }

    /// The table of causes; docs/log.md shows it.
    fn meaning(self) -> Meaning {
        let (status, code, error, sentence) = match self {
            Self::BadRequest { status, why } => (status, "bad-request", "http_request_error", why),
            Self::HeaderTimeout => {
                (408, "header-timeout", "http_request_error", "the request head did not arrive in time")
            }
            Self::BodyTimeout => (408, "body-timeout", "http_request_error", "the request body did not arrive in time"),
            Self::BodyTooSlow => {
                (408, "body-too-slow", "http_request_error", "the request body came more slowly than allowed")
            }
            Self::BodyTooLarge => {
                (413, "body-too-large", "http_request_error", "the request body is larger than allowed")
            }
            Self::RateLimited { .. } => {
                (429, "rate-limited", "http_request_denied", "the client asks more often than it may")
            }
            Self::Blocked(_) => (403, "blocked", "http_request_denied", "the client's network is blocked"),
            Self::Overload(shortage) => {
                let sentence = match shortage {
                    Shortage::Cpu => "the balancer has more to do than it can",
                    Shortage::Memory => "the balancer is short of memory",
                    Shortage::Descriptors => "the balancer is short of descriptors",
                };
                (503, "overload", "proxy_internal_error", sentence)
            }
            Self::NoRoute => (404, "no-route", "destination_not_found", "nothing is configured for this host and path"),
            Self::BadRewrite => {
                (500, "bad-rewrite", "proxy_internal_error", "the configured rewrite made an invalid path")
            }
            Self::NoWebSocket => (
                502,
                "no-websocket",
                "http_upgrade_failed",
                "the backend takes no WebSocket over HTTP/2 (SETTINGS_ENABLE_CONNECT_PROTOCOL)",
            ),
            Self::NoBackend => (503, "no-backend", "destination_unavailable", "no backend takes requests"),
            Self::NoneReady => {
                (503, "none-ready", "destination_unavailable", "every backend of the pool is ejected or down")
            }
            Self::CircuitOpen { .. } => {
                (503, "circuit-open", "destination_unavailable", "too many attempts at the pool failed of late")
            }
            Self::QueueFull => {
                (503, "queue-full", "connection_limit_reached", "all backends are busy and the queue is full")
            }
            Self::QueueShed => (
                503,
                "queue-shed",
                "connection_limit_reached",
                "all backends are busy and more requests come than they can serve",
            ),
            Self::QueueTimeout => {
                (503, "queue-timeout", "connection_limit_reached", "no backend had room for the request in time")
            }
            Self::Unresolved => (502, "unresolved", "dns_error", "the backend's name does not resolve"),
            Self::ConnectFailed => {
                (502, "connect-failed", "connection_refused", "no connection to a backend could be made")
            }
            Self::BadCertificate(fault) => (502, "bad-certificate", "tls_certificate_error", fault.sentence()),
            Self::TlsFailed(fault) => (502, "tls-failed", "tls_protocol_error", fault.sentence()),
            Self::ConnectTimeout => {
                (504, "connect-timeout", "connection_timeout", "no connection to a backend was made in time")
            }
            Self::LocalExhausted => {
                (503, "local-exhausted", "proxy_internal_error", "the balancer has no port, descriptor or memory left")
            }
            Self::Reset => {
                (502, "reset", "connection_terminated", "the backend closed the connection before it answered")
            }
            Self::FirstByteTimeout => {
                (504, "first-byte-timeout", "http_response_timeout", "the backend did not begin to answer in time")
            }
            Self::TotalTimeout => {
                (504, "total-timeout", "http_response_timeout", "the exchange took longer than allowed")
            }
            Self::Deadline => (504, "deadline", "http_response_timeout", "the call took longer than its client waits"),
            Self::BackendDown => {
                (502, "backend-down", "destination_unavailable", "the backend went down before it answered")
            }
            Self::Malformed(why) => (502, "malformed-answer", "http_protocol_error", why),
            Self::Truncated => (502, "truncated", "http_response_incomplete", "the backend broke off its answer"),
            Self::IdleTimeout => {
                (504, "idle-timeout", "http_response_timeout", "the backend stood still in the middle of its answer")
            }
            Self::ClientStalled => (499, "client-stalled", "http_request_error", "the client did not take the answer"),
            Self::ClientTooSlow => {
                (499, "client-too-slow", "http_request_error", "the client took the answer more slowly than allowed")
            }
            Self::ClientGone => (499, "client-gone", "http_request_error", "the client went away"),
        };
        Meaning { status, code, error, sentence }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Shortage, TlsFault, Whom, Whose};

    const ALL: [Cause; 34] = [
        Cause::BadRequest { status: 400, why: "" },
        Cause::HeaderTimeout,
        Cause::BodyTimeout,
        Cause::BodyTooSlow,
        Cause::BodyTooLarge,
        Cause::RateLimited { whose: Whose::Route, wait_s: 1 },
        Cause::Blocked(Whom::Client),
        Cause::Overload(Shortage::Cpu),
        Cause::NoRoute,
        Cause::BadRewrite,
        Cause::NoWebSocket,
        Cause::NoBackend,
        Cause::NoneReady,
        Cause::CircuitOpen { wait_s: 1 },
        Cause::QueueFull,
        Cause::QueueShed,
        Cause::QueueTimeout,
        Cause::Unresolved,
        Cause::ConnectFailed,
        Cause::BadCertificate(TlsFault::Expired),
        Cause::TlsFailed(TlsFault::Refused),
        Cause::ConnectTimeout,
        Cause::LocalExhausted,
        Cause::Reset,
        Cause::FirstByteTimeout,
        Cause::TotalTimeout,
        Cause::Deadline,
        Cause::BackendDown,
        Cause::Malformed(""),
        Cause::Truncated,
        Cause::IdleTimeout,
        Cause::ClientStalled,
        Cause::ClientTooSlow,
        Cause::ClientGone,
    ];

    #[test]
    fn the_page_about_the_log_lists_every_cause() {
        let page = include_str!("../../../docs/log.md");
        for cause in ALL {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", cause.code())));
            let row = row.unwrap_or_else(|| panic!("docs/log.md lacks the cause `{}`", cause.code()));
            assert!(row.contains(&cause.status().to_string()) || row.contains("as sent"), "status in: {row}");
            assert!(row.contains(cause.proxy_error()) || row.contains("| |"), "error type in: {row}");
        }
        let rows = page.lines().skip_while(|line| *line != "## Causes").filter(|line| line.starts_with("| `"));
        assert_eq!(rows.count(), ALL.len() + 1, "one row a cause, and the heading");
    }

    #[test]
    fn the_page_about_grpc_tells_the_status_of_every_cause() {
        let page = include_str!("../../../docs/grpc.md");
        for cause in ALL {
            let status = cause.grpc_status();
            let row = page.lines().find(|line| line.starts_with(&format!("| {} `{}` |", status.code(), status.name())));
            let row = row.unwrap_or_else(|| panic!("docs/grpc.md lacks the status `{}`", status.name()));
            assert!(row.contains(&format!("`{}`", cause.code())), "`{}` in: {row}", cause.code());
        }
    }
}
