//! gRPC on the road of a request: calls, their deadlines, how they ended, and errors where their clients look for them.
//!
//! Owns what is known of a call beside an exchange's other facts, and answers of our own to calls. How it is spelt is
//! [`wire::grpc`]'s, which status a cause has is [`crate::cause`]'s to say. A request that is no call pays a look at its
//! version.

use std::borrow::Cow;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use policy::plan::BackendTimeouts;
use policy::retry::Failure;
use wire::grpc::{self, Status};
use wire::head::{Field, Framing, Request, Span};

use super::Ended;
use super::facts::Facts;
use super::proxied::{Proxied, SLACK, Upstream};
use crate::cause::{Cause, Whom};
use crate::clock::Instant;
use crate::seam::{Downstream, OwnAnswer, Source, Trailers};

/// What is known of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// When its client waits no longer.
    until: Option<Instant>,
    /// How it ended, once that is known.
    pub(crate) status: Option<Status>,
    /// What the backend meant by breaking off.
    cut: Option<Status>,
}

impl Call {
    /// The call that a request is, if it is one; it began when its head was whole.
    pub(super) fn of(request: &Request, buf: &[u8], began: Instant) -> Option<Self> {
        let until = || grpc::timeout_of(request, buf).map(|timeout| began + timeout);
        grpc::is_call(request, buf).then(|| Self { until: until(), status: None, cut: None })
    }

    /// What its client is to be told of a failure.
    fn status_of(&self, cause: Cause) -> Status {
        match cause {
            Cause::Reset | Cause::Truncated => self.cut.unwrap_or(cause.grpc_status()),
            _ => cause.grpc_status(),
        }
    }
}

/// When an exchange must be over: by the terms of its way, and for a call by what its client says.
pub(super) fn until(facts: &Facts, timeouts: &BackendTimeouts) -> Option<Instant> {
    let total = timeouts.total.map(|total| facts.times.started + total);
    let deadline = facts.call.and_then(|call| call.until);
    total.into_iter().chain(deadline).min()
}

/// Tells whose time ran out.
pub(super) fn named(facts: &Facts, cause: Cause) -> Cause {
    let deadline = facts.call.and_then(|call| call.until).filter(|_| cause == Cause::TotalTimeout);
    if deadline.is_some_and(|until| Instant::now() + SLACK >= until) { Cause::Deadline } else { cause }
}

/// The answer of our own to a call: a head that says it all.
pub(super) fn refusal<'a>(call: &mut Call, cause: Cause, fields: Vec<(&'a str, Cow<'a, [u8]>)>) -> OwnAnswer<'a> {
    let status = call.status_of(cause);
    call.status = Some(status);
    let mut message = Vec::new();
    grpc::put_message(&mut message, cause.sentence());
    let mut all = vec![
        ("content-type", Cow::from(grpc::MEDIA_TYPE.as_bytes())),
        ("grpc-status", Cow::from(status.code().to_string().into_bytes())),
        ("grpc-message", Cow::from(message)),
    ];
    all.extend(fields);
    OwnAnswer { status: 200, fields: all, ..OwnAnswer::default() }
}

/// Ends an answer that cannot be completed: its client is told why where it looks for that, in trailers. A status that is
/// not `ok` never makes what came look whole.
pub(super) async fn break_off<D: Downstream>(down: &mut D, facts: &mut Facts, cause: Cause) -> Ended {
    let Some(call) = &mut facts.call else { return Ended::Broken };
    let is_deaf = cause.grpc_status() == Status::Cancelled || cause == Cause::Blocked(Whom::Peer);
    // With its status the backend has said its last word, and the client has it.
    if is_deaf || call.status.is_some() {
        return Ended::Broken;
    }
    let status = call.status_of(cause);
    call.status = Some(status);
    let mut told = Told::default();
    told.put(grpc::STATUS, |buf| buf.extend_from_slice(status.code().to_string().as_bytes()));
    told.put(grpc::MESSAGE, |buf| grpc::put_message(buf, cause.sentence()));
    let trailers = Trailers { fields: &told.fields, buf: &told.buf };
    // What is sent goes out with the connection's next write.
    match poll_fn(|cx| Poll::Ready(down.poll_end(cx, trailers))).await {
        Poll::Ready(Ok(())) => Ended::Answered,
        _ => Ended::Broken,
    }
}

/// Trailers of our own.
#[derive(Default)]
struct Told {
    fields: Vec<Field>,
    buf: Vec<u8>,
}

impl Told {
    fn put(&mut self, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
        let name = self.put_span(|buf| buf.extend_from_slice(name));
        let value = self.put_span(value);
        self.fields.push(Field { name, value, ..Field::default() });
    }

    fn put_span(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Span {
        let at = |buf: &Vec<u8>| u32::try_from(buf.len()).unwrap_or(u32::MAX);
        let start = at(&self.buf);
        put(&mut self.buf);
        Span { start, end: at(&self.buf) }
    }
}

impl<D: Downstream> Proxied<'_, D> {
    /// How long the client of a call still waits, where it says so.
    pub(super) fn deadline_left(&self) -> Option<Duration> {
        self.facts.call?.until?;
        self.until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Whether a call need not be begun: its client waits no longer.
    pub(super) fn is_too_late(&self) -> bool {
        self.facts.call.is_some() && self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Notes the status of an answer that is a head and nothing more.
    pub(super) fn note_call_head(&mut self, up: Option<&Upstream<'_>>) {
        let is_all = matches!(self.answer.framing, Framing::None | Framing::Length(0));
        let (Some(up), Some(call), true) = (up, &mut self.facts.call, is_all) else { return };
        let status = Status::of(&self.answer.fields, up.link.head_buf());
        let status = status.unwrap_or(Status::of_http(self.answer.status));
        call.status = Some(status);
        self.count_call(status);
    }

    /// Notes how an answer ended: by its trailers, or broken off.
    pub(super) fn note_call_end(&mut self, up: &Upstream<'_>, outcome: Result<(), Cause>) {
        let Some(call) = &mut self.facts.call else { return };
        match outcome {
            Ok(()) if call.status.is_none() => {
                let trailers = up.link.trailers();
                let status = Status::of(trailers.fields, trailers.buf);
                let status = status.unwrap_or(Status::of_http(self.answer.status));
                call.status = Some(status);
                self.count_call(status);
            }
            Err(Cause::Truncated) => call.cut = up.link.cut_by().map(Status::of_reset),
            _ => {}
        }
    }

    /// Notes what a backend meant by an attempt that brought no answer.
    pub(super) fn note_call_failure(&mut self, up: Option<&Upstream<'_>>) {
        if let (Some(up), Some(call)) = (up, &mut self.facts.call) {
            call.cut = up.link.cut_by().map(Status::of_reset);
        }
    }

    fn count_call(&self, status: Status) {
        let counters = &self.worker.counters().calls[self.target.pool.0 as usize][self.facts.backend.unwrap_or(0)];
        counters.0[usize::from(status.code())].add(1);
    }

    /// How the answer's head failed the call, if that is one to try again: nothing was forwarded yet.
    pub(super) fn call_failure(&self) -> Option<Failure> {
        let status = self.facts.call?.status?;
        self.target.retry.grpc.contains(status).then_some(Failure::Grpc(status))
    }
}
