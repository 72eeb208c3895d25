//! Keys of `[pool.NAME.breaker]`.

use super::eject::{GRPC, STATUSES};
use super::{Default, Kind, Off, Section, key};

const DURATION: Kind = Kind::Duration { off: Off::Refused, min_ms: 10 };

pub(super) static BREAKER: Section = Section {
    heading: "[pool.NAME.breaker]",
    about: "When a pool that fails as a whole is asked no more (docs/retries.md): requests get 503 with Retry-After at \
            once, until a few trials have passed. Failures are those of `eject`, with the statuses below.",
    keys: &[
        key(
            "failure_rate",
            Kind::Count { min: 1, max: 100 },
            Default::Is("50"),
            "The share of failed attempts that opens the circuit, in per cent.",
            "80",
        ),
        key(
            "requests",
            Kind::Count { min: 1, max: 1_000_000 },
            Default::Is("50"),
            "Attempts within `window` that a judgement needs, over all workers.",
            "20",
        ),
        key(
            "window",
            Kind::Duration { off: Off::Refused, min_ms: 100 },
            Default::Is("\"5s\""),
            "How far it looks back.",
            "\"10s\"",
        ),
        key(
            "for",
            DURATION,
            Default::Is("\"1s\""),
            "How long the circuit stays open before requests try the pool. Each time that a trial fails it is twice as \
             long; ten times this without opening halves it again.",
            "\"5s\"",
        ),
        key("max_for", DURATION, Default::Is("\"30s\""), "The longest.", "\"2m\""),
        key(
            "trials",
            Kind::Count { min: 1, max: 1000 },
            Default::Is("3"),
            "Requests that try the pool at a time, and that must pass to close the circuit.",
            "10",
        ),
        STATUSES,
        GRPC,
    ],
};
