//! One attempt: a connection, the request out, the answer's head in.

use std::borrow::Cow;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use policy::plan::{Pool, ProxyVersion};
use policy::retry::{self, Failure};
use policy::rewrite;
use wire::head::Framing;
use wire::proxy::Header;

use super::proxied::{NO_RULES, Proxied, Upstream};
use super::wait::Wait;
use crate::backends::Attempt;
use crate::cause::Cause;
use crate::clock::Instant;
use crate::connect::ConnectError;
use crate::h1::{HeadError, RequestHead};
use crate::h2::{is_proved, is_websocket};
use crate::report::Report;
use crate::room::Asked;
use crate::seam::{AnswerHead, Changes, Cut, Downstream, PumpError, poll_pump};
use crate::timers::NO_BACKEND;
use crate::upstream::{BackendLink, Carrier};

/// More interim answers than this to one request are an attack or a fault.
pub(super) const INTERIM_ANSWERS: u32 = 16;

/// A connection for which the system had no more is tried again so often,
const ROOM_TRIES: u32 = 2;
/// after idle ones had so long to close.
const ROOM_PAUSE: Duration = Duration::from_millis(20);

/// Why an attempt brought no answer.
pub(super) enum Failed {
    /// Another attempt may help: what happened, and the cause to name if none is made.
    Attempt(Failure, Cause),
    /// As `Attempt`, and another attempt has been granted already.
    Granted(Failure, Cause),
    /// The exchange is over.
    Exchange(Cause),
}

impl<'a, D: Downstream> Proxied<'a, D> {
    /// One attempt up to the head of a final answer. A kept connection that proves stale is replaced by a fresh one.
    pub(super) async fn attempt(&mut self, attempt: Attempt, place: &mut Option<Upstream<'a>>) -> Result<(), Failed> {
        let mut attempt = attempt;
        let mut kept = self.kept_connection(&attempt);
        loop {
            let (stream, reused) = match kept.take() {
                Some(stream) => (stream, true),
                None => self.connect(&attempt).await?,
            };
            let up = place.insert(Upstream { attempt, link: BackendLink::new(stream, &self.worker.buffers), reused });
            let failed = match self.answered(up).await {
                Err(Failed::Attempt(failure, cause))
                    if retry::is_stale(&self.attempted(failure, up.reused), failure) =>
                {
                    Failed::Attempt(failure, cause)
                }
                answered => return answered,
            };
            let Some(stale) = place.take() else { return Err(failed) };
            attempt = stale.attempt;
            self.feed.rewind();
        }
    }

    /// Asks over a connection, up to the head of a final answer.
    async fn answered(&mut self, up: &mut Upstream<'a>) -> Result<(), Failed> {
        self.begin_request(up).map_err(Failed::Exchange)?;
        let mut wait = self.new_wait();
        self.plan_hedge(&mut wait);
        for _ in 0..INTERIM_ANSWERS + 1 {
            if let Err(failed) = self.answer_head(up, &mut wait).await {
                if let Some(unsent) = up.link.unsent_body() {
                    self.feed.take_back(&unsent);
                }
                return Err(failed);
            }
            up.reused = false;
            if self.answer.status >= 200 || self.answer.status == 101 {
                self.end_second(&mut wait);
                self.facts.times.first_byte = Some(Instant::now());
                return self.check_upgrade(up);
            }
            self.forward_interim(up).await.map_err(Failed::Exchange)?;
        }
        Err(Failed::Attempt(Failure::Malformed, Cause::Malformed("too many interim answers")))
    }

    /// An idle connection, if there is one that still lives.
    // Within the wait for a first attempt, although a second one needs it as well.
    #[inline(always)]
    pub(super) fn kept_connection(&self, attempt: &Attempt) -> Option<Carrier> {
        let is_bodiless = matches!(self.down.head().0.framing, Framing::None | Framing::Length(0));
        while let Some(stream) = attempt.reuse() {
            // What perhaps cannot be repeated must not meet a connection that the backend has just closed.
            if (self.method.is_idempotent() && is_bodiless) || !stream.is_stale() {
                return Some(stream);
            }
        }
        None
    }

    /// A fresh connection, or one that was given back meanwhile and whether it is such a one.
    async fn connect(&mut self, attempt: &Attempt) -> Result<(Carrier, bool), Failed> {
        let mut connected = self.connected(attempt).await;
        for _ in 0..ROOM_TRIES {
            if !matches!(connected, Ok(Err(ConnectError::Local))) {
                break;
            }
            // What is idle goes, and then there may be room.
            self.worker.room.give_up(self.worker, Asked::ForDescriptors);
            let timer = self.down.timer();
            timer.set_earlier(Instant::now(), Some(ROOM_PAUSE), self.until);
            poll_fn(|cx| timer.poll_late(cx)).await;
            connected = self.connected(attempt).await;
        }
        match connected {
            Ok(Ok(connection)) => {
                self.facts.times.connected = Some(Instant::now());
                Ok(connection)
            }
            Ok(Err(error)) => Err(self.unconnected(attempt, error.cause())),
            Err(Failed::Attempt(_, cause)) => Err(self.unconnected(attempt, cause)),
            Err(Failed::Granted(failure, cause)) if cause != Cause::BackendDown => {
                self.unconnected(attempt, cause);
                Err(Failed::Granted(failure, cause))
            }
            Err(over) => Err(over),
        }
    }

    /// A connection could not be made: the backend deserves a probe, unless it is we who lack something.
    pub(super) fn unconnected(&self, attempt: &Attempt, cause: Cause) -> Failed {
        if cause != Cause::LocalExhausted {
            self.worker.report(Report::ConnectFailed { pool: attempt.pool, backend: attempt.backend });
        }
        Failed::Attempt(Failure::Connect, cause)
    }

    /// Connects once.
    async fn connected(&mut self, attempt: &Attempt) -> Result<Result<(Carrier, bool), ConnectError>, Failed> {
        let mut wait = self.new_wait();
        self.begin_connecting(&mut wait);
        // Boxed, since most exchanges need none and would carry its room about.
        let mut connecting = Box::pin(attempt.connect());
        let was_down = attempt.is_down();
        self.down.timer().waits_for(attempt.number());
        let connected = poll_fn(|cx| match connecting.as_mut().poll(cx) {
            Poll::Ready(connected) => Poll::Ready(Ok(connected)),
            Poll::Pending if attempt.is_down() && self.is_granted_elsewhere(Failure::Connect, was_down) => {
                Poll::Ready(Err(Failed::Granted(Failure::Connect, Cause::BackendDown)))
            }
            Poll::Pending => self.poll_late(cx, &mut wait).map(Err),
        });
        let connected = connected.await;
        self.down.timer().waits_for(NO_BACKEND);
        connected
    }

    /// Encodes the request head for this attempt.
    // Within the wait for a first attempt, although a second one needs it as well.
    #[inline(always)]
    pub(super) fn begin_request(&self, up: &mut Upstream<'_>) -> Result<(), Cause> {
        let (request, buf) = self.down.head();
        let pool = self.worker.plan.pool(self.target.pool);
        let route = self.facts.route.map(|id| self.worker.plan.route(id));
        if !request.upgrade.is_empty() && is_websocket(request, buf) && !up.link.takes_websocket() {
            return Err(Cause::NoWebSocket);
        }
        if let Some(version) = pool.send_proxy {
            up.link.put_first(|out| self.put_proxy_header(out, version));
        }
        let mut path = Vec::new();
        if let Some(rule) = route.and_then(|route| route.rewrite.as_ref()) {
            rewrite::apply(rule, request.path(buf), self.facts.rest_at, &mut path).map_err(|_| Cause::BadRewrite)?;
        }
        let rules = route.map_or(&NO_RULES, |route| &route.request_headers);
        let lines = super::answer::render_rules(self.down, self.facts, rules);
        up.link.begin(&RequestHead {
            request,
            buf,
            peer: self.down.peer(),
            path: if path.is_empty() { request.path(buf) } else { &path },
            host: &host(pool, &up.attempt, request.authority.of(buf)),
            request_id: self.facts.request_id.made(),
            forwarded: pool.forwarded,
            length: self.feed.whole,
            deadline: self.deadline_left(),
            identity: self.worker.identity(self.down),
            changes: Changes { rules, lines: &lines },
        });
        Ok(())
    }

    fn put_proxy_header(&self, out: &mut Vec<u8>, version: ProxyVersion) {
        let peer = self.down.peer();
        let port = if self.facts.client == peer.ip() { peer.addr.port() } else { 0 };
        let source = SocketAddr::new(self.facts.client, port);
        let header = Header::Tcp { source, destination: SocketAddr::new(peer.local_ip, peer.local_port) };
        match version {
            ProxyVersion::V1 => wire::proxy::encode_v1(out, &header),
            ProxyVersion::V2 => wire::proxy::encode_v2(out, &header),
        }
    }

    /// Sends the request (its head is already in the link) and waits for an answer head.
    async fn answer_head(&mut self, up: &mut Upstream<'a>, wait: &mut Wait<'a>) -> Result<(), Failed> {
        wait.begin(up.attempt.is_down());
        self.down.timer().waits_for(up.attempt.number());
        let result = poll_fn(|cx| self.poll_answer_head(cx, up, wait)).await;
        self.down.timer().waits_for(NO_BACKEND);
        result
    }

    fn poll_answer_head(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Upstream<'a>,
        wait: &mut Wait<'a>,
    ) -> Poll<Result<(), Failed>> {
        if wait.first_is_over {
            if let Poll::Ready(late) = self.poll_late(cx, wait) {
                return Poll::Ready(Err(late));
            }
            if self.down.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Failed::Exchange(Cause::ClientGone)));
            }
            return self.poll_second(cx, up, wait);
        }
        match self.poll_first(cx, up, wait) {
            Poll::Ready(Err(Failed::Attempt(failure, cause))) if wait.rival.is_some() => {
                self.leave_first(up, wait, Some((failure, cause)));
            }
            Poll::Ready(Ok(())) if wait.rival.is_some() && self.has_failing_status() => {
                self.leave_first(up, wait, None);
            }
            Poll::Pending => {}
            ready => return ready,
        }
        self.poll_second(cx, up, wait)
    }

    fn has_failing_status(&self) -> bool {
        self.target.retry.statuses.contains(&self.answer.status)
    }

    fn poll_first(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Upstream<'a>,
        wait: &mut Wait<'a>,
    ) -> Poll<Result<(), Failed>> {
        if !self.feed.done
            && let Err(cause) = self.poll_request(cx, up)
        {
            return Poll::Ready(Err(Failed::Exchange(cause)));
        }
        match up.link.poll_head(cx, &self.worker.head_limits, self.method, &mut self.answer) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => {
                up.reused &= matches!(error, HeadError::Closed);
                return Poll::Ready(Err(no_head(&error, &up.link)));
            }
            Poll::Pending => {}
        }
        self.set_deadline(wait);
        if let Poll::Ready(late) = self.poll_watched(cx, up, wait) {
            return Poll::Ready(Err(late));
        }
        if self.down.has_left() || (self.feed.done && self.down.poll_gone(cx).is_ready()) {
            return Poll::Ready(Err(Failed::Exchange(Cause::ClientGone)));
        }
        if up.attempt.is_down() {
            let (failure, cause) = (Failure::BackendDown, Cause::BackendDown);
            if wait.rival.is_some() && !wait.was_down {
                return Poll::Ready(Err(Failed::Attempt(failure, cause)));
            }
            if self.is_granted_elsewhere(failure, wait.was_down) {
                return Poll::Ready(Err(Failed::Granted(failure, cause)));
            }
        }
        Poll::Pending
    }

    /// Moves the request body on. A backend that stops reading may still answer, so its error is kept, not returned.
    pub(super) fn poll_request(&mut self, cx: &mut Context<'_>, up: &mut Upstream<'_>) -> Result<(), Cause> {
        let mut progress = self.feed.progress;
        let pumped = poll_pump(cx, &mut self.feed.of(self.down), &mut up.link, &mut progress);
        self.feed.progress = progress;
        self.feed.done = pumped.is_ready();
        match pumped {
            Poll::Pending | Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(PumpError::Sink)) => {
                up.link.writing_failed();
                self.feed.is_cut = true;
                Ok(())
            }
            Poll::Ready(Err(PumpError::Source(cut))) => Err(request_cut(&cut)),
        }
    }

    /// A backend may switch protocols only when the client asked for it (RFC 9110, section 7.8).
    fn check_upgrade(&self, up: &Upstream<'_>) -> Result<(), Failed> {
        let asked = !self.down.head().0.upgrade.is_empty();
        if self.answer.status == 101 && asked && !is_proved(self.down.head(), (&self.answer, up.link.head_buf())) {
            return Err(Failed::Attempt(
                Failure::Malformed,
                Cause::Malformed("101 without the right Sec-WebSocket-Accept"),
            ));
        }
        if self.answer.status == 101 && (!asked || self.answer.upgrade.is_empty()) {
            return Err(Failed::Attempt(Failure::Malformed, Cause::Malformed("101 without being asked")));
        }
        Ok(())
    }

    /// Whoever waits for 100 must get it before the backend goes on.
    async fn forward_interim(&mut self, up: &mut Upstream<'_>) -> Result<(), Cause> {
        let changes = Changes { rules: &NO_RULES, lines: &[] };
        if self.answer.status == 100 && std::mem::replace(&mut self.feed.invited, true) {
            // An earlier attempt has brought the client its 100.
            up.link.forget_head();
            return Ok(());
        }
        self.feed.invited |= self.answer.status == 100;
        self.down.interim(&AnswerHead { answer: &self.answer, buf: up.link.head_buf(), changes, request_done: false });
        self.flush_interim().await?;
        up.link.forget_head();
        Ok(())
    }

    pub(super) async fn flush_interim(&mut self) -> Result<(), Cause> {
        self.down.timer().set(Instant::now(), self.worker.client_timeouts(self.down.peer()).body);
        let sent = poll_fn(|cx| match self.down.poll_flush(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(|_| Cause::ClientGone)),
            Poll::Pending => self.down.timer().poll_late(cx).map(|()| Err(Cause::ClientStalled)),
        });
        sent.await
    }
}

/// The `Host` that the backend sees. HTTP/1.0 requests may come without; HTTP/1.1 backends want one.
fn host<'p>(pool: &'p Pool, attempt: &Attempt, authority: &'p [u8]) -> Cow<'p, [u8]> {
    match &pool.host {
        Some(host) => host.as_bytes().into(),
        None if authority.is_empty() => pool.backends[attempt.backend].address.to_string().into_bytes().into(),
        None => authority.into(),
    }
}

pub(super) fn request_cut(cut: &Cut) -> Cause {
    match cut {
        Cut::Early | Cut::Broken => Cause::ClientGone,
        Cut::Malformed(why) => Cause::BadRequest { status: 400, why },
        Cut::TooLarge => Cause::BodyTooLarge,
    }
}

pub(super) fn no_head(error: &HeadError, link: &BackendLink<'_>) -> Failed {
    match error {
        HeadError::Malformed(why) => Failed::Attempt(Failure::Malformed, Cause::Malformed(why)),
        HeadError::Closed if link.wrote_nothing() => Failed::Attempt(Failure::NothingWritten, Cause::Reset),
        HeadError::Closed | HeadError::Early => Failed::Attempt(Failure::Reset, Cause::Reset),
    }
}
