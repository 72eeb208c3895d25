//! Leased byte buffers of one worker.
//!
//! Owns the free lists. A connection leases a buffer when bytes arrive and gives it back when it has nothing left to
//! keep, so that idle connections hold none.

use std::cell::{Cell, RefCell};

/// Free buffers kept for reuse; more are given back to the allocator.
const KEPT: usize = 64;

/// A leased buffer: initialised bytes of which `start..end` are unread input.
#[derive(Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    /// The size that it was leased in; `None` for one of its own.
    size: Option<Size>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Inbox {
    /// A buffer of its own that holds these bytes and has no room for more.
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), size: None, start: 0, end: bytes.len() }
    }

    /// All bytes read so far, consumed ones included; heads' spans count from its beginning.
    pub(crate) fn all(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    pub(crate) fn is_leased(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Whether there is no room; so with one that is not leased.
    pub(crate) fn is_full(&self) -> bool {
        self.end == self.bytes.len()
    }

    /// Moves what is unread to the front.
    pub(crate) fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    /// Whether it is no leased one.
    pub(crate) fn is_own(&self) -> bool {
        self.size.is_none()
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

/// The free lists: one for each size, and one for output that grows as needed.
///
/// Only a body whose receiver does not take it keeps a bulk or flow buffer from one turn of the loop to the next; so many
/// at once are lent to such, and the others go in sips.
pub(crate) struct Buffers {
    sizes: [usize; SIZES],
    free: [RefCell<Vec<Vec<u8>>>; SIZES],
    /// Leased now, by size.
    out: [Cell<usize>; SIZES],
    most: Most,
    outs: RefCell<Vec<Vec<u8>>>,
}

/// Which size, from the smallest to the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// For bodies on their way to somebody slow.
    Sip = 0,
    /// For heads of requests and what comes with them.
    Head = 1,
    /// For answers and long bodies. Sips beyond [`Most::bulks`].
    Bulk = 2,
    /// For bodies that fill a bulk buffer at each read. Few, see [`Buffers::widen`].
    Flow = 3,
}

const SIZES: usize = 4;

impl Size {
    const ALL: [Self; SIZES] = [Self::Sip, Self::Head, Self::Bulk, Self::Flow];
}

/// Leased at once; beyond it bodies go on with smaller buffers, so that slow peers cannot take much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    pub(crate) bulks: usize,
    pub(crate) flows: usize,
}

impl Most {
    /// A worker's part of what the process may lend, but enough to be of use.
    pub(crate) fn for_one_of(workers: usize) -> Self {
        let part = |all: usize, least: usize| (all / workers.max(1)).max(least);
        Self { bulks: part(BULKS, 64), flows: part(FLOWS, 16) }
    }
}

/// What a body reads at once while its receiver is slow.
pub(crate) const SIP_BYTES: usize = 16 * 1024;
/// At 1 MiB an answer, reads of 264 KiB cost a third less than reads of 72 KiB (docs/performance.md).
const FLOW_BYTES: usize = 264 * 1024;
/// Flow buffers of a process, 17 MiB.
const FLOWS: usize = 64;
/// Bulk buffers of a process, 18 MiB.
const BULKS: usize = 256;

/// Output buffers that grew beyond this are not kept.
const OUT_KEPT_BYTES: usize = 128 * 1024;

impl Buffers {
    /// Those of the only worker.
    #[cfg(test)]
    pub(crate) fn new(head_bytes: usize, bulk_bytes: usize) -> Self {
        Self::lending(head_bytes, bulk_bytes, Most::for_one_of(1))
    }

    /// `head_bytes` is the largest head that must fit.
    pub(crate) fn lending(head_bytes: usize, bulk_bytes: usize, most: Most) -> Self {
        let sip = SIP_BYTES.min(head_bytes / 2);
        Self {
            sizes: [sip, head_bytes, bulk_bytes, FLOW_BYTES.max(bulk_bytes + 1)],
            free: Default::default(),
            out: Default::default(),
            most,
            outs: RefCell::default(),
        }
    }

    /// Leases an empty inbox; a sip in place of a bulk buffer when too many of those are out.
    pub(crate) fn lease(&self, size: Size) -> Inbox {
        let is_spent = size == Size::Bulk && !self.has(Size::Bulk);
        self.lend(if is_spent { Size::Sip } else { size })
    }

    #[inline]
    fn lend(&self, size: Size) -> Inbox {
        let which = size as usize;
        self.out[which].set(self.out[which].get() + 1);
        let bytes = self.free[which].borrow_mut().pop().unwrap_or_else(|| vec![0; self.sizes[which]]);
        Inbox { bytes, size: Some(size), start: 0, end: 0 }
    }

    /// Leases the smallest inbox that holds these bytes and has room for more. What must be kept must be kept: this is not
    /// bounded by [`Most`].
    pub(crate) fn lease_roomier(&self, bytes: &[u8]) -> Inbox {
        let fits = |size: &Size| self.sizes[*size as usize] > bytes.len();
        let own = || Inbox { bytes: vec![0; bytes.len() * 2], size: None, start: 0, end: 0 };
        let mut inbox = Size::ALL.into_iter().find(fits).map_or_else(own, |size| self.lend(size));
        inbox.bytes[..bytes.len()].copy_from_slice(bytes);
        inbox.end = bytes.len();
        inbox
    }

    /// Leases a larger buffer in exchange for an empty one that the last read filled, unless too many are out.
    pub(crate) fn widen(&self, inbox: &mut Inbox) {
        let wider = match inbox.size {
            Some(Size::Sip) if self.has(Size::Bulk) => Size::Bulk,
            Some(Size::Bulk) if self.has(Size::Flow) => Size::Flow,
            // One of its own has no room.
            None => return self.give_back(inbox),
            _ => return,
        };
        self.give_back(inbox);
        *inbox = self.lend(wider);
    }

    /// Gives back what an inbox has beyond its unread bytes, where that is much; they move to the front.
    pub(crate) fn thrift(&self, inbox: &mut Inbox) {
        let unread = inbox.unread();
        if unread.is_empty() {
            return self.give_back(inbox);
        }
        let (sip, bulk) = (self.sizes[Size::Sip as usize], self.sizes[Size::Bulk as usize]);
        let smaller = match inbox.size {
            Some(_) if unread.len() <= sip / 2 => Inbox::holding(unread),
            Some(Size::Head | Size::Bulk | Size::Flow) if unread.len() < sip => self.lease_roomier(unread),
            Some(Size::Flow) if unread.len() < bulk && self.has(Size::Bulk) => self.lease_roomier(unread),
            _ => return,
        };
        self.give_back(inbox);
        *inbox = smaller;
    }

    /// Whether another may be leased.
    fn has(&self, size: Size) -> bool {
        let most = match size {
            Size::Sip | Size::Head => return true,
            Size::Bulk => self.most.bulks,
            Size::Flow => self.most.flows,
        };
        self.out[size as usize].get() < most
    }

    /// Gives an inbox back; what it held is forgotten.
    pub(crate) fn give_back(&self, inbox: &mut Inbox) {
        let inbox = std::mem::take(inbox);
        let Some(size) = inbox.size else { return };
        let which = size as usize;
        self.out[which].set(self.out[which].get() - 1);
        let mut free = self.free[which].borrow_mut();
        if free.len() < KEPT {
            free.push(inbox.bytes);
        }
    }

    /// Leases an empty output buffer.
    pub(crate) fn lease_out(&self) -> Vec<u8> {
        self.outs.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives an output buffer back.
    pub(crate) fn give_back_out(&self, mut out: Vec<u8>) {
        let mut outs = self.outs.borrow_mut();
        if out.capacity() <= OUT_KEPT_BYTES && outs.len() < KEPT && out.capacity() > 0 {
            out.clear();
            outs.push(out);
        }
    }
}

#[cfg(test)]
mod tests;
