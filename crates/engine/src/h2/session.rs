//! A client's connection over HTTP/2, from its preface to its end.
//!
//! Owns the order of a turn (read, run what can go on, write), the life of streams' exchanges, and when a connection ends:
//! idle for too long, stalled, silent, abusive, blocked, or because the process stops.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use wire::h2::{Config, Connection, ConnectionError, ErrorCode, Event, Handle, HeadSlot, Input};

use super::client::ClientStream;
use super::core::{Closed, Core, OwnTrailers, Shared};
use super::websocket::translate;
use crate::buffers::{Inbox, Size};
use crate::cause::Cause;
use crate::clock::Instant;
use crate::counters::ListenerCounters;
use crate::exchange::{Ended, Started, exchange, refuse};
use crate::seam::Peer;
use crate::stream::Stream;
use crate::timers::{IDLE, NO_BACKEND, SILENT, Timer};
use crate::worker::Worker;

/// What the peer has not taken of a last word (GOAWAY) by then is lost.
const LAST_WORD: Duration = Duration::from_secs(2);
/// A client with streams that is silent for so long is asked whether it is there,
const ASK_AFTER: Duration = Duration::from_secs(30);
/// and has so long to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// When the process stops, clients have this long to hear of it before the connection takes no more streams.
const LAST_STREAMS: Duration = Duration::from_millis(500);
/// After the last stream, what streams need is kept for so long.
const WARM: Duration = Duration::from_millis(500);
/// Reads in one turn, so that one client does not keep the others waiting.
const READS: u32 = 4;

/// A connection that turned out to speak HTTP/2.
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    pub(crate) timer: Timer,
    /// What backends are told of the certificate that the client has shown.
    pub(crate) identity: Option<Rc<[u8]>>,
    /// What was read of it: the beginning of the client's preface, at least.
    pub(crate) inbox: Inbox,
}

/// Serves a connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, opened: Opened) {
    let mut session = Session::new(worker, opened, run);
    poll_fn(|cx| session.poll(cx)).await;
}

/// One exchange, or one refusal.
async fn run(worker: Rc<Worker>, mut down: ClientStream, heard: Instant, refused: Option<Cause>) {
    let ended = match refused {
        None => exchange(&worker, &mut down, Started { arrived: heard, whole: heard }).await,
        Some(cause) => refuse(&worker, &mut down, heard, cause).await,
    };
    if ended == Ended::Answered {
        down.linger().await;
    }
    down.finish(ended);
}

/// Makes the future of an exchange, which has no name of its own.
type Make<F> = fn(Rc<Worker>, ClientStream, Instant, Option<Cause>) -> F;

/// Where an exchange runs: made once, used by one after the other.
type Seat<F> = Pin<Box<Option<F>>>;

struct Session<F> {
    worker: Rc<Worker>,
    stream: Stream,
    peer: Peer,
    timer: Timer,
    identity: Option<Rc<[u8]>>,
    core: Shared,
    /// The exchanges, in the places of their streams. Before `core` is gone they must be: they hold it too.
    exchanges: Vec<Seat<F>>,
    make: Make<F>,
    running: usize,
    slot: HeadSlot,
    /// What was read and not used.
    inbox: Inbox,
    state: State,
    wait: Option<Wait>,
    /// Since when that is waited for.
    since: Instant,
    /// Something was read.
    heard: Instant,
    /// It keeps what streams need.
    is_warm: bool,
}

/// How far the connection's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Streams come and go.
    Open,
    /// The process stops: the client was told at this time.
    Leaving(Instant),
    /// The last word is on its way; nothing is read any more.
    Closing,
}

/// What the timer is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The next stream: a busy client's comes soon.
    Warm,
    /// The next stream.
    Idle,
    /// The preface, or the rest of a head.
    Head,
    /// The client takes nothing of what is sent (so much was).
    Stalled(u64),
    /// A word of the client; an exchange runs.
    Word,
    /// The answer to our PING.
    Pong,
    /// The client hears that we leave.
    Leaving,
    /// The client takes the last word.
    LastWord,
}

impl<F: Future<Output = ()>> Session<F> {
    fn new(worker: Rc<Worker>, opened: Opened, make: Make<F>) -> Self {
        let config = Config { limits: worker.head_limits, ..Config::default() };
        let core = Core::new(Connection::server(config), config.max_streams as usize);
        {
            let core = &mut *core.borrow_mut();
            core.wire.start(&mut core.out);
        }
        worker.counters().listeners[usize::from(opened.peer.listener.0)].http2.add(1);
        Self {
            worker,
            stream: opened.stream,
            peer: opened.peer,
            timer: opened.timer,
            identity: opened.identity,
            core,
            exchanges: Vec::new(),
            make,
            running: 0,
            slot: HeadSlot::default(),
            inbox: opened.inbox,
            state: State::Open,
            wait: None,
            since: Instant::now(),
            heard: Instant::now(),
            is_warm: true,
        }
    }

    fn counters(&self) -> &ListenerCounters {
        &self.worker.counters().listeners[usize::from(self.peer.listener.0)]
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.core.borrow().ready.begin_turn(cx);
        if self.worker.refuses(&self.peer) {
            self.stream.end_with_reset();
            self.end_all();
            return Poll::Ready(());
        }
        self.hear_of_the_end();
        let mut reads = 0;
        loop {
            let mut moved = self.take_input();
            if !moved && reads < READS && self.wants_input() {
                match self.poll_read(cx) {
                    Poll::Ready(true) => {
                        moved = true;
                        reads += 1;
                    }
                    Poll::Ready(false) => {
                        self.end_all();
                        return Poll::Ready(());
                    }
                    Poll::Pending => {}
                }
            }
            moved |= self.run();
            if self.poll_flush(cx).is_err() {
                self.end_all();
                return Poll::Ready(());
            }
            if self.is_over() {
                // The last word is out.
                return self.stream.poll_shutdown(cx).map(|_| ());
            }
            if !moved {
                break;
            }
            if reads == READS {
                // Others have their turn first.
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.fold();
        self.poll_timer(cx)
    }

    /// The process stops: the client is told, and may finish what it has begun.
    fn hear_of_the_end(&mut self) {
        if self.worker.stopping.get() && self.state == State::Open {
            let core = &mut *self.core.borrow_mut();
            core.wire.drain(&mut core.out);
            self.state = State::Leaving(Instant::now());
        }
    }

    /// While the client does not take what we have for it, what it says is not heard: answers to it go the same way.
    fn wants_input(&self) -> bool {
        self.state != State::Closing && !self.core.borrow().is_full()
    }

    /// Reads once; `false` at the end of the stream, in whatever way.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let left = self.inbox.unread().len();
        if !self.inbox.is_leased() || self.inbox.is_own() {
            let mut leased = self.worker.buffers.lease(Size::Head);
            leased.room()[..left].copy_from_slice(self.inbox.unread());
            leased.end = left;
            self.inbox = leased;
        } else if self.inbox.start > 0 {
            self.inbox.compact();
        }
        let read = self.stream.poll_read(cx, self.inbox.room());
        match read {
            Poll::Ready(Ok(n)) if n > 0 => {
                self.inbox.end += n;
                self.heard = Instant::now();
                Poll::Ready(true)
            }
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Takes what is in the input, event by event. Whether there was any.
    fn take_input(&mut self) -> bool {
        if self.state == State::Closing || self.inbox.unread().is_empty() {
            return false;
        }
        let now_ms = self.worker.now_ms(self.heard);
        let inbox = std::mem::take(&mut self.inbox);
        let (mut input, mut moved) = (Input::new(inbox.unread()), false);
        loop {
            let received = {
                let core = &mut *self.core.borrow_mut();
                core.wire.receive(&mut input, &mut self.slot, now_ms, &mut core.out)
            };
            match received {
                Ok(Some(event)) => {
                    moved = true;
                    self.take_event(event, input.bytes);
                }
                Ok(None) => break,
                Err(error) => {
                    self.cut_off(error);
                    moved = true;
                    break;
                }
            }
        }
        let used = input.at;
        self.inbox = inbox;
        self.inbox.start += used;
        moved || used > 0
    }

    fn take_event(&mut self, event: Event, input: &[u8]) {
        match event {
            Event::Head { stream, ends } => {
                self.counters().requests.add(1);
                self.begin(stream, ends, None);
            }
            Event::Refused { stream, refusal, ends } => {
                self.counters().refused.add(1);
                self.begin(stream, ends, Some(Cause::BadRequest { status: refusal.status, why: refusal.why }));
            }
            Event::Data { stream, range, ends } => self.core.borrow_mut().come(stream, &input[range], ends),
            Event::Trailers { stream } => {
                let trailers = OwnTrailers {
                    fields: std::mem::take(&mut self.slot.trailers),
                    buf: std::mem::take(&mut self.slot.buf),
                };
                self.core.borrow_mut().ended_with(stream, trailers);
            }
            Event::Reset { stream, code, by } => self.core.borrow_mut().gone(stream, Closed { by, code }),
            Event::Malformed { .. } => self.counters().refused.add(1),
            Event::GoAway { .. } | Event::Pong => {}
        }
    }

    /// A stream begins: with its exchange, or with a refusal.
    fn begin(&mut self, stream: Handle, ended: bool, refused: Option<Cause>) {
        self.core.borrow_mut().begin(stream, ended);
        let mut request = self.worker.requests.take();
        std::mem::swap(&mut *request, &mut self.slot.request);
        let spare = self.core.borrow_mut().spare_head();
        let mut head = std::mem::replace(&mut self.slot.buf, spare);
        let is_tunnel = refused.is_none() && !request.upgrade.is_empty();
        let refused = match refused {
            None if is_tunnel && !translate(&mut request, &mut head) => {
                self.counters().refused.add(1);
                Some(Cause::BadRequest { status: 501, why: ":protocol other than websocket" })
            }
            refused => refused,
        };
        let (worker, heard) = (Rc::clone(&self.worker), self.heard);
        let mut down = ClientStream::new(&worker, &self.core, (stream, self.peer), (request, head));
        down.identity = self.identity.clone();
        let slot = stream.slot as usize;
        if self.exchanges.len() <= slot {
            self.exchanges.resize_with(slot + 1, || Box::pin(None));
        }
        self.running += 1;
        self.is_warm = true;
        self.exchanges[slot].as_mut().set(Some((self.make)(worker, down, heard, refused)));
    }

    /// Runs the exchanges that can go on. Whether there was one.
    fn run(&mut self) -> bool {
        let ready = self.core.borrow().ready.take();
        let mut ran = false;
        for slot in ready {
            ran |= self.run_one(slot);
        }
        loop {
            let writable = self.core.borrow_mut().wire.next_writable();
            let Some(stream) = writable else { break };
            ran |= self.run_one(stream.slot as usize);
        }
        ran
    }

    fn run_one(&mut self, slot: usize) -> bool {
        let Some(seat) = self.exchanges.get_mut(slot) else { return false };
        let Some(exchange) = seat.as_mut().as_pin_mut() else { return false };
        let waker = self.core.borrow_mut().ready.waker(slot);
        if exchange.poll(&mut Context::from_waker(&waker)).is_ready() {
            seat.as_mut().set(None);
            self.running -= 1;
        }
        true
    }

    /// Sends what there is; an error when the client is gone.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<(), ()> {
        self.core.borrow_mut().write_to(&mut self.stream, cx)
    }

    /// The client broke the rules, or makes more work than anybody needs: it is told, and that was it.
    fn cut_off(&mut self, error: ConnectionError) {
        let counters = self.counters();
        if error.abuse.is_some() {
            counters.calmed.add(1)
        } else {
            counters.refused.add(1)
        }
        tracing::debug!("HTTP/2 connection of {} cut off: {}", self.peer.ip(), error.why);
        self.close();
    }

    /// Nothing is read any more, and nothing goes on.
    fn close(&mut self) {
        self.state = State::Closing;
        self.core.borrow_mut().all_gone();
    }

    /// As [`Self::close`], with a last word.
    fn close_saying(&mut self, code: ErrorCode, why: &str) {
        let core = &mut *self.core.borrow_mut();
        core.wire.leave(code, why, &mut core.out);
        core.all_gone();
        self.state = State::Closing;
    }

    /// The client is gone: each exchange finds out, and ends as it likes.
    fn end_all(&mut self) {
        self.close();
        self.run();
    }

    fn is_over(&self) -> bool {
        let core = self.core.borrow();
        core.waiting() == 0 && (self.state == State::Closing || core.wire.is_done())
    }

    /// Holds no more than it needs until it is woken.
    fn fold(&mut self) {
        if self.inbox.is_leased() && self.inbox.unread().is_empty() {
            self.worker.buffers.give_back(&mut self.inbox);
        } else if self.inbox.is_leased() && !self.inbox.is_own() {
            let own = Inbox::holding(self.inbox.unread());
            self.worker.buffers.give_back(&mut self.inbox);
            self.inbox = own;
        }
    }

    /// Nothing has run for a while: it keeps no more than it is.
    fn rest(&mut self) {
        self.exchanges = Vec::new();
        self.slot = HeadSlot::default();
        let core = &mut *self.core.borrow_mut();
        if core.out.is_empty() {
            self.worker.buffers.give_back_out(std::mem::take(&mut core.out));
        }
        core.rest();
    }

    /// What is waited for now, since when, and for how long at most.
    fn wait(&self) -> (Wait, Instant, Option<Duration>) {
        let timeouts = self.worker.client_timeouts(&self.peer);
        let (core, now) = (self.core.borrow(), Instant::now());
        match self.state {
            State::Closing => (Wait::LastWord, now, Some(LAST_WORD)),
            _ if core.waiting() > 0 => (Wait::Stalled(core.sent as u64), now, timeouts.body),
            State::Leaving(since) if self.running == 0 => (Wait::Leaving, since, Some(LAST_STREAMS)),
            _ if core.wire.is_within_head() || !core.wire.has_peer_settings() => {
                (Wait::Head, self.heard, timeouts.header)
            }
            _ if self.running == 0 && self.is_warm => (Wait::Warm, self.heard, Some(WARM)),
            _ if self.running == 0 => (Wait::Idle, self.heard, timeouts.keep_alive),
            _ if core.wire.ping_sent_ms().is_some() => (Wait::Pong, now, Some(ANSWER_WITHIN)),
            _ => (Wait::Word, self.heard, Some(ASK_AFTER)),
        }
    }

    /// Ready when it is time to end.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let (wait, since, longest) = self.wait();
            let restarts = matches!(wait, Wait::Warm | Wait::Idle | Wait::Word) && self.since != since;
            if self.wait != Some(wait) || restarts {
                (self.wait, self.since) = (Some(wait), since);
                self.timer.waits_for(match wait {
                    Wait::Warm | Wait::Idle => IDLE,
                    Wait::Head => SILENT,
                    _ => NO_BACKEND,
                });
                self.timer.set_earlier(Instant::now(), None, longest.map(|longest| since + longest));
            }
            if self.timer.poll_late(cx).is_pending() {
                return Poll::Pending;
            }
            if self.timer.was_shed() {
                self.counters().shed.add(1);
            }
            match wait {
                Wait::Warm if !self.timer.was_shed() => {
                    self.is_warm = false;
                    self.rest();
                    continue;
                }
                Wait::Word => {
                    let now_ms = self.worker.now_ms(Instant::now());
                    let core = &mut *self.core.borrow_mut();
                    core.wire.ping(now_ms, &mut core.out);
                }
                Wait::Warm | Wait::Idle | Wait::Leaving => self.close_saying(ErrorCode::NO_ERROR, ""),
                Wait::Head => self.close_saying(ErrorCode::NO_ERROR, "head timeout"),
                Wait::Stalled(_) | Wait::Pong | Wait::LastWord => {
                    self.stream.end_with_reset();
                    self.end_all();
                    return Poll::Ready(());
                }
            }
            self.run();
            if self.poll_flush(cx).is_err() {
                return Poll::Ready(());
            }
            if self.is_over() {
                return self.stream.poll_shutdown(cx).map(|_| ());
            }
        }
    }
}
