//! `evenkeel run`: the configured balancer.

use crate::cli::Run;
use crate::configuration;
use crate::failure::Done;
use crate::log;
use crate::process::Process;

pub(crate) fn carry_out(args: &Run) -> Done {
    let _logging = log::start(&args.log.level)?;
    let plan = configuration::plan(&args.file)?;
    Process::start(plan)?.run_until_stopped()
}
