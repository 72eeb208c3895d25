use crate::harness::Desk;

const FILE: &str = "\
[listener.web]
bind = \"127.0.0.1:0\"
pool = \"app\"

[pool.app]
backends = [\"10.0.0.11:8080\", \"10.0.0.12:8080\"]
timeouts = { connect = \"1s\" }

[pool.other]
backends = [\"10.0.0.21:8080\", \"10.0.0.22:8080\"]
";

#[test]
fn what_is_written_has_its_line() {
    let call = Desk::with(FILE).call(&["config"]);
    assert_eq!((call.status, call.err.as_str()), (0, ""));
    insta::assert_snapshot!(call.out);
}

#[test]
fn defaults_of_one_pool() {
    let call = Desk::with(FILE).call(&["config", "--defaults", "app"]);
    assert_eq!(call.status, 0);
    for line in call.out.lines() {
        assert!(line.starts_with("pool.app."), "{line}");
    }
    assert!(call.out.contains("# default") && call.out.contains("# evenkeel.toml:7"), "{}", call.out);
}

#[test]
fn an_unknown_pool_is_refused_with_those_there_are() {
    let call = Desk::with(FILE).call(&["config", "apps"]);
    assert_eq!(call.status, 1);
    insta::assert_snapshot!(call.err, @r"
    error: there is no pool `apps`
      = there is app, other
    ");
}

#[test]
fn scripts_get_json() {
    let call = Desk::with(FILE).call(&["config", "--json", "other"]);
    let value: serde_json::Value = serde_json::from_str(&call.out).unwrap();
    assert_eq!(value[0]["key"], "pool.other.backends");
    assert_eq!(value[0]["source"], "evenkeel.toml:10");
}

#[test]
fn a_bad_file_has_nothing_in_force() {
    let call = Desk::with("[pool.app]\n").call(&["config"]);
    assert_eq!((call.status, call.out.as_str()), (1, ""));
    assert!(call.err.contains("error: "), "{}", call.err);
}
