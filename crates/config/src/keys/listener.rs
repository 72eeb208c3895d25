//! Keys of `[listener.NAME]`.

use super::route::{BURST, DRY_RUN, RATE};
use super::tls::{HSTS, LISTENER_TLS};
use super::{CIDRS, DURATION_OR_OFF, Default, Form, Kind, Off, Section, key, not_yet};

pub(super) static LISTENER: Section = Section {
    heading: "[listener.NAME]",
    about: "Addresses that we accept on. HTTP/1.1 and HTTP/1.0 are spoken there.",
    keys: &[
        key(
            "bind",
            Kind::OneOrMore(&Kind::Text(Form::Bind)),
            Default::Required,
            "Where to accept: `\":80\"` (IPv4 and IPv6), `\"0.0.0.0:80\"` (IPv4), `\"[::]:80\"` (IPv6 alone), one \
             address, `\"unix:/path\"`, or a list of these. Port 0 takes a free one.",
            "\":80\"",
        ),
        key(
            "protocol",
            Kind::Choice { now: &["http"], later: &[("tcp", ""), ("udp", ""), ("tls", "")] },
            Default::Is("\"http\""),
            "What is spoken.",
            "\"http\"",
        ),
        key(
            "pool",
            Kind::Text(Form::Pool),
            Default::Unset("404"),
            "Where everything goes that no route takes.",
            "\"app\"",
        ),
        key(
            "allow",
            CIDRS,
            Default::Is("[]"),
            "When written, only these addresses may connect.",
            "[\"10.0.0.0/8\", \"fd00::/8\"]",
        ),
        key(
            "deny",
            CIDRS,
            Default::Is("[]"),
            "These addresses may not connect, whatever `allow` says.",
            "\"${file:blocked.txt}\"",
        ),
        key(
            "proxy_protocol",
            Kind::Flag,
            Default::Is("false"),
            "Expect a PROXY header (version 1 or 2) on connections from `trusted_proxies`.",
            "true",
        ),
        key(
            "trusted_proxies",
            CIDRS,
            Default::Is("[]"),
            "Whose X-Forwarded-* and Forwarded fields, and PROXY headers, are believed. Those of others are replaced.",
            "[\"10.0.0.0/8\"]",
        ),
        key(
            "timeouts",
            Kind::Table(&TIMEOUTS),
            Default::Is("{}"),
            "Longest waits on the client side.",
            "{ header = \"5s\" }",
        ),
        key(
            "limits",
            Kind::Table(&LIMITS),
            Default::Is("{}"),
            "Limits of connections and rates.",
            "{ client_connections = 100, rate = \"1000/s\" }",
        ),
        key(
            "floors",
            Kind::Table(&FLOORS),
            Default::Is("{}"),
            "How slow clients may be.",
            "{ body = \"1KiB\", drain = \"1KiB\" }",
        ),
        key(
            "tls",
            LISTENER_TLS,
            Default::Unset("plain text"),
            "Certificates: a folder of them, a file with chain and key, a list of such, or the table below. They are read \
             again when they change.",
            "[\"/etc/evenkeel/certs/\"]",
        ),
        key(
            "http_redirect",
            Kind::OneOrMore(&Kind::Text(Form::Bind)),
            Default::Unset("none"),
            "Addresses that only redirect (308) to this listener, for clients who come by plain HTTP.",
            "\":80\"",
        ),
        key(
            "hsts",
            HSTS,
            Default::Unset("none"),
            "Strict-Transport-Security in every answer that has none of its own: browsers come by HTTPS only for so long.",
            "\"180d\"",
        ),
        not_yet("per_datagram", "UDP without sessions.", ""),
        not_yet("responses", "UDP answers to wait for.", ""),
        not_yet("sessions", "The size of the UDP session table.", ""),
    ],
};

static LIMITS: Section = Section {
    heading: "[listener.NAME.limits]",
    about: "Limits of what comes in here, before any route. Who exceeds the rate gets 429 with Retry-After; it holds for the \
            whole process.",
    keys: &[
        key(
            "client_connections",
            Kind::Count { min: 1, max: 1_000_000 },
            Default::Unset("no limit"),
            "Most connections of one client (an IPv4 address, an IPv6 /64) at once; more are closed. `trusted_proxies` are \
             not counted.",
            "100",
        ),
        RATE,
        BURST,
        key(
            "by",
            Kind::Text(Form::Sharing),
            Default::Is("\"client\""),
            "Who shares one rate: as in routes, with `listener` for all together.",
            "\"listener\"",
        ),
        DRY_RUN,
    ],
};

static FLOORS: Section = Section {
    heading: "[listener.NAME.floors]",
    about: "Who is slower than this, on average and by nobody else's fault, is cut: against clients that keep a connection \
            busy with a byte now and then. Time in which a backend was waited for does not count, nor do tunnels.",
    keys: &[
        key(
            "body",
            BYTES_A_SECOND,
            Default::Is("\"240B\""),
            "Bytes a second of a request's body; slower ones get 408.",
            "\"1KiB\"",
        ),
        key(
            "drain",
            BYTES_A_SECOND,
            Default::Is("\"240B\""),
            "Bytes a second that a client takes of an answer while there is more for it.",
            "\"1KiB\"",
        ),
        key(
            "over",
            Kind::Duration { off: Off::Refused, min_ms: 1000 },
            Default::Is("\"30s\""),
            "Over how long the average is taken; nobody is cut sooner.",
            "\"1m\"",
        ),
    ],
};

const BYTES_A_SECOND: Kind = Kind::Size { off: Off::Allowed, min: 1, max: 1 << 30 };

static TIMEOUTS: Section = Section {
    heading: "[listener.NAME.timeouts]",
    about: "Longest waits on the client side; `\"off\"` switches one off.",
    keys: &[
        key(
            "header",
            DURATION_OR_OFF,
            Default::Is("\"10s\""),
            "From accept to the first byte, and from the first byte of a request head to its end.",
            "\"5s\"",
        ),
        key(
            "body",
            DURATION_OR_OFF,
            Default::Is("\"30s\""),
            "Longest silence while a body is under way, in either direction.",
            "\"1m\"",
        ),
        key(
            "keep_alive",
            DURATION_OR_OFF,
            Default::Is("\"75s\""),
            "Between an answer and the next request.",
            "\"20s\"",
        ),
        key(
            "tunnel",
            DURATION_OR_OFF,
            Default::Is("\"1h\""),
            "Longest silence in a tunnel (an upgraded connection).",
            "\"10m\"",
        ),
        key(
            "handshake",
            DURATION_OR_OFF,
            Default::Is("\"10s\""),
            "From accept to the end of the TLS handshake.",
            "\"5s\"",
        ),
    ],
};
