//! One attempt: a connection, the request out, the answer's head in.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use policy::plan::Target;
use policy::retry::Failure;
use wire::head::{Answer, Method};

use super::feed::Feed;
use crate::backends::{Attempt, ConnectError};
use crate::cause::Cause;
use crate::h1::{BackendLink, HeadError};
use crate::report::Report;
use crate::seam::{Cut, Downstream, PumpError, Side, poll_pump};
use crate::stream::Stream;
use crate::timers::NO_BACKEND;
use crate::worker::Worker;

/// Why an attempt brought no answer.
pub(super) enum Failed {
    /// Another attempt may help: what happened, and the cause to name if none is made.
    Attempt(Failure, Cause),
    /// The exchange is over.
    Exchange(Cause),
}

/// What an attempt works with.
pub(super) struct Tools<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) target: &'a Target,
    pub(super) until: Option<Instant>,
    pub(super) idempotent: bool,
    pub(super) method: Method,
}

/// Gets a connection, idle or new. The flag says whether it was used before.
pub(super) async fn connection<D: Downstream>(
    tools: &Tools<'_>,
    down: &D,
    attempt: &Attempt,
) -> Result<(Stream, bool), Failed> {
    while let Some(stream) = attempt.reuse() {
        // What cannot be repeated must not meet a connection that the backend has just closed.
        if tools.idempotent || !stream.is_stale() {
            return Ok((stream, true));
        }
    }
    down.timer().set_earlier(Instant::now(), tools.target.timeouts.connect, tools.until);
    // Boxed, since most exchanges need none and would carry its room about.
    let mut connecting = Box::pin(attempt.connect());
    let connected = poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(connected) => Poll::Ready(Some(connected)),
        Poll::Pending => down.timer().poll_late(cx).map(|()| None),
    })
    .await;
    match connected {
        Some(Ok(stream)) => Ok((stream, false)),
        Some(Err(error)) => Err(refused(tools, attempt, error)),
        None if tools.is_over() => Err(Failed::Exchange(Cause::TotalTimeout)),
        None => {
            report_connect_failure(tools, attempt);
            Err(Failed::Attempt(Failure::Connect, Cause::ConnectTimeout))
        }
    }
}

fn refused(tools: &Tools<'_>, attempt: &Attempt, error: ConnectError) -> Failed {
    match error {
        ConnectError::Local => Failed::Attempt(Failure::Connect, Cause::LocalExhausted),
        ConnectError::Unresolved => {
            report_connect_failure(tools, attempt);
            Failed::Attempt(Failure::Connect, Cause::Unresolved)
        }
        ConnectError::Failed => {
            report_connect_failure(tools, attempt);
            Failed::Attempt(Failure::Connect, Cause::ConnectFailed)
        }
    }
}

fn report_connect_failure(tools: &Tools<'_>, attempt: &Attempt) {
    tools.worker.report(Report::ConnectFailed { pool: attempt.pool, backend: attempt.backend });
}

impl Tools<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() + std::time::Duration::from_millis(10) >= until)
    }
}

/// Sends the request (its head is already in `link`) and waits for an answer head.
pub(super) async fn answer_head<D: Downstream>(
    tools: &Tools<'_>,
    (down, feed): (&mut D, &mut Feed),
    (attempt, link): (&Attempt, &mut BackendLink<'_>),
    answer: &mut Answer,
) -> Result<(), Failed> {
    let mut wait = Wait { tools, attempt, was_down: attempt.is_down(), deadline_for: None };
    down.timer().waits_for(attempt.number());
    let result = poll_fn(|cx| wait.poll(cx, (down, feed), link, answer)).await;
    down.timer().waits_for(NO_BACKEND);
    result
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

struct Wait<'a> {
    tools: &'a Tools<'a>,
    attempt: &'a Attempt,
    /// It was out when it was picked (panic): its being out is then no news.
    was_down: bool,
    deadline_for: Option<Deadline>,
}

impl Wait<'_> {
    fn poll<D: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        (down, feed): (&mut D, &mut Feed),
        link: &mut BackendLink<'_>,
        answer: &mut Answer,
    ) -> Poll<Result<(), Failed>> {
        if !feed.done
            && let Err(cause) = poll_request(cx, down, feed, link)
        {
            return Poll::Ready(Err(Failed::Exchange(cause)));
        }
        let limits = &self.tools.worker.head_limits;
        match link.poll_head(cx, limits, self.tools.method, answer) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(no_head(&error, link))),
            Poll::Pending => {}
        }
        self.set_deadline(down, feed);
        if down.timer().poll_late(cx).is_ready() {
            return Poll::Ready(Err(self.late()));
        }
        if feed.done && down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Failed::Exchange(Cause::ClientGone)));
        }
        if !self.was_down && self.tools.idempotent && self.attempt.is_down() {
            return Poll::Ready(Err(Failed::Attempt(Failure::BackendDown, Cause::BackendDown)));
        }
        Poll::Pending
    }

    fn set_deadline<D: Downstream>(&mut self, down: &D, feed: &Feed) {
        let wanted = match (feed.done, feed.progress.waits_for) {
            (true, _) => Deadline::FirstByte,
            (false, Side::Source) => Deadline::Body(feed.progress.bytes),
            (false, Side::Sink) => Deadline::Backend(feed.progress.bytes),
        };
        if self.deadline_for == Some(wanted) {
            return;
        }
        self.deadline_for = Some(wanted);
        let timeouts = &self.tools.target.timeouts;
        let wait = match wanted {
            Deadline::FirstByte => timeouts.first_byte,
            Deadline::Body(_) => self.tools.worker.client_timeouts(down.peer()).body,
            Deadline::Backend(_) => timeouts.idle,
        };
        down.timer().set_earlier(Instant::now(), wait, self.tools.until);
    }

    fn late(&self) -> Failed {
        if self.tools.is_over() {
            return Failed::Exchange(Cause::TotalTimeout);
        }
        match self.deadline_for {
            Some(Deadline::Body(_)) => Failed::Exchange(Cause::BodyTimeout),
            _ => Failed::Attempt(Failure::FirstByteTimeout, Cause::FirstByteTimeout),
        }
    }
}

/// Moves the request body on. A backend that stops reading may still answer, so its error is kept, not returned.
pub(super) fn poll_request<D: Downstream>(
    cx: &mut Context<'_>,
    down: &mut D,
    feed: &mut Feed,
    link: &mut BackendLink<'_>,
) -> Result<(), Cause> {
    let mut progress = feed.progress;
    let pumped = poll_pump(cx, &mut feed.of(down), link, &mut progress);
    feed.progress = progress;
    match pumped {
        Poll::Pending => Ok(()),
        Poll::Ready(Ok(())) => {
            feed.done = true;
            Ok(())
        }
        Poll::Ready(Err(PumpError::Sink(error))) => {
            link.writing_failed(error);
            feed.done = true;
            Ok(())
        }
        Poll::Ready(Err(PumpError::Source(cut))) => Err(request_cut(&cut)),
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
