//! `health` of a pool, in its short and its long form.

use policy::plan::{HealthCheck, ProbeKind};

use crate::context::Context;
use crate::decode;
use crate::diagnostic::{Problem, code};
use crate::keys::{self, HEALTH};
use crate::table::{Table, Value, Words};
use crate::values::path;

/// The active check of a pool; the outer `None` is a note, the inner one is off.
pub(super) fn of(context: &mut Context<'_>, pool: &Table) -> Option<Option<HealthCheck>> {
    let item = pool.item("health")?;
    match &item.value {
        Value::Table(table) => {
            let kind = long(context, table)?;
            check(table, kind).map(Some)
        }
        Value::Text(_) => {
            let kind = short(context, item.words()?)?;
            let Some(kind) = kind else { return Some(None) };
            // The short form has the long one's other defaults, which are in force all the same.
            let table = decode::defaults(context, &HEALTH, &keys::joined(&pool.name, "health"), item.at);
            check(&table, kind).map(Some)
        }
        _ => None,
    }
}

/// Reads `"/healthz"`, `"alive"`, `"tcp"`; `Some(None)` is `"off"`.
fn short(context: &mut Context<'_>, words: Words<'_>) -> Option<Option<ProbeKind>> {
    match words.text {
        "off" => Some(None),
        "alive" => Some(Some(ProbeKind::Alive)),
        "tcp" => Some(Some(ProbeKind::Tcp)),
        text if text.starts_with('/') => {
            context.take(words.at, path::target(text)).map(|path| Some(ProbeKind::Http { path }))
        }
        text => {
            let problem = match text {
                "grpc" | "tls" | "postgres" | "mysql" | "redis" => {
                    Problem::not_available(&format!("the check `{text}`"), "the nearest is `health = \"tcp\"`")
                }
                _ => Problem::value(format!("`health` cannot be `{text}`"))
                    .remedy("write a path such as `\"/healthz\"`, or `\"alive\"`, `\"tcp\"` or `\"off\"`"),
            };
            context.error(words.at, problem);
            None
        }
    }
}

/// Reads which probe a table chooses.
fn long(context: &mut Context<'_>, table: &Table) -> Option<ProbeKind> {
    let http = table.words("http");
    let chosen = |key: &str| table.flag(key).unwrap_or(false);
    let count = usize::from(http.is_some()) + usize::from(chosen("alive")) + usize::from(chosen("tcp"));
    if count > 1 {
        let problem =
            Problem::new(code::CONFLICT, "a probe does one thing").remedy("keep one of `http`, `alive` and `tcp`");
        context.error(table.at, problem);
        return None;
    }
    match http {
        Some(words) => context.take(words.at, path::target(words.text)).map(|path| ProbeKind::Http { path }),
        None if chosen("tcp") => Some(ProbeKind::Tcp),
        // A broken `http` was told; it does not become another check.
        None if table.written("http").is_some() => None,
        None => Some(ProbeKind::Alive),
    }
}

fn check(table: &Table, kind: ProbeKind) -> Option<HealthCheck> {
    Some(HealthCheck {
        kind,
        interval: table.wait("interval")??,
        timeout: table.wait("timeout")??,
        fall: table.count("fall")?,
        rise: table.count("rise")?,
    })
}
