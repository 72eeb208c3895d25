use std::io::Write;

use crate::harness::{Closed, Desk, Running, eventually, get, server};

/// A balancer with its admin socket beside its configuration.
fn site(admin: &str) -> (Desk, Running, String) {
    let desk = Desk::empty();
    let text = format!(
        "[admin]\nbind = \"127.0.0.1:0\"\nsocket = \"unix:FOLDER/admin.sock\"\n{admin}\n[listener.web]\n\
         bind = \"127.0.0.1:0\"\npool = \"app\"\n[pool.app]\nbackends = [\"{}\"]\n",
        server("good")
    );
    desk.write("evenkeel.toml", &text.replace("FOLDER", desk.path().to_str().unwrap()));
    let running = desk.start(&["run"]);
    let admin = format!("127{}", running.word_after("admin interface on 127"));
    eventually("ready", || get(&admin, "/readyz").filter(|(status, _)| *status == 200));
    (desk, running, admin)
}

fn blocks(desk: &Desk) -> serde_json::Value {
    let call = desk.call(&["block", "--json"]);
    assert_eq!(call.status, 0, "{call:?}");
    serde_json::from_str::<serde_json::Value>(&call.out).unwrap()["blocks"].clone()
}

#[test]
fn a_block_is_listed_with_author_and_reason_until_it_is_lifted() {
    let (desk, running, _) = site("");
    assert_eq!(desk.call(&["block"]).out, "no network is blocked\n");
    let mut command = desk.command(&["block", "203.0.113.0/24", "--for", "1h", "--reason", "login flood"]);
    let output = command.env_remove("SUDO_USER").env("USER", "ann").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "203.0.113.0/24 is blocked for 1 h\n");
    assert_eq!(desk.call(&["block", "2001:db8:bad::/48"]).out, "2001:db8:bad::/48 is blocked until it is lifted\n");

    let list = blocks(&desk);
    assert_eq!((&list[0]["author"], &list[0]["reason"]), (&"ann".into(), &"login flood".into()));
    let times = |block: &serde_json::Value| (block["since_ms"].as_u64().unwrap(), block["until_ms"].as_u64());
    let (since, until) = times(&list[0]);
    assert_eq!(until, Some(since + 3_600_000));
    assert_eq!(times(&list[1]).1, None);
    let table = desk.call(&["block"]).out;
    let line = table.lines().find(|line| line.starts_with("203.0.113.0/24 ")).unwrap();
    assert!(line.ends_with("  0  ann     login flood"), "{table}");

    running.wait_for_log("203.0.113.0/24 blocked for 3600 s by ann: login flood");
    assert_eq!(desk.call(&["unblock", "203.0.113.0/24"]).out, "203.0.113.0/24 is no longer blocked; 0 refused\n");
    assert_eq!(desk.call(&["unblock", "--all"]).status, 0);
    assert_eq!(desk.call(&["unblock", "--all"]).out, "no network is blocked\n");
}

#[test]
fn what_is_not_blocked_cannot_be_lifted() {
    let (desk, _running, _) = site("");
    desk.call(&["block", "203.0.113.0/24"]);
    let call = desk.call(&["unblock", "203.0.113.0/24", "203.0.113.7", "198.51.100.7"]);
    assert_eq!((call.status, call.out.as_str()), (1, "203.0.113.0/24 is no longer blocked; 0 refused\n"));
    insta::assert_snapshot!(call.err, @r"
    error: refused: 203.0.113.7/32 is not blocked as such
      = `evenkeel block` or GET /api/v1/blocks lists what is
    error: refused: 198.51.100.7/32 is not blocked as such
      = `evenkeel block` or GET /api/v1/blocks lists what is
    ");
}

#[test]
fn over_tcp_a_block_needs_the_token() {
    let (desk, _running, admin) = site("");
    let call = desk.call(&["block", "203.0.113.0/24", "--admin", &admin]);
    assert_eq!(call.status, 1);
    insta::assert_snapshot!(call.err, @r"
    error: refused: over TCP, changes need a token
      = use the admin socket (as the user of the process, or root), or set [admin] token and name a file with it by --token-file
    ");
    assert_eq!(desk.call(&["unblock", "--all", "--admin", &admin]).status, 1);
    assert_eq!(desk.call(&["block", "--admin", &admin]).out, "no network is blocked\n", "reading is free");

    let (desk, _running, admin) = site("token = \"secret\"");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"secret\n").unwrap();
    let token = file.path().to_str().unwrap();
    let call = desk.call(&["block", "203.0.113.0/24", "--admin", &admin, "--token-file", token]);
    assert_eq!((call.status, call.err.as_str()), (0, ""));
}

#[test]
fn wrong_use_is_2_with_a_remedy() {
    let desk = Desk::empty();
    for (args, told) in [
        (&["block", "203.0.113.7/24"][..], "write 203.0.113.0/24 for the network, or 203.0.113.7 for the address"),
        (&["block", "0.0.0.0/0"], "is everybody"),
        (&["block", "flood.example"], "`flood.example` is no network"),
        (&["block", "203.0.113.7", "--for", "1hour"], "write `1h`"),
        (&["block", "203.0.113.7", "--for", "off"], "this cannot be off"),
        (&["block", "--for", "1h"], "<CIDR>"),
        (&["unblock"], "<CIDR>"),
        (&["unblock", "203.0.113.7", "--all"], "cannot be used with"),
    ] {
        let call = desk.call(args);
        assert_eq!(call.status, 2, "{args:?}: {call:?}");
        assert!(call.err.contains(told), "{args:?}: {call:?}");
    }
}

#[test]
fn nobody_there_is_3() {
    let closed = Closed::new();
    let address = closed.address();
    for args in [&["block"][..], &["block", "203.0.113.7"], &["unblock", "--all"]] {
        let args = [args, &["--admin", &address]].concat();
        assert_eq!(Desk::empty().call(&args).status, 3, "{args:?}");
    }
}

#[test]
fn help_teaches_with_examples() {
    let call = Desk::empty().call(&["block", "--help"]);
    assert!(call.out.contains("evenkeel block 203.0.113.0/24 --for 1h --reason 'login flood'"), "{}", call.out);
}
