//! One byte stream: TCP or Unix socket, or TLS over one of these.
//!
//! Owns the choice among kinds of socket and nothing else; every reader and writer of the data plane goes through it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::sys;
use crate::tls::TlsStream;

/// Between the kernel's probes of a silent tunnel.
const TUNNEL_PROBE: Duration = Duration::from_secs(30);
/// How long sent bytes may stay unacknowledged in a tunnel.
const TUNNEL_GIVE_UP: Duration = Duration::from_secs(120);

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

/// A connected socket that no worker's runtime watches: on its way from one to another.
#[derive(Debug)]
pub(crate) enum Loose {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Loose {
    /// Has the runtime of this thread watch it.
    pub(crate) fn settle(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(tcp) => TcpStream::from_std(tcp).map(Stream::Tcp),
            Self::Unix(unix) => UnixStream::from_std(unix).map(Stream::Unix),
        }
    }
}

/// What has come on a connection that nobody has asked anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing.
    Quiet,
    /// The end of the stream, be it proper or not.
    Ended,
    /// Bytes that belong to nothing.
    Unasked,
}

impl Stream {
    /// Takes it from this thread's runtime.
    pub(crate) fn loosen(self) -> io::Result<Loose> {
        match self {
            Self::Tcp(tcp) => tcp.into_std().map(Loose::Tcp),
            Self::Unix(unix) => unix.into_std().map(Loose::Unix),
            // Its keys stay with the worker: it closes, and whoever wanted it opens another by its ticket.
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Reads once; 0 is the end of the stream.
    #[inline]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(room);
        let read = match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, &mut buf),
            Self::Unix(unix) => Pin::new(unix).poll_read(cx, &mut buf),
            Self::Tls(tls) => return tls.poll_read(cx, room),
        };
        ready!(read)?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Writes once, perhaps less than all.
    #[inline]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
            Self::Tls(tls) => tls.poll_write(cx, bytes, &[]),
        }
    }

    /// Writes two pieces in one call, perhaps less than all.
    pub(crate) fn poll_write_two(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, &slices),
            Self::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, &slices),
            Self::Tls(tls) => tls.poll_write(cx, first, second),
        }
    }

    /// Sends what was taken: only TLS takes more than it sends.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.poll_flush(cx),
        }
    }

    /// A message was sent whole: an end of the connection is no cut from here on.
    #[inline]
    pub(crate) fn finished(&mut self) {
        if let Self::Tls(tls) = self {
            tls.finished();
        }
    }

    /// Reads what is here, as far as the last look at the kernel's events tells.
    pub(crate) fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.try_read(room),
            Self::Unix(unix) => unix.try_read(room),
            Self::Tls(tls) => tls.socket().try_read(room),
        }
    }

    /// Writes what the socket takes at once.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.try_write(bytes),
            Self::Unix(unix) => unix.try_write(bytes),
            Self::Tls(tls) => tls.socket().try_write(bytes),
        }
    }

    /// Ready when there is something to read, be it the end of the stream.
    #[inline]
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(cx),
            Self::Unix(unix) => unix.poll_read_ready(cx),
            Self::Tls(tls) => tls.poll_readable(cx),
        }
    }

    /// What has come on an idle connection, as far as the last look at the kernel's events tells.
    #[inline]
    pub(crate) fn rest(&mut self) -> Rest {
        let mut byte = [0];
        let read = match self {
            Self::Tcp(tcp) => tcp.try_read(&mut byte),
            Self::Unix(unix) => unix.try_read(&mut byte),
            Self::Tls(tls) => return tls.rest(),
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Rest::Quiet,
            Ok(1..) => Rest::Unasked,
            _ => Rest::Ended,
        }
    }

    /// Whether the peer has ended its direction or is gone, as far as the last look at the kernel's events tells, even
    /// while bytes are unread.
    pub(crate) fn is_left(&self, cx: &mut Context<'_>) -> bool {
        // What is asked for is urgent data, which nobody sends; the end of the stream comes with it.
        let ready = match self {
            Self::Tcp(tcp) => pin!(tcp.ready(Interest::PRIORITY)).poll(cx),
            Self::Unix(unix) => pin!(unix.ready(Interest::PRIORITY)).poll(cx),
            Self::Tls(tls) => return tls.socket().is_left(cx),
        };
        match ready {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    /// Ends our direction; the peer reads the end of the stream.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Self::Tls(tls) => tls.poll_shutdown(cx),
        }
    }

    /// Whether something has come on an idle connection, as the kernel itself tells.
    pub(crate) fn is_stale(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        let peeked = match self {
            Self::Tcp(tcp) => socket2::SockRef::from(tcp).recv_with_flags(&mut byte, flags),
            Self::Unix(unix) => socket2::SockRef::from(unix).recv_with_flags(&mut byte, flags),
            Self::Tls(tls) => return tls.is_stale(),
        };
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// A tunnel may be silent for long: the kernel finds out when the other end is gone without a word (DESIGN D13).
    pub(crate) fn prepare_tunnel(&self) {
        if let Self::Tls(tls) = self {
            tls.socket().prepare_tunnel();
        }
        if let Self::Tcp(tcp) = self {
            let keep_alive = socket2::TcpKeepalive::new().with_time(TUNNEL_PROBE).with_interval(TUNNEL_PROBE);
            let socket = socket2::SockRef::from(tcp);
            // Best effort: without it the tunnel's own timeout ends it later.
            let _ = socket.set_tcp_keepalive(&keep_alive);
            let _ = socket.set_tcp_user_timeout(Some(TUNNEL_GIVE_UP));
        }
    }

    /// Bytes in the kernel that the peer has not taken; 0 where that cannot be told.
    pub(crate) fn unsent(&self) -> u64 {
        let unsent = match self {
            Self::Tcp(tcp) => sys::unsent(tcp.as_fd()),
            Self::Unix(unix) => sys::unsent(unix.as_fd()),
            Self::Tls(tls) => return tls.socket().unsent() + tls.waiting(),
        };
        unsent.unwrap_or(0)
    }

    /// Has the connection end with a reset: the peer cannot take what it got for whole, and the kernel keeps nothing.
    pub(crate) fn end_with_reset(&mut self) {
        if let Self::Tls(tls) = self {
            return tls.cut();
        }
        if let Self::Tcp(tcp) = &*self {
            // Best effort: without it the peer sees an early end instead of a reset.
            let _ = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO));
        }
    }
}
