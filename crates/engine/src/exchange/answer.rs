//! Answers of our own: errors, fixed answers, redirects.
//!
//! Owns their heads and bodies, and how they go out to clients that read slowly. When there is one to give is for the
//! exchange to say, which status and words a cause has for [`crate::cause`].

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use policy::pace::Wait;
use policy::plan::{Action, FixedAnswer, HeaderRules, Redirect};
use policy::route::without_port;
use policy::template::{self, Parts};

use super::Ended;
use super::facts::Facts;
use super::watch::{Sight, Watch, Woken};
use super::{grpc, limits};
use crate::cause::{Cause, Whom};
use crate::h1::PSEUDONYM;
use crate::seam::{Downstream, OwnAnswer, Sink, Source, Trailers};
use crate::worker::Worker;

/// How long a client may take for an answer of our own where the listener sets no limit.
const OWN_ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Who is refused in a surge may come back within so many seconds.
const SHED_RETRY_S: u64 = 10;
/// A request body of up to so many bytes is read and dropped to keep the connection; a longer one costs it.
const DRAINED_BYTES: usize = 64 * 1024;

/// Does what a route answers by itself.
pub(super) async fn act<D: Downstream>(
    worker: &Worker,
    down: &mut D,
    facts: &mut Facts,
    action: &Action,
) -> Result<(), Cause> {
    match action {
        Action::Answer(fixed) => send_fixed(worker, down, facts, fixed).await,
        Action::Redirect(redirect) => send_redirect(worker, down, facts, redirect).await,
        Action::Pool(_) | Action::Split { .. } => Err(Cause::NoBackend),
    }
}

async fn send_fixed<D: Downstream>(
    worker: &Worker,
    down: &mut D,
    facts: &mut Facts,
    fixed: &FixedAnswer,
) -> Result<(), Cause> {
    let fields = fixed.headers.iter().map(|(name, value)| (name.as_str(), Cow::from(value.as_bytes()))).collect();
    let own = OwnAnswer { status: fixed.status, fields, body: &fixed.body, request_done: false };
    send(worker, down, facts, own).await
}

async fn send_redirect<D: Downstream>(
    worker: &Worker,
    down: &mut D,
    facts: &mut Facts,
    redirect: &Redirect,
) -> Result<(), Cause> {
    let mut location = Vec::new();
    let rendered = with_parts(down, facts, |parts| template::render_location(&redirect.to, parts, &mut location));
    rendered.map_err(|_| Cause::BadRewrite)?;
    let own =
        OwnAnswer { status: redirect.status, fields: vec![("Location", Cow::from(location))], ..OwnAnswer::default() };
    send(worker, down, facts, own).await
}

/// The final answer to OPTIONS with `Max-Forwards: 0`.
pub(super) async fn allow<D: Downstream>(worker: &Worker, down: &mut D, facts: &mut Facts) -> Result<(), Cause> {
    send(worker, down, facts, OwnAnswer { status: 204, ..OwnAnswer::default() }).await
}

/// Answers a failed exchange, if that is still possible.
pub(super) async fn fail<D: Downstream>(worker: &Worker, down: &mut D, facts: &mut Facts, cause: Cause) -> Ended {
    let cause = grpc::named(facts, cause);
    facts.cause = Some(cause);
    if facts.answer_begun && facts.call.is_some() {
        return grpc::break_off(down, facts, cause).await;
    }
    if facts.answer_begun || matches!(cause, Cause::ClientGone | Cause::Blocked(Whom::Peer)) {
        if !facts.answer_begun {
            facts.status = cause.status();
        }
        return Ended::Broken;
    }
    let status = cause.status();
    let page = worker.plan.error_pages.iter().find(|page| page.status == status);
    let text = format!("{status} {}\n{}\n", wire::h1::encode::reason_phrase(status), cause.sentence());
    let kind = page.map_or("text/plain; charset=utf-8", |page| page.content_type.as_str());
    let mut fields = vec![
        ("X-Request-Id", Cow::from(facts.request_id.bytes(down.head().1).to_vec())),
        ("Proxy-Status", Cow::from(proxy_status(cause))),
    ];
    if let Some(seconds) = retry_after(worker, facts, cause) {
        fields.push(("Retry-After", Cow::from(seconds.to_string().into_bytes())));
    }
    if let Cause::RateLimited { whose, wait_s } = cause {
        fields.extend(limits::fields(worker, down, facts, (whose, wait_s)));
    }
    let own = if let Some(call) = &mut facts.call {
        grpc::refusal(call, cause, fields)
    } else {
        fields.insert(0, ("Content-Type", Cow::from(kind.as_bytes())));
        OwnAnswer { status, fields, body: page.map_or(text.as_bytes(), |page| &page.body), request_done: false }
    };
    match send(worker, down, facts, own).await {
        Ok(()) => Ended::Answered,
        Err(_) => Ended::Broken,
    }
}

/// Seconds after which another request may fare better (RFC 9110, section 10.2.3): by then those who wait now have been
/// served or refused.
fn retry_after(worker: &Worker, facts: &Facts, cause: Cause) -> Option<u64> {
    match cause {
        // Some sooner, some later, so that they do not all come back at once.
        Cause::QueueShed | Cause::Overload(_) => Some(1 + worker.rng.borrow_mut().below(SHED_RETRY_S)),
        Cause::QueueFull | Cause::QueueTimeout => {
            let timeout = facts.pool.and_then(|id| worker.plan.pool(id).queue.timeout);
            Some(timeout.map_or(1, |timeout| timeout.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)))
        }
        Cause::NoneReady => Some(1),
        Cause::RateLimited { wait_s, .. } | Cause::CircuitOpen { wait_s } => Some(wait_s.into()),
        _ => None,
    }
}

/// The value of `Proxy-Status` (RFC 9209).
pub(crate) fn proxy_status(cause: Cause) -> Vec<u8> {
    format!("{PSEUDONYM}; error={}; details=\"{}: {}\"", cause.proxy_error(), cause.code(), cause.sentence())
        .into_bytes()
}

async fn send<D: Downstream>(
    worker: &Worker,
    down: &mut D,
    facts: &mut Facts,
    mut own: OwnAnswer<'_>,
) -> Result<(), Cause> {
    let drained = poll_fn(|cx| Poll::Ready(drain(cx, down))).await;
    own.request_done = drained && !facts.cause.is_some_and(Cause::costs_the_connection);
    facts.status = own.status;
    facts.answer_begun = true;
    facts.answer_bytes = own.body.len() as u64;
    down.answer(&own);
    let wait = worker.client_timeouts(down.peer()).body.unwrap_or(OWN_ANSWER_WAIT);
    let body = if own.is_small() { &[] } else { own.body };
    let (mut at, mut seen, mut watch) = (0, None, Watch::default());
    poll_fn(|cx| {
        if let Poll::Ready(sent) = poll_own(cx, down, body, &mut at) {
            return Poll::Ready(sent.map_err(|_| Cause::ClientGone));
        }
        if worker.refuses(down.peer()) {
            return Poll::Ready(Err(Cause::Blocked(Whom::Peer)));
        }
        if seen.replace(at) != Some(at) {
            watch.stepped(down.timer(), Some(wait), None);
        }
        while let Poll::Ready(woken) = watch.poll(down.timer(), cx) {
            if woken == Woken::Due {
                return Poll::Ready(Err(Cause::ClientStalled));
            }
            let look = watch.look(worker, down, &Sight { wait: Some(Wait::Drain), moved: at as u64 });
            if let Some(cause) = look.cause {
                return Poll::Ready(Err(cause));
            }
        }
        Poll::Pending
    })
    .await
}

/// Pushes what is left of the body, and then sends everything.
fn poll_own<D: Sink>(cx: &mut Context<'_>, down: &mut D, body: &[u8], at: &mut usize) -> Poll<io::Result<()>> {
    while *at < body.len() {
        *at += ready!(down.poll_push(cx, &body[*at..]))?;
    }
    down.poll_end(cx, Trailers::default())
}

/// Drops what is here of the request body. Whether that was all of it.
fn drain<D: Source>(cx: &mut Context<'_>, down: &mut D) -> bool {
    let mut dropped = 0;
    while dropped <= DRAINED_BYTES {
        let here = down.data().len();
        dropped += here;
        down.consume(here);
        match down.poll_fill(cx) {
            Poll::Ready(Ok(crate::seam::Fill::Data)) => {}
            Poll::Ready(Ok(crate::seam::Fill::End)) => return true,
            Poll::Ready(Err(_)) | Poll::Pending => return false,
        }
    }
    false
}

/// Whole field lines for the `set` and `add` of some rules; a value that would break its line is left out.
#[inline]
pub(super) fn render_rules<D: Downstream>(down: &D, facts: &Facts, rules: &HeaderRules) -> Vec<u8> {
    if rules.set.is_empty() && rules.add.is_empty() { Vec::new() } else { render_lines(down, facts, rules) }
}

fn render_lines<D: Downstream>(down: &D, facts: &Facts, rules: &HeaderRules) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in rules.set.iter().chain(&rules.add) {
        let start = lines.len();
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        match with_parts(down, facts, |parts| template::render(value, parts, &mut lines)) {
            Ok(()) => lines.extend_from_slice(b"\r\n"),
            Err(_) => lines.truncate(start),
        }
    }
    lines
}

fn with_parts<D: Downstream, R>(down: &D, facts: &Facts, render: impl FnOnce(&Parts<'_>) -> R) -> R {
    let (request, buf) = down.head();
    let path = request.path(buf);
    render(&Parts {
        host: without_port(request.authority.of(buf)),
        path,
        rest: path.get(facts.rest_at..).unwrap_or_default(),
        query: request.has_query.then(|| request.query.of(buf)),
        scheme: down.peer().scheme(),
        client: facts.client,
        request_id: facts.request_id.bytes(buf),
    })
}
