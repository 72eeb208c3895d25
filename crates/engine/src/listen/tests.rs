//! Binding: groups on one port, whose address is taken, and sockets that a dead process left.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::*;
use crate::testing;

fn plan(binds: Vec<Bind>) -> Plan {
    let mut plan = testing::plan(&[]);
    plan.listeners[0].binds = binds;
    plan
}

fn tcp(addr: &str) -> Bind {
    Bind::Tcp { addr: addr.parse().expect("an address"), v6_only: false }
}

fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("evenkeel-listen-{name}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn a_group_shares_one_port_and_says_which() {
    let groups = bind_all(&plan(vec![tcp("127.0.0.1:0")]), 3).expect("a free port");
    let Sockets::Tcp(sockets) = &groups[0].sockets else { unreachable!("TCP was asked for") };
    assert_eq!(sockets.len(), 3);
    for socket in sockets {
        assert_eq!(socket.local_addr().expect("it is bound").to_string(), groups[0].address);
    }
    std::net::TcpStream::connect(&groups[0].address).expect("it listens before any worker runs");
}

#[test]
fn an_address_that_is_taken_is_an_error_even_if_the_other_would_share_it() {
    let taken = bind_all(&plan(vec![tcp("127.0.0.1:0")]), 2).expect("a free port");
    let error = bind_all(&plan(vec![tcp(&taken[0].address)]), 2).expect_err("it is taken");
    assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
    assert_eq!((error.listener.as_str(), &error.address), ("web", &taken[0].address));
    assert!(error.to_string().contains("[listener.web]"), "{error}");
    assert!(error.remedy().contains("another process listens there"));
    drop(taken);
    bind_all(&plan(vec![tcp(&error.address)]), 2).expect("it is free again");
}

#[test]
fn both_families_are_served_by_one_address_unless_it_is_told_not_to() {
    let groups = bind_all(&plan(vec![tcp("[::]:0")]), 1).expect("a free port");
    let port = groups[0].address.rsplit(':').next().expect("a port").to_owned();
    std::net::TcpStream::connect(format!("127.0.0.1:{port}")).expect("IPv4 reaches it");
}

#[test]
fn workers_share_one_unix_socket() {
    let path = path("shared");
    let groups = bind_all(&plan(vec![Bind::Unix(path.clone())]), 3).expect("a free path");
    let Sockets::Unix(sockets) = &groups[0].sockets else { unreachable!("a Unix socket was asked for") };
    assert_eq!((sockets.len(), &groups[0].address), (3, &format!("unix:{}", path.display())));
    let error = bind_all(&plan(vec![Bind::Unix(path.clone())]), 1).expect_err("somebody listens");
    assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn a_dead_socket_is_replaced_and_any_other_file_is_not() {
    let path = path("dead");
    drop(UnixListener::bind(&path).expect("a free path"));
    bind_all(&plan(vec![Bind::Unix(path.clone())]), 1).expect("a dead socket is in nobody's way");
    std::fs::remove_file(&path).expect("it is there");
    std::fs::write(&path, "precious").expect("it can be written");
    bind_all(&plan(vec![Bind::Unix(path.clone())]), 1).expect_err("a file is in the way");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "precious");
    std::fs::remove_file(&path).expect("it is there");
    let missing = PathBuf::from("/nonexistent/folder/app.sock");
    let error = bind_all(&plan(vec![Bind::Unix(missing)]), 1).expect_err("there is no folder");
    assert!(error.remedy().contains("folder"));
}
