//! `evenkeel check`: every diagnostic of a configuration, and one line in the end.

use config::{Diagnostic, Outcome, Severity};
use policy::plan::Plan;
use serde_json::{Value, json};

use crate::cli::Check;
use crate::configuration::{complain, count, load};
use crate::failure::{Done, Failure};
use crate::output;

pub(crate) fn carry_out(args: &Check) -> Done {
    let outcome = load(&args.file)?;
    let warnings = count(&outcome.diagnostics, Severity::Warning);
    let passes = outcome.plan.is_some() && !(args.strict && warnings > 0);
    if args.form.json {
        output::print(&pretty(&report(&outcome, passes)))?;
    } else {
        complain(&outcome);
        say(&outcome, passes)?;
    }
    if passes { Ok(()) } else { Err(Failure::Said) }
}

fn say(outcome: &Outcome, passes: bool) -> Done {
    let errors = count(&outcome.diagnostics, Severity::Error);
    let warnings = match count(&outcome.diagnostics, Severity::Warning) {
        0 => String::new(),
        n => format!(", {}", counted(n, "warning")),
    };
    match &outcome.plan {
        Some(plan) if passes => output::print(&format!("ok: {}{warnings}", contents(plan)))?,
        Some(_) => output::complain(&format!("failed: no error{warnings} (--strict)")),
        None => output::complain(&format!("failed: {}{warnings}", counted(errors, "error"))),
    }
    Ok(())
}

/// `2 listeners, 3 routes, 1 pool, 2 backends`.
fn contents(plan: &Plan) -> String {
    let backends = plan.pools.iter().map(|pool| pool.backends.len()).sum();
    [
        counted(plan.listeners.len(), "listener"),
        counted(plan.routes.len(), "route"),
        counted(plan.pools.len(), "pool"),
        counted(backends, "backend"),
    ]
    .join(", ")
}

/// A number and its noun.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn report(outcome: &Outcome, passes: bool) -> Value {
    let plan = outcome.plan.as_ref().map(|plan| {
        json!({
            "listeners": plan.listeners.len(),
            "routes": plan.routes.len(),
            "pools": plan.pools.len(),
            "backends": plan.pools.iter().map(|pool| pool.backends.len()).sum::<usize>(),
        })
    });
    let diagnostics: Vec<Value> = outcome.diagnostics.iter().map(diagnostic).collect();
    json!({ "ok": passes, "plan": plan, "diagnostics": diagnostics })
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = diagnostic
        .place
        .as_ref()
        .map(|place| json!({ "file": place.file, "line": place.line, "column": place.column, "length": place.length }));
    json!({
        "severity": severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "remedy": diagnostic.remedy,
        "place": place,
    })
}

/// JSON over several lines.
pub(crate) fn pretty(value: &Value) -> String {
    // A value has no map keys that could fail to serialise.
    serde_json::to_string_pretty(value).unwrap_or_default()
}
