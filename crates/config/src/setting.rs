//! What is in force: every value with where it comes from, for `evenkeel config`.

use std::collections::BTreeMap;

use crate::files::{At, Files};
use crate::interpolate::Origin;

/// One value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The dotted key: `pool.app.timeouts.connect`, `route[1].path`.
    pub key: String,
    /// The value as TOML. A secret, and what comes from a file, is not shown.
    pub value: String,
    /// `evenkeel.toml:12`, `environment NAME` or `default`.
    pub source: String,
}

/// The words of an origin.
pub(crate) fn source_of(origin: &Origin, at: At, files: &Files) -> String {
    match origin {
        Origin::Written => files.reference(at),
        Origin::Environment(name) => format!("environment {name}"),
        Origin::Default => "default".to_owned(),
    }
}

/// Puts settings that were found late behind the key that they belong to.
pub(crate) fn insert_behind(settings: &mut Vec<Setting>, mut late: BTreeMap<String, Vec<Setting>>) {
    if late.is_empty() {
        return;
    }
    let early = std::mem::take(settings);
    for setting in early {
        let behind = late.remove(&setting.key);
        settings.push(setting);
        settings.extend(behind.into_iter().flatten());
    }
}

/// A TOML basic string.
pub(crate) fn quoted(text: &str) -> String {
    use std::fmt::Write as _;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A TOML key, quoted where it must be.
pub(crate) fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare { name.to_owned() } else { quoted(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_can_be_read_back() {
        for text in ["", "a\"b\\c", "tab\tline\n\u{7f}\u{1}", "ß日本"] {
            let line = format!("a = {}", quoted(text));
            let table: toml::Table = line.parse().unwrap();
            assert_eq!(table["a"].as_str(), Some(text));
        }
    }
}
