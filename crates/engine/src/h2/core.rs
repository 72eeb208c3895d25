//! What the exchanges of an HTTP/2 connection share: its state on the wire, its output, and what came for each stream.
//!
//! Owns no socket: the [`super::session`] fills it from what it reads and sends what it holds. Borrowed for moments only,
//! never across a wait.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use wire::h2::{By, Connection, ErrorCode, Gone, Handle, More};
use wire::head::{Answer, Field};

use super::ready::Ready;
use crate::stream::Stream;

/// Output beyond this waits for the client: exchanges are not asked for more.
const OUT_BYTES: usize = 64 * 1024;
/// Where the flags are in a frame's header, and which one ends a stream (RFC 9113, sections 4.1 and 6.1).
const FLAGS_AT: usize = 4;
const END_STREAM: u8 = 0x1;
/// Bytes of a body's buffer that are kept for the next stream in the same place.
const KEPT_BODY_BYTES: usize = 16 * 1024;

/// Buffers of heads that are kept, and how large they may be.
const KEPT_HEADS: usize = 32;
const KEPT_HEAD_BYTES: usize = 4 * 1024;

/// Shared by a connection's task and the exchanges on it, all of one thread.
pub(super) type Shared = Rc<RefCell<Core>>;

pub(super) struct Core {
    pub(super) wire: Connection,
    /// What is to be sent; written from `sent` on.
    pub(super) out: Vec<u8>,
    pub(super) sent: usize,
    /// Bytes that were sent and are no longer in `out`.
    passed: u64,
    /// Clients' connections: which exchanges can go on.
    pub(super) ready: Ready,
    /// Backends' connections: the task that reads and writes.
    task: Option<Waker>,
    places: Vec<Place>,
    /// Buffers of heads, for those to come.
    heads: Vec<Vec<u8>>,
    /// An exchange waits for room in `out`.
    is_crowded: bool,
}

/// What came for a stream and was not taken.
#[derive(Default)]
struct Place {
    /// The stream's number on the wire.
    id: u32,
    body: Vec<u8>,
    ended: bool,
    trailers: Option<Box<OwnTrailers>>,
    /// Heads of answers, interim ones included.
    heads: VecDeque<(Answer, Vec<u8>)>,
    gone: Option<Closed>,
    /// Who waits for any of it, where that runs in a task of its own.
    waker: Option<Waker>,
}

/// How a stream was closed before its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) by: By,
    pub(super) code: ErrorCode,
}

/// Trailer fields with the buffer that they point into.
#[derive(Default)]
pub(super) struct OwnTrailers {
    pub(super) fields: Vec<Field>,
    pub(super) buf: Vec<u8>,
}

/// What there is of a request's body.
pub(super) enum Come {
    /// Some of it; it is in the buffer that was given.
    Data,
    /// All of it was taken.
    End(Option<Box<OwnTrailers>>),
    /// Nothing yet.
    Nothing,
    /// No more of it will come.
    Gone(Closed),
}

/// A DATA frame of a stream that may still be in the output.
#[derive(Clone, Copy)]
pub(super) struct LastFrame(u64);

impl Core {
    pub(super) fn new(wire: Connection, max_streams: usize) -> Shared {
        Rc::new(RefCell::new(Self {
            wire,
            out: Vec::new(),
            sent: 0,
            passed: 0,
            ready: Ready::new(max_streams),
            task: None,
            places: Vec::new(),
            heads: Vec::new(),
            is_crowded: false,
        }))
    }

    /// A stream is there whose body follows unless it `ended`.
    pub(super) fn begin(&mut self, stream: Handle, ended: bool) {
        let slot = stream.slot as usize;
        if self.places.len() <= slot {
            self.places.resize_with(slot + 1, Place::default);
        }
        let place = &mut self.places[slot];
        place.id = stream.id;
        place.body.clear();
        place.body.shrink_to(KEPT_BODY_BYTES);
        (place.ended, place.trailers, place.gone, place.waker) = (ended, None, None, None);
        place.heads.clear();
        self.ready.set(slot);
    }

    /// Who works on a stream can go on.
    pub(super) fn wake(&mut self, slot: usize) {
        match self.places.get_mut(slot).and_then(|place| place.waker.take()) {
            Some(waker) => waker.wake(),
            None => self.ready.set(slot),
        }
    }

    fn wake_all(&mut self) {
        (0..self.places.len()).for_each(|slot| self.wake(slot));
    }

    /// Remembers who waits for something to come for a stream.
    pub(super) fn wait(&mut self, stream: Handle, cx: &Context<'_>) {
        let waker = &mut self.places[stream.slot as usize].waker;
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Which task writes what there is.
    pub(super) fn begin_turn(&mut self, cx: &Context<'_>) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
        }
    }

    /// Something was put into the output: it is written when this task has had its turn.
    pub(super) fn tell_writer(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// The head of an answer came.
    pub(super) fn answered(&mut self, stream: Handle, (answer, buf): (Answer, Vec<u8>), ends: bool) {
        if let Some(place) = self.places.get_mut(stream.slot as usize) {
            place.heads.push_back((answer, buf));
            place.ended |= ends;
            self.wake(stream.slot as usize);
        }
    }

    /// Takes the next head of an answer.
    pub(super) fn take_head(&mut self, stream: Handle) -> Option<(Answer, Vec<u8>)> {
        self.places[stream.slot as usize].heads.pop_front()
    }

    /// A buffer for a head.
    pub(super) fn spare_head(&mut self) -> Vec<u8> {
        self.heads.pop().unwrap_or_default()
    }

    /// Nobody needs this head any more.
    pub(super) fn keep_head(&mut self, mut head: Vec<u8>) {
        if self.heads.len() < KEPT_HEADS && head.capacity() <= KEPT_HEAD_BYTES {
            head.clear();
            self.heads.push(head);
        }
    }

    /// More of a body came.
    pub(super) fn come(&mut self, stream: Handle, bytes: &[u8], ends: bool) {
        if let Some(place) = self.places.get_mut(stream.slot as usize) {
            place.body.extend_from_slice(bytes);
            place.ended |= ends;
            self.wake(stream.slot as usize);
        }
    }

    pub(super) fn ended_with(&mut self, stream: Handle, trailers: OwnTrailers) {
        if let Some(place) = self.places.get_mut(stream.slot as usize) {
            place.trailers = Some(Box::new(trailers));
            place.ended = true;
            self.wake(stream.slot as usize);
        }
    }

    /// A stream was closed before its end.
    pub(super) fn gone(&mut self, stream: Handle, closed: Closed) {
        if let Some(place) = self.places.get_mut(stream.slot as usize) {
            place.gone = Some(closed);
            self.wake(stream.slot as usize);
        }
    }

    /// The streams above this one will never be processed (RFC 9113, section 6.8).
    pub(super) fn gone_above(&mut self, last: u32) {
        let closed = Closed { by: By::Peer, code: ErrorCode::REFUSED_STREAM };
        for slot in 0..self.places.len() {
            let place = &mut self.places[slot];
            if place.id > last && !place.ended {
                place.gone = place.gone.or(Some(closed));
                self.wake(slot);
            }
        }
    }

    /// The connection is: nothing more comes for any stream, and nothing goes. The code is one that streams are not reset
    /// with, so that nobody takes it for the peer's wish.
    pub(super) fn all_gone(&mut self) {
        let closed = Closed { by: By::Peer, code: ErrorCode::CONNECT_ERROR };
        self.places.iter_mut().for_each(|place| place.gone = place.gone.or(Some(closed)));
        self.wake_all();
    }

    /// Whether a stream was closed before its end.
    pub(super) fn closed(&self, stream: Handle) -> Option<Closed> {
        self.places[stream.slot as usize].gone
    }

    /// Takes what is there of a body into `buffer`, which is empty.
    pub(super) fn take(&mut self, stream: Handle, buffer: &mut Vec<u8>) -> Come {
        let place = &mut self.places[stream.slot as usize];
        if !place.body.is_empty() {
            std::mem::swap(&mut place.body, buffer);
            return Come::Data;
        }
        match place.gone {
            _ if place.ended => Come::End(place.trailers.take()),
            Some(closed) => Come::Gone(closed),
            None => Come::Nothing,
        }
    }

    /// So much of a body was used.
    pub(super) fn consumed(&mut self, stream: Handle, bytes: usize) {
        self.wire.consumed(stream, bytes, &mut self.out);
    }

    /// Bytes that wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.out.len() - self.sent
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= OUT_BYTES
    }

    /// Takes some of an answer's body; nothing where the stream must wait, which is then woken in its turn.
    pub(super) fn push(&mut self, stream: Handle, data: &[u8], last: &mut Option<LastFrame>) -> io::Result<usize> {
        let mut taken = 0;
        while taken < data.len() {
            if self.is_full() {
                self.is_crowded = true;
                break;
            }
            let start = self.out.len();
            let n = self.wire.put_data(stream, &data[taken..], More::Follows, &mut self.out).map_err(broken)?;
            if n == 0 {
                break;
            }
            *last = Some(LastFrame(self.passed + start as u64));
            taken += n;
        }
        Ok(taken)
    }

    /// Ends an answer: by a flag of its last frame, if that has not been sent, else by an empty one.
    pub(super) fn end(&mut self, stream: Handle, last: Option<LastFrame>) -> io::Result<()> {
        let start = self.out.len();
        self.wire.put_data(stream, &[], More::Ends, &mut self.out).map_err(broken)?;
        let unsent = self.passed + self.sent as u64;
        if let Some(LastFrame(at)) = last.filter(|last| last.0 >= unsent)
            && let Ok(at) = usize::try_from(at - self.passed)
        {
            self.out.truncate(start);
            self.out[at + FLAGS_AT] |= END_STREAM;
        }
        Ok(())
    }

    /// Writes as much of the output as the socket takes; an error when the peer is gone.
    pub(super) fn write_to(&mut self, socket: &mut Stream, cx: &mut Context<'_>) -> Result<(), ()> {
        while self.waiting() > 0 {
            match socket.poll_write(cx, &self.out[self.sent..]) {
                Poll::Ready(Ok(n)) if n > 0 => self.flushed(n),
                Poll::Ready(_) => return Err(()),
                Poll::Pending => break,
            }
        }
        match socket.poll_flush(cx) {
            Poll::Ready(Err(_)) => Err(()),
            _ => Ok(()),
        }
    }

    /// So many bytes more of the output were sent.
    fn flushed(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.out.len() {
            self.passed += self.sent as u64;
            self.out.clear();
            self.sent = 0;
        } else if self.sent >= OUT_BYTES {
            // A client that never takes all would let it grow for as long as bodies are.
            self.passed += self.sent as u64;
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        if self.is_crowded && self.waiting() < OUT_BYTES / 2 {
            self.is_crowded = false;
            self.wake_all();
        }
    }

    /// No stream is left: memory goes.
    pub(super) fn rest(&mut self) {
        self.places = Vec::new();
        self.heads = Vec::new();
        self.ready.shrink();
        self.wire.shrink();
    }
}

/// The stream is not there any more.
pub(super) fn broken(_: Gone) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
