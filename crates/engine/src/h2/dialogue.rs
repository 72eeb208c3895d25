//! Connections to backends over HTTP/2: many exchanges on each.
//!
//! Owns the connections of one backend in one worker, who opens the next, and the task that reads and writes each. A
//! connection is used for new streams while the backend allows more; then another is opened.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use wire::h2::{Config, Connection, ErrorCode, Event, HeadSlot, Input};

use super::backend::BackendStream;
use super::core::{Closed, Core, OwnTrailers, Shared};
use crate::buffers::{Inbox, Size};
use crate::clock::Instant;
use crate::connect::ConnectError;
use crate::stream::Stream;
use crate::timers::Timer;
use crate::worker::Worker;

/// A backend with streams that is silent for so long is asked whether it is there,
const ASK_AFTER: Duration = Duration::from_secs(10);
/// and has so long to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of one answer, and of all on a connection, that may come before they are taken.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The connections to one backend.
#[derive(Default)]
pub(crate) struct Dialogues {
    open: RefCell<Vec<Rc<Dialogue>>>,
    /// The connection that is being opened: others wait for it.
    opening: RefCell<Option<Rc<Opening>>>,
}

/// One connection.
struct Dialogue {
    core: Shared,
    scheme: &'static str,
    /// No new streams: it ends with those that it has.
    is_retired: Cell<bool>,
    /// The backend has said what it takes, or the connection has ended.
    settled: Notify,
}

impl Dialogue {
    /// Whether it takes another stream, as far as is known: before its settings have come, nothing is.
    fn has_room(&self) -> bool {
        let core = self.core.borrow();
        !self.is_retired.get() && core.wire.has_peer_settings() && core.wire.room() > 0
    }
}

/// A connection that is being opened.
#[derive(Default)]
struct Opening {
    told: Notify,
    is_over: Cell<bool>,
    failed: RefCell<Option<ConnectError>>,
}

/// Whoever opens a connection: drops this when done, in whatever way.
pub(crate) struct Opener<'a> {
    dialogues: &'a Dialogues,
    opening: Rc<Opening>,
}

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        *self.dialogues.opening.borrow_mut() = None;
        self.opening.is_over.set(true);
        self.opening.told.notify_waiters();
    }
}

impl Opener<'_> {
    /// There is no connection, for any of those who wait.
    pub(crate) fn fail(self, error: ConnectError) -> ConnectError {
        *self.opening.failed.borrow_mut() = Some(error.clone());
        error
    }
}

/// What connects is to do.
pub(crate) enum Turn<'a> {
    /// There is room on a connection.
    Stream(BackendStream),
    /// A connection is to be opened.
    Open(Opener<'a>),
}

impl Dialogues {
    /// A stream on a connection that has room.
    pub(crate) fn stream(&self) -> Option<BackendStream> {
        let open = self.open.borrow();
        let found = open.iter().find(|dialogue| dialogue.has_room())?;
        Some(BackendStream::new(&found.core, found.scheme))
    }

    /// A stream, or leave to open a connection; waits while somebody else opens one.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, ConnectError> {
        loop {
            if let Some(stream) = self.stream() {
                return Ok(Turn::Stream(stream));
            }
            let opening = self.opening.borrow().clone();
            let Some(opening) = opening else {
                let opening = Rc::new(Opening::default());
                *self.opening.borrow_mut() = Some(Rc::clone(&opening));
                return Ok(Turn::Open(Opener { dialogues: self, opening }));
            };
            if !opening.is_over.get() {
                opening.told.notified().await;
            }
            if let Some(error) = &*opening.failed.borrow() {
                return Err(error.clone());
            }
        }
    }

    /// A connection was opened: its task begins. Waits for the backend's settings, the first thing that it says: how many
    /// streams it takes, and whether it takes WebSocket. An error when the connection ends before.
    pub(crate) async fn opened(
        worker: &Rc<Worker>,
        place: (policy::plan::PoolId, usize),
        stream: Stream,
    ) -> Result<(), ConnectError> {
        let config = Config {
            limits: worker.head_limits,
            stream_window: STREAM_WINDOW,
            connection_window: CONNECTION_WINDOW,
            ..Config::default()
        };
        let core = Core::new(Connection::client(config), 0);
        {
            let core = &mut *core.borrow_mut();
            core.wire.start(&mut core.out);
        }
        let scheme = if matches!(stream, Stream::Tls(_)) { "https" } else { "http" };
        let dialogue = Rc::new(Dialogue { core, scheme, is_retired: Cell::new(false), settled: Notify::new() });
        worker.pool(place.0).dialogues(place.1).open.borrow_mut().push(Rc::clone(&dialogue));
        let speaker = Speaker {
            worker: Rc::clone(worker),
            place,
            timer: worker.timers.timer(),
            stream,
            dialogue: Rc::clone(&dialogue),
            slot: HeadSlot::default(),
            inbox: Inbox::default(),
            heard: Instant::now(),
            wait: None,
            since: Instant::now(),
        };
        tokio::task::spawn_local(speak(speaker));
        while !dialogue.core.borrow().wire.has_peer_settings() {
            if dialogue.is_retired.get() {
                return Err(ConnectError::Failed);
            }
            dialogue.settled.notified().await;
        }
        Ok(())
    }

    /// No new streams on these connections: they end with the exchanges that they have.
    pub(crate) fn retire(&self) {
        for dialogue in self.open.borrow_mut().drain(..) {
            dialogue.is_retired.set(true);
            dialogue.core.borrow().tell_writer();
        }
    }
}

async fn speak(mut speaker: Speaker) {
    poll_fn(|cx| speaker.poll(cx)).await;
}

/// What the task of a connection has.
struct Speaker {
    worker: Rc<Worker>,
    place: (policy::plan::PoolId, usize),
    timer: Timer,
    stream: Stream,
    dialogue: Rc<Dialogue>,
    slot: HeadSlot,
    inbox: Inbox,
    heard: Instant,
    wait: Option<Wait>,
    /// Since when that is waited for.
    since: Instant,
}

/// What the timer is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The next stream.
    Idle,
    /// A word of the backend, for those who wait for it.
    Word,
    /// The answer to our PING.
    Pong,
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.retire();
        self.dialogue.core.borrow_mut().all_gone();
        self.dialogue.settled.notify_one();
        self.worker.buffers.give_back(&mut self.inbox);
    }
}

impl Speaker {
    /// Takes it from those that are used for new streams.
    fn retire(&self) {
        self.dialogue.is_retired.set(true);
        let dialogues = self.worker.pool(self.place.0).dialogues(self.place.1);
        dialogues.open.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.dialogue));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.dialogue.core.borrow_mut().begin_turn(cx);
        loop {
            let read = match self.poll_read(cx) {
                Poll::Ready(Some(())) => true,
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => false,
            };
            if read && self.take_input().is_err() {
                // The last word, as far as the backend takes it.
                let _ = self.flush(cx);
                return Poll::Ready(());
            }
            self.wake_writers();
            if self.flush(cx).is_err() {
                return Poll::Ready(());
            }
            if !read {
                break;
            }
        }
        self.rest();
        if self.is_over() {
            return Poll::Ready(());
        }
        self.poll_timer(cx)
    }

    /// Whether nobody needs it any more.
    fn is_over(&mut self) -> bool {
        let core = self.dialogue.core.borrow();
        let takes_none = self.dialogue.is_retired.get() || !core.wire.takes_streams();
        core.wire.streams() == 0 && core.waiting() == 0 && takes_none
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let left = self.inbox.unread().len();
        if !self.inbox.is_leased() || self.inbox.is_own() {
            let mut leased = self.worker.buffers.lease(Size::Bulk);
            leased.room()[..left].copy_from_slice(self.inbox.unread());
            leased.end = left;
            self.inbox = leased;
        } else {
            self.inbox.compact();
        }
        match self.stream.poll_read(cx, self.inbox.room()) {
            Poll::Ready(Ok(n)) if n > 0 => {
                self.inbox.end += n;
                self.heard = Instant::now();
                Poll::Ready(Some(()))
            }
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn take_input(&mut self) -> Result<(), ()> {
        let now_ms = self.worker.now_ms(self.heard);
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut input = Input::new(inbox.unread());
        let dialogue = Rc::clone(&self.dialogue);
        let had_settings = dialogue.core.borrow().wire.has_peer_settings();
        let ended = loop {
            let core = &mut *dialogue.core.borrow_mut();
            match core.wire.receive(&mut input, &mut self.slot, now_ms, &mut core.out) {
                Ok(Some(event)) => self.take_event(event, input.bytes, core),
                Ok(None) => break Ok(()),
                Err(error) => {
                    tracing::debug!("a backend breaks the rules of HTTP/2: {}", error.why);
                    break Err(());
                }
            }
        };
        let used = input.at;
        inbox.start += used;
        self.inbox = inbox;
        if !had_settings {
            dialogue.settled.notify_one();
        }
        ended
    }

    fn take_event(&mut self, event: Event, input: &[u8], core: &mut Core) {
        match event {
            Event::Head { stream, ends } => {
                let head = (std::mem::take(&mut self.slot.answer), std::mem::take(&mut self.slot.buf));
                core.answered(stream, head, ends);
            }
            Event::Data { stream, range, ends } => core.come(stream, &input[range], ends),
            Event::Trailers { stream } => {
                let fields = std::mem::take(&mut self.slot.trailers);
                core.ended_with(stream, OwnTrailers { fields, buf: std::mem::take(&mut self.slot.buf) });
            }
            Event::Reset { stream, code, by } => core.gone(stream, Closed { by, code }),
            Event::GoAway { last, .. } => {
                self.retire();
                core.gone_above(last);
            }
            Event::Refused { .. } | Event::Malformed { .. } | Event::Pong => {}
        }
    }

    /// Those who waited for a window go on.
    fn wake_writers(&self) {
        let core = &mut *self.dialogue.core.borrow_mut();
        while let Some(stream) = core.wire.next_writable() {
            core.wake(stream.slot as usize);
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), ()> {
        self.dialogue.core.borrow_mut().write_to(&mut self.stream, cx)
    }

    /// Holds no more than it needs until it is woken.
    fn rest(&mut self) {
        if self.inbox.unread().is_empty() {
            self.worker.buffers.give_back(&mut self.inbox);
        } else if !self.inbox.is_own() {
            let own = Inbox::holding(self.inbox.unread());
            self.worker.buffers.give_back(&mut self.inbox);
            self.inbox = own;
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let (wait, since, longest) = {
                let core = self.dialogue.core.borrow();
                if core.wire.streams() == 0 {
                    (Wait::Idle, self.heard, self.worker.plan.pool(self.place.0).idle_timeout)
                } else if core.wire.ping_sent_ms().is_some() {
                    (Wait::Pong, Instant::now(), Some(ANSWER_WITHIN))
                } else {
                    (Wait::Word, self.heard, Some(ASK_AFTER))
                }
            };
            if self.wait != Some(wait) || wait != Wait::Pong && self.since != since {
                (self.wait, self.since) = (Some(wait), since);
                self.timer.set_earlier(Instant::now(), None, longest.map(|longest| since + longest));
            }
            if self.timer.poll_late(cx).is_pending() {
                return Poll::Pending;
            }
            match wait {
                Wait::Word => {
                    let now_ms = self.worker.now_ms(Instant::now());
                    let core = &mut *self.dialogue.core.borrow_mut();
                    core.wire.ping(now_ms, &mut core.out);
                }
                Wait::Idle => {
                    self.retire();
                    let core = &mut *self.dialogue.core.borrow_mut();
                    core.wire.leave(ErrorCode::NO_ERROR, "", &mut core.out);
                }
                Wait::Pong => return Poll::Ready(()),
            }
            if self.flush(cx).is_err() || wait == Wait::Idle {
                return Poll::Ready(());
            }
        }
    }
}
