//! Rate limits on the road of a request.
//!
//! Owns asking, counting, and the fields of the refusal. What a rate means is [`policy::limit`]'s, the state of all keys
//! [`crate::credits`]'s. Driven by the exchange, for the listener before and for the route after routing.

use std::borrow::Cow;

use policy::limit::{Asker, Mode, RateLimit, Verdict};

use super::facts::Facts;
use crate::cause::{Cause, Whose};
use crate::seam::Downstream;
use crate::worker::Worker;

/// Judges a request by the limit of its route, or by that of its listener while it has no route yet.
pub(super) fn check<D: Downstream>(worker: &Worker, down: &D, facts: &Facts, limit: &RateLimit) -> Result<(), Cause> {
    let (head, buf) = down.head();
    let listener = usize::from(down.peer().listener.0);
    let (whose, table) = match facts.route {
        Some(id) => (Whose::Route, worker.shared.credits.of_route(id)),
        None => (Whose::Listener, worker.shared.credits.of_listener(listener)),
    };
    let Some(table) = table else { return Ok(()) };
    let verdict = table.judge(limit, &Asker { client: facts.client, head, buf });
    let Verdict::Refuse { wait } = verdict else { return Ok(()) };
    let counters = &worker.counters().listeners[listener];
    let route = facts.route.map(|id| &worker.counters().routes[id.0 as usize]);
    if limit.mode == Mode::DryRun {
        counters.would_limit.add(1);
        route.inspect(|route| route.would_limit.add(1));
        return Ok(());
    }
    counters.limited.add(1);
    route.inspect(|route| route.limited.add(1));
    let wait_s = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
    Err(Cause::RateLimited { whose, wait_s })
}

/// The fields that tell a refused client what holds, as the drafts of `RateLimit` and `RateLimit-Policy` name them.
pub(super) fn fields<D: Downstream>(
    worker: &Worker,
    down: &D,
    facts: &Facts,
    (whose, wait_s): (Whose, u32),
) -> Vec<(&'static str, Cow<'static, [u8]>)> {
    let (name, limit) = match whose {
        Whose::Listener => ("listener", worker.plan.listeners[usize::from(down.peer().listener.0)].limit.as_ref()),
        Whose::Route => ("route", facts.route.and_then(|id| worker.plan.route(id).limit.as_ref())),
    };
    let Some(rate) = limit.map(|limit| limit.rate) else { return Vec::new() };
    let policy = format!("\"{name}\";q={};w={}", rate.requests, rate.window.as_secs());
    let left = format!("\"{name}\";r=0;t={wait_s}");
    vec![("RateLimit-Policy", Cow::from(policy.into_bytes())), ("RateLimit", Cow::from(left.into_bytes()))]
}
