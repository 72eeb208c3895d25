//! Configuration: TOML text in, a [`policy::plan::Plan`] that cannot be wrong, or every diagnostic at once.
//!
//! Owns the keys (one declared table that parser, reference page and JSON Schema share), their types, includes,
//! interpolation, the lowering into a plan, and the texts of errors and warnings. Opens no file and reads no environment:
//! the caller hands in a [`source::Source`]. Driven by `control` (start, reload) and by the command line (`check`,
//! `config`, `proxy`).
//!
//! The road: `include` reads and merges files into one `tree` of written values, `decode` reads each value as its key's
//! type (`keys`) into a `table`, `lower` makes the plan of that, and `warn` judges the finished plan.

mod context;
mod decode;
mod diagnostic;
mod files;
mod include;
mod interpolate;
mod keys;
mod lower;
mod nearest;
mod proxy;
mod reference;
mod render;
mod schema;
mod setting;
pub mod source;
mod table;
mod tree;
mod values;
mod warn;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use policy::plan::Plan;

use crate::context::Context;
pub use crate::diagnostic::{Diagnostic, Place, Severity};
pub use crate::proxy::proxy_config;
pub use crate::reference::reference;
pub use crate::render::{Paint, render, render_with};
pub use crate::schema::schema;
pub use crate::setting::Setting;
use crate::source::Source;

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Outcome {
    /// The plan, when there is no error. Its generation is 1; whoever adopts it numbers it anew.
    pub plan: Option<Plan>,
    /// Errors first, then warnings; each in the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
    /// Every value in force with where it comes from, in the order of the reference page.
    pub in_force: Vec<Setting>,
    /// The files that were read, by the path shown to people; [`render`] takes excerpts from them.
    pub files: BTreeMap<PathBuf, String>,
}

/// Reads a duration as it stands in a configuration: `30s`, `10m`, `1h`, `7d`.
///
/// # Errors
/// It is none; what is wrong and what to write.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bounds = values::duration::Bounds { off: keys::Off::Refused, min_ms: 1 };
    match values::duration::parse(text, bounds) {
        Ok(Some(duration)) => Ok(duration),
        Ok(None) => Err("this cannot be off".to_owned()),
        Err(problem) => {
            let remedy = problem.remedy.map(|remedy| format!("; {}", remedy.replace('"', "")));
            Err(problem.message + &remedy.unwrap_or_default())
        }
    }
}

/// Reads the configuration that starts with the file `root`.
///
/// Never fails half way: what is wrong stands in [`Outcome::diagnostics`], all of it, and the plan is there only when
/// nothing is wrong. Warnings are judged on the plan, so there are none beside errors.
#[must_use]
pub fn load(root: &Path, source: &dyn Source) -> Outcome {
    let mut context = Context::new(source);
    let tree = include::read(&mut context, root);
    let plan = tree.and_then(|tree| {
        let table = decode::document(&mut context, &tree);
        lower::lower(&mut context, &table)
    });
    context.finish(plan)
}
