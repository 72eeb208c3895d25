//! Commands that the contract names and that are not built yet: refused by name, not as if they were misspelt.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::USAGE;
use crate::output;

/// The commands, each with what serves meanwhile (perhaps nothing).
const LATER: &[(&str, &str)] = &[
    ("drain", "set `state = \"drained\"` on the backend in the file and start again"),
    ("ready", "set `state = \"ready\"` on the backend in the file and start again"),
    ("down", "set `state = \"down\"` on the backend in the file and start again"),
    ("weight", "set `weight` on the backend in the file and start again"),
    ("add", "add the backend to the file and start again"),
    ("remove", "remove the backend from the file and start again"),
    ("reset", ""),
    ("reload", "stop the process and start it again"),
    ("diff", ""),
    ("rollback", ""),
    ("upgrade", "stop the process and start the new one"),
    ("explain", "`evenkeel errors` tells why exchanges failed"),
    ("top", "`watch evenkeel status`"),
    ("events", "the log of the process has every change of a backend's state"),
    ("doctor", "`evenkeel check` tells the known mistakes of a configuration"),
    ("ha", ""),
];

/// Prints what the parser refused, or the help it was asked for.
pub(crate) fn explain(refused: &clap::Error) -> ExitCode {
    if let Some((name, instead)) = later(refused) {
        let remedy = if instead.is_empty() { String::new() } else { format!("\n  = until then: {instead}") };
        output::complain(&format!("error: `evenkeel {name}` is not available yet{remedy}"));
        return ExitCode::from(USAGE);
    }
    // Nobody is left to be told when this cannot be written.
    let _ = refused.print();
    u8::try_from(refused.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn later(refused: &clap::Error) -> Option<(&'static str, &'static str)> {
    if refused.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(typed)) = refused.get(ContextKind::InvalidSubcommand) else { return None };
    LATER.iter().find(|(name, _)| name == typed).copied()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn commands_of_the_contract_are_refused_by_name() {
        for (name, instead) in LATER {
            let refused = Cli::try_parse_from(["evenkeel", name, "app/b1"]).unwrap_err();
            assert_eq!(later(&refused), Some((*name, *instead)));
        }
    }

    #[test]
    fn misspelt_commands_are_not() {
        let refused = Cli::try_parse_from(["evenkeel", "drian"]).unwrap_err();
        assert_eq!(later(&refused), None);
    }

    #[test]
    fn no_command_is_both_there_and_not() {
        for command in Cli::command().get_subcommands() {
            assert!(LATER.iter().all(|(name, _)| *name != command.get_name()), "{}", command.get_name());
        }
    }
}
