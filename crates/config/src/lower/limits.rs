//! Rate limits: those of a route and those of a listener.

use policy::limit::{Mode, Rate, RateLimit};

use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::table::Table;
use crate::values::rate;

/// The rate limit of a `limits` table, if it has one; `everybody` is the word for a credit that all share. `None` where a
/// note was made.
pub(super) fn rate(context: &mut Context<'_>, limits: &Table, everybody: &str) -> Option<Option<RateLimit>> {
    let Some(words) = limits.words("rate") else {
        for key in ["burst", "by", "dry_run"] {
            if let Some(at) = limits.written(key) {
                let problem = Problem::new(code::MISSING_KEY, format!("`{key}` without `rate` limits nothing"));
                context.error(at, problem.remedy("add for instance `rate = \"100/s\"`"));
            }
        }
        return Some(None);
    };
    let read = context.take(words.at, rate::parse(words.text));
    let by = limits.words("by")?;
    let by = context.take(by.at, rate::by(by.text, everybody));
    let (requests, window) = read?;
    let rate = Rate { requests, window, burst: limits.count("burst").unwrap_or(requests) };
    let mode = if limits.flag("dry_run")? { Mode::DryRun } else { Mode::Enforce };
    Some(Some(RateLimit { rate, by: by?, mode }))
}
