//! Mistakes of pools.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use policy::plan::{Action, Address, Backend, Bind, Plan, Pool, PoolId, ProbeKind, Talk, Wanted};

use super::facts::{Facts, PoolFacts};
use super::{
    HEALTH_INTERVAL, HEALTH_OFF, LOOP, NO_READY_BACKEND, ONE_BACKEND, TCP_ONLY_CHECK, UNUSED_POOL, UNVERIFIED, Warnings,
};

pub(super) fn judge(warnings: &mut Warnings<'_, '_>, plan: &Plan, facts: &Facts) {
    let binds: Vec<&Bind> = plan.listeners.iter().flat_map(|listener| &listener.binds).collect();
    let used = used(plan);
    for (index, (pool, facts)) in plan.pools.iter().zip(&facts.pools).enumerate() {
        backends(warnings, pool, facts);
        health(warnings, pool, facts);
        if pool.tls.as_ref().is_some_and(|tls| tls.unverified) {
            let message =
                format!("pool `{}` believes every certificate: anybody on the way can be its backend", pool.name);
            warnings.add(
                UNVERIFIED,
                facts.tls,
                message,
                "name those who issue their certificates: `tls = { ca = \"…\" }`",
            );
        }
        for (backend, at) in pool.backends.iter().zip(&facts.backends) {
            if binds.iter().any(|bind| leads_to(backend, bind)) {
                let message =
                    format!("backend `{}` is one of our own listeners: requests go round in a circle", backend.name);
                warnings.add(LOOP, *at, message, "name the address of the server itself");
            }
        }
        if !u32::try_from(index).is_ok_and(|index| used.contains(&PoolId(index))) {
            let message = format!("nothing leads to pool `{}`", pool.name);
            warnings.add(UNUSED_POOL, facts.at, message, "name it in a route or as a listener's `pool`, or remove it");
        }
    }
}

fn backends(warnings: &mut Warnings<'_, '_>, pool: &Pool, facts: &PoolFacts) {
    if let [only] = pool.backends.as_slice() {
        let message =
            format!("pool `{}` has one backend: when `{}` fails, there is nowhere to go", pool.name, only.name);
        warnings.add(
            ONE_BACKEND,
            facts.at,
            message,
            "add a second one, or allow it: `[check] allow = [\"one-backend\"]`",
        );
    }
    if pool.backends.iter().all(|backend| backend.state != Wanted::Ready) {
        let message = format!("no backend of pool `{}` is ready by the file", pool.name);
        warnings.add(NO_READY_BACKEND, facts.at, message, "remove `state` from one of them");
    }
}

fn health(warnings: &mut Warnings<'_, '_>, pool: &Pool, facts: &PoolFacts) {
    let Some(check) = &pool.health else {
        let message = format!("pool `{}` is not checked: a dead backend is found by its clients", pool.name);
        warnings.add(HEALTH_OFF, facts.health, message, "leave `health` out, or name a path: `health = \"/healthz\"`");
        return;
    };
    if matches!(check.kind, ProbeKind::Tcp | ProbeKind::Talk(Talk { expect: None, .. })) {
        let message = format!("pool `{}` is checked by TCP alone, which a hung process passes", pool.name);
        warnings.add(
            TCP_ONLY_CHECK,
            facts.health,
            message,
            "leave `health` out, or name a path: `health = \"/healthz\"`",
        );
    }
    if check.timeout > check.interval {
        let message = "a probe may take longer than the time between two of them";
        warnings.add(HEALTH_INTERVAL, facts.probe_timeout, message, "make `timeout` shorter than `interval`");
    }
}

/// The pools that something leads to.
fn used(plan: &Plan) -> BTreeSet<PoolId> {
    let targets = plan.routes.iter().flat_map(|route| match &route.action {
        Action::Pool(target) => vec![target.pool],
        Action::Split { arms, .. } => arms.iter().map(|(_, target)| target.pool).collect(),
        Action::Answer(_) | Action::Redirect(_) => Vec::new(),
    });
    targets.collect()
}

/// Whether a connection to a backend arrives at this listener of ours.
fn leads_to(backend: &Backend, bind: &Bind) -> bool {
    match (&backend.address, bind) {
        (Address::Unix(path), Bind::Unix(bound)) => path == bound,
        (Address::Ip(to), Bind::Tcp { addr, v6_only }) => leads_to_ip(to, addr, *v6_only),
        (Address::Name(name, port), Bind::Tcp { addr, .. }) => {
            let here = addr.ip().is_loopback() || addr.ip().is_unspecified();
            name == "localhost" && *port == addr.port() && here
        }
        _ => false,
    }
}

fn leads_to_ip(to: &SocketAddr, bound: &SocketAddr, v6_only: bool) -> bool {
    let family_fits = to.is_ipv4() == bound.is_ipv4() || (bound.is_ipv6() && !v6_only);
    let ours = to.ip().is_loopback() || to.ip().is_unspecified();
    to.port() == bound.port() && (to.ip() == bound.ip() || (bound.ip().is_unspecified() && ours && family_fits))
}
