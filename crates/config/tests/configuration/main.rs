//! The crate from outside: texts in, plans and diagnostics out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod drift;
mod errors;
mod floors;
mod in_force;
mod includes;
mod interpolation;
mod mutations;
mod plan;
mod scale;
mod schema;
mod shadows;
mod tls;
mod warnings;

use std::path::Path;

use config::source::Memory;
use config::{Outcome, load, render};
use policy::plan::Plan;

/// What comes of one file.
fn outcome_of(text: &str) -> Outcome {
    outcome_with(text, Memory::new())
}

/// What comes of one file beside other sources.
fn outcome_with(text: &str, others: Memory) -> Outcome {
    load(Path::new("evenkeel.toml"), &others.file("evenkeel.toml", text))
}

/// All diagnostics as people read them.
fn told(outcome: &Outcome) -> String {
    outcome.diagnostics.iter().map(|one| render(one, &outcome.files)).collect::<Vec<_>>().join("\n\n")
}

/// The codes of all diagnostics.
fn codes(outcome: &Outcome) -> Vec<&'static str> {
    outcome.diagnostics.iter().map(|one| one.code).collect()
}

/// The plan of a good file.
fn plan_of(text: &str) -> Plan {
    plan_in(outcome_of(text))
}

/// The plan of an outcome that has one.
fn plan_in(outcome: Outcome) -> Plan {
    let told = told(&outcome);
    outcome.plan.unwrap_or_else(|| panic!("no plan:\n{told}"))
}

/// A listener and a pool, so that a test writes only what it is about.
const FRONT: &str = "[listener.web]\nbind = \":80\"\npool = \"app\"\n";
const POOL: &str = "[pool.app]\nbackends = [\"a:1\", \"b:1\"]\n";
