//! Keys of `[[route]]`.

use super::pool::{body_buffer, budget, connect, first_byte, grpc, hedge, idle, on, per_try, total, tries};
use super::{CIDRS, Default, Form, Kind, Off, Section, key};

const ANY: Default = Default::Unset("any");
const NONE: Default = Default::Unset("none");
const POOLS: Default = Default::Unset("the pool's");

/// Conditions on named values.
const FIELDS: Kind = Kind::Map(&Kind::Either(&[Kind::Text(Form::Text), Kind::Flag, Kind::Table(&REGEX)]));

pub(super) static ROUTE: Section = Section {
    heading: "[[route]]",
    about: "A match and where it leads. All conditions must hold; of several routes that match, the higher `priority` \
            wins, then the more specific host, path, method and number of conditions, then the order in the file. Each \
            route has one action: `pool`, `pools`, `paths`, `answer` or `redirect`.",
    keys: &[
        key("name", Kind::Text(Form::Name), Default::Unset("its number"), "What people call it.", "\"checkout\""),
        key(
            "listener",
            Kind::OneOrMore(&Kind::Text(Form::Listener)),
            Default::Unset("all"),
            "Only requests that came in here.",
            "\"web\"",
        ),
        key(
            "priority",
            Kind::Count { min: -1_000_000, max: 1_000_000 },
            Default::Is("0"),
            "Higher is matched first, before all specificity.",
            "10",
        ),
        key(
            "host",
            Kind::OneOrMore(&Kind::Text(Form::Host)),
            ANY,
            "The host without port: `\"shop.example\"`, or `\"*.shop.example\"` for all below it at any depth, not \
             itself.",
            "[\"shop.example\", \"*.shop.example\"]",
        ),
        key(
            "path",
            Kind::OneOrMore(&Kind::Either(&[Kind::Text(Form::Path), Kind::Table(&REGEX)])),
            ANY,
            "The normalised path: `\"/about\"` alone, `\"/api/*\"` for `/api` and everything below it, or a regular \
             expression for the whole path.",
            "\"/api/*\"",
        ),
        key(
            "grpc",
            Kind::OneOrMore(&Kind::Text(Form::Text)),
            ANY,
            "gRPC services and methods, in place of `path`: `\"package.Service\"` stands for `\"/package.Service/*\"`, \
             `\"package.Service/Method\"` for `\"/package.Service/Method\"`.",
            "[\"shop.Orders\", \"shop.Stock/Watch\"]",
        ),
        key("methods", Kind::OneOrMore(&Kind::Text(Form::Method)), ANY, "Request methods.", "[\"GET\", \"HEAD\"]"),
        key(
            "headers",
            FIELDS,
            ANY,
            "Header fields: exact value, `true` (there), `false` (not there) or a regular expression.",
            "{ x-beta-user = \"true\", x-debug = true, user-agent = { regex = \".*Mobile.*\" } }",
        ),
        key("query", FIELDS, ANY, "Query parameters, decoded; as `headers`.", "{ version = \"2\" }"),
        key("cookies", FIELDS, ANY, "Cookies; as `headers`.", "{ beta = true }"),
        key("client", CIDRS, ANY, "Client addresses.", "[\"10.0.0.0/8\"]"),
        key("pool", Kind::Text(Form::Pool), NONE, "Action: to this pool.", "\"app\""),
        key(
            "pools",
            Kind::Map(&Kind::Count { min: 0, max: 1_000_000 }),
            NONE,
            "Action: shared among pools by weight; 0 takes nothing.",
            "{ app = 95, beta = 5 }",
        ),
        key(
            "split",
            Kind::Choice { now: &["request", "client"], later: &[("sticky", "the nearest is `client`")] },
            Default::Unset("`\"request\"`"),
            "For `pools`: each request is thrown anew, or a client address stays where it is.",
            "\"client\"",
        ),
        key(
            "paths",
            Kind::Map(&Kind::Text(Form::Pool)),
            NONE,
            "Action: shorthand for several routes, a path and its pool each.",
            "{ \"/api/*\" = \"api\", \"/*\" = \"app\" }",
        ),
        key("answer", Kind::Table(&ANSWER), NONE, "Action: a fixed answer.", "{ status = 410, body = \"gone\" }"),
        key(
            "redirect",
            Kind::Either(&[Kind::Text(Form::Template), Kind::Table(&REDIRECT)]),
            NONE,
            "Action: a redirect, 308 unless the table says otherwise.",
            "\"https://{host}{path}{query}\"",
        ),
        key(
            "rewrite",
            Kind::Either(&[Kind::Text(Form::Path), Kind::Table(&REWRITE)]),
            NONE,
            "The path that the backend sees; the query stays. `\"/v2/*\"` puts `/v2` in the place of the prefix that \
             matched; a path without star replaces the whole.",
            "\"/v2/*\"",
        ),
        key(
            "request_headers",
            Kind::Table(&REQUEST_HEADERS),
            Default::Is("{}"),
            "Changes of the fields that backends see.",
            "{ set = { x-team = \"shop\" }, remove = [\"x-debug\"] }",
        ),
        key(
            "response_headers",
            Kind::Table(&RESPONSE_HEADERS),
            Default::Is("{}"),
            "Changes of the fields that clients see.",
            "{ set = { x-frame-options = \"DENY\" }, remove = \"server\" }",
        ),
        key(
            "timeouts",
            Kind::Table(&TIMEOUTS),
            Default::Is("{}"),
            "Timeouts that differ from the pool's.",
            "{ first_byte = \"5m\" }",
        ),
        key("retry", Kind::Table(&RETRY), Default::Is("{}"), "Retries that differ from the pool's.", "{ tries = 1 }"),
        hedge(POOLS),
        key(
            "limits",
            Kind::Table(&LIMITS),
            Default::Is("{}"),
            "Limits of bodies and rates.",
            "{ body = \"1GiB\", rate = \"100/s\" }",
        ),
        key(
            "urgency",
            Kind::Choice { now: &["high", "normal", "low"], later: &[] },
            Default::Is("\"normal\""),
            "Who goes first when requests wait in a pool's `queue`: all `high` before `normal` before `low`.",
            "\"high\"",
        ),
        key(
            "buffer",
            Kind::Either(&[Kind::Flag, Kind::Table(&BUFFER)]),
            Default::Is("false"),
            "Spares backends slow clients: takes whole requests in before a backend is asked, and reads answers ahead. \
             `true` stands for `{ request = \"1MiB\", response = \"256KiB\" }`.",
            "{ request = \"1MiB\", response = \"256KiB\" }",
        ),
    ],
};

static REGEX: Section = Section {
    heading: "A regular expression",
    about: "A condition that a whole value must match.",
    keys: &[key(
        "regex",
        Kind::Text(Form::Regex),
        Default::Required,
        "A regular expression that matches the whole value.",
        "\"/user/[0-9]+\"",
    )],
};

static ANSWER: Section = Section {
    heading: "`answer` of a route",
    about: "A fixed answer.",
    keys: &[
        key("status", Kind::Count { min: 200, max: 599 }, Default::Is("200"), "The status.", "503"),
        key("body", Kind::Text(Form::Text), Default::Unset("empty"), "The body as text.", "\"back soon\""),
        key(
            "file",
            Kind::Text(Form::File),
            NONE,
            "A file whose text is the body, instead of `body`.",
            "\"sorry.html\"",
        ),
        key(
            "headers",
            Kind::Map(&Kind::Text(Form::Text)),
            Default::Is("{}"),
            "Header fields. The content type follows from the file's name, else it is text/plain.",
            "{ retry-after = \"60\" }",
        ),
    ],
};

static REDIRECT: Section = Section {
    heading: "`redirect` of a route",
    about: "The long form of a redirect. Places in `to`: `{host}`, `{path}`, `{rest}` (what `*` stood for), `{query}` (with \
            its `?`), `{scheme}`, `{client}`, `{request_id}`; `{{` and `}}` stand for braces.",
    keys: &[
        key(
            "to",
            Kind::Text(Form::Template),
            Default::Required,
            "An absolute URL, or a path on the same host.",
            "\"https://new.example{path}{query}\"",
        ),
        key("status", Kind::Count { min: 301, max: 308 }, Default::Is("308"), "301, 302, 303, 307 or 308.", "302"),
    ],
};

static REWRITE: Section = Section {
    heading: "`rewrite` of a route",
    about: "The long form of a rewrite.",
    keys: &[
        key(
            "regex",
            Kind::Text(Form::Regex),
            Default::Required,
            "A regular expression that matches the whole path.",
            "\"/user/([0-9]+)/photo\"",
        ),
        key(
            "to",
            Kind::Text(Form::Text),
            Default::Required,
            "The new path; `$1` stands for the first group, `$name` for a named one.",
            "\"/photos/$1\"",
        ),
    ],
};

static REQUEST_HEADERS: Section = Section {
    heading: "`request_headers` of a route",
    about: "First `remove`, then `set`, then `add`. Framing and connection fields and Host cannot be changed. Places as in \
            `redirect`.",
    keys: &FIELD_RULES,
};

static RESPONSE_HEADERS: Section = Section {
    heading: "`response_headers` of a route",
    about: "As `request_headers`, for the fields that clients see.",
    keys: &FIELD_RULES,
};

const FIELD_RULES: [super::Key; 3] = [
    key(
        "set",
        Kind::Map(&Kind::Text(Form::Template)),
        Default::Is("{}"),
        "Replaces all fields of that name.",
        "{ x-real-ip = \"{client}\" }",
    ),
    key("add", Kind::Map(&Kind::Text(Form::Template)), Default::Is("{}"), "Adds a field.", "{ vary = \"origin\" }"),
    key(
        "remove",
        Kind::OneOrMore(&Kind::Text(Form::Field)),
        NONE,
        "Removes all fields of these names.",
        "[\"server\"]",
    ),
];

static TIMEOUTS: Section = Section {
    heading: "`timeouts` of a route",
    about: "Timeouts that differ from the pool's.",
    keys: &[connect(POOLS), first_byte(POOLS), idle(POOLS), total(POOLS)],
};

static RETRY: Section = Section {
    heading: "`retry` of a route",
    about: "Retries that differ from the pool's.",
    keys: &[tries(POOLS), per_try(POOLS), on(POOLS), grpc(POOLS), budget(POOLS), body_buffer(POOLS)],
};

static LIMITS: Section = Section {
    heading: "`limits` of a route",
    about: "Limits of what goes this way. Who exceeds the rate gets 429 with Retry-After; it holds for the whole process.",
    keys: &[
        key(
            "body",
            Kind::Size { off: Off::Allowed, min: 1, max: u64::MAX },
            Default::Unset("`limits.body_bytes`"),
            "Bytes of a request body.",
            "\"10MiB\"",
        ),
        RATE,
        BURST,
        key(
            "by",
            Kind::Text(Form::Sharing),
            Default::Is("\"client\""),
            "Who shares one rate: `client` (an IPv4 address, an IPv6 /64), `client/24` or `client/24/48` (networks, IPv4 and \
             IPv6), `header:NAME` (each value; without the field, the client), `route` (all together).",
            "\"header:x-api-key\"",
        ),
        DRY_RUN,
    ],
};

static BUFFER: Section = Section {
    heading: "`buffer` of a route",
    about: "What is kept of bodies so that slow clients do not hold a backend. `limits.buffered` bounds all of them.",
    keys: &[
        key(
            "request",
            Kind::Size { off: Off::Allowed, min: 1 << 10, max: 1 << 30 },
            Default::Is("\"off\""),
            "Bytes of a request body that are read to its end before a backend is picked.",
            "\"1MiB\"",
        ),
        key(
            "beyond",
            Kind::Choice { now: &["stream", "refuse"], later: &[] },
            Default::Is("\"stream\""),
            "What becomes of a larger request body: `stream` sends it on as it comes, `refuse` answers 413.",
            "\"refuse\"",
        ),
        key(
            "response",
            Kind::Size { off: Off::Allowed, min: 1 << 10, max: 1 << 30 },
            Default::Is("\"off\""),
            "Bytes of an answer that are read ahead of a client that takes them slowly.",
            "\"256KiB\"",
        ),
    ],
};

pub(super) const RATE: super::Key = key(
    "rate",
    Kind::Text(Form::Rate),
    Default::Unset("no limit"),
    "Requests in a second (`s`), minute (`m`) or hour (`h`), evenly spread but for `burst`.",
    "\"100/s\"",
);
pub(super) const BURST: super::Key = key(
    "burst",
    Kind::Count { min: 1, max: 1_000_000 },
    Default::Unset("as many as `rate` counts"),
    "Requests that may come at once after a pause.",
    "200",
);
pub(super) const DRY_RUN: super::Key =
    key("dry_run", Kind::Flag, Default::Is("false"), "Refuses nothing, only counts what it would refuse.", "true");
