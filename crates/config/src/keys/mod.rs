//! The one table of keys: what may be written, its type, its default, its meaning and an example.
//!
//! The parser ([`crate::decode`]), the reference page ([`crate::reference()`]) and the JSON Schema
//! ([`crate::schema()`]) all read it, so that none can drift from the others.

mod breaker;
mod eject;
mod health;
mod hedge;
mod listener;
mod pool;
mod process;
mod route;
mod tls;

use crate::values::ratio;

pub(crate) use health::HEALTH;
pub(crate) use process::ROOT;

/// The key whose value is read before everything else.
pub(crate) const INCLUDE: &str = "include";
/// The key whose lists are joined over files.
pub(crate) const ROUTE: &str = "route";

/// A table of the configuration.
#[derive(Debug)]
pub(crate) struct Section {
    /// How the reference names it: `[pool.NAME]`.
    pub(crate) heading: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
    /// Its keys, in the order of the reference.
    pub(crate) keys: &'static [Key],
}

/// A key of a section.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Default,
    /// One sentence or two.
    pub(crate) meaning: &'static str,
    /// A value as TOML.
    pub(crate) example: &'static str,
}

/// What holds when a key is not written.
#[derive(Debug)]
pub(crate) enum Default {
    /// This value, as TOML.
    Is(&'static str),
    /// Nothing; the words say what that means.
    Unset(&'static str),
    /// It must be written.
    Required,
}

/// The type of a value.
#[derive(Debug)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Count { min: i64, max: i64 },
    /// A number with at most two decimals, in hundredths.
    Ratio { min_percent: u16, max_percent: u16 },
    /// `"10s"`.
    Duration { off: Off, min_ms: u64 },
    /// `"32KiB"`.
    Size { off: Off, min: u64, max: u64 },
    /// A string of some form.
    Text(Form),
    /// One of these words; those of `later` are not built yet, each with the nearest alternative.
    Choice { now: &'static [&'static str], later: &'static [(&'static str, &'static str)] },
    /// A list.
    List(&'static Kind),
    /// One value, or a list of them.
    OneOrMore(&'static Kind),
    /// A table with these keys.
    Table(&'static Section),
    /// A table with names that the writer chooses.
    Map(&'static Kind),
    /// Any of these.
    Either(&'static [Kind]),
    /// Known, but not built yet, with the nearest alternative (may be empty). Among alternatives it stands for tables.
    NotYet(&'static str),
}

/// Whether `"off"` may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Off {
    /// It switches the limit off.
    Allowed,
    /// There must be a limit.
    Refused,
}

/// What a string stands for. What it must look like is known where it is read: [`crate::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Any text.
    Text,
    /// Text that is shown to nobody.
    Secret,
    /// An address to accept on.
    Bind,
    /// The Unix socket of the admin interface.
    Socket,
    /// A range of addresses; `${file:PATH}` may give many, one a line.
    Cidr,
    /// A host, `*.` before it for all below it.
    Host,
    /// A path, `/*` at its end for all below it.
    Path,
    /// A request method.
    Method,
    /// The name of a header field.
    Field,
    /// The name of a pool.
    Pool,
    /// The name of a listener.
    Listener,
    /// The address of a backend.
    Backend,
    /// A name that the writer chooses.
    Name,
    /// Text with places such as `{path}`.
    Template,
    /// A regular expression.
    Regex,
    /// What a health check does.
    Health,
    /// What of a request is hashed.
    HashKey,
    /// A range of statuses.
    Statuses,
    /// A file to read.
    File,
    /// Files to include.
    Glob,
    /// `file:PATH`.
    Page,
    /// `stdout` or a file.
    Target,
    /// Requests in a time: `100/s`.
    Rate,
    /// Who shares a rate.
    Sharing,
    /// A time or a percentile: `p95`.
    Delay,
}

impl Form {
    /// Its name, with the article.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text | Self::Secret => "a string",
            Self::Bind => "an address to accept on",
            Self::Socket => "a socket path",
            Self::Cidr => "an address range",
            Self::Host => "a host name",
            Self::Path => "a path",
            Self::Method => "a request method",
            Self::Field => "a header name",
            Self::Pool => "the name of a pool",
            Self::Listener => "the name of a listener",
            Self::Backend => "a backend address",
            Self::Name => "a name",
            Self::Template => "a template",
            Self::Regex => "a regular expression",
            Self::Health => "a path, `alive`, `tcp` or `off`",
            Self::HashKey => "`client`, `path`, `header:NAME`, `cookie:NAME` or `query:NAME`",
            Self::Statuses => "a range such as \"200-299\"",
            Self::File => "a file path",
            Self::Glob => "a file pattern",
            Self::Page => "`file:PATH`",
            Self::Target => "`stdout` or a file path",
            Self::Rate => "a rate such as \"100/s\"",
            Self::Sharing => "`client`, `client/24`, `header:NAME` or everybody's word",
            Self::Delay => "a time such as \"200ms\" or a percentile such as \"p95\"",
        }
    }
}

/// The longest duration that may be written: ten years.
pub(crate) const DURATION_MAX_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

/// A duration that may be off.
pub(crate) const DURATION_OR_OFF: Kind = Kind::Duration { off: Off::Allowed, min_ms: 1 };
/// A list of address ranges, or one.
pub(crate) const CIDRS: Kind = Kind::OneOrMore(&Kind::Text(Form::Cidr));

/// A key that is built.
pub(crate) const fn key(
    name: &'static str,
    kind: Kind,
    default: Default,
    meaning: &'static str,
    example: &'static str,
) -> Key {
    Key { name, kind, default, meaning, example }
}

/// A key of the contract that is not built yet.
pub(crate) const fn not_yet(name: &'static str, meaning: &'static str, instead: &'static str) -> Key {
    Key { name, kind: Kind::NotYet(instead), default: Default::Unset(""), meaning, example: "" }
}

impl Section {
    /// The key of a name.
    pub(crate) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The names of the keys that are built.
    pub(crate) fn names(&'static self) -> impl Iterator<Item = &'static str> + Clone {
        self.keys.iter().filter(|key| !key.is_later()).map(|key| key.name)
    }
}

impl Key {
    /// Whether it is not built yet.
    pub(crate) fn is_later(&self) -> bool {
        matches!(self.kind, Kind::NotYet(_))
    }
}

impl Kind {
    /// What a value of this type is, with the article: for "must be …".
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Count { min, max } => format!("a number from {min} to {max}"),
            Self::Ratio { min_percent, max_percent } => {
                format!("a number from {} to {}", ratio::show(*min_percent), ratio::show(*max_percent))
            }
            Self::Duration { off, .. } => format!("a duration such as \"10s\"{}", off.or_off()),
            Self::Size { off, .. } => format!("a size such as \"32KiB\"{}", off.or_off()),
            Self::Text(form) => form.name().to_owned(),
            Self::Choice { now, .. } => match now {
                [one] => format!("`{one}`"),
                several => format!("one of {}", quoted_list(several)),
            },
            Self::List(Self::Table(_)) => "a list of tables".to_owned(),
            Self::List(kind) => format!("a list, each {}", kind.name()),
            Self::OneOrMore(kind) => format!("{}, or a list of such", kind.name()),
            Self::Table(section) => match section.names().count() {
                // A longer list is no help in the middle of a sentence.
                1..=4 => format!("a table with {}", quoted_list(&section.names().collect::<Vec<_>>())),
                _ => "a table".to_owned(),
            },
            Self::Map(_) => "a table".to_owned(),
            Self::Either(kinds) => {
                let names: Vec<String> =
                    kinds.iter().filter(|kind| !matches!(kind, Self::NotYet(_))).map(Self::name).collect();
                names.join(" or ")
            }
            Self::NotYet(_) => "not available yet".to_owned(),
        }
    }

    /// The words of choices that are not built yet, each with the nearest alternative.
    pub(crate) fn later(&self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Choice { later, .. } => later.to_vec(),
            Self::Either(kinds) => kinds.iter().flat_map(Self::later).collect(),
            _ => Vec::new(),
        }
    }

    /// The sections directly within values of this type.
    pub(crate) fn sections(&self) -> Vec<&'static Section> {
        match self {
            Self::Table(section) => vec![*section],
            Self::List(kind) | Self::OneOrMore(kind) | Self::Map(kind) => kind.sections(),
            Self::Either(kinds) => kinds.iter().flat_map(Self::sections).collect(),
            _ => Vec::new(),
        }
    }
}

impl Off {
    fn or_off(self) -> &'static str {
        match self {
            Self::Allowed => ", or \"off\"",
            Self::Refused => "",
        }
    }
}

/// `` `a`, `b` ``.
fn quoted_list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The dotted name of a key in a table.
pub(crate) fn joined(table: &str, key: &str) -> String {
    let key = crate::setting::key(key);
    if table.is_empty() { key } else { format!("{table}.{key}") }
}

/// Every section, the root first, each before those within it.
pub(crate) fn sections() -> Vec<&'static Section> {
    let mut all: Vec<&'static Section> = vec![&ROOT];
    let mut next = 0;
    while let Some(section) = all.get(next).copied() {
        let inner = section.keys.iter().flat_map(|key| key.kind.sections());
        let mut new = Vec::new();
        for inner in inner {
            if !all.iter().chain(&new).any(|known| std::ptr::eq(*known, inner)) {
                new.push(inner);
            }
        }
        // Inner sections follow their own at once, which keeps the page in reading order.
        all.splice(next + 1..next + 1, new);
        next += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::At;

    #[test]
    fn each_section_is_found_once() {
        let all = sections();
        let mut headings: Vec<&str> = all.iter().map(|section| section.heading).collect();
        headings.sort_unstable();
        headings.dedup();
        assert_eq!(headings.len(), all.len());
        assert!(headings.contains(&"[pool.NAME.health]"));
    }

    #[test]
    fn no_section_has_a_key_twice_or_without_words() {
        for section in sections() {
            let mut names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), section.keys.len(), "{}", section.heading);
            for key in section.keys {
                assert!(key.meaning.ends_with('.'), "{} {}", section.heading, key.name);
                assert!(key.is_later() || !key.example.is_empty(), "{} {}", section.heading, key.name);
            }
        }
    }

    #[test]
    fn defaults_and_examples_are_toml() {
        let at = At { file: 0, start: 0, end: 0 };
        for key in sections().iter().flat_map(|section| section.keys).filter(|key| !key.is_later()) {
            if let Default::Is(text) = key.default {
                assert!(crate::tree::parse_default(text, at).is_some(), "default of {}", key.name);
            }
            assert!(crate::tree::parse_default(key.example, at).is_some(), "example of {}", key.name);
        }
    }
}
