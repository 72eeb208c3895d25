//! The relay carries several exchanges in one task (decision 0017, D6): a mock of an HTTP/2-like connection with two streams
//! drives them, without a task for each, before real backend sockets. Beside it, whole connections over real sockets,
//! one file for each concern.

mod bodies;
mod ends;
mod front;
mod hedges;
mod policies;
mod retries;
mod stopping;
mod timeouts;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use policy::plan::ListenerId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wire::h1::{Limits, Parsed, parse_request};
use wire::head::Request;

use super::{Ended, Started, exchange};
use crate::clock::Instant;
use crate::seam::{AnswerHead, Cut, Downstream, Fill, OwnAnswer, Peer, Sink, Source, Trailers};
use crate::testing;
use crate::timers::Timer;
use crate::worker::Worker;

/// What both streams share: input that arrives for each, one output in the order it was written.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) arrived: [VecDeque<Vec<u8>>; 2],
    pub(super) ended: [bool; 2],
    pub(super) output: Vec<(usize, Vec<u8>)>,
    /// Output bytes that each stream may still write: flow control.
    pub(super) window: [usize; 2],
    pub(super) waker: Option<Waker>,
}

pub(super) struct Stream {
    id: usize,
    connection: Rc<RefCell<Connection>>,
    request: Request,
    head: Vec<u8>,
    data: Vec<u8>,
    timer: Timer,
    peer: Peer,
}

impl Stream {
    pub(super) fn new(id: usize, connection: &Rc<RefCell<Connection>>, worker: &Worker, head: &str) -> Self {
        let mut request = Request::default();
        let limits = Limits { head_bytes: 8192, fields: 100, target_bytes: 4096 };
        let parsed = parse_request(head.as_bytes(), &limits, &mut request);
        assert_eq!(parsed, Ok(Parsed::Complete(head.len())));
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let local_ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            id,
            connection: Rc::clone(connection),
            request,
            head: head.as_bytes().to_vec(),
            data: Vec::new(),
            timer: worker.timers.timer(),
            peer: Peer { addr, trusted: false, listener: ListenerId(0), local_ip, local_port: 80 },
        }
    }
}

impl Source for Stream {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Cut>> {
        let connection = &mut *self.connection.borrow_mut();
        if let Some(data) = connection.arrived[self.id].pop_front() {
            self.data = data;
            return Poll::Ready(Ok(Fill::Data));
        }
        if connection.ended[self.id] {
            return Poll::Ready(Ok(Fill::End));
        }
        connection.waker = Some(cx.waker().clone());
        Poll::Pending
    }
    fn data(&self) -> &[u8] {
        &self.data
    }
    fn consume(&mut self, n: usize) {
        self.data.drain(..n);
    }
    fn trailers(&self) -> Trailers<'_> {
        Trailers::default()
    }
}

impl Sink for Stream {
    fn poll_push(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let connection = &mut *self.connection.borrow_mut();
        let n = data.len().min(connection.window[self.id]);
        if n == 0 {
            connection.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        connection.window[self.id] -= n;
        connection.output.push((self.id, data[..n].to_vec()));
        Poll::Ready(Ok(n))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_end(&mut self, _: &mut Context<'_>, _: Trailers<'_>) -> Poll<io::Result<()>> {
        self.connection.borrow_mut().output.push((self.id, b"<end>".to_vec()));
        Poll::Ready(Ok(()))
    }
}

impl Downstream for Stream {
    fn head(&self) -> (&Request, &[u8]) {
        (&self.request, &self.head)
    }
    fn peer(&self) -> &Peer {
        &self.peer
    }
    fn timer(&self) -> &Timer {
        &self.timer
    }
    fn interim(&mut self, _: &AnswerHead<'_>) {}
    fn begin(&mut self, head: &AnswerHead<'_>) {
        let status = format!("<{}>", head.answer.status).into_bytes();
        self.connection.borrow_mut().output.push((self.id, status));
    }
    fn answer(&mut self, own: &OwnAnswer<'_>) {
        let status = format!("<own {}>", own.status).into_bytes();
        self.connection.borrow_mut().output.push((self.id, status));
    }
    fn become_tunnel(&mut self) {}
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
    fn limit_body(&mut self, _: Option<u64>) {}
}

/// A backend that answers each request on a connection of its own with its target and body.
pub(super) async fn echo_backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("a bound socket has an address");
    tokio::task::spawn_local(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::task::spawn_local(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"0\r\n\r\n") && !request.starts_with(b"GET") {
                    if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.len());
                socket.write_all(answer.as_bytes()).await.expect("the relay reads");
                socket.write_all(&request).await.expect("the relay reads");
            });
        }
    });
    addr
}

pub(super) fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
    let bounded = async { tokio::time::timeout(std::time::Duration::from_secs(20), test).await };
    runtime.expect("a runtime").block_on(bounded).expect("in time");
}

pub(super) type Exchanges = Vec<Option<Pin<Box<dyn Future<Output = Ended>>>>>;

/// Polls all exchanges of a connection in one task, as an HTTP/2 connection will.
pub(super) fn poll_all(cx: &mut Context<'_>, exchanges: &mut Exchanges, done: &mut [Option<Ended>]) {
    for (at, slot) in exchanges.iter_mut().enumerate() {
        if let Some(exchange) = slot
            && let Poll::Ready(ended) = exchange.as_mut().poll(cx)
        {
            done[at] = Some(ended);
            *slot = None;
        }
    }
}

pub(super) fn start(worker: &Rc<Worker>, mut stream: Stream) -> Pin<Box<dyn Future<Output = Ended>>> {
    let worker = Rc::clone(worker);
    Box::pin(async move {
        let now = Instant::now();
        exchange(&worker, &mut stream, Started { arrived: now, whole: now }).await
    })
}

fn text(connection: &RefCell<Connection>, id: usize) -> String {
    let connection = connection.borrow();
    let bytes: Vec<u8> =
        connection.output.iter().filter(|(of, _)| *of == id).flat_map(|(_, bytes)| bytes.clone()).collect();
    String::from_utf8(bytes).expect("text")
}

pub(super) const UPLOAD: &str = "PUT /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
pub(super) const DOWNLOAD: &str = "GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[test]
fn two_streams_of_one_task_do_not_wait_for_each_other() {
    run(async {
        let (worker, _reports) = testing::worker(testing::plan(&[echo_backend().await]));
        tokio::task::spawn_local(Rc::clone(&worker.timers).run());
        let connection = Rc::new(RefCell::new(Connection { window: [usize::MAX; 2], ..Connection::default() }));
        let mut exchanges: Exchanges = vec![
            Some(start(&worker, Stream::new(0, &connection, &worker, UPLOAD))),
            Some(start(&worker, Stream::new(1, &connection, &worker, DOWNLOAD))),
        ];
        let mut done = [None; 2];
        connection.borrow_mut().arrived[0].push_back(b"first ".to_vec());
        connection.borrow_mut().ended[1] = true;
        poll_fn(|cx| {
            poll_all(cx, &mut exchanges, &mut done);
            if done[1].is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(done, [None, Some(Ended::Answered)], "the upload waits for its body, the download does not");
        {
            let connection = &mut *connection.borrow_mut();
            connection.arrived[0].push_back(b"second".to_vec());
            connection.ended[0] = true;
            connection.waker.take().expect("the upload waits for its client").wake();
        }
        poll_fn(|cx| {
            poll_all(cx, &mut exchanges, &mut done);
            if done[0].is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert!(text(&connection, 0).starts_with("<200>PUT /up HTTP/1.1\r\nHost: a.test\r\n"));
        assert!(text(&connection, 0).ends_with("6\r\nfirst \r\n6\r\nsecond\r\n0\r\n\r\n<end>"));
        assert!(text(&connection, 1).starts_with("<200>GET /down HTTP/1.1\r\n"));
    });
}

#[test]
fn a_stream_without_window_holds_only_itself_back() {
    run(async {
        let (worker, _reports) = testing::worker(testing::plan(&[echo_backend().await]));
        tokio::task::spawn_local(Rc::clone(&worker.timers).run());
        let connection =
            Rc::new(RefCell::new(Connection { window: [0, usize::MAX], ended: [true; 2], ..Connection::default() }));
        let mut exchanges: Exchanges =
            (0..2).map(|id| Some(start(&worker, Stream::new(id, &connection, &worker, DOWNLOAD)))).collect();
        let mut done = [None; 2];
        poll_fn(|cx| {
            poll_all(cx, &mut exchanges, &mut done);
            let begun = connection.borrow().output.iter().any(|(id, _)| *id == 0);
            if done[1].is_some() && begun { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(done, [None, Some(Ended::Answered)]);
        connection.borrow_mut().window[0] = usize::MAX;
        connection.borrow_mut().waker.take().expect("it waits for its window").wake();
        poll_fn(|cx| {
            poll_all(cx, &mut exchanges, &mut done);
            if done[0].is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert!(text(&connection, 0).ends_with("<end>"));
    });
}

#[test]
fn an_exchange_without_backend_gets_an_answer_of_our_own() {
    run(async {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let (worker, mut reports) = testing::worker(testing::plan(&[closed]));
        tokio::task::spawn_local(Rc::clone(&worker.timers).run());
        let connection = Rc::new(RefCell::new(Connection { ended: [true; 2], ..Connection::default() }));
        let ended = start(&worker, Stream::new(0, &connection, &worker, DOWNLOAD)).await;
        assert_eq!(ended, Ended::Answered);
        assert_eq!(text(&connection, 0), "<own 502><end>");
        let told = std::iter::from_fn(|| reports.try_recv().ok())
            .any(|report| matches!(report, crate::Report::ConnectFailed { .. }));
        assert!(told, "control hears of the failure");
    });
}
