//! Free ports for what nobody asked to be at a certain one.

use std::net::{SocketAddr, TcpListener};

/// Ports tried after the one that was wanted.
const TRIES: u16 = 100;

/// Whether one can listen there now.
pub(crate) fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// The address if it is free, else the next free port after it. Port 0 is any free one.
pub(crate) fn free_address(wanted: SocketAddr) -> Option<SocketAddr> {
    if wanted.port() == 0 {
        return TcpListener::bind(wanted).and_then(|listener| listener.local_addr()).ok();
    }
    let ports = (0..=TRIES).map_while(|step| wanted.port().checked_add(step));
    ports.map(|port| SocketAddr::new(wanted.ip(), port)).find(|address| is_free(*address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_gives_the_next_port() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let wanted = taken.local_addr().unwrap();
        let Some(found) = free_address(wanted) else {
            assert!(wanted.port() > u16::MAX - 5, "a port after {wanted} is free");
            return;
        };
        assert!(found.port() > wanted.port());
    }

    #[test]
    fn any_port_is_a_real_one() {
        assert_ne!(free_address("127.0.0.1:0".parse().unwrap()).unwrap().port(), 0);
    }
}
