//! Proxying: attempts until one brings an answer, then the answer to its end.

use std::borrow::Cow;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use policy::plan::{HeaderRules, Pool, ProxyVersion, RouteId, Target};
use policy::retry::{self, Attempted, Failure, Verdict};
use policy::rewrite;
use wire::head::Answer;
use wire::proxy::Header;

use super::attempt::{Failed, Tools, answer_head, connection, poll_request};
use super::facts::Facts;
use super::feed::Feed;
use crate::backends::{Attempt, Wish};
use crate::cause::Cause;
use crate::h1::{BackendLink, RequestHead};
use crate::seam::{AnswerHead, Changes, Downstream, Progress, PumpError, Side, poll_pump};
use crate::worker::Worker;

/// More interim answers than this to one request are an attack or a fault.
const INTERIM_ANSWERS: u32 = 16;

static NO_RULES: HeaderRules = HeaderRules { set: Vec::new(), add: Vec::new(), remove: Vec::new() };

/// The attempt under way, in the place where it stays: futures that move it about would copy it.
#[derive(Default)]
struct Under<'w> {
    attempt: Option<Attempt>,
    link: Option<BackendLink<'w>>,
}

/// Proxies the exchange to a pool.
pub(super) async fn proxy<D: Downstream>(
    worker: &Rc<Worker>,
    down: &mut D,
    facts: &mut Facts,
    target: &Target,
) -> Result<(), Cause> {
    let method = down.head().0.method;
    let until = target.timeouts.total.map(|total| facts.times.started + total);
    let tools = Tools { worker, target, until, idempotent: method.is_idempotent(), method };
    let keeps = tools.idempotent && target.retry.tries > 1;
    let mut feed = Feed::new(if keeps { target.retry.body_buffer } else { 0 });
    let mut answer = worker.lease_answer();
    facts.pool = Some(target.pool);
    worker.pool(target.pool).budget.borrow_mut().on_request(worker.now_ms(facts.times.started));
    let mut under = Under::default();
    let mut outcome = attempts(&tools, (down, &mut feed), facts, (&mut under, &mut answer)).await;
    if let (Ok(()), Some(attempt), Some(link)) = (outcome, &under.attempt, &mut under.link) {
        outcome = relay_answer(&tools, (down, &mut feed), facts, (attempt, link, &answer)).await;
        let reusable = outcome.is_ok() && answer.keep_alive && feed.done && link.is_reusable();
        if let Some(link) = under.link.take().filter(|_| reusable) {
            attempt.give_back(link.into_stream(), facts.times.first_byte.unwrap_or(facts.times.started));
        }
    }
    worker.give_back_answer(answer);
    facts.request_bytes = feed.progress.bytes;
    outcome
}

/// Attempts until one brings an answer that is to be forwarded.
async fn attempts<'w, D: Downstream>(
    tools: &Tools<'w>,
    (down, feed): (&mut D, &mut Feed),
    facts: &mut Facts,
    (under, answer): (&mut Under<'w>, &mut Answer),
) -> Result<(), Cause> {
    loop {
        under.link = None;
        under.attempt = None;
        let wish = Wish { client: facts.client, tried: facts.tried.list() };
        let attempt = Attempt::begin(tools.worker, tools.target.pool, &wish).ok_or(Cause::NoBackend)?;
        facts.times.attempted = Some(if facts.attempts == 0 { facts.times.started } else { Instant::now() });
        facts.attempts += 1;
        facts.backend = Some(attempt.backend);
        facts.tried.push(attempt.backend);
        if facts.attempts > 1 {
            attempt.counters().retries.add(1);
        }
        let attempt = under.attempt.insert(attempt);
        let mut reused = false;
        let tried = once(tools, (down, feed), facts, (attempt, &mut under.link, answer, &mut reused)).await;
        let (failure, cause) = match tried {
            Ok(()) if !is_repeatable(tools, facts, answer.status) => return Ok(()),
            Ok(()) => {
                if again(tools, feed, facts, (Failure::Status(answer.status), Cause::Reset, reused)).is_err() {
                    return Ok(());
                }
                attempt.counters().failures.add(1);
                continue;
            }
            Err(Failed::Exchange(cause)) => return Err(cause),
            Err(Failed::Attempt(failure, cause)) => (failure, cause),
        };
        attempt.counters().failures.add(1);
        again(tools, feed, facts, (failure, cause, reused))?;
    }
}

/// Whether the status is one to try again elsewhere; a pool without another backend would give it once more.
fn is_repeatable(tools: &Tools<'_>, facts: &Facts, status: u16) -> bool {
    let others = tools.worker.plan.pool(tools.target.pool).backends.len() > facts.tried.list().len();
    tools.idempotent && others && tools.target.retry.statuses.contains(&status)
}

/// Asks whether there is another attempt.
fn again(
    tools: &Tools<'_>,
    feed: &mut Feed,
    facts: &Facts,
    (failure, cause, reused): (Failure, Cause, bool),
) -> Result<(), Cause> {
    let attempted = Attempted {
        idempotent: tools.idempotent,
        replayable: feed.is_replayable(),
        reused,
        tries_done: facts.attempts,
    };
    let budget = &mut *tools.worker.pool(tools.target.pool).budget.borrow_mut();
    let now_ms = tools.worker.now_ms(Instant::now());
    match retry::decide(&tools.target.retry, &attempted, failure, budget, now_ms) {
        Verdict::Again { .. } => {
            feed.rewind();
            Ok(())
        }
        Verdict::GiveUp => Err(cause),
    }
}

/// One attempt up to the head of a final answer.
async fn once<'w, D: Downstream>(
    tools: &Tools<'w>,
    (down, feed): (&mut D, &mut Feed),
    facts: &mut Facts,
    (attempt, link, answer, reused): (&Attempt, &mut Option<BackendLink<'w>>, &mut Answer, &mut bool),
) -> Result<(), Failed> {
    let (stream, was_used) = connection(tools, down, attempt).await?;
    *reused = was_used;
    if !was_used {
        facts.times.connected = Some(Instant::now());
    }
    let link = link.insert(BackendLink::new(stream, &tools.worker.buffers));
    begin_request(tools.worker, down, facts, (attempt, link)).map_err(Failed::Exchange)?;
    for _ in 0..INTERIM_ANSWERS {
        let answered = answer_head(tools, (down, feed), (attempt, link), answer).await;
        if let Err(failed) = answered {
            if let Some(unsent) = link.unsent_body() {
                feed.take_back(unsent);
            }
            return Err(failed);
        }
        if answer.status >= 200 || answer.status == 101 {
            facts.times.first_byte = Some(Instant::now());
            return check_upgrade(answer, down);
        }
        let head = AnswerHead { answer, buf: link.head_buf(), changes: none(), request_done: false };
        down.interim(&head);
        flush_interim(tools.worker, down).await.map_err(Failed::Exchange)?;
        link.forget_head();
    }
    Err(Failed::Attempt(Failure::Malformed, Cause::Malformed("too many interim answers")))
}

/// Whoever waits for 100 must get it before the backend goes on.
async fn flush_interim<D: Downstream>(worker: &Worker, down: &mut D) -> Result<(), Cause> {
    down.timer().set(Instant::now(), worker.client_timeouts(down.peer()).body);
    poll_fn(|cx| match down.poll_flush(cx) {
        Poll::Ready(sent) => Poll::Ready(sent.map_err(|_| Cause::ClientGone)),
        Poll::Pending => down.timer().poll_late(cx).map(|()| Err(Cause::ClientStalled)),
    })
    .await
}

/// A backend may switch protocols only when the client asked for it (RFC 9110, section 7.8).
fn check_upgrade<D: Downstream>(answer: &Answer, down: &D) -> Result<(), Failed> {
    if answer.status == 101 && (down.head().0.upgrade.is_empty() || answer.upgrade.is_empty()) {
        return Err(Failed::Attempt(Failure::Malformed, Cause::Malformed("101 without being asked")));
    }
    Ok(())
}

fn none() -> Changes<'static> {
    Changes { rules: &NO_RULES, lines: &[] }
}

/// Encodes the request head for this attempt.
fn begin_request<D: Downstream>(
    worker: &Worker,
    down: &D,
    facts: &Facts,
    (attempt, link): (&Attempt, &mut BackendLink<'_>),
) -> Result<(), Cause> {
    let (request, buf) = down.head();
    let pool = worker.plan.pool(attempt.pool);
    let route = facts.route.map(|id| worker.plan.route(id));
    if let Some(version) = pool.send_proxy {
        link.put_first(|out| put_proxy_header(out, version, facts, down));
    }
    let mut path = Vec::new();
    if let Some(rule) = route.and_then(|route| route.rewrite.as_ref()) {
        rewrite::apply(rule, request.path(buf), facts.rest_at, &mut path).map_err(|_| Cause::BadRewrite)?;
    }
    let rules = route.map_or(&NO_RULES, |route| &route.request_headers);
    let lines = super::answer::render_rules(down, facts, rules);
    link.begin(&RequestHead {
        request,
        buf,
        peer: down.peer(),
        path: if path.is_empty() { request.path(buf) } else { &path },
        host: &host(pool, attempt, request.authority.of(buf)),
        request_id: facts.request_id.made(),
        forwarded: pool.forwarded,
        changes: Changes { rules, lines: &lines },
    });
    Ok(())
}

/// The `Host` that the backend sees. HTTP/1.0 requests may come without; HTTP/1.1 backends want one.
fn host<'a>(pool: &'a Pool, attempt: &Attempt, authority: &'a [u8]) -> Cow<'a, [u8]> {
    match &pool.host {
        Some(host) => host.as_bytes().into(),
        None if authority.is_empty() => pool.backends[attempt.backend].address.to_string().into_bytes().into(),
        None => authority.into(),
    }
}

fn put_proxy_header<D: Downstream>(out: &mut Vec<u8>, version: ProxyVersion, facts: &Facts, down: &D) {
    let peer = down.peer();
    let destination = std::net::SocketAddr::new(peer.local_ip, peer.local_port);
    let port = if facts.client == peer.ip() { peer.addr.port() } else { 0 };
    let header = Header::Tcp { source: std::net::SocketAddr::new(facts.client, port), destination };
    match version {
        ProxyVersion::V1 => wire::proxy::encode_v1(out, &header),
        ProxyVersion::V2 => wire::proxy::encode_v2(out, &header),
    }
}

/// Forwards the answer to its end.
async fn relay_answer<D: Downstream>(
    tools: &Tools<'_>,
    (down, feed): (&mut D, &mut Feed),
    facts: &mut Facts,
    (attempt, link, answer): (&Attempt, &mut BackendLink<'_>, &Answer),
) -> Result<(), Cause> {
    count_answer(attempt, facts, answer.status);
    begin_answer(tools.worker, (down, feed), facts, (answer, link));
    link.forget_head();
    if answer.status == 101 {
        link.become_tunnel();
        down.become_tunnel();
        return tunnel(tools, down, facts, link).await;
    }
    let mut relay = Relay { tools, progress: Progress::default(), deadline_for: None };
    let outcome = poll_fn(|cx| relay.poll(cx, (down, feed), link)).await;
    facts.answer_bytes = relay.progress.bytes;
    attempt.counters().received_bytes.add(facts.answer_bytes);
    attempt.counters().sent_bytes.add(feed.progress.bytes);
    outcome
}

fn count_answer(attempt: &Attempt, facts: &mut Facts, status: u16) {
    facts.status = status;
    let counters = attempt.counters();
    counters.requests.add(1);
    if status >= 500 {
        counters.errors.add(1);
    }
    if let (Some(first), Some(attempted)) = (facts.times.first_byte, facts.times.attempted) {
        counters.first_byte_us.add(u64::try_from(first.saturating_duration_since(attempted).as_micros()).unwrap_or(0));
    }
}

fn begin_answer<D: Downstream>(
    worker: &Worker,
    (down, feed): (&mut D, &Feed),
    facts: &mut Facts,
    (answer, link): (&Answer, &BackendLink<'_>),
) {
    let rules = facts.route.map_or(&NO_RULES, |id: RouteId| &worker.plan.route(id).response_headers);
    let lines = super::answer::render_rules(down, facts, rules);
    let changes = Changes { rules, lines: &lines };
    facts.answer_begun = true;
    down.begin(&AnswerHead { answer, buf: link.head_buf(), changes, request_done: feed.done });
}

/// The answer's body on its way, and what is left of the request's.
struct Relay<'a> {
    tools: &'a Tools<'a>,
    progress: Progress,
    deadline_for: Option<Progress>,
}

impl Relay<'_> {
    fn poll<D: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        (down, feed): (&mut D, &mut Feed),
        link: &mut BackendLink<'_>,
    ) -> Poll<Result<(), Cause>> {
        if !feed.done && poll_request(cx, down, feed, link).is_err() {
            feed.done = true;
        }
        match poll_pump(cx, link, down, &mut self.progress) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(PumpError::Sink(_))) => return Poll::Ready(Err(Cause::ClientGone)),
            Poll::Ready(Err(PumpError::Source(_))) => return Poll::Ready(Err(Cause::Truncated)),
            Poll::Pending => {}
        }
        self.set_deadline(down);
        if down.timer().poll_late(cx).is_ready() {
            return Poll::Ready(Err(self.late()));
        }
        if feed.done && down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Cause::ClientGone));
        }
        Poll::Pending
    }

    /// Each step forward, in either direction, starts the wait anew.
    fn set_deadline<D: Downstream>(&mut self, down: &D) {
        if self.deadline_for == Some(self.progress) {
            return;
        }
        self.deadline_for = Some(self.progress);
        let wait = match self.progress.waits_for {
            Side::Source => self.tools.target.timeouts.idle,
            Side::Sink => self.tools.worker.client_timeouts(down.peer()).body,
        };
        down.timer().set_earlier(Instant::now(), wait, self.tools.until);
    }

    fn late(&self) -> Cause {
        match self.progress.waits_for {
            _ if self.tools.is_over() => Cause::TotalTimeout,
            Side::Source => Cause::IdleTimeout,
            Side::Sink => Cause::ClientStalled,
        }
    }
}

/// After 101: bytes both ways until both have ended, or silence.
async fn tunnel<D: Downstream>(
    tools: &Tools<'_>,
    down: &mut D,
    facts: &mut Facts,
    link: &mut BackendLink<'_>,
) -> Result<(), Cause> {
    let listener = down.peer().listener;
    tools.worker.counters().listeners[usize::from(listener.0)].tunnels.add(1);
    let silence = tools.worker.client_timeouts(down.peer()).tunnel;
    let (mut up, mut back) = ((Progress::default(), false), (Progress::default(), false));
    let mut seen = None;
    let outcome = poll_fn(|cx| {
        if !up.1 {
            up.1 = poll_pump(cx, down, link, &mut up.0)?.is_ready();
        }
        if !back.1 {
            back.1 = poll_pump(cx, link, down, &mut back.0)?.is_ready();
        }
        if up.1 && back.1 {
            return Poll::Ready(Ok::<_, PumpError>(()));
        }
        if seen != Some((up, back)) {
            seen = Some((up, back));
            down.timer().set(Instant::now(), silence);
        }
        down.timer().poll_late(cx).map(Ok)
    })
    .await;
    facts.request_bytes = up.0.bytes;
    facts.answer_bytes = back.0.bytes;
    // Either side may end a tunnel as it likes; nobody is to blame.
    drop(outcome);
    Ok(())
}
