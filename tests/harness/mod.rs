//! What every test of the binary needs: the balancer itself, backends and clients that know each byte, and patience.
//!
//! Owns processes, sockets and threads of a test and ends all of them with it, by id. Waits for conditions, never for a
//! while.

mod address;
mod backend;
mod crowd;
mod evenkeel;
mod figures;
mod gate;
pub(crate) mod http2;
mod load;
mod message;
mod namespace;
mod nginx;
mod patience;
mod process;
mod secure;
mod server;
mod wire;

pub(crate) use address::{Blackhole, free_port};
pub(crate) use backend::{Backend, Conn};
pub(crate) use crowd::{Connections, Crowd, Seen, TimedServer};
pub(crate) use evenkeel::{Evenkeel, Setup, binary};
pub(crate) use figures::{figure, long_run, skip, table_row};
pub(crate) use gate::Gate;
pub(crate) use load::{Load, LoadReport};
pub(crate) use message::{Message, text};
pub(crate) use namespace::Namespace;
pub(crate) use nginx::Nginx;
pub(crate) use patience::{PATIENCE, eventually, eventually_some};
pub(crate) use process::{Signal, cpu_seconds, descriptors, find_program, is_root, peak_kib};
pub(crate) use secure::{Authority, Hello, Issued, Wanted, trusting};
pub(crate) use server::{Kind, Raw, Server};
pub(crate) use wire::{Broken, Method, Wire};

/// A plain answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// The answer of a backend that cannot now.
pub(crate) const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
/// A plain request.
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// What holds for a worker alone must hold for several that share a process.
pub(crate) fn with_one_and_four_workers(test: impl Fn(usize)) {
    for workers in [1, 4] {
        println!("{workers} worker(s)");
        test(workers);
    }
}
