//! Keys of `[pool.NAME.health]`.

use super::{Default, Form, Kind, Off, Section, key, not_yet};

const DURATION: Kind = Kind::Duration { off: Off::Refused, min_ms: 10 };
/// What must be in a reply.
const EXPECTED: Kind = Kind::Either(&[Kind::Text(Form::Text), Kind::Table(&EXPECTED_REGEX)]);
const PORT: Kind = Kind::Count { min: 1, max: 65_535 };

pub(crate) static HEALTH: Section = Section {
    heading: "[pool.NAME.health]",
    about: "The long form of `health`. One of `http`, `grpc`, `alive` and `tcp` says what a probe does; without any it is `alive`. \
            What each finds and what it does not: [health](health.md).",
    keys: &[
        key(
            "http",
            Kind::Text(Form::Path),
            Default::Unset("not this check"),
            "Asks for this path (it may have a query); passes with a status of `status`.",
            "\"/healthz\"",
        ),
        key(
            "alive",
            Kind::Flag,
            Default::Unset("true unless another is chosen"),
            "HEAD /; passes with any well-formed answer below 500, or 501.",
            "true",
        ),
        key(
            "tcp",
            Kind::Flag,
            Default::Unset("not this check"),
            "Connects, which a hung process passes; with `expect` it must answer, too.",
            "true",
        ),
        key(
            "grpc",
            Kind::Either(&[Kind::Flag, Kind::Text(Form::Text)]),
            Default::Unset("not this check"),
            "Asks `grpc.health.v1.Health/Check` for this service, or with `true` for the whole server; passes with \
             `SERVING`. Backends must be of `h2c://` or `h2://`.",
            "\"shop.Orders\"",
        ),
        key("method", Kind::Text(Form::Method), Default::Unset("`GET`"), "For `http`: the method.", "\"HEAD\""),
        key(
            "host",
            Kind::Text(Form::Host),
            Default::Unset("the pool's `host`, else the backend's address"),
            "For `http`: the Host field.",
            "\"app.internal\"",
        ),
        key(
            "headers",
            Kind::Map(&Kind::Text(Form::Text)),
            Default::Is("{}"),
            "For `http`: further fields.",
            "{ authorization = \"Bearer ${file:probe-token}\" }",
        ),
        key(
            "status",
            STATUSES,
            Default::Unset("`\"200-399\"`"),
            "For `http`: what passes; statuses and ranges of them.",
            "[200, \"300-399\"]",
        ),
        key(
            "body",
            EXPECTED,
            Default::Unset("any"),
            "For `http`: what the first 64 KiB of the body must have, as text or regular expression.",
            "\"\\\"db\\\":\\\"ok\\\"\"",
        ),
        key(
            "send",
            Kind::Text(Form::Text),
            Default::Unset("nothing"),
            "For `tcp`: sent first. `\\r`, `\\n`, `\\t`, `\\0`, `\\xHH` and `\\\\` stand for bytes.",
            "'PING\\r\\n'",
        ),
        key(
            "expect",
            EXPECTED,
            Default::Unset("any"),
            "For `tcp`: what the first 16 KiB of the reply must have, written as `send`, or as regular expression.",
            "\"+PONG\"",
        ),
        key(
            "degraded_on",
            STATUSES,
            Default::Unset("no status"),
            "For `http`: statuses that pass, but with which the backend gets `degraded_weight` per cent of its weight.",
            "429",
        ),
        key(
            "degraded_weight",
            Kind::Count { min: 1, max: 99 },
            Default::Is("50"),
            "For `degraded_on`: per cent of the weight.",
            "20",
        ),
        key(
            "drain_on",
            STATUSES,
            Default::Unset("no status"),
            "For `http`: statuses that pass, but with which the backend gets no new work.",
            "410",
        ),
        key("port", PORT, Default::Unset("the backend's"), "Where probes go.", "8081"),
        key(
            "interval",
            DURATION,
            Default::Is("\"2s\""),
            "Between two probes of a backend, give or take a tenth.",
            "\"5s\"",
        ),
        key(
            "interval_in_doubt",
            DURATION,
            Default::Unset("a third of `interval`"),
            "The same while the next probe may change the verdict.",
            "\"500ms\"",
        ),
        key("timeout", DURATION, Default::Is("\"1s\""), "For one probe.", "\"500ms\""),
        key(
            "fall",
            Kind::Count { min: 1, max: 100 },
            Default::Is("3"),
            "Failures in a row that take a backend out.",
            "2",
        ),
        key("rise", Kind::Count { min: 1, max: 100 }, Default::Is("2"), "Successes in a row that bring it back.", "1"),
        key(
            "start_up",
            Kind::Duration { off: Off::Allowed, min_ms: 10 },
            Default::Is("\"off\""),
            "For so long after the start, failures leave a backend that never passed unknown instead of down; its first \
             success makes it ready.",
            "\"30s\"",
        ),
        key(
            "hold_down_max",
            Kind::Duration { off: Off::Allowed, min_ms: 10 },
            Default::Is("\"60s\""),
            "A backend that goes down again and again stays down for longer, each time twice as long up to this; one fall is \
             forgotten for each such time that it is ready.",
            "\"5m\"",
        ),
        key(
            "agent",
            Kind::Table(&AGENT),
            Default::Unset("none"),
            "A process on the backend's host that says in a line what the backend asks for: `ready`, `weight=50%`, `drain` or \
             `down`.",
            "{ port = 9999 }",
        ),
        not_yet("tls", "A TLS handshake.", "the nearest is `tcp = true`"),
        not_yet("postgres", "A PostgreSQL handshake.", "the nearest is `tcp = true`"),
        not_yet("mysql", "A MySQL handshake.", "the nearest is `tcp = true`"),
        not_yet("redis", "A Redis PING.", "the nearest is `tcp = true` with `send` and `expect`"),
    ],
};

static AGENT: Section = Section {
    heading: "`agent` of a health check",
    about: "Where the agent listens, and how often it is asked.",
    keys: &[
        key("port", PORT, Default::Required, "Its port on the backend's host.", "9999"),
        key("interval", DURATION, Default::Is("\"5s\""), "Between two lines, give or take a tenth.", "\"1s\""),
    ],
};

const STATUSES: Kind =
    Kind::OneOrMore(&Kind::Either(&[Kind::Count { min: 200, max: 599 }, Kind::Text(Form::Statuses)]));

static EXPECTED_REGEX: Section = Section {
    heading: "`body` or `expect` as a regular expression",
    about: "A match anywhere will do, unless the expression is anchored.",
    keys: &[key("regex", Kind::Text(Form::Regex), Default::Required, "The regular expression.", "\"^\\\\+PONG\"")],
};
