//! Keys of the whole process: the top of the file and its single tables.

use super::listener::LISTENER;
use super::pool::POOL;
use super::route::ROUTE;
use super::{Default, Form, Kind, Off, Section, key, not_yet};
use crate::warn;

/// The top of the file.
pub(crate) static ROOT: Section = Section {
    heading: "Top of the file",
    about: "A configuration needs a listener and something for it to do; everything else has a default.",
    keys: &[
        key(
            "include",
            Kind::OneOrMore(&Kind::Text(Form::Glob)),
            Default::Unset("none"),
            "More files to read, relative to this one, in the order of their names. Tables are added to those of this \
             file, routes are appended, and a key defined twice is an error.",
            "[\"conf.d/*.toml\"]",
        ),
        key("runtime", Kind::Table(&RUNTIME), Default::Is("{}"), "How the process runs.", "{ workers = 2 }"),
        key(
            "admin",
            Kind::Table(&ADMIN),
            Default::Is("{}"),
            "Where the admin interface listens.",
            "{ bind = \"127.0.0.1:9900\" }",
        ),
        key(
            "limits",
            Kind::Table(&LIMITS),
            Default::Is("{}"),
            "Limits of the whole process.",
            "{ connections = 20_000 }",
        ),
        key(
            "overload",
            Kind::Table(&OVERLOAD),
            Default::Is("{}"),
            "When requests are refused because the node itself is short of something.",
            "{ lag = \"50ms\" }",
        ),
        key("access_log", Kind::Table(&ACCESS_LOG), Default::Is("{}"), "The access log.", "{ write = \"all\" }"),
        key("check", Kind::Table(&CHECK), Default::Is("{}"), "What `evenkeel check` lets pass.", "{ allow = [] }"),
        key(
            "errors",
            Kind::Map(&Kind::Text(Form::Page)),
            Default::Is("{}"),
            "Own bodies for our own error answers: a status and a file. The content type follows from the file's name.",
            "{ 503 = \"file:sorry.html\" }",
        ),
        key(
            "listener",
            Kind::Map(&Kind::Table(&LISTENER)),
            Default::Is("{}"),
            "Addresses to accept on, by name; at least one.",
            "{ web = { bind = \":80\", pool = \"app\" } }",
        ),
        key(
            "route",
            Kind::List(&Kind::Table(&ROUTE)),
            Default::Is("[]"),
            "Which request leads where.",
            "[{ path = \"/api/*\", pool = \"api\" }]",
        ),
        key(
            "pool",
            Kind::Map(&Kind::Table(&POOL)),
            Default::Is("{}"),
            "Sets of backends, by name.",
            "{ app = { backends = [\"10.0.0.11:8080\", \"10.0.0.12:8080\"] } }",
        ),
        key(
            "cluster",
            Kind::Table(&CLUSTER),
            Default::Is("{}"),
            "What several nodes share.",
            "{ secret = \"${file:/etc/evenkeel/secret}\" }",
        ),
        not_yet("reload", "Watching the file.", "`evenkeel reload` reads the file again"),
    ],
};

static CLUSTER: Section = Section {
    heading: "[cluster]",
    about: "What several nodes share.",
    keys: &[key(
        "secret",
        Kind::Text(Form::Secret),
        Default::Unset("one of this process alone"),
        "What keys are derived from. With the same secret on each node, clients take up their TLS sessions at any of them, \
         and after a restart.",
        "\"${file:/etc/evenkeel/secret}\"",
    )],
};

static RUNTIME: Section = Section {
    heading: "[runtime]",
    about: "How the process runs.",
    keys: &[key(
        "workers",
        Kind::Count { min: 0, max: 1024 },
        Default::Is("0"),
        "Number of workers; 0 is one for each core. It is fixed for the life of the process.",
        "4",
    )],
};

static ADMIN: Section = Section {
    heading: "[admin]",
    about: "The admin interface: status, metrics and commands.",
    keys: &[
        key(
            "bind",
            Kind::OneOrMore(&Kind::Text(Form::Bind)),
            Default::Is("\"127.0.0.1:9900\""),
            "TCP addresses to accept on. Beyond loopback a token is needed. An empty list leaves the socket alone.",
            "\"127.0.0.1:9900\"",
        ),
        key(
            "token",
            Kind::Text(Form::Secret),
            Default::Unset("no token: TCP is read-only, and on loopback alone"),
            "The bearer token that allows changes over TCP.",
            "\"${file:/etc/evenkeel/token}\"",
        ),
        key(
            "socket",
            Kind::Text(Form::Socket),
            Default::Is("\"unix:/run/evenkeel/admin.sock\""),
            "A Unix socket for the command line (mode 0600), or \"off\". That it cannot be made is not an error.",
            "\"unix:/run/evenkeel/admin.sock\"",
        ),
    ],
};

static LIMITS: Section = Section {
    heading: "[limits]",
    about: "Limits of the whole process. Whatever one of them refuses is counted.",
    keys: &[
        key(
            "connections",
            Kind::Count { min: 1, max: 100_000_000 },
            Default::Is("100_000"),
            "Client connections.",
            "20_000",
        ),
        key(
            "header_bytes",
            Kind::Size { off: Off::Refused, min: 1 << 10, max: 1 << 20 },
            Default::Is("\"32KiB\""),
            "Bytes of a request head, and of an answer head.",
            "\"64KiB\"",
        ),
        key("header_fields", Kind::Count { min: 1, max: 10_000 }, Default::Is("100"), "Field lines in a head.", "200"),
        key(
            "target_bytes",
            Kind::Size { off: Off::Refused, min: 64, max: 1 << 20 },
            Default::Is("\"8KiB\""),
            "Bytes of a request target (path and query).",
            "\"16KiB\"",
        ),
        key(
            "body_bytes",
            Kind::Size { off: Off::Allowed, min: 1, max: u64::MAX },
            Default::Is("\"off\""),
            "Bytes of a request body; a route's `limits` narrow or widen it.",
            "\"100MiB\"",
        ),
        key(
            "buffered",
            Kind::Size { off: Off::Refused, min: 64 << 10, max: 1 << 40 },
            Default::Is("\"64MiB\""),
            "Bytes of bodies that `buffer` of routes keeps at once; beyond it bodies go on unbuffered.",
            "\"256MiB\"",
        ),
        key(
            "handshakes",
            Kind::Count { min: 1, max: 1_000_000 },
            Default::Is("2000"),
            "TLS handshakes under way at once. More wait in the order in which they came; of these, those beyond 16 times \
             as many are closed.",
            "500",
        ),
        key(
            "memory",
            Kind::Size { off: Off::Refused, min: 1 << 20, max: u64::MAX },
            Default::Unset("what the control group or the machine has"),
            "Bytes of memory that the process may use; `[overload]` keeps it below.",
            "\"2GiB\"",
        ),
    ],
};

static OVERLOAD: Section = Section {
    heading: "[overload]",
    about: "While the node itself is short of CPU, memory or descriptors, as many requests as it takes are refused with \
            503 and Retry-After: those of `urgency = \"low\"` first, then normal ones, then high ones; one in twenty always \
            passes. Each shortage can be `\"off\"`.",
    keys: &[
        key(
            "lag",
            Kind::Duration { off: Off::Allowed, min_ms: 10 },
            Default::Is("\"100ms\""),
            "CPU: how long the work of a worker that could go on may wait for its turn.",
            "\"50ms\"",
        ),
        key(
            "memory",
            PERCENT_OR_OFF,
            Default::Is("85"),
            "Memory: from so many per cent on of `limits.memory`, or of what the control group or the machine has.",
            "90",
        ),
        key(
            "descriptors",
            PERCENT_OR_OFF,
            Default::Is("85"),
            "Descriptors: from so many per cent on of what the system allows, less a reserve.",
            "90",
        ),
    ],
};

/// A share of a limit in per cent.
const PERCENT_OR_OFF: Kind =
    Kind::Either(&[Kind::Choice { now: &["off"], later: &[] }, Kind::Count { min: 10, max: 96 }]);

static ACCESS_LOG: Section = Section {
    heading: "[access_log]",
    about: "One line for an exchange.",
    keys: &[
        key(
            "write",
            Kind::Choice { now: &["off", "errors", "sampled", "all"], later: &[] },
            Default::Is("\"errors\""),
            "Which exchanges are written. `errors`: those that we answered with an error ourselves, that were cut \
             short, or that a backend answered with 5xx. `sampled`: errors and one in `one_in` of the others.",
            "\"all\"",
        ),
        key(
            "to",
            Kind::Text(Form::Target),
            Default::Is("\"stdout\""),
            "`stdout`, or a file to append to.",
            "\"/var/log/evenkeel/access.log\"",
        ),
        key(
            "one_in",
            Kind::Count { min: 1, max: 1_000_000_000 },
            Default::Is("100"),
            "For `sampled`: one in so many.",
            "1000",
        ),
    ],
};

static CHECK: Section = Section {
    heading: "[check]",
    about: "What `evenkeel check` lets pass.",
    keys: &[key(
        "allow",
        Kind::List(&Kind::Choice { now: warn::CODES, later: &[] }),
        Default::Is("[]"),
        "Codes of warnings that are meant so.",
        "[\"one-backend\"]",
    )],
};
