//! Which fields go on, which stay behind and which are added, by RFC section, in both directions.

mod answers;
mod requests;

use std::net::SocketAddr;

use policy::plan::{HeaderRules, ListenerId, Template};
use wire::h1::Limits;

use super::*;

const LIMITS: Limits = Limits { head_bytes: 8192, fields: 100, target_bytes: 4096 };

/// The names that rules touch, with what `set` and `add` were rendered to.
#[derive(Default)]
struct Rules {
    rules: HeaderRules,
    lines: String,
}

impl Rules {
    fn none() -> Self {
        Self::default()
    }

    fn remove(name: &str) -> Self {
        Self { rules: HeaderRules { remove: vec![name.to_owned()], ..HeaderRules::default() }, lines: String::new() }
    }

    fn set(name: &str, value: &str) -> Self {
        // The template is rendered by others; only the name counts here.
        let set = vec![(name.to_owned(), Template(Vec::new()))];
        let rules = HeaderRules { set, ..HeaderRules::default() };
        Self { rules, lines: format!("{name}: {value}\r\n") }
    }

    fn changes(&self) -> Changes<'_> {
        Changes { rules: &self.rules, lines: self.lines.as_bytes() }
    }
}

/// Start line and field lines of a head, which must end as heads do.
fn lines(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8(head.to_vec()).expect("text");
    let text = text.strip_suffix("\r\n\r\n").expect("an empty line ends a head");
    text.split("\r\n").map(str::to_owned).collect()
}

/// The values of a field, in order.
fn values<'a>(lines: &'a [String], name: &str) -> Vec<&'a str> {
    let named = |line: &'a String| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name));
    lines.iter().filter_map(named).map(|(_, value)| value).collect()
}

fn peer(addr: &str, trusted: bool) -> Peer {
    let addr: SocketAddr = addr.parse().expect("an address");
    let local_ip = std::net::IpAddr::from([192, 0, 2, 80]);
    Peer { addr, trusted, listener: ListenerId(0), local_ip, local_port: 8080, secure: false }
}
