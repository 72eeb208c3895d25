//! Keys of `[pool.NAME]`, and those that routes share with it.

use wire::grpc::Status;

use super::breaker::BREAKER;
use super::eject::{EJECT, OFF};
use super::health::HEALTH;
use super::hedge::HEDGE;
use super::tls::POOL_TLS;
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
                    now: &[
                        "round-robin",
                        "random",
                        "least-requests",
                        "power-of-two",
                        "peak-ewma",
                        "ip-hash",
                        "maglev",
                        "first",
                    ],
                    later: &[],
                },
                Kind::Table(&POLICY),
            ]),
            Default::Is("\"round-robin\""),
            "How a backend is picked; docs/policies.md says which for which work. `round-robin` (smooth, by weight), \
             `random` (by weight), `least-requests` (by weight), `power-of-two` (the less loaded of two thrown), \
             `peak-ewma` (of two thrown the one with less latency times load), `ip-hash` (by client address, IPv6 by \
             /64), `maglev` (the same by a table), `first` (the first in the file that can). Or the table below.",
            "\"least-requests\"",
        ),
        key(
            "backends",
            Kind::List(&Kind::Either(&[Kind::Text(Form::Backend), Kind::Table(&BACKEND)])),
            Default::Required,
            "The servers, 65,535 at most: `\"host:port\"`, `\"http://host\"`, `\"https://host\"`, `\"h2c://host\"`, `\"h2://host\"`, `\"unix:/path\"`, or tables. Names are resolved again and \
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
            "tls",
            Kind::Table(&POOL_TLS),
            Default::Unset("verified by what the system trusts"),
            "How backends of `https://` are verified.",
            "{ ca = \"backends-ca.pem\", name = \"app.internal\" }",
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
        hedge(Default::Is("\"off\"")),
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
        key(
            "spill_over",
            Kind::Either(&[OFF, Kind::Table(&SPILL_OVER)]),
            Default::Is("\"off\""),
            "When requests go to a higher tier although a lower one has ready backends.",
            "{ below = 60 }",
        ),
        key(
            "subset",
            Kind::Either(&[OFF, Kind::Table(&SUBSET)]),
            Default::Is("\"off\""),
            "Many nodes before many backends: each node uses a part of them, chosen by its name.",
            "{ size = 20 }",
        ),
        not_yet("sticky", "Keeps a client at its backend.", "the nearest is `policy = \"ip-hash\"`"),
        key(
            "eject",
            Kind::Either(&[OFF, Kind::Table(&EJECT)]),
            Default::Is("{}"),
            "Passive health: takes a backend out by what real requests show; `\"off\"` leaves that to the probes.",
            "{ failures = 5, for = \"2s\" }",
        ),
        key(
            "breaker",
            Kind::Either(&[OFF, Kind::Table(&BREAKER)]),
            Default::Is("\"off\""),
            "The circuit breaker: refuses requests at once while too many attempts at the whole pool fail.",
            "{ failure_rate = 50, requests = 50, for = \"1s\" }",
        ),
        key(
            "panic",
            Kind::Choice { now: &["spread", "refuse"], later: &[] },
            Default::Is("\"spread\""),
            "What happens to requests while every backend is ejected or down: `spread` asks these, `refuse` gives 503 with \
             Retry-After at once.",
            "\"refuse\"",
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
            "Most requests that wait; 0 refuses at once. So many may also wait for a pool whose every backend refuses.",
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

static POLICY: Section = Section {
    heading: "[pool.NAME.policy]",
    about: "Policies that keep requests with the same key at the same backend, while that is there. One of `hash` and \
            `maglev` says by what key: `client` (the client address, IPv6 by /64), `path` (without the query), \
            `header:NAME`, `cookie:NAME` or `query:NAME`. A request without such a value, or with an empty one, goes by \
            its client address.",
    keys: &[
        key(
            "hash",
            Kind::Text(Form::HashKey),
            Default::Unset("not this policy"),
            "By rendezvous: a backend that comes or goes moves no keys but its own.",
            "\"header:x-user\"",
        ),
        key(
            "maglev",
            Kind::Text(Form::HashKey),
            Default::Unset("not this policy"),
            "By a table: evener shares; a backend that comes or goes moves some other keys, too.",
            "\"cookie:session\"",
        ),
        key(
            "among",
            Kind::Count { min: 1, max: 100 },
            Default::Is("1"),
            "How many backends share a key: the least loaded of them takes each request. A key that breaks all of its \
             backends leaves nearly every other key one that works.",
            "3",
        ),
        key(
            "bounded",
            Kind::Ratio { min_percent: 101, max_percent: 1000 },
            Default::Unset("no bound"),
            "No backend takes more than so many times the mean of running requests (by weight); the next in the key's \
             own order does.",
            "1.25",
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
            "`\"host:port\"`, `\"http://host\"` (port 80 unless told), `\"https://host\"` (port 443 unless told) or \
             `\"unix:/path\"`.",
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
        per_try(Default::Is("\"off\"")),
        on(Default::Is("[\"connect\", \"reset\", \"timeout\", 502, 503]")),
        grpc(Default::Is("[]")),
        budget(Default::Is("20")),
        body_buffer(Default::Is("\"64KiB\"")),
    ],
};

pub(super) const fn hedge(default: Default) -> Key {
    const KINDS: &[Kind] = &[OFF, Kind::Table(&HEDGE)];
    let meaning = "Sends a second attempt after a first one that is slow to answer; the first answer wins.";
    key("hedge", Kind::Either(KINDS), default, meaning, "{ after = \"p95\", budget = 5 }")
}

pub(super) const fn connect(default: Default) -> Key {
    let meaning = "For a connection; so long, too, waits who finds that every backend refuses (docs/reliability.md).";
    key("connect", DURATION_OR_OFF, default, meaning, "\"1s\"")
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
    let meaning = "Attempts that may reach a backend, the first included; 1 switches retries off. A kept connection that has \
                   ended meanwhile is replaced even so: that is no retry.";
    key("tries", kind, default, meaning, "2")
}

pub(super) const fn per_try(default: Default) -> Key {
    let meaning = "The longest that an attempt may take to the head of its answer, connecting included, while another \
                   backend can be tried; the last attempt has all the time that `timeouts` give.";
    key("per_try", DURATION_OR_OFF, default, meaning, "\"500ms\"")
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

/// Statuses of gRPC that say a failure.
pub(super) const GRPC_STATUSES: Kind = Kind::List(&Kind::Choice { now: GRPC_FAILURES, later: &[] });
const GRPC_FAILURES: &[&str] = Status::NAMES.as_slice().split_at(1).1;

pub(super) const fn grpc(default: Default) -> Key {
    let meaning = "Statuses of gRPC calls that are repeated, whatever their method does: only where the answer is no \
                   more than the status. Requests are kept for it up to `body_buffer`.";
    key("grpc", GRPC_STATUSES, default, meaning, "[\"unavailable\"]")
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

static SPILL_OVER: Section = Section {
    heading: "[pool.NAME.spill_over]",
    about: "A tier that is short of ready backends gives a part of its requests to the next, before the rest of it drowns. \
            Backends that are drained or down by hand count neither way.",
    keys: &[
        key(
            "below",
            Kind::Count { min: 1, max: 100 },
            Default::Is("70"),
            "While less than this of a tier is ready, in per cent by weight, it takes only as much of its requests as it \
             is ready by this measure: with 70, a tier of which 35 % is ready takes half of them. Policies that hash \
             send the same keys on.",
            "60",
        ),
        key(
            "full",
            Kind::Flag,
            Default::Is("false"),
            "Whether a request that finds all backends of a tier at their caps goes to the next tier, too, instead of \
             waiting.",
            "true",
        ),
    ],
};

static SUBSET: Section = Section {
    heading: "[pool.NAME.subset]",
    about: "Keeps the connections of many nodes from multiplying: each node sends to a part of the pool only. A backend \
            that goes is replaced by one other; no node changes more.",
    keys: &[
        key(
            "size",
            Kind::Count { min: 1, max: 65_535 },
            Default::Is("20"),
            "Backends that this node uses of those that are ready (and of the same tier).",
            "50",
        ),
        key(
            "node",
            Kind::Text(Form::Text),
            Default::Unset("the name of the host"),
            "The name of this node; each should have its own.",
            "\"${env:POD_NAME}\"",
        ),
    ],
};
