//! The streams of a connection: a slab that is reused, an index by id, and a memory of those that are gone.
//!
//! Owns where a stream is and whether one id was ever used. A stream keeps its place until the application releases it, so
//! that work goes on being counted although the peer has lost interest.

use super::stream::{Cause, Stream};

/// A stream, as the application names it. `slot` is small and dense, so that the application can keep what belongs to a
/// stream in a slab of its own; it is used again after [`super::Connection::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    /// Its place.
    pub slot: u32,
    /// Its number on the wire.
    pub id: u32,
}

/// How a stream ended that has no place any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    Ended,
    ByPeer,
    ByUs,
    /// Too long ago to be remembered, or never used: an id below one that was used.
    Unknown,
}

impl From<Cause> for Past {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Ended => Self::Ended,
            Cause::ByPeer(_) => Self::ByPeer,
            Cause::ByUs => Self::ByUs,
        }
    }
}

/// How many streams are remembered after a reset. Frames that cross ours on their way come within a round trip.
const REMEMBERED_RESETS: usize = 128;
/// The same after a proper end: only to tell a peer better what it did wrong.
const REMEMBERED_ENDS: usize = 32;

/// The streams of a connection. Holds no memory before the first.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    free: Vec<u32>,
    index: Index,
    past: PastStreams,
}

impl Streams {
    /// Streams that have a place.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Gives a stream a place; its id has none yet.
    pub(super) fn insert(&mut self, stream: Stream) -> Handle {
        let id = stream.id;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = stream;
                slot
            }
            None => {
                self.slots.push(stream);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert(id, slot);
        Handle { slot, id }
    }

    #[inline]
    pub(super) fn find(&self, id: u32) -> Option<Handle> {
        self.index.find(id).map(|slot| Handle { slot, id })
    }

    #[inline]
    pub(super) fn get(&mut self, handle: Handle) -> Option<&mut Stream> {
        self.slots.get_mut(handle.slot as usize).filter(|stream| stream.id == handle.id)
    }

    /// All that have a place.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Handle, &mut Stream)> {
        let numbered = (0_u32..).zip(&mut self.slots).filter(|(_, stream)| stream.id != 0);
        numbered.map(|(slot, stream)| (Handle { slot, id: stream.id }, stream))
    }

    /// Takes a stream's place away and remembers how it ended.
    pub(super) fn remove(&mut self, handle: Handle, past: Past) {
        let Some(stream) = self.get(handle) else { return };
        stream.id = 0;
        self.free.push(handle.slot);
        self.index.remove(handle.id);
        self.remember(handle.id, past);
    }

    /// How a stream ended that has no place.
    pub(super) fn past(&self, id: u32) -> Past {
        self.past.find(id)
    }

    /// A stream ended that never had a place.
    pub(super) fn remember(&mut self, id: u32, past: Past) {
        self.past.push(id, past);
    }

    /// Holds no more memory than it needs, where there are no streams.
    pub(super) fn shrink(&mut self) {
        if self.len() == 0 {
            *self = Self { past: std::mem::take(&mut self.past), ..Self::default() };
        }
    }
}

/// Finds slots by id: a table with open addressing. Ids follow each other, so that they hardly ever meet.
#[derive(Debug, Default)]
struct Index {
    /// Id and slot; a power of two, at most half of them in use. 0 is no id.
    places: Vec<(u32, u32)>,
    used: usize,
}

impl Index {
    /// Where an id would like to be. Those of one side differ by two.
    #[inline]
    fn place(&self, id: u32) -> usize {
        (id >> 1) as usize & (self.places.len() - 1)
    }

    #[inline]
    fn next(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    #[inline]
    fn find(&self, id: u32) -> Option<u32> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = self.place(id);
        loop {
            match self.places[place] {
                (found, slot) if found == id => return Some(slot),
                (0, _) => return None,
                _ => place = self.next(place),
            }
        }
    }

    fn insert(&mut self, id: u32, slot: u32) {
        if (self.used + 1) * 2 > self.places.len() {
            self.grow();
        }
        let mut place = self.place(id);
        while self.places[place].0 != 0 {
            place = self.next(place);
        }
        self.places[place] = (id, slot);
        self.used += 1;
    }

    fn grow(&mut self) {
        let size = (self.places.len() * 2).max(16);
        let before = std::mem::replace(&mut self.places, vec![(0, 0); size]);
        self.used = 0;
        for (id, slot) in before.into_iter().filter(|(id, _)| *id != 0) {
            self.insert(id, slot);
        }
    }

    /// Those behind it that would not be found any more move up.
    fn remove(&mut self, id: u32) {
        if self.places.is_empty() {
            return;
        }
        let mut hole = self.place(id);
        while self.places[hole].0 != id {
            if self.places[hole].0 == 0 {
                return;
            }
            hole = self.next(hole);
        }
        self.used -= 1;
        let mut place = self.next(hole);
        while self.places[place].0 != 0 {
            let wanted = self.place(self.places[place].0);
            let distance = |from: usize, to: usize| to.wrapping_sub(from) & (self.places.len() - 1);
            if distance(wanted, place) >= distance(hole, place) {
                self.places[hole] = self.places[place];
                hole = place;
            }
            place = self.next(place);
        }
        self.places[hole] = (0, 0);
    }
}

/// The last streams that are gone. Those that were reset are kept apart, so that the many that simply end do not push them
/// out.
#[derive(Debug, Default)]
struct PastStreams {
    reset: Ring<REMEMBERED_RESETS>,
    ended: Ring<REMEMBERED_ENDS>,
}

impl PastStreams {
    #[inline]
    fn push(&mut self, id: u32, past: Past) {
        match past {
            Past::Ended => self.ended.push(id),
            // Ids have 31 bits.
            Past::ByUs => self.reset.push(id | 1 << 31),
            Past::ByPeer | Past::Unknown => self.reset.push(id),
        }
    }

    fn find(&self, id: u32) -> Past {
        if self.reset.has(id | 1 << 31) {
            Past::ByUs
        } else if self.reset.has(id) {
            Past::ByPeer
        } else if self.ended.has(id) {
            Past::Ended
        } else {
            Past::Unknown
        }
    }
}

/// The last `N` numbers.
#[derive(Debug, Default)]
struct Ring<const N: usize> {
    last: Vec<u32>,
    next: usize,
}

impl<const N: usize> Ring<N> {
    #[inline]
    fn push(&mut self, number: u32) {
        if self.last.len() < N {
            self.last.push(number);
        } else {
            self.last[self.next] = number;
            self.next = (self.next + 1) % N;
        }
    }

    fn has(&self, number: u32) -> bool {
        self.last.contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::flow::{ReceiveWindow, SendWindow};
    use super::super::stream::{ANY_LENGTH, Expects, State, Waits};
    use super::*;

    fn stream(id: u32) -> Stream {
        Stream {
            id,
            state: State::Open,
            expects: Expects::Trailers,
            waits: Waits::No,
            send_window: SendWindow::new(1),
            receive_window: ReceiveWindow::new(1),
            held: 0,
            left: ANY_LENGTH,
        }
    }

    #[test]
    fn streams_are_found_until_they_are_removed() {
        let mut streams = Streams::default();
        let mut model = BTreeMap::new();
        let (mut id, mut seed) = (1, 7_u32);
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if model.len() < 100 && seed >> 31 == 0 || model.is_empty() {
                id += 2 * (1 + (seed >> 8) % 40);
                model.insert(id, streams.insert(stream(id)));
            } else {
                let at = (seed >> 8) as usize % model.len();
                let (id, handle) = model.iter().nth(at).map(|(id, handle)| (*id, *handle)).expect("not empty");
                model.remove(&id);
                streams.remove(handle, Past::ByUs);
                assert_eq!(streams.past(id), Past::ByUs);
                assert!(streams.get(handle).is_none());
            }
            assert_eq!(streams.len(), model.len());
            assert!(model.iter().all(|(id, handle)| streams.find(*id) == Some(*handle)));
            assert_eq!(streams.iter_mut().count(), model.len());
        }
        assert!(streams.slots.len() <= 100 && streams.index.places.len() <= 256);
    }

    #[test]
    fn the_last_ends_are_remembered() {
        let mut past = PastStreams::default();
        for id in 0..1000 {
            past.push(2 * id + 1, if id % 2 == 0 { Past::Ended } else { Past::ByPeer });
        }
        assert_eq!(past.find(1999), Past::ByPeer);
        assert_eq!(past.find(1997), Past::Ended);
        assert_eq!(past.find(1873), Past::Ended);
        assert_eq!(past.find(1869), Past::Unknown);
        assert_eq!(past.find(1491), Past::ByPeer);
        assert_eq!(past.find(1487), Past::Unknown);
        assert_eq!(past.find(1), Past::Unknown);
        past.push(0x7fff_ffff, Past::ByUs);
        assert_eq!(past.find(0x7fff_ffff), Past::ByUs);
    }
}
