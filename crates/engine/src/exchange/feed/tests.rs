//! Any schedule of attempts, each over a real connection that fails at some point: the one that succeeds sees exactly the
//! client's body, or there is none.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use policy::plan::{HeaderRules, ListenerId};
use policy::rng::Rng;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_oneof, proptest};
use tokio::io::AsyncReadExt;
use wire::h1::chunked::{Decoder, Step};
use wire::h1::{Limits, Parsed, parse_request};
use wire::head::{Framing, Request};

use super::*;
use crate::buffers::Buffers;
use crate::h1::{BackendLink, RequestHead};
use crate::seam::{Changes, Peer, poll_pump};
use crate::stream::Stream;
use crate::testing::{pair, run};

/// The client's body, in pieces and with stalls; it comes once.
struct Client {
    body: Vec<u8>,
    at: usize,
    here: usize,
    largest: usize,
    rng: Rng,
}

impl Client {
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.rng.below(n as u64)).expect("small")
    }
}

impl Source for Client {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Cut>> {
        if self.below(3) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.at == self.body.len() {
            return Poll::Ready(Ok(Fill::End));
        }
        let largest = self.largest;
        self.here = (1 + self.below(largest)).min(self.body.len() - self.at);
        Poll::Ready(Ok(Fill::Data))
    }
    fn data(&self) -> &[u8] {
        &self.body[self.at..self.at + self.here]
    }
    fn consume(&mut self, n: usize) {
        self.at += n;
        self.here -= n;
    }
    fn trailers(&self) -> Trailers<'_> {
        Trailers::default()
    }
}

/// How an attempt fails.
#[derive(Clone, Copy, Debug)]
enum Failing {
    /// The connection has ended before the first byte.
    AtOnce,
    /// The backend takes so many bytes, then breaks the connection.
    After(usize),
    /// We give up after so many turns, whatever was sent.
    Late(usize),
}

#[derive(Clone, Debug)]
struct Case {
    idempotent: bool,
    chunked: bool,
    body_bytes: usize,
    /// Most bytes that the client sends at once.
    largest: usize,
    keep_bytes: usize,
    failing: Vec<Failing>,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let failing = prop_oneof![
        2 => Just(Failing::AtOnce),
        2 => (0usize..30_000).prop_map(Failing::After),
        1 => (0usize..200).prop_map(Failing::After),
        2 => (1usize..40).prop_map(Failing::Late),
    ];
    let bytes = prop_oneof![0usize..100, 0usize..12_000, 0usize..60_000];
    let keep_bytes = prop_oneof![Just(65_536usize), 0usize..20_000];
    let shape = (any::<bool>(), any::<bool>(), prop_oneof![1usize..50, 1usize..9_000]);
    (shape, bytes, keep_bytes, prop::collection::vec(failing, 0..5), any::<u64>()).prop_map(
        |((idempotent, chunked, largest), body_bytes, keep_bytes, failing, seed)| Case {
            idempotent,
            chunked,
            body_bytes,
            largest,
            keep_bytes,
            failing,
            seed,
        },
    )
}

/// What came of a schedule.
#[derive(Debug)]
enum Outcome {
    /// What the last backend got as the body.
    Got(Vec<u8>),
    /// The body could not be sent again.
    Lost,
}

impl Case {
    fn head(&self) -> String {
        let method = if self.idempotent { "PUT" } else { "POST" };
        let framing = match self.chunked {
            true => "Transfer-Encoding: chunked".to_owned(),
            false => format!("Content-Length: {}", self.body_bytes),
        };
        format!("{method} / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n")
    }

    /// Runs the attempts as an exchange does.
    async fn run(&self, client: &mut Client, feed: &mut Feed) -> Outcome {
        let buffers = Buffers::new(512, 2048);
        for failing in &self.failing {
            let (near, far) = pair(2048);
            let mut link = self.begin(near, &buffers);
            fail(*failing, far, client, (feed, &mut link)).await;
            if let Some(unsent) = link.unsent_body() {
                feed.take_back(&unsent);
            }
            let may_be_repeated = self.idempotent || link.wrote_nothing();
            if !feed.is_replayable() || !may_be_repeated {
                return Outcome::Lost;
            }
            feed.rewind();
        }
        let (near, mut far) = pair(2048);
        let link = self.begin(near, &buffers);
        let sending = async {
            let mut link = link;
            poll_fn(|cx| poll_send(cx, client, feed, &mut link)).await.expect("it is sent");
        };
        let mut wire = Vec::new();
        let (_, read) = tokio::join!(sending, far.read_to_end(&mut wire));
        read.expect("it is read");
        Outcome::Got(self.body_of(&wire))
    }

    fn begin<'b>(&self, stream: tokio::net::UnixStream, buffers: &'b Buffers) -> BackendLink<'b> {
        let (head, mut request) = (self.head(), Request::default());
        let limits = Limits { head_bytes: 4096, fields: 20, target_bytes: 100 };
        let parsed = parse_request(head.as_bytes(), &limits, &mut request);
        assert_eq!(parsed, Ok(Parsed::Complete(head.len())));
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

    /// The body of the one request that a backend got.
    fn body_of(&self, wire: &[u8]) -> Vec<u8> {
        let mut request = Request::default();
        let limits = Limits { head_bytes: 4096, fields: 20, target_bytes: 100 };
        let Ok(Parsed::Complete(end)) = parse_request(wire, &limits, &mut request) else {
            unreachable!("the head is whole: {}", String::from_utf8_lossy(wire))
        };
        let expected = if self.chunked { Framing::Chunked } else { Framing::Length(self.body_bytes as u64) };
        assert_eq!(request.framing, expected);
        if self.chunked { unchunk(&wire[end..]) } else { wire[end..].to_vec() }
    }
}

fn unchunk(mut wire: &[u8]) -> Vec<u8> {
    let (mut decoder, mut body) = (Decoder::new(), Vec::new());
    loop {
        match decoder.decode(wire).expect("well formed") {
            Step::Data { skip, data } => {
                body.extend_from_slice(&wire[skip..skip + data]);
                wire = &wire[skip + data..];
            }
            Step::More { .. } => unreachable!("the body is whole"),
            Step::End { used, .. } => {
                assert_eq!(used, wire.len(), "nothing follows the body");
                return body;
            }
        }
    }
}

fn poll_send(
    cx: &mut Context<'_>,
    client: &mut Client,
    feed: &mut Feed,
    link: &mut BackendLink<'_>,
) -> Poll<Result<(), crate::seam::PumpError>> {
    let mut progress = feed.progress;
    let sent = poll_pump(cx, &mut feed.of(client), link, &mut progress);
    feed.progress = progress;
    sent
}

/// Sends until the attempt fails or everything was sent, which then is of no use.
async fn fail(
    how: Failing,
    far: tokio::net::UnixStream,
    client: &mut Client,
    (feed, link): (&mut Feed, &mut BackendLink<'_>),
) {
    let (takes, mut turns) = match how {
        Failing::AtOnce => (None, usize::MAX),
        Failing::After(bytes) => (Some(bytes), usize::MAX),
        Failing::Late(turns) => (Some(usize::MAX), turns),
    };
    let taking = async move {
        let mut far = far;
        let mut left = takes.unwrap_or(0);
        let mut room = [0; 700];
        while left > 0 {
            let most = left.min(room.len());
            left -= far.read(&mut room[..most]).await.expect("it is read").min(left);
        }
    };
    let mut taking = std::pin::pin!(taking);
    let mut taken = false;
    poll_fn(|cx| {
        taken = taken || taking.as_mut().poll(cx).is_ready();
        turns -= 1;
        if turns == 0 || poll_send(cx, client, feed, link).is_ready() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn client(case: &Case) -> Client {
    let mut rng = Rng::new(case.seed);
    let body = (0..case.body_bytes).map(|_| u8::try_from(rng.below(256)).expect("a byte")).collect();
    Client { body, at: 0, here: 0, largest: case.largest, rng }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn the_attempt_that_succeeds_sees_the_whole_body_once(case in case()) {
        let keep_bytes = if case.idempotent { case.keep_bytes } else { 0 };
        let (mut client, mut feed) = (client(&case), Feed::new(keep_bytes));
        match run(case.run(&mut client, &mut feed)) {
            Outcome::Got(body) => {
                prop_assert!(body == client.body, "{} bytes became {}", client.body.len(), body.len());
                prop_assert!(feed.progress.bytes == body.len() as u64, "it counts the attempt that succeeded");
            }
            Outcome::Lost if case.idempotent => prop_assert!(client.at > keep_bytes, "what fits is kept"),
            Outcome::Lost => {}
        }
    }

    /// A body of which nothing could be written is never lost, whatever the method and framing.
    #[test]
    fn what_was_never_written_can_always_be_sent(case in case(), attempts in 1usize..4) {
        let case = Case { failing: vec![Failing::AtOnce; attempts], ..case };
        let (mut client, mut feed) = (client(&case), Feed::new(if case.idempotent { case.keep_bytes } else { 0 }));
        let outcome = run(case.run(&mut client, &mut feed));
        prop_assert!(matches!(&outcome, Outcome::Got(body) if *body == client.body));
    }
}

#[test]
fn what_the_answer_has_overtaken_is_no_longer_kept() {
    run(async {
        let case = Case {
            idempotent: true,
            chunked: false,
            body_bytes: 3000,
            largest: 1000,
            keep_bytes: 65_536,
            failing: Vec::new(),
            seed: 1,
        };
        let (mut client, mut feed) = (client(&case), Feed::new(case.keep_bytes));
        let sent = |feed: &Feed| (feed.kept.bytes.len(), feed.kept.bytes.capacity());
        poll_fn(|cx| feed.of(&mut client).poll_fill(cx)).await.expect("there is more");
        let first = client.here;
        feed.of(&mut client).consume(first);
        assert_eq!(sent(&feed).0, first);
        // The next attempt has sent a part of it again when its answer begins: the rest is still to come from here.
        feed.rewind();
        feed.of(&mut client).consume(first - 1);
        feed.let_go();
        assert_eq!(feed.of(&mut client).data().len(), 1);
        assert!(!feed.is_replayable());
        feed.of(&mut client).consume(1);
        poll_fn(|cx| feed.of(&mut client).poll_fill(cx)).await.expect("there is more");
        let more = client.here;
        feed.of(&mut client).consume(more);
        assert_eq!(sent(&feed), (0, 0));
        feed.let_go();
        assert_eq!(client.at, first + more);
    });
}

#[test]
fn nothing_sent_is_nothing_lost() {
    let mut feed = Feed::new(0);
    assert!(feed.is_replayable());
    feed.keep(b"sent");
    assert!(!feed.is_replayable());
    feed.take_back(b"sent");
    assert!(feed.is_replayable());
    feed.rewind();
    assert_eq!((feed.at, feed.kept.bytes.as_slice(), feed.done), (0, &b"sent"[..], false));
}
