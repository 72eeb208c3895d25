//! Keys of `[pool.NAME]`, and those that routes share with it.

use super::eject::{EJECT, OFF};
use super::health::HEALTH;
use super::{DURATION_OR_OFF, Default, Form, Key, Kind, Off, Section, key, not_yet};

/// Most that may be written for a cap.
const MAX_REQUESTS: i64 = 1_000_000;

pub(super) static POOL: Section = Section {
    heading: "[pool.NAME]",
    about: "A named set of backends, and how they are chosen, checked and spoken to.",
    keys: &[
        key(
            "policy",
            Kind::Either(&[
                Kind::Choice {
                    now: &["round-robin", "random", "least-requests", "power-of-two", "ip-hash", "first"],
                    later: &[
                        ("peak-ewma", "the nearest is `least-requests`"),
                        ("maglev", "the nearest is `ip-hash`"),
                        ("hash", "the nearest is `ip-hash`"),
                    ],
                },
                Kind::NotYet("the nearest is `policy = \"ip-hash\"`"),
            ]),
            Default::Is("\"round-robin\""),
            "How a backend is picked. `round-robin` (smooth, by weight), `random` (by weight), `least-requests` (by \
             weight), `power-of-two` (the less loaded of two thrown), `ip-hash` (by client address, IPv6 by /64), \
             `first` (the first in the file that can).",
            "\"least-requests\"",
        ),
        key(
            "backends",
            Kind::List(&Kind::Either(&[Kind::Text(Form::Backend), Kind::Table(&BACKEND)])),
            Default::Required,
            "The servers: `\"host:port\"`, `\"http://host\"`, `\"unix:/path\"`, or tables. Names are resolved again and \
             again while running.",
            "[\"10.0.0.11:8080\", { address = \"10.0.0.12:8080\", weight = 2 }]",
        ),
        key(
            "health",
            Kind::Either(&[Kind::Text(Form::Health), Kind::Table(&HEALTH)]),
            Default::Is("\"alive\""),
            "The active check. `\"/path\"`: GET, passes with 200 to 399. `\"alive\"`: HEAD /, passes with any \
             well-formed answer below 500, or 501. `\"tcp\"`: connects, which a hung process passes. `\"off\"`. Or the \
             table below.",
            "\"/healthz\"",
        ),
        key(
            "host",
            Kind::Text(Form::Text),
            Default::Unset("as the client sent it"),
            "The Host field that backends see.",
            "\"app.internal\"",
        ),
        key(
            "send_proxy",
            Kind::Choice { now: &["v1", "v2", "off"], later: &[] },
            Default::Is("\"off\""),
            "Sends a PROXY header of this version first on each connection.",
            "\"v2\"",
        ),
        key("forwarded", Kind::Flag, Default::Is("false"), "Adds the Forwarded field (RFC 7239).", "true"),
        key(
            "idle_connections",
            Kind::Count { min: 0, max: 100_000 },
            Default::Is("256"),
            "Idle connections kept for each backend and worker; 0 keeps none.",
            "64",
        ),
        key(
            "timeouts",
            Kind::Table(&TIMEOUTS),
            Default::Is("{}"),
            "Longest waits on the backend side.",
            "{ first_byte = \"60s\" }",
        ),
        key(
            "retry",
            Kind::Table(&RETRY),
            Default::Is("{}"),
            "When a failed attempt is repeated at another backend.",
            "{ tries = 2 }",
        ),
        key(
            "max_requests",
            CAP,
            Default::Unset("no cap"),
            "Most running requests for each backend, over the whole process. Beyond it they wait in `queue`. `\"auto\"`, or \
             the table below, finds the cap at run time by the backend's latency.",
            "1000",
        ),
        key(
            "max_connections",
            Kind::Count { min: 1, max: MAX_REQUESTS },
            Default::Unset("no cap"),
            "Most connections to each backend, idle ones and tunnels included, over the whole process; probes are not \
             counted. Beyond it requests wait in `queue`.",
            "200",
        ),
        key(
            "queue",
            Kind::Table(&QUEUE),
            Default::Is("{}"),
            "Where requests wait while every backend that could take them is at its cap.",
            "{ size = 200, timeout = \"2s\" }",
        ),
        key(
            "slow_start",
            DURATION_OR_OFF,
            Default::Is("\"off\""),
            "A backend that was out returns with 5 % of its weight, and gets all of it after this time, growing evenly.",
            "\"30s\"",
        ),
        not_yet("sticky", "Keeps a client at its backend.", "the nearest is `policy = \"ip-hash\"`"),
        key(
            "eject",
            Kind::Either(&[OFF, Kind::Table(&EJECT)]),
            Default::Is("{}"),
            "Passive health: takes a backend out by what real requests show; `\"off\"` leaves that to the probes.",
            "{ failures = 5, for = \"2s\" }",
        ),
    ],
};

const CAP: Kind = Kind::Either(&[
    Kind::Count { min: 1, max: MAX_REQUESTS },
    Kind::Choice { now: &["auto"], later: &[] },
    Kind::Table(&ADAPTIVE),
]);

static ADAPTIVE: Section = Section {
    heading: "[pool.NAME.max_requests]",
    about: "A cap that is found at run time: it grows while the backend answers as fast as when it is not busy, and shrinks \
            when it does not. `max_requests = \"auto\"` is this table with its defaults.",
    keys: &[
        key("min", Kind::Count { min: 1, max: MAX_REQUESTS }, Default::Is("4"), "Never below this.", "10"),
        key("max", Kind::Count { min: 1, max: MAX_REQUESTS }, Default::Is("1000"), "Never above this.", "200"),
    ],
};

static QUEUE: Section = Section {
    heading: "[pool.NAME.queue]",
    about: "The queue before a pool with `max_requests` or `max_connections`: first come, first served within an `urgency` of routes. Who finds \
            it full, or waits too long, gets 503 with Retry-After.",
    keys: &[
        key(
            "size",
            Kind::Count { min: 0, max: 1_000_000 },
            Default::Is("1000"),
            "Most requests that wait; 0 refuses at once.",
            "200",
        ),
        key("timeout", DURATION_OR_OFF, Default::Is("\"5s\""), "Longest wait.", "\"2s\""),
        key(
            "shed",
            Kind::Flag,
            Default::Is("true"),
            "In a surge (more come than can be served, so that some must be refused) hardly more wait than run: the most \
             urgent, and of these the newest; the others get 503 at once. `false` lets them wait until `timeout`.",
            "false",
        ),
    ],
};

static BACKEND: Section = Section {
    heading: "A backend in `backends`",
    about: "The long form of a backend.",
    keys: &[
        key(
            "address",
            Kind::Text(Form::Backend),
            Default::Required,
            "`\"host:port\"`, `\"http://host\"` (port 80 unless told) or `\"unix:/path\"`.",
            "\"10.0.0.12:8080\"",
        ),
        key("name", Kind::Text(Form::Name), Default::Unset("its address"), "What people call it.", "\"blue\""),
        key(
            "weight",
            Kind::Count { min: 1, max: 1000 },
            Default::Is("1"),
            "Its share of the work, relative to the others.",
            "2",
        ),
        key(
            "tier",
            Kind::Count { min: 0, max: 255 },
            Default::Is("0"),
            "Backends of a higher tier work only when none of a lower one is ready.",
            "1",
        ),
        key(
            "state",
            Kind::Choice { now: &["ready", "drained", "down"], later: &[] },
            Default::Is("\"ready\""),
            "`drained` takes no new work; `down` is out.",
            "\"drained\"",
        ),
        key("max_requests", CAP, Default::Unset("the pool's"), "Most running requests for this backend.", "200"),
        key(
            "max_connections",
            Kind::Count { min: 1, max: MAX_REQUESTS },
            Default::Unset("the pool's"),
            "Most connections to this backend.",
            "100",
        ),
    ],
};

static TIMEOUTS: Section = Section {
    heading: "[pool.NAME.timeouts]",
    about: "Longest waits on the backend side; `\"off\"` switches one off.",
    keys: &[
        connect(Default::Is("\"2s\"")),
        first_byte(Default::Is("\"30s\"")),
        idle(Default::Is("\"60s\"")),
        total(Default::Is("\"off\"")),
        key(
            "keep_alive",
            DURATION_OR_OFF,
            Default::Is("\"30s\""),
            "How long an idle connection is kept for the next request.",
            "\"10s\"",
        ),
    ],
};

static RETRY: Section = Section {
    heading: "[pool.NAME.retry]",
    about: "When a failed attempt is repeated at another backend. What was never written may be repeated for every \
            method, all else for idempotent ones.",
    keys: &[
        tries(Default::Is("3")),
        on(Default::Is("[\"connect\", \"reset\", \"timeout\", 502, 503]")),
        budget(Default::Is("20")),
        body_buffer(Default::Is("\"64KiB\"")),
    ],
};

pub(super) const fn connect(default: Default) -> Key {
    key("connect", DURATION_OR_OFF, default, "For a connection.", "\"1s\"")
}

pub(super) const fn first_byte(default: Default) -> Key {
    let meaning = "From the end of the request to the first byte of the answer.";
    key("first_byte", DURATION_OR_OFF, default, meaning, "\"10s\"")
}

pub(super) const fn idle(default: Default) -> Key {
    let meaning = "Longest silence while the answer's body is under way.";
    key("idle", DURATION_OR_OFF, default, meaning, "\"2m\"")
}

pub(super) const fn total(default: Default) -> Key {
    key("total", DURATION_OR_OFF, default, "The whole exchange, retries included.", "\"5m\"")
}

pub(super) const fn tries(default: Default) -> Key {
    let kind = Kind::Count { min: 1, max: 10 };
    key("tries", kind, default, "Attempts in all, the first included; 1 switches retries off.", "2")
}

pub(super) const fn on(default: Default) -> Key {
    let kind = Kind::List(&Kind::Either(&[
        Kind::Choice { now: &["connect", "reset", "timeout"], later: &[] },
        Kind::Count { min: 400, max: 599 },
    ]));
    let meaning = "What is repeated: `connect` (no connection, or nothing was written), `reset` (it broke before the \
                   first byte of the answer), `timeout` (no first byte in time), and answer statuses.";
    key("on", kind, default, meaning, "[\"connect\", 503]")
}

pub(super) const fn budget(default: Default) -> Key {
    let kind = Kind::Count { min: 0, max: 100 };
    let meaning = "Retries in per cent of a pool's requests, with a floor of 10 a second.";
    key("budget", kind, default, meaning, "10")
}

pub(super) const fn body_buffer(default: Default) -> Key {
    let kind = Kind::Size { off: Off::Allowed, min: 1, max: 64 << 20 };
    let meaning = "Bytes of a sent request body that are kept for a repetition.";
    key("body_buffer", kind, default, meaning, "\"256KiB\"")
}
