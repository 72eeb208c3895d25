//! A post: one task that watches one address and tells all backends that have it.
//!
//! Backends of several pools with the same address and the same check share a post, so that a server that ten pools
//! use is probed once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::Engine;
use policy::ask::Ask;
use policy::balance::Standing;
use policy::health::{Health, ProbeFailure, Share};
use policy::outlier::Probe;
use policy::plan::PoolId;
use policy::rng::Rng;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::agent::News;
use super::once::{Check, Endpoint, Outcome, probe};
use crate::backends::{Backends, Changed, Seat, Verdict};
use crate::clock::steady_ms;
use crate::names::Resolution;
use crate::passive::Passive;

/// Probes at once, over all posts: the first round starts everything together.
pub(crate) const PROBES_AT_ONCE: usize = 256;
/// Between two probes of a post, however often its backends are reported.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// Between two steps of weights that ramp up.
const WEIGHT_STEP: Duration = Duration::from_millis(250);

/// What posts share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) backends: Arc<Backends>,
    /// Told of changed standings; gone once the data plane ends.
    pub(crate) engine: Arc<Mutex<Option<Engine>>>,
    pub(crate) shared: Arc<engine::Shared>,
    pub(crate) turns: Semaphore,
    /// When a probe that could not be tried was last told of, Unix milliseconds.
    pub(crate) untried_told_ms: AtomicU64,
    pub(crate) passive: Passive,
}

impl Desk {
    pub(crate) fn judge(&self, seat: Seat, verdict: &Verdict) {
        let changed = self.backends.judge(seat, verdict);
        self.tell(seat, changed);
    }

    /// Draws the conclusion from new evidence.
    pub(crate) fn settle(&self, seat: Seat) {
        let changed = self.backends.conclude(seat);
        self.tell(seat, changed);
    }

    fn tell(&self, seat: Seat, changed: Changed) {
        if changed == Changed::Yes {
            let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(engine) = engine.as_ref() {
                engine.backend_changed(seat.pool, seat.backend);
            }
        }
    }

    /// Once a second: what stops one probe stops all of them.
    fn tell_untried(&self, now_ms: u64, seat: Seat, why: &str) {
        if now_ms.abs_diff(self.untried_told_ms.load(Ordering::Relaxed)) < 1000 {
            return;
        }
        self.untried_told_ms.store(now_ms, Ordering::Relaxed);
        let (pool, backend) = self.backends.named(seat);
        tracing::warn!(
            pool = pool.name,
            backend = backend.name,
            "cannot probe, the state stays: {why}; raise LimitNOFILE= or free ports and memory"
        );
    }

    fn move_to(&self, Seat { pool: PoolId(pool), backend }: Seat, addr: SocketAddr) {
        self.shared.pools[pool as usize].set_resolved(backend, Some(addr));
    }
}

/// A backend that a post watches for.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) seat: Seat,
    pub(crate) health: Health,
}

/// Where a post looks.
#[derive(Debug)]
pub(crate) enum Place {
    Fixed(Endpoint),
    Named(Named),
}

/// A name, what is known of it, and which of its addresses is used.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) answers: watch::Receiver<Resolution>,
    pub(crate) chosen: Option<SocketAddr>,
}

/// One address under watch.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) place: Place,
    /// `None`: only the name is followed.
    pub(crate) check: Option<Check>,
    pub(crate) watched: Vec<Watched>,
    /// What the agent says, if there is one.
    pub(crate) agent: Option<watch::Receiver<News>>,
    /// Rung when a worker could not connect.
    pub(crate) bell: Arc<Notify>,
    pub(crate) rng: Rng,
}

impl Post {
    /// Watches for the life of the process.
    pub(crate) async fn keep(mut self, desk: Arc<Desk>) {
        let mut looked = false;
        loop {
            let began = self.look(&desk).await;
            let pause = self.pause(if looked { Round::Later } else { Round::First });
            if !looked {
                looked = true;
                desk.backends.first_look_done();
            }
            self.rest(&desk, (began, pause)).await;
        }
    }

    /// One look: when it began.
    async fn look(&mut self, desk: &Desk) -> Instant {
        self.place.settle().await;
        let turn = desk.turns.acquire().await;
        let began = Instant::now();
        let outcome = self.find_out(desk).await;
        drop(turn);
        self.learn(desk, &outcome);
        began
    }

    /// Tries the addresses until one passes; a name keeps to the one that passed last.
    async fn find_out(&mut self, desk: &Desk) -> Outcome {
        let endpoints = match self.place.endpoints() {
            Ok(endpoints) => endpoints,
            Err(why) => return Outcome::Failed(ProbeFailure::Resolve(why)),
        };
        let Some(check) = &self.check else {
            self.choose(desk, &endpoints[0]);
            return Outcome::Passed;
        };
        let mut first = None;
        for endpoint in &endpoints {
            let secured = check
                .tls
                .and_then(|Seat { pool: PoolId(pool), backend }| desk.shared.tls.back(pool as usize)?.peer(backend));
            match probe(check, endpoint, secured).await {
                outcome @ (Outcome::Passed | Outcome::Asks(_)) => {
                    self.choose(desk, endpoint);
                    return outcome;
                }
                outcome => {
                    first.get_or_insert(outcome);
                }
            }
        }
        // Known to be nowhere better: the workers get an address even so, for when all backends are out.
        self.choose(desk, &endpoints[0]);
        first.unwrap_or_else(|| Outcome::Untried("no address".to_owned()))
    }

    fn choose(&mut self, desk: &Desk, endpoint: &Endpoint) {
        let (Place::Named(named), Endpoint::Tcp(addr)) = (&mut self.place, endpoint) else { return };
        if named.chosen.replace(*addr) != Some(*addr) {
            for watched in &self.watched {
                desk.move_to(watched.seat, *addr);
            }
        }
    }

    fn learn(&mut self, desk: &Desk, outcome: &Outcome) {
        let now_ms = steady_ms();
        for watched in &mut self.watched {
            let verdict = match (&self.check, outcome) {
                (_, Outcome::Untried(why)) => {
                    desk.tell_untried(now_ms, watched.seat, why);
                    continue;
                }
                (None, Outcome::Passed | Outcome::Asks(_)) => unchecked(),
                (None, Outcome::Failed(failure)) => {
                    Verdict { standing: Standing::Out, share: Share::Full, reason: failure.to_string() }
                }
                (Some(_), Outcome::Passed) => watched.passed(now_ms, None),
                (Some(_), Outcome::Asks(ask)) => watched.passed(now_ms, Some(ask.clone())),
                (Some(_), Outcome::Failed(failure)) => watched.failed(now_ms, failure.clone()),
            };
            match (&self.check, outcome) {
                (Some(_), Outcome::Passed | Outcome::Asks(_)) => {
                    desk.probed(watched.seat, Probe::Passed, verdict.standing);
                }
                (Some(_), Outcome::Failed(_)) => desk.probed(watched.seat, Probe::Failed, verdict.standing),
                _ => desk.stands(watched.seat, verdict.standing),
            }
            desk.judge(watched.seat, &verdict);
        }
    }

    /// How long to rest. After the first round, which starts all posts at once, they spread over a whole interval.
    fn pause(&mut self, round: Round) -> Option<Duration> {
        self.check.as_ref()?;
        let interval = self.watched.first()?.health.next_interval(&mut self.rng);
        Some(match round {
            Round::Later => interval,
            Round::First => {
                let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
                Duration::from_millis(self.rng.below(millis + 1))
            }
        })
    }

    /// Waits until it is time (`None`: never), a worker rings, or the name leads elsewhere. Weights ramp up meanwhile.
    async fn rest(&mut self, desk: &Desk, (began, pause): (Instant, Option<Duration>)) {
        let due = pause.map(|pause| Instant::now() + pause);
        loop {
            let step = self.is_ramping().then(|| Instant::now() + WEIGHT_STEP);
            tokio::select! {
                () = at(due) => break,
                () = self.bell.notified() => break,
                () = self.place.moved() => break,
                () = at(step) => self.reweigh(desk),
                news = heard(&mut self.agent) => self.hear(desk, &news),
            }
        }
        sleep_until(began + SHORTEST_PAUSE).await;
    }

    /// Takes an agent's word down.
    fn hear(&mut self, desk: &Desk, news: &News) {
        let now_ms = steady_ms();
        for watched in &mut self.watched {
            match news {
                News::None => return,
                News::Said(ask) => {
                    watched.health.agent_asked(now_ms, ask.clone());
                }
                News::Silent(why) => watched.health.agent_silent(why.clone()),
            }
            let verdict = watched.verdict(now_ms);
            desk.stands(watched.seat, verdict.standing);
            desk.judge(watched.seat, &verdict);
        }
    }

    fn is_ramping(&self) -> bool {
        let now_ms = steady_ms();
        self.watched.iter().any(|watched| matches!(watched.health.share(now_ms), Share::SlowStart(_)))
    }

    /// Takes the weights of the moment to the workers.
    fn reweigh(&self, desk: &Desk) {
        let now_ms = steady_ms();
        for watched in self.watched.iter().filter(|watched| watched.health.standing() == Standing::Ready) {
            desk.judge(watched.seat, &watched.verdict(now_ms));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    First,
    Later,
}

/// The verdict on a backend that nobody checks.
pub(crate) fn unchecked() -> Verdict {
    Verdict { standing: Standing::Ready, share: Share::Full, reason: "no health check".to_owned() }
}

/// Lets weights grow after ejections, and tells the workers of all that changed, for the life of the process.
pub(crate) async fn announce_weights(desk: Arc<Desk>) {
    loop {
        sleep(WEIGHT_STEP).await;
        for seat in desk.backends.take_ramping() {
            desk.settle(seat);
        }
        desk.backends.announce_weights();
    }
}

/// Waits for an agent's next word; one that is gone, or never was, says nothing.
async fn heard(agent: &mut Option<watch::Receiver<News>>) -> News {
    if let Some(agent) = agent
        && agent.changed().await.is_ok()
    {
        return agent.borrow_and_update().clone();
    }
    std::future::pending().await
}

/// Waits for a time; `None` never comes.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Watched {
    fn passed(&mut self, now_ms: u64, ask: Option<Ask>) -> Verdict {
        self.health.probe_asked(now_ms, ask);
        self.verdict(now_ms)
    }

    fn failed(&mut self, now_ms: u64, failure: ProbeFailure) -> Verdict {
        self.health.probe_failed(now_ms, failure);
        self.verdict(now_ms)
    }

    fn verdict(&self, now_ms: u64) -> Verdict {
        let health = &self.health;
        Verdict { standing: health.standing(), share: health.share(now_ms), reason: health.reason(now_ms) }
    }
}

impl Place {
    /// Waits for the first answer of a name.
    async fn settle(&mut self) {
        if let Self::Named(named) = self {
            // An error means that nobody looks it up any more: the process ends.
            let _ = named.answers.wait_for(|answer| *answer != Resolution::Pending).await;
        }
    }

    /// Waits for another answer of a name.
    async fn moved(&mut self) {
        if let Self::Named(named) = self
            && named.answers.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// Where to look, the best first; at least one, or why there is none.
    fn endpoints(&mut self) -> Result<Vec<Endpoint>, String> {
        match self {
            Self::Fixed(endpoint) => Ok(vec![endpoint.clone()]),
            Self::Named(named) => named.endpoints(),
        }
    }
}

impl Named {
    fn endpoints(&mut self) -> Result<Vec<Endpoint>, String> {
        match &*self.answers.borrow_and_update() {
            Resolution::Found(found) => {
                let mut found = found.clone();
                found.sort_by_key(|addr| Some(*addr) != self.chosen);
                Ok(found.into_iter().map(Endpoint::Tcp).collect())
            }
            Resolution::Failed(why) => Err(why.clone()),
            Resolution::Pending => Err("no answer yet".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
