//! The request body of one exchange over all its attempts.
//!
//! Owns what is kept of sent bytes for a repetition (decision 0017, D12): everything for idempotent methods up to a limit; for
//! others only what was taken from the client but never sent.

use std::task::{Context, Poll};

use crate::buffered::Kept;
use crate::seam::{Cut, Fill, Progress, Source, Trailers};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// Sent bytes are kept, up to so many.
    UpTo(usize),
    /// Bytes were sent that are not kept.
    Lost,
}

pub(crate) struct Feed {
    kept: Kept,
    at: usize,
    keeping: Keeping,
    pub(crate) progress: Progress,
    pub(crate) done: bool,
    /// The attempt under way takes no more of it, although there is more.
    pub(crate) is_cut: bool,
    /// The client has been told to send it (100).
    pub(crate) invited: bool,
    /// It was taken in before the first attempt, at least in part.
    pub(crate) was_gathered: bool,
    /// Its length, if it was taken in whole and can be sent as so many bytes.
    pub(crate) whole: Option<u64>,
}

impl Feed {
    /// `keep_bytes` is 0 for methods that are not idempotent.
    pub(crate) fn new(keep_bytes: usize) -> Self {
        Self {
            kept: Kept::default(),
            at: 0,
            keeping: Keeping::UpTo(keep_bytes),
            progress: Progress::default(),
            done: false,
            is_cut: false,
            invited: false,
            was_gathered: false,
            whole: None,
        }
    }

    /// The body begins with this, which was taken in before any attempt. Until more is sent, it can be repeated.
    pub(crate) fn begin_with(&mut self, kept: Kept) {
        if let Keeping::UpTo(limit) = &mut self.keeping {
            *limit = (*limit).max(kept.bytes.len());
        }
        self.kept = kept;
        self.was_gathered = true;
    }

    /// Bytes that are kept.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept.bytes.len() as u64
    }

    /// There will be no other attempt: what was sent is not needed any more.
    pub(crate) fn let_go(&mut self) {
        self.keeping = Keeping::Lost;
        if !self.kept.bytes.is_empty() && self.at == self.kept.bytes.len() {
            self.kept.let_go();
            self.at = 0;
        }
    }

    /// Whether the body can be sent again from its start.
    pub(crate) fn is_replayable(&self) -> bool {
        self.keeping != Keeping::Lost
    }

    /// The last attempt left these bytes unsent, and sent none: they go first in the next.
    pub(crate) fn take_back(&mut self, unsent: &[u8]) {
        if self.keeping == Keeping::Lost {
            self.kept.bytes = unsent.to_vec();
            self.keeping = Keeping::UpTo(unsent.len());
        }
    }

    /// The next attempt begins.
    pub(crate) fn rewind(&mut self) {
        self.at = 0;
        (self.done, self.is_cut) = (false, false);
        self.progress = Progress::default();
    }

    /// A second attempt has taken over, which has sent so much of what is kept.
    pub(crate) fn resume(&mut self, again: &Again) {
        (self.at, self.progress, self.done) = (again.at, again.progress, again.done);
    }

    pub(crate) fn of<'a, D: Source>(&'a mut self, down: &'a mut D) -> Fed<'a, D> {
        Fed { feed: self, down }
    }

    fn keep(&mut self, data: &[u8]) {
        match self.keeping {
            Keeping::UpTo(limit) if self.kept.bytes.len() + data.len() <= limit => {
                self.kept.bytes.extend_from_slice(data);
                self.at = self.kept.bytes.len();
            }
            _ => {
                self.keeping = Keeping::Lost;
                self.kept.let_go();
                self.at = 0;
            }
        }
    }
}

/// The body as a source: first what is kept, then what comes from the client.
pub(crate) struct Fed<'a, D> {
    feed: &'a mut Feed,
    down: &'a mut D,
}

impl<D: Source> Source for Fed<'_, D> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Cut>> {
        self.down.poll_fill(cx)
    }

    fn data(&self) -> &[u8] {
        let again = &self.feed.kept.bytes[self.feed.at..];
        if again.is_empty() { self.down.data() } else { again }
    }

    fn consume(&mut self, n: usize) {
        if self.feed.at < self.feed.kept.bytes.len() {
            self.feed.at += n;
        } else {
            self.feed.keep(&self.down.data()[..n]);
            self.down.consume(n);
        }
    }

    fn trailers(&self) -> Trailers<'_> {
        self.down.trailers()
    }
}

/// How far a body that is kept whole was sent once more, beside the feed.
#[derive(Default)]
pub(crate) struct Again {
    at: usize,
    pub(crate) progress: Progress,
    pub(crate) done: bool,
}

impl Again {
    pub(crate) fn of<'a, D: Source>(&'a mut self, feed: &'a Feed, down: &'a D) -> Resent<'a, D> {
        Resent { again: self, feed, down }
    }
}

/// What is kept as a source of its own; the client has sent all.
pub(crate) struct Resent<'a, D> {
    again: &'a mut Again,
    feed: &'a Feed,
    down: &'a D,
}

impl<D: Source> Source for Resent<'_, D> {
    fn poll_fill(&mut self, _: &mut Context<'_>) -> Poll<Result<Fill, Cut>> {
        Poll::Ready(Ok(Fill::End))
    }

    fn data(&self) -> &[u8] {
        &self.feed.kept.bytes[self.again.at..]
    }

    fn consume(&mut self, n: usize) {
        self.again.at += n;
    }

    fn trailers(&self) -> Trailers<'_> {
        self.down.trailers()
    }
}

#[cfg(test)]
mod tests;
