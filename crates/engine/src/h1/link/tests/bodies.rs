//! Whole bodies, in every framing.

use policy::rng::Rng;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use wire::h1::chunked::put_chunk_size;

use super::*;
use crate::buffers::Most;
use crate::h1::link::COALESCE_BYTES;
use crate::seam::{Progress, poll_pump};

#[derive(Clone, Copy, Debug)]
enum Shape {
    Length,
    Chunked,
    UntilClose,
}

#[derive(Clone, Debug)]
struct Case {
    shape: Shape,
    body_bytes: usize,
    /// One behind the other on the same connection.
    messages: usize,
    head_bytes: usize,
    /// Room of the smallest buffer beyond the head.
    spare_bytes: usize,
    bulk_bytes: usize,
    kernel_bytes: usize,
    trailers: &'static str,
    /// Buffers are given back in the middle.
    thrifty: bool,
    most: Most,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let body_bytes = prop_oneof![Just(0), 1usize..200, 1usize..9_000, 1usize..300_000];
    let shape = prop::sample::select(vec![Shape::Length, Shape::Chunked, Shape::UntilClose]);
    let trailers = prop::sample::select(vec!["", "x-sum: 1\r\n", "x-a: one\r\nX-B: \r\n"]);
    let sizes = (4usize..400, 64usize..1_000, prop_oneof![1usize..2_000, 30_000usize..73_000]);
    let kernel_bytes = prop::sample::select(vec![0usize, 2_048, 16_384]);
    let lending = (any::<bool>(), 0usize..3, 0usize..3);
    (shape, body_bytes, 1usize..4, sizes, kernel_bytes, trailers, (lending, any::<u64>())).prop_map(
        |(shape, body_bytes, messages, (head_bytes, spare_bytes, bulk), kernel_bytes, trailers, (lending, seed))| {
            Case {
                shape,
                body_bytes,
                messages: if matches!(shape, Shape::UntilClose) { 1 } else { messages },
                head_bytes,
                spare_bytes,
                bulk_bytes: head_bytes + spare_bytes + bulk,
                kernel_bytes,
                trailers: if matches!(shape, Shape::Chunked) { trailers } else { "" },
                thrifty: lending.0,
                most: Most { bulks: lending.1, flows: lending.2 },
                seed,
            }
        },
    )
}

impl Case {
    fn framing(&self) -> Framing {
        match self.shape {
            Shape::Length => Framing::Length(self.body_bytes as u64),
            Shape::Chunked => Framing::Chunked,
            Shape::UntilClose => Framing::UntilClose,
        }
    }

    /// A head that differs from message to message.
    fn head(&self, message: usize) -> Vec<u8> {
        let mut head = vec![b'a' + u8::try_from(message).expect("few"); self.head_bytes - HEAD_END.len()];
        head.extend_from_slice(HEAD_END);
        head
    }

    fn pieces(&self, message: usize) -> Pieces {
        let seed = self.seed.wrapping_add(message as u64);
        Pieces::new(body(self.body_bytes, seed), self.trailers, seed)
    }

    /// A look at a slow peer comes now and then, and leaves everything as it was.
    fn look(&self, link: &mut Link<'_>, rng: &mut Rng) {
        if self.thrifty && number(rng, 4) == 0 {
            let (unread, out) = (link.mem.inbox.unread().to_vec(), link.mem.out[link.out_at..].to_vec());
            link.thrift();
            assert_eq!((link.mem.inbox.unread(), &link.mem.out[link.out_at..]), (&unread[..], &out[..]));
        }
    }

    async fn send(&self, link: &mut Link<'_>) {
        let mut rng = Rng::new(self.seed);
        for message in 0..self.messages {
            link.mem.out.extend_from_slice(&self.head(message));
            link.begin_write(self.framing());
            let (mut pieces, mut progress) = (self.pieces(message), Progress::default());
            let sent = poll_fn(|cx| {
                let sent = poll_pump(cx, &mut pieces, link, &mut progress);
                let most = 2 * COALESCE_BYTES + self.head_bytes + 64;
                assert!(link.mem.out.len() <= most, "output grew to {}", link.mem.out.len());
                self.look(link, &mut rng);
                sent
            });
            sent.await.expect("it is sent");
            assert!(link.write_done());
            assert_eq!(progress.bytes, self.body_bytes as u64);
        }
    }

    async fn receive(&self, link: &mut Link<'_>) {
        let mut rng = Rng::new(self.seed);
        for message in 0..self.messages {
            let head = read_head(link, self.framing()).await;
            assert_eq!(head, self.head(message));
            let (mut taken, mut progress) = (Taken::new(self.seed), Progress::default());
            let came = poll_fn(|cx| {
                let came = poll_pump(cx, link, &mut taken, &mut progress);
                self.look(link, &mut rng);
                assert_eq!(link.head_buf()[..head.len()], head, "the head stays while it is needed");
                came
            });
            came.await.expect("it comes");
            assert!(taken.body == self.pieces(message).body, "the body of message {message} is another");
            let trailers: String = taken.trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            assert_eq!(trailers, self.trailers);
            assert!(link.read_done());
            link.rest();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn what_one_link_writes_another_reads(case in case()) {
        let buffers = Buffers::lending(case.head_bytes + case.spare_bytes, case.bulk_bytes, case.most);
        run(async {
            let (near, far) = pair(case.kernel_bytes);
            let (mut near, mut far) = (link(near, &buffers), link(far, &buffers));
            let sending = async {
                case.send(&mut near).await;
                drop(near);
            };
            tokio::join!(sending, case.receive(&mut far));
            assert!(!far.has_input() && !far.mem.inbox.is_leased() && !far.mem.held.is_leased());
        });
        prop_assert_eq!(buffers.flows_leased(), 0);
    }

    /// Chunks cut as a stranger would cut them, with extensions, in segments that end anywhere.
    #[test]
    fn chunks_are_read_however_they_are_cut(
        bytes in 0usize..20_000, largest in 1usize..3_000, segment in 1usize..4_000, seed in any::<u64>(),
    ) {
        let body = body(bytes, seed);
        let wire = chunked(&body, largest, seed);
        let buffers = Buffers::new(600, 9_000);
        let taken = run(async {
            let (mut near, far) = pair(0);
            let mut far = link(far, &buffers);
            let sending = async {
                for piece in wire.chunks(segment) {
                    near.write_all(piece).await.expect("it is read");
                    tokio::task::yield_now().await;
                }
            };
            let receiving = async {
                let head = read_head(&mut far, Framing::Chunked).await;
                let (mut taken, mut progress) = (Taken::new(seed), Progress::default());
                poll_fn(|cx| poll_pump(cx, &mut far, &mut taken, &mut progress)).await.expect("it comes");
                assert_eq!(far.head_buf()[..head.len()], head);
                taken
            };
            tokio::join!(sending, receiving).1
        });
        prop_assert!(taken.body == body);
        prop_assert_eq!(taken.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    }
}

/// A head and a chunked body with chunks of up to `largest` bytes, extensions here and there, and a trailer.
fn chunked(body: &[u8], largest: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut wire = b"head\r\n\r\n".to_vec();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at((1 + number(&mut rng, largest)).min(rest.len()));
        put_chunk_size(&mut wire, chunk.len());
        if chunk.len() > 20 && number(&mut rng, 3) == 0 {
            wire.truncate(wire.len() - 2);
            wire.extend_from_slice(b";name=\"value\"\r\n");
        }
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
        rest = after;
    }
    wire.extend_from_slice(b"0\r\nx-sum: 7\r\nContent-Length: 4\r\n\r\n");
    wire
}
