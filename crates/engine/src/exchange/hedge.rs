//! The second attempt of a hedged exchange, beside the first while that has not answered.
//!
//! Owns what the second attempt has of its own: its connection, its deadline, how far the kept body was sent to it. The
//! wait for the first one's head drives it, and takes it over when it answers first: from there on the relay is the same.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use policy::balance::Evidence;
use policy::plan::Hedge;
use policy::retry::{self, Failure};
use wire::head::Answer;

use super::attempt::{Failed, INTERIM_ANSWERS, no_head};
use super::feed::Again;
use super::proxied::{Proxied, Upstream};
use super::wait::Wait;
use crate::backends::{Attempt, Wish};
use crate::cause::Cause;
use crate::circuit;
use crate::clock::Instant;
use crate::connect::ConnectError;
use crate::h1::{BackendLink, HeadError};
use crate::passive::Risk;
use crate::seam::{Downstream, poll_pump};
use crate::stream::Stream;
use crate::timers::Timer;

/// Which attempt of a hedged exchange answered first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hedged {
    /// The second.
    Won,
    /// The first.
    Lost,
}

impl Hedged {
    /// The word in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }
}

type Connecting = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>>>>;

/// The second attempt: it connects, or has asked.
pub(super) struct Rival<'a> {
    connecting: Option<(Attempt, Connecting)>,
    up: Option<Upstream<'a>>,
    backend: usize,
    timer: Timer,
    answer: Box<Answer>,
    again: Again,
    began: Instant,
    connected: Option<Instant>,
    /// How many heads may still come.
    heads_left: u32,
}

impl Rival<'_> {
    /// Whether its backend went out meanwhile.
    fn is_down(&self) -> bool {
        let connecting = self.connecting.as_ref().map(|(attempt, _)| attempt);
        connecting.or(self.up.as_ref().map(|up| &up.attempt)).is_some_and(Attempt::is_down)
    }
}

impl<'a, D: Downstream> Proxied<'a, D> {
    /// How long the first attempt is alone; `None` if it stays so.
    #[cold]
    pub(super) fn hedge_delay(&self) -> Option<Duration> {
        let Hedge { after, .. } = self.target.hedge?;
        let is_upgrade = !self.down.head().0.upgrade.is_empty();
        if self.facts.attempts > 1 || self.target.retry.tries < 2 || !self.method.is_idempotent() || is_upgrade {
            return None;
        }
        let now_ms = self.worker.now_ms(self.facts.times.started);
        self.worker.pool(self.target.pool).hedging().latencies.delay(now_ms, after)
    }

    /// Begins the second attempt, if there is another backend with room for it, and budget.
    #[cold]
    pub(super) fn begin_rival(&mut self) -> Option<Box<Rival<'a>>> {
        let Hedge { budget_percent, .. } = self.target.hedge?;
        let (pool, now) = (self.target.pool, Instant::now());
        let is_sent = self.feed.done && !self.feed.is_cut && self.feed.is_replayable();
        if !is_sent || circuit::of(self.worker, pool).is_some_and(|circuit| !circuit.is_closed()) {
            return None;
        }
        let now_ms = self.worker.now_ms(now);
        let wish = Wish { key: self.key, tried: self.facts.tried.list(), now_ms, risk: Risk::No };
        let is_left = || self.worker.pool(pool).hedging().budget.try_take(now_ms, budget_percent);
        let attempt = Attempt::elsewhere(self.worker, pool, &wish, is_left)?;
        let kept = self.kept_connection(&attempt);
        let connecting: Option<Connecting> = match kept {
            Some(_) => None,
            None => Some(Box::pin(attempt.connecting()?)),
        };
        attempt.counters().hedges.add(1);
        self.facts.attempts += 1;
        self.facts.tried.push(attempt.backend);
        self.facts.hedged = Some(Hedged::Lost);
        let timer = self.worker.timers.timer();
        timer.waits_for(attempt.number());
        let mut rival = Box::new(Rival {
            connecting: None,
            up: None,
            backend: attempt.backend,
            timer,
            answer: self.worker.answers.take(),
            again: Again::default(),
            began: now,
            connected: None,
            heads_left: INTERIM_ANSWERS,
        });
        match (kept, connecting) {
            (Some(stream), _) => self.ask(&mut rival, attempt, (stream, true)),
            (None, connecting) => self.connect_rival(&mut rival, connecting.map(|connecting| (attempt, connecting))),
        }
        Some(rival)
    }

    fn connect_rival(&self, rival: &mut Rival<'a>, connecting: Option<(Attempt, Connecting)>) {
        rival.timer.set_earlier(Instant::now(), self.target.timeouts.connect, self.until);
        rival.connecting = connecting;
    }

    fn ask(&self, rival: &mut Rival<'a>, attempt: Attempt, (stream, reused): (Stream, bool)) {
        let mut up = Upstream { attempt, link: BackendLink::new(stream, &self.worker.buffers), reused };
        rival.again = Again::default();
        // What could not be rewritten would have ended the first attempt.
        let _ = self.begin_request(&mut up);
        rival.timer.set_earlier(Instant::now(), self.target.timeouts.first_byte, self.until);
        rival.up = Some(up);
    }

    /// Ready with the head of a final answer in the rival, or with how it failed.
    fn poll_rival(&mut self, cx: &mut Context<'_>, rival: &mut Rival<'a>) -> Poll<Result<(), Failed>> {
        loop {
            if rival.connecting.is_some() {
                ready!(self.poll_connection(cx, rival))?;
            }
            let failed = match ready!(self.poll_head(cx, rival)) {
                Err(Failed::Attempt(failure, cause)) => (failure, cause),
                other => return Poll::Ready(other),
            };
            let Some(up) = rival.up.take() else { return Poll::Ready(Err(Failed::Attempt(failed.0, failed.1))) };
            let is_stale = retry::is_stale(&self.attempted(failed.0, up.reused), failed.0);
            // A place for the connection is kept.
            let Some(connecting) = up.attempt.connecting().filter(|_| is_stale) else {
                rival.up = Some(up);
                return Poll::Ready(Err(Failed::Attempt(failed.0, failed.1)));
            };
            self.connect_rival(rival, Some((up.attempt, Box::pin(connecting))));
        }
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>, rival: &mut Rival<'a>) -> Poll<Result<(), Failed>> {
        let Some((attempt, connecting)) = &mut rival.connecting else { return Poll::Ready(Ok(())) };
        let failed = match connecting.as_mut().poll(cx) {
            Poll::Ready(Ok(stream)) => {
                rival.connected = Some(Instant::now());
                if let Some((attempt, _)) = rival.connecting.take() {
                    self.ask(rival, attempt, (stream, false));
                }
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Err(error)) => self.unconnected(attempt, error.cause()),
            Poll::Pending => {
                ready!(rival.timer.poll_late(cx));
                self.unconnected(attempt, Cause::ConnectTimeout)
            }
        };
        Poll::Ready(Err(failed))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, rival: &mut Rival<'a>) -> Poll<Result<(), Failed>> {
        let Rival { up: Some(up), answer, again, timer, heads_left, .. } = rival else { return Poll::Pending };
        if !again.done {
            let mut progress = again.progress;
            let sent = poll_pump(cx, &mut again.of(&self.feed, self.down), &mut up.link, &mut progress);
            (again.progress, again.done) = (progress, sent.is_ready());
            if let Poll::Ready(Err(_)) = sent {
                // It may still answer.
                up.link.writing_failed();
            }
        }
        loop {
            let failed = match up.link.poll_head(cx, &self.worker.head_limits, self.method, answer) {
                Poll::Ready(Ok(())) if answer.status >= 200 => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) if answer.status == 101 => malformed("101 without being asked"),
                Poll::Ready(Ok(())) if *heads_left == 0 => malformed("too many interim answers"),
                Poll::Ready(Ok(())) => {
                    // The client hears those of the first attempt.
                    (*heads_left, up.reused) = (*heads_left - 1, false);
                    up.link.forget_head();
                    continue;
                }
                Poll::Ready(Err(error)) => {
                    up.reused &= matches!(error, HeadError::Closed);
                    no_head(&error, &up.link)
                }
                Poll::Pending => {
                    ready!(timer.poll_late(cx));
                    Failed::Attempt(Failure::FirstByteTimeout, Cause::FirstByteTimeout)
                }
            };
            return Poll::Ready(Err(failed));
        }
    }

    /// Drives the second attempt, if there is one. Ready when the exchange has its answer from it, or can have none.
    #[inline]
    pub(super) fn poll_second(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Upstream<'a>,
        wait: &mut Wait<'a>,
    ) -> Poll<Result<(), Failed>> {
        match wait.rival.take() {
            Some(rival) => self.drive_second(cx, rival, (up, wait)),
            None => Poll::Pending,
        }
    }

    #[cold]
    fn drive_second(
        &mut self,
        cx: &mut Context<'_>,
        mut rival: Box<Rival<'a>>,
        (up, wait): (&mut Upstream<'a>, &mut Wait<'a>),
    ) -> Poll<Result<(), Failed>> {
        let is_alone = wait.first_is_over;
        let Poll::Ready(came) = self.poll_rival(cx, &mut rival) else {
            if rival.is_down() && !is_alone {
                // It was to be faster; from there nothing fast will come.
                self.worker.answers.put(rival.answer);
                return Poll::Pending;
            }
            if rival.is_down() && self.is_granted_elsewhere(Failure::BackendDown, false) {
                return Poll::Ready(Err(Failed::Granted(Failure::BackendDown, Cause::BackendDown)));
            }
            wait.rival = Some(rival);
            return Poll::Pending;
        };
        match came {
            Ok(()) if is_alone || !self.target.retry.statuses.contains(&rival.answer.status) => {
                self.take_over(up, *rival, is_alone);
                Poll::Ready(Ok(()))
            }
            Err(failed) if is_alone => Poll::Ready(Err(failed)),
            Err(Failed::Attempt(failure, cause)) => {
                self.judge_second(*rival, Some((failure, cause)));
                Poll::Pending
            }
            _ => {
                self.judge_second(*rival, None);
                Poll::Pending
            }
        }
    }

    /// The second attempt has failed, or its answer counts as failed, and the first goes on.
    fn judge_second(&mut self, mut rival: Rival<'a>, failed: Option<(Failure, Cause)>) {
        let first = self.facts.backend.replace(rival.backend);
        let trial = self.trial.take();
        std::mem::swap(&mut self.answer, &mut rival.answer);
        match failed {
            Some((failure, cause)) => {
                self.counters().failures.add(u64::from(cause != Cause::LocalExhausted));
                self.judge_failure(failure, cause, rival.up.is_some_and(|up| up.reused));
            }
            None => {
                self.counters().failures.add(1);
                self.judge_head();
            }
        }
        std::mem::swap(&mut self.answer, &mut rival.answer);
        (self.facts.backend, self.trial) = (first, trial);
        self.worker.answers.put(rival.answer);
    }

    /// The first attempt is over, by a failure or by a status that counts as one, while the second goes on: from now on
    /// that is the attempt of this exchange.
    #[cold]
    pub(super) fn leave_first(&mut self, up: &mut Upstream<'a>, wait: &mut Wait<'a>, failed: Option<(Failure, Cause)>) {
        match failed {
            Some((failure, cause)) => self.judge_failure(failure, cause, up.reused),
            None => self.judge_head(),
        }
        self.counters().failures.add(1);
        up.reused = false;
        if let Some(rival) = &wait.rival {
            self.adopt(rival);
        }
        self.end_first(wait);
    }

    fn adopt(&mut self, rival: &Rival<'_>) {
        self.trial = None;
        self.facts.backend = Some(rival.backend);
        (self.facts.times.attempted, self.facts.times.connected) = (Some(rival.began), rival.connected);
        self.facts.times.asked = Some(rival.began);
    }

    /// The second attempt has answered: it takes the place of the first, which is given up without blame.
    fn take_over(&mut self, up: &mut Upstream<'a>, mut rival: Rival<'a>, is_alone: bool) {
        let Some(faster) = rival.up.take() else { return };
        if !is_alone {
            let took_us = self.first_took_us();
            self.counters().overtaken.add(1);
            self.counters().overtaken_us.add(took_us);
            self.note_first(took_us);
            self.note_evidence(Some(Evidence::Silence));
        }
        self.adopt(&rival);
        self.facts.hedged = Some(Hedged::Won);
        self.counters().hedges_won.add(1);
        *up = faster;
        self.feed.resume(&rival.again);
        std::mem::swap(&mut self.answer, &mut rival.answer);
        self.worker.answers.put(rival.answer);
    }

    /// A final head has come from the first attempt: the second is given up without blame.
    pub(super) fn end_second(&mut self, wait: &mut Wait<'a>) {
        if let Some(rival) = wait.rival.take() {
            self.worker.answers.put(rival.answer);
        }
        if self.target.hedge.is_some() && (self.facts.attempts == 1 || self.facts.hedged == Some(Hedged::Lost)) {
            self.note_first(self.first_took_us());
        }
    }

    fn first_took_us(&self) -> u64 {
        let took = self.facts.times.attempted.map_or(Duration::ZERO, |at| at.elapsed());
        u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
    }

    fn note_first(&self, took_us: u64) {
        let now_ms = self.worker.now_ms(self.facts.times.started);
        self.worker.pool(self.target.pool).hedging().latencies.note(now_ms, took_us);
    }
}

fn malformed(why: &'static str) -> Failed {
    Failed::Attempt(Failure::Malformed, Cause::Malformed(why))
}
