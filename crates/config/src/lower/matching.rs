//! The conditions of a route.

use policy::access::CidrSet;
use policy::plan::{FieldMatch, FieldTest, HostMatch, ListenerId, Match, MethodName, PathMatch, Pattern};

use super::{Names, bare, ranges};
use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::table::{Item, Member, Table, Value};
use crate::values::{host, name, path, pattern};
use ipnet::IpNet;

/// Matches of one route, hosts times paths.
const MATCHES_MAX: usize = 100_000;

/// The conditions of a route, apart from its path.
pub(super) struct Conditions {
    pub(super) hosts: Vec<HostMatch>,
    /// All others.
    pub(super) common: Match,
    /// The ranges of `common.clients`, for judging.
    pub(super) clients: Vec<IpNet>,
}

/// Reads the conditions; `None` after a note.
pub(super) fn conditions(context: &mut Context<'_>, names: &Names, route: &Table) -> Option<Conditions> {
    let hosts = hosts(context, route);
    let listeners = listeners(context, names, route);
    let methods = methods(context, route);
    let headers = fields(context, route, "headers", header_name);
    let query = fields(context, route, "query", parameter_name);
    let cookies = fields(context, route, "cookies", parameter_name);
    refuse_empty(context, route, "client");
    let clients = bare(&ranges(context, route, "client"));
    let common = Match {
        priority: route.count("priority")?,
        listeners: listeners?,
        host: HostMatch::Any,
        path: PathMatch::Any,
        methods: methods?,
        headers: headers?,
        query: query?,
        cookies: cookies?,
        clients: (!clients.is_empty()).then(|| CidrSet::new(&clients)),
    };
    Some(Conditions { hosts: hosts?, common, clients })
}

/// A match for each host and path.
pub(super) fn matches(
    context: &mut Context<'_>,
    route: &Table,
    conditions: &Conditions,
    paths: &[PathMatch],
) -> Option<Vec<Match>> {
    if conditions.hosts.len().saturating_mul(paths.len()) > MATCHES_MAX {
        let message = format!("more than {MATCHES_MAX} combinations of `host` and `path`");
        context.error(route.at, Problem::new(code::TOO_MANY, message).remedy("split the route"));
        return None;
    }
    let with_host = |host: &HostMatch| {
        let host = host.clone();
        paths.iter().map(move |path| Match { host: host.clone(), path: path.clone(), ..conditions.common.clone() })
    };
    Some(conditions.hosts.iter().flat_map(with_host).collect())
}

fn hosts(context: &mut Context<'_>, route: &Table) -> Option<Vec<HostMatch>> {
    if route.written("host").is_none() {
        return Some(vec![HostMatch::Any]);
    }
    let hosts: Vec<_> =
        route.all_words("host").filter_map(|words| context.take(words.at, host::condition(words.text))).collect();
    refuse_empty(context, route, "host");
    complete(hosts, route, "host")
}

/// Reads `path`, strings and regular expressions, or `grpc`.
pub(super) fn paths(context: &mut Context<'_>, route: &Table) -> Option<Vec<PathMatch>> {
    if let Some(at) = route.written("grpc") {
        if route.written("path").is_some() {
            let problem = Problem::new(code::CONFLICT, "`grpc` is a short form of `path`, and both are there");
            context.error(at, problem.remedy("write all of them as `path`: `\"/package.Service/*\"`"));
            return None;
        }
        let methods: Vec<_> = route
            .all_words("grpc")
            .filter_map(|words| context.take(words.at, path::method_of_grpc(words.text)))
            .collect();
        refuse_empty(context, route, "grpc");
        return complete(methods, route, "grpc");
    }
    if route.written("path").is_none() {
        return Some(vec![PathMatch::Any]);
    }
    let paths: Vec<_> = route
        .list("path")
        .iter()
        .filter_map(|item| match item.words() {
            Some(words) => context.take(words.at, path::condition(words.text)),
            None => regex(context, item.table()?, "regex").map(PathMatch::Regex),
        })
        .collect();
    refuse_empty(context, route, "path");
    complete(paths, route, "path")
}

/// The list if every element could be read.
fn complete<T>(list: Vec<T>, route: &Table, key: &str) -> Option<Vec<T>> {
    (!list.is_empty() && list.len() == route.list(key).len()).then_some(list)
}

/// An empty list would match nothing, which nobody means.
fn refuse_empty(context: &mut Context<'_>, route: &Table, key: &str) {
    if route.item(key).is_some() && route.list(key).is_empty() {
        let problem = Problem::value(format!("an empty list for `{key}`")).remedy("leave it out to match all");
        context.error(route.place(key), problem);
    }
}

fn listeners(context: &mut Context<'_>, names: &Names, route: &Table) -> Option<Vec<ListenerId>> {
    refuse_empty(context, route, "listener");
    let listeners: Vec<_> = route.all_words("listener").filter_map(|words| names.listener(context, words)).collect();
    (listeners.len() == route.list("listener").len()).then_some(listeners)
}

fn methods(context: &mut Context<'_>, route: &Table) -> Option<Vec<MethodName>> {
    refuse_empty(context, route, "methods");
    let methods: Vec<_> =
        route.all_words("methods").filter_map(|words| context.take(words.at, name::method(words.text))).collect();
    (methods.len() == route.list("methods").len()).then_some(methods)
}

fn fields(
    context: &mut Context<'_>,
    route: &Table,
    key: &str,
    read_name: fn(&str) -> Result<String, Problem>,
) -> Option<Vec<FieldMatch>> {
    let members = route.members(key);
    let fields: Vec<_> = members.iter().filter_map(|member| field(context, member, read_name)).collect();
    (fields.len() == members.len()).then_some(fields)
}

fn field(
    context: &mut Context<'_>,
    member: &Member,
    read_name: fn(&str) -> Result<String, Problem>,
) -> Option<FieldMatch> {
    let name = context.take(member.at, read_name(&member.name));
    let test = test(context, &member.item)?;
    Some(FieldMatch { name: name?, test })
}

fn test(context: &mut Context<'_>, item: &Item) -> Option<FieldTest> {
    match &item.value {
        Value::Flag(true) => Some(FieldTest::Present),
        Value::Flag(false) => Some(FieldTest::Absent),
        Value::Text(text) => {
            context.take(item.at, name::field_value(text))?;
            Some(FieldTest::Exact(text.clone()))
        }
        Value::Table(table) => regex(context, table, "regex").map(FieldTest::Regex),
        _ => None,
    }
}

/// Reads the regular expression of a key.
pub(super) fn regex(context: &mut Context<'_>, table: &Table, key: &str) -> Option<Pattern> {
    let words = table.words(key)?;
    context.take(words.at, pattern::parse(words.text))
}

fn header_name(text: &str) -> Result<String, Problem> {
    let name = name::field(text)?;
    match name.as_str() {
        "host" => {
            Err(Problem::value("`host` is a condition of its own")
                .remedy("write `host = \"shop.example\"` on the route"))
        }
        "cookie" => {
            Err(Problem::value("`cookie` holds all cookies at once").remedy("write `cookies = { name = \"value\" }`"))
        }
        _ => Ok(name),
    }
}

fn parameter_name(text: &str) -> Result<String, Problem> {
    match text.is_empty() {
        true => Err(Problem::value("an empty name")),
        false => Ok(text.to_owned()),
    }
}
