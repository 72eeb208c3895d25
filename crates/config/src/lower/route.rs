//! `[[route]]`, and the routes that listeners' default pools stand for.

use std::collections::BTreeMap;

use policy::limit::RateLimit;
use policy::plan::{Action, Buffer, HeaderRules, HostMatch, ListenerId, Match, PathMatch, Route, Urgency};

use super::terms::Terms;
use super::{Names, action, buffer, fields, limits, matching};
use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::files::At;
use crate::table::{Table, Words};
use crate::values::{name, path};
use crate::warn::facts::{Facts, Origin, RouteFacts};

/// What routes refer to.
pub(super) struct Known<'a> {
    pub(super) names: &'a Names,
    /// The terms of each pool; `None` where a note was made.
    pub(super) terms: &'a [Option<Terms>],
    /// `limits.buffered`; `None` where a note was made.
    pub(super) buffered: Option<usize>,
}

/// Every route that can be made, in the order of writing; then the default pools of the listeners.
pub(super) fn all(context: &mut Context<'_>, root: &Table, known: &Known<'_>, facts: &mut Facts) -> Vec<Route> {
    let mut routes = Vec::new();
    let mut names: BTreeMap<&str, At> = BTreeMap::new();
    for (index, item) in root.list("route").iter().enumerate() {
        let Some(table) = item.table() else { continue };
        if let Some(words) = table.words("name") {
            context.take(words.at, name::chosen(words.text));
            if let Some(first) = names.insert(words.text, words.at) {
                let remedy = format!("the first is at {}", context.files.reference(first));
                let message = format!("two routes are named `{}`", words.text);
                context.error(words.at, Problem::new(code::DUPLICATE, message).remedy(remedy));
            }
        }
        let label = match table.words("name") {
            Some(words) => format!("route {}", words.text),
            None => format!("route {}", index + 1),
        };
        for (route, fact) in written(context, table, known, &label) {
            routes.push(route);
            facts.routes.push(fact);
        }
    }
    for (route, fact) in defaults(context, root, known) {
        routes.push(route);
        facts.routes.push(fact);
    }
    routes
}

/// The routes of one `[[route]]`: one, or as many as `paths` names.
fn written(context: &mut Context<'_>, table: &Table, known: &Known<'_>, label: &str) -> Vec<(Route, RouteFacts)> {
    let key = action::chosen(context, table);
    let conditions = matching::conditions(context, known.names, table);
    let paths = matching::paths(context, table);
    let terms = common(context, table, known);
    let parts = match key {
        None => Vec::new(),
        Some("paths") => by_path(context, table, known),
        Some(key) => {
            let action = action::action(context, known, table, key);
            vec![(paths, action, table.at)]
        }
    };
    let (Some(conditions), Some(common)) = (conditions, terms) else { return Vec::new() };
    let mut routes = Vec::new();
    for (paths, action, at) in parts {
        let Some(paths) = paths else { continue };
        let rewrite = action::rewrite(context, table, &paths);
        let matches = matching::matches(context, table, &conditions, &paths);
        let (Some(action), Some(matches), Some(rewrite)) = (action, matches, rewrite) else { continue };
        let route = Route {
            name: title(label, &matches),
            matches,
            action,
            rewrite,
            request_headers: common.request.clone(),
            response_headers: common.response.clone(),
            body_bytes: common.body_bytes,
            buffer: common.buffer,
            urgency: common.urgency,
            limit: common.limit.clone(),
        };
        routes.push((route, RouteFacts { at, clients: conditions.clients.clone(), origin: Origin::Route }));
    }
    routes
}

/// What the routes of one `[[route]]` share.
struct Common {
    request: HeaderRules,
    response: HeaderRules,
    body_bytes: Option<u64>,
    buffer: Buffer,
    urgency: Urgency,
    limit: Option<RateLimit>,
}

fn common(context: &mut Context<'_>, table: &Table, known: &Known<'_>) -> Option<Common> {
    let request = fields::rules(context, table, "request_headers");
    let response = fields::rules(context, table, "response_headers");
    // Off is no limit even where `[limits]` has one.
    let body_bytes = table.table("limits")?.size("body").map(|bytes| bytes.unwrap_or(u64::MAX));
    let buffer = buffer::buffer(context, table, known.buffered);
    let urgency = table.words("urgency")?.text;
    let urgency = Urgency::ALL.into_iter().find(|known| known.name() == urgency).unwrap_or_default();
    let limit = limits::rate(context, table.table("limits")?, "route")?;
    Some(Common { request: request?, response: response?, body_bytes, buffer: buffer?, urgency, limit })
}

/// A part of a `[[route]]` that becomes a route: its paths, its action, its place.
type Part = (Option<Vec<PathMatch>>, Option<Action>, At);

fn by_path(context: &mut Context<'_>, table: &Table, known: &Known<'_>) -> Vec<Part> {
    let members = table.members("paths");
    if table.item("paths").is_some() && members.is_empty() {
        let problem = Problem::value("`paths` is empty")
            .remedy("for example `paths = { \"/api/*\" = \"api\", \"/*\" = \"app\" }`");
        context.error(table.place("paths"), problem);
    }
    let mut parts = Vec::new();
    for member in members {
        let path = context.take(member.at, path::condition(&member.name));
        let target = member.item.words().and_then(|pool| action::target(context, known, table, pool));
        parts.push((path.map(|path| vec![path]), target.map(Action::Pool), member.at));
    }
    parts
}

/// `route 3 (shop.example/api/*)`: the number or name, and the first thing that it matches.
fn title(label: &str, matches: &[Match]) -> String {
    let Some(first) = matches.first() else { return label.to_owned() };
    let host = match &first.host {
        HostMatch::Any => String::new(),
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Wildcard(host) => format!("*.{host}"),
    };
    let path = match &first.path {
        PathMatch::Any => String::new(),
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(path) => format!("{path}/*"),
        PathMatch::Regex(pattern) => format!("~{}", pattern.source),
    };
    match (host.is_empty() && path.is_empty(), matches.len()) {
        (true, _) => label.to_owned(),
        (false, 1) => format!("{label} ({host}{path})"),
        (false, _) => format!("{label} ({host}{path}, …)"),
    }
}

/// The routes that stand for listeners' default pools: below every other.
fn defaults(context: &mut Context<'_>, root: &Table, known: &Known<'_>) -> Vec<(Route, RouteFacts)> {
    let mut routes = Vec::new();
    for (index, member) in root.members("listener").iter().enumerate() {
        let Some(words) = member.item.table().and_then(|listener| listener.words("pool")) else { continue };
        let (Ok(index), Some(target)) = (u16::try_from(index), default_target(context, known, words)) else { continue };
        let all = Match { priority: i32::MIN, listeners: vec![ListenerId(index)], ..Match::default() };
        let route = Route {
            name: format!("listener {}", member.name),
            matches: vec![all],
            action: Action::Pool(target),
            rewrite: None,
            request_headers: HeaderRules::default(),
            response_headers: HeaderRules::default(),
            body_bytes: None,
            buffer: Buffer::default(),
            urgency: Urgency::default(),
            limit: None,
        };
        routes.push((route, RouteFacts { at: words.at, clients: Vec::new(), origin: Origin::Listener }));
    }
    routes
}

/// A pool under its own terms.
fn default_target(context: &mut Context<'_>, known: &Known<'_>, pool: Words<'_>) -> Option<policy::plan::Target> {
    let pool = known.names.pool(context, pool)?;
    let terms = known.terms.get(usize::try_from(pool.0).ok()?)?.as_ref()?;
    Some(policy::plan::Target { pool, timeouts: terms.timeouts, retry: terms.retry.clone(), hedge: terms.hedge })
}
