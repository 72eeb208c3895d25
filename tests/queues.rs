//! Caps on running requests and the queue before them, over all workers.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{BUSY, Backend, Evenkeel, GET, Gate, Load, Method, OK, Setup, Wire, eventually};

/// How many requests a backend serves at once, and the most it ever did.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
    /// While it is closed, no answer is given.
    gate: Gate,
    /// While set, the answer is 503.
    is_sick: AtomicBool,
    /// Targets in the order of their coming.
    targets: Mutex<Vec<String>>,
}

impl Crowd {
    fn holding() -> Arc<Self> {
        Arc::new(Self { gate: Gate::closed(), ..Self::default() })
    }

    fn backend(self: &Arc<Self>) -> Backend {
        let crowd = Arc::clone(self);
        Backend::serving(move |conn| {
            loop {
                let request = conn.request()?;
                crowd.targets.lock().unwrap().push(request.target().to_owned());
                let now = crowd.now.fetch_add(1, Ordering::SeqCst) + 1;
                crowd.most.fetch_max(now, Ordering::SeqCst);
                crowd.gate.pass();
                crowd.now.fetch_sub(1, Ordering::SeqCst);
                conn.send(if crowd.is_sick.load(Ordering::SeqCst) { BUSY } else { OK });
            }
        })
    }

    fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn open(&self) {
        self.gate.open();
    }

    fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

fn send(front: &Evenkeel, target: &str) -> Wire {
    let mut client = front.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client
}

/// A request that waits in the queue once this returns.
fn wait(front: &Evenkeel, target: &str) -> Wire {
    let before = front.queue("waiting");
    let client = send(front, target);
    eventually("it waits", || front.queue("waiting") == before + 1);
    client
}

/// One backend that holds what it gets, with room for one.
fn one_place(crowd: &Arc<Crowd>, workers: usize, lines: &str) -> (Backend, Evenkeel, Wire) {
    let backend = crowd.backend();
    let front = Setup::new(&backend).workers(workers).pool(&format!("max_requests = 1\n{lines}")).start();
    let first = send(&front, "/first");
    eventually("the place is taken", || crowd.now() == 1);
    (backend, front, first)
}

#[test]
fn caps_hold_over_four_workers_and_every_request_is_served() {
    let crowds: [Arc<Crowd>; 3] = Default::default();
    let backends = crowds.each_ref().map(Crowd::backend);
    let list = backends.each_ref().map(|backend| backend.address.as_str());
    for policy in ["round-robin", "least-requests", "ip-hash"] {
        let front = Setup::over(list).workers(4).pool(&format!("policy = \"{policy}\"\nmax_requests = 2")).start();
        let load = Load::start(front.address(), 24, GET);
        load.wait_for(6_000);
        let report = load.stop();
        assert_eq!(report.failed, 0, "{:?}", report.failures);
        for crowd in &crowds {
            assert!(crowd.most() <= 2, "{policy}: {} at once", crowd.most());
        }
        eventually("nothing runs", || front.backends("active").iter().all(|active| active == 0));
        assert_eq!(front.queue("waiting"), 0);
        assert!(front.queue("queued") > 1000, "it was a crowd");
    }
}

#[test]
fn a_backends_own_cap_goes_before_the_pools() {
    let crowds = [Crowd::holding(), Crowd::holding()];
    let backends = crowds.each_ref().map(Crowd::backend);
    let small = format!("{{ address = \"{}\", max_requests = 1 }}", backends[0].address);
    let front = Setup::over(["127.0.0.1:1"])
        .workers(4)
        .more(&format!(
            "[pool.two]\nhealth = \"off\"\nmax_requests = 3\nbackends = [{small}, \"{}\"]\n\
             [[route]]\npath = \"/*\"\npool = \"two\"",
            backends[1].address
        ))
        .start();
    assert_eq!(front.backends("max_requests"), [serde_json::Value::Null]);
    let _clients: Vec<Wire> = (0..10).map(|_| send(&front, "/")).collect();
    eventually("all places are taken", || crowds[0].now() == 1 && crowds[1].now() == 3);
    eventually("the others wait", || front.status()["pools"][1]["queue"]["waiting"] == 6);
    crowds.iter().for_each(|crowd| crowd.open());
    eventually("all are served", || crowds[0].targets().len() + crowds[1].targets().len() == 10);
    assert_eq!((crowds[0].most(), crowds[1].most()), (1, 3));
}

#[test]
fn those_who_wait_are_served_in_their_order_whatever_worker_they_are_in() {
    let crowd = Crowd::holding();
    let (_backend, front, _first) = one_place(&crowd, 4, "queue = { timeout = \"off\" }");
    let clients: Vec<Wire> = (0..12).map(|turn| wait(&front, &format!("/{turn}"))).collect();
    crowd.open();
    for mut client in clients {
        assert_eq!(client.answer(Method::Other).status(), 200);
    }
    let expected: Vec<String> =
        ["/first".to_owned()].into_iter().chain((0..12).map(|turn| format!("/{turn}"))).collect();
    assert_eq!(crowd.targets(), expected);
    assert_eq!(crowd.most(), 1);
}

#[test]
fn urgent_routes_go_first() {
    let crowd = Crowd::holding();
    let backend = crowd.backend();
    let route =
        |path: &str, urgency: &str| format!("[[route]]\npath = \"{path}\"\npool = \"app\"\nurgency = \"{urgency}\"");
    let front = Setup::new(&backend)
        .pool("max_requests = 1")
        .more(&route("/pay", "high"))
        .more(&route("/report", "low"))
        .start();
    let _first = send(&front, "/first");
    eventually("the place is taken", || crowd.now() == 1);
    let mut clients: Vec<Wire> = ["/report", "/a", "/pay", "/b"].map(|target| wait(&front, target)).into();
    crowd.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.answer(Method::Other).status(), 200));
    assert_eq!(crowd.targets(), ["/first", "/pay", "/a", "/b", "/report"]);
}

#[test]
fn a_full_queue_answers_503_at_once() {
    let crowd = Crowd::holding();
    let (_backend, front, _first) = one_place(&crowd, 1, "queue = { size = 1, timeout = \"90s\" }");
    let _second = wait(&front, "/");
    let answer = front.exchange(GET);
    assert_eq!((answer.status(), answer.value("Retry-After")), (503, "90"));
    let why = answer.value("Proxy-Status");
    assert!(why.contains("error=connection_limit_reached; details=\"queue-full"), "{why}");
    assert_eq!(front.failure()["cause"], "queue-full");
    assert_eq!(front.queue("full"), 1);
    crowd.open();
}

#[test]
fn who_waits_too_long_gets_503_and_the_log_says_how_long() {
    let crowd = Crowd::holding();
    let (_backend, front, _first) = one_place(&crowd, 1, "queue = { timeout = \"300ms\" }");
    let began = Instant::now();
    let answer = front.exchange(GET);
    assert_eq!((answer.status(), answer.value("Retry-After")), (503, "1"));
    assert!(began.elapsed() >= Duration::from_millis(290), "{:?}", began.elapsed());
    let failure = front.failure();
    assert_eq!((&failure["cause"], &failure["attempts"]), (&"queue-timeout".into(), &0.into()));
    assert!(failure["timers_ms"]["queue"].as_f64().unwrap() >= 290.0, "{failure}");
    assert_eq!((front.queue("timeouts"), front.queue("waiting")), (1, 0));
    crowd.open();
}

#[test]
fn a_client_that_goes_away_leaves_the_queue() {
    let crowd = Crowd::holding();
    let (_backend, front, _first) = one_place(&crowd, 1, "");
    drop(wait(&front, "/gone"));
    eventually("nobody waits", || front.queue("waiting") == 0);
    let mut last = wait(&front, "/last");
    crowd.open();
    assert_eq!(last.answer(Method::Other).status(), 200);
    assert_eq!(crowd.targets(), ["/first", "/last"]);
}

#[test]
fn the_total_timeout_holds_in_the_queue_too() {
    let crowd = Crowd::holding();
    let (_backend, front, _first) = one_place(&crowd, 1, "timeouts = { total = \"400ms\" }");
    let answer = front.exchange(GET);
    assert_eq!(answer.status(), 504);
    assert!(answer.value("Proxy-Status").contains("total-timeout"), "{answer:?}");
    crowd.open();
}

#[test]
fn a_body_that_came_while_its_request_waited_arrives_whole() {
    let crowd = Crowd::holding();
    let (backend, front, _first) = one_place(&crowd, 1, "");
    let body = "b".repeat(300_000);
    let mut client = front.client();
    let mut sender = Wire::tcp(client.stream().try_clone().unwrap());
    let request = format!("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let sending = std::thread::spawn(move || sender.send(request));
    eventually("it waits", || front.queue("waiting") == 1);
    crowd.open();
    assert_eq!(client.answer(Method::Other).status(), 200);
    sending.join().unwrap();
    let requests = backend.requests();
    let post = requests.iter().find(|request| request.target() == "/post").unwrap();
    assert!(post.body == body.as_bytes());
}

#[test]
fn those_who_wait_are_served_by_a_backend_that_comes_back() {
    let (held, free) = (Crowd::holding(), Arc::new(Crowd::default()));
    let (busy, spare) = (held.backend(), free.backend());
    let address = spare.address.clone();
    drop(spare);
    let front = Setup::over([busy.address.clone(), address.clone()])
        .pool("max_requests = 1\nretry = { tries = 1 }\nqueue = { timeout = \"off\" }")
        .health("{ tcp = true, interval = \"50ms\", rise = 1, fall = 1 }")
        .start();
    front.wait_for_states(&["ready", "down"]);
    let _first = send(&front, "/first");
    eventually("the place is taken", || held.now() == 1);
    let mut second = wait(&front, "/second");
    let crowd = Arc::clone(&free);
    let _spare = Backend::on(TcpListener::bind(&address).unwrap(), move |conn| {
        conn.request()?;
        crowd.targets.lock().unwrap().push("back".to_owned());
        conn.send(OK);
        Ok(())
    });
    assert_eq!(second.answer(Method::Other).status(), 200);
    assert_eq!(free.targets(), ["back"]);
    held.open();
}

#[test]
fn a_backend_that_is_ejected_and_comes_back_costs_none_of_those_who_wait() {
    let crowds: [Arc<Crowd>; 2] = Default::default();
    crowds[0].is_sick.store(true, Ordering::SeqCst);
    let backends = crowds.each_ref().map(Crowd::backend);
    let front = Setup::over(backends.each_ref().map(|backend| backend.address.as_str()))
        .workers(4)
        .pool("max_requests = 3\neject = { for = \"200ms\" }")
        .start();
    let load = Load::start(front.address(), 24, GET);
    front.wait_for_states(&["ejected", "ready"]);
    load.wait_for(1_500);
    crowds[0].is_sick.store(false, Ordering::SeqCst);
    front.wait_for_states(&["ready", "ready"]);
    load.wait_for(1_500);
    let report = load.stop();
    assert_eq!(report.failed, 0, "{:?}", report.failures);
    assert!(crowds.iter().all(|crowd| crowd.most() <= 3), "{} and {}", crowds[0].most(), crowds[1].most());
    eventually("nothing runs", || front.backends("active").iter().all(|active| active == 0));
    assert_eq!((front.queue("waiting"), front.queue("full")), (0, 0));
    assert!(front.queue("queued") > 1000, "it was a crowd");
}
