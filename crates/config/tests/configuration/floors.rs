//! How slow clients may be.

use std::time::Duration;

use policy::pace::Floors;

use super::{FRONT, POOL, codes, outcome_of, plan_of, told};

fn floors(lines: &str) -> Floors {
    plan_of(&format!("{FRONT}{lines}\n{POOL}")).listeners[0].floors
}

#[test]
fn floors_are_on_unless_told() {
    let over = Duration::from_secs(30);
    assert_eq!(floors(""), Floors { body: Some(240), drain: Some(240), over });
    assert_eq!(floors("floors = { body = \"off\" }"), Floors { body: None, drain: Some(240), over });
    let written = floors("floors = { body = \"1KiB\", drain = \"2KB\", over = \"1m\" }");
    assert_eq!(written, Floors { body: Some(1024), drain: Some(2000), over: Duration::from_secs(60) });
}

#[test]
fn wrong_floors_are_told_all_at_once() {
    let lines = "floors = { body = 240, drain = \"240\", over = \"off\", rate = \"1B\" }";
    let outcome = outcome_of(&format!("{FRONT}{lines}\n{POOL}"));
    assert!(outcome.plan.is_none());
    assert_eq!(codes(&outcome).len(), 4, "{}", told(&outcome));
    let said = told(&outcome);
    for words in ["`\"240B\"`", "cannot be off", "unknown key `rate`"] {
        assert!(said.contains(words), "{words} in:\n{said}");
    }
    let short = outcome_of(&format!("{FRONT}floors = {{ over = \"10ms\" }}\n{POOL}"));
    assert!(told(&short).contains("too short"), "{}", told(&short));
}
