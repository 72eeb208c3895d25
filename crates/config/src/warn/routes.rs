//! Mistakes of routes: those that never match, and those that match less than meant.

use std::collections::BTreeMap;

use policy::plan::{Action, HostMatch, Match, PathMatch, Plan, PoolId};

use super::facts::{Facts, Origin, RouteFacts};
use super::relations::{Judged, covers, fields, is_within, meet, outranks};
use super::{HEADER_ONLY_CANARY, PATH_WITHOUT_STAR, SHADOWED_ROUTE, Warnings};

/// Beyond so many matches, pairs are no longer compared: it would take longer than people wait.
const COMPARED_MAX: usize = 4_000;

pub(super) fn judge(warnings: &mut Warnings<'_, '_>, plan: &Plan, facts: &Facts) {
    let all = judged(plan, facts);
    if all.iter().map(Vec::len).sum::<usize>() > COMPARED_MAX {
        return;
    }
    for (index, facts_of_route) in facts.routes.iter().enumerate() {
        if facts_of_route.origin == Origin::Listener {
            continue;
        }
        if let Some(winner) = winner(&all, index) {
            let winner_at = warnings.reference(facts.routes[winner].at);
            let message = format!("this route never matches: {} always comes first", plan.routes[winner].name);
            let remedy = format!(
                "that one is at {winner_at}; give this one a higher `priority`, narrow that one, or remove one"
            );
            warnings.add(SHADOWED_ROUTE, facts_of_route.at, message, &remedy);
            continue;
        }
        canary(warnings, plan, facts, index);
        without_star(warnings, plan, facts, index);
    }
}

/// The matches of each route.
fn judged<'a>(plan: &'a Plan, facts: &'a Facts) -> Vec<Vec<Judged<'a>>> {
    let mut order = 0..;
    let of_route = |(route, facts): (&'a policy::plan::Route, &'a RouteFacts)| {
        let matches = route.matches.iter();
        matches.zip(order.by_ref()).map(|(found, order)| Judged { found, clients: &facts.clients, order }).collect()
    };
    plan.routes.iter().zip(&facts.routes).map(of_route).collect()
}

/// The route that takes every request of a route, if there is one for each of its matches; the first of them.
fn winner(all: &[Vec<Judged<'_>>], index: usize) -> Option<usize> {
    let beats = |loser: Judged<'_>| {
        let takes = |other: &Judged<'_>| outranks(*other, loser) && covers(*other, loser);
        all.iter().enumerate().filter(|(other, _)| *other != index).find(|(_, matches)| matches.iter().any(takes))
    };
    let winners: Option<Vec<usize>> = all[index].iter().map(|found| beats(*found).map(|(winner, _)| winner)).collect();
    winners?.first().copied()
}

/// A route by header alone, for all paths, beside a route of the same hosts with a path or a host of its own: what is
/// more specific wins whatever the header says.
fn canary(warnings: &mut Warnings<'_, '_>, plan: &Plan, facts: &Facts, index: usize) {
    let route = &plan.routes[index];
    let Some(found) = route.matches.iter().find(|found| fields(found) > 0 && is_every_path(&found.path)) else {
        return;
    };
    let others = plan.routes.iter().enumerate().filter(|(other, _)| *other != index);
    let stronger = others.filter(|(_, other)| pools(&other.action) != pools(&route.action)).find(|(_, other)| {
        other.matches.iter().any(|other| {
            let narrower =
                !is_every_path(&other.path) || (found.host == HostMatch::Any && other.host != HostMatch::Any);
            fields(other) == 0 && other.priority == found.priority && narrower && meet(other, found)
        })
    });
    if let Some((winner, stronger)) = stronger {
        let at = warnings.reference(facts.routes[winner].at);
        let message =
            format!("{} at {at} is more specific and takes its requests whatever the headers say", stronger.name);
        warnings.add(HEADER_ONLY_CANARY, facts.routes[index].at, message, "give this route `priority = 1`");
    }
}

fn is_every_path(path: &PathMatch) -> bool {
    match path {
        PathMatch::Any => true,
        PathMatch::Prefix(prefix) => prefix.is_empty(),
        PathMatch::Exact(_) | PathMatch::Regex(_) => false,
    }
}

/// The pools that an action leads to, with their shares.
fn pools(action: &Action) -> BTreeMap<PoolId, u32> {
    match action {
        Action::Pool(target) => BTreeMap::from([(target.pool, 1)]),
        Action::Split { arms, .. } => arms.iter().map(|(weight, target)| (target.pool, *weight)).collect(),
        Action::Answer(_) | Action::Redirect(_) => BTreeMap::new(),
    }
}

/// `/api` to a pool, when nothing takes what is below.
fn without_star(warnings: &mut Warnings<'_, '_>, plan: &Plan, facts: &Facts, index: usize) {
    let route = &plan.routes[index];
    if !matches!(route.action, Action::Pool(_) | Action::Split { .. }) {
        return;
    }
    for found in &route.matches {
        let PathMatch::Exact(path) = &found.path else { continue };
        let last = path.rsplit('/').next().unwrap_or("");
        // The root and files have nothing below them.
        if last.is_empty() || last.contains('.') {
            continue;
        }
        let below = |other: &Match| meet(other, found) && reaches_below(&other.path, path);
        if !plan.routes.iter().flat_map(|route| &route.matches).any(below) {
            let message = format!("`{path}` matches itself alone; everything below it is answered with 404");
            let remedy = format!("write `\"{path}/*\"` for both");
            warnings.add(PATH_WITHOUT_STAR, facts.routes[index].at, message, &remedy);
        }
    }
}

/// Whether a path condition takes something below `path`.
fn reaches_below(condition: &PathMatch, path: &str) -> bool {
    match condition {
        PathMatch::Any | PathMatch::Regex(_) => true,
        PathMatch::Prefix(prefix) => is_within(path, prefix) || is_within(prefix, path),
        PathMatch::Exact(other) => other != path && is_within(other, path),
    }
}
