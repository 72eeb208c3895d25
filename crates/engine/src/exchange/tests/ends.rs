//! How exchanges end: clients that go, answers that break off, come early or switch; and what is left afterwards.

use policy::plan::{Address, LogWrite, ProxyVersion};

use super::front::{Backend, Front, GET, OK, cause, plan};
use crate::testing::run;

/// Lets everything that can happen happen.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_client_that_goes_cancels_its_attempt_and_nobody_is_to_blame() {
    for resets in [false, true] {
        run(async {
            let backend = Backend::new().await;
            let mut front = Front::new(plan(&[&backend])).await;
            let client = front.asked(GET).await;
            let mut working = backend.asked().await;
            assert_eq!(front.worker.shared.pools[0].backends[0].active(), 1);
            if resets {
                client.reset()
            } else {
                drop(client)
            }
            assert_eq!(working.rest().await, b"", "the backend hears of it");
            front.at_rest().await;
            front.until(|worker| worker.shared.connections() == 0).await;
            assert_eq!((front.counters(0).failures.get(), front.counters(0).retries.get()), (0, 0));
            let counters = &front.worker.counters().listeners[0];
            assert_eq!((counters.aborted.get(), counters.status_4xx.get()), (1, 0), "nobody got an answer");
            front.expect_no_failure();
        });
    }
}

#[test]
fn a_client_that_goes_and_leaves_more_than_is_read_cancels_its_attempt() {
    for resets in [false, true] {
        run(async {
            let backend = Backend::new().await;
            let mut front = Front::new(plan(&[&backend])).await;
            let mut client = front.asked(GET.repeat(3000)).await;
            let mut working = backend.asked().await;
            if resets {
                client.reset()
            } else {
                tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.expect("it is open");
            }
            assert_eq!(working.rest().await, b"", "the backend hears of it");
            front.at_rest().await;
            front.until(|worker| worker.shared.connections() == 0).await;
            assert_eq!(front.worker.counters().listeners[0].aborted.get(), 1);
            front.expect_no_failure();
        });
    }
}

#[test]
fn a_client_that_pipelines_more_than_is_read_and_stays_is_served() {
    run(async {
        const REQUESTS: usize = 1200;
        let backend = Backend::new().await;
        let front = Front::new(plan(&[&backend])).await;
        let mut client = front.asked(GET.repeat(REQUESTS)).await;
        let mut working = backend.asked().await;
        // Longer than until the next look at the client.
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        working.send(OK).await;
        for _ in 1..REQUESTS {
            working.head().await;
            working.send(OK).await;
        }
        for _ in 0..REQUESTS {
            assert_eq!(client.answer().await.status, 200);
        }
    });
}

#[test]
fn a_client_that_goes_in_the_middle_of_its_body_or_answer_ends_both_sides() {
    run(async {
        let backend = Backend::new().await;
        let mut front = Front::new(plan(&[&backend])).await;
        let client = front.asked("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nhalf").await;
        let mut one = backend.asked().await;
        drop(client);
        assert_eq!(one.rest().await, b"half");
        let mut client = front.asked(GET).await;
        let mut two = backend.asked().await;
        two.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
        client.head().await;
        drop(client);
        assert_eq!(two.rest().await, b"");
        front.at_rest().await;
        assert_eq!(front.counters(0).failures.get(), 0);
        front.expect_no_failure();
    });
}

#[test]
fn what_came_of_an_answer_that_breaks_off_is_passed_on_and_never_looks_whole() {
    for (head, body, got) in [
        ("Content-Length: 10", "half", "half"),
        ("Content-Length: 10", "", ""),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\n", "4\r\nhalf\r\n"),
        ("Transfer-Encoding: chunked", "9\r\nhalf", "4\r\nhalf\r\n"),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\nzz\r\n", "4\r\nhalf\r\n"),
    ] {
        run(async {
            let (backend, other) = (Backend::new().await, Backend::new().await);
            let mut front = Front::new(plan(&[&backend, &other])).await;
            let mut client = front.asked(GET).await;
            let mut broken = backend.asked().await;
            broken.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}")).await;
            drop(broken);
            assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
            assert_eq!(String::from_utf8_lossy(&client.rest().await), got, "{head} {body:?}");
            assert_eq!(cause(&front.failure().await), ("truncated", 1));
            other.expect_nobody().await;
            front.at_rest().await;
            assert_eq!(front.worker.counters().listeners[0].truncated.get(), 1);
        });
    }
}

#[test]
fn an_answer_may_come_before_the_request_has_ended() {
    run(async {
        let backend = Backend::new().await;
        let front = Front::new(plan(&[&backend])).await;
        let mut client = front.asked("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nsome").await;
        let mut hasty = backend.asked().await;
        hasty.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nless").await;
        let got = client.answer().await;
        assert_eq!((got.status, got.body.as_slice()), (413, &b"less"[..]));
        assert_eq!(got.field("Connection"), Some("close"), "the rest of the request would be taken for another");
        assert_eq!(client.rest().await, b"");
        front.at_rest().await;
        assert_eq!(front.counters(0).idle.get(), 0, "half a request was sent there");
    });
}

#[test]
fn a_backend_that_stops_reading_is_heard_and_the_connection_is_not_promised_on() {
    run(async {
        let path = std::env::temp_dir().join(format!("evenkeel-deaf-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = tokio::net::UnixListener::bind(&path).expect("a free path");
        let unused = Backend::new().await;
        let mut plan = plan(&[&unused]);
        plan.pools[0].backends[0].address = Address::Unix(path.clone());
        let front = Front::new(plan).await;
        let body = vec![b'x'; 4 * 1024 * 1024];
        let head = format!("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut client = front.asked(head).await;
        let (mut deaf, _) = listener.accept().await.expect("a connection");
        let answering = async {
            // Writing to it fails from here on; what it says can still be read.
            socket2::SockRef::from(&deaf).shutdown(std::net::Shutdown::Read).expect("it is open");
            front.until(|worker| worker.counters().pools[0][0].attempts.get() == 1).await;
            settle().await;
            let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut deaf, answer).await.expect("it fits");
        };
        let (mut read, mut write) = client.stream.split();
        let reading = async {
            let mut got = Vec::new();
            while !got.ends_with(b"\r\n\r\n") {
                assert!(tokio::io::AsyncReadExt::read_buf(&mut read, &mut got).await.expect("an answer") > 0);
            }
            String::from_utf8(got).expect("text")
        };
        let ((), got, _) = tokio::join!(answering, reading, tokio::io::AsyncWriteExt::write_all(&mut write, &body));
        std::fs::remove_file(&path).expect("it is there");
        assert!(got.starts_with("HTTP/1.1 413 ") && got.contains("\r\nConnection: close\r\n"), "{got}");
        front.at_rest().await;
        assert_eq!(front.counters(0).idle.get(), 0);
    });
}

#[test]
fn connections_to_backends_serve_on_after_whole_answers_alone() {
    for (answer, kept) in [
        (OK, 1),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 1),
        ("HTTP/1.1 204 No Content\r\n\r\n", 1),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 1),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", 0),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 0),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi", 1),
    ] {
        run(async {
            let backend = Backend::new().await;
            let front = Front::new(plan(&[&backend])).await;
            let mut client = front.asked(GET).await;
            let mut one = backend.asked().await;
            one.send(answer).await;
            client.answer().await;
            front.at_rest().await;
            assert_eq!(front.counters(0).idle.get(), kept, "{answer:?}");
            client.send(GET).await;
            let mut next = if kept == 1 { one } else { backend.accept().await };
            next.head().await;
            next.send(OK).await;
            assert_eq!(client.answer().await.body, b"hi");
            front.at_rest().await;
        });
    }
}

#[test]
fn a_tunnel_counts_its_bytes_and_leaves_nothing_behind() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        plan.access_log.write = LogWrite::All;
        let mut front = Front::new(plan).await;
        let upgrade = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly ";
        let mut client = front.asked(upgrade).await;
        let mut echo = backend.asked().await;
        echo.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello").await;
        assert!(client.head().await.contains("\r\nUpgrade: echo\r\n"));
        assert_eq!(client.read_exactly(5).await, b"hello");
        client.send("bird").await;
        assert_eq!(echo.read_exactly(10).await, b"early bird");
        tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.expect("it is open");
        assert_eq!(echo.rest().await, b"", "the end of one direction passes");
        echo.send(", bye").await;
        drop(echo);
        assert_eq!(client.rest().await, b", bye");
        front.at_rest().await;
        let counters = front.counters(0);
        assert_eq!((counters.sent_bytes.get(), counters.received_bytes.get()), (10, 10));
        assert_eq!(counters.idle.get(), 0, "a connection that was a tunnel is none any more");
        front.expect_no_failure();
    });
}

#[test]
fn each_exchange_has_a_connection_of_its_own_where_backends_are_told_of_clients() {
    run(async {
        let backend = Backend::new().await;
        let mut plan = plan(&[&backend]);
        plan.pools[0].send_proxy = Some(ProxyVersion::V1);
        let front = Front::new(plan).await;
        let mut client = front.client().await;
        let told = format!(
            "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n",
            client.stream.local_addr().expect("it is connected").port(),
            client.stream.peer_addr().expect("it is connected").port()
        );
        for _ in 0..2 {
            client.send(GET).await;
            let mut one = backend.accept().await;
            assert_eq!(one.read_until("\r\n").await, told);
            assert!(one.head().await.starts_with("GET / HTTP/1.1\r\n"));
            one.send(OK).await;
            assert_eq!(client.answer().await.body, b"hi");
            front.at_rest().await;
            assert_eq!(front.counters(0).idle.get(), 0);
            assert_eq!(one.rest().await, b"", "it is closed");
        }
    });
}

#[test]
fn nothing_that_a_client_sends_ahead_is_lost_or_mixed_up() {
    run(async {
        let backend = Backend::new().await;
        let front = Front::new(plan(&[&backend])).await;
        let mut client = front.client().await;
        let one = "PUT /1 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n";
        client.send(format!("{one}{}", GET.replace("GET /", "GET /2"))).await;
        let mut served = backend.accept().await;
        assert!(served.head().await.starts_with("PUT /1 "));
        assert_eq!(served.chunks().await, b"one");
        // Comes while the first answer is waited for, and is read to see whether the client is there.
        client.send(GET.replace("GET /", "GET /3")).await;
        settle().await;
        served.send(OK).await;
        for path in ["GET /2 ", "GET /3 "] {
            assert!(served.head().await.starts_with(path));
            served.send(OK).await;
        }
        for _ in 0..3 {
            assert_eq!(client.answer().await.body, b"hi");
        }
        front.at_rest().await;
        assert_eq!(front.counters(0).connects.get(), 1);
    });
}
