//! Keys of `hedge`, of a pool or a route.

use super::{Default, Form, Kind, Section, key};

pub(super) static HEDGE: Section = Section {
    heading: "`hedge` of a pool or a route",
    about: "A second attempt beside a first one that is slow to answer, at another backend: the first answer wins \
            (docs/retries.md). Only for idempotent requests whose body, if any, is kept whole (`retry.body_buffer`); it \
            counts as one of `retry.tries`.",
    keys: &[
        key(
            "after",
            Kind::Text(Form::Delay),
            Default::Is("\"p95\""),
            "When the second attempt begins: after a time such as \"200ms\", or as late as this percentile of the pool's \
             latencies of the last seconds, from p50 to p99.9; nothing is hedged while a worker has seen too few.",
            "\"200ms\"",
        ),
        key(
            "budget",
            Kind::Count { min: 1, max: 100 },
            Default::Is("5"),
            "Second attempts in per cent of the requests that may have one, with a floor of 10 a second for the pool.",
            "10",
        ),
    ],
};
