//! `evenkeel proxy`: servers balanced at once. What it runs is an ordinary configuration that it writes itself.

use std::net::SocketAddr;

use crate::cli::Proxy;
use crate::configuration;
use crate::failure::Done;
use crate::log;
use crate::output;
use crate::process::Process;

mod free;

pub(crate) use free::{free_address, is_free};

/// What stands for the file in diagnostics.
const NAME: &str = "(command line)";
/// The admin address that the configuration has unless told otherwise.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9900);

pub(crate) fn carry_out(args: &Proxy) -> Done {
    let text = config::proxy_config(&args.listen, &args.to, args.policy.as_deref(), args.health.as_deref());
    if args.print_config {
        configuration::plan_of_text(NAME, &text)?;
        output::print(&text)?;
        return Ok(());
    }
    let _logging = log::start(&args.log.level)?;
    let plan = configuration::plan_of_text(NAME, &format!("{text}{}{}", meant(args), admin()))?;
    Process::start(plan)?.run_until_stopped()
}

/// Who names one server means one.
fn meant(args: &Proxy) -> &'static str {
    if args.to.len() == 1 { "\n[check]\nallow = [\"one-backend\"]\n" } else { "" }
}

/// Moves the admin interface when another process has its address: somebody who types `proxy` twice means two of them.
fn admin() -> String {
    if is_free(ADMIN) {
        return String::new();
    }
    let Some(other) = free_address(ADMIN) else { return String::new() };
    tracing::warn!("{ADMIN} is taken; the admin interface is on {other} (evenkeel status --admin {other})");
    format!("\n[admin]\nbind = \"{other}\"\nsocket = \"off\"\n")
}
