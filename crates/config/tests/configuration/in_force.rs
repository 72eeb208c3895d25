//! What is in force, and where it comes from.

use config::source::Memory;
use config::{Outcome, Setting, load};
use std::path::Path;

use super::{FRONT, POOL, outcome_with, plan};

fn lines(outcome: &Outcome, keep: impl Fn(&Setting) -> bool) -> String {
    let shown = outcome.in_force.iter().filter(|setting| keep(setting));
    shown.map(|setting| format!("{} = {}    # {}\n", setting.key, setting.value, setting.source)).collect()
}

#[test]
fn each_value_has_its_source() {
    let text = format!(
        "{FRONT}{POOL}timeouts = {{ connect = \"${{env:CONNECT}}\" }}\n[admin]\ntoken = \"${{env:TOKEN:-abc}}\"\n\
         [[route]]\nheaders = {{ x-a = true }}\npath = \"/x\"\nanswer = {{ file = \"a.html\" }}\n"
    );
    let memory = Memory::new().variable("CONNECT", "1500ms").file("a.html", "hi").variable("TOKEN", "xyz");
    insta::assert_snapshot!("each_value_has_its_source", lines(&outcome_with(&text, memory), |_| true));
}

#[test]
fn the_example_is_shown_as_it_was_written() {
    let outcome = load(Path::new("evenkeel.toml"), &plan::sources());
    insta::assert_snapshot!("the_example_in_force", lines(&outcome, |setting| setting.source != "default"));
}

#[test]
fn secrets_are_not_shown() {
    let outcome = load(Path::new("evenkeel.toml"), &plan::sources());
    assert!(outcome.in_force.iter().all(|setting| !setting.value.contains("s3cret")));
    let token = outcome.in_force.iter().find(|setting| setting.key == "admin.token").unwrap();
    assert_eq!(token.value, "\"(secret)\"");
}

#[test]
fn no_value_is_in_force_twice() {
    let outcome = load(Path::new("evenkeel.toml"), &plan::sources());
    let mut keys: Vec<&str> = outcome.in_force.iter().map(|setting| setting.key.as_str()).collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all);
}
