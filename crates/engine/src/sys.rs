//! What the system offers and no library: the only room with `unsafe`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes given to a socket that its peer has not acknowledged (TCP), or not read (Unix sockets; what they take up there).
#[expect(unsafe_code, reason = "no library offers it, and without it a slow client looks like one that is gone")]
pub(crate) fn unsent(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open as long as it is borrowed, and TIOCOUTQ (which sockets call SIOCOUTQ) writes one int
    // to the address given, which is that of one.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which the standard library reads too but does not tell as one number.
#[inline]
#[expect(unsafe_code, reason = "no library gives the number without arithmetic on seconds and nanoseconds apart")]
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the address is that of a timespec, which is all that the call writes; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::unsent;

    #[test]
    fn what_the_peer_has_not_taken_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(n) = near.write(&[0; 65536]) {
            sent += n;
        }
        let waits = unsent(near.as_fd()).unwrap();
        assert!(waits > 0 && waits <= sent as u64, "{waits} of {sent}");
        near.set_nonblocking(false).unwrap();
        near.shutdown(std::net::Shutdown::Write).unwrap();
        let mut got = Vec::new();
        far.read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), sent);
        // The last acknowledgement may be on its way.
        while unsent(near.as_fd()).unwrap() > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_descriptor_that_is_no_socket_is_an_error() {
        assert!(unsent(std::fs::File::open("/dev/null").unwrap().as_fd()).is_err());
    }
}
