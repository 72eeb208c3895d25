//! Binding the admin addresses, apart from serving them, so that a taken one is known before anything runs.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use policy::plan::Admin;
use socket2::{Domain, SockAddr, Socket, Type};

/// Connections that the kernel queues.
const BACKLOG: i32 = 128;
/// The socket is for its owner: who may connect may command.
const SOCKET_MODE: u32 = 0o600;

/// The admin addresses, bound and not yet served: connections wait.
#[derive(Debug)]
pub struct Bound {
    pub(crate) tcp: Vec<TcpListener>,
    pub(crate) unix: Option<(UnixListener, SocketFile)>,
    pub(crate) token: Option<String>,
    problem: Option<String>,
}

/// A TCP address of the admin interface could not be bound.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

impl BindError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process listens there, perhaps another Evenkeel: stop it (`ss -ltnp` names it) or choose another address for [admin] bind"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher port for [admin] bind"
            }
            io::ErrorKind::AddrNotAvailable => {
                "no interface of this machine has that address: `ip addr` lists those it has"
            }
            _ => "see the system's message",
        }
    }
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot listen on {} for the admin interface: {}", self.address, self.error)
    }
}

impl std::error::Error for BindError {}

/// Binds the TCP addresses, which must be had, and the Unix socket, which may fail ([`Bound::socket_problem`]).
///
/// # Errors
/// The first TCP address that cannot be had; addresses bound before are closed again.
pub fn bind(admin: &Admin) -> Result<Bound, BindError> {
    let bind = |&address| bind_tcp(address).map_err(|error| BindError { address, error });
    let tcp = admin.bind.iter().map(bind).collect::<Result<_, _>>()?;
    let (unix, problem) = match admin.socket.as_deref().map(|path| (path, bind_unix(path))) {
        None => (None, None),
        Some((_, Ok(bound))) => (Some(bound), None),
        Some((path, Err(error))) => (None, Some(format!("cannot make the admin socket {}: {error}", path.display()))),
    };
    Ok(Bound { tcp, unix, token: admin.token.clone(), problem })
}

impl Bound {
    /// The addresses in force, with real ports: `127.0.0.1:9900`, `unix:/run/evenkeel/admin.sock`.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let tcp = self.tcp_addresses().map(|addr| addr.to_string());
        tcp.chain(self.unix.iter().map(|(_, file)| format!("unix:{}", file.path.display()))).collect()
    }

    /// Why the Unix socket could not be made.
    #[must_use]
    pub fn socket_problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    pub(crate) fn tcp_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.tcp.iter().filter_map(|listener| listener.local_addr().ok())
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Connections of a process that has just ended do not hold the address up.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if let Some(folder) = path.parent() {
        // Only the last folder, as /run/evenkeel; an error shows when the socket is made.
        let _ = std::fs::create_dir(folder);
    }
    remove_dead_socket(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::new(path)?;
    // Before `listen` nobody can connect: there is no moment at which the socket is open to others.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

/// A socket file that nobody listens on is left over from a process that died; a live one is somebody's.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(meta) if meta.file_type().is_socket() => match UnixStream::connect(path) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(error) => Err(error),
        },
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket is in the way")),
    }
}

/// A socket's file; removed when dropped, unless another process has put its own there.
#[derive(Debug)]
pub(crate) struct SocketFile {
    pub(crate) path: PathBuf,
    inode: u64,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), inode: std::fs::symlink_metadata(path)?.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode);
        if ours {
            // An error leaves a dead socket file, which the next start removes.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(bind: &[&str], socket: Option<PathBuf>) -> Admin {
        Admin { bind: bind.iter().map(|addr| addr.parse().unwrap()).collect(), socket, token: None }
    }

    #[test]
    fn taken_address_is_an_error_with_a_remedy() {
        let first = bind(&admin(&["127.0.0.1:0"], None)).unwrap();
        let taken = first.addresses().remove(0);
        let error = bind(&admin(&[&taken], None)).unwrap_err();
        assert!(error.to_string().contains(&taken), "{error}");
        assert!(error.remedy().contains("[admin] bind"));
        assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn socket_is_for_its_owner_and_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let bound = bind(&admin(&[], Some(path.clone()))).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bound.addresses(), [format!("unix:{}", path.display())]);
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn dead_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        let first = bind(&admin(&[], Some(path.clone()))).unwrap();
        assert_eq!(first.socket_problem(), None);
        let second = bind(&admin(&[], Some(path.clone()))).unwrap();
        assert!(second.socket_problem().unwrap().contains("another process"), "{:?}", second.socket_problem());
        drop(second);
        assert!(path.exists());
    }

    #[test]
    fn last_folder_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evenkeel/admin.sock");
        let bound = bind(&admin(&[], Some(path.clone()))).unwrap();
        assert_eq!(bound.socket_problem(), None);
        assert!(path.exists());
    }

    #[test]
    fn file_in_the_way_and_missing_folders_are_no_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(bind(&admin(&[], Some(path.clone()))).unwrap().socket_problem().is_some());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        assert!(bind(&admin(&[], Some(folder.path().join("no/such/admin.sock")))).unwrap().socket_problem().is_some());
    }

    #[test]
    fn somebody_elses_new_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let bound = bind(&admin(&[], Some(path.clone()))).unwrap();
        std::fs::rename(&path, folder.path().join("old.sock")).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists());
    }
}
