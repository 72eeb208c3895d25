//! Client connections over HTTP/1.1: one after the other, the exchanges that a client asks for.
//!
//! Owns the life of a client connection. Between exchanges it is one small future that holds neither buffer nor head
//! (DESIGN D7); while one runs, it is boxed.

mod downstream;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use policy::plan::ListenerId;
use wire::h1::{Parsed, parse_request};
use wire::head::Request;
use wire::proxy;

use super::encode::{self};
use super::link::Link;
use super::secure;
use crate::buffers::{Inbox, Size};
use crate::cause::Cause;
use crate::clock::Instant;
use crate::exchange::{Ended, Started, exchange, refuse};
use crate::h2;
use crate::seam::{AnswerHead, Peer};
use crate::stream::Stream;
use crate::timers::{IDLE, NO_BACKEND, SILENT, Timer};
use crate::worker::Worker;

/// After an answer to a request that was not read whole, so much is read and dropped, for so long, before the
/// connection closes: else the client could get a reset in place of the answer (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;
/// When the process stops, clients that think their connection is good have this long to send a request; its answer says
/// `Connection: close`. Without it, requests that crossed with our close would be lost.
const LAST_REQUEST: Duration = Duration::from_millis(500);
/// How often a client that has pipelined more than is read is asked whether it is still there.
const LOOK: Duration = Duration::from_millis(500);
/// How the preface of HTTP/2 begins, and no request of HTTP/1.
const PREFACE_SIGN: &[u8] = b"PRI * HTTP/2.0";
/// What the runtime gets to hear of a request that the kernel has.
const LAST_LOOK: Duration = Duration::from_millis(20);
/// A head that is not whole by then keeps no more memory than it has bytes.
const SLOW_HEAD: Duration = Duration::from_secs(1);
/// After an answer, this many connections of a worker keep what they need to run for this long.
const WARM_CONNECTIONS: usize = 128;
const WARM: Duration = Duration::from_millis(500);

/// A client connection from accept to its end. Written out as a state machine, since idle connections are many: an
/// async function would keep its arguments twice.
pub(crate) struct Connection {
    worker: Rc<Worker>,
    listener: ListenerId,
    state: State,
}

enum State {
    /// Between exchanges.
    Idle(Idle),
    /// Exchanges run.
    Busy(Pin<Box<dyn Future<Output = After>>>),
    /// The client speaks HTTP/2, and does so to the end.
    Http2(Pin<Box<dyn Future<Output = ()>>>),
    Ended,
}

const HSTS: &str = "Strict-Transport-Security";

/// What comes first on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// A request.
    None,
    /// A PROXY header.
    Proxy,
}

/// What becomes of a connection after exchanges.
enum After {
    /// It waits for the next.
    Idle(Idle),
    /// It speaks HTTP/2.
    Http2(h2::Opened),
    Ended,
}

/// A connection between exchanges.
pub(super) struct Idle {
    pub(super) stream: Stream,
    pub(super) peer: Peer,
    pub(super) greeting: Greeting,
    /// It has had no exchange yet.
    pub(super) is_fresh: bool,
    pub(super) timer: Timer,
    /// The process stops: this connection waits for a last request only.
    pub(super) leaving: bool,
    /// What backends are told of the certificate that the client has shown, where it is asked for one.
    pub(super) identity: Option<Rc<[u8]>>,
}

impl Connection {
    pub(crate) fn new(worker: &Rc<Worker>, stream: Stream, peer: Peer, greeting: Greeting) -> Self {
        worker.shared.workers[worker.id].connections.fetch_add(1, Ordering::Relaxed);
        worker.counters().listeners[usize::from(peer.listener.0)].open.add(1);
        let timer = worker.timers.timer();
        timer.set(Instant::now(), worker.client_timeouts(&peer).header);
        timer.waits_for(SILENT);
        let idle = Idle { stream, peer, greeting, is_fresh: true, timer, leaving: false, identity: None };
        let state = match worker.plan.listeners[usize::from(peer.listener.0)].tls {
            None => State::Idle(idle),
            Some(_) => State::Busy(Box::pin(greet(Rc::clone(worker), idle))),
        };
        Self { worker: Rc::clone(worker), listener: peer.listener, state }
    }

    /// Waits for the first bytes of a request; `None` when it is time to close. They are read before anything is made for
    /// the exchange: a new connection counts as readable until it is asked.
    fn poll_input(&self, cx: &mut Context<'_>, idle: &mut Idle) -> Poll<Option<Inbox>> {
        if self.worker.refuses(&idle.peer) {
            idle.stream.end_with_reset();
            return Poll::Ready(None);
        }
        let mut inbox = self.worker.buffers.lease(Size::Head);
        match idle.stream.poll_read(cx, inbox.room()) {
            Poll::Ready(Ok(n)) if n > 0 => {
                inbox.end = n;
                return Poll::Ready(Some(inbox));
            }
            other => {
                self.worker.buffers.give_back(&mut inbox);
                if other.is_ready() {
                    return Poll::Ready(None);
                }
            }
        }
        if self.worker.stopping.get() && !std::mem::replace(&mut idle.leaving, true) {
            idle.timer.set(Instant::now(), Some(LAST_REQUEST));
        }
        if idle.timer.poll_late(cx).is_pending() {
            return Poll::Pending;
        }
        if idle.timer.was_shed() {
            self.worker.counters().listeners[usize::from(self.listener.0)].shed.add(1);
        }
        if idle.leaving && idle.stream.is_stale() {
            // A request is here, and the runtime is yet to hear of it.
            idle.timer.set(Instant::now(), Some(LAST_LOOK));
            return idle.timer.poll_late(cx).map(|()| None);
        }
        Poll::Ready(None)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.worker.shared.workers[self.worker.id].connections.fetch_sub(1, Ordering::Relaxed);
        self.worker.counters().listeners[usize::from(self.listener.0)].open.sub(1);
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match std::mem::replace(&mut this.state, State::Ended) {
                State::Idle(mut idle) => match this.poll_input(cx, &mut idle) {
                    Poll::Ready(Some(inbox)) => {
                        this.state = State::Busy(Box::pin(busy(Rc::clone(&this.worker), idle, inbox)));
                    }
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => {
                        this.state = State::Idle(idle);
                        return Poll::Pending;
                    }
                },
                State::Busy(mut busy) => match busy.as_mut().poll(cx) {
                    Poll::Ready(After::Idle(idle)) => this.state = State::Idle(idle),
                    Poll::Ready(After::Http2(opened)) => {
                        this.state = State::Http2(Box::pin(h2::serve(Rc::clone(&this.worker), opened)));
                    }
                    Poll::Ready(After::Ended) => return Poll::Ready(()),
                    Poll::Pending => {
                        this.state = State::Busy(busy);
                        return Poll::Pending;
                    }
                },
                State::Http2(mut session) => {
                    let polled = session.as_mut().poll(cx);
                    if polled.is_pending() {
                        this.state = State::Http2(session);
                    }
                    return polled;
                }
                State::Ended => return Poll::Ready(()),
            }
        }
    }
}

/// What comes before the first request over TLS.
async fn greet(worker: Rc<Worker>, idle: Idle) -> After {
    secure::greet(worker, idle).await.map_or(After::Ended, After::Idle)
}

/// Runs exchanges while there is input.
async fn busy(worker: Rc<Worker>, idle: Idle, inbox: Inbox) -> After {
    let (worker, is_fresh) = (&worker, idle.is_fresh);
    let mut client = Client::new(worker, idle);
    client.link.mem.inbox = inbox;
    if client.greeting == Greeting::Proxy {
        client.timer.waits_for(SILENT);
        if client.read_proxy_header().await.is_none() {
            return After::Ended;
        }
        client.timer.waits_for(NO_BACKEND);
    }
    if is_fresh && client.speaks_http2().await {
        return After::Http2(client.into_opened());
    }
    loop {
        let (arrived, head) = client.read_head().await;
        let ended = match head {
            Head::Whole => {
                client.counters().requests.add(1);
                let started = Started { arrived, whole: client.whole_late.unwrap_or(arrived) };
                exchange(worker, &mut client, started).await
            }
            Head::Refused(cause) => {
                client.counters().refused.add(1);
                refuse(worker, &mut client, arrived, cause).await
            }
            Head::NotYet => return After::Idle(client.into_idle()),
            Head::End => return After::Ended,
        };
        if ended == Ended::Broken {
            client.abort();
            return After::Ended;
        }
        if !client.may_continue() {
            client.close().await;
            return After::Ended;
        }
        client.link.rest();
        if !client.link.has_input() && !client.stay_warm().await {
            return After::Idle(client.into_idle());
        }
    }
}

/// What came of waiting for a head.
enum Head {
    Whole,
    Refused(Cause),
    /// Nothing has come after all.
    NotYet,
    /// The client closed.
    End,
}

/// A client connection while exchanges run on it.
pub(crate) struct Client<'w> {
    worker: &'w Rc<Worker>,
    link: Link<'w>,
    peer: Peer,
    greeting: Greeting,
    timer: Timer,
    /// Wakes for a look at a client that has pipelined more than is read.
    look: Option<Timer>,
    request: Box<Request>,
    /// The head took more than one read; it was whole then.
    whole_late: Option<Instant>,
    keep_alive: bool,
    tunnel: bool,
    identity: Option<Rc<[u8]>>,
}

impl<'w> Client<'w> {
    fn new(worker: &'w Rc<Worker>, idle: Idle) -> Self {
        idle.timer.waits_for(NO_BACKEND);
        Self {
            worker,
            link: Link::new(idle.stream, &worker.buffers),
            peer: idle.peer,
            greeting: idle.greeting,
            timer: idle.timer,
            look: None,
            request: worker.requests.take(),
            whole_late: None,
            keep_alive: false,
            tunnel: false,
            identity: idle.identity,
        }
    }

    fn counters(&self) -> &crate::counters::ListenerCounters {
        &self.worker.counters().listeners[usize::from(self.peer.listener.0)]
    }

    /// Waits for a whole request head.
    async fn read_head(&mut self) -> (Instant, Head) {
        let arrived = Instant::now();
        self.whole_late = None;
        if !self.link.has_input() {
            match poll_fn(|cx| Poll::Ready(self.link.poll_read_more(cx, Size::Head))).await {
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return (arrived, Head::End),
                Poll::Pending => return (arrived, Head::NotYet),
            }
        }
        loop {
            if let Some(head) = self.parse_head() {
                if self.whole_late.is_some() {
                    self.timer.waits_for(NO_BACKEND);
                }
                return (arrived, head);
            }
            let due = self.worker.client_timeouts(&self.peer).header.map(|longest| arrived + longest);
            if self.whole_late.is_none() {
                self.timer.set_earlier(arrived, Some(SLOW_HEAD), due);
                self.timer.waits_for(SILENT);
            }
            match poll_fn(|cx| self.poll_more(cx)).await {
                Some(Ok(n)) if n > 0 => self.whole_late = Some(Instant::now()),
                None if self.timer.was_shed() => {
                    self.counters().shed.add(1);
                    return (arrived, Head::Refused(Cause::HeaderTimeout));
                }
                None if due.is_none_or(|due| Instant::now() + LAST_LOOK < due) => {
                    self.link.thrift();
                    self.timer.set_earlier(Instant::now(), None, due);
                }
                None => return (arrived, Head::Refused(Cause::HeaderTimeout)),
                _ => return (arrived, Head::End),
            }
        }
    }

    fn parse_head(&mut self) -> Option<Head> {
        match parse_request(self.link.head_input(), &self.worker.head_limits, &mut self.request) {
            Ok(Parsed::Complete(n)) => {
                self.link.begin_read(n, self.request.framing);
                Some(Head::Whole)
            }
            Ok(Parsed::Partial) => None,
            Err(refusal) => Some(Head::Refused(Cause::BadRequest { status: refusal.status, why: refusal.why })),
        }
    }

    /// Reads once more; `None` when that took too long.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<usize>>> {
        if let Poll::Ready(read) = self.link.poll_read_more(cx, Size::Head) {
            return Poll::Ready(Some(read));
        }
        if self.worker.refuses(&self.peer) {
            self.abort();
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        self.timer.poll_late(cx).map(|()| None)
    }

    /// Reads the PROXY header that must come first; `None` ends the connection.
    async fn read_proxy_header(&mut self) -> Option<()> {
        loop {
            match proxy::parse(self.link.head_input()) {
                Ok(Some((header, used))) => {
                    self.link.mem.inbox.start += used;
                    self.greeting = Greeting::None;
                    if let proxy::Header::Tcp { source, destination } = header {
                        become_peer(self.worker, &mut self.peer, (source, destination));
                        if self.worker.refuses(&self.peer) {
                            self.abort();
                            return None;
                        }
                    }
                    return Some(());
                }
                Ok(None) => {}
                Err(_) => break,
            }
            let more = poll_fn(|cx| match self.poll_more(cx) {
                // Whoever has said nothing yet holds up no end.
                Poll::Pending if self.worker.stopping.get() && !self.link.has_input() => Poll::Ready(None),
                more => more,
            });
            match more.await {
                Some(Ok(n)) if n > 0 => {}
                _ => break,
            }
        }
        self.counters().denied.add(1);
        None
    }

    /// Whether what comes first is the preface of HTTP/2 (RFC 9113, section 3.4): no method begins like it.
    async fn speaks_http2(&mut self) -> bool {
        loop {
            let input = self.link.head_input();
            let here = input.len().min(PREFACE_SIGN.len());
            if input[..here] != PREFACE_SIGN[..here] {
                return false;
            }
            if here == PREFACE_SIGN.len() {
                return true;
            }
            // What does not come, or too late, is found so again by whoever waits for a head.
            match poll_fn(|cx| self.poll_more(cx)).await {
                Some(Ok(n)) if n > 0 => {}
                _ => return false,
            }
        }
    }

    /// Leaves the connection to HTTP/2, with what was read of it.
    fn into_opened(mut self) -> h2::Opened {
        self.worker.requests.put(std::mem::take(&mut self.request));
        let inbox = std::mem::take(&mut self.link.mem.inbox);
        let identity = self.identity;
        h2::Opened { stream: self.link.into_stream(), peer: self.peer, timer: self.timer, identity, inbox }
    }

    /// Ready when a client has gone away that has sent more than is read: the end of its stream is behind that.
    #[cold]
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.link.stream.is_left(cx) {
            return Poll::Ready(());
        }
        let is_first = self.look.is_none();
        let look = self.look.get_or_insert_with(|| self.worker.timers.timer());
        if is_first || look.poll_late(cx).is_ready() {
            look.set(Instant::now(), Some(LOOK));
        }
        look.poll_late(cx)
    }

    /// Whether the connection can serve another request.
    fn may_continue(&self) -> bool {
        self.keep_alive && self.link.read_done() && self.link.write_done() && !self.tunnel
    }

    fn facts(&self, request_done: bool) -> encode::Client {
        let whole = request_done && self.link.read_done();
        let keep_alive = self.request.keep_alive && whole && !self.worker.stopping.get();
        encode::Client { version: self.request.version, method: self.request.method, keep_alive }
    }

    /// Has the browser come back over TLS alone, where the listener wants that: in the head that begins at `from`. A
    /// backend that says so itself may know better, for instance that its subdomains are not ready.
    #[inline(never)]
    fn add_hsts(&mut self, from: usize, head: Option<&AnswerHead<'_>>) {
        let Some(hsts) = &self.worker.plan.listeners[usize::from(self.peer.listener.0)].hsts else { return };
        let has_one = |head: &AnswerHead<'_>| {
            head.answer.fields.iter().any(|field| field.name.of(head.buf).eq_ignore_ascii_case(HSTS.as_bytes()))
        };
        if head.is_some_and(has_one) {
            return;
        }
        let out = &mut self.link.mem.out;
        let end = out[from..].windows(4).position(|window| window == b"\r\n\r\n").map_or(out.len(), |at| from + at + 2);
        let line = format!("{HSTS}: {hsts}\r\n");
        out.splice(end..end, line.bytes());
    }

    /// Ends the connection so that the client cannot take what it got for a whole answer.
    fn abort(&mut self) {
        self.link.stream.end_with_reset();
    }

    /// Ends the connection after a whole answer.
    async fn close(&mut self) {
        if self.tunnel || (self.link.read_done() && !self.link.has_input()) {
            return;
        }
        self.timer.set(Instant::now(), Some(LINGER));
        let mut dropped = 0;
        let _ = poll_fn(|cx| self.link.stream.poll_shutdown(cx)).await;
        while dropped < LINGER_BYTES {
            self.link.forget_input();
            self.link.rest();
            match poll_fn(|cx| self.poll_more(cx)).await {
                Some(Ok(n)) if n > 0 => dropped += n,
                _ => return,
            }
        }
    }

    /// Waits a little for the next request before the connection folds up: a busy client's comes soon. Whether it came.
    async fn stay_warm(&mut self) -> bool {
        let warm = &self.worker.warm;
        if warm.get() >= WARM_CONNECTIONS || self.worker.stopping.get() || self.worker.room.is_short() {
            return false;
        }
        warm.set(warm.get() + 1);
        let wait = self.worker.client_timeouts(&self.peer).keep_alive.map_or(WARM, |keep_alive| keep_alive.min(WARM));
        self.timer.set(Instant::now(), Some(wait));
        let came = poll_fn(|cx| {
            if self.link.stream.poll_readable(cx).is_ready() {
                return Poll::Ready(true);
            }
            let worker = self.worker;
            if worker.stopping.get() || worker.room.is_short() || worker.will_refuse(&self.peer) {
                return Poll::Ready(false);
            }
            self.timer.poll_late(cx).map(|()| false)
        })
        .await;
        warm.set(warm.get() - 1);
        came
    }

    /// Folds up between exchanges.
    fn into_idle(mut self) -> Idle {
        self.timer.set(Instant::now(), self.worker.client_timeouts(&self.peer).keep_alive);
        self.timer.waits_for(IDLE);
        self.worker.requests.put(std::mem::take(&mut self.request));
        Idle {
            stream: self.link.into_stream(),
            peer: self.peer,
            greeting: self.greeting,
            is_fresh: false,
            timer: self.timer,
            leaving: false,
            identity: self.identity,
        }
    }
}

/// The peer is who the PROXY header says it stands for.
pub(super) fn become_peer(worker: &Worker, peer: &mut Peer, (source, destination): (SocketAddr, SocketAddr)) {
    let listener = &worker.plan.listeners[usize::from(peer.listener.0)];
    peer.addr = source;
    peer.trusted = listener.trusted_proxies.contains(source.ip());
    peer.local_ip = destination.ip();
    peer.local_port = destination.port();
}
