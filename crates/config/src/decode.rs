//! Reading written values as their keys' types, driven by the table of keys.
//!
//! Each value that cannot be read is noted and its default taken, so that one mistake is told once and hides no other.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::files::At;
use crate::interpolate::{self, Filled, Given, Origin};
use crate::keys::{self, Default, Form, Key, Kind, ROOT, Section};
use crate::nearest::{nearest, suggestion};
use crate::setting::{Setting, source_of};
use crate::table::{Item, Member, Table, Value};
use crate::tree::{self, Entry, Node, Raw};
use crate::values::{cidr, duration, ratio, size};

/// Reads the whole tree.
pub(crate) fn document(context: &mut Context<'_>, entries: &[Entry]) -> Table {
    table(context, &ROOT, Named { name: "", at: At { file: 0, start: 0, end: 0 } }, entries)
}

/// Reads the patterns of an `include`, each with its place.
pub(crate) fn include(context: &mut Context<'_>, entry: &Entry) -> Vec<(String, At)> {
    let Some(key) = ROOT.find(keys::INCLUDE) else { return Vec::new() };
    let Some(item) = written(context, Subject { name: key.name, word: key.name, key }, &entry.node) else {
        return Vec::new();
    };
    match item.value {
        Value::List(items) => items.iter().filter_map(|item| Some((item.words()?.text.to_owned(), item.at))).collect(),
        _ => Vec::new(),
    }
}

/// Reads an empty table of a section: all defaults, in force at `at` under `name`.
pub(crate) fn defaults(context: &mut Context<'_>, section: &'static Section, name: &str, at: At) -> Table {
    table(context, section, Named { name, at }, &[])
}

/// Which table is read.
#[derive(Clone, Copy)]
struct Named<'a> {
    name: &'a str,
    at: At,
}

/// Which key is read.
#[derive(Clone, Copy)]
struct Subject<'a> {
    /// Its dotted name.
    name: &'a str,
    /// What to call it: the key, and within a table of chosen names that name, too.
    word: &'a str,
    key: &'static Key,
}

fn table(context: &mut Context<'_>, section: &'static Section, place: Named<'_>, entries: &[Entry]) -> Table {
    for entry in entries.iter().filter(|entry| section.find(&entry.name).is_none()) {
        context.error(entry.at, unknown(section, place.name, &entry.name));
    }
    let mut table =
        Table { name: place.name.to_owned(), at: place.at, items: BTreeMap::new(), written: BTreeMap::new() };
    for key in section.keys {
        let name = keys::joined(place.name, key.name);
        let subject = Subject { name: &name, word: key.name, key };
        let entry = entries.iter().find(|entry| entry.name == key.name);
        if let Some(entry) = entry {
            table.written.insert(key.name, entry.at);
        }
        if let (Kind::NotYet(instead), Some(entry)) = (&key.kind, entry) {
            context.error(entry.at, Problem::not_available(&format!("`{}`", key.name), instead));
            continue;
        }
        let item = entry.and_then(|entry| written(context, subject, &entry.node));
        if let Some(item) = item.or_else(|| default(context, subject, place, entry)) {
            table.items.insert(key.name, item);
        }
    }
    table
}

/// A written value, which is in force from now on.
fn written(context: &mut Context<'_>, subject: Subject<'_>, node: &Node) -> Option<Item> {
    let mark = context.settings.len();
    let item = value(context, subject, &subject.key.kind, node)?;
    record(context, subject, &item, mark);
    Some(item)
}

/// The default of a key that was not written, or not well.
fn default(context: &mut Context<'_>, subject: Subject<'_>, place: Named<'_>, entry: Option<&Entry>) -> Option<Item> {
    match subject.key.default {
        Default::Unset(_) => None,
        Default::Required if entry.is_some() => None,
        Default::Required => {
            let message = format!("{} has no `{}`", title(place.name), subject.key.name);
            let remedy = format!("for example `{} = {}`", subject.key.name, subject.key.example);
            context.error(place.at, Problem::new(code::MISSING_KEY, message).remedy(remedy));
            None
        }
        Default::Is(text) => {
            let node = tree::parse_default(text, place.at)?;
            let mark = context.settings.len();
            let mut item = value(context, subject, &subject.key.kind, &node)?;
            item.origin = Origin::Default;
            record(context, subject, &item, mark);
            Some(item)
        }
    }
}

/// Reads a value as a type.
fn value(context: &mut Context<'_>, subject: Subject<'_>, kind: &'static Kind, node: &Node) -> Option<Item> {
    if let Kind::NotYet(instead) = kind {
        context.error(node.at, Problem::not_available(&format!("a table for `{}`", subject.word), instead));
        return None;
    }
    if let Raw::Text(text) = &node.raw {
        let given = interpolate::fill(context, text, node.at)?;
        return string(context, subject, kind, given, node.at);
    }
    if !takes(kind, &node.raw) {
        context.error(node.at, wrong_type(subject, kind, &node.raw));
        return None;
    }
    let value = match (kind, &node.raw) {
        (Kind::Either(kinds), raw) => {
            let kind = kinds.iter().find(|kind| takes(kind, raw))?;
            return value(context, subject, kind, node);
        }
        (Kind::List(kind), Raw::List(nodes)) => list(context, subject, kind, nodes),
        (Kind::OneOrMore(kind), Raw::List(nodes)) => list(context, subject, kind, nodes),
        (Kind::OneOrMore(kind), _) => list(context, subject, kind, std::slice::from_ref(node)),
        (Kind::Table(section), Raw::Table(entries)) => {
            Value::Table(table(context, section, Named { name: subject.name, at: node.at }, entries))
        }
        (Kind::Map(kind), Raw::Table(entries)) => map(context, subject, kind, entries),
        (Kind::Flag, Raw::Flag(flag)) => Value::Flag(*flag),
        (Kind::Count { min, max }, Raw::Integer(number)) => {
            let number = count(subject, number.ok_or_else(String::new), *min..=*max);
            Value::Count(context.take(node.at, number)?)
        }
        (Kind::Ratio { min_percent, max_percent }, raw) => {
            let text = match raw {
                Raw::Integer(Some(number)) => number.to_string(),
                Raw::Float(text) => text.clone(),
                _ => return None,
            };
            Value::Ratio(context.take(node.at, ratio::parse(&text, *min_percent..=*max_percent))?)
        }
        _ => return None,
    };
    Some(Item { at: node.at, origin: Origin::Written, filled: Filled::No, value })
}

/// Whether a type takes a value of this form (strings are judged by [`string`]).
fn takes(kind: &Kind, raw: &Raw) -> bool {
    match kind {
        Kind::Flag => matches!(raw, Raw::Flag(_)),
        Kind::Count { .. } => matches!(raw, Raw::Integer(_)),
        Kind::Ratio { .. } => matches!(raw, Raw::Float(_) | Raw::Integer(Some(_))),
        Kind::Duration { .. } | Kind::Size { .. } | Kind::Text(_) | Kind::Choice { .. } => matches!(raw, Raw::Text(_)),
        Kind::List(_) => matches!(raw, Raw::List(_)),
        Kind::OneOrMore(kind) => matches!(raw, Raw::List(_)) || takes(kind, raw),
        Kind::Table(_) | Kind::Map(_) | Kind::NotYet(_) => matches!(raw, Raw::Table(_)),
        Kind::Either(kinds) => kinds.iter().any(|kind| takes(kind, raw)),
    }
}

/// Reads a string, after filling in, as a type.
fn string(context: &mut Context<'_>, subject: Subject<'_>, kind: &'static Kind, given: Given, at: At) -> Option<Item> {
    let text = given.text.as_str();
    let value = match kind {
        Kind::Either(kinds) => {
            let kind = alternative(kinds, &given).unwrap_or(&kinds[0]);
            return string(context, subject, kind, given, at);
        }
        Kind::OneOrMore(Kind::Text(Form::Cidr)) => Ok(Value::List(ranges(context, &given, at))),
        Kind::OneOrMore(kind) => {
            let (origin, filled) = (given.origin.clone(), given.filled);
            let item = string(context, subject, kind, given, at)?;
            return Some(Item { at, origin, filled, value: Value::List(vec![item]) });
        }
        Kind::Text(_) => Ok(Value::Text(text.to_owned())),
        Kind::Choice { now, later } => choice(subject, text, now, later),
        Kind::Duration { off, min_ms } => {
            duration::parse(text, duration::Bounds { off: *off, min_ms: *min_ms }).map(Value::Duration)
        }
        Kind::Size { off, min, max } => {
            size::parse(text, size::Bounds { off: *off, min: *min, max: *max }).map(Value::Size)
        }
        Kind::Flag if given.filled != Filled::No => flag(subject, text),
        Kind::Count { min, max } if given.filled != Filled::No => {
            let number = text.trim().replace('_', "").parse::<i64>().map_err(|_| text.to_owned());
            count(subject, number, *min..=*max).map(Value::Count)
        }
        Kind::Ratio { min_percent, max_percent } if given.filled != Filled::No => {
            ratio::parse(text, *min_percent..=*max_percent).map(Value::Ratio)
        }
        _ => Err(wrong_type(subject, kind, &Raw::Text(String::new()))),
    };
    let value = context.take(at, value)?;
    Some(Item { at, origin: given.origin, filled: given.filled, value })
}

/// The alternative that a string is meant for: what was filled in may be a number, all else is a string's own type.
fn alternative<'a>(kinds: &'a [Kind], given: &Given) -> Option<&'a Kind> {
    let is_number = given.filled != Filled::No && given.text.trim().parse::<i64>().is_ok();
    let number = kinds.iter().find(|kind| is_number && matches!(kind, Kind::Count { .. }));
    let text = || kinds.iter().find(|kind| takes(kind, &Raw::Text(String::new())));
    let filled = || kinds.iter().find(|kind| matches!(kind, Kind::Flag | Kind::Count { .. }));
    number.or_else(text).or_else(filled)
}

fn list(context: &mut Context<'_>, subject: Subject<'_>, kind: &'static Kind, nodes: &[Node]) -> Value {
    let mut items = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        match &node.raw {
            Raw::Text(text) if matches!(kind, Kind::Text(Form::Cidr)) => {
                if let Some(given) = interpolate::fill(context, text, node.at) {
                    items.extend(ranges(context, &given, node.at));
                }
            }
            _ => {
                let name = format!("{}[{}]", subject.name, index + 1);
                let subject = match kind {
                    Kind::Table(_) => Subject { name: &name, ..subject },
                    _ => subject,
                };
                items.extend(value(context, subject, kind, node));
            }
        }
    }
    Value::List(items)
}

/// Address ranges; what was filled in may hold many, one a line.
fn ranges(context: &mut Context<'_>, given: &Given, at: At) -> Vec<Item> {
    let item = |text: &str| {
        let value = Value::Text(text.to_owned());
        Item { at, origin: given.origin.clone(), filled: given.filled, value }
    };
    if given.filled == Filled::No {
        return vec![item(&given.text)];
    }
    let mut items = Vec::new();
    for (line, text) in cidr::lines(&given.text) {
        match cidr::parse(text) {
            Ok(_) => items.push(item(text)),
            Err(problem) => {
                let message = format!("in line {line} of it: {}", problem.message);
                context.error(at, Problem { message, ..problem });
            }
        }
    }
    items
}

fn map(context: &mut Context<'_>, subject: Subject<'_>, kind: &'static Kind, entries: &[Entry]) -> Value {
    let mut members = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = keys::joined(subject.name, &entry.name);
        let word = keys::joined(subject.word, &entry.name);
        // A table of chosen name is shown by its name, which is what there is to see of `[pool.app]`.
        let node = match &entry.node.raw {
            Raw::Table(_) => Node { at: entry.at, raw: entry.node.raw.clone() },
            _ => entry.node.clone(),
        };
        if let Some(item) = value(context, Subject { name: &name, word: &word, ..subject }, kind, &node) {
            members.push(Member { name: entry.name.clone(), at: entry.at, item });
        }
    }
    Value::Map(members)
}

fn choice(
    subject: Subject<'_>,
    text: &str,
    now: &'static [&'static str],
    later: &[(&str, &str)],
) -> Result<Value, Problem> {
    if now.contains(&text) {
        return Ok(Value::Text(text.to_owned()));
    }
    if let Some((_, instead)) = later.iter().find(|(name, _)| *name == text) {
        return Err(Problem::not_available(&format!("`{text}`"), instead));
    }
    let problem = Problem::value(format!("`{}` cannot be `{text}`", subject.word));
    // Some words need more said, which their table does.
    if let Some(inner) = subject.key.kind.sections().iter().find_map(|section| section.find(text)) {
        return Err(problem.remedy(format!("write `{{ {} = {} }}`", inner.name, inner.example)));
    }
    if now.len() == 1 && !subject.key.kind.sections().is_empty() {
        let example = format!("for example `{} = {}`", subject.key.name, subject.key.example);
        return Err(problem.remedy(format!("write `\"{}\"`, or {example}", now[0])));
    }
    Err(problem.remedy_if(suggestion(text, now.iter().copied())))
}

fn flag(subject: Subject<'_>, text: &str) -> Result<Value, Problem> {
    match text.trim() {
        "true" => Ok(Value::Flag(true)),
        "false" => Ok(Value::Flag(false)),
        _ => Err(Problem::value(format!("`{}` must be true or false, not `{text}`", subject.word))),
    }
}

/// Checks a number's bounds; `Err` holds what is there instead of a number of 64 bits.
fn count(
    subject: Subject<'_>,
    number: Result<i64, String>,
    bounds: std::ops::RangeInclusive<i64>,
) -> Result<i64, Problem> {
    let wanted = format!("`{}` must be a number from {} to {}", subject.word, bounds.start(), bounds.end());
    match number {
        Ok(number) if bounds.contains(&number) => Ok(number),
        Ok(number) => Err(Problem::value(format!("{wanted}, not {number}"))),
        Err(text) if text.is_empty() => Err(Problem::value(wanted)),
        Err(text) => Err(Problem::value(format!("{wanted}, not `{text}`"))),
    }
}

fn wrong_type(subject: Subject<'_>, kind: &Kind, raw: &Raw) -> Problem {
    match (kind, raw) {
        (Kind::Duration { off, .. }, Raw::Integer(number)) => return duration::bare(*number, *off),
        (Kind::Size { off, .. }, Raw::Integer(number)) => return size::bare(*number, *off),
        _ => {}
    }
    let message = format!("`{}` must be {}, not {}", subject.word, kind.name(), raw.name());
    let remedy = match kind {
        Kind::Table(_) if subject.word != subject.key.name => format!("write `[{}]`", subject.name),
        Kind::Map(Kind::Table(section)) | Kind::List(Kind::Table(section)) => format!("write `{}`", section.heading),
        _ => format!("for example `{} = {}`", subject.key.name, subject.key.example),
    };
    Problem::new(code::WRONG_TYPE, message).remedy(remedy)
}

fn unknown(section: &'static Section, table: &str, name: &str) -> Problem {
    let problem = match table {
        "" => Problem::new(code::UNKNOWN_KEY, format!("unknown table or key `{name}`")),
        table => Problem::new(code::UNKNOWN_KEY, format!("unknown key `{name}` in {}", title(table))),
    };
    if let Some(near) = nearest(name, section.names()) {
        return problem.remedy(format!("did you mean `{near}`?"));
    }
    /// Words that mean something else in each table that has them.
    const GENERAL: [&str; 1] = ["key"];
    let mut sections = keys::sections().into_iter().filter(|_| !GENERAL.contains(&name));
    let elsewhere = sections.find(|section| section.find(name).is_some());
    match elsewhere {
        Some(section) => problem.remedy(format!("`{name}` belongs to: {}", section.heading)),
        None => problem.remedy_if(suggestion(name, section.names())),
    }
}

/// A table as people name it: `[pool.app]`, `a backend of [pool.app]`, `route 2`, `timeouts of route 2`.
fn title(name: &str) -> String {
    if let Some(pool) = name.strip_suffix(".backends") {
        return format!("a backend of [{pool}]");
    }
    let Some((number, rest)) = name.strip_prefix("route[").and_then(|name| name.split_once(']')) else {
        return format!("[{name}]");
    };
    match rest.strip_prefix('.') {
        Some(inner) => format!("`{inner}` of route {number}"),
        None => format!("route {number}"),
    }
}

/// Notes a value as being in force. Tables have noted their own; a list is one value, whatever it holds.
fn record(context: &mut Context<'_>, subject: Subject<'_>, item: &Item, mark: usize) {
    match &item.value {
        Value::Table(_) => {}
        Value::List(_) if subject.key.name == keys::ROUTE => {}
        Value::Map(members) => {
            for member in members.iter().filter(|member| member.item.table().is_none()) {
                push(context, keys::joined(subject.name, &member.name), &member.item, member.item.show());
            }
        }
        _ => {
            context.settings.truncate(mark);
            let secret = matches!(subject.key.kind, Kind::Text(Form::Secret));
            let value = if secret { "\"(secret)\"".to_owned() } else { item.show() };
            push(context, subject.name.to_owned(), item, value);
        }
    }
}

fn push(context: &mut Context<'_>, key: String, item: &Item, value: String) {
    let source = source_of(&item.origin, item.at, &context.files);
    context.settings.push(Setting { key, value, source });
}
