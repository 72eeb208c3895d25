//! `buffer` of a route: slow clients hold neither a place at a backend nor a connection to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::harness::{Backend, Broken, Evenkeel, GET, Method, OK, Setup, Wire, eventually};

/// A balancer whose only route buffers so.
fn front(backend: &Backend, workers: usize, buffer: &str) -> Setup {
    Setup::new(backend).workers(workers).more(&route(buffer))
}

fn route(buffer: &str) -> String {
    format!("[[route]]\npath = \"/*\"\npool = \"app\"\nbuffer = {buffer}")
}

fn active(front: &Evenkeel) -> u64 {
    front.backends("active")[0].as_u64().unwrap()
}

fn held(front: &Evenkeel) -> u64 {
    front.status()["process"]["buffered_bytes"].as_u64().unwrap()
}

fn unbuffered(front: &Evenkeel) -> u64 {
    front.status()["process"]["unbuffered"].as_u64().unwrap()
}

const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";

#[test]
fn a_slow_upload_holds_no_backend_until_it_is_here() {
    for workers in [1, 4] {
        let backend = Backend::answering(OK);
        let front = front(&backend, workers, "true").pool("max_requests = 1\nqueue = { size = 1 }").start();
        let mut slow: Vec<Wire> = (0..8).map(|_| front.client()).collect();
        slow.iter_mut().for_each(|client| client.send(format!("{HEAD}half ")));
        eventually("all halves are here", || held(&front) >= 8 * 5);
        // One place, eight who would take it: it is free all the same.
        for _ in 0..5 {
            assert_eq!(front.exchange(GET).status(), 200);
        }
        eventually("no place is taken", || active(&front) == 0);
        assert!(backend.connections() <= workers, "one connection for each worker is enough");
        for client in &mut slow {
            client.send("whole");
            assert_eq!(client.answer(Method::Other).status(), 200);
        }
        let uploads = backend.requests().into_iter().filter(|request| request.start_line().starts_with("POST "));
        assert!(uploads.into_iter().all(|request| request.body_text() == "half whole"));
        eventually("nothing is held", || held(&front) == 0);
        assert_eq!(unbuffered(&front), 0);
    }
}

#[test]
fn without_a_buffer_a_slow_upload_holds_its_place() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).start();
    let mut slow = front.client();
    slow.send(format!("{HEAD}half "));
    eventually("it has its place", || active(&front) == 1);
}

#[test]
fn chunks_go_on_as_one_body_with_its_length() {
    let backend = Backend::answering(OK);
    let front = front(&backend, 1, "true").start();
    let mut client = front.client();
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for piece in [head, "5\r\nhello\r\n", "1\r\n \r\n", "5;x=y\r\nworld\r\n", "0\r\n\r\n"] {
        client.send(piece);
    }
    assert_eq!(client.answer(Method::Other).status(), 200);
    let request = backend.request();
    assert_eq!((request.value("Content-Length"), request.body_text().as_str()), ("11", "hello world"));
    assert!(!request.has("Transfer-Encoding"), "{request:?}");
    client.send(format!("{head}0\r\n\r\n"));
    assert_eq!(client.answer(Method::Other).status(), 200);
    assert_eq!(backend.requests()[1].value("Content-Length"), "0");
}

#[test]
fn trailers_need_chunks() {
    let backend = Backend::answering(OK);
    let front = front(&backend, 1, "true").start();
    let request = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n";
    assert_eq!(front.exchange(request).status(), 200);
    let request = backend.request();
    assert!(request.lists("Transfer-Encoding", "chunked"), "{request:?}");
    assert_eq!((request.body_text().as_str(), &request.trailers[..]), ("hello", &["x-sum: 1".to_owned()][..]));
}

#[test]
fn rfc9110_10_1_1_who_waits_for_100_gets_it_from_us() {
    let backend = Backend::answering(OK);
    let front = front(&backend, 1, "true").start();
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read_head().unwrap().status(), 100);
    assert_eq!(backend.connections(), 0, "no backend has been asked");
    client.send("body");
    assert_eq!(client.answer(Method::Other).status(), 200);
    let request = backend.request();
    assert!(!request.has("Expect") && request.body_text() == "body", "{request:?}");
}

/// Breaks off its first connections in the middle of the request, before any answer.
fn breaking(times: usize) -> Backend {
    Backend::serving(move |conn| {
        if conn.number < times {
            conn.wire.read_exactly(200_000)?;
            conn.end_with_reset();
            return Ok(());
        }
        loop {
            conn.request()?;
            conn.send(OK);
        }
    })
}

#[test]
fn a_body_that_is_here_is_repeated_whole() {
    let body = "x".repeat(500_000);
    for (method, buffer, status) in [("PUT", "true", 200), ("PUT", "false", 502), ("POST", "true", 502)] {
        let backend = breaking(1);
        // Ten times what `retry.body_buffer` keeps.
        let front = front(&backend, 1, buffer).start();
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut client = front.client();
        let _ = client.try_send(request);
        assert_eq!(client.answer(Method::Other).status(), status, "{method} {buffer}");
        if status == 200 {
            assert_eq!(backend.request().body_text(), body);
        }
        eventually("nothing is held", || held(&front) == 0);
    }
}

#[test]
fn what_is_larger_than_the_buffer_streams_or_is_refused() {
    let body = "x".repeat(100_000);
    let known = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunked = format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    for request in [&known, &chunked] {
        let backend = Backend::answering(OK);
        let front = front(&backend, 1, "{ request = \"16KiB\" }").start();
        assert_eq!(front.exchange(request).status(), 200);
        assert_eq!(backend.request().body_text(), body);
    }
    for request in [&known, &chunked] {
        let backend = Backend::answering(OK);
        let front = front(&backend, 1, "{ request = \"16KiB\", beyond = \"refuse\" }").start();
        let mut client = front.client();
        let _ = client.try_send(request);
        assert_eq!(client.answer(Method::Other).status(), 413);
        assert_eq!((backend.connections(), front.failure()["cause"].as_str()), (0, Some("body-too-large")));
    }
    let backend = Backend::answering(OK);
    let front = front(&backend, 1, "{ request = \"16KiB\", beyond = \"refuse\" }").start();
    let exact = "y".repeat(16 << 10);
    let request = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{exact}", exact.len());
    assert_eq!(front.exchange(request).status(), 200, "the size itself fits");
}

#[test]
fn a_slow_upload_beyond_the_buffer_streams_from_there_on() {
    let backend = Backend::answering(OK);
    let front = front(&backend, 1, "{ request = \"1KiB\" }").start();
    let mut client = front.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("400\r\n{}\r\n", "a".repeat(1024)));
    eventually("it is taken in", || held(&front) > 0);
    assert_eq!(active(&front), 0);
    client.send("1\r\nb\r\n");
    eventually("it goes on", || active(&front) == 1);
    client.send("4\r\ncccc\r\n0\r\n\r\n");
    assert_eq!(client.answer(Method::Other).status(), 200);
    assert_eq!(backend.request().body_text(), format!("{}bcccc", "a".repeat(1024)));
}

#[test]
fn all_buffers_together_are_bounded_and_the_rest_streams() {
    for workers in [1, 4] {
        let backend = Backend::answering(OK);
        let front = front(&backend, workers, "{ request = \"64KiB\" }").more("[limits]\nbuffered = \"256KiB\"").start();
        let mut slow: Vec<Wire> = (0..12).map(|_| front.client()).collect();
        for client in &mut slow {
            client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
            client.send("z".repeat(49_999));
        }
        eventually("all are in, one way or the other", || active(&front) == unbuffered(&front) && active(&front) >= 6);
        assert!(held(&front) <= 256 << 10);
        for client in &mut slow {
            client.send("!");
            assert_eq!(client.answer(Method::Other).status(), 200);
        }
        assert!(backend.requests().iter().all(|request| request.body.len() == 50_000 && request.body.ends_with(b"z!")));
        eventually("nothing is held", || held(&front) == 0);
    }
}

#[test]
fn a_client_that_gives_up_leaves_nothing() {
    let backend = Backend::answering(OK);
    let front = front(&backend, 1, "true").start();
    let mut client = front.client();
    client.send(format!("{HEAD}half"));
    eventually("half is here", || held(&front) > 0);
    drop(client);
    eventually("nothing is held", || held(&front) == 0);
    front.wait_for_counter("aborted", 1);
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_body_that_stands_still_is_given_up() {
    let backend = Backend::answering(OK);
    let front = front(&backend, 1, "true").listener("timeouts = { body = \"300ms\" }").start();
    let mut client = front.client();
    client.send(format!("{HEAD}half"));
    assert_eq!(client.answer(Method::Other).status(), 408);
    assert_eq!((backend.connections(), front.failure()["cause"].as_str()), (0, Some("body-timeout")));
}

#[test]
fn requests_without_a_body_pass_and_so_do_tunnels() {
    let backend = Backend::serving(|conn| {
        let request = conn.request()?;
        if request.has("Upgrade") {
            conn.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
            let word = conn.wire.read_exactly(4)?;
            conn.send(word);
            conn.until_closed();
        }
        conn.send(OK);
        Ok(())
    });
    let front = front(&backend, 1, "true").start();
    assert_eq!(front.exchange(GET).status(), 200);
    let mut client = front.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.read_head().unwrap().status(), 101);
    client.send("ping");
    assert_eq!(client.read_exactly(4).unwrap(), b"ping");
}

/// A client that can take only a little at once.
fn slow_reader(front: &Evenkeel) -> Wire {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&front.address().parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    Wire::tcp(socket.into())
}

/// From now on it can take more.
fn hurry(client: &Wire) {
    socket2::SockRef::from(client.stream()).set_recv_buffer_size(1 << 20).unwrap();
}

/// Answers with so many bytes, however long that takes, and counts the answers that it got rid of.
fn generous(bytes: usize) -> (Backend, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let backend = Backend::serving(move |conn| {
        loop {
            conn.request()?;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
            if conn.wire.try_send([head.as_bytes(), &pattern(bytes)].concat()).is_ok() {
                counted.fetch_add(1, Ordering::Release);
            }
        }
    });
    (backend, sent)
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..=250).cycle().take(bytes).collect()
}

/// Beyond what kernels keep between a client and its backend.
const LONG: usize = 32 << 20;
/// Beyond what they keep between a client and us.
const SHORTER: usize = 12 << 20;

#[test]
fn a_slow_reader_holds_no_backend_once_it_has_said_all() {
    for workers in [1, 4] {
        let (backend, sent) = generous(LONG);
        let setup = front(&backend, workers, "{ response = \"40MiB\" }").pool("max_requests = 1");
        let front = setup.start();
        let mut slow = slow_reader(&front);
        slow.send(GET);
        slow.read_head().unwrap();
        eventually("the backend has said all", || sent.load(Ordering::Acquire) == 1);
        eventually("its place is free", || active(&front) == 0);
        assert!(held(&front) > 0, "the rest waits here");
        assert_eq!(front.backends("received_bytes")[0].as_u64(), Some(LONG as u64));
        hurry(&slow);
        assert!(slow.read_exactly(LONG).unwrap() == pattern(LONG), "the bytes are those of the backend");
        eventually("nothing is held", || held(&front) == 0);
        // The client's connection goes on, and so does the backend's.
        slow.send(GET);
        slow.read_head().unwrap();
        assert_eq!(slow.read_exactly(LONG).unwrap().len(), LONG);
        if workers == 1 {
            assert_eq!(backend.connections(), 1);
        }
    }
}

#[test]
fn without_a_buffer_a_slow_reader_holds_the_backend() {
    let (backend, sent) = generous(LONG);
    let front = front(&backend, 1, "{ request = \"1MiB\" }").start();
    let mut slow = slow_reader(&front);
    slow.send(GET);
    slow.read_head().unwrap();
    // Others are served meanwhile, and it still stands there.
    let mut other = front.client();
    other.send(GET);
    other.read_head().unwrap();
    other.read_exactly(LONG).unwrap();
    assert_eq!((sent.load(Ordering::Acquire), active(&front)), (1, 1));
    hurry(&slow);
    assert_eq!(slow.read_exactly(LONG).unwrap().len(), LONG);
}

#[test]
fn reading_ahead_is_bounded_for_each_and_for_all() {
    for (more, each, all) in [("", 256 << 10, 64 << 20), ("[limits]\nbuffered = \"300KiB\"", 256 << 10, 300 << 10)] {
        let (backend, _) = generous(SHORTER);
        let front = front(&backend, 4, "{ response = \"256KiB\" }").more(more).start();
        let mut slow: Vec<Wire> = (0..6).map(|_| slow_reader(&front)).collect();
        slow.iter_mut().for_each(|client| client.send(GET));
        eventually("much is held", || held(&front) >= (3 * each / 4).min(all / 2));
        for client in &mut slow {
            client.read_head().unwrap();
            hurry(client);
            for chunk in pattern(SHORTER).chunks(1 << 20) {
                assert!(held(&front) <= (6 * each).min(all));
                assert!(client.read_exactly(chunk.len()).unwrap() == chunk, "the bytes are those of the backend");
            }
        }
        eventually("nothing is held", || held(&front) == 0);
    }
}

#[test]
fn a_backend_that_dies_in_the_middle_is_seen_however_much_was_read_ahead() {
    for framing in ["Content-Length: 50000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n2faf080\r\n"] {
        let backend = Backend::serving(move |conn| {
            conn.request()?;
            conn.send(format!("HTTP/1.1 200 OK\r\n{framing}"));
            conn.send(vec![b'x'; LONG]);
            Ok(())
        });
        let front = front(&backend, 1, "{ response = \"40MiB\" }").start();
        let mut slow = slow_reader(&front);
        slow.send(GET);
        eventually("it is over", || front.counter("truncated") == 1);
        let mut answer = slow.read_head().unwrap();
        hurry(&slow);
        let broken = slow.read_body_of_answer(&mut answer, Method::Other).unwrap_err();
        assert!(matches!(broken, Broken::Early(_) | Broken::Reset), "{broken:?}");
        eventually("nothing is held", || held(&front) == 0);
    }
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let (backend, sent) = generous(LONG);
    let setup = front(&backend, 1, "{ response = \"40MiB\" }").listener("timeouts = { body = \"300ms\" }");
    let front = setup.start();
    let mut slow = slow_reader(&front);
    slow.send(GET);
    eventually("it is given up", || front.counter("aborted") == 1);
    assert_eq!(sent.load(Ordering::Acquire), 1, "the backend got rid of its answer");
    eventually("nothing is held", || held(&front) == 0);
    assert_eq!(front.failure()["cause"], "client-stalled");
}

/// Sends each piece of an answer when it is told to.
struct Prompter(Arc<(Mutex<usize>, Condvar)>);

impl Prompter {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(0), Condvar::new())))
    }

    fn backend(&self, head: &'static str, pieces: &'static [&'static str]) -> Backend {
        let shared = Arc::clone(&self.0);
        Backend::serving(move |conn| {
            conn.request()?;
            conn.send(head);
            for (n, piece) in pieces.iter().enumerate() {
                let told = shared.0.lock().unwrap();
                drop(shared.1.wait_while(told, |told| *told <= n).unwrap());
                conn.send(piece);
            }
            Ok(())
        })
    }

    fn next(&self) {
        *self.0.0.lock().unwrap() += 1;
        self.0.1.notify_all();
    }
}

#[test]
fn events_reach_a_client_that_can_take_them_one_by_one() {
    let prompter = Prompter::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let backend = prompter.backend(head, &["5\r\none\n\n\r\n", "5\r\ntwo\n\n\r\n", "0\r\nx-sum: 1\r\n\r\n"]);
    let front = front(&backend, 1, "true").start();
    let mut client = front.client();
    client.send(GET);
    assert_eq!(client.read_head().unwrap().status(), 200);
    for event in ["5\r\none\n\n\r\n", "5\r\ntwo\n\n\r\n", "0\r\nx-sum: 1\r\n\r\n"] {
        prompter.next();
        assert_eq!(client.read_exactly(event.len()).unwrap(), event.as_bytes());
        assert_eq!(held(&front), 0, "nothing is held back");
    }
}

#[test]
fn every_kind_of_answer_comes_through() {
    for (answer, method, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Method::Other, "hello"),
        ("HTTP/1.1 200 OK\r\n\r\nhello", Method::Other, "hello"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Method::Other, "hello"),
        ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Method::Other, ""),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Method::Other, ""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Head, ""),
    ] {
        let backend = Backend::closing(answer);
        let front = front(&backend, 1, "true").start();
        let word = if method == Method::Head { "HEAD" } else { "GET" };
        let answer = front.exchange(format!("{word} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answer.body_text(), body);
        eventually("its place is free", || active(&front) == 0);
    }
}

#[test]
fn trailers_outlive_the_backend() {
    let body = "x".repeat(LONG);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\nx-sum: 1\r\n\r\n",
        body.len()
    );
    let backend = Backend::answering(answer);
    let front = front(&backend, 1, "{ response = \"40MiB\" }").start();
    let mut slow = slow_reader(&front);
    slow.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\n\r\n");
    let mut answer = slow.read_head().unwrap();
    eventually("the backend is free", || active(&front) == 0);
    hurry(&slow);
    slow.read_body_of_answer(&mut answer, Method::Other).unwrap();
    assert_eq!((answer.body.len(), &answer.trailers[..]), (LONG, &["x-sum: 1".to_owned()][..]));
}
