//! What a route does.

use policy::plan::{Action, FixedAnswer, PathMatch, Redirect, Rewrite, SplitBy, Target};

use super::route::Known;
use super::{fields, matching, page, terms};
use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::table::{Table, Value, Words};
use crate::values::path::{self, Replacement};
use crate::values::{name, pattern};

/// Keys that choose an action.
const ACTIONS: &[&str] = &["pool", "pools", "paths", "answer", "redirect"];

/// Keys that need a backend to mean something.
const WITH_BACKEND: &[&str] = &["rewrite", "request_headers", "timeouts", "retry", "hedge", "buffer"];

/// The one key that chooses the action of a route; a note when there is none, or more than one.
pub(super) fn chosen(context: &mut Context<'_>, route: &Table) -> Option<&'static str> {
    let mut written: Vec<_> = ACTIONS.iter().filter_map(|key| Some((route.written(key)?, *key))).collect();
    written.sort_by_key(|(at, _)| (at.file, at.start));
    match written.as_slice() {
        [] => {
            let problem = Problem::new(code::MISSING_KEY, "this route leads nowhere")
                .remedy("give it one of `pool`, `pools`, `paths`, `answer` and `redirect`");
            context.error(route.at, problem);
            None
        }
        [(_, key)] => {
            refuse_idle(context, route, key);
            Some(key)
        }
        [(_, first), (at, second), ..] => {
            let message = format!("a route does one thing, but this one has `{first}` and `{second}`");
            context.error(*at, Problem::new(code::CONFLICT, message).remedy("make two routes, or keep one of the two"));
            None
        }
    }
}

/// Notes keys that would do nothing beside the chosen action.
fn refuse_idle(context: &mut Context<'_>, route: &Table, action: &str) {
    let mut idle = |key: &str, remedy: &str| {
        if let Some(at) = route.written(key) {
            let message = format!("`{key}` does nothing beside `{action}`");
            context.error(at, Problem::new(code::CONFLICT, message).remedy(remedy));
        }
    };
    if action != "pools" {
        idle("split", "it says how `pools` are shared; leave it out");
    }
    if action == "paths" {
        idle("path", "the paths stand in `paths`; leave it out");
    }
    if matches!(action, "answer" | "redirect") {
        WITH_BACKEND.iter().for_each(|key| idle(key, "it is for requests that go to a pool; leave it out"));
    }
}

/// A pool under the terms of a route.
pub(super) fn target(context: &mut Context<'_>, known: &Known<'_>, route: &Table, pool: Words<'_>) -> Option<Target> {
    let pool = known.names.pool(context, pool)?;
    let of_pool = known.terms.get(usize::try_from(pool.0).ok()?)?.as_ref()?;
    let terms = terms::of_route(context, route, of_pool)?;
    Some(Target { pool, timeouts: terms.timeouts, retry: terms.retry, hedge: terms.hedge })
}

/// The action of a key, other than `paths`.
pub(super) fn action(context: &mut Context<'_>, known: &Known<'_>, route: &Table, key: &str) -> Option<Action> {
    match key {
        "pool" => target(context, known, route, route.words("pool")?).map(Action::Pool),
        "pools" => split(context, known, route),
        "answer" => answer(context, route.table("answer")?).map(Action::Answer),
        _ => redirect(context, route).map(Action::Redirect),
    }
}

fn split(context: &mut Context<'_>, known: &Known<'_>, route: &Table) -> Option<Action> {
    let mut arms = Vec::new();
    for member in route.members("pools") {
        let Value::Count(weight) = member.item.value else { continue };
        let target = target(context, known, route, Words { text: &member.name, at: member.at });
        if let (Ok(weight @ 1..), Some(target)) = (u32::try_from(weight), target) {
            arms.push((weight, target));
        }
    }
    if route.item("pools").is_some()
        && route.members("pools").iter().all(|member| matches!(member.item.value, Value::Count(0)))
    {
        let problem =
            Problem::value("no pool of `pools` has a weight").remedy("for example `pools = { app = 95, beta = 5 }`");
        context.error(route.place("pools"), problem);
        return None;
    }
    let by = match route.words("split").map(|words| words.text) {
        Some("client") => SplitBy::Client,
        _ => SplitBy::Request,
    };
    (!arms.is_empty()).then_some(Action::Split { by, arms })
}

fn answer(context: &mut Context<'_>, table: &Table) -> Option<FixedAnswer> {
    let status: u16 = table.count("status")?;
    let (body, content_type) = match (table.words("body"), table.words("file")) {
        (Some(_), Some(file)) => {
            let problem =
                Problem::new(code::CONFLICT, "an answer has one body").remedy("keep one of `body` and `file`");
            context.error(file.at, problem);
            return None;
        }
        (Some(body), None) => (body.text.as_bytes().to_vec(), page::PLAIN),
        (None, Some(file)) => (page::read(context, file.text, file.at)?, page::content_type(file.text)),
        (None, None) => (Vec::new(), page::PLAIN),
    };
    // RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5: these never have content.
    if matches!(status, 204 | 205 | 304) && !body.is_empty() {
        let problem = Problem::new(code::CONFLICT, format!("an answer with status {status} has no body"));
        context.error(table.place("status"), problem.remedy("leave `body` out, or use 200"));
        return None;
    }
    let mut headers = Vec::new();
    for member in table.members("headers") {
        let name = context.take(member.at, name::changeable_field(&member.name));
        let words = member.item.words()?;
        context.take(words.at, name::field_value(words.text))?;
        headers.push((name?, words.text.to_owned()));
    }
    if !body.is_empty() && !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    Some(FixedAnswer { status, body, headers })
}

fn redirect(context: &mut Context<'_>, route: &Table) -> Option<Redirect> {
    /// The usual status: permanent, and the method stays.
    const PERMANENT: u16 = 308;
    let item = route.item("redirect")?;
    let Some(table) = item.table() else {
        return fields::location(context, item.words()?).map(|to| Redirect { status: PERMANENT, to });
    };
    let status: u16 = table.count("status")?;
    let to = table.words("to").and_then(|to| fields::location(context, to));
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let problem = Problem::value(format!("{status} is not the status of a redirect"))
            .remedy("308 and 301 are for good, 307 and 302 for now, 303 turns into GET");
        context.error(table.place("status"), problem);
        return None;
    }
    Some(Redirect { status, to: to? })
}

/// Reads `rewrite`; `paths` are those of the route. The outer `None` is a note.
pub(super) fn rewrite(context: &mut Context<'_>, route: &Table, paths: &[PathMatch]) -> Option<Option<Rewrite>> {
    let Some(item) = route.item("rewrite") else { return Some(None) };
    if let Some(table) = item.table() {
        let pattern = matching::regex(context, table, "regex")?;
        let to = table.words("to")?;
        context.take(to.at, pattern::check_replacement(to.text, &pattern))?;
        if !to.text.starts_with(['/', '$']) {
            context.error(to.at, Problem::value("the new path does not start with `/`"));
            return None;
        }
        return Some(Some(Rewrite::Regex(pattern, to.text.to_owned())));
    }
    let words = item.words()?;
    let prefix = match context.take(words.at, path::replacement(words.text))? {
        Replacement::Whole(path) => return Some(Some(Rewrite::To(path))),
        Replacement::Prefix(prefix) => prefix,
    };
    if paths.iter().any(|path| matches!(path, PathMatch::Exact(_) | PathMatch::Regex(_))) {
        let problem = Problem::new(
            code::CONFLICT,
            format!("`{}` replaces a prefix, but this route has a path without `/*`", words.text),
        )
        .remedy("end each path of the route with `/*`, or write the new path without star");
        context.error(words.at, problem);
        return None;
    }
    Some(Some(Rewrite::Prefix(prefix)))
}
