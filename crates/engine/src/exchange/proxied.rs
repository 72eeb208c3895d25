//! Proxying: attempts until one brings an answer, then the answer to its end.
//!
//! Owns the order of attempts; whether there is another is asked of `policy::retry`, where it goes of `policy::balance`.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use policy::balance::{Evidence, Standing};
use policy::plan::{HeaderRules, PoolId, Target};
use policy::retry::{self, Attempted, Failure, Verdict};
use policy::route::Query;
use wire::head::{Answer, Framing, Method};

use super::attempt::Failed;
use super::facts::Facts;
use super::feed::Feed;
use super::grpc;
use super::outlast::Reach;
use crate::backends::{Attempt, NoAttempt, Wish};
use crate::cause::Cause;
use crate::circuit::{self, Entry};
use crate::clock::Instant;
use crate::counters::BackendCounters;
use crate::passive::{Risk, Trial};
use crate::seam::Downstream;
use crate::shared::BackendShared;
use crate::upstream::BackendLink;
use crate::worker::Worker;

/// Deadlines fire up to so much late; an exchange that has no more than this left is over.
pub(super) const SLACK: Duration = Duration::from_millis(10);

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
    /// What of the request the pool's policy goes by.
    pub(super) key: u64,
    /// When the whole exchange must be over.
    pub(super) until: Option<Instant>,
    /// The running attempt tries an ejected backend.
    pub(super) trial: Option<Trial>,
    /// The exchange tries a pool whose circuit is half open.
    pub(super) pool_trial: Option<circuit::Trial>,
    pub(super) reach: Reach,
}

/// A part of an exchange that most go without: boxed and out of sight, so that those carry neither its room nor its code.
pub(super) type Detour<'s> = Pin<Box<dyn Future<Output = Result<(), Cause>> + 's>>;

/// The backend's side of the attempt under way.
pub(super) struct Upstream<'a> {
    /// Before the attempt, so that its connection is closed when another takes its place at the backend.
    pub(super) link: BackendLink<'a>,
    pub(super) attempt: Attempt,
    /// The connection had served before, and nothing of an answer has come on it.
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
    let is_repeated = method.is_idempotent() || (facts.call.is_some() && !target.retry.grpc.is_empty());
    let keeps = is_repeated && target.retry.tries > 1;
    let until = grpc::until(facts, &target.timeouts);
    let key = hash_key(worker, down, facts, target.pool);
    facts.pool = Some(target.pool);
    let pool_trial = match circuit::enter(worker, target.pool) {
        Entry::Pass(trial) => trial,
        Entry::Refused { wait_s } => return Err(Cause::CircuitOpen { wait_s }),
    };
    worker.pool(target.pool).budget.borrow_mut().on_request(worker.now_ms(facts.times.started));
    if target.hedge.is_some() {
        worker.pool(target.pool).hedging().budget.on_request(worker.now_ms(facts.times.started));
    }
    let mut proxied = Proxied {
        worker,
        target,
        down,
        facts,
        feed: Feed::new(if keeps { target.retry.body_buffer } else { 0 }),
        answer: worker.answers.take(),
        method,
        key,
        until,
        trial: None,
        pool_trial,
        reach: Reach::default(),
    };
    // The upstream stays in this place: futures that hand it about would copy it.
    let mut place = None;
    let buffer = proxied.buffer();
    let mut outcome = if buffer.request > 0 { proxied.gather(buffer).await } else { Ok(()) };
    if outcome.is_ok() {
        outcome = proxied.attempts(&mut place).await;
        proxied.judge_pool(outcome);
    }
    let mut rest = None;
    if let (Ok(()), Some(up)) = (outcome, &mut place) {
        proxied.begin_forward(up);
        outcome = if buffer.response > 0 && proxied.answer.status != 101 {
            proxied.forward_ahead(up, buffer.response, &mut rest).await
        } else {
            proxied.forward(up).await
        };
        proxied.note_and_judge_end(up, outcome);
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
        let mut last = None;
        loop {
            *place = None;
            if self.is_too_late() {
                return Err(Cause::TotalTimeout);
            }
            let mut attempt = match self.pick() {
                Ok(attempt) => attempt,
                Err(NoAttempt::NoBackend) => return Err(Cause::NoBackend),
                // What an attempt met says more.
                Err(NoAttempt::NoneReady) => return Err(last.unwrap_or(Cause::NoneReady)),
                // Boxed, since most exchanges never wait and would carry its room about.
                Err(NoAttempt::Busy) => Box::pin(self.queued()).await?,
            };
            self.begun(&mut attempt);
            let tried = self.attempt(attempt, place).await;
            let reused = place.as_ref().is_some_and(|up| up.reused);
            self.note(&tried, reused);
            match &tried {
                Ok(()) => {
                    self.note_call_head(place.as_ref());
                    self.judge_head();
                }
                Err(Failed::Attempt(failure, cause) | Failed::Granted(failure, cause)) => {
                    last = Some(*cause);
                    self.note_call_failure(place.as_ref());
                    self.judge_failure(*failure, *cause, reused);
                }
                Err(Failed::Exchange(_)) => {}
            }
            match tried {
                Ok(()) => match self.failed_in_head() {
                    Some(failure) if self.decide(failure) => self.counters().failures.add(1),
                    _ => return Ok(()),
                },
                Err(Failed::Granted(failure, _)) => {
                    self.counters().failures.add(1);
                    if failure == Failure::Connect {
                        self.not_reached();
                    }
                }
                Err(Failed::Exchange(cause)) => return Err(cause),
                Err(Failed::Attempt(failure, cause)) => {
                    // What we lack is not the backend's failure.
                    self.counters().failures.add(u64::from(cause != Cause::LocalExhausted));
                    if failure == Failure::Connect {
                        self.not_reached();
                    }
                    // Boxed, since most exchanges never wait and would carry its room about.
                    if !self.decide(failure) && !Box::pin(self.outlasts(failure, cause)).await? {
                        return Err(cause);
                    }
                }
            }
            self.feed.rewind();
        }
    }

    fn pick(&self) -> Result<Attempt, NoAttempt> {
        let now_ms = self.worker.now_ms(self.now());
        let wish = Wish { key: self.key, tried: self.facts.tried.list(), now_ms, risk: self.risk() };
        Attempt::begin(self.worker, self.target.pool, &wish)
    }

    /// Now; what is done first has taken no time.
    fn now(&self) -> Instant {
        let is_first = self.facts.attempts == 0 && self.facts.times.queued.is_none() && !self.feed.was_gathered;
        if is_first { self.facts.times.started } else { Instant::now() }
    }

    /// Notes that an attempt begins.
    fn begun(&mut self, attempt: &mut Attempt) {
        let now = self.now();
        let facts = &mut *self.facts;
        (facts.times.attempted, facts.times.asked) = (Some(now), Some(now));
        (facts.times.connected, facts.times.first_byte) = (None, None);
        facts.attempts += 1;
        if let Some(call) = &mut facts.call {
            call.status = None;
        }
        self.trial = attempt.trial.take();
        facts.backend = Some(attempt.backend);
        facts.tried.push(attempt.backend);
        if facts.attempts > 1 {
            attempt.counters().retries.add(1);
        }
    }

    /// What a trial by this exchange would risk. Only the first attempt is one, so that a failure leaves others.
    fn risk(&self) -> Risk {
        let is_kept = match self.down.head().0.framing {
            Framing::None => true,
            Framing::Length(length) => length <= self.target.retry.body_buffer as u64,
            _ => false,
        };
        match self.facts.attempts {
            0 if self.method.is_idempotent() && is_kept => Risk::Repeatable,
            0 => Risk::Once,
            _ => Risk::No,
        }
    }

    /// Notes what an attempt said of its backend, where the pool's policy wants to know.
    fn note(&self, tried: &Result<(), Failed>, reused: bool) {
        if !self.worker.plan.pool(self.target.pool).policy.wants_latency() {
            return;
        }
        let evidence = match tried {
            Ok(()) => Some(Evidence::of_answer(self.answer.status)),
            Err(Failed::Exchange(Cause::ClientGone | Cause::TotalTimeout)) if self.feed.done => Some(Evidence::Silence),
            // What we or the client lack is not the backend's failure.
            Err(Failed::Attempt(_, Cause::LocalExhausted) | Failed::Exchange(_)) => None,
            Err(Failed::Attempt(failure, _) | Failed::Granted(failure, _)) => {
                Evidence::of_failure(*failure, &self.attempted(*failure, reused))
            }
        };
        self.note_evidence(evidence);
    }

    /// As [`Self::note`]; for policies that do not ask nothing is noted.
    pub(super) fn note_evidence(&self, evidence: Option<Evidence>) {
        let wants_it = self.worker.plan.pool(self.target.pool).policy.wants_latency();
        let (Some(evidence), Some(asked), true) = (evidence, self.facts.times.asked, wants_it) else { return };
        let now = self.facts.times.first_byte.unwrap_or_else(Instant::now);
        let took_us = now.us_since(asked);
        self.backend().note(evidence, took_us, self.worker.now_ms(now));
    }

    /// Whether the answer's status is one to try again elsewhere; a pool without another backend would give it once more.
    fn failed_in_head(&self) -> Option<Failure> {
        let failure = if self.target.retry.statuses.contains(&self.answer.status) {
            Some(Failure::Status(self.answer.status))
        } else {
            self.call_failure()
        };
        failure.filter(|_| self.has_another())
    }

    /// Whether the pool has a backend that was not tried and may well answer.
    fn has_another(&self) -> bool {
        let mut backends = self.worker.shared.pools[self.target.pool.0 as usize].backends.iter().enumerate();
        backends.any(|(index, backend)| {
            let hopeful = matches!(backend.standing(), Standing::Ready | Standing::Unknown);
            hopeful && !self.facts.tried.list().iter().any(|&tried| usize::from(tried) == index)
        })
    }

    /// Whether there is another attempt. A pool that is given up for now gets none, but of those that try it.
    fn decide(&self, failure: Failure) -> bool {
        if self.has_given_up() {
            return false;
        }
        let budget = &mut *self.worker.pool(self.target.pool).budget.borrow_mut();
        let now_ms = self.worker.now_ms(Instant::now());
        let verdict = retry::decide(&self.target.retry, &self.attempted(failure, false), failure, budget, now_ms);
        matches!(verdict, Verdict::Again { .. })
    }

    pub(super) fn has_given_up(&self) -> bool {
        let circuit = circuit::of(self.worker, self.target.pool);
        circuit.is_some_and(|circuit| !circuit.is_closed()) && self.pool_trial.is_none()
    }

    /// Whether the exchange goes on at another backend, which is granted thereby. Where it does not, the one that was
    /// asked may still answer: one that was out when it was asked (panic) is left only for one that is ready.
    pub(super) fn is_granted_elsewhere(&self, failure: Failure, was_down: bool) -> bool {
        let is_there_one = if was_down { self.has_returned() } else { self.has_another() };
        is_there_one && self.decide(failure)
    }

    /// Whether a backend is ready now that all were out. A trial wants no other.
    fn has_returned(&self) -> bool {
        let backends = &self.worker.shared.pools[self.target.pool.0 as usize].backends;
        self.trial.is_none() && backends.iter().any(|backend| backend.standing() == Standing::Ready)
    }

    /// What `policy` wants to know.
    pub(super) fn attempted(&self, failure: Failure, reused: bool) -> Attempted {
        // Tries are what backends have seen, not connections that were not made.
        let unseen = if failure == Failure::Connect { self.reach.forgiven } else { self.reach.unmade };
        Attempted {
            idempotent: self.method.is_idempotent(),
            replayable: self.feed.is_replayable(),
            reused,
            tries_done: self.facts.attempts - unseen,
        }
    }

    /// Whether the time for the whole exchange has run out.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() + SLACK >= until)
    }

    /// What all share of the backend tried last.
    fn backend(&self) -> &BackendShared {
        &self.worker.shared.pools[self.target.pool.0 as usize].backends[self.facts.backend.unwrap_or(0)]
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
                if let Some(stream) = up.link.into_stream() {
                    up.attempt.give_back(stream, since);
                }
            } else if outcome.is_ok() && !was_tunnel && up.link.has_unasked() {
                up.attempt.distrust();
            }
        }
    }
}

/// The key that a pool's policy goes by, if it goes by any.
fn hash_key<D: Downstream>(worker: &Worker, down: &D, facts: &Facts, pool: PoolId) -> u64 {
    let Some(key) = worker.plan.pool(pool).policy.hash_key() else { return 0 };
    let (head, buf) = down.head();
    key.of(&Query { listener: down.peer().listener, head, buf, client: facts.client })
}
