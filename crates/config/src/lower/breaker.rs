//! `breaker` of a pool.

use policy::plan::Breaker;

use super::eject::{on, statuses};
use super::terms::grpc_statuses;
use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::table::Table;

/// The circuit breaker of a pool; the outer `None` is a note, the inner one is off.
pub(super) fn of(context: &mut Context<'_>, pool: &Table) -> Option<Option<Breaker>> {
    let Some(table) = on(pool, "breaker")? else { return Some(None) };
    let (time, max_time) = (table.wait("for")??, table.wait("max_for")??);
    if time > max_time {
        let problem = Problem::new(code::CONFLICT, "the circuit would first be open for longer than the longest")
            .remedy("raise `max_for`, or lower `for`");
        context.error(table.place("for"), problem);
        return None;
    }
    Some(Some(Breaker {
        failure_percent: table.count("failure_rate")?,
        requests: table.count("requests")?,
        window: table.wait("window")??,
        time,
        max_time,
        trials: table.count("trials")?,
        statuses: statuses(table),
        grpc: grpc_statuses(table),
    }))
}
