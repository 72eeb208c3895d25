//! `eject` of a pool.

use policy::plan::{Eject, FailureRate, LatencyRule};

use super::terms::grpc_statuses;
use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::table::{Table, Value};

/// Passive ejection of a pool; the outer `None` is a note, the inner one is off.
pub(super) fn of(context: &mut Context<'_>, pool: &Table) -> Option<Option<Eject>> {
    let Some(table) = on(pool, "eject")? else { return Some(None) };
    let (time, max_time) = (table.wait("for")??, table.wait("max_for")??);
    if time > max_time {
        let problem = Problem::new(code::CONFLICT, "the first ejection would be longer than the longest")
            .remedy("raise `max_for`, or lower `for`");
        context.error(table.place("for"), problem);
        return None;
    }
    Some(Some(Eject {
        failures: table.count("failures")?,
        time,
        max_time,
        max_share_percent: table.count("max_share")?,
        statuses: statuses(table),
        grpc: grpc_statuses(table),
        failure_rate: match on(table, "failure_rate")? {
            Some(rule) => Some(FailureRate { percent: rule.count("percent")?, requests: rule.count("requests")? }),
            None => None,
        },
        latency: match on(table, "latency")? {
            Some(rule) => Some(LatencyRule { factor: rule.count("factor")?, requests: rule.count("requests")? }),
            None => None,
        },
    }))
}

/// The table of a key that may be `"off"`; the outer `None` is a note.
pub(super) fn on<'t>(table: &'t Table, key: &str) -> Option<Option<&'t Table>> {
    match &table.item(key)?.value {
        Value::Table(rule) => Some(Some(rule)),
        _ => Some(None),
    }
}

pub(super) fn statuses(table: &Table) -> Vec<u16> {
    let status = |item: &crate::table::Item| match item.value {
        Value::Count(status) => u16::try_from(status).ok(),
        _ => None,
    };
    table.list("statuses").iter().filter_map(status).collect()
}
