//! The road of a request: one exchange, straight down the page (DESIGN D6).
//!
//! Owns the order of things: route, limits, attempts, both bodies, the end. What should happen is asked of `policy`; who
//! the client is, and in which version it speaks, is behind [`Downstream`].

mod ahead;
mod answer;
mod attempt;
mod blame;
mod facts;
mod feed;
mod forward;
mod gather;
mod grpc;
mod hedge;
mod limits;
mod outlast;
mod proxied;
mod queued;
#[cfg(test)]
mod tests;
mod wait;
mod watch;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use policy::plan::{Action, RouteId, Target};
use policy::route::{Matched, Query};
use policy::split::{self, Throw};
use wire::head::{Framing, Method};

pub(crate) use facts::{Facts, Times, Tried};
pub(crate) use grpc::Call;

use crate::cause::Cause;
use crate::clock::Instant;
use crate::h1::max_forwards;
use crate::seam::Downstream;
use crate::worker::Worker;
use facts::{RequestId, client_ip};

/// How an exchange ended, for the connection it ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// An answer was sent whole.
    Answered,
    /// The answer cannot be completed: the client must see the connection break.
    Broken,
}

/// Where a request goes.
enum Way<'p> {
    /// To a backend.
    Proxy(&'p Target),
    /// The route answers by itself.
    Here(&'p Action),
    /// OPTIONS that has gone far enough (RFC 9110, section 7.6.2).
    FinalOptions,
}

/// When a request came.
#[derive(Clone, Copy)]
pub(crate) struct Started {
    /// Its first byte.
    pub(crate) arrived: Instant,
    /// The last byte of its head.
    pub(crate) whole: Instant,
}

/// Runs one exchange from a whole request head to the end of its answer.
pub(crate) async fn exchange<D: Downstream>(worker: &Rc<Worker>, down: &mut D, started: Started) -> Ended {
    let mut facts = begin(worker, down, started);
    let outcome = match choose(worker, down, &mut facts) {
        Ok(Way::Proxy(target)) => {
            let mut watch = worker.watch(down.peer(), facts.client);
            let mut running = pin!(proxied::proxy(worker, down, &mut facts, target));
            poll_fn(|cx| worker.poll_watched(cx, &mut watch, running.as_mut())).await
        }
        Ok(Way::Here(action)) => answer::act(worker, down, &mut facts, action).await,
        Ok(Way::FinalOptions) => answer::allow(worker, down, &mut facts).await,
        Err(cause) => Err(cause),
    };
    let ended = match outcome {
        Ok(()) => Ended::Answered,
        Err(cause) => answer::fail(worker, down, &mut facts, cause).await,
    };
    crate::record::finish(worker, down, &facts);
    ended
}

/// Answers a request that cannot be understood, or that did not come in time.
pub(crate) async fn refuse<D: Downstream>(worker: &Rc<Worker>, down: &mut D, arrived: Instant, cause: Cause) -> Ended {
    let mut facts = begin(worker, down, Started { arrived, whole: arrived });
    let ended = answer::fail(worker, down, &mut facts, cause).await;
    crate::record::finish(worker, down, &facts);
    ended
}

fn begin<D: Downstream>(worker: &Worker, down: &D, started: Started) -> Facts {
    let (request, buf) = down.head();
    let peer = down.peer();
    let listener = &worker.plan.listeners[usize::from(peer.listener.0)];
    Facts {
        times: Times {
            arrived: started.arrived,
            started: started.whole,
            queued: None,
            attempted: None,
            asked: None,
            connected: None,
            first_byte: None,
        },
        client: client_ip(request, buf, peer, |ip| listener.trusted_proxies.contains(ip)),
        request_id: RequestId::new(request, buf, peer, &mut worker.rng.borrow_mut()),
        route: None,
        rest_at: 0,
        pool: None,
        backend: None,
        attempts: 0,
        hedged: None,
        tried: Tried::default(),
        status: 0,
        cause: None,
        call: Call::of(request, buf, started.whole),
        request_bytes: 0,
        answer_bytes: 0,
        answer_begun: false,
    }
}

/// Route and limits.
fn choose<'p, D: Downstream>(worker: &'p Worker, down: &mut D, facts: &mut Facts) -> Result<Way<'p>, Cause> {
    worker.refuses_request(down.peer(), facts.client)?;
    if let Some(limit) = &worker.plan.listeners[usize::from(down.peer().listener.0)].limit {
        limits::check(worker, down, facts, limit)?;
    }
    let (request, buf) = down.head();
    let query = Query { listener: down.peer().listener, head: request, buf, client: facts.client };
    let Matched { route: id, rest_at, .. } = worker.plan.router.route_matched(&query).ok_or(Cause::NoRoute)?;
    facts.route = Some(id);
    facts.rest_at = rest_at;
    let route = worker.plan.route(id);
    if let Err(shortage) = worker.gate.admit(route.urgency) {
        worker.counters().shed[shortage as usize][route.urgency as usize].add(1);
        return Err(Cause::Overload(shortage));
    }
    if let Some(limit) = &route.limit {
        limits::check(worker, down, facts, limit)?;
    }
    let limit = route.body_bytes.or(worker.plan.limits.body_bytes);
    if let (Framing::Length(length), Some(limit)) = (request.framing, limit)
        && length > limit
    {
        return Err(Cause::BodyTooLarge);
    }
    let ends_here = request.method == Method::Options && max_forwards(request, buf) == Some(0);
    down.limit_body(limit);
    if ends_here { Ok(Way::FinalOptions) } else { Ok(way(worker, facts, id)) }
}

fn way<'p>(worker: &'p Worker, facts: &Facts, id: RouteId) -> Way<'p> {
    let mut throw = Throw { client: facts.client, rng: &mut worker.rng.borrow_mut() };
    match split::target(&worker.plan, id, &mut throw) {
        Some(target) => Way::Proxy(target),
        None => Way::Here(&worker.plan.route(id).action),
    }
}
