//! `evenkeel completions` and `evenkeel man`: made from the definition of the command line.

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::failure::Done;
use crate::output;

pub(crate) fn completions(args: &Completions) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "evenkeel", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(())
}

/// The page of `evenkeel`, then one section for each command.
pub(crate) fn man() -> Done {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    output::print(&String::from_utf8_lossy(&page))?;
    Ok(())
}
