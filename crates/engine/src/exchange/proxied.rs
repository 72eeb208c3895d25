//! Proxying: attempts until one brings an answer, then the answer to its end.
//!
//! Owns the order of attempts; whether there is another is asked of `policy::retry`, where it goes of `policy::balance`.

use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use policy::balance::Standing;
use policy::plan::{HeaderRules, Target};
use policy::retry::{self, Attempted, Failure, Verdict};
use wire::head::{Answer, Framing, Method};

use super::attempt::Failed;
use super::facts::Facts;
use super::feed::Feed;
use crate::backends::{Attempt, NoAttempt, Wish};
use crate::cause::Cause;
use crate::counters::BackendCounters;
use crate::h1::BackendLink;
use crate::passive::{Risk, Trial};
use crate::seam::Downstream;
use crate::worker::Worker;

/// Deadlines fire up to so much late; an exchange that has no more than this left is over.
const SLACK: Duration = Duration::from_millis(10);

pub(super) static NO_RULES: HeaderRules = HeaderRules { set: Vec::new(), add: Vec::new(), remove: Vec::new() };

/// An exchange that goes to a backend: what its attempts have in common.
pub(super) struct Proxied<'a, D> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) target: &'a Target,
    pub(super) down: &'a mut D,
    pub(super) facts: &'a mut Facts,
    pub(super) feed: Feed,
    pub(super) answer: Box<Answer>,
    pub(super) method: Method,
    /// When the whole exchange must be over.
    pub(super) until: Option<Instant>,
    /// The running attempt tries an ejected backend.
    pub(super) trial: Option<Trial>,
}

/// A part of an exchange that most go without: boxed and out of sight, so that those carry neither its room nor its code.
pub(super) type Detour<'s> = Pin<Box<dyn Future<Output = Result<(), Cause>> + 's>>;

/// The backend's side of the attempt under way.
pub(super) struct Upstream<'a> {
    /// Before the attempt, so that its connection is closed when another takes its place at the backend.
    pub(super) link: BackendLink<'a>,
    pub(super) attempt: Attempt,
    /// The connection had served before.
    pub(super) reused: bool,
}

/// Proxies the exchange to a pool.
pub(super) async fn proxy<D: Downstream>(
    worker: &Rc<Worker>,
    down: &mut D,
    facts: &mut Facts,
    target: &Target,
) -> Result<(), Cause> {
    let method = down.head().0.method;
    let keeps = method.is_idempotent() && target.retry.tries > 1;
    let until = target.timeouts.total.map(|total| facts.times.started + total);
    facts.pool = Some(target.pool);
    worker.pool(target.pool).budget.borrow_mut().on_request(worker.now_ms(facts.times.started));
    let mut proxied = Proxied {
        worker,
        target,
        down,
        facts,
        feed: Feed::new(if keeps { target.retry.body_buffer } else { 0 }),
        answer: worker.answers.take(),
        method,
        until,
        trial: None,
    };
    // The upstream stays in this place: futures that hand it about would copy it.
    let mut place = None;
    let buffer = proxied.buffer();
    let mut outcome = if buffer.request > 0 { proxied.gather(buffer).await } else { Ok(()) };
    if outcome.is_ok() {
        outcome = proxied.attempts(&mut place).await;
    }
    let mut rest = None;
    if let (Ok(()), Some(up)) = (outcome, &mut place) {
        proxied.begin_forward(up);
        outcome = if buffer.response > 0 && proxied.answer.status != 101 {
            proxied.forward_ahead(up, buffer.response, &mut rest).await
        } else {
            proxied.forward(up).await
        };
        proxied.judge_end(outcome);
    }
    proxied.part(place, outcome);
    if let (Ok(()), Some(rest)) = (outcome, rest) {
        outcome = proxied.send_rest(rest).await;
    }
    worker.answers.put(proxied.answer);
    outcome
}

impl<'a, D: Downstream> Proxied<'a, D> {
    /// Attempts until one brings an answer that is to be forwarded.
    async fn attempts(&mut self, place: &mut Option<Upstream<'a>>) -> Result<(), Cause> {
        loop {
            *place = None;
            let mut attempt = match self.pick() {
                Ok(attempt) => attempt,
                Err(NoAttempt::NoBackend) => return Err(Cause::NoBackend),
                // Boxed, since most exchanges never wait and would carry its room about.
                Err(NoAttempt::Busy) => Box::pin(self.queued()).await?,
            };
            self.begun(&mut attempt);
            let tried = self.attempt(attempt, place).await;
            let reused = place.as_ref().is_some_and(|up| up.reused);
            match &tried {
                Ok(()) => self.judge_head(),
                Err(Failed::Attempt(failure, cause)) => self.judge_failure(*failure, *cause, reused),
                Err(Failed::Exchange(_)) => {}
            }
            match tried {
                Ok(()) if !self.wants_another_status() => return Ok(()),
                Ok(()) if !self.decide(Failure::Status(self.answer.status), reused) => return Ok(()),
                Ok(()) => self.counters().failures.add(1),
                Err(Failed::Exchange(cause)) => return Err(cause),
                Err(Failed::Attempt(failure, cause)) => {
                    // What we lack is not the backend's failure.
                    self.counters().failures.add(u64::from(cause != Cause::LocalExhausted));
                    if !self.decide(failure, reused) {
                        return Err(cause);
                    }
                }
            }
            self.feed.rewind();
        }
    }

    fn pick(&self) -> Result<Attempt, NoAttempt> {
        let wish = Wish { client: self.facts.client, tried: self.facts.tried.list(), risk: self.risk() };
        Attempt::begin(self.worker, self.target.pool, &wish)
    }

    /// Notes that an attempt begins.
    fn begun(&mut self, attempt: &mut Attempt) {
        let facts = &mut *self.facts;
        let is_first = facts.attempts == 0 && facts.times.queued.is_none() && !self.feed.was_gathered;
        facts.times.attempted = Some(if is_first { facts.times.started } else { Instant::now() });
        (facts.times.connected, facts.times.first_byte) = (None, None);
        facts.attempts += 1;
        self.trial = attempt.trial.take();
        facts.backend = Some(attempt.backend);
        facts.tried.push(attempt.backend);
        if facts.attempts > 1 {
            attempt.counters().retries.add(1);
        }
    }

    /// What a trial by this exchange would risk. Only the first attempt is one, so that a failure leaves others.
    fn risk(&self) -> Risk {
        let is_bodiless = matches!(self.down.head().0.framing, Framing::None | Framing::Length(0));
        match self.facts.attempts {
            0 if self.method.is_idempotent() && is_bodiless => Risk::Repeatable,
            0 => Risk::Once,
            _ => Risk::No,
        }
    }

    /// Whether the answer's status is one to try again elsewhere; a pool without another backend would give it once more.
    fn wants_another_status(&self) -> bool {
        self.target.retry.statuses.contains(&self.answer.status) && self.has_another()
    }

    /// Whether the pool has a backend that was not tried and may well answer.
    fn has_another(&self) -> bool {
        let mut backends = self.worker.shared.pools[self.target.pool.0 as usize].backends.iter().enumerate();
        backends.any(|(index, backend)| {
            let hopeful = matches!(backend.standing(), Standing::Ready | Standing::Unknown);
            hopeful && !self.facts.tried.list().iter().any(|&tried| usize::from(tried) == index)
        })
    }

    /// Whether there is another attempt.
    fn decide(&self, failure: Failure, reused: bool) -> bool {
        let budget = &mut *self.worker.pool(self.target.pool).budget.borrow_mut();
        let now_ms = self.worker.now_ms(Instant::now());
        let verdict = retry::decide(&self.target.retry, &self.attempted(reused), failure, budget, now_ms);
        matches!(verdict, Verdict::Again { .. })
    }

    /// Whether an exchange whose backend went out goes on elsewhere. Where it cannot, the backend may still answer.
    pub(super) fn is_better_elsewhere(&self, reused: bool) -> bool {
        let budget = &mut *self.worker.pool(self.target.pool).budget.borrow_mut();
        let now_ms = self.worker.now_ms(Instant::now());
        let (terms, attempted) = (&self.target.retry, self.attempted(reused));
        self.has_another() && retry::would_repeat(terms, &attempted, Failure::BackendDown, budget, now_ms)
    }

    /// What `policy` wants to know.
    fn attempted(&self, reused: bool) -> Attempted {
        Attempted {
            idempotent: self.method.is_idempotent(),
            replayable: self.feed.is_replayable(),
            reused,
            tries_done: self.facts.attempts,
        }
    }

    /// Whether the time for the whole exchange has run out.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() + SLACK >= until)
    }

    /// The counters of the backend tried last.
    pub(super) fn counters(&self) -> &BackendCounters {
        &self.worker.counters().pools[self.target.pool.0 as usize][self.facts.backend.unwrap_or(0)]
    }

    /// Parts with the backend, and gives back what can be used again.
    fn part(&mut self, place: Option<Upstream<'_>>, outcome: Result<(), Cause>) {
        self.facts.request_bytes += self.feed.progress.bytes;
        if let Some(up) = place {
            self.counters().sent_bytes.add(self.facts.request_bytes);
            self.counters().received_bytes.add(self.facts.answer_bytes);
            let was_tunnel = self.answer.status == 101;
            if outcome.is_ok() && self.answer.keep_alive && !was_tunnel && self.feed.done && up.link.is_reusable() {
                let since = self.facts.times.first_byte.unwrap_or(self.facts.times.started);
                up.attempt.give_back(up.link.into_stream(), since);
            }
        }
    }
}
