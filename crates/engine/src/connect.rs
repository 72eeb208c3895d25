//! Opening connections to backends, and whose fault it is when that fails.
//!
//! Owns one try at an address. To which backend, for how long and how often is for [`crate::backends`] and the exchange,
//! which drive it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpStream, UnixStream};

use crate::cause::Cause;
use crate::stream::Stream;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The backend refused or cannot be reached.
    Failed,
    /// It is our fault: no port, descriptor or memory.
    Local,
    /// The name has no address yet.
    Unresolved,
}

impl ConnectError {
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Failed => Cause::ConnectFailed,
            Self::Local => Cause::LocalExhausted,
            Self::Unresolved => Cause::Unresolved,
        }
    }
}

/// Connects to a socket of this host.
pub(crate) async fn over_unix(path: &Path) -> io::Result<Stream> {
    // Here EAGAIN says that the backend's queue is full, which is no lack of ours.
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::ConnectionRefused.into(),
        _ => error,
    };
    UnixStream::connect(path).await.map(Stream::Unix).map_err(refused)
}

/// Connects over TCP.
pub(crate) async fn over_tcp(address: SocketAddr) -> io::Result<Stream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    Ok(Stream::Tcp(tcp))
}

impl From<&io::Error> for ConnectError {
    fn from(error: &io::Error) -> Self {
        const OURS: [i32; 6] =
            [libc::EADDRNOTAVAIL, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EAGAIN];
        if error.raw_os_error().is_some_and(|code| OURS.contains(&code)) { Self::Local } else { Self::Failed }
    }
}
