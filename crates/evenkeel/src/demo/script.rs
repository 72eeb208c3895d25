//! The texts of the demo: its configuration, and what there is to try.

use std::net::SocketAddr;
use std::sync::Arc;

use super::sample::{HEALTH_PATH, Sample};
use crate::cli::Demo;

/// The addresses in force.
pub(crate) struct Addresses {
    pub(crate) front: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// The configuration of the demo: an ordinary one.
pub(crate) fn configuration(addresses: &Addresses, samples: &[Arc<Sample>]) -> String {
    let backend =
        |sample: &Arc<Sample>| format!("    {{ address = \"{}\", name = \"{}\" }},\n", sample.address, sample.name);
    let backends: String = samples.iter().map(backend).collect();
    format!(
        "\
# What `evenkeel demo` runs. Its sample backends live in the same process and end with it.

[admin]
bind = \"{}\"
socket = \"off\"

[access_log]
write = \"off\"

[listener.front]
bind = \"{}\"
pool = \"trees\"

[pool.trees]
backends = [
{backends}]

[pool.trees.health]
http = \"{HEALTH_PATH}\"
interval = \"1s\"
timeout = \"500ms\"
",
        addresses.admin, addresses.front
    )
}

/// What is where, and what to try.
pub(crate) fn welcome(addresses: &Addresses, args: &Demo) -> String {
    let Addresses { front, admin, remote } = addresses;
    let moved = moved(addresses, args);
    let evenkeel = program();
    format!(
        "\
Evenkeel demo: three sample backends (oak, elm, ash) behind one front door.

  front door  http://{front}/
  admin       http://{admin}/  (status page; JSON at /api/v1/status, metrics at /metrics)
  remote      http://{remote}/  (makes the sample backends sick, slow, dead or well)
{moved}
Keep asking the front door in a second terminal:

  while sleep 0.1; do curl -sf http://{front}/ || echo FAILED; done

and try these in a third one; the loop should never say FAILED:

  curl 'http://{remote}/oak/dead?seconds=20'    closes its port and cuts its connections, for 20 s
  curl 'http://{remote}/elm/sick'               answers 503 to everything, probes included
  curl 'http://{remote}/ash/slow?ms=2000'       lets everything wait for 2 s, probes included
  curl 'http://{remote}/elm/well'               answers again
  {evenkeel} status --admin {admin}    states, reasons, counters
  {evenkeel} errors --admin {admin}    what clients got to feel, and why

Ctrl-C ends the demo. What happens:
"
    )
}

/// Which addresses are not those that were wanted.
fn moved(addresses: &Addresses, args: &Demo) -> String {
    let lines = [
        ("front door", args.listen, addresses.front),
        ("admin interface", args.admin, addresses.admin),
        ("remote", args.remote, addresses.remote),
    ];
    let moved = lines.into_iter().filter(|(_, wanted, had)| wanted.port() != 0 && wanted != had);
    let lines = moved.map(|(what, wanted, had)| format!("\n{wanted} is taken: the {what} is at {had}.\n"));
    lines.collect()
}

/// How this program was called, for commands to copy.
fn program() -> String {
    let name = std::env::args().next().unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if !name.is_empty() && name.chars().all(plain) { name } else { "evenkeel".to_owned() }
}
