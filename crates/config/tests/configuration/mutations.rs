//! Whatever is written: no panic, and a plan or an error, never neither.

use std::path::Path;

use config::{Severity, load, render};
use proptest::prelude::*;

use super::plan::{EXAMPLE, sources};

/// Reads a text in the place of the example and looks at everything that comes of it.
fn survives(text: &str) {
    let outcome = load(Path::new("evenkeel.toml"), &sources().file("evenkeel.toml", text));
    let wrong = outcome.diagnostics.iter().any(|one| one.severity == Severity::Error);
    assert_ne!(outcome.plan.is_some(), wrong);
    assert!(outcome.diagnostics.iter().all(|one| one.code != "defect"), "{text}");
    for diagnostic in &outcome.diagnostics {
        let told = render(diagnostic, &outcome.files);
        assert!(told.starts_with("error: ") || told.starts_with("warning: "));
        assert!(!diagnostic.message.is_empty());
    }
}

/// What is put in the place of something else: the crossroads of the parser.
const SHARDS: &[&str] = &[
    "",
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ",",
    "\n",
    "#",
    "0",
    "-1",
    "9223372036854775808",
    "1.5",
    "true",
    "off",
    "\"off\"",
    "\"\"",
    "${",
    "${env:X}",
    "${env:X:-1}",
    "${file:blocked.txt}",
    "$${",
    "*",
    "/*",
    "..",
    "%2e",
    "{path}",
    "{{",
    "\\u0000",
    "\u{0}",
    "ß",
    "日本",
    "\r\n",
    "[pool.app]",
    "[[route]]",
    "[route]",
    "1979-05-27",
    "0x",
    "a.b.c",
    "\"10s\"",
    "(?x)#",
    "(",
    "$1",
    "::1",
    "10.0.0.0/8",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_broken_example(cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, prop::sample::select(SHARDS)), 1..6)) {
        let mut text = EXAMPLE.to_owned();
        for (at, length, shard) in cuts {
            let mut start = at.index(text.len());
            let mut end = (start + length).min(text.len());
            while !text.is_char_boundary(start) { start -= 1; }
            while !text.is_char_boundary(end) { end += 1; }
            text.replace_range(start..end, shard);
        }
        survives(&text);
    }

    #[test]
    fn a_value_replaced(line in any::<prop::sample::Index>(), value in prop::sample::select(SHARDS)) {
        let mut lines: Vec<String> = EXAMPLE.lines().map(str::to_owned).collect();
        let index = line.index(lines.len());
        if let Some((key, _)) = lines[index].clone().split_once(" = ") {
            lines[index] = format!("{key} = {value}");
        }
        survives(&lines.join("\n"));
    }

    #[test]
    fn lines_in_another_order(lines in Just(EXAMPLE.lines().map(str::to_owned).collect::<Vec<_>>()).prop_shuffle()) {
        survives(&lines.join("\n"));
    }

    #[test]
    fn any_text(text in "\\PC*") {
        survives(&text);
    }
}

#[test]
fn each_line_left_out() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for skipped in 0..lines.len() {
        let kept = lines.iter().enumerate().filter(|(index, _)| *index != skipped).map(|(_, line)| *line);
        survives(&kept.collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn each_value_of_each_other_type() {
    for (index, line) in EXAMPLE.lines().enumerate() {
        let Some((key, _)) = line.split_once(" = ") else { continue };
        for value in
            ["1", "\"x\"", "true", "1.5", "[]", "{}", "[[1]]", "{ a = {} }", "1979-05-27", "[{}]", "\"${env:PORT}\""]
        {
            let lines: Vec<String> = EXAMPLE
                .lines()
                .enumerate()
                .map(|(other, line)| if other == index { format!("{key} = {value}") } else { line.to_owned() })
                .collect();
            survives(&lines.join("\n"));
        }
    }
}
