//! Timeouts and retries: a route's over its pool's over the defaults.

use policy::plan::{BackendTimeouts, Hedge, Retry};
use wire::grpc::{Status, Statuses};

use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::table::{Table, Value};
use crate::values::delay;

/// The terms of a pool.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) timeouts: BackendTimeouts,
    pub(super) retry: Retry,
    pub(super) hedge: Option<Hedge>,
}

/// The terms that a pool's table gives; its defaults fill every gap.
pub(super) fn of_pool(context: &mut Context<'_>, pool: &Table) -> Option<Terms> {
    merged(context, pool, None)
}

/// A pool's terms with those that a route writes of its own.
pub(super) fn of_route(context: &mut Context<'_>, route: &Table, pool: &Terms) -> Option<Terms> {
    merged(context, route, Some(pool))
}

fn merged(context: &mut Context<'_>, table: &Table, base: Option<&Terms>) -> Option<Terms> {
    let timeouts = timeouts(table.table("timeouts")?, base.map(|base| &base.timeouts))?;
    let retry = retry(table.table("retry")?, base.map(|base| &base.retry))?;
    refuse_idle(context, table.table("retry")?, &retry);
    let hedge = match table.item("hedge") {
        Some(item) => hedge(context, item.table())?,
        None => base?.hedge,
    };
    if let (Some(at), Some(_), 1) = (table.written("hedge"), hedge, retry.tries) {
        let problem =
            Problem::new(code::CONFLICT, "`hedge` does nothing with `tries = 1`: a second attempt is one of them");
        context.error(at, problem.remedy("allow at least 2 `tries`, or leave `hedge` out"));
    }
    Some(Terms { timeouts, retry, hedge })
}

/// The outer `None` is a note, the inner one is off.
fn hedge(context: &mut Context<'_>, table: Option<&Table>) -> Option<Option<Hedge>> {
    let Some(table) = table else { return Some(None) };
    let after = table.words("after")?;
    let after = context.take(after.at, delay::parse(after.text))?;
    Some(Some(Hedge { after, budget_percent: table.count("budget")? }))
}

/// Notes what would do nothing, for want of another try.
fn refuse_idle(context: &mut Context<'_>, table: &Table, retry: &Retry) {
    let Some(at) = table.written("per_try").filter(|_| retry.per_try.is_some()) else { return };
    let problem = match (retry.tries, retry.timeout) {
        (1, _) => Problem::new(code::CONFLICT, "`per_try` does nothing with `tries = 1`: there is no other try")
            .remedy("allow at least 2 `tries`, or leave `per_try` out"),
        (_, false) => Problem::new(code::CONFLICT, "`per_try` does nothing while `on` leaves out `timeout`")
            .remedy("add \"timeout\" to `on`, or leave `per_try` out"),
        _ => return,
    };
    context.error(at, problem);
}

fn timeouts(table: &Table, base: Option<&BackendTimeouts>) -> Option<BackendTimeouts> {
    Some(BackendTimeouts {
        connect: table.wait("connect").or(base.map(|base| base.connect))?,
        first_byte: table.wait("first_byte").or(base.map(|base| base.first_byte))?,
        idle: table.wait("idle").or(base.map(|base| base.idle))?,
        total: table.wait("total").or(base.map(|base| base.total))?,
    })
}

fn retry(table: &Table, base: Option<&Retry>) -> Option<Retry> {
    let on = match table.item("on") {
        Some(_) => Some(causes(table)),
        None => base.map(|base| (base.connect, base.reset, base.timeout, base.statuses.clone())),
    };
    let (connect, reset, timeout, statuses) = on?;
    let body_buffer = match table.size("body_buffer") {
        Some(bytes) => usize::try_from(bytes.unwrap_or(0)).ok(),
        None => base.map(|base| base.body_buffer),
    };
    Some(Retry {
        tries: table.count("tries").or(base.map(|base| base.tries))?,
        per_try: table.wait("per_try").or(base.map(|base| base.per_try))?,
        connect,
        reset,
        timeout,
        statuses,
        grpc: match table.item("grpc") {
            Some(_) => grpc_statuses(table),
            None => base?.grpc,
        },
        budget_percent: table.count("budget").or(base.map(|base| base.budget_percent))?,
        body_buffer: body_buffer?,
    })
}

/// `grpc`: the named statuses.
pub(super) fn grpc_statuses(table: &Table) -> Statuses {
    table.all_words("grpc").filter_map(|words| Status::from_name(words.text)).collect()
}

/// `on`: the named causes, and the statuses.
fn causes(table: &Table) -> (bool, bool, bool, Vec<u16>) {
    let named = |cause: &str| table.all_words("on").any(|words| words.text == cause);
    let statuses = table.list("on").iter().filter_map(|item| match item.value {
        Value::Count(status) => u16::try_from(status).ok(),
        _ => None,
    });
    (named("connect"), named("reset"), named("timeout"), statuses.collect())
}
