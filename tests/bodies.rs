//! Bodies: their framing, their ends, and that nobody has to hold them (RFC 9112, sections 6 to 8).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Backend, Broken, Evenkeel, GET, Method, OK, Setup, eventually, peak_kib};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=\"y\"\r\ndefg\r\n0\r\n\r\n";

fn front(backend: &Backend) -> Evenkeel {
    Setup::new(backend).start()
}

#[test]
fn rfc9112_6_2_request_with_a_length_keeps_it() {
    let backend = Backend::answering(OK);
    front(&backend).exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let request = backend.request();
    assert_eq!((request.value("Content-Length"), request.body_text().as_str()), ("5", "hello"));
    assert!(!request.has("Transfer-Encoding"));
}

#[test]
fn rfc9112_6_1_chunked_request_stays_chunked() {
    let backend = Backend::answering(OK);
    front(&backend).exchange(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=\"y\"\r\ndefg\r\n0\r\n\r\n",
    );
    let request = backend.request();
    assert_eq!(request.body_text(), "abcdefg");
    assert_eq!(request.value("Transfer-Encoding"), "chunked");
    assert!(!request.has("Content-Length"));
    assert!(!backend.received().contains("x=\"y\""), "chunk extensions end here");
}

#[test]
fn rfc9110_8_6_a_length_of_nothing_is_still_said() {
    let backend = Backend::answering(OK);
    front(&backend).exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(backend.request().value("Content-Length"), "0");
}

#[test]
fn rfc9112_6_2_answer_with_a_length_keeps_it() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let answer = front(&backend).exchange(GET);
    assert_eq!((answer.value("Content-Length"), answer.body_text().as_str()), ("5", "hello"));
}

#[test]
fn rfc9112_7_1_chunked_answer_stays_chunked() {
    let backend = Backend::answering(CHUNKED);
    let front = front(&backend);
    let mut client = front.client();
    for _ in 0..2 {
        let answer = client.exchange(GET);
        assert_eq!((answer.value("Transfer-Encoding"), answer.body_text().as_str()), ("chunked", "abcdefg"));
        assert!(!answer.has("Content-Length"));
    }
    assert_eq!(backend.connections(), 1, "both connections are kept");
}

#[test]
fn rfc9112_6_3_answer_that_ends_with_its_connection_becomes_chunked() {
    let backend = Backend::closing("HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nuntil the end");
    let front = front(&backend);
    let mut client = front.client();
    for _ in 0..2 {
        let answer = client.exchange(GET);
        assert_eq!((answer.value("Transfer-Encoding"), answer.body_text().as_str()), ("chunked", "until the end"));
    }
}

#[test]
fn rfc9112_9_6_answer_of_a_backend_that_closes_is_whole_and_the_client_stays() {
    let backend = Backend::closing("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    let front = front(&backend);
    let mut client = front.client();
    for _ in 0..3 {
        let answer = client.exchange(GET);
        assert_eq!(answer.body_text(), "ok");
        assert!(!answer.lists("Connection", "close"), "{answer:?}");
    }
    assert_eq!(backend.connections(), 3);
}

#[test]
fn rfc9110_6_5_trailers_pass_to_the_backend() {
    let backend = Backend::answering(OK);
    front(&backend).exchange(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nab\r\n0\r\nX-Sum: 42\r\nX-More: yes\r\n\r\n",
    );
    let request = backend.request();
    assert_eq!(request.trailers, ["X-Sum: 42", "X-More: yes"]);
    assert_eq!((request.value("TE"), request.value("Trailer")), ("trailers", "X-Sum"));
}

#[test]
fn rfc9110_6_5_trailers_pass_to_the_client() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    let answer = front(&backend).exchange("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    assert_eq!(answer.trailers, ["X-Sum: 42"]);
    assert_eq!(answer.value("Trailer"), "X-Sum");
}

#[test]
fn rfc9110_6_5_1_trailers_cannot_carry_framing() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nContent-Length: 9\r\nX-Sum: 1\r\n\r\n",
    );
    let front = front(&backend);
    let mut client = front.client();
    client.send(GET);
    if let Ok(answer) = client.read_answer(Method::Other) {
        assert!(answer.trailers.iter().all(|line| !line.starts_with("Content-Length")), "{answer:?}");
    }
}

#[test]
fn answer_may_come_before_the_request_has_ended() {
    let backend = Backend::serving(|conn| {
        conn.head()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
        conn.until_closed();
        Ok(())
    });
    let front = front(&backend);
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nstart");
    let answer = client.answer(Method::Other);
    assert_eq!((answer.status(), answer.body_text().as_str()), (200, "early"));
}

#[test]
fn both_bodies_may_be_under_way_at_once() {
    let backend = Backend::serving(|conn| {
        conn.head()?;
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..3 {
            let chunk = conn.wire.read_exactly(8)?;
            conn.send(chunk);
        }
        conn.wire.read_exactly(5)?;
        conn.send("0\r\n\r\n");
        Ok(())
    });
    let front = front(&backend);
    let mut client = front.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = client.read_head().unwrap();
    assert_eq!(head.status(), 200);
    for word in ["one", "two", "six"] {
        client.send(format!("3\r\n{word}\r\n"));
        assert_eq!(client.read_exactly(8).unwrap(), format!("3\r\n{word}\r\n").as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.read_exactly(5).unwrap(), b"0\r\n\r\n");
}

#[test]
fn early_refusal_is_read_although_the_request_goes_on() {
    let backend = Backend::serving(|conn| {
        conn.head()?;
        conn.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
        Ok(())
    });
    let front = front(&backend);
    let mut client = front.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 64 * 1024 * 1024));
    let chunk = vec![b'x'; 64 * 1024];
    for _ in 0..16 {
        if client.try_send(&chunk).is_err() {
            break;
        }
    }
    let answer = client.answer(Method::Other);
    assert_eq!((answer.status(), answer.body_text().as_str()), (413, "big"));
}

#[test]
fn answer_that_breaks_off_never_looks_whole() {
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    ];
    for head in heads {
        let backend = Backend::closing(head);
        let front = front(&backend);
        let mut client = front.client();
        client.send(GET);
        let broken = client.read_answer(Method::Other).unwrap_err();
        assert!(matches!(broken, Broken::Early(_) | Broken::Reset), "{head:?}: {broken:?}");
        assert_eq!(front.failure()["cause"], "truncated");
        assert_eq!(front.counter("truncated"), 1);
    }
}

#[test]
fn answer_cut_by_a_reset_never_looks_whole() {
    let backend = Backend::serving(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\n\r\nuntil close");
        conn.wire.read_exactly(0)?;
        conn.end_with_reset();
        Ok(())
    });
    let front = front(&backend);
    let mut client = front.client();
    client.send(GET);
    assert!(client.read_answer(Method::Other).is_err());
}

#[test]
fn request_that_breaks_off_never_looks_whole() {
    let ends = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ends);
    let backend = Backend::serving(move |conn| {
        let read = conn.request();
        assert!(read.is_err(), "{read:?}");
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let front = front(&backend);
    for framing in ["Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let mut client = front.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
        eventually("the backend has the head", || backend.connections() > ends.load(Ordering::Relaxed));
        drop(client);
        let before = ends.load(Ordering::Relaxed);
        eventually("the backend sees the end", || {
            ends.load(Ordering::Relaxed) > before || backend.connections() == before
        });
    }
    eventually("both broke off", || ends.load(Ordering::Relaxed) == 2);
    front.wait_for_counter("aborted", 2);
}

#[test]
fn rfc9110_15_5_14_a_body_over_the_limit_is_refused() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).more("[limits]\nbody_bytes = \"10B\"").start();
    let answer = front.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890");
    assert_eq!(answer.status(), 413);
    assert_eq!(backend.requests(), []);
    let answer =
        front.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n");
    assert_eq!(answer.status(), 413);
    let answer = front.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(answer.status(), 200);
}

/// 64 MiB in chunks that differ, so that a lost or doubled piece shows.
const BIG: usize = 64 * 1024 * 1024;
const PIECE: usize = 64 * 1024;
/// What the process may grow by while 64 MiB pass through, pages of its own code included.
const GROWTH_KIB: u64 = 8 * 1024;

fn piece(number: usize) -> Vec<u8> {
    (0..PIECE).map(|at| u8::try_from((number * 31 + at) % 251).unwrap()).collect()
}

#[test]
fn big_answer_passes_whole_in_little_memory() {
    let backend = Backend::serving(|conn| {
        loop {
            conn.request()?;
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n"));
            for number in 0..BIG / PIECE {
                conn.send(piece(number));
            }
        }
    });
    let front = front(&backend);
    let before = peak_kib(front.pid());
    let mut client = front.client();
    client.send(GET);
    assert_eq!(client.read_head().unwrap().value("Content-Length"), BIG.to_string());
    for number in 0..BIG / PIECE {
        assert!(client.read_exactly(PIECE).unwrap() == piece(number), "piece {number}");
    }
    assert_grew_little(&front, before);
}

#[test]
fn big_request_passes_whole_in_little_memory() {
    for framing in [format!("Content-Length: {BIG}"), "Transfer-Encoding: chunked".to_owned()] {
        let backend = Backend::serving(|conn| {
            let mut request = conn.head()?;
            conn.wire.read_body_of_request(&mut request)?;
            let whole =
                request.body.len() == BIG && (0..BIG / PIECE).all(|n| request.body[n * PIECE..][..PIECE] == piece(n));
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{whole:<5}"));
            Ok(())
        });
        let front = front(&backend);
        let before = peak_kib(front.pid());
        let mut client = front.client();
        let chunked = framing.contains("chunked");
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        for number in 0..BIG / PIECE {
            let bytes = piece(number);
            client.send(if chunked { [format!("{PIECE:x}\r\n").as_bytes(), &bytes, b"\r\n"].concat() } else { bytes });
        }
        if chunked {
            client.send("0\r\n\r\n");
        }
        assert_eq!(client.answer(Method::Other).body_text(), "true ");
        assert_grew_little(&front, before);
    }
}

/// How long nothing must move before it counts as held up. Not a wait for something to happen: for it not to.
const HELD_UP: Duration = Duration::from_millis(300);

#[test]
fn slow_reader_holds_the_backend_up_instead_of_filling_memory() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let backend = Backend::serving(move |conn| {
        conn.request()?;
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n"));
        for number in 0..BIG / PIECE {
            conn.send(piece(number));
            counter.fetch_add(PIECE, Ordering::Relaxed);
        }
        conn.until_closed();
        Ok(())
    });
    let front = front(&backend);
    let before = peak_kib(front.pid());
    let mut client = front.client();
    client.send(GET);
    let mut last = usize::MAX;
    eventually("the backend is held up", || {
        std::thread::sleep(HELD_UP);
        std::mem::replace(&mut last, sent.load(Ordering::Relaxed)) == last && last > 0
    });
    assert!(sent.load(Ordering::Relaxed) < BIG, "all was taken although nobody reads");
    assert_grew_little(&front, before);
    client.read_head().unwrap();
    for number in 0..BIG / PIECE {
        assert!(client.read_exactly(PIECE).unwrap() == piece(number), "piece {number}");
    }
}

#[test]
fn slow_backend_holds_the_client_up_instead_of_filling_memory() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let backend = Backend::serving(move |conn| {
        let mut request = conn.head()?;
        let _ = wait.lock().unwrap().recv();
        conn.wire.read_body_of_request(&mut request)?;
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{:8}", request.body.len()));
        Ok(())
    });
    let front = front(&backend);
    let before = peak_kib(front.pid());
    let mut client = front.client();
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {BIG}\r\n\r\n"));
    let sender = client.stream().try_clone().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let sending = std::thread::spawn(move || {
        use std::io::Write;
        for number in 0..BIG / PIECE {
            (&sender).write_all(&piece(number)).unwrap();
            counter.fetch_add(PIECE, Ordering::Relaxed);
        }
    });
    let mut last = usize::MAX;
    eventually("the client is held up", || {
        std::thread::sleep(HELD_UP);
        std::mem::replace(&mut last, sent.load(Ordering::Relaxed)) == last && last > 0
    });
    assert!(sent.load(Ordering::Relaxed) < BIG, "all was taken although nobody reads");
    assert_grew_little(&front, before);
    drop(go);
    assert_eq!(client.answer(Method::Other).body_text(), BIG.to_string());
    sending.join().unwrap();
}

#[track_caller]
fn assert_grew_little(front: &Evenkeel, before: u64) {
    let grown = peak_kib(front.pid()) - before;
    assert!(grown <= GROWTH_KIB, "grew by {grown} KiB");
}

#[test]
fn rfc9110_9_3_1_a_get_may_have_a_body() {
    let backend = Backend::answering(OK);
    let front = front(&backend);
    let mut client = front.client();
    for _ in 0..2 {
        let answer = client.exchange("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(answer.status(), 200);
    }
    assert!(backend.requests().iter().all(|request| request.body_text() == "hello"));
}

#[test]
fn rfc9110_9_3_2_head_of_a_chunked_answer_has_no_body() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n");
    let front = front(&backend);
    let mut client = front.client();
    for _ in 0..3 {
        let answer = client.exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((answer.status(), answer.value("X-A")), (200, "1"));
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn rfc9112_9_3_older_backends_may_keep_their_connections() {
    let backend = Backend::answering("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok");
    let front = front(&backend);
    let mut client = front.client();
    for _ in 0..3 {
        let answer = client.exchange(GET);
        assert_eq!((answer.body_text().as_str(), answer.has("Connection")), ("ok", false));
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn upload_that_nobody_wants_still_reads_its_answer() {
    let front = Setup::over([format!("127.0.0.1:{}", crate::harness::free_port())]).start();
    let mut client = front.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 800000\r\n\r\n");
    let _ = client.try_send(vec![b'x'; 800_000]);
    assert_eq!(client.answer(Method::Other).status(), 502);
}
