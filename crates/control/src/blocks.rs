//! Networks that are blocked at run time: by whom, why, until when.
//!
//! Owns the book and its limit; `policy::block` finds an address in it, `engine::blocks` refuses. Blocks end by
//! themselves, and with the process. Driven by the admin interface, and by the clerk once a second.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use engine::blocks::{Ruling, Tally};
use policy::block::{BLOCKS_MAX, IpNet};

use crate::clock::steady_ms;
use crate::status::Handle;

/// What is to be blocked.
#[derive(Clone, Debug)]
pub struct BlockOrder {
    /// The networks.
    pub networks: Vec<IpNet>,
    /// For how long; `None` is until it is lifted or the process ends.
    pub time: Option<Duration>,
    /// Why, for people.
    pub reason: String,
    /// Who says so, for people.
    pub author: String,
}

/// One blocked network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockStatus {
    /// The network.
    pub network: IpNet,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub author: String,
    /// Since when.
    pub since: SystemTime,
    /// Until when, by the calendar as it was when the block was made.
    pub until: Option<SystemTime>,
    /// Connections refused or closed and requests refused, as far as this was the narrowest block.
    pub refused: u64,
}

/// There is no room for so many more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlocksFull {
    /// Those there are.
    pub blocks: usize,
}

/// All blocks.
#[derive(Debug, Default)]
pub(crate) struct Book(BTreeMap<IpNet, Entry>);

#[derive(Debug)]
struct Entry {
    reason: String,
    author: String,
    since: SystemTime,
    until: Option<SystemTime>,
    /// The end by the clock that nobody sets.
    due_ms: Option<u64>,
    tally: Tally,
}

impl Book {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Adds networks, all or none. One that is blocked already keeps its beginning and its tally.
    fn block(&mut self, order: &BlockOrder, now: SystemTime, now_ms: u64) -> Result<(), BlocksFull> {
        let mut new: Vec<&IpNet> = order.networks.iter().filter(|net| !self.0.contains_key(net)).collect();
        new.sort_unstable();
        new.dedup();
        if self.0.len() + new.len() > BLOCKS_MAX {
            return Err(BlocksFull { blocks: self.0.len() });
        }
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        for &network in &order.networks {
            let old = self.0.remove(&network);
            let entry = Entry {
                reason: order.reason.clone(),
                author: order.author.clone(),
                since: old.as_ref().map_or(now, |old| old.since),
                until: order.time.and_then(|time| now.checked_add(time)),
                due_ms: order.time.map(|time| now_ms.saturating_add(ms(time))),
                tally: old.map(|old| old.tally).unwrap_or_default(),
            };
            self.0.insert(network, entry);
        }
        Ok(())
    }

    fn lift(&mut self, network: IpNet) -> Option<BlockStatus> {
        self.0.remove(&network).map(|entry| entry.status(network))
    }

    /// Lifts what is over.
    fn expire(&mut self, now_ms: u64) -> Vec<BlockStatus> {
        let over = self.0.extract_if(.., |_, entry| entry.due_ms.is_some_and(|due| due <= now_ms));
        over.map(|(network, entry)| entry.status(network)).collect()
    }

    /// All of them, by network.
    fn list(&self) -> Vec<BlockStatus> {
        self.0.iter().map(|(&network, entry)| entry.status(network)).collect()
    }

    /// Those around a network that is not blocked as such, the widest first.
    fn around(&self, network: IpNet) -> Vec<IpNet> {
        self.0.keys().copied().filter(|net| net.contains(&network)).collect()
    }

    fn ruling(&self) -> Ruling {
        Ruling::new(self.0.iter().map(|(&network, entry)| (network, Tally::clone(&entry.tally))))
    }
}

impl Entry {
    fn status(&self, network: IpNet) -> BlockStatus {
        BlockStatus {
            network,
            reason: self.reason.clone(),
            author: self.author.clone(),
            since: self.since,
            until: self.until,
            refused: self.tally.load(Ordering::Relaxed),
        }
    }
}

impl Handle {
    /// Blocks networks, all or none: new connections are refused, those there are closed with what runs on them, and
    /// requests for clients there that trusted proxies bring are refused.
    ///
    /// # Errors
    /// There would be too many.
    pub fn block(&self, order: &BlockOrder) -> Result<Vec<BlockStatus>, BlocksFull> {
        let mut book = self.book();
        book.block(order, SystemTime::now(), steady_ms())?;
        self.publish(&book);
        let made = |net: &IpNet| book.0.get(net).map(|entry| entry.status(*net));
        let blocks: Vec<BlockStatus> = order.networks.iter().filter_map(made).collect();
        drop(book);
        if let Some(engine) = &*self.record.engine.lock().unwrap_or_else(PoisonError::into_inner) {
            engine.blocks_changed();
        }
        tell_blocked(order);
        Ok(blocks)
    }

    /// Lifts a block; `None` if that network is not blocked as such.
    #[must_use]
    pub fn unblock(&self, network: IpNet) -> Option<BlockStatus> {
        let mut book = self.book();
        let lifted = book.lift(network)?;
        self.publish(&book);
        tracing::info!("{network} is no longer blocked; {} refused", lifted.refused);
        Some(lifted)
    }

    /// Lifts all blocks.
    #[must_use]
    pub fn unblock_all(&self) -> Vec<BlockStatus> {
        let mut book = self.book();
        let lifted = book.list();
        book.0.clear();
        self.publish(&book);
        if !lifted.is_empty() {
            tracing::info!("all {} blocks are lifted", lifted.len());
        }
        lifted
    }

    /// All blocks, by network.
    #[must_use]
    pub fn blocks(&self) -> Vec<BlockStatus> {
        self.book().list()
    }

    /// The blocks that a network lies in without being blocked as such.
    #[must_use]
    pub fn blocks_around(&self, network: IpNet) -> Vec<IpNet> {
        self.book().around(network)
    }

    /// Listeners of which this network holds trusted proxies: all their clients would be refused.
    #[must_use]
    pub fn listeners_trusting(&self, network: IpNet) -> Vec<&str> {
        let listeners = self.record.plan.listeners.iter();
        let trusting = listeners.filter(|listener| listener.trusted_proxies.meets(network));
        trusting.map(|listener| listener.name.as_str()).collect()
    }

    /// Lifts the blocks that are over.
    pub(crate) fn expire_blocks(&self) {
        let mut book = self.book();
        let over = book.expire(steady_ms());
        if over.is_empty() {
            return;
        }
        self.publish(&book);
        drop(book);
        match &over[..] {
            [one] => tracing::info!("{} is no longer blocked: its time is over; {} refused", one.network, one.refused),
            more => tracing::info!("{} blocks are over", more.len()),
        }
    }

    fn publish(&self, book: &Book) {
        self.record.shared.blocks.publish(book.ruling());
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.record.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell_blocked(order: &BlockOrder) {
    tracing::warn!("{}", told(order));
}

fn told(order: &BlockOrder) -> String {
    let (what, lifted) = match &order.networks[..] {
        [one] => (one.to_string(), "until it is lifted"),
        more => (format!("{} networks", more.len()), "until they are lifted"),
    };
    let time = order.time.map_or(lifted.to_owned(), |time| format!("for {} s", time.as_secs()));
    // People wrote these: no control character reaches the log.
    let said = |before: &str, word: &str| match word {
        "" => String::new(),
        word => format!("{before}{}", word.escape_debug()),
    };
    format!("{what} blocked {time}{}{}", said(" by ", &order.author), said(": ", &order.reason))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn net(text: &str) -> IpNet {
        policy::block::parse(text).unwrap()
    }

    fn order(networks: &[&str], seconds: Option<u64>) -> BlockOrder {
        BlockOrder {
            networks: networks.iter().map(|text| net(text)).collect(),
            time: seconds.map(Duration::from_secs),
            reason: "flood".to_owned(),
            author: "ann".to_owned(),
        }
    }

    fn networks(blocks: &[BlockStatus]) -> Vec<String> {
        blocks.iter().map(|block| block.network.to_string()).collect()
    }

    #[test]
    fn the_log_says_what_is_known_of_an_order() {
        assert_eq!(told(&order(&["10.0.0.0/8"], Some(60))), "10.0.0.0/8 blocked for 60 s by ann: flood");
        let nobody =
            BlockOrder { author: String::new(), reason: String::new(), ..order(&["::1/128", "::2/128"], None) };
        assert_eq!(told(&nobody), "2 networks blocked until they are lifted");
    }

    #[test]
    fn blocks_end_by_themselves() {
        let mut book = Book::default();
        book.block(&order(&["10.0.0.0/8", "192.0.2.0/24"], Some(60)), UNIX_EPOCH, 1_000).unwrap();
        book.block(&order(&["10.1.0.0/16"], None), UNIX_EPOCH, 1_000).unwrap();
        assert_eq!(networks(&book.expire(60_999)), [""; 0]);
        assert_eq!(networks(&book.expire(61_000)), ["10.0.0.0/8", "192.0.2.0/24"]);
        assert_eq!(networks(&book.list()), ["10.1.0.0/16"]);
        assert_eq!(networks(&book.expire(u64::MAX)), [""; 0]);
    }

    #[test]
    fn a_second_order_for_a_network_renews_its_block() {
        let mut book = Book::default();
        book.block(&order(&["10.0.0.0/8"], Some(60)), UNIX_EPOCH, 0).unwrap();
        book.0[&net("10.0.0.0/8")].tally.store(7, Ordering::Relaxed);
        let later = UNIX_EPOCH + Duration::from_secs(30);
        book.block(&BlockOrder { reason: "still".to_owned(), ..order(&["10.0.0.0/8"], Some(60)) }, later, 30_000)
            .unwrap();
        let [block] = &book.list()[..] else { panic!("one block") };
        assert_eq!((block.since, block.until), (UNIX_EPOCH, Some(later + Duration::from_secs(60))));
        assert_eq!((block.refused, block.reason.as_str()), (7, "still"));
        assert!(book.expire(60_000).is_empty());
        assert_eq!(book.lift(net("10.0.0.0/8")).unwrap().refused, 7);
        assert_eq!(book.lift(net("10.0.0.0/8")), None);
    }

    #[test]
    fn too_many_are_refused_whole() {
        let mut book = Book::default();
        let many = |from: u32, count: u32| BlockOrder {
            networks: (from..from + count).map(|n| IpNet::from(std::net::IpAddr::from(n.to_be_bytes()))).collect(),
            ..order(&[], None)
        };
        let most = u32::try_from(BLOCKS_MAX).unwrap();
        book.block(&many(0, most - 1), UNIX_EPOCH, 0).unwrap();
        assert_eq!(book.block(&many(most, 2), UNIX_EPOCH, 0), Err(BlocksFull { blocks: BLOCKS_MAX - 1 }));
        assert_eq!(book.0.len(), BLOCKS_MAX - 1);
        // What is there already needs no room.
        book.block(&many(0, 10), UNIX_EPOCH, 0).unwrap();
        book.block(&many(most, 1), UNIX_EPOCH, 0).unwrap();
    }

    #[test]
    fn the_blocks_around_a_network_are_told() {
        let mut book = Book::default();
        book.block(&order(&["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "::/1"], None), UNIX_EPOCH, 0).unwrap();
        assert_eq!(book.around(net("10.1.2.0/24")), [net("10.0.0.0/8"), net("10.1.0.0/16")]);
        assert!(book.around(net("192.0.2.1")).is_empty());
    }
}
