//! The backend's side: heads however they come, and which connections can serve again.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use policy::plan::{HeaderRules, ListenerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use wire::h1::parse_request;
use wire::head::Request;

use super::*;
use crate::seam::{Changes, Peer};
use crate::testing::{pair, run};

const LIMITS: Limits = Limits { head_bytes: 400, fields: 20, target_bytes: 100 };
const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn buffers() -> Buffers {
    Buffers::new(400, 600)
}

/// A link on which this request is begun.
fn begun<'b>(stream: UnixStream, buffers: &'b Buffers, head: &str) -> BackendLink<'b> {
    let mut request = Request::default();
    assert_eq!(parse_request(head.as_bytes(), &LIMITS, &mut request), Ok(Parsed::Complete(head.len())));
    let local_ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let addr = SocketAddr::new(local_ip, 1);
    let mut link = BackendLink::new(Stream::Unix(stream), buffers);
    link.begin(&RequestHead {
        deadline: None,
        identity: Default::default(),
        request: &request,
        buf: head.as_bytes(),
        peer: &Peer { addr, trusted: false, listener: ListenerId(0), local_ip, local_port: 80, secure: false },
        path: b"/",
        host: b"a.test",
        request_id: None,
        forwarded: false,
        length: None,
        changes: Changes { rules: &HeaderRules::default(), lines: &[] },
    });
    link
}

async fn end(link: &mut BackendLink<'_>) -> io::Result<()> {
    poll_fn(|cx| link.poll_end(cx, Trailers::default())).await
}

async fn push(link: &mut BackendLink<'_>, data: &[u8]) -> io::Result<usize> {
    poll_fn(|cx| link.poll_push(cx, data)).await
}

async fn head(link: &mut BackendLink<'_>, answer: &mut Answer) -> Result<(), HeadError> {
    poll_fn(|cx| link.poll_head(cx, &LIMITS, Method::Get, answer)).await
}

/// Reads the answer's body to its end.
async fn body(link: &mut BackendLink<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Fill::Data) = poll_fn(|cx| link.poll_fill(cx)).await {
        body.extend_from_slice(link.data());
        link.consume(link.data().len());
    }
    body
}

#[test]
fn interim_answers_come_one_by_one_before_the_final_one() {
    let buffers = buffers();
    run(async {
        let (near, mut far) = pair(0);
        let mut link = begun(near, &buffers, GET);
        end(&mut link).await.expect("it is sent");
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        far.write_all(&[&b"HTTP/1.1 100 Continue\r\n\r\n"[..], hints, OK].concat()).await.expect("it fits");
        let mut answer = Answer::default();
        for (status, reason) in [(100, &b"Continue"[..]), (103, b"Early Hints"), (200, b"OK")] {
            head(&mut link, &mut answer).await.expect("a head");
            assert_eq!((answer.status, answer.reason.of(link.head_buf())), (status, reason));
            link.forget_head();
        }
        assert_eq!(body(&mut link).await, b"hi");
        assert!(link.is_reusable());
    });
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let buffers = buffers();
    run(async {
        let (near, mut far) = pair(0);
        let mut link = begun(near, &buffers, GET);
        let sending = async {
            for byte in OK {
                far.write_all(&[*byte]).await.expect("it fits");
                tokio::task::yield_now().await;
            }
            far
        };
        let mut answer = Answer::default();
        let (_far, got) = tokio::join!(sending, head(&mut link, &mut answer));
        got.expect("a head");
        assert_eq!(body(&mut link).await, b"hi");
    });
}

#[test]
fn a_connection_that_ends_says_how_far_the_head_had_come() {
    for (said, early) in [(&b""[..], false), (b"HTTP/1.1 200", true), (b"HTTP/1.1 200 OK\r\n", true)] {
        let buffers = buffers();
        run(async {
            let (near, mut far) = pair(0);
            let mut link = begun(near, &buffers, GET);
            far.write_all(said).await.expect("it fits");
            drop(far);
            match head(&mut link, &mut Answer::default()).await {
                Err(HeadError::Early) => assert!(early),
                Err(HeadError::Closed) => assert!(!early),
                other => unreachable!("{other:?}"),
            }
        });
    }
}

#[test]
fn what_is_no_answer_or_too_long_is_malformed() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n", "a".repeat(500));
    for said in ["SSH-2.0-x\r\n", "HTTP/1.1 999 x\r\n\r\n", "HTTP/2 200\r\n\r\n", &long] {
        let buffers = buffers();
        run(async {
            let (near, mut far) = pair(0);
            let mut link = begun(near, &buffers, GET);
            far.write_all(said.as_bytes()).await.expect("it fits");
            let got = head(&mut link, &mut Answer::default()).await;
            assert!(matches!(got, Err(HeadError::Malformed(_))), "{said:?} gave {got:?}");
        });
    }
}

/// Whether the connection serves again after a request and this answer.
fn serves_again(request_ended: bool, said: &[u8]) -> bool {
    let buffers = buffers();
    run(async {
        let (near, mut far) = pair(0);
        let mut link = begun(near, &buffers, "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\n");
        push(&mut link, b"abc").await.expect("it is taken");
        if request_ended {
            end(&mut link).await.expect("it is sent");
        }
        far.write_all(said).await.expect("it fits");
        head(&mut link, &mut Answer::default()).await.expect("a head");
        body(&mut link).await;
        link.is_reusable()
    })
}

#[test]
fn a_connection_serves_again_only_when_both_sides_are_through() {
    assert!(serves_again(true, OK));
    assert!(serves_again(true, b"HTTP/1.1 204 No Content\r\n\r\n"));
    assert!(serves_again(true, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"));
    assert!(!serves_again(false, OK), "the request is not through");
    assert!(!serves_again(true, &[OK, b"HTTP/1.1 200 OK\r\n\r\n"].concat()), "nobody asked for the second answer");
    assert!(!serves_again(true, &[OK, b"x"].concat()));
    assert!(!serves_again(true, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"));
}

#[test]
fn a_connection_that_could_not_be_written_does_not_serve_again() {
    let buffers = buffers();
    run(async {
        let (near, mut far) = pair(0);
        let mut link = begun(near, &buffers, GET);
        end(&mut link).await.expect("it is sent");
        far.write_all(OK).await.expect("it fits");
        head(&mut link, &mut Answer::default()).await.expect("a head");
        body(&mut link).await;
        link.writing_failed();
        assert!(!link.is_reusable());
    });
}

#[test]
fn what_was_not_sent_can_be_told_until_something_was() {
    const PUT: &str = "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\n";
    const CHUNKED: &str = "PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let buffers = buffers();
    run(async {
        let (near, far) = pair(0);
        let mut link = begun(near, &buffers, PUT);
        assert_eq!(link.unsent_body().as_deref(), Some(&b""[..]));
        push(&mut link, b"abc").await.expect("it is taken");
        drop(far);
        end(&mut link).await.expect_err("nobody is there");
        assert!(link.wrote_nothing());
        assert_eq!(link.unsent_body().as_deref(), Some(&b"abc"[..]));

        let (near, far) = pair(0);
        let mut link = begun(near, &buffers, CHUNKED);
        assert_eq!(link.unsent_body().as_deref(), Some(&b""[..]));
        push(&mut link, b"abc").await.expect("it is taken");
        push(&mut link, b"defg").await.expect("it is taken");
        drop(far);
        assert_eq!(link.unsent_body().as_deref(), Some(&b"abcdefg"[..]), "without its frames");
        end(&mut link).await.expect_err("nobody is there");
        assert_eq!(link.unsent_body().as_deref(), Some(&b"abcdefg"[..]));

        let (near, _far) = pair(0);
        let mut link = begun(near, &buffers, PUT);
        end(&mut link).await.expect("it is sent");
        assert!(!link.wrote_nothing());
        assert_eq!(link.unsent_body(), None);
    });
}

#[test]
fn what_comes_first_is_sent_first_and_is_no_part_of_the_body() {
    let buffers = buffers();
    run(async {
        let (near, mut far) = pair(0);
        let mut link = BackendLink::new(Stream::Unix(near), &buffers);
        link.put_first(|out| out.extend_from_slice(b"PROXY UNKNOWN\r\n"));
        let begun_at = link.link.mem.out.len();
        assert_eq!(begun_at, 15);
        poll_fn(|cx| link.poll_flush(cx)).await.expect("it is sent");
        let mut first = [0; 15];
        far.read_exact(&mut first).await.expect("it comes");
        assert_eq!(&first, b"PROXY UNKNOWN\r\n");
    });
}
