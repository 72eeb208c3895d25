//! `evenkeel demo`: sample backends inside, an ordinary configuration before them, and a story of what happens.
//!
//! The sample backends and the remote that changes them live on the stage, a thread of their own: to the balancer they
//! are servers on the network like any others.

mod remote;
mod sample;
mod script;
mod stage;
mod story;

use std::net::SocketAddr;

use crate::cli::Demo;
use crate::configuration;
use crate::failure::{Done, Failure};
use crate::log;
use crate::output;
use crate::process::{Process, cannot_start};
use crate::proxy::{free_address, is_free};
use script::Addresses;
use stage::Stage;
use story::Story;

/// What stands for the file in diagnostics.
const NAME: &str = "(demo)";

/// Free ports are looked for before they are bound: somebody else may be quicker.
const STARTS: u32 = 5;

pub(crate) fn carry_out(args: &Demo) -> Done {
    let stage = Stage::build(args.remote).map_err(|error| cannot_start(&error))?;
    if args.print_config {
        output::print(&script::configuration(&addresses(args, &stage)?, stage.samples()))?;
        return Ok(());
    }
    let _logging = log::start(&args.log)?;
    let (process, addresses) = start(args, &stage)?;
    output::print(&script::welcome(&addresses, args))?;
    let story = Story::begin(process.handle());
    stage.play(story.clone()).map_err(|error| cannot_start(&error))?;
    let done = process.run_until_stopped();
    story.end();
    done
}

/// Starts the balancer, on other ports where those that were free are taken meanwhile.
fn start(args: &Demo, stage: &Stage) -> Result<(Process, Addresses), Failure> {
    let mut starts = 1;
    loop {
        let addresses = addresses(args, stage)?;
        let text = script::configuration(&addresses, stage.samples());
        match Process::start(configuration::plan_of_text(NAME, &text)?) {
            Ok(process) => return Ok((process, addresses)),
            Err(_) if starts < STARTS && !(is_free(addresses.front) && is_free(addresses.admin)) => starts += 1,
            Err(failure) => return Err(failure),
        }
    }
}

fn addresses(args: &Demo, stage: &Stage) -> Result<Addresses, Failure> {
    Ok(Addresses { front: free(args.listen)?, admin: free(args.admin)?, remote: stage.remote_address() })
}

fn free(wanted: SocketAddr) -> Result<SocketAddr, Failure> {
    free_address(wanted).ok_or_else(|| {
        let remedy = "name others with --listen, --admin and --remote";
        Failure::refused(format!("no port is free at {wanted} or after it"), remedy)
    })
}
