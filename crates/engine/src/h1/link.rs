//! One HTTP/1.1 connection at work: bodies read from it and written to it, framed.
//!
//! Owns the input buffer, the output buffer and the framing of both directions while an exchange runs; the client's and
//! the backend's side are both made of it. Holds no buffer while there is nothing to keep.

use std::io;
use std::task::{Context, Poll, ready};

use wire::h1::chunked::{Decoder, Step, put_chunk_size, trailer_fields};
use wire::head::{Field, Framing};

use crate::buffers::{Buffers, Inbox, SIP_BYTES, Size};
use crate::seam::{Cut, Fill, Sink, Source, Trailers};
use crate::stream::Stream;

/// Up to so many bytes are copied behind what waits in the output buffer, to leave in one send; more go by writev.
const COALESCE_BYTES: usize = 8 * 1024;

/// After a look at a slow body, so many full sips in a row before larger reads are tried again.
const SIPS: u8 = 64;

/// How the body that is read ends.
enum Reading {
    /// It has ended, or there is none.
    Done,
    /// Its framing is wrong: nobody knows where it ends, so nothing behind it may be read.
    Broken(&'static str),
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

/// How the body that is written is framed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// There is none: what is pushed (the body of an answer to HEAD) is dropped.
    None,
    /// As it is.
    Raw,
    /// Chunked; so many bytes of the chunk under way are to come.
    Chunked(usize),
    /// As it is; its end ends our direction of the stream.
    Tunnel,
    /// The end has been written (but perhaps not sent).
    Ended,
    /// As `Ended`, for a tunnel: our direction is shut down once all is sent.
    Closing,
}

/// What a link has leased; given back when dropped.
pub(crate) struct Leases<'w> {
    buffers: &'w Buffers,
    pub(crate) inbox: Inbox,
    /// Holds the head when the body needed the input buffer: a head stays until the exchange forgets it.
    held: Inbox,
    pub(crate) out: Vec<u8>,
}

impl Drop for Leases<'_> {
    fn drop(&mut self) {
        self.buffers.give_back(&mut self.inbox);
        self.buffers.give_back(&mut self.held);
        self.buffers.give_back_out(std::mem::take(&mut self.out));
    }
}

pub(crate) struct Link<'w> {
    pub(crate) stream: Stream,
    pub(crate) mem: Leases<'w>,
    head_pinned: bool,
    head_bytes: usize,
    reading: Reading,
    available: usize,
    /// Sips to be filled before a larger buffer is leased again.
    sips: u8,
    left_to_limit: Option<u64>,
    trailer_bytes: Vec<u8>,
    trailer_fields: Vec<Field>,
    out_at: usize,
    writing: Writing,
    /// Whether the kernel has taken any byte since `begin_write`.
    pub(crate) wrote: bool,
}

impl<'w> Link<'w> {
    pub(crate) fn new(stream: Stream, buffers: &'w Buffers) -> Self {
        Self {
            stream,
            mem: Leases { buffers, inbox: Inbox::default(), held: Inbox::default(), out: buffers.lease_out() },
            head_pinned: false,
            head_bytes: 0,
            reading: Reading::Done,
            available: 0,
            sips: 0,
            left_to_limit: None,
            trailer_bytes: Vec::new(),
            trailer_fields: Vec::new(),
            out_at: 0,
            writing: Writing::None,
            wrote: false,
        }
    }

    /// Reads once into the input buffer, leasing one if there is none; 0 is the end of the stream.
    pub(crate) fn poll_read_more(&mut self, cx: &mut Context<'_>, size: Size) -> Poll<io::Result<usize>> {
        let leased = self.mem.inbox.is_full();
        if leased {
            if self.mem.inbox.is_leased() {
                return self.poll_read_beyond(cx);
            }
            self.mem.inbox = self.mem.buffers.lease(if self.sips > 0 { Size::Sip } else { size });
        }
        let read = self.stream.poll_read(cx, self.mem.inbox.room());
        match &read {
            Poll::Ready(Ok(n)) => self.mem.inbox.end += n,
            // Nothing to keep: whoever waits holds no buffer.
            Poll::Pending if leased || (!self.has_input() && !self.head_is_here()) => {
                self.mem.buffers.give_back(&mut self.mem.inbox);
            }
            _ => {}
        }
        read
    }

    /// As `poll_read_more` where the buffer has no room left: what comes moves into a roomier one with what is here.
    #[cold]
    fn poll_read_beyond(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let from = if self.head_is_here() { 0 } else { self.mem.inbox.start };
        let mut roomier = self.mem.buffers.lease_roomier(&self.mem.inbox.all()[from..]);
        roomier.start = self.mem.inbox.start - from;
        let read = self.stream.poll_read(cx, roomier.room());
        if let Poll::Ready(Ok(n)) = &read {
            roomier.end += n;
            std::mem::swap(&mut roomier, &mut self.mem.inbox);
        }
        self.mem.buffers.give_back(&mut roomier);
        read
    }

    /// Somebody keeps this link waiting: it keeps what it must and no more, and reads in sips for a while.
    #[cold]
    pub(crate) fn thrift(&mut self) {
        if self.head_is_here() {
            self.shrink_head();
        }
        self.mem.buffers.thrift(&mut self.mem.inbox);
        if self.out_at == self.mem.out.len() {
            self.mem.buffers.give_back_out(std::mem::take(&mut self.mem.out));
            self.out_at = 0;
        } else if self.mem.out.capacity() > 2 * COALESCE_BYTES {
            self.mem.out.drain(..self.out_at);
            self.mem.out.shrink_to_fit();
            self.out_at = 0;
        }
        self.sips = SIPS;
    }

    /// The input so far, for a head parser; spans count from its start.
    pub(crate) fn head_input(&mut self) -> &[u8] {
        if self.mem.inbox.start > 0 {
            self.mem.inbox.compact();
        }
        self.mem.inbox.unread()
    }

    /// A head of so many bytes was found at the front; its body follows.
    pub(crate) fn begin_read(&mut self, head_bytes: usize, framing: Framing) {
        self.mem.inbox.start = head_bytes;
        self.head_bytes = head_bytes;
        self.head_pinned = true;
        self.available = 0;
        self.sips = 0;
        self.left_to_limit = None;
        self.trailer_bytes.clear();
        self.trailer_fields.clear();
        self.reading = match framing {
            Framing::None | Framing::Length(0) => Reading::Done,
            Framing::Length(n) => Reading::Length(n),
            Framing::Chunked => Reading::Chunked(Decoder::default()),
            Framing::UntilClose => Reading::UntilClose,
        };
    }

    /// The buffer that the head's spans point into.
    pub(crate) fn head_buf(&self) -> &[u8] {
        if self.mem.held.is_leased() { self.mem.held.all() } else { self.mem.inbox.all() }
    }

    /// Whether a head that is still needed is in the input buffer.
    fn head_is_here(&self) -> bool {
        self.head_pinned && !self.mem.held.is_leased()
    }

    /// Keeps a copy of the head, which is small, in place of the buffer that it came in.
    pub(crate) fn shrink_head(&mut self) {
        let small = Inbox::holding(&self.head_buf()[..self.head_bytes]);
        self.mem.buffers.give_back(&mut self.mem.held);
        self.mem.held = small;
    }

    /// The head is no longer needed.
    pub(crate) fn forget_head(&mut self) {
        self.head_pinned = false;
        if self.mem.held.is_leased() {
            self.mem.buffers.give_back(&mut self.mem.held);
        }
    }

    /// Bytes of the current body that may still come.
    pub(crate) fn limit_body(&mut self, bytes: Option<u64>) {
        self.left_to_limit = bytes;
    }

    pub(crate) fn read_done(&self) -> bool {
        matches!(self.reading, Reading::Done) && self.available == 0
    }

    /// Begins to write a message whose head is (or will be) in `out`.
    pub(crate) fn begin_write(&mut self, framing: Framing) {
        self.wrote = false;
        self.writing = match framing {
            Framing::None => Writing::None,
            Framing::Length(_) | Framing::UntilClose => Writing::Raw,
            Framing::Chunked => Writing::Chunked(0),
        };
    }

    pub(crate) fn write_done(&self) -> bool {
        matches!(self.writing, Writing::Ended) && self.out_at == self.mem.out.len()
    }

    /// Both directions become raw bytes.
    pub(crate) fn become_tunnel(&mut self) {
        self.stream.prepare_tunnel();
        self.reading = Reading::UntilClose;
        self.writing = Writing::Tunnel;
    }

    /// Whether input is left that belongs to no message yet.
    pub(crate) fn has_input(&self) -> bool {
        self.mem.inbox.start < self.mem.inbox.end
    }

    /// Whether so much input waits that no more is to be read before its turn.
    pub(crate) fn has_plenty(&self) -> bool {
        let inbox = &self.mem.inbox;
        inbox.unread().len() >= SIP_BYTES / 2 || (self.head_is_here() && inbox.is_full())
    }

    /// Drops what has been read.
    pub(crate) fn forget_input(&mut self) {
        (self.mem.inbox.start, self.mem.inbox.end) = (0, 0);
        self.available = 0;
    }

    /// Gives back what is not needed while nothing runs. Unread input stays.
    pub(crate) fn rest(&mut self) {
        self.forget_head();
        if !self.has_input() {
            self.mem.buffers.give_back(&mut self.mem.inbox);
        }
        self.trailer_bytes.clear();
        self.trailer_fields.clear();
    }

    /// Ends the link, keeping the socket.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Makes room for more input behind what is unread, without touching a pinned head.
    fn make_room(&mut self) {
        if self.head_is_here() {
            if self.mem.inbox.is_leased() && self.mem.inbox.is_full() {
                self.move_on();
            }
        } else if !self.has_input() {
            let was_filled = self.mem.inbox.is_full();
            self.forget_input();
            if was_filled && self.sips > 0 && !self.mem.inbox.is_own() {
                self.sips -= 1;
            } else if was_filled {
                self.mem.buffers.widen(&mut self.mem.inbox);
            }
        } else if self.mem.inbox.is_full() {
            self.mem.inbox.compact();
        }
    }

    /// Keeps the buffer with the head aside and goes on in a fresh one.
    fn move_on(&mut self) {
        let unread = self.mem.inbox.unread();
        let fresh = match unread {
            [] => self.mem.buffers.lease(Size::Bulk),
            unread => self.mem.buffers.lease_roomier(unread),
        };
        self.mem.held = std::mem::replace(&mut self.mem.inbox, fresh);
    }

    fn poll_fill_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Cut>> {
        self.make_room();
        let n = ready!(self.poll_read_more(cx, Size::Bulk)).map_err(|_| Cut::Broken)?;
        if n == 0 && !matches!(self.reading, Reading::UntilClose) {
            return Poll::Ready(Err(Cut::Early));
        }
        Poll::Ready(Ok(n))
    }

    /// Finds body bytes in the unread input; `None` if more input is needed.
    fn find_data(&mut self) -> Result<Option<Fill>, Cut> {
        let found = self.look_for_data();
        if let Err(Cut::Malformed(why)) = found {
            self.reading = Reading::Broken(why);
        }
        found
    }

    fn look_for_data(&mut self) -> Result<Option<Fill>, Cut> {
        let unread = self.mem.inbox.end - self.mem.inbox.start;
        match &mut self.reading {
            Reading::Done => return Ok(Some(Fill::End)),
            Reading::Broken(why) => return Err(Cut::Malformed(why)),
            Reading::Length(left) => {
                self.available = usize::try_from(*left).unwrap_or(usize::MAX).min(unread);
            }
            Reading::UntilClose => self.available = unread,
            Reading::Chunked(decoder) => {
                match decoder.decode(self.mem.inbox.unread()).map_err(|m| Cut::Malformed(m.why))? {
                    Step::Data { skip, data } => {
                        self.mem.inbox.start += skip;
                        self.available = data;
                    }
                    Step::More { used } => self.mem.inbox.start += used,
                    Step::End { used, trailers } => {
                        self.keep_trailers(trailers)?;
                        self.mem.inbox.start += used;
                        self.reading = Reading::Done;
                        return Ok(Some(Fill::End));
                    }
                }
            }
        }
        self.check_limit()?;
        Ok((self.available > 0).then_some(Fill::Data))
    }

    fn keep_trailers(&mut self, (from, to): (usize, usize)) -> Result<(), Cut> {
        if from < to {
            self.trailer_bytes.extend_from_slice(&self.mem.inbox.unread()[from..to]);
            trailer_fields(&self.trailer_bytes, &mut self.trailer_fields).map_err(|m| Cut::Malformed(m.why))?;
        }
        Ok(())
    }

    fn check_limit(&mut self) -> Result<(), Cut> {
        match self.left_to_limit {
            Some(left) if self.available as u64 > left => Err(Cut::TooLarge),
            _ => Ok(()),
        }
    }

    fn poll_raw(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let waiting = self.mem.out.len() - self.out_at;
            if waiting + data.len() <= COALESCE_BYTES {
                if self.out_at > COALESCE_BYTES {
                    // A peer that never takes all would let it grow for as long as the body is.
                    self.mem.out.drain(..self.out_at);
                    self.out_at = 0;
                }
                self.mem.out.extend_from_slice(data);
                return Poll::Ready(Ok(data.len()));
            }
            let n = if waiting == 0 {
                ready!(self.stream.poll_write(cx, data))?
            } else {
                ready!(self.stream.poll_write_two(cx, &self.mem.out[self.out_at..], data))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote = true;
            if n < waiting {
                self.out_at += n;
                continue;
            }
            self.mem.out.clear();
            self.out_at = 0;
            if n > waiting || data.is_empty() {
                return Poll::Ready(Ok(n - waiting));
            }
        }
    }

    /// What waits in `out` behind a head of `head_bytes`, framing included, if nothing of either was sent.
    pub(crate) fn unsent_body(&self, head_bytes: usize) -> Option<&[u8]> {
        if self.wrote { None } else { self.mem.out.get(head_bytes..) }
    }
}

impl Source for Link<'_> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Cut>> {
        loop {
            if let Some(fill) = self.find_data()? {
                return Poll::Ready(Ok(fill));
            }
            if ready!(self.poll_fill_more(cx))? == 0 {
                self.reading = Reading::Done;
            }
        }
    }

    fn data(&self) -> &[u8] {
        &self.mem.inbox.unread()[..self.available]
    }

    fn consume(&mut self, n: usize) {
        self.mem.inbox.start += n;
        self.available -= n;
        if let Some(left) = &mut self.left_to_limit {
            // What is over the limit is still dropped while our own answer drains the request.
            *left = left.saturating_sub(n as u64);
        }
        if let Reading::Length(left) = &mut self.reading {
            *left -= n as u64;
            if *left == 0 {
                self.reading = Reading::Done;
            }
        }
    }

    fn trailers(&self) -> Trailers<'_> {
        Trailers { fields: &self.trailer_fields, buf: &self.trailer_bytes }
    }
}

impl Sink for Link<'_> {
    fn poll_push(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.writing {
            Writing::None | Writing::Ended | Writing::Closing => Poll::Ready(Ok(data.len())),
            Writing::Raw | Writing::Tunnel => self.poll_raw(cx, data),
            Writing::Chunked(left) => {
                let left = if left == 0 {
                    put_chunk_size(&mut self.mem.out, data.len());
                    data.len()
                } else {
                    left
                };
                self.writing = Writing::Chunked(left);
                let n = ready!(self.poll_raw(cx, &data[..left.min(data.len())]))?;
                if n == left {
                    self.mem.out.extend_from_slice(b"\r\n");
                }
                self.writing = Writing::Chunked(left - n);
                Poll::Ready(Ok(n))
            }
        }
    }

    // Within the end of each message, although others flush as well.
    #[inline(always)]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out_at < self.mem.out.len() {
            let n = ready!(self.stream.poll_write(cx, &self.mem.out[self.out_at..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote = true;
            self.out_at += n;
        }
        self.mem.out.clear();
        self.out_at = 0;
        self.stream.poll_flush(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, trailers: Trailers<'_>) -> Poll<io::Result<()>> {
        match self.writing {
            Writing::Chunked(_) => {
                self.mem.out.extend_from_slice(b"0\r\n");
                for field in trailers.fields {
                    wire::h1::encode::put_field(
                        &mut self.mem.out,
                        field.name.of(trailers.buf),
                        field.value.of(trailers.buf),
                    );
                }
                self.mem.out.extend_from_slice(b"\r\n");
                self.writing = Writing::Ended;
            }
            Writing::None | Writing::Raw => self.writing = Writing::Ended,
            Writing::Tunnel => self.writing = Writing::Closing,
            Writing::Ended | Writing::Closing => {}
        }
        ready!(self.poll_flush(cx))?;
        if self.writing == Writing::Closing {
            ready!(self.stream.poll_shutdown(cx))?;
            self.writing = Writing::Ended;
        }
        self.stream.finished();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
