//! Listeners: groups of `SO_REUSEPORT` sockets, one for each worker, bound before any worker starts.
//!
//! Owns binding and its errors (DESIGN D8). A second bind by the same user would silently succeed and steal
//! connections, so each address is first probed without `SO_REUSEPORT`. Port 0 binds one socket and then the rest on
//! its port. Unix sockets are one socket whose duplicates all workers accept on.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use policy::plan::{Bind, ListenerId, Plan};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel queues for each socket.
const BACKLOG: i32 = 4096;

/// The sockets of one address, one for each worker.
#[derive(Debug)]
pub struct Group {
    /// Whose address.
    pub listener: ListenerId,
    /// The address in force, with the real port: `127.0.0.1:8080` or `unix:/run/app.sock`.
    pub address: String,
    pub(crate) sockets: Sockets,
}

#[derive(Debug)]
pub(crate) enum Sockets {
    Tcp(Vec<std::net::TcpListener>),
    Unix(Vec<std::os::unix::net::UnixListener>),
}

/// An address could not be bound.
#[derive(Debug)]
pub struct BindError {
    /// The listener's name.
    pub listener: String,
    /// The address as configured.
    pub address: String,
    /// What the system said.
    pub error: io::Error,
}

impl BindError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self.error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another process listens there: stop it (`ss -ltnp` names it) or choose another address for [listener.{}]", self.listener)
            }
            io::ErrorKind::PermissionDenied => "ports below 1024 need root or CAP_NET_BIND_SERVICE: run as root, grant it (`setcap cap_net_bind_service=+ep` on the binary, or AmbientCapabilities= in the systemd unit), or choose a higher port".to_owned(),
            io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address: `ip addr` lists those it has".to_owned(),
            io::ErrorKind::NotFound => "the folder of the socket does not exist: make it first".to_owned(),
            _ => "see the system's message".to_owned(),
        }
    }
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot listen on {} for [listener.{}]: {}", self.address, self.listener, self.error)
    }
}

impl std::error::Error for BindError {}

/// Binds all listeners of a plan for so many workers.
///
/// # Errors
/// The first address that cannot be had; sockets bound before are closed again.
pub fn bind_all(plan: &Plan, workers: usize) -> Result<Vec<Group>, BindError> {
    let mut groups = Vec::new();
    for (index, listener) in plan.listeners.iter().enumerate() {
        let id = ListenerId(u16::try_from(index).unwrap_or(u16::MAX));
        for bind in &listener.binds {
            let group = bind_one(id, bind, workers).map_err(|error| BindError {
                listener: listener.name.clone(),
                address: show(bind),
                error,
            })?;
            groups.push(group);
        }
    }
    Ok(groups)
}

fn show(bind: &Bind) -> String {
    match bind {
        Bind::Tcp { addr, .. } => addr.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn bind_one(listener: ListenerId, bind: &Bind, workers: usize) -> io::Result<Group> {
    match bind {
        Bind::Tcp { addr, v6_only } => bind_tcp(listener, *addr, *v6_only, workers),
        Bind::Unix(path) => bind_unix(listener, path, workers),
    }
}

fn bind_tcp(listener: ListenerId, addr: SocketAddr, v6_only: bool, workers: usize) -> io::Result<Group> {
    if addr.port() != 0 {
        drop(tcp_socket(addr, v6_only, Sharing::Alone)?);
    }
    let first = tcp_socket(addr, v6_only, Sharing::Group)?;
    let actual = first.local_addr()?.as_socket().unwrap_or(addr);
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(tcp_socket(actual, v6_only, Sharing::Group)?);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    let sockets = sockets.into_iter().map(std::net::TcpListener::from).collect();
    Ok(Group { listener, address: actual.to_string(), sockets: Sockets::Tcp(sockets) })
}

/// Whether other sockets of ours may bind the same address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    Group,
}

fn tcp_socket(addr: SocketAddr, v6_only: bool, sharing: Sharing) -> io::Result<Socket> {
    let socket = match Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), Some(Protocol::TCP)) {
        // Dual stack was asked for, but the machine has no IPv6: the IPv4 half is what can be had.
        Err(error) if addr.is_ipv6() && !v6_only && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            return tcp_socket(SocketAddr::from(([0, 0, 0, 0], addr.port())), true, sharing);
        }
        socket => socket?,
    };
    if addr.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::Group)?;
    // Accepted sockets inherit it, which saves a call for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn bind_unix(listener: ListenerId, path: &Path, workers: usize) -> io::Result<Group> {
    remove_dead_socket(path)?;
    let first = std::os::unix::net::UnixListener::bind(path)?;
    first.set_nonblocking(true)?;
    let mut sockets = Vec::new();
    for _ in 1..workers {
        sockets.push(first.try_clone()?);
    }
    sockets.push(first);
    Ok(Group { listener, address: format!("unix:{}", path.display()), sockets: Sockets::Unix(sockets) })
}

/// A socket file that nobody listens on is left over from a process that died; a live one is somebody's address.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(error) => Err(error),
        },
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket is in the way")),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
