//! What comes before the first request of a connection over TLS: perhaps a PROXY header, then the handshake.
//!
//! Owns the order of it, how long it may take and what is said to those who speak something else.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use rustls::HandshakeKind;
use wire::proxy;

use super::client::{Greeting, Idle, become_peer};
use crate::clock::Instant;
use crate::counters::ListenerCounters;
use crate::seam::Peer;
use crate::stream::Stream;
use crate::timers::Timer;
use crate::tls::{self, Server, Stage, Step, poll_gather};
use crate::worker::Worker;

/// While others wait for a place, nobody takes longer than this.
const UNHURRIED: Duration = Duration::from_secs(2);
/// How often it is asked whether others wait.
const LOOK: Duration = Duration::from_secs(1);
/// How long who spoke plain text gets for reading why that was wrong.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;
/// The first byte of a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// The answer to HTTP in plain text.
const SPEAK_TLS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                         Content-Length: 69\r\nConnection: close\r\n\r\n\
                         400 Bad Request\nThis port speaks HTTPS: ask again with https:// here\n";

/// Why there is no connection.
enum End {
    /// Nobody has said anything, or the process or an operator ends it.
    Gone,
    /// It took too long.
    Late,
    /// Too many wait for a place.
    Full,
    /// It began with plain HTTP.
    PlainHttp,
    /// It is no handshake, or it failed.
    Failed,
    /// No PROXY header, where one must be.
    Denied,
}

/// The connection before its first request.
struct Greeted<'w> {
    worker: &'w Rc<Worker>,
    stream: Stream,
    peer: Peer,
    timer: Timer,
    began: Instant,
    due: Option<Instant>,
}

/// Everything before the first request; `None` when there will be none.
pub(super) async fn greet(worker: Rc<Worker>, idle: Idle) -> Option<Idle> {
    let began = Instant::now();
    let tls = worker.plan.listeners[usize::from(idle.peer.listener.0)].tls.as_ref()?;
    let due = tls.handshake_timeout.map(|longest| began + longest);
    let Idle { stream, peer, greeting, timer, .. } = idle;
    let mut greeted = Greeted { worker: &worker, stream, peer, timer, began, due };
    let stage = match greeted.shake(greeting).await {
        Ok(stage) => stage,
        Err(end) => {
            greeted.part(end).await;
            return None;
        }
    };
    let Greeted { stream, mut peer, timer, .. } = greeted;
    peer.secure = true;
    let counters = &worker.counters().listeners[usize::from(peer.listener.0)];
    counters.handshakes.add(1);
    let agreed = stage.agreed();
    counters.resumed.add(u64::from(agreed.handshake_kind() == Some(HandshakeKind::Resumed)));
    let shown = agreed.peer_certificates().and_then(|chain| chain.first());
    let identity = tls.client.as_ref().map(|asked| tls::identity_lines(asked, shown));
    let stream = Stream::Tls(Box::new(stage.finish(stream).ok()?));
    timer.set(Instant::now(), worker.client_timeouts(&peer).header);
    Some(Idle { stream, peer, greeting: Greeting::None, is_fresh: true, timer, leaving: false, identity })
}

impl Greeted<'_> {
    fn counters(&self) -> &ListenerCounters {
        &self.worker.counters().listeners[usize::from(self.peer.listener.0)]
    }

    /// The handshake, to its end.
    async fn shake(&mut self, greeting: Greeting) -> Result<Stage<Server>, End> {
        let mut incoming = Vec::new();
        if greeting == Greeting::Proxy {
            self.read_proxy_header(&mut incoming).await?;
        }
        if incoming.is_empty() {
            self.receive(&mut incoming).await?;
        }
        match incoming.first() {
            Some(&HANDSHAKE) => {}
            Some(b'A'..=b'Z') => return Err(End::PlainHttp),
            _ => return Err(End::Failed),
        }
        let worker = self.worker;
        // Kept to the end: what a handshake holds is bounded by the number of places.
        let _place = self.within(worker.line.place()).await?.ok_or(End::Full)?;
        let front = worker.shared.tls.front(usize::from(self.peer.listener.0)).ok_or(End::Failed)?;
        let mut stage = front.begin(incoming).ok_or(End::Failed)?;
        loop {
            self.within(worker.line.step()).await?;
            let step = stage.step();
            let sent = self.send(&mut stage).await;
            match step.map_err(|_| End::Failed)? {
                Step::Done => return sent.map(|()| stage),
                Step::Wants => sent?,
            }
            let received = self.within_poll(|stream, cx| stage.poll_receive(cx, stream)).await?;
            received.ok().filter(|n| *n > 0).ok_or(End::Failed)?;
        }
    }

    async fn send(&mut self, stage: &mut Stage<Server>) -> Result<(), End> {
        self.within_poll(|stream, cx| stage.poll_send(cx, stream)).await?.map_err(|_| End::Failed)
    }

    /// Reads once; who ends it before having said anything is nobody to be told of.
    async fn receive(&mut self, incoming: &mut Vec<u8>) -> Result<(), End> {
        match self.within_poll(|stream, cx| poll_gather(cx, stream, incoming)).await? {
            Ok(n) if n > 0 => Ok(()),
            _ if incoming.is_empty() => Err(End::Gone),
            _ => Err(End::Failed),
        }
    }

    async fn read_proxy_header(&mut self, incoming: &mut Vec<u8>) -> Result<(), End> {
        loop {
            match proxy::parse(incoming) {
                Ok(Some((header, used))) => {
                    incoming.drain(..used);
                    if let proxy::Header::Tcp { source, destination } = header {
                        become_peer(self.worker, &mut self.peer, (source, destination));
                        if self.worker.refuses(&self.peer) {
                            self.stream.end_with_reset();
                            return Err(End::Gone);
                        }
                    }
                    return Ok(());
                }
                Ok(None) => {}
                Err(_) => return Err(End::Denied),
            }
            self.receive(incoming).await.map_err(|_| End::Denied)?;
        }
    }

    /// Waits for something of this worker.
    async fn within<T>(&mut self, waited: impl Future<Output = T>) -> Result<T, End> {
        let mut waited = pin!(waited);
        self.within_poll(|_, cx| waited.as_mut().poll(cx)).await
    }

    /// Waits, but no longer than this client may take.
    async fn within_poll<T>(
        &mut self,
        mut poll: impl FnMut(&mut Stream, &mut std::task::Context<'_>) -> Poll<T>,
    ) -> Result<T, End> {
        let mut is_set = false;
        poll_fn(|cx| {
            if let Poll::Ready(done) = poll(&mut self.stream, cx) {
                return Poll::Ready(Ok(done));
            }
            if self.worker.refuses(&self.peer) {
                self.stream.end_with_reset();
                return Poll::Ready(Err(End::Gone));
            }
            if self.timer.was_shed() {
                self.counters().shed.add(1);
                return Poll::Ready(Err(End::Gone));
            }
            if self.worker.stopping.get() {
                return Poll::Ready(Err(End::Gone));
            }
            if !std::mem::replace(&mut is_set, true) {
                self.timer.set_earlier(Instant::now(), Some(LOOK), self.due);
            }
            while self.timer.poll_late(cx).is_ready() {
                let now = Instant::now();
                let is_hurried =
                    self.worker.line.has_waiting() && now.saturating_duration_since(self.began) > UNHURRIED;
                if is_hurried || self.due.is_some_and(|due| due <= now + LOOK / 100) {
                    return Poll::Ready(Err(End::Late));
                }
                self.timer.set_earlier(now, Some(LOOK), self.due);
            }
            Poll::Pending
        })
        .await
    }

    /// Counts why there is no connection, and says so where that helps.
    async fn part(&mut self, end: End) {
        match end {
            End::Gone => {}
            End::Late => self.counters().handshake_timeouts.add(1),
            End::Full => self.counters().handshakes_refused.add(1),
            End::Failed => self.counters().handshake_failures.add(1),
            End::Denied => self.counters().denied.add(1),
            End::PlainHttp => {
                self.counters().plain_requests.add(1);
                self.due = Some(Instant::now() + LINGER);
                // Whoever does not take it has been told as well as can be.
                let _ = self.say_to_speak_tls().await;
            }
        }
    }

    async fn say_to_speak_tls(&mut self) -> Result<(), End> {
        let mut sent = 0;
        let said = self.within_poll(|stream, cx| {
            while sent < SPEAK_TLS.len() {
                match stream.poll_write(cx, &SPEAK_TLS.as_bytes()[sent..]) {
                    Poll::Ready(Ok(n)) if n > 0 => sent += n,
                    Poll::Ready(Ok(_)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            stream.poll_shutdown(cx)
        });
        said.await?.map_err(|_| End::Failed)?;
        // What is unread would make a reset of the end, and the answer is lost then (RFC 9112, section 9.6).
        let mut dropped = Vec::new();
        while dropped.len() < LINGER_BYTES {
            self.receive(&mut dropped).await?;
        }
        Ok(())
    }
}
