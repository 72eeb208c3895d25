//! Backends that do everything wrong, by turns: whatever happens, an answer belongs to its request, what may not be
//! repeated is not, and nothing is left behind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::{Backend, Broken, Evenkeel, Message, Method, Setup, Wire, eventually, figure};

const CLIENTS: u64 = 16;
const REQUESTS: u64 = 250;
/// Ways to answer, right and wrong.
const TURNS: u64 = 23;
/// After these the backend closes its connection.
const CLOSING: [u64; 9] = [0, 1, 2, 3, 4, 5, 6, 9, 10];

/// How often each request was read whole, by its number, over all backends.
type Executed = Arc<Mutex<BTreeMap<String, u32>>>;

/// Does something else for each request: mostly right, often wrong.
fn erratic(executed: &Executed, seed: u64) -> Backend {
    let (executed, turn) = (Arc::clone(executed), AtomicU64::new(seed));
    Backend::serving(move |conn| {
        loop {
            let request = conn.wire.read_request()?;
            let id = request.value("X-Id").to_owned();
            *executed.lock().unwrap().entry(id.clone()).or_default() += 1;
            let body = format!("answer {id} ").repeat(1 + id.len() * 7 % 50);
            let whole = format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let chunked = format!(
                "HTTP/1.1 200 OK\r\nX-Id: {id}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            );
            let turn = turn.fetch_add(1, Ordering::Relaxed) % TURNS;
            match turn {
                0 => conn.end_with_reset(),
                1 => {}
                2 => conn.send(&whole[..whole.len() - 5]),
                3 => conn.send(&chunked[..chunked.len() - 9]),
                4 => conn.send("HTTP/1.1 2"),
                5 => conn.send("nonsense\r\n\r\n"),
                6 => conn.send(format!("{whole}{whole}")),
                7 => conn.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
                8 => conn.send(format!("HTTP/1.1 103 Early Hints\r\n\r\n{whole}")),
                9 => conn.send(format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\n\r\n{body}")),
                10 => conn.send(whole),
                11 => whole.as_bytes().chunks(7).for_each(|piece| conn.send(piece)),
                12..17 => conn.send(chunked),
                _ => conn.send(whole),
            }
            if CLOSING.contains(&turn) {
                return Ok(());
            }
        }
    })
}

/// What came of the requests of one client.
#[derive(Default)]
struct Seen {
    answered: u64,
    failed: u64,
    cut: u64,
}

fn request(id: &str, number: u64) -> String {
    match number % 4 {
        0 => format!("POST / HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\nContent-Length: 4\r\n\r\nbody"),
        1 => format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
        ),
        _ => format!("GET / HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\n\r\n"),
    }
}

/// Sends its requests one after the other and checks that each answer is its own.
fn talk(front: &Evenkeel, client: u64) -> Seen {
    let mut seen = Seen::default();
    let mut wire = None::<Wire>;
    for number in 0..REQUESTS {
        let id = format!("{client}-{number}");
        let mut open = wire.take().unwrap_or_else(|| front.client());
        // A connection that was cut with the last answer shows itself now.
        if open.try_send(request(&id, number)).is_err() {
            seen.cut += 1;
            continue;
        }
        match open.read_answer(Method::Other) {
            Ok(answer) => {
                check(&id, &answer);
                if answer.status() == 200 {
                    seen.answered += 1
                } else {
                    seen.failed += 1
                }
                wire = (!answer.lists("Connection", "close")).then_some(open);
            }
            Err(Broken::Early(body)) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                assert!(
                    body.is_empty() || body.contains(&format!(" {id} ")) || !body.contains("answer "),
                    "{id}: {body}"
                );
                seen.cut += 1;
            }
            Err(Broken::Reset | Broken::Closed) => seen.cut += 1,
            Err(broken) => panic!("{id}: {broken:?}"),
        }
    }
    seen
}

#[track_caller]
fn check(id: &str, answer: &Message) {
    if answer.status() == 200 {
        assert_eq!(answer.value("X-Id"), id);
        let expected = format!("answer {id} ").repeat(1 + id.len() * 7 % 50);
        assert_eq!(answer.body_text(), expected);
    } else {
        assert!([502, 503].contains(&answer.status()), "{id}: {answer:?}");
    }
}

#[test]
fn whatever_backends_do_answers_belong_to_their_requests_and_posts_run_once() {
    let executed = Executed::default();
    let backends = [1, 9, 17].map(|seed| erratic(&executed, seed));
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    let front = Setup::over(addresses).workers(4).start();
    let mut all = Seen::default();
    std::thread::scope(|scope| {
        let front = &front;
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || talk(front, client))).collect();
        for client in clients {
            let seen = client.join().unwrap();
            all.answered += seen.answered;
            all.failed += seen.failed;
            all.cut += seen.cut;
        }
    });
    let (answered, failed, cut) = (all.answered, all.failed, all.cut);
    figure(&format!("chaos, 10 of 23 answers bad: {answered} answered, {failed} failed, {cut} cut"));
    assert_eq!(answered + failed + cut, CLIENTS * REQUESTS);
    assert!(answered > CLIENTS * REQUESTS / 2, "{answered} answered, {failed} failed, {cut} cut");
    let executed = executed.lock().unwrap();
    let is_post = |id: &str| id.rsplit_once('-').unwrap().1.parse::<u64>().unwrap() % 4 == 0;
    let twice: Vec<_> = executed.iter().filter(|(id, times)| is_post(id) && **times > 1).collect();
    assert!(twice.is_empty(), "POSTs that ran more than once: {twice:?}");
    assert!(executed.values().any(|&times| times > 1), "others were tried again");
    eventually("nothing runs any more", || front.backends("active").iter().all(|active| active == 0));
}
