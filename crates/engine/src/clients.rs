//! How many connections each client has, where a listener caps them.
//!
//! Owns the counts, over all workers; an entry lives only as long as its client has a connection, so that
//! `limits.connections` bounds them. A client is an IPv4 address or an IPv6 /64.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::limit::{CLIENT_V4, CLIENT_V6, network};

const SHARDS: usize = 16;

/// The connections of a listener by client.
#[derive(Debug)]
pub(crate) struct Clients {
    most: u32,
    hasher: std::collections::hash_map::RandomState,
    shards: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
}

/// One connection of a client; counted until dropped.
#[derive(Debug)]
pub(crate) struct ClientPlace {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    /// At most so many connections for each client.
    pub(crate) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { most, hasher: Default::default(), shards: Default::default() })
    }

    /// Counts a connection; `None` if the client has as many as it may.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<ClientPlace> {
        let client = network(ip, CLIENT_V4, CLIENT_V6);
        let mut shard = self.shard(client);
        let count = shard.entry(client).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(ClientPlace { clients: Arc::clone(self), client })
    }

    fn shard(&self, client: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        let at = usize::try_from(self.hasher.hash_one(client) % SHARDS as u64).unwrap_or(0);
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut shard = self.clients.shard(self.client);
        if let Some(count) = shard.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn entries(clients: &Clients) -> usize {
        clients.shards.iter().map(|shard| shard.lock().expect("no panic").len()).sum()
    }

    #[test]
    fn each_client_has_its_own_count_and_leaves_nothing() {
        let clients = Clients::new(2);
        let (one, two) = (clients.admit(ip("192.0.2.1")), clients.admit(ip("::ffff:192.0.2.1")));
        assert!(one.is_some() && two.is_some());
        assert!(clients.admit(ip("192.0.2.1")).is_none());
        assert!(clients.admit(ip("192.0.2.2")).is_some(), "another client");
        drop(one);
        let three = clients.admit(ip("192.0.2.1"));
        assert!(three.is_some());
        drop((two, three));
        assert_eq!(entries(&clients), 0);
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client() {
        let clients = Clients::new(1);
        let _one = clients.admit(ip("2001:db8::1"));
        assert!(clients.admit(ip("2001:db8::ffff")).is_none());
        assert!(clients.admit(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn four_threads_never_exceed_the_cap() {
        let clients = Clients::new(5);
        let most = std::sync::atomic::AtomicU32::new(0);
        let now = std::sync::atomic::AtomicU32::new(0);
        let order = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        let places = [(); 3].map(|()| clients.admit(ip("192.0.2.1")));
                        let got = u32::try_from(places.iter().flatten().count()).expect("at most 3");
                        most.fetch_max(now.fetch_add(got, order) + got, order);
                        now.fetch_sub(got, order);
                        drop(places);
                    }
                });
            }
        });
        assert!(most.load(order) <= 5);
        assert_eq!(entries(&clients), 0);
    }
}
