use crate::harness::Desk;

const GOOD: &str = "\
[listener.web]
bind = \"127.0.0.1:0\"
pool = \"app\"

[[route]]
path = \"/api/*\"
pool = \"api\"

[pool.app]
backends = [\"10.0.0.11:8080\", \"10.0.0.12:8080\"]

[pool.api]
backends = [\"10.0.0.21:8080\", \"10.0.0.22:8080\"]
";

const BAD: &str = "\
[listener.web]
bind = \"127.0.0.1:0\"
pool = \"ap\"

[pool.app]
backends = [\"10.0.0.11:8080\", \"10.0.0.12\"]
polcy = \"random\"
timeouts = { connect = 2 }
";

const ONE: &str = "\
[listener.web]
bind = \"127.0.0.1:0\"
pool = \"app\"

[pool.app]
backends = [\"10.0.0.11:8080\"]
";

#[test]
fn a_good_file_is_one_line() {
    let call = Desk::with(GOOD).call(&["check"]);
    assert_eq!((call.status, call.err.as_str()), (0, ""));
    insta::assert_snapshot!(call.out, @"ok: 1 listener, 2 routes, 2 pools, 4 backends");
}

#[test]
fn a_bad_file_tells_all_its_errors_at_once() {
    let call = Desk::with(BAD).call(&["check"]);
    assert_eq!((call.status, call.out.as_str()), (1, ""));
    insta::assert_snapshot!(call.err);
}

#[test]
fn a_warning_fails_only_when_strict() {
    let desk = Desk::with(ONE);
    let call = desk.call(&["check"]);
    assert_eq!(call.status, 0);
    assert_eq!(call.out, "ok: 1 listener, 1 route, 1 pool, 1 backend, 1 warning\n");
    assert!(call.err.contains("warning: ") && call.err.contains("one-backend"), "{}", call.err);

    let strict = desk.call(&["check", "--strict"]);
    assert_eq!((strict.status, strict.out.as_str()), (1, ""));
    assert!(strict.err.ends_with("failed: no error, 1 warning (--strict)\n"), "{}", strict.err);
}

#[test]
fn a_warning_that_is_meant_so_is_allowed() {
    let call = Desk::with(&format!("[check]\nallow = [\"one-backend\"]\n{ONE}")).call(&["check", "--strict"]);
    assert_eq!((call.status, call.err.as_str()), (0, ""));
}

#[test]
fn scripts_get_json() {
    let call = Desk::with(BAD).call(&["check", "--json"]);
    assert_eq!((call.status, call.err.as_str()), (1, ""));
    let value: serde_json::Value = serde_json::from_str(&call.out).unwrap();
    assert_eq!(value["ok"], false);
    let codes: Vec<&str> = value["diagnostics"].as_array().unwrap().iter().filter_map(|d| d["code"].as_str()).collect();
    assert!(codes.contains(&"unknown-key") && codes.contains(&"bad-value"), "{codes:?}");
    let unknown = value["diagnostics"].as_array().unwrap().iter().find(|d| d["code"] == "unknown-key").unwrap();
    let place = serde_json::json!({ "file": "evenkeel.toml", "line": 7, "column": 1, "length": 5 });
    assert_eq!(unknown["place"], place);
    assert_eq!(unknown["severity"], "error");

    let call = Desk::with(GOOD).call(&["check", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&call.out).unwrap();
    assert_eq!(value["plan"]["backends"], 4);
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let call = Desk::empty().call(&["check", "-c", "none.toml"]);
    assert_eq!(call.status, 1);
    assert!(call.err.contains("none.toml: no such file"), "{}", call.err);
}

#[test]
fn without_any_file_the_places_are_named() {
    if std::path::Path::new("/etc/evenkeel/evenkeel.toml").exists() {
        return;
    }
    let call = Desk::empty().call(&["check"]);
    assert_eq!(call.status, 1);
    insta::assert_snapshot!(call.err, @r"
    error: no configuration: neither ./evenkeel.toml nor /etc/evenkeel/evenkeel.toml is there
      = name one with `-c FILE`, or try `evenkeel demo`
    ");
}

#[test]
fn included_files_environment_and_files_are_read() {
    let desk = Desk::with("include = \"conf.d/*.toml\"\n[listener.web]\nbind = \"127.0.0.1:0\"\npool = \"app\"\n");
    desk.write("conf.d/pool.toml", "[pool.app]\nbackends = [\"${env:ONE}\", \"${file:two.txt}\"]\n");
    desk.write("conf.d/two.txt", "10.0.0.12:8080\n");
    let output = desk.command(&["check"]).env("ONE", "10.0.0.11:8080").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "ok: 1 listener, 1 route, 1 pool, 2 backends\n");
    let call = desk.call(&["check"]);
    assert_eq!(call.status, 1);
    assert!(call.err.contains("conf.d/pool.toml:2"), "{}", call.err);
}

#[test]
fn very_many_errors_are_told_in_part_and_counted_whole() {
    let backends: Vec<_> = (0..20_000).map(|n| format!("{{ address = \"10.0.0.1:{n}\", weight = 0 }}")).collect();
    let file = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\npool = \"app\"\n[pool.app]\nbackends = [{}]\n",
        backends.join(",")
    );
    let call = Desk::with(&file).call(&["check"]);
    assert_eq!(call.status, 1);
    assert_eq!(call.err.matches("error: ").count(), 100);
    let last: Vec<_> = call.err.lines().rev().filter(|line| !line.is_empty()).take(2).collect();
    assert!(last[0].starts_with("failed: 2000") && last[1].starts_with("and 199"), "{last:?}");
}

#[test]
fn a_file_without_end_is_refused() {
    let call = Desk::with("include = [\"/dev/zero\"]\n").call(&["check"]);
    assert_eq!(call.status, 1);
    assert!(call.err.contains("cannot read /dev/zero: it has more than 64 MiB"), "{}", call.err);
}
