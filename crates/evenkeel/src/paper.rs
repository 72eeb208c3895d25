//! `evenkeel completions` and `evenkeel man`: made from the definition of the command line.

use clap::CommandFactory;

use crate::cli::{Cli, Completions, Man};
use crate::failure::{Done, Failure};
use crate::output;

pub(crate) fn completions(args: &Completions) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "evenkeel", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(())
}

/// The page of `evenkeel`, or of one of its commands.
pub(crate) fn man(args: &Man) -> Done {
    let mut whole = Cli::command();
    // Gives each command its full name and usage.
    whole.build();
    let command = match &args.command {
        None => whole,
        Some(name) => whole.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::refused(format!("there is no command `{name}`"), "`evenkeel --help` lists those there are")
        })?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    output::print(&String::from_utf8_lossy(&page))?;
    Ok(())
}
