//! What was written: the values of a TOML text, each with its place, in the order of writing.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::context::{Context, Trust};
use crate::diagnostic::{Problem, code};
use crate::files::At;

/// A written value.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) raw: Raw,
}

/// Its form in TOML.
#[derive(Clone, Debug)]
pub(crate) enum Raw {
    Text(String),
    /// `None` when it does not fit 64 bits.
    Integer(Option<i64>),
    /// As it was written.
    Float(String),
    Flag(bool),
    Date,
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Where the key stands.
    pub(crate) at: At,
    pub(crate) node: Node,
}

impl Raw {
    /// The name of the form, with its article.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Float(_) => "a number with a point",
            Self::Flag(_) => "true or false",
            Self::Date => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads a file's text; syntax errors are noted, and what could be read nevertheless is given.
pub(crate) fn parse(context: &mut Context<'_>, file: usize) -> Vec<Entry> {
    let text = context.files.text(file).to_owned();
    let (document, errors) = DeTable::parse_recoverable(&text);
    let mut last_line = 0;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let at = At { file, start: span.start.min(text.len()), end: span.end.min(text.len()) };
        let line = context.files.line(at);
        // The parser tells the same trouble several times over; the first on a line is the one to mend.
        if line != last_line {
            context.syntax(at, trust_after(error.message()), problem_of(error.message()));
        }
        last_line = line;
    }
    entries(document.get_ref(), file)
}

/// A default of the table of keys, as if it were written at `at`.
pub(crate) fn parse_default(text: &str, at: At) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(moved(node(&value, at.file), at))
}

fn trust_after(message: &str) -> Trust {
    let displaced = ["unclosed", "missing", "unexpected", "extra"].iter().any(|word| message.contains(word));
    if displaced { Trust::Nothing } else { Trust::After }
}

fn problem_of(message: &str) -> Problem {
    if message == "duplicate key" {
        return Problem::new(code::DUPLICATE_KEY, "this key is defined twice").remedy("keep one of the two");
    }
    let problem = Problem::new(code::SYNTAX, format!("this is not TOML: {message}"));
    match message.starts_with("string values must be quoted") {
        true => problem.remedy("put it in quotes: durations, sizes and addresses are strings, as in `\"10s\"`"),
        false => problem,
    }
}

fn entries(table: &DeTable<'_>, file: usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            name: key.get_ref().to_string(),
            at: at(key.span(), file),
            node: node(value, file),
        })
        .collect();
    entries.sort_by_key(|entry| entry.at.start);
    entries
}

fn node(value: &Spanned<DeValue<'_>>, file: usize) -> Node {
    let raw = match value.get_ref() {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => Raw::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Float(number) => Raw::Float(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        DeValue::Datetime(_) => Raw::Date,
        DeValue::Array(list) => Raw::List(list.iter().map(|value| node(value, file)).collect()),
        DeValue::Table(table) => Raw::Table(entries(table, file)),
    };
    Node { at: at(value.span(), file), raw }
}

fn at(span: std::ops::Range<usize>, file: usize) -> At {
    At { file, start: span.start, end: span.end }
}

fn moved(node: Node, at: At) -> Node {
    let raw = match node.raw {
        Raw::List(list) => Raw::List(list.into_iter().map(|node| moved(node, at)).collect()),
        Raw::Table(entries) => Raw::Table(
            entries.into_iter().map(|entry| Entry { at, node: moved(entry.node, at), name: entry.name }).collect(),
        ),
        raw => raw,
    };
    Node { at, raw }
}
