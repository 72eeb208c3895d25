use std::process::Stdio;

use crate::harness::{Desk, Terminal};

#[test]
fn help_teaches_with_examples() {
    let call = Desk::empty().call(&["--help"]);
    assert_eq!(call.status, 0);
    for word in ["Examples:", "evenkeel demo", "evenkeel proxy --listen", "Exit status: 0 done"] {
        assert!(call.out.contains(word), "{word}: {}", call.out);
    }
    let call = Desk::empty().call(&["proxy", "--help"]);
    assert_eq!(call.status, 0);
    assert!(call.out.contains("--policy least-requests"), "{}", call.out);
}

#[test]
fn version_is_told() {
    let call = Desk::empty().call(&["--version"]);
    assert_eq!((call.status, call.out.as_str()), (0, concat!("evenkeel ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn wrong_use_is_2() {
    for args in [&["--no-such-flag"][..], &["chekc"], &["proxy", "--listen", ":1"], &["errors", "--last", "x"]] {
        let call = Desk::empty().call(args);
        assert_eq!(call.status, 2, "{args:?}: {call:?}");
        assert!(call.err.starts_with("error: "), "{args:?}: {call:?}");
    }
}

#[test]
fn commands_to_come_say_so() {
    let call = Desk::empty().call(&["drain", "app/b1", "--wait"]);
    assert_eq!(call.status, 2);
    insta::assert_snapshot!(call.err, @r#"
    error: `evenkeel drain` is not available yet
      = until then: set `state = "drained"` on the backend in the file and start again
    "#);
}

#[test]
fn alone_without_configuration_and_terminal_it_helps() {
    if std::path::Path::new("/etc/evenkeel/evenkeel.toml").exists() {
        return;
    }
    let call = Desk::empty().call(&[]);
    assert_eq!(call.status, 2);
    assert!(call.err.contains("Usage: evenkeel [COMMAND]"), "{}", call.err);
}

#[test]
fn alone_with_a_configuration_it_runs_it() {
    let call = Desk::with("[listener.web]\nbind = 1\n").call(&[]);
    assert_eq!(call.status, 1);
    assert!(call.err.contains("evenkeel.toml:2"), "{}", call.err);
}

#[test]
fn alone_on_a_terminal_it_shows_the_demo() {
    if std::path::Path::new("/etc/evenkeel/evenkeel.toml").exists() {
        return;
    }
    let desk = Desk::empty();
    let terminal = Terminal::open();
    let mut command = desk.command(&[]);
    let mut child = command.stdin(terminal.far_end()).stdout(terminal.far_end()).spawn().unwrap();
    let text = terminal.read_until("What happens:");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(text.contains("Evenkeel demo: three sample backends"), "{text}");
}

#[test]
fn a_wrong_log_level_is_wrong_use() {
    let call = Desk::with("").call(&["run", "--log", "info,=x="]);
    assert_eq!(call.status, 2, "{call:?}");
    assert!(call.err.contains("--log, EVENKEEL_LOG"), "{}", call.err);
}

#[test]
fn completions_and_man_page_are_made_of_the_definition() {
    let completions = Desk::empty().call(&["completions", "bash"]);
    assert_eq!(completions.status, 0);
    assert!(completions.out.contains("--print-config"));
    let man = Desk::empty().call(&["man"]);
    assert_eq!(man.status, 0);
    assert!(man.out.contains(".TH evenkeel 1") && man.out.contains("demo"), "{}", man.out);
    let man = Desk::empty().call(&["man", "proxy"]);
    assert!(man.out.contains("evenkeel\\-proxy") && man.out.contains("least\\-requests"), "{}", man.out);
    assert_eq!(Desk::empty().call(&["man", "drain"]).status, 1);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let desk = Desk::empty();
    let mut child =
        desk.command(&["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
