//! Finding and reading the configuration, and telling people what is wrong with it.

use std::path::{Path, PathBuf};

use config::source::{Memory, Source};
use config::{Diagnostic, Outcome, Severity, render_with};
use policy::plan::Plan;

use crate::cli::ConfigFile;
use crate::disk::Disk;
use crate::failure::Failure;
use crate::output;

/// Where the configuration is looked for when nobody says.
pub(crate) const PLACES: [&str; 2] = ["evenkeel.toml", "/etc/evenkeel/evenkeel.toml"];

/// The first of [`PLACES`] that is there.
pub(crate) fn found() -> Option<PathBuf> {
    PLACES.into_iter().map(PathBuf::from).find(|path| path.exists())
}

/// The file to read.
///
/// # Errors
/// None was named, and none is where one would be.
pub(crate) fn path(file: &ConfigFile) -> Result<PathBuf, Failure> {
    file.path.clone().or_else(found).ok_or_else(|| {
        Failure::refused(
            "no configuration: neither ./evenkeel.toml nor /etc/evenkeel/evenkeel.toml is there",
            "name one with `-c FILE`, or try `evenkeel demo`",
        )
    })
}

/// Reads the file that is meant.
///
/// # Errors
/// There is none to read. What is wrong inside it stands in the outcome.
pub(crate) fn load(file: &ConfigFile) -> Result<Outcome, Failure> {
    Ok(config::load(&path(file)?, &Disk))
}

/// The plan of a file; errors and warnings go to standard error.
///
/// # Errors
/// There is no plan; why has been said.
pub(crate) fn plan(file: &ConfigFile) -> Result<Plan, Failure> {
    plan_of(load(file)?)
}

/// The plan of a text that no file has; `name` stands for the file in diagnostics.
///
/// # Errors
/// There is no plan; why has been said.
pub(crate) fn plan_of_text(name: &str, text: &str) -> Result<Plan, Failure> {
    let source = Memory::new().file(name, text);
    plan_of(config::load(Path::new(name), &source as &dyn Source))
}

fn plan_of(outcome: Outcome) -> Result<Plan, Failure> {
    complain(&outcome);
    outcome.plan.ok_or(Failure::Said)
}

/// Nobody reads more than this; what generated a file with more faults makes the same ones again and again.
const TOLD: usize = 100;

/// Every diagnostic to standard error, unless there are very many.
pub(crate) fn complain(outcome: &Outcome) {
    let paint = output::error_paint();
    for diagnostic in outcome.diagnostics.iter().take(TOLD) {
        output::complain(&format!("{}\n", render_with(diagnostic, &outcome.files, paint)));
    }
    if outcome.diagnostics.len() > TOLD {
        output::complain(&format!("and {} more\n", outcome.diagnostics.len() - TOLD));
    }
}

/// So many diagnostics of a severity.
pub(crate) fn count(diagnostics: &[Diagnostic], severity: Severity) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
}
