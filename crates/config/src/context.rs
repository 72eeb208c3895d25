//! What is carried along while a configuration is read: the source, the files so far, and the findings.

use crate::diagnostic::{Diagnostic, Problem, Severity, code};
use crate::files::{At, Files};
use crate::setting::Setting;
use crate::source::Source;
use crate::{Outcome, render};
use policy::plan::Plan;

/// The state of one reading.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) files: Files,
    pub(crate) settings: Vec<Setting>,
    found: Vec<Found>,
    /// Where syntax errors stand, and whether what follows them in their file can be trusted.
    broken: Vec<Broken>,
}

/// A finding with its place.
struct Found {
    at: Option<At>,
    severity: Severity,
    problem: Problem,
}

/// A syntax error.
struct Broken {
    at: At,
    trust: Trust,
}

/// Whether the tree after a syntax error is what the writer meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Only the value itself is broken.
    After,
    /// A bracket or comma is missing: anything may have landed anywhere.
    Nothing,
}

impl<'a> Context<'a> {
    pub(crate) fn new(source: &'a dyn Source) -> Self {
        Self { source, files: Files::default(), settings: Vec::new(), found: Vec::new(), broken: Vec::new() }
    }

    /// Notes an error.
    pub(crate) fn error(&mut self, at: impl Into<Option<At>>, problem: Problem) {
        self.found.push(Found { at: at.into(), severity: Severity::Error, problem });
    }

    /// Notes a warning.
    pub(crate) fn warn(&mut self, at: impl Into<Option<At>>, problem: Problem) {
        self.found.push(Found { at: at.into(), severity: Severity::Warning, problem });
    }

    /// Notes a syntax error.
    pub(crate) fn syntax(&mut self, at: At, trust: Trust, problem: Problem) {
        self.broken.push(Broken { at, trust });
        self.error(at, problem);
    }

    /// The value, or a note of why not.
    pub(crate) fn take<T>(&mut self, at: At, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.error(at, problem)).ok()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|found| found.severity == Severity::Error)
    }

    /// Orders the findings and closes the reading.
    pub(crate) fn finish(mut self, plan: Option<Plan>) -> Outcome {
        if plan.is_none() && !self.has_errors() {
            let problem = Problem::new(code::DEFECT, "no plan could be made, for no reason that is known")
                .remedy("this is a defect of Evenkeel; please report it with the file");
            self.error(None, problem);
        }
        let plan = plan.filter(|_| !self.has_errors());
        let mut found = std::mem::take(&mut self.found);
        found.retain(|found| self.is_trusted(found));
        found.sort_by_key(|found| (found.severity, found.at.map(|at| (at.file, at.start))));
        let mut diagnostics: Vec<Diagnostic> = found.into_iter().map(|found| self.placed(found)).collect();
        diagnostics.dedup();
        Outcome { plan, diagnostics, in_force: self.settings, files: self.files.into_map() }
    }

    /// Beside syntax errors only what is true of one value alone is told, and nothing of what the error may have
    /// displaced: a guess that proves wrong costs more time than a second run.
    fn is_trusted(&self, found: &Found) -> bool {
        let is_syntax = self.broken.iter().any(|broken| Some(broken.at) == found.at);
        if self.broken.is_empty() || is_syntax {
            return true;
        }
        let Some(at) = found.at.filter(|_| code::LOCAL.contains(&found.problem.code)) else { return false };
        self.broken.iter().filter(|broken| broken.at.file == at.file).all(|broken| match broken.trust {
            Trust::After => self.files.line(broken.at) != self.files.line(at),
            Trust::Nothing => self.files.line(at) < self.files.line(broken.at),
        })
    }

    fn placed(&self, found: Found) -> Diagnostic {
        let Problem { code, message, remedy } = found.problem;
        let place = found.at.and_then(|at| self.files.place(at));
        Diagnostic { severity: found.severity, code, place, message: render::visible(&message), remedy }
    }
}
