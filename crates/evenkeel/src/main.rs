//! The evenkeel binary: the command line, the wiring of the crates below, the demo.
//!
//! Owns what people type and what is printed for them; everything that is true comes from `config` (files), `control`
//! (the running process) or, from another process, the admin API. [`cli`] is the definition of the command line, from
//! which help, completions and the man page are made.

mod bare;
mod block;
mod calendar;
mod check;
mod cli;
mod client;
mod columns;
mod configuration;
mod demo;
mod disk;
mod errors;
mod failure;
mod in_force;
mod later;
mod log;
mod output;
mod paper;
mod process;
mod proxy;
mod run;
mod status;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::failure::Done;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => failure::exit(carry_out(cli)),
        Err(refused) => later::explain(&refused),
    }
}

fn carry_out(cli: Cli) -> Done {
    match cli.command {
        None => bare::carry_out(),
        Some(Command::Demo(args)) => demo::carry_out(&args),
        Some(Command::Proxy(args)) => proxy::carry_out(&args),
        Some(Command::Run(args)) => run::carry_out(&args),
        Some(Command::Check(args)) => check::carry_out(&args),
        Some(Command::Config(args)) => in_force::carry_out(&args),
        Some(Command::Status(args)) => status::carry_out(&args),
        Some(Command::Errors(args)) => errors::carry_out(&args),
        Some(Command::Block(args)) => block::block(&args),
        Some(Command::Unblock(args)) => block::unblock(&args),
        Some(Command::Completions(args)) => paper::completions(&args),
        Some(Command::Man(args)) => paper::man(&args),
    }
}
