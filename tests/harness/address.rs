//! Addresses to meet at, and one where nobody answers.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An address that neither accepts nor refuses: a listener whose queue is full, so that the kernel drops each SYN.
pub(crate) struct Blackhole {
    pub(crate) address: String,
    _listener: Socket,
    _queued: Vec<TcpStream>,
}

impl Blackhole {
    pub(crate) fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        // The queue holds one more than it was told; the first connection that is not made fills it for sure.
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queued.push(stream);
        }
        Self { address: address.to_string(), _listener: listener, _queued: queued }
    }
}
