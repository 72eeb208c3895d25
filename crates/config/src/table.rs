//! Read values: each of its key's type, with its place and origin. What [`crate::decode`] makes and [`crate::lower`]
//! takes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::files::At;
use crate::interpolate::{Filled, Origin};
use crate::setting::{key, quoted};
use crate::values::{duration, ratio, size};

/// A table whose keys are known and whose defaults are filled in.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its dotted name: `pool.app`, `route[1]`; empty for the top.
    pub(crate) name: String,
    /// Where it is named.
    pub(crate) at: At,
    pub(crate) items: BTreeMap<&'static str, Item>,
    /// Where the keys stand that were written, be their values good or bad.
    pub(crate) written: BTreeMap<&'static str, At>,
}

/// A value with its place.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) at: At,
    pub(crate) origin: Origin,
    pub(crate) filled: Filled,
    pub(crate) value: Value,
}

/// A value of a known type.
#[derive(Debug)]
pub(crate) enum Value {
    Flag(bool),
    Count(i64),
    /// In hundredths.
    Ratio(u16),
    /// `None` is off.
    Duration(Option<Duration>),
    /// `None` is off.
    Size(Option<u64>),
    Text(String),
    List(Vec<Item>),
    Table(Table),
    Map(Vec<Member>),
}

/// A named value of a table whose names the writer chose.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Where the name stands.
    pub(crate) at: At,
    pub(crate) item: Item,
}

/// A string with its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: At,
}

/// A longest wait: `None` is off.
pub(crate) type Wait = Option<Duration>;

impl Item {
    pub(crate) fn words(&self) -> Option<Words<'_>> {
        match &self.value {
            Value::Text(text) => Some(Words { text, at: self.at }),
            _ => None,
        }
    }

    pub(crate) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The value as it would be written; what a file gave stays there.
    pub(crate) fn show(&self) -> String {
        match &self.value {
            Value::Text(_) if self.filled == Filled::FromFile => "\"(from a file)\"".to_owned(),
            Value::Text(text) => quoted(text),
            Value::Flag(flag) => flag.to_string(),
            Value::Count(number) => number.to_string(),
            Value::Ratio(hundredths) => ratio::show(*hundredths),
            Value::Duration(wait) => quoted(&wait.map_or("off".to_owned(), duration::show)),
            Value::Size(bytes) => quoted(&bytes.map_or("off".to_owned(), size::show)),
            Value::List(_) if self.filled == Filled::FromFile => "[\"(from a file)\"]".to_owned(),
            Value::List(items) => format!("[{}]", joined(items.iter().map(Self::show))),
            Value::Map(members) => in_braces(members.iter().map(|member| (member.name.as_str(), &member.item))),
            Value::Table(table) => in_braces(
                table.items.iter().filter(|(_, item)| item.origin != Origin::Default).map(|(name, item)| (*name, item)),
            ),
        }
    }
}

fn in_braces<'a>(entries: impl Iterator<Item = (&'a str, &'a Item)>) -> String {
    let entries = joined(entries.map(|(name, item)| format!("{} = {}", key(name), item.show())));
    if entries.is_empty() { "{}".to_owned() } else { format!("{{ {entries} }}") }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

/// The getters ask for the type that the table of keys declares; another type, or a key that is neither written nor has
/// a default, gives nothing.
impl Table {
    /// Where a key stands, if it was written.
    pub(crate) fn written(&self, key: &str) -> Option<At> {
        self.written.get(key).copied()
    }

    /// The place to show for a key: its own, else the table's.
    pub(crate) fn place(&self, key: &str) -> At {
        self.written(key).unwrap_or(self.at)
    }

    pub(crate) fn item(&self, key: &str) -> Option<&Item> {
        self.items.get(key)
    }

    pub(crate) fn words(&self, key: &str) -> Option<Words<'_>> {
        self.item(key)?.words()
    }

    /// The elements of a list.
    pub(crate) fn list(&self, key: &str) -> &[Item] {
        match self.item(key).map(|item| &item.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The strings of a list.
    pub(crate) fn all_words(&self, key: &str) -> impl Iterator<Item = Words<'_>> {
        self.list(key).iter().filter_map(Item::words)
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.item(key)?.value {
            Value::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    /// A number; the table of keys bounds it to what `T` holds.
    pub(crate) fn count<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        match self.item(key)?.value {
            Value::Count(number) => T::try_from(number).ok(),
            _ => None,
        }
    }

    /// A ratio in hundredths.
    pub(crate) fn ratio(&self, key: &str) -> Option<u16> {
        match self.item(key)?.value {
            Value::Ratio(hundredths) => Some(hundredths),
            _ => None,
        }
    }

    pub(crate) fn wait(&self, key: &str) -> Option<Wait> {
        match self.item(key)?.value {
            Value::Duration(wait) => Some(wait),
            _ => None,
        }
    }

    /// Bytes; `Some(None)` is off.
    pub(crate) fn size(&self, key: &str) -> Option<Option<u64>> {
        match self.item(key)?.value {
            Value::Size(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Bytes of something in memory, which cannot be off.
    pub(crate) fn bytes(&self, key: &str) -> Option<usize> {
        usize::try_from(self.size(key)??).ok()
    }

    pub(crate) fn table(&self, key: &str) -> Option<&Self> {
        self.item(key)?.table()
    }

    pub(crate) fn members(&self, key: &str) -> &[Member] {
        match self.item(key).map(|item| &item.value) {
            Some(Value::Map(members)) => members,
            _ => &[],
        }
    }
}
