//! Keys of `[pool.NAME.eject]`.

use super::pool::GRPC_STATUSES;
use super::{Default, Key, Kind, Off, Section, key};

const DURATION: Kind = Kind::Duration { off: Off::Refused, min_ms: 10 };
pub(super) const OFF: Kind = Kind::Choice { now: &["off"], later: &[] };
pub(super) const STATUSES: Key = key(
    "statuses",
    Kind::List(&Kind::Count { min: 400, max: 599 }),
    Default::Is("[502, 503, 504]"),
    "Statuses of answers that count as failures.",
    "[500, 502, 503, 504]",
);

pub(super) const GRPC: Key = key(
    "grpc",
    GRPC_STATUSES,
    Default::Is("[\"unavailable\"]"),
    "Statuses of gRPC calls that count as failures.",
    "[\"unavailable\", \"internal\"]",
);

pub(super) static EJECT: Section = Section {
    heading: "[pool.NAME.eject]",
    about: "When real requests take a backend out (docs/reliability.md). Failures are: no connection, a reset, no first \
            byte in time, an answer that is no HTTP or is cut short, and the statuses below. What fails at every \
            backend alike ejects none, unless `max_share` is 100.",
    keys: &[
        key(
            "failures",
            Kind::Count { min: 1, max: 1000 },
            Default::Is("3"),
            "Failures in a row, over all workers, that eject a backend.",
            "5",
        ),
        key(
            "for",
            DURATION,
            Default::Is("\"1s\""),
            "How long the first ejection lasts. Each further one lasts twice as long; ten times this without one halves \
             it again.",
            "\"5s\"",
        ),
        key("max_for", DURATION, Default::Is("\"60s\""), "The longest ejection.", "\"5m\""),
        key(
            "max_share",
            Kind::Count { min: 1, max: 100 },
            Default::Is("50"),
            "Most backends of the pool that may be ejected or down, in per cent; beyond it no more are ejected. At \
             least one may, never all; but 100 judges each backend alone, and may eject all.",
            "30",
        ),
        STATUSES,
        GRPC,
        key(
            "failure_rate",
            Kind::Either(&[OFF, Kind::Table(&FAILURE_RATE)]),
            Default::Is("{}"),
            "Ejects a backend that fails too large a share of its attempts within ten seconds.",
            "{ percent = 20, requests = 100 }",
        ),
        key(
            "latency",
            Kind::Either(&[OFF, Kind::Table(&LATENCY)]),
            Default::Is("\"off\""),
            "Ejects a backend whose first bytes take many times longer than the others' (and 10 ms more).",
            "{ factor = 5, requests = 50 }",
        ),
    ],
};

static FAILURE_RATE: Section = Section {
    heading: "[pool.NAME.eject.failure_rate]",
    about: "The rule for a backend that fails now and then.",
    keys: &[
        key("percent", Kind::Count { min: 1, max: 100 }, Default::Is("50"), "The share that ejects it.", "20"),
        key(
            "requests",
            Kind::Count { min: 1, max: 1_000_000 },
            Default::Is("20"),
            "Attempts within ten seconds that a judgement needs.",
            "100",
        ),
    ],
};

static LATENCY: Section = Section {
    heading: "[pool.NAME.eject.latency]",
    about: "The rule for a backend that is slower than the others.",
    keys: &[
        key(
            "factor",
            Kind::Count { min: 2, max: 1000 },
            Default::Is("5"),
            "So many times the median of the other backends.",
            "10",
        ),
        key(
            "requests",
            Kind::Count { min: 1, max: 1_000_000 },
            Default::Is("50"),
            "Answers within ten seconds that a judgement needs, of each backend.",
            "200",
        ),
    ],
};
