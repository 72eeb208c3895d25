//! The reference page, made of the table of keys.

use std::fmt::Write as _;

use crate::keys::{Default, Key, Section, sections};
use crate::warn;

const INTRODUCTION: &str = "\
# Configuration reference

<!-- Made from the table of keys: `UPDATE=1 cargo test -p config drift`. Do not edit. -->

The configuration is one TOML file, by default `evenkeel.toml`, and what it includes. `evenkeel check` tells every error
and known mistake in it; `evenkeel config` shows what is in force and where each value comes from.

```toml
[listener.web]
bind = \":80\"
pool = \"app\"

[pool.app]
backends = [\"10.0.0.11:8080\", \"10.0.0.12:8080\"]
```

**Durations** are strings: a whole number and `ms`, `s`, `m`, `h` or `d`. **Sizes** likewise, with `B`, `KB`, `KiB`, `MB`,
`MiB`, `GB` or `GiB`. `\"off\"` switches a limit off where the type says so. Numbers without a unit, and 0, are errors.

**Strings are filled in** after the file was read, and then taken as the type of their key:
`${env:NAME}` is an environment variable (an error when it is not set), `${env:NAME:-default}` has a default for one that is
unset or empty, `${file:PATH}` is the text of a file without the line end at its end. `$${` stands for `${` itself. Paths are
relative to the folder of the file that they stand in.

A key that is not listed here is an error. A setting of a route is stronger than that of its pool.
";

/// The reference page of every key, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in sections() {
        write_section(&mut page, section);
    }
    write_later(&mut page);
    write_warnings(&mut page);
    page
}

// Writing to a String cannot fail, so the results below are let go.

fn write_section(page: &mut String, section: &Section) {
    let _ = writeln!(page, "\n## {}\n\n{}\n", section.heading, section.about);
    let _ = writeln!(page, "| key | type | default | meaning | example |\n|---|---|---|---|---|");
    for key in section.keys.iter().filter(|key| !key.is_later()) {
        write_key(page, key);
    }
}

fn write_key(page: &mut String, key: &Key) {
    let default = match key.default {
        Default::Is("{}" | "[]") => String::new(),
        Default::Is(text) => code(text),
        Default::Unset(words) => cell(words),
        Default::Required => "**required**".to_owned(),
    };
    let (name, kind, meaning) = (code(key.name), cell(&key.kind.name()), cell(key.meaning));
    let _ = writeln!(page, "| {name} | {kind} | {default} | {meaning} | {} |", code(key.example));
}

fn write_later(page: &mut String) {
    let _ = writeln!(
        page,
        "\n## Not available yet\n\nThese keys are refused by name, so that no file means less than it says.\n"
    );
    let _ = writeln!(page, "| where | key or value | meaning |\n|---|---|---|");
    for section in sections() {
        for key in section.keys.iter().filter(|key| key.is_later()) {
            let _ = writeln!(page, "| {} | {} | {} |", cell(section.heading), code(key.name), cell(key.meaning));
        }
        for key in section.keys {
            for (word, instead) in key.kind.later() {
                let value = format!("{} = \"{word}\"", key.name);
                let _ = writeln!(page, "| {} | {} | {} |", cell(section.heading), code(&value), cell(instead));
            }
        }
    }
}

fn write_warnings(page: &mut String) {
    let _ = writeln!(
        page,
        "\n## Warnings\n\nKnown mistakes. `[check] allow = [\"one-backend\"]` lets one pass that is meant so.\n"
    );
    let _ = writeln!(page, "| code | meaning |\n|---|---|");
    for warning in warn::ALL {
        let _ = writeln!(page, "| {} | {} |", code(warning.code), cell(warning.about));
    }
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Code in a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}
