//! `${env:…}` and `${file:…}` in strings.

use config::source::Memory;
use policy::plan::Bind;

use super::{FRONT, POOL, codes, outcome_with, plan_in, told};

#[test]
fn a_variable_is_read_as_its_keys_type() {
    let text = format!(
        "{FRONT}forwarded_ignored = 0\n{POOL}forwarded = \"${{env:FORWARDED}}\"\nidle_connections = \"${{env:IDLE}}\"\n\
         timeouts = {{ connect = \"${{env:SECONDS}}s\" }}\nretry = {{ on = [\"${{env:STATUS}}\"] }}\n\
         [runtime]\nworkers = \"${{env:WORKERS:-4}}\"\n"
    )
    .replace("forwarded_ignored = 0\n", "");
    let memory = Memory::new()
        .variable("FORWARDED", "true")
        .variable("IDLE", "1_000")
        .variable("SECONDS", "7")
        .variable("STATUS", "504");
    let plan = plan_in(outcome_with(&text, memory));
    assert!(plan.pools[0].forwarded);
    assert_eq!(plan.pools[0].idle_connections, 1000);
    assert_eq!(plan.workers, 4);
    let policy::plan::Action::Pool(target) = &plan.routes[0].action else { panic!() };
    assert_eq!(target.timeouts.connect.unwrap().as_secs(), 7);
    assert_eq!(target.retry.statuses, [504]);
}

#[test]
fn a_string_alone_is_no_number() {
    let text = format!("{FRONT}{POOL}[runtime]\nworkers = \"4\"\n");
    assert_eq!(codes(&outcome_with(&text, Memory::new())), ["wrong-type"]);
}

#[test]
fn what_cannot_be_filled_in_is_told_at_its_place() {
    let text = format!(
        "{FRONT}{POOL}host = \"${{env:A}}.${{env:B}}\"\n[admin]\ntoken = \"${{file:token}}\"\n[access_log]\n\
         to = \"${{env:}}\"\n[runtime]\nworkers = \"${{env:WORKERS}}\"\n[errors]\n503 = \"file:${{x}}\"\n504 = \"${{env:A\"\n"
    );
    let outcome = outcome_with(&text, Memory::new().variable("WORKERS", "many"));
    insta::assert_snapshot!("what_cannot_be_filled_in", told(&outcome));
}

#[test]
fn a_default_stands_in_for_unset_and_empty() {
    let text = format!("{FRONT}{POOL}host = \"${{env:HOST:-app.internal}}\"\n");
    for memory in [Memory::new(), Memory::new().variable("HOST", "")] {
        let plan = plan_in(outcome_with(&text, memory));
        assert_eq!(plan.pools[0].host.as_deref(), Some("app.internal"));
    }
}

#[test]
fn two_dollars_escape() {
    let text = format!("{FRONT}{POOL}[[route]]\npath = \"/x\"\nanswer = {{ body = \"$${{env:HOME}} costs $5\" }}\n");
    let plan = plan_in(outcome_with(&text, Memory::new()));
    let policy::plan::Action::Answer(answer) = &plan.routes[0].action else { panic!() };
    assert_eq!(answer.body, b"${env:HOME} costs $5");
}

#[test]
fn a_value_cannot_break_out_of_its_string() {
    let text = format!("{FRONT}{POOL}host = \"${{env:HOST}}\"\n");
    let outcome = outcome_with(&text, Memory::new().variable("HOST", "a\"\n[admin]\ntoken = \"x"));
    assert_eq!(codes(&outcome), ["bad-value"]);
}

#[test]
fn a_value_is_not_filled_in_again() {
    let text = format!("{FRONT}{POOL}host = \"${{env:HOST}}\"\n");
    let memory = Memory::new().variable("HOST", "${env:OTHER}").variable("OTHER", "other");
    assert_eq!(codes(&outcome_with(&text, memory)), ["bad-value"]);
}

#[test]
fn a_file_of_ranges_has_comments_and_its_bad_lines_are_told() {
    let text = format!("{FRONT}deny = \"${{file:blocked.txt}}\"\n{POOL}");
    let good = Memory::new().file("blocked.txt", "# list\n10.0.0.0/8\n\n192.0.2.1 # one\n");
    let plan = plan_in(outcome_with(&text, good));
    assert!(!plan.listeners[0].access.admits("192.0.2.1".parse().unwrap()));
    let bad = Memory::new().file("blocked.txt", "10.0.0.0/8\n10.0.0.1/8\nnobody\n");
    insta::assert_snapshot!(told(&outcome_with(&text, bad)), @r#"
    error: in line 2 of it: `10.0.0.1/8` has bits beyond its prefix
     --> evenkeel.toml:4:8
      |
    4 | deny = "${file:blocked.txt}"
      |        ^^^^^^^^^^^^^^^^^^^^^
      |
      = write `"10.0.0.0/8"` for the range, or `"10.0.0.1"` for the address

    error: in line 3 of it: `nobody` is not an address range
     --> evenkeel.toml:4:8
      |
    4 | deny = "${file:blocked.txt}"
      |        ^^^^^^^^^^^^^^^^^^^^^
      |
      = write `"10.0.0.0/8"`, `"fd00::/8"` or one address
    "#);
}

#[test]
fn an_empty_file_of_ranges_allows_as_little_as_it_denies() {
    let text = format!("{FRONT}deny = \"${{file:blocked.txt}}\"\n{POOL}");
    plan_in(outcome_with(&text, Memory::new().file("blocked.txt", "# nobody\n")));
    let text = format!("{FRONT}allow = \"${{file:allowed.txt}}\"\n{POOL}");
    assert_eq!(codes(&outcome_with(&text, Memory::new().file("allowed.txt", "# nobody\n"))), ["bad-value"]);
}

#[test]
fn an_address_may_come_from_the_environment() {
    let text = "[listener.web]\nbind = \"${env:BIND}\"\npool = \"app\"\n".to_owned() + POOL;
    let plan = plan_in(outcome_with(&text, Memory::new().variable("BIND", "127.0.0.1:0")));
    assert_eq!(plan.listeners[0].binds, [Bind::Tcp { addr: "127.0.0.1:0".parse().unwrap(), v6_only: false }]);
}
