use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Desk, Running, eventually, get};

struct Demo {
    desk: Desk,
    running: Running,
    front: String,
    admin: String,
    remote: String,
}

fn demo() -> Demo {
    let desk = Desk::empty();
    let anywhere = "127.0.0.1:0";
    let running = desk.start(&["demo", "--listen", anywhere, "--admin", anywhere, "--remote", anywhere]);
    running.wait_for("What happens:");
    let [front, admin, remote] =
        ["front door  http://", "admin       http://", "remote      http://"].map(|before| running.word_after(before));
    eventually("ready", || get(&admin, "/readyz").filter(|(status, _)| *status == 200));
    Demo { desk, running, front, admin, remote }
}

impl Demo {
    /// State and reason of a backend, as `evenkeel status` tells scripts.
    fn state(&self, name: &str) -> (String, String) {
        let call = self.desk.call(&["status", "--json", "--admin", &self.admin]);
        assert_eq!(call.status, 0, "{call:?}");
        let value: Value = serde_json::from_str(&call.out).unwrap();
        let backends = value["pools"][0]["backends"].as_array().unwrap();
        let backend = backends.iter().find(|backend| backend["name"] == name).unwrap();
        let text = |field: &str| backend[field].as_str().unwrap().to_owned();
        (text("state"), text("reason"))
    }

    fn wait_until(&self, name: &str, state: &str) -> String {
        eventually(&format!("{name} is {state}"), || {
            let (now, reason) = self.state(name);
            (now == state).then_some(reason)
        })
    }

    /// The address of the first printed command that asks the remote for this.
    fn printed(&self, act: &str) -> String {
        let out = self.running.out();
        let url = out.split_whitespace().find(|word| word.contains(act)).unwrap();
        url.trim_matches('\'').strip_prefix(&format!("http://{}", self.remote)).unwrap().to_owned()
    }
}

/// A client that asks without pause, and fails the test if one request fails.
struct Client {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<usize, String>>,
}

impl Client {
    fn of(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address) = (Arc::clone(&stop), address.to_owned());
        let thread = std::thread::spawn(move || {
            let mut answers = 0;
            while !stopped.load(Ordering::Relaxed) {
                match get(&address, "/") {
                    Some((200, _)) => answers += 1,
                    other => return Err(format!("after {answers} answers: {other:?}")),
                }
                // As in the printed loop, a few requests a second: retries have a budget.
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Ok(answers)
        });
        Self { stop, thread }
    }

    fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap()
    }
}

#[test]
fn a_dead_backend_costs_no_request_and_comes_back() {
    let demo = demo();
    let client = Client::of(&demo.front);
    let dead = demo.printed("/oak/dead").replace("seconds=20", "seconds=3600");
    assert_eq!(get(&demo.remote, &dead).unwrap().0, 200);
    let reason = demo.wait_until("oak", "down");
    assert!(reason.contains("refused") || reason.contains("connect"), "{reason}");
    assert_eq!(get(&demo.remote, "/oak/well").unwrap().0, 200);
    demo.wait_until("oak", "ready");
    assert!(client.finish() > 0);
    let (status, out, err) = demo.running.stop(Signal::INT);
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
    for sentence in ["you: oak is dead", "oak is down: ", "The others take its share.", "oak is ready", "0 of them 5xx"]
    {
        assert!(out.contains(sentence), "{sentence}: {out}");
    }
}

#[test]
fn a_sick_backend_and_a_slow_one_cost_no_request() {
    let demo = demo();
    let client = Client::of(&demo.front);
    assert_eq!(get(&demo.remote, &demo.printed("/elm/sick")).unwrap().0, 200);
    assert!(demo.wait_until("elm", "down").contains("503"));
    assert_eq!(get(&demo.remote, &demo.printed("/elm/well")).unwrap().0, 200);
    demo.wait_until("elm", "ready");
    assert_eq!(get(&demo.remote, &demo.printed("/ash/slow")).unwrap().0, 200);
    assert!(demo.wait_until("ash", "down").contains("in time"));
    assert!(client.finish() > 0);
}

#[test]
fn everything_printed_can_be_asked_for() {
    let demo = demo();
    let out = demo.running.out();
    let urls = out.split([' ', '\'', '\n']).filter_map(|word| word.strip_prefix("http://"));
    let mut asked = 0;
    for url in urls {
        let (address, path) = url.split_at(url.find('/').unwrap());
        let answer = get(address, path).map(|(status, _)| status);
        assert_eq!(answer, Some(200), "http://{url}");
        asked += 1;
    }
    assert_eq!(asked, 8, "{out}");
    for path in ["/api/v1/status", "/metrics"] {
        assert_eq!(get(&demo.admin, path).unwrap().0, 200);
    }
    let commands = out.lines().filter(|line| line.contains(" --admin ")).map(|line| line.split_whitespace());
    for mut command in commands {
        let args: Vec<&str> = command.by_ref().skip(1).take(3).collect();
        assert_eq!(demo.desk.call(&args).status, 0, "{args:?}");
    }
}

#[test]
fn taken_addresses_are_replaced_and_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let desk = Desk::empty();
    let running = desk.start(&["demo", "--listen", &address, "--admin", "127.0.0.1:0", "--remote", "127.0.0.1:0"]);
    running.wait_for(&format!("{address} is taken: the front door is at 127.0.0.1:"));
    let front = running.word_after("front door  http://");
    assert_ne!(front, address);
    eventually("an answer", || get(&front, "/").filter(|(status, _)| *status == 200));
}

#[test]
fn its_configuration_is_an_ordinary_one() {
    let desk = Desk::empty();
    let call = desk.call(&["demo", "--print-config"]);
    assert_eq!((call.status, call.err.as_str()), (0, ""));
    desk.write("evenkeel.toml", &call.out);
    let check = desk.call(&["check", "--strict"]);
    assert_eq!((check.status, check.out.as_str()), (0, "ok: 1 listener, 1 route, 1 pool, 3 backends\n"));
}
