//! Bodies in memory, so that slow clients do not hold a backend, and the one limit that bounds all of them.
//!
//! Owns the count of their bytes over all workers (`limits.buffered`) and the memory of one body. What is kept, and when,
//! is for the exchange to say.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::worker::Worker;

/// The first memory of a body, and the step to which sizes are rounded.
const STEP_BYTES: usize = 16 * 1024;

/// What all bodies of the process hold.
#[derive(Debug)]
pub struct Buffered {
    limit: usize,
    used: AtomicUsize,
    full: AtomicU64,
}

impl Buffered {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0), full: AtomicU64::new(0) }
    }

    /// Bytes that may be held.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bodies that went on unbuffered because the limit was reached.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    fn claim(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|&used| used <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The process holds as much as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The memory of one body: bytes go in at its end and out at its beginning.
pub(crate) struct Store {
    worker: Rc<Worker>,
    bytes: Vec<u8>,
    at: usize,
    /// Most bytes at once.
    most: usize,
    /// What counts against the limit.
    claimed: usize,
    was_full: bool,
}

impl Store {
    /// Without memory yet.
    pub(crate) fn new(worker: &Rc<Worker>, most: usize) -> Self {
        Self { worker: Rc::clone(worker), bytes: Vec::new(), at: 0, most, claimed: 0, was_full: false }
    }

    /// What is in it.
    pub(crate) fn data(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Bytes that may still go in.
    pub(crate) fn room(&self) -> usize {
        self.most - self.data().len()
    }

    /// Takes bytes, for which there must be room. Once the process is full, a store takes no more.
    pub(crate) fn push(&mut self, data: &[u8]) -> Result<(), Full> {
        debug_assert!(data.len() <= self.room());
        let needed = self.data().len() + data.len();
        if needed > self.claimed {
            self.grow(needed)?;
        }
        if self.at > 0 && self.bytes.len() + data.len() > self.claimed {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// So many bytes have gone out; with the last, the memory is given back.
    pub(crate) fn consume(&mut self, n: usize) {
        self.at += n;
        if self.is_empty() {
            self.let_go();
        }
    }

    /// Hands the bytes out with what they hold of the limit.
    pub(crate) fn into_kept(mut self) -> Kept {
        let bytes = std::mem::take(&mut self.bytes);
        Kept { bytes, hold: Some(Box::new(self)) }
    }

    /// Makes memory for so many bytes: twice what there was, as far as the limits allow.
    fn grow(&mut self, needed: usize) -> Result<(), Full> {
        if self.was_full {
            return Err(Full);
        }
        let buffered = &self.worker.shared.buffered;
        let wanted = needed.max(2 * self.claimed).next_multiple_of(STEP_BYTES).min(self.most);
        let Some(claimed) = [wanted, needed].into_iter().find(|to| buffered.claim(to - self.claimed)) else {
            buffered.full.fetch_add(1, Ordering::Relaxed);
            self.was_full = true;
            return Err(Full);
        };
        if self.claimed == 0 {
            self.bytes = self.worker.buffers.lease_out();
        }
        self.claimed = claimed;
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.reserve_exact(claimed - self.bytes.len());
        Ok(())
    }

    fn let_go(&mut self) {
        self.worker.buffers.give_back_out(std::mem::take(&mut self.bytes));
        self.worker.shared.buffered.release(std::mem::take(&mut self.claimed));
        self.at = 0;
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// A request body that is kept for sending, perhaps more than once.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    /// What holds its part of the limit; `None` for what is kept for repetitions alone.
    hold: Option<Box<Store>>,
}

impl Kept {
    /// Forgets the bytes and gives back what they held.
    pub(crate) fn let_go(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if let Some(mut hold) = self.hold.take() {
            hold.bytes = bytes;
        }
    }
}

impl Drop for Kept {
    #[inline]
    fn drop(&mut self) {
        if self.hold.is_some() {
            self.let_go();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn worker(limit: usize) -> Rc<Worker> {
        let mut plan = testing::plan(&[]);
        plan.limits.buffered = limit;
        testing::worker(plan).0
    }

    fn used(worker: &Worker) -> usize {
        worker.shared.buffered.used()
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let worker = worker(1 << 20);
        let mut store = Store::new(&worker, 100_000);
        let body: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
        let (mut put, mut got) = (0, Vec::new());
        while got.len() < body.len() {
            let n = store.room().min(7_000).min(body.len() - put);
            store.push(&body[put..put + n]).unwrap();
            put += n;
            let n = store.data().len().min(5_000);
            got.extend_from_slice(&store.data()[..n]);
            store.consume(n);
            assert!(used(&worker) <= 100_000 && used(&worker) >= store.data().len());
        }
        assert_eq!(got, body);
        assert!(store.is_empty());
        assert_eq!(used(&worker), 0, "an empty store holds nothing");
    }

    #[test]
    fn all_stores_together_hold_no_more_than_the_limit() {
        let worker = worker(100_000);
        let mut stores: Vec<Store> = (0..10).map(|_| Store::new(&worker, 50_000)).collect();
        let taken: Vec<bool> = stores.iter_mut().map(|store| store.push(&[7; 20_000]).is_ok()).collect();
        assert!(taken.iter().filter(|&&taken| taken).count() >= 3, "{taken:?}");
        assert!(used(&worker) <= 100_000);
        let full = worker.shared.buffered.full();
        assert_eq!(full, taken.iter().filter(|&&taken| !taken).count() as u64);
        // A store that found the process full is counted once, and stays as it is.
        assert_eq!(stores.last_mut().map(|store| store.push(&[7; 20_000])), Some(Err(Full)));
        assert_eq!(worker.shared.buffered.full(), full);
        stores.clear();
        assert_eq!(used(&worker), 0);
        assert_eq!(Store::new(&worker, 50_000).push(&[7; 50_000]), Ok(()));
    }

    #[test]
    fn what_is_kept_holds_its_part_until_it_is_let_go() {
        let worker = worker(1 << 20);
        let mut store = Store::new(&worker, 100_000);
        store.push(b"body").unwrap();
        let mut kept = store.into_kept();
        assert_eq!((kept.bytes.as_slice(), used(&worker)), (&b"body"[..], STEP_BYTES));
        kept.let_go();
        assert_eq!((kept.bytes.as_slice(), used(&worker)), (&b""[..], 0));
        drop(kept);
        assert_eq!(used(&worker), 0);
    }
}
