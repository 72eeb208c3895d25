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
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Inbox {
    /// A buffer of its own that holds these bytes and has no room for more.
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), start: 0, end: bytes.len() }
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

    pub(crate) fn is_full(&self) -> bool {
        self.end == self.bytes.len()
    }

    /// Moves what is unread to the front.
    pub(crate) fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

/// The free lists: one for each size, and one for output that grows as needed.
pub(crate) struct Buffers {
    sizes: [usize; 3],
    free: [RefCell<Vec<Vec<u8>>>; 3],
    flows: Cell<usize>,
    outs: RefCell<Vec<Vec<u8>>>,
}

/// Which size.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    /// For heads of requests and what comes with them.
    Head = 0,
    /// For answers and long bodies.
    Bulk = 1,
    /// For bodies that fill a bulk buffer at each read. Few, see [`Buffers::widen`].
    Flow = 2,
}

/// At 1 MiB an answer, reads of 264 KiB cost a third less than reads of 72 KiB (docs/performance.md).
const FLOW_BYTES: usize = 264 * 1024;
/// Flow buffers leased at once; beyond it bodies go on with their bulk buffers, so that slow peers cannot take much.
const FLOWS: usize = 64;

/// Output buffers that grew beyond this are not kept.
const OUT_KEPT_BYTES: usize = 128 * 1024;

impl Buffers {
    /// `head_bytes` is the largest head that must fit.
    pub(crate) fn new(head_bytes: usize, bulk_bytes: usize) -> Self {
        Self {
            sizes: [head_bytes, bulk_bytes, FLOW_BYTES.max(bulk_bytes + 1)],
            free: Default::default(),
            flows: Cell::new(0),
            outs: RefCell::default(),
        }
    }

    /// Leases an empty inbox.
    pub(crate) fn lease(&self, size: Size) -> Inbox {
        let which = size as usize;
        let bytes = self.free[which].borrow_mut().pop().unwrap_or_else(|| vec![0; self.sizes[which]]);
        Inbox { bytes, start: 0, end: 0 }
    }

    /// Leases a flow buffer in exchange for an empty bulk buffer that the last read filled, unless too many are out.
    pub(crate) fn widen(&self, inbox: &mut Inbox) {
        if inbox.capacity() == self.sizes[Size::Bulk as usize] && self.flows.get() < FLOWS {
            self.give_back(inbox);
            self.flows.set(self.flows.get() + 1);
            *inbox = self.lease(Size::Flow);
        }
    }

    /// Gives an inbox back; what it held is forgotten.
    pub(crate) fn give_back(&self, inbox: &mut Inbox) {
        let inbox = std::mem::take(inbox);
        let Some(which) = self.sizes.iter().position(|&size| size == inbox.capacity()) else { return };
        if which == Size::Flow as usize {
            self.flows.set(self.flows.get().saturating_sub(1));
        }
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
