//! `evenkeel` alone: the configuration if there is one, else the demo for a person, else the help.

use std::io::{self, IsTerminal};

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};
use crate::configuration;
use crate::demo;
use crate::failure::{Done, Failure};
use crate::output;
use crate::run;

pub(crate) fn carry_out() -> Done {
    let words: &[&str] = if configuration::found().is_some() {
        &["evenkeel", "run"]
    } else if io::stdin().is_terminal() && io::stdout().is_terminal() {
        &["evenkeel", "demo"]
    } else {
        output::complain(&Cli::command().render_help().to_string());
        return Err(Failure::Usage);
    };
    match Cli::parse_from(words).command {
        Some(Command::Run(args)) => run::carry_out(&args),
        Some(Command::Demo(args)) => demo::carry_out(&args),
        _ => Err(Failure::Usage),
    }
}
