//! The command line: one definition, from which parser, help, completions and man page are made.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use policy::block::IpNet;

const EXAMPLES: &str = "\
Examples:
  evenkeel demo                      see it work, with three sample backends inside
  evenkeel proxy --listen :8080 --to 10.0.0.11:8080 --to 10.0.0.12:8080
                                     balance two servers at once, without a file
  evenkeel check && evenkeel run     the configured balancer (./evenkeel.toml)
  evenkeel status                    what the running process does, and why

Exit status: 0 done, 1 failed or refused, 2 usage, 3 no process reached.";

/// A load balancer: one binary that is the front door of a service and the watchdog behind it.
///
/// Without a command it runs ./evenkeel.toml or /etc/evenkeel/evenkeel.toml if there is one; else, on a terminal, the
/// demo.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(Demo),
    Proxy(Proxy),
    Run(Run),
    Check(Check),
    Config(Config),
    Status(Status),
    Errors(Errors),
    Block(Block),
    Unblock(Unblock),
    Completions(Completions),
    Man(Man),
}

/// See it work: three sample backends inside, the front door before them
///
/// Prints what to try (make a backend sick, slow or dead) and tells what happens. Addresses that are taken are replaced
/// by the next free port.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  evenkeel demo
  evenkeel demo --listen 127.0.0.1:8000
  evenkeel demo --print-config       the configuration that it stands for")]
pub(crate) struct Demo {
    /// The front door
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The admin interface
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9900")]
    pub(crate) admin: SocketAddr,
    /// Where the sample backends are made sick, slow, dead or well
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    pub(crate) remote: SocketAddr,
    /// Print the configuration file that it stands for, and end
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Also write the log to standard error; for instance info, or engine=debug
    #[arg(long, value_name = "LEVEL", env = "EVENKEEL_LOG", default_value = "off")]
    pub(crate) log: String,
}

/// Balance servers at once, without a file
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  evenkeel proxy --listen :8080 --to 10.0.0.11:8080 --to 10.0.0.12:8080
  evenkeel proxy --listen :80 --to app1:3000 --to app2:3000 --policy least-requests --health /healthz
  evenkeel proxy --listen :8080 --to 127.0.0.1:3000 --print-config > evenkeel.toml")]
pub(crate) struct Proxy {
    /// Where to accept clients: PORT after a colon for all addresses, else ADDRESS:PORT or unix:/PATH
    #[arg(long, value_name = "ADDR", required = true)]
    pub(crate) listen: String,
    /// A server to send requests to; repeat it for each one
    #[arg(long, value_name = "ADDR", required = true)]
    pub(crate) to: Vec<String>,
    /// How to pick: round-robin (the default), random, least-requests, power-of-two, peak-ewma, ip-hash, maglev, first
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Option<String>,
    /// How to check servers: a path that answers 200 to 399, "alive" (the default), "tcp" or "off"
    #[arg(long, value_name = "PATH")]
    pub(crate) health: Option<String>,
    /// Print the configuration file that it stands for, and end
    #[arg(long)]
    pub(crate) print_config: bool,
    #[command(flatten)]
    pub(crate) log: Log,
}

/// Run the configured balancer until it is stopped
///
/// SIGTERM or Ctrl-C lets running requests finish, for at most 30 seconds; a second one stops at once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  evenkeel run
  evenkeel run -c /srv/front.toml --log warn")]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    #[command(flatten)]
    pub(crate) log: Log,
}

/// Tell every error and known mistake of a configuration
///
/// Exit status 1 if there is an error (with --strict: or a warning). A warning that is meant so is silenced by its code:
/// [check] allow = ["one-backend"].
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  evenkeel check
  evenkeel check --strict            for continuous integration
  evenkeel check --json | jq '.diagnostics[].message'")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Warnings fail, too
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// Show what a configuration sets, each value with its source
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  evenkeel config                    what is written, with file and line
  evenkeel config --defaults app     everything that holds for the pool app")]
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Also the values that nobody wrote
    #[arg(long)]
    pub(crate) defaults: bool,
    /// Only this pool
    #[arg(value_name = "POOL")]
    pub(crate) pool: Option<String>,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// Show what the running process does: listeners, pools, backends with state and reason
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  evenkeel status
  evenkeel status --admin 127.0.0.1:9900
  evenkeel status --json | jq '.pools[].backends[] | {name, state, reason}'")]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) reach: Reach,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// Show the last failed exchanges of the running process, with their causes
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  evenkeel errors
  evenkeel errors --last 5
  evenkeel errors --json | jq -r '.[].cause' | sort | uniq -c")]
pub(crate) struct Errors {
    /// How many at most; the process keeps 1000
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) last: usize,
    #[command(flatten)]
    pub(crate) reach: Reach,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// Block networks at once; without a network, list those that are blocked
///
/// New connections from there are refused, open ones are reset with what runs on them, and requests that trusted proxies
/// bring for clients there get 403. A block ends by itself (--for), by `evenkeel unblock`, or with the process; what is
/// to outlast it belongs into `deny` of the listener. The admin interface is never blocked.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  evenkeel block 203.0.113.0/24 --for 1h --reason 'login flood'
  evenkeel block 198.51.100.7 2001:db8:bad::/48
  evenkeel block                     who is blocked, why, until when, how much was refused
  xargs evenkeel block --for 1d < networks.txt")]
pub(crate) struct Block {
    /// Networks (203.0.113.0/24, 2001:db8::/48) or single addresses; all are blocked or none
    #[arg(value_name = "CIDR", value_parser = network)]
    pub(crate) networks: Vec<IpNet>,
    /// For how long: 30s, 10m, 1h, 7d [default: until it is lifted]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, requires = "networks")]
    pub(crate) time: Option<Duration>,
    /// Why, for the list and the log
    #[arg(long, value_name = "TEXT", requires = "networks")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) reach: Reach,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// Lift the block of networks
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  evenkeel unblock 203.0.113.0/24
  evenkeel unblock --all")]
pub(crate) struct Unblock {
    /// Networks as `evenkeel block` lists them
    #[arg(value_name = "CIDR", value_parser = network, required_unless_present = "all")]
    pub(crate) networks: Vec<IpNet>,
    /// Lift all blocks
    #[arg(long, conflicts_with = "networks")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) reach: Reach,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// Print the completions for a shell
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  evenkeel completions bash > /etc/bash_completion.d/evenkeel
  evenkeel completions fish > ~/.config/fish/completions/evenkeel.fish")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// Print the man page, or that of a command
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  evenkeel man > /usr/local/share/man/man1/evenkeel.1
  evenkeel man run | man -l -")]
pub(crate) struct Man {
    /// The command
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

/// Which file.
#[derive(Args, Debug)]
pub(crate) struct ConfigFile {
    /// The configuration [default: ./evenkeel.toml, else /etc/evenkeel/evenkeel.toml]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}

/// What is logged.
#[derive(Args, Debug)]
pub(crate) struct Log {
    /// What to log to standard error: error, warn, info, debug, or by part: info,engine=debug
    #[arg(long = "log", value_name = "LEVEL", env = "EVENKEEL_LOG", default_value = "info")]
    pub(crate) level: String,
}

/// For people or for scripts.
#[derive(Args, Debug)]
pub(crate) struct Form {
    /// Print JSON, for scripts
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to find the running process.
#[derive(Args, Debug)]
pub(crate) struct Reach {
    /// Its admin address: ADDRESS:PORT or unix:/PATH [default: that of the configuration, else
    /// /run/evenkeel/admin.sock, else 127.0.0.1:9900]
    #[arg(long, value_name = "ADDR", env = "EVENKEEL_ADMIN")]
    pub(crate) admin: Option<String>,
    /// A file with the token of [admin] token
    #[arg(long, value_name = "FILE", env = "EVENKEEL_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

fn network(text: &str) -> Result<IpNet, String> {
    policy::block::parse(text).map_err(|wrong| format!("{}; {}", wrong.message, wrong.remedy))
}

fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_with_examples() {
        for command in Cli::command().get_subcommands() {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(text.starts_with("Examples:\n  evenkeel "), "{}", command.get_name());
        }
    }
}
