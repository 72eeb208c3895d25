//! A network of its own behind a pair of virtual Ethernet ports, in which packets can be made to disappear.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::process::{find_program, is_root};

/// A network namespace with one address of each side; gone when dropped.
pub(crate) struct Namespace {
    name: String,
    near: String,
    /// The address in it.
    pub(crate) far: String,
}

impl Namespace {
    /// Why there is none: it takes root, the programs of iproute2, and a kernel that lets us.
    pub(crate) fn new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            return Err("only root may make a network namespace".to_owned());
        }
        // Unlike for all processes that may do this at a time: 198.18.0.0/15 is set aside for tests (RFC 2544).
        let number = (std::process::id() * 8 + COUNT.fetch_add(1, Ordering::Relaxed)) % (1 << 15);
        let ends = [1, 2].map(|end| u32::from_be_bytes([198, 18, 0, 0]) + number * 4 + end);
        let [near, far] = ends.map(|end| std::net::Ipv4Addr::from_bits(end).to_string());
        let name = format!("evenkeel{number}");
        let made = Self { name, near, far };
        made.build()?;
        Ok(made)
    }

    fn build(&self) -> Result<(), String> {
        let Self { name, near, far } = self;
        let (here, there) = (format!("ek{name}a"), format!("ek{name}b"));
        let (here, there) = (here.replace("evenkeel", ""), there.replace("evenkeel", ""));
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add {here} type veth peer name {there} netns {name}"))?;
        ip(&format!("addr add {near}/30 dev {here}"))?;
        ip(&format!("link set {here} up"))?;
        ip(&format!("-n {name} addr add {far}/30 dev {there}"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} link set {there} up"))
    }

    /// From now on nothing that it sends leaves it: connections are neither made nor refused, nor do they end.
    pub(crate) fn swallow_packets(&self) {
        ip(&format!("-n {} route add blackhole {}/32", self.name, self.near)).unwrap();
    }

    /// Packets pass again.
    pub(crate) fn pass_packets(&self) {
        ip(&format!("-n {} route del blackhole {}/32", self.name, self.near)).unwrap();
    }

    /// A command that runs in it.
    pub(crate) fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new(find_program("ip").unwrap());
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The pair of ports goes with it.
        let _ = ip(&format!("netns del {}", self.name));
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    let program = find_program("ip").ok_or("ip (iproute2) is not installed")?;
    let output = Command::new(program).args(arguments.split(' ')).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("ip {arguments}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
