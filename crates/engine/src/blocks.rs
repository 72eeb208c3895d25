//! Blocked networks in force: who is refused at accept, and cut when already in.
//!
//! Owns the way from the control plane to the workers: a ruling is immutable and replaced whole, an epoch tells of a new
//! one, and each worker keeps its own handle, so that asking takes no lock. Nothing is asked of connections to Unix
//! sockets: they have no address.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use policy::block::{IpNet, Table};
use policy::plan::ListenerId;

use crate::cause::{Cause, Whom};
use crate::seam::Peer;
use crate::worker::Worker;

/// What a block has refused: connections at accept, connections closed, and requests.
pub type Tally = Arc<AtomicU64>;

/// Networks that are blocked, each with its tally.
#[derive(Debug, Default)]
pub struct Ruling {
    table: Table,
    tallies: Vec<Tally>,
}

impl Ruling {
    /// Of networks without repetition.
    pub fn new(blocks: impl IntoIterator<Item = (IpNet, Tally)>) -> Self {
        let (networks, tallies): (Vec<IpNet>, Vec<Tally>) = blocks.into_iter().unzip();
        Self { table: Table::new(networks), tallies }
    }
}

/// The ruling in force, for all workers.
#[derive(Debug, Default)]
pub struct Blocks {
    /// Grows with each ruling, after it is there.
    epoch: AtomicU64,
    in_force: Mutex<Arc<Ruling>>,
}

impl Blocks {
    /// Puts a ruling in force for all that is asked from now on ([`crate::Engine::blocks_changed`] is for those who are
    /// in already).
    pub fn publish(&self, ruling: Ruling) {
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(ruling);
        self.epoch.fetch_add(1, Ordering::Release);
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}

/// A worker's handle on the ruling in force.
#[derive(Default)]
pub(crate) struct BlockView {
    seen: Cell<u64>,
    blocks_any: Cell<bool>,
    ruling: RefCell<Arc<Ruling>>,
}

impl BlockView {
    /// Whether nothing is blocked: what every request asks, and nearly always hears.
    #[inline]
    fn is_idle(&self, blocks: &Blocks) -> bool {
        self.seen.get() == blocks.epoch() && !self.blocks_any.get()
    }

    /// Whether an address is blocked; counts it if so.
    fn refuses(&self, blocks: &Blocks, ip: IpAddr) -> bool {
        let block = self.find(blocks, ip);
        if let Some(tally) = &block {
            tally.fetch_add(1, Ordering::Relaxed);
        }
        block.is_some()
    }

    /// The tally of the block that an address is under.
    fn find(&self, blocks: &Blocks, ip: IpAddr) -> Option<Tally> {
        let epoch = blocks.epoch();
        if self.seen.replace(epoch) != epoch {
            let in_force = Arc::clone(&blocks.in_force.lock().unwrap_or_else(PoisonError::into_inner));
            self.blocks_any.set(!in_force.table.is_empty());
            self.ruling.replace(in_force);
        }
        let ruling = self.ruling.borrow();
        ruling.table.find(ip).map(|at| Arc::clone(&ruling.tallies[at]))
    }
}

/// Who an exchange is for, and the ruling that it began under.
pub(crate) struct Watch {
    epoch: u64,
    peer: Peer,
    client: IpAddr,
}

impl Worker {
    /// Whether what comes to a listener from this address is refused; counts it if so.
    pub(crate) fn refuses_address(&self, listener: ListenerId, ip: IpAddr) -> bool {
        if self.block_view.is_idle(&self.shared.blocks) {
            return false;
        }
        let refused = self.block_view.refuses(&self.shared.blocks, ip);
        if refused {
            self.counters().listeners[usize::from(listener.0)].blocked.add(1);
        }
        refused
    }

    /// Whether connections of this peer are refused; counts one if so.
    #[inline]
    pub(crate) fn refuses(&self, peer: &Peer) -> bool {
        let is_idle = self.block_view.is_idle(&self.shared.blocks);
        !is_idle && !peer.is_unix() && self.refuses_address(peer.listener, peer.ip())
    }

    /// As [`Worker::refuses`], of a connection that somebody else will end and count.
    #[inline]
    pub(crate) fn will_refuse(&self, peer: &Peer) -> bool {
        let is_idle = self.block_view.is_idle(&self.shared.blocks);
        !is_idle && !peer.is_unix() && self.block_view.find(&self.shared.blocks, peer.ip()).is_some()
    }

    /// Whether requests of this client by this peer are refused, and for whose sake; counts one if so.
    #[inline]
    pub(crate) fn refuses_request(&self, peer: &Peer, client: IpAddr) -> Result<(), Cause> {
        if self.block_view.is_idle(&self.shared.blocks) { Ok(()) } else { self.judge_request(peer, client) }
    }

    fn judge_request(&self, peer: &Peer, client: IpAddr) -> Result<(), Cause> {
        if self.refuses(peer) {
            return Err(Cause::Blocked(Whom::Peer));
        }
        // Peers without a forwarded address are their own clients.
        if client == peer.ip() || !self.refuses_address(peer.listener, client) {
            return Ok(());
        }
        Err(Cause::Blocked(Whom::Client))
    }

    /// From now on, [`Worker::poll_watched`] ends what runs when a new ruling refuses it.
    pub(crate) fn watch(&self, peer: &Peer, client: IpAddr) -> Watch {
        Watch { epoch: self.shared.blocks.epoch(), peer: *peer, client }
    }

    /// Polls what runs for a client, unless the client has been blocked meanwhile.
    pub(crate) fn poll_watched(
        &self,
        cx: &mut Context<'_>,
        watch: &mut Watch,
        running: Pin<&mut impl Future<Output = Result<(), Cause>>>,
    ) -> Poll<Result<(), Cause>> {
        let epoch = self.shared.blocks.epoch();
        if epoch != watch.epoch {
            watch.epoch = epoch;
            if let Err(cause) = self.refuses_request(&watch.peer, watch.client) {
                return Poll::Ready(Err(cause));
            }
        }
        running.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruling(networks: &[&str]) -> (Ruling, Vec<Tally>) {
        let tallies: Vec<Tally> = networks.iter().map(|_| Tally::default()).collect();
        let networks = networks.iter().map(|text| policy::block::parse(text).unwrap());
        (Ruling::new(networks.zip(tallies.iter().cloned())), tallies)
    }

    fn refuses(view: &BlockView, blocks: &Blocks, ip: &str) -> bool {
        view.refuses(blocks, ip.parse().unwrap())
    }

    #[test]
    fn a_new_ruling_holds_for_the_next_question() {
        let (blocks, view) = (Blocks::default(), BlockView::default());
        assert!(!refuses(&view, &blocks, "192.0.2.1"));
        blocks.publish(ruling(&["192.0.2.0/24"]).0);
        assert!(refuses(&view, &blocks, "192.0.2.1"));
        assert!(!refuses(&view, &blocks, "192.0.3.1"));
        blocks.publish(Ruling::default());
        assert!(!refuses(&view, &blocks, "192.0.2.1"));
    }

    #[test]
    fn the_narrowest_block_counts() {
        let (blocks, view) = (Blocks::default(), BlockView::default());
        let (ruling, tallies) = ruling(&["10.0.0.0/8", "10.1.0.0/16"]);
        blocks.publish(ruling);
        for ip in ["10.1.2.3", "10.1.2.4", "10.2.0.1"] {
            assert!(refuses(&view, &blocks, ip));
        }
        assert_eq!(tallies.iter().map(|tally| tally.load(Ordering::Relaxed)).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn four_threads_see_each_ruling_whole() {
        let blocks = Blocks::default();
        blocks.publish(ruling(&["192.0.2.0/24"]).0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let view = BlockView::default();
                    for _ in 0..2_000 {
                        assert!(refuses(&view, &blocks, "192.0.2.1"), "it is in every ruling");
                    }
                });
            }
            for n in 0..500 {
                let other = format!("10.{}.0.0/16", n % 256);
                blocks.publish(ruling(&["192.0.2.0/24", &other]).0);
            }
        });
    }
}
