//! The process stands still for a while (stopped, frozen, a suspended machine): what came meanwhile came in time.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::harness::{Backend, GET, Method, Setup, Signal};

/// How long the process stands still: longer than the waits below.
const PAUSE: Duration = Duration::from_millis(2500);

/// A backend that says when it was asked, and answers when told.
struct Asked {
    backend: Backend,
    was_asked: std::sync::mpsc::Receiver<()>,
    answer: std::sync::mpsc::Sender<()>,
}

fn asked(target: &'static str) -> Asked {
    let ((asks, was_asked), (answer, told)) = (channel(), channel());
    let told = Mutex::new(told);
    let backend = Backend::serving(move |conn| {
        loop {
            if conn.request()?.target() == target && asks.send(()).is_ok() {
                let _ = told.lock().unwrap().recv();
            }
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    Asked { backend, was_asked, answer }
}

#[test]
fn answers_that_came_while_the_process_stood_still_are_in_time() {
    for workers in [1, 4] {
        let Asked { backend, was_asked, answer } = asked("/");
        let limits = "retry = { tries = 1 }\ntimeouts = { first_byte = \"2s\" }";
        let front = Setup::new(&backend).workers(workers).pool(limits).start();
        let mut clients: Vec<_> = (0..4).map(|_| front.client()).collect();
        for client in &mut clients {
            client.send(GET);
            was_asked.recv().unwrap();
        }
        front.signal(Signal::STOP);
        clients.iter().for_each(|_| answer.send(()).unwrap());
        std::thread::sleep(PAUSE);
        front.signal(Signal::CONT);
        let statuses: Vec<_> = clients.iter_mut().map(|client| client.answer(Method::Other).status()).collect();
        assert_eq!(statuses, [200; 4], "{workers} workers");
    }
}

#[test]
fn probes_that_were_answered_while_the_process_stood_still_have_passed() {
    let Asked { backend, was_asked, answer } = asked("/healthz");
    // The first round of probes must pass for the start.
    answer.send(()).unwrap();
    let check = "{ http = \"/healthz\", interval = \"100ms\", timeout = \"2s\", fall = 1, rise = 1 }";
    let front = Setup::new(&backend).health(check).start();
    front.wait_for_states(&["ready"]);
    was_asked.recv().unwrap();
    front.signal(Signal::STOP);
    answer.send(()).unwrap();
    std::thread::sleep(PAUSE);
    front.signal(Signal::CONT);
    was_asked.recv().unwrap();
    answer.send(()).unwrap();
    front.wait_for_states(&["ready"]);
    assert!(!front.log().contains("backend is down"), "{}", front.log());
}
