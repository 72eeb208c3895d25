//! A worker between clients and backends that the tests play themselves, all on one runtime.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use policy::plan::{Action, ListenerId, Plan, PolicyKind, PoolId, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::h1::chunked::{Decoder, Step};
use wire::h1::{Limits, Parsed, parse_answer};
use wire::head::{Answer, Framing, Method};

use crate::h1::{Connection, Greeting};
use crate::seam::Peer;
use crate::stream::Stream;
use crate::worker::Worker;
use crate::{Report, testing};

pub(super) const POOL: PoolId = PoolId(0);
pub(super) const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// A backend whose part the test plays.
pub(super) struct Backend(TcpListener);

impl Backend {
    pub(super) async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }

    pub(super) async fn accept(&self) -> Wire {
        Wire::new(self.0.accept().await.expect("a connection").0)
    }

    /// A connection on which the head of a request has come.
    pub(super) async fn asked(&self) -> Wire {
        let mut wire = self.accept().await;
        wire.head().await;
        wire
    }

    /// Asserts that nobody has connected.
    pub(super) async fn expect_nobody(&self) {
        let accepted = std::future::poll_fn(|cx| std::task::Poll::Ready(self.0.poll_accept(cx).is_ready())).await;
        assert!(!accepted, "nobody should have come");
    }
}

/// One end of a connection.
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    unread: Vec<u8>,
}

/// An answer as a client reads it.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Got {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream, unread: Vec::new() }
    }

    pub(super) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.expect("the other end is there");
    }

    /// Reads once more; false at the end, be it proper or not.
    async fn read_more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.unread).await, Ok(n) if n > 0)
    }

    /// Reads up to and with this text; what came before an early end if there is one.
    pub(super) async fn read_until(&mut self, text: &str) -> String {
        loop {
            let found = self.unread.windows(text.len()).position(|bytes| bytes == text.as_bytes());
            if let Some(at) = found {
                return self.take(at + text.len());
            }
            if !self.read_more().await {
                return self.take(self.unread.len());
            }
        }
    }

    /// Reads a head; asserts that one comes.
    pub(super) async fn head(&mut self) -> String {
        let head = self.read_until("\r\n\r\n").await;
        assert!(head.ends_with("\r\n\r\n"), "no whole head: {head:?}");
        head
    }

    pub(super) async fn read_exactly(&mut self, bytes: usize) -> Vec<u8> {
        while self.unread.len() < bytes {
            assert!(self.read_more().await, "{bytes} bytes should come, not {}", self.unread.len());
        }
        self.unread.drain(..bytes).collect()
    }

    /// Reads to the end, be it proper or not.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        while self.read_more().await {}
        std::mem::take(&mut self.unread)
    }

    fn take(&mut self, bytes: usize) -> String {
        String::from_utf8(self.unread.drain(..bytes).collect()).expect("text")
    }

    /// Reads one answer to a GET, whole.
    pub(super) async fn answer(&mut self) -> Got {
        let head = self.head().await;
        let mut answer = Answer::default();
        let limits = Limits { head_bytes: 8192, fields: 100, target_bytes: 1 };
        let parsed = parse_answer(head.as_bytes(), &limits, Method::Get, &mut answer);
        assert_eq!(parsed, Ok(Parsed::Complete(head.len())), "{head}");
        let body = match answer.framing {
            Framing::None => Vec::new(),
            Framing::Length(bytes) => self.read_exactly(usize::try_from(bytes).expect("small")).await,
            Framing::Chunked => self.chunks().await,
            Framing::UntilClose => self.rest().await,
        };
        Got { status: answer.status, head, body }
    }

    /// Reads a chunked body to its end.
    pub(super) async fn chunks(&mut self) -> Vec<u8> {
        let (mut decoder, mut body) = (Decoder::new(), Vec::new());
        loop {
            match decoder.decode(&self.unread).expect("well formed") {
                Step::Data { skip, data } => {
                    self.unread.drain(..skip);
                    body.extend(self.unread.drain(..data));
                }
                Step::End { used, .. } => {
                    self.unread.drain(..used);
                    return body;
                }
                Step::More { used } => {
                    self.unread.drain(..used);
                    assert!(self.read_more().await, "the body should go on");
                }
            }
        }
    }

    /// Breaks the connection so that the other end gets a reset.
    pub(super) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a TCP socket");
    }
}

/// The worker under test.
pub(super) struct Front {
    pub(super) worker: Rc<Worker>,
    reports: tokio::sync::mpsc::Receiver<Report>,
    door: TcpListener,
}

/// What routes and pools say about attempts.
pub(super) fn target(plan: &mut Plan) -> &mut Target {
    match &mut plan.routes[0].action {
        Action::Pool(target) => target,
        action => unreachable!("the route leads to a pool, not {action:?}"),
    }
}

/// A plan that asks the first of these backends first.
pub(super) fn plan(backends: &[&Backend]) -> Plan {
    let mut plan = testing::plan(&backends.iter().map(|backend| backend.address()).collect::<Vec<_>>());
    plan.pools[0].policy = PolicyKind::First;
    plan
}

impl Front {
    pub(super) async fn new(plan: Plan) -> Self {
        let (worker, reports) = testing::worker(plan);
        tokio::task::spawn_local(Rc::clone(&worker.timers).run());
        let door = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self { worker, reports, door }
    }

    /// A client that nobody serves yet, and its connection on our side.
    pub(super) async fn at_the_door(&self) -> (Wire, TcpStream) {
        let address = self.door.local_addr().expect("it is bound");
        let (near, far) = tokio::join!(TcpStream::connect(address), self.door.accept());
        (Wire::new(near.expect("it listens")), far.expect("it is accepted").0)
    }

    pub(super) fn serve(&self, stream: TcpStream) {
        let addr = stream.peer_addr().expect("it is connected");
        let local = stream.local_addr().expect("it is connected");
        stream.set_nodelay(true).expect("a TCP socket");
        let listener = ListenerId(0);
        let peer = Peer { addr, trusted: false, listener, local_ip: local.ip(), local_port: local.port() };
        let connection = Connection::new(&self.worker, Stream::Tcp(stream), peer, Greeting::None);
        tokio::task::spawn_local(connection);
    }

    /// A client that has connected.
    pub(super) async fn client(&self) -> Wire {
        let (client, stream) = self.at_the_door().await;
        self.serve(stream);
        client
    }

    /// A client that has sent this.
    pub(super) async fn asked(&self, text: impl AsRef<[u8]>) -> Wire {
        let mut client = self.client().await;
        client.send(text).await;
        client
    }

    /// A client and a connection of this backend that are kept for the next request after a first one.
    pub(super) async fn kept(&self, backend: &Backend) -> (Wire, Wire) {
        let mut client = self.asked(GET).await;
        let mut kept = backend.asked().await;
        kept.send(OK).await;
        assert_eq!(client.answer().await.status, 200);
        (client, kept)
    }

    /// The log line of the next exchange that failed, other reports passed over.
    pub(super) async fn failure(&mut self) -> serde_json::Value {
        loop {
            if let Report::Failure(line) = self.reports.recv().await.expect("the worker lives") {
                return serde_json::from_str(&line).expect("a JSON object");
            }
        }
    }

    /// Asserts that no exchange has failed so far.
    pub(super) fn expect_no_failure(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            assert!(!matches!(report, Report::Failure(_)), "{report:?}");
        }
    }

    /// Lets the worker run until this holds.
    pub(super) async fn until(&self, holds: impl Fn(&Worker) -> bool) {
        while !holds(&self.worker) {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until no attempt runs.
    pub(super) async fn at_rest(&self) {
        self.until(|worker| worker.shared.pools[0].backends.iter().all(|backend| backend.active() == 0)).await;
    }

    pub(super) fn counters(&self, backend: usize) -> &crate::counters::BackendCounters {
        &self.worker.counters().pools[0][backend]
    }

    pub(super) fn goes_down(&self, backend: usize) {
        self.worker.shared.pools[0].set_standing(backend, policy::balance::Standing::Out);
        self.worker.backend_changed(POOL, backend);
    }
}

/// Cause and attempts of a failed exchange.
pub(super) fn cause(line: &serde_json::Value) -> (&str, u64) {
    (line["cause"].as_str().unwrap_or("none"), line["attempts"].as_u64().unwrap_or(0))
}
