use std::net::SocketAddr;

use policy::balance::Standing;
use policy::plan::{Address, LogTarget, Pool, PoolId, ProbeKind, Question, Wanted};

use super::*;
use crate::backends::State;
use crate::lifecycle::End;
use crate::samples::{Server, backend, check, eventually, plan, pool};
use crate::status::{BackendStatus, ProcessState};

fn start(pools: Vec<Pool>) -> Control {
    Control::start(Arc::new(plan(pools)), Vec::new(), 1).unwrap()
}

fn http() -> ProbeKind {
    ProbeKind::Http(Box::new(Question::get("/healthz")))
}

/// A pool of one backend under a check.
fn checked(name: &str, backend: policy::plan::Backend, kind: ProbeKind) -> Pool {
    Pool { backends: vec![backend], health: Some(check(kind)), ..pool(name, 0) }
}

/// The check is not repeated within the test.
fn once(mut pool: Pool) -> Pool {
    if let Some(check) = &mut pool.health {
        check.interval = Duration::from_secs(1_000_000);
    }
    pool
}

fn first_backend(handle: &Handle, pool: usize) -> BackendStatus {
    handle.status().pools.swap_remove(pool).backends.swap_remove(0)
}

fn standing(control: &Control, pool: usize) -> Standing {
    control.handle.record.shared.pools[pool].backends[0].standing()
}

fn wait_for(handle: &Handle, pool: usize, state: State) -> BackendStatus {
    eventually(state.name(), || first_backend(handle, pool).state == state);
    first_backend(handle, pool)
}

#[test]
fn first_round_makes_the_process_ready() {
    let server = Server::start(200);
    let control = start(vec![once(checked("app", server.backend(), http()))]);
    let handle = control.handle();
    eventually("ready", || handle.state() == ProcessState::Ready);
    let backend = first_backend(&handle, 0);
    assert_eq!((backend.state, standing(&control, 0)), (State::Ready, Standing::Ready));
    assert_eq!(backend.resolved, Some(server.addr.to_string()));
    assert_eq!(handle.events_after(0).len(), 1);
}

#[test]
fn plan_without_checks_is_ready_at_once() {
    let control = start(vec![pool("app", 2)]);
    assert_eq!(control.handle().state(), ProcessState::Ready);
    let backend = first_backend(&control.handle(), 0);
    assert_eq!((backend.state, backend.reason.as_str()), (State::Ready, "no health check"));
    assert_eq!(standing(&control, 0), Standing::Ready);
}

#[test]
fn backend_goes_down_and_comes_back_with_reasons() {
    let server = Server::start(200);
    let control = start(vec![checked("app", server.backend(), http())]);
    let handle = control.handle();
    wait_for(&handle, 0, State::Ready);
    server.answer(503);
    let down = wait_for(&handle, 0, State::Down);
    assert!(down.reason.contains("503"), "{}", down.reason);
    assert_eq!(standing(&control, 0), Standing::Out);
    server.answer(200);
    wait_for(&handle, 0, State::Ready);
    assert_eq!(standing(&control, 0), Standing::Ready);
    let states: Vec<State> = handle.events_after(0).iter().map(|event| event.to).collect();
    assert_eq!(states, [State::Ready, State::Down, State::Ready]);
}

#[test]
fn pools_with_one_address_share_a_probe() {
    let server = Server::start(200);
    let pools = ["a", "b"].map(|name| once(checked(name, server.backend(), ProbeKind::Alive)));
    let control = start(pools.into());
    let handle = control.handle();
    wait_for(&handle, 0, State::Ready);
    wait_for(&handle, 1, State::Ready);
    assert_eq!(server.seen(), 1);
    assert_eq!((standing(&control, 0), standing(&control, 1)), (Standing::Ready, Standing::Ready));
}

#[test]
fn failed_connection_brings_a_probe_at_once() {
    let server = Server::start(200);
    let control = start(vec![once(checked("app", server.backend(), http()))]);
    let handle = control.handle();
    wait_for(&handle, 0, State::Ready);
    for probes in 2..4 {
        let report = Report::ConnectFailed { pool: PoolId(0), backend: 0 };
        control.reports.blocking_send(report).unwrap();
        eventually("another probe", || server.seen() == probes);
    }
}

#[test]
fn name_that_does_not_resolve_is_down_and_says_so() {
    let nowhere = || backend(Address::Name("backend.invalid".to_owned(), 80));
    let unchecked = Pool { backends: vec![nowhere()], ..pool("unchecked", 0) };
    let control = start(vec![checked("checked", nowhere(), http()), unchecked]);
    for pool in 0..2 {
        let backend = wait_for(&control.handle(), pool, State::Down);
        assert!(backend.reason.contains("backend.invalid"), "{}", backend.reason);
        assert_eq!(backend.resolved, None);
        assert_eq!(standing(&control, pool), Standing::Out);
    }
    eventually("ready", || control.handle().state() == ProcessState::Ready);
}

#[test]
fn name_leads_to_the_address_that_passes() {
    // `localhost` may be ::1 first, where nobody listens.
    let server = Server::start(200);
    let named = || backend(Address::Name("localhost".to_owned(), server.addr.port()));
    let unchecked = Pool { backends: vec![named()], ..pool("unchecked", 0) };
    let control = start(vec![once(checked("checked", named(), http())), unchecked]);
    let checked = wait_for(&control.handle(), 0, State::Ready);
    assert_eq!(checked.resolved, Some(server.addr.to_string()));
    let unchecked = wait_for(&control.handle(), 1, State::Ready);
    assert!(unchecked.resolved.is_some());
}

#[test]
fn drained_backend_is_probed_but_takes_nothing() {
    let server = Server::start(200);
    let mut drained = server.backend();
    drained.state = Wanted::Drained;
    let control = start(vec![once(checked("app", drained, http()))]);
    eventually("a probe", || control.handle().state() == ProcessState::Ready);
    assert_eq!(first_backend(&control.handle(), 0).state, State::Drained);
    assert_eq!(standing(&control, 0), Standing::Excluded);
}

#[test]
fn thousand_backends_are_judged_in_one_round() {
    let server = Server::start(200);
    let backends = (0..1000).map(|n| {
        let mut backend = server.backend();
        backend.name = n.to_string();
        // Another address each: every 127/8 address is this machine, but only one is listened on.
        backend.address = Address::Ip(SocketAddr::from((
            [127, 0, 1 + u8::try_from(n / 200).unwrap(), 1 + u8::try_from(n % 200).unwrap()],
            server.addr.port(),
        )));
        backend
    });
    let pool = Pool { backends: backends.collect(), health: Some(check(ProbeKind::Tcp)), ..pool("app", 0) };
    let control = start(vec![once(pool)]);
    eventually("ready", || control.handle().state() == ProcessState::Ready);
    let status = control.handle().status();
    assert!(status.pools[0].backends.iter().all(|backend| backend.state == State::Down));
}

#[tokio::test]
async fn failures_are_kept_and_log_lines_written_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut plan = plan(vec![pool("app", 1)]);
    plan.access_log.write = LogWrite::All;
    plan.access_log.to = LogTarget::File(path.clone());
    let control = Control::start(Arc::new(plan), Vec::new(), 1).unwrap();
    let handle = control.handle();
    for n in 0..20 {
        control.reports.send(Report::Failure(format!("{{\"n\":{n}}}\n"))).await.unwrap();
        control.reports.send(Report::LogLines(format!("{n}\n").into_bytes())).await.unwrap();
    }
    assert_eq!(control.finish(Duration::ZERO).await, End::Finished);
    assert_eq!(handle.failures(2), ["{\"n\":18}", "{\"n\":19}"]);
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 20);
    assert_eq!(handle.state(), ProcessState::Stopping);
}

#[test]
fn access_log_that_cannot_be_opened_stops_the_start() {
    let mut plan = plan(vec![pool("app", 1)]);
    plan.access_log.write = LogWrite::Errors;
    plan.access_log.to = LogTarget::File("/nonexistent/access.log".into());
    let error = Control::start(Arc::new(plan), Vec::new(), 1).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/access.log"), "{error}");
}
