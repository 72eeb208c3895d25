//! One attempt: a connection, the request out, the answer's head in.

use std::borrow::Cow;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use policy::pace;
use policy::plan::{Pool, ProxyVersion};
use policy::retry::Failure;
use policy::rewrite;
use wire::head::Framing;
use wire::proxy::Header;

use super::proxied::{NO_RULES, Proxied, Upstream};
use super::watch::{Sight, Watch, Woken};
use crate::backends::{Attempt, ConnectError};
use crate::cause::Cause;
use crate::h1::{BackendLink, HeadError, RequestHead};
use crate::report::Report;
use crate::room::Asked;
use crate::seam::{AnswerHead, Changes, Cut, Downstream, PumpError, Side, poll_pump};
use crate::stream::Stream;
use crate::timers::NO_BACKEND;

/// More interim answers than this to one request are an attack or a fault.
const INTERIM_ANSWERS: u32 = 16;

/// A connection for which the system had no more is tried again so often,
const ROOM_TRIES: u32 = 2;
/// after idle ones had so long to close.
const ROOM_PAUSE: Duration = Duration::from_millis(20);

/// Why an attempt brought no answer.
pub(super) enum Failed {
    /// Another attempt may help: what happened, and the cause to name if none is made.
    Attempt(Failure, Cause),
    /// The exchange is over.
    Exchange(Cause),
}

/// What the deadline in force is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deadline {
    /// The client's next body bytes (so many have come).
    Body(u64),
    /// The backend's taking of what we send (so much is taken).
    Backend(u64),
    FirstByte,
}

impl Deadline {
    /// What it expects of the client.
    fn of_client(self) -> Option<pace::Wait> {
        matches!(self, Self::Body(_)).then_some(pace::Wait::Body)
    }
}

/// A wait for an answer's head.
struct Wait {
    /// The backend was out when it was picked (panic): its being out is then no news.
    was_down: bool,
    deadline: Option<Deadline>,
    watch: Watch,
}

impl<'a, D: Downstream> Proxied<'a, D> {
    /// One attempt up to the head of a final answer.
    pub(super) async fn attempt(&mut self, attempt: Attempt, place: &mut Option<Upstream<'a>>) -> Result<(), Failed> {
        let (stream, reused) = self.connection(&attempt).await?;
        let up = place.insert(Upstream { attempt, link: BackendLink::new(stream, &self.worker.buffers), reused });
        self.begin_request(up).map_err(Failed::Exchange)?;
        for _ in 0..INTERIM_ANSWERS {
            if let Err(failed) = self.answer_head(up).await {
                if let Some(unsent) = up.link.unsent_body() {
                    self.feed.take_back(unsent);
                }
                return Err(failed);
            }
            if self.answer.status >= 200 || self.answer.status == 101 {
                self.facts.times.first_byte = Some(Instant::now());
                return self.check_upgrade();
            }
            self.forward_interim(up).await.map_err(Failed::Exchange)?;
        }
        Err(Failed::Attempt(Failure::Malformed, Cause::Malformed("too many interim answers")))
    }

    /// Gets a connection, idle or new. The flag says whether it was used before.
    async fn connection(&mut self, attempt: &Attempt) -> Result<(Stream, bool), Failed> {
        let is_bodiless = matches!(self.down.head().0.framing, Framing::None | Framing::Length(0));
        while let Some(stream) = attempt.reuse() {
            // What perhaps cannot be repeated must not meet a connection that the backend has just closed.
            if (self.method.is_idempotent() && is_bodiless) || !stream.is_stale() {
                return Ok((stream, true));
            }
        }
        let mut connected = self.connect(attempt).await;
        for _ in 0..ROOM_TRIES {
            if !matches!(connected, Some(Err(ConnectError::Local))) {
                break;
            }
            // What is idle goes, and then there may be room.
            self.worker.room.give_up(self.worker, Asked::ForDescriptors);
            let timer = self.down.timer();
            timer.set_earlier(Instant::now(), Some(ROOM_PAUSE), self.until);
            poll_fn(|cx| timer.poll_late(cx)).await;
            connected = self.connect(attempt).await;
        }
        let failure = match connected {
            Some(Ok(stream)) => {
                self.facts.times.connected = Some(Instant::now());
                return Ok((stream, false));
            }
            Some(Err(ConnectError::Local)) => {
                return Err(Failed::Attempt(Failure::Connect, Cause::LocalExhausted));
            }
            Some(Err(ConnectError::Unresolved)) => Cause::Unresolved,
            Some(Err(ConnectError::Failed)) => Cause::ConnectFailed,
            None if self.is_over() => return Err(Failed::Exchange(Cause::TotalTimeout)),
            None => Cause::ConnectTimeout,
        };
        self.worker.report(Report::ConnectFailed { pool: attempt.pool, backend: attempt.backend });
        Err(Failed::Attempt(Failure::Connect, failure))
    }

    /// Opens a connection; `None` when that took too long.
    async fn connect(&self, attempt: &Attempt) -> Option<Result<Stream, ConnectError>> {
        let timer = self.down.timer();
        timer.set_earlier(Instant::now(), self.target.timeouts.connect, self.until);
        // Boxed, since most exchanges need none and would carry its room about.
        let mut connecting = Box::pin(attempt.connect());
        poll_fn(|cx| match connecting.as_mut().poll(cx) {
            Poll::Ready(connected) => Poll::Ready(Some(connected)),
            Poll::Pending => timer.poll_late(cx).map(|()| None),
        })
        .await
    }

    /// Encodes the request head for this attempt.
    fn begin_request(&self, up: &mut Upstream<'_>) -> Result<(), Cause> {
        let (request, buf) = self.down.head();
        let pool = self.worker.plan.pool(self.target.pool);
        let route = self.facts.route.map(|id| self.worker.plan.route(id));
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
    async fn answer_head(&mut self, up: &mut Upstream<'_>) -> Result<(), Failed> {
        let mut wait = Wait { was_down: up.attempt.is_down(), deadline: None, watch: Watch::default() };
        self.down.timer().waits_for(up.attempt.number());
        let result = poll_fn(|cx| self.poll_answer_head(cx, up, &mut wait)).await;
        self.down.timer().waits_for(NO_BACKEND);
        result
    }

    fn poll_answer_head(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Upstream<'_>,
        wait: &mut Wait,
    ) -> Poll<Result<(), Failed>> {
        if !self.feed.done
            && let Err(cause) = self.poll_request(cx, up)
        {
            return Poll::Ready(Err(Failed::Exchange(cause)));
        }
        match up.link.poll_head(cx, &self.worker.head_limits, self.method, &mut self.answer) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(no_head(&error, &up.link))),
            Poll::Pending => {}
        }
        self.set_deadline(wait);
        while let Poll::Ready(woken) = wait.watch.poll(self.down.timer(), cx) {
            match woken {
                Woken::Due => return Poll::Ready(Err(self.late(wait))),
                Woken::Look => self.look(up, wait).map_err(Failed::Exchange)?,
            }
        }
        if self.feed.done && self.down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Failed::Exchange(Cause::ClientGone)));
        }
        if !wait.was_down && up.attempt.is_down() && self.is_better_elsewhere(up.reused) {
            return Poll::Ready(Err(Failed::Attempt(Failure::BackendDown, Cause::BackendDown)));
        }
        Poll::Pending
    }

    fn set_deadline(&self, wait: &mut Wait) {
        // A client that waits for 100 waits for the backend (RFC 9110, section 10.1.1).
        let awaits_word = !self.feed.invited && self.feed.progress.bytes == 0 && self.down.head().0.expects_continue;
        let wanted = match (self.feed.done, self.feed.progress.waits_for) {
            (true, _) => Deadline::FirstByte,
            (false, Side::Source) if awaits_word => Deadline::FirstByte,
            (false, Side::Source) => Deadline::Body(self.feed.progress.bytes),
            (false, Side::Sink) => Deadline::Backend(self.feed.progress.bytes),
        };
        if wait.deadline.replace(wanted) == Some(wanted) {
            return;
        }
        let longest = match wanted {
            Deadline::FirstByte => self.target.timeouts.first_byte,
            Deadline::Body(_) => self.worker.client_timeouts(self.down.peer()).body,
            Deadline::Backend(_) => self.target.timeouts.idle,
        };
        wait.watch.pace.waits_for(wanted.of_client());
        wait.watch.stepped(self.down.timer(), longest, self.until);
    }

    /// Looks at those who keep us waiting: gives back what they would pin, and judges the client's pace.
    #[cold]
    fn look(&mut self, up: &mut Upstream<'_>, wait: &mut Wait) -> Result<(), Cause> {
        let moved = self.feed.progress.bytes;
        let client = wait.deadline.and_then(Deadline::of_client);
        let seen = wait.watch.look(self.worker, self.down, &Sight { wait: client, moved });
        if seen.is_slow {
            self.down.thrift();
            up.link.thrift();
        }
        seen.cause.map_or(Ok(()), Err)
    }

    fn late(&self, wait: &Wait) -> Failed {
        match wait.deadline {
            _ if self.is_over() => Failed::Exchange(Cause::TotalTimeout),
            Some(Deadline::Body(_)) => Failed::Exchange(Cause::BodyTimeout),
            _ => Failed::Attempt(Failure::FirstByteTimeout, Cause::FirstByteTimeout),
        }
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
                Ok(())
            }
            Poll::Ready(Err(PumpError::Source(cut))) => Err(request_cut(&cut)),
        }
    }

    /// A backend may switch protocols only when the client asked for it (RFC 9110, section 7.8).
    fn check_upgrade(&self) -> Result<(), Failed> {
        let asked = !self.down.head().0.upgrade.is_empty();
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
        self.down.timer().set(Instant::now(), self.worker.client_timeouts(self.down.peer()).body);
        let sent = poll_fn(|cx| match self.down.poll_flush(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(|_| Cause::ClientGone)),
            Poll::Pending => self.down.timer().poll_late(cx).map(|()| Err(Cause::ClientStalled)),
        });
        sent.await?;
        up.link.forget_head();
        Ok(())
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

fn request_cut(cut: &Cut) -> Cause {
    match cut {
        Cut::Early | Cut::Broken => Cause::ClientGone,
        Cut::Malformed(why) => Cause::BadRequest { status: 400, why },
        Cut::TooLarge => Cause::BodyTooLarge,
    }
}

fn no_head(error: &HeadError, link: &BackendLink<'_>) -> Failed {
    match error {
        HeadError::Malformed(why) => Failed::Attempt(Failure::Malformed, Cause::Malformed(why)),
        HeadError::Closed if link.wrote_nothing() => Failed::Attempt(Failure::NothingWritten, Cause::Reset),
        HeadError::Closed | HeadError::Early => Failed::Attempt(Failure::Reset, Cause::Reset),
    }
}
