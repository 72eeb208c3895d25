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
use crate::proxy::free_address;
use script::Addresses;
use stage::Stage;
use story::Story;

/// What stands for the file in diagnostics.
const NAME: &str = "(demo)";

pub(crate) fn carry_out(args: &Demo) -> Done {
    let stage = Stage::build(args.remote).map_err(|error| cannot_start(&error))?;
    let addresses = Addresses { front: free(args.listen)?, admin: free(args.admin)?, remote: stage.remote_address() };
    let text = script::configuration(&addresses, stage.samples());
    if args.print_config {
        output::print(&text)?;
        return Ok(());
    }
    let _logging = log::start(&args.log)?;
    let process = Process::start(configuration::plan_of_text(NAME, &text)?)?;
    output::print(&script::welcome(&addresses, args))?;
    let story = Story::begin(process.handle());
    stage.play(story.clone()).map_err(|error| cannot_start(&error))?;
    let done = process.run_until_stopped();
    story.end();
    done
}

fn free(wanted: SocketAddr) -> Result<SocketAddr, Failure> {
    free_address(wanted).ok_or_else(|| {
        let remedy = "name others with --listen, --admin and --remote";
        Failure::refused(format!("no port is free at {wanted} or after it"), remedy)
    })
}
