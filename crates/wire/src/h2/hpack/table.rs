//! The dynamic table (RFC 7541, section 2.3.2): whole field lines in one buffer, oldest first.
//!
//! Owns eviction and where lines are. What is noted beside a line differs between the two directions.

use std::collections::VecDeque;

use super::ENTRY_OVERHEAD_BYTES;

/// What follows the name and what follows the value in a line.
pub(super) const LINE_EXTRA_BYTES: usize = 4;

/// Where a line is, and what is noted beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<T> {
    /// Its first byte, counted from the first byte that the table ever held.
    start: u32,
    name_bytes: u16,
    value_bytes: u16,
    pub(super) note: T,
}

impl<T> Entry<T> {
    pub(super) fn name_bytes(&self) -> usize {
        usize::from(self.name_bytes)
    }

    fn line_bytes(&self) -> usize {
        usize::from(self.name_bytes) + usize::from(self.value_bytes) + LINE_EXTRA_BYTES
    }

    fn size(&self) -> usize {
        usize::from(self.name_bytes) + usize::from(self.value_bytes) + ENTRY_OVERHEAD_BYTES
    }
}

/// The table. Empty ones hold no memory.
#[derive(Debug)]
pub(super) struct Table<T> {
    bytes: Vec<u8>,
    /// What `bytes[0]` is counted as; wraps around, as the entries' places do.
    base: u32,
    entries: VecDeque<Entry<T>>,
    size: usize,
    max_size: usize,
}

impl<T: Copy> Table<T> {
    pub(super) const fn new(max_size: usize) -> Self {
        Self { bytes: Vec::new(), base: 0, entries: VecDeque::new(), size: 0, max_size }
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// Evicts what does not fit any more.
    pub(super) fn set_max_size(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.evict(0);
    }

    /// The entry that came `age` entries before the newest.
    #[inline]
    pub(super) fn get(&self, age: usize) -> Option<&Entry<T>> {
        self.entries.get(self.entries.len().checked_sub(age + 1)?)
    }

    /// The line of an entry of this table.
    #[inline]
    pub(super) fn line(&self, entry: &Entry<T>) -> &[u8] {
        let start = entry.start.wrapping_sub(self.base) as usize;
        &self.bytes[start..start + entry.line_bytes()]
    }

    /// Adds `line`, whose name has `name_bytes`. One that is larger than the table only empties it.
    #[expect(clippy::cast_possible_truncation, reason = "what fits into a table is below 64 KiB")]
    pub(super) fn insert(&mut self, line: &[u8], name_bytes: usize, note: T) {
        let size = line.len() - LINE_EXTRA_BYTES + ENTRY_OVERHEAD_BYTES;
        self.evict(size);
        if size > self.max_size {
            return;
        }
        self.make_room(line.len());
        let start = self.base.wrapping_add(self.bytes.len() as u32);
        self.bytes.extend_from_slice(line);
        let value_bytes = (line.len() - LINE_EXTRA_BYTES - name_bytes) as u16;
        self.entries.push_back(Entry { start, name_bytes: name_bytes as u16, value_bytes, note });
        self.size += size;
    }

    #[expect(clippy::cast_possible_truncation, reason = "the buffer is far below 4 GiB")]
    fn evict(&mut self, needed: usize) {
        while self.size + needed > self.max_size {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.size -= oldest.size();
        }
        if self.entries.is_empty() {
            self.base = self.base.wrapping_add(self.bytes.len() as u32);
            self.bytes.clear();
        }
    }

    /// Makes room for a line: by moving what is left to the front where that is worth it, else by growing.
    #[inline]
    fn make_room(&mut self, needed: usize) {
        if self.bytes.len() + needed <= self.bytes.capacity() {
            return;
        }
        let dead = self.dead_bytes();
        if dead * 4 >= self.bytes.len() {
            self.forget(dead);
        }
        if self.bytes.len() + needed > self.bytes.capacity() {
            let wanted = self.bytes.len() / 2;
            self.bytes.reserve_exact(needed.max(wanted).max(512));
        }
    }

    fn dead_bytes(&self) -> usize {
        self.entries.front().map_or(self.bytes.len(), |oldest| oldest.start.wrapping_sub(self.base) as usize)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the buffer is far below 4 GiB")]
    fn forget(&mut self, dead: usize) {
        self.bytes.drain(..dead);
        self.base = self.base.wrapping_add(dead as u32);
    }

    /// Holds no more memory than it needs.
    pub(super) fn shrink(&mut self) {
        self.forget(self.dead_bytes());
        self.bytes.shrink_to_fit();
        self.entries.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: usize) -> Vec<u8> {
        format!("name-{at}: {}\r\n", "v".repeat(at % 60)).into_bytes()
    }

    #[test]
    fn the_newest_lines_stay_and_no_more_memory_than_some() {
        let mut table = Table::new(4096);
        for at in 0..10_000 {
            let text = line(at);
            table.insert(&text, text.iter().position(|b| *b == b':').expect("a name"), at);
            assert!(table.size <= 4096);
            let kept = table.entries.len();
            for age in 0..kept {
                let entry = table.get(age).expect("it is there");
                assert_eq!(entry.note, at - age);
                assert_eq!(table.line(entry), line(at - age));
            }
            assert!(at < 100 || kept >= 4096 / 104, "{kept}");
        }
        assert!(table.bytes.capacity() <= 8192, "{}", table.bytes.capacity());
        table.shrink();
        assert!(table.bytes.capacity() <= 4096);
        assert_eq!(table.get(0).map(|entry| entry.note), Some(9_999));
        assert!(table.get(table.entries.len()).is_none());
    }

    #[test]
    fn rfc7541_4_4_what_is_too_large_empties_the_table() {
        let mut table = Table::new(100);
        table.insert(b"a: b\r\n", 1, ());
        table.insert(b"c: d\r\n", 1, ());
        assert_eq!(table.entries.len(), 2);
        let large = [&b"e: "[..], &[b'x'; 80], b"\r\n"].concat();
        table.insert(&large, 1, ());
        assert_eq!((table.entries.len(), table.size), (0, 0));
        table.insert(b"c: d\r\n", 1, ());
        table.set_max_size(33);
        assert_eq!(table.entries.len(), 0);
    }
}
