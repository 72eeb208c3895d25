//! Opening connections to backends, and whose fault it is when that fails.
//!
//! Owns one try at an address. To which backend, for how long and how often is for [`crate::backends`] and the exchange,
//! which drive it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use policy::plan::PoolId;
use tokio::net::{TcpStream, UnixStream};

use crate::cause::Cause;
use crate::stream::Stream;
use crate::tls::{Settings, Step, TlsFault};
use crate::worker::Worker;

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(crate) enum ConnectError {
    /// The backend refused or cannot be reached.
    Failed,
    /// It is our fault: no port, descriptor or memory.
    Local,
    /// The name has no address yet.
    Unresolved,
    /// It was reached, and is not who it must be, or does not speak TLS as it must.
    Tls(TlsFault),
}

impl ConnectError {
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Failed => Cause::ConnectFailed,
            Self::Local => Cause::LocalExhausted,
            Self::Unresolved => Cause::Unresolved,
            Self::Tls(fault) if fault.is_certificate() => Cause::BadCertificate(*fault),
            Self::Tls(fault) => Cause::TlsFailed(*fault),
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

/// The connection as the backend is spoken to: as it is, or over TLS. The caller bounds the time.
#[inline]
pub(crate) async fn as_wanted(
    worker: &Worker,
    socket: Stream,
    (pool, backend): (PoolId, usize),
) -> Result<Stream, ConnectError> {
    if !worker.plan.pool(pool).backends[backend].tls {
        return Ok(socket);
    }
    let secured = over_tls(socket, &worker.shared.tls, (pool.0 as usize, backend));
    secured.await.map_err(ConnectError::Tls)
}

async fn over_tls(
    mut socket: Stream,
    settings: &Settings,
    (pool, backend): (usize, usize),
) -> Result<Stream, TlsFault> {
    let back = settings.back(pool).ok_or(TlsFault::Unset)?;
    let mut stage = back.begin(backend).ok_or(TlsFault::Unset)?;
    loop {
        let step = stage.step();
        let sent = poll_fn(|cx| stage.poll_send(cx, &mut socket)).await;
        match step.map_err(|error| TlsFault::of(&error))? {
            Step::Done => {
                sent.map_err(|_| TlsFault::Closed)?;
                if !back.is_agreed(backend, stage.agreed().alpn_protocol()) {
                    return Err(TlsFault::NoHttp2);
                }
                let stream = stage.finish(socket).map_err(|error| TlsFault::of(&error))?;
                return Ok(Stream::Tls(Box::new(stream)));
            }
            Step::Wants => sent.map_err(|_| TlsFault::Closed)?,
        }
        match poll_fn(|cx| stage.poll_receive(cx, &mut socket)).await {
            Ok(n) if n > 0 => {}
            _ => return Err(TlsFault::Closed),
        }
    }
}

impl From<&io::Error> for ConnectError {
    fn from(error: &io::Error) -> Self {
        const OURS: [i32; 6] =
            [libc::EADDRNOTAVAIL, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EAGAIN];
        if error.raw_os_error().is_some_and(|code| OURS.contains(&code)) { Self::Local } else { Self::Failed }
    }
}
