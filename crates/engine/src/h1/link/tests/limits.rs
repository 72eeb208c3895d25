//! Limits, early ends, memory while nothing comes, and what is dropped on purpose.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::seam::{Progress, PumpError, poll_pump};

/// Reads a body of this framing from these bytes, to its end or failure.
fn read(wire: &[u8], framing: Framing, limit: Option<u64>) -> (Result<(), Cut>, Vec<u8>) {
    let buffers = Buffers::new(100, 300);
    run(async {
        let (mut near, far) = pair(0);
        near.write_all(wire).await.expect("it fits");
        drop(near);
        let mut far = link(far, &buffers);
        read_head(&mut far, framing).await;
        far.limit_body(limit);
        let (mut taken, mut progress) = (Taken::new(1), Progress::default());
        let ended = poll_fn(|cx| poll_pump(cx, &mut far, &mut taken, &mut progress)).await;
        let ended = ended.map_err(|error| match error {
            PumpError::Source(cut) => cut,
            PumpError::Sink => unreachable!("this sink takes everything"),
        });
        (ended, taken.body)
    })
}

#[test]
fn a_body_that_ends_early_is_no_whole_body() {
    for (wire, framing) in [
        (&b"h\r\n\r\nabc"[..], Framing::Length(4)),
        (b"h\r\n\r\n", Framing::Length(1)),
        (b"h\r\n\r\n", Framing::Chunked),
        (b"h\r\n\r\n4\r\nabc", Framing::Chunked),
        (b"h\r\n\r\n3\r\nabc\r\n", Framing::Chunked),
        (b"h\r\n\r\n3\r\nabc\r\n0\r\n", Framing::Chunked),
        (b"h\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n", Framing::Chunked),
    ] {
        let (ended, _) = read(wire, framing, None);
        assert!(matches!(ended, Err(Cut::Early)), "{:?}", String::from_utf8_lossy(wire));
    }
    assert_eq!(read(b"h\r\n\r\nabc", Framing::UntilClose, None).1, b"abc");
}

#[test]
fn wrong_chunks_are_an_error_and_stay_one() {
    let buffers = Buffers::new(100, 300);
    run(async {
        let (mut near, far) = pair(0);
        near.write_all(b"h\r\n\r\n3\r\nabcX\r\n0\r\n\r\n").await.expect("it fits");
        let mut far = link(far, &buffers);
        read_head(&mut far, Framing::Chunked).await;
        assert!(matches!(poll_fn(|cx| far.poll_fill(cx)).await, Ok(Fill::Data)));
        far.consume(far.data().len());
        for _ in 0..3 {
            assert!(matches!(poll_fn(|cx| far.poll_fill(cx)).await, Err(Cut::Malformed(_))));
            assert!(!far.read_done(), "the connection must not be taken for reusable");
        }
    });
}

#[test]
fn what_a_refusal_drains_beyond_the_limit_is_still_counted_right() {
    let buffers = Buffers::new(100, 300);
    run(async {
        let (mut near, far) = pair(0);
        near.write_all(b"h\r\n\r\n5\r\nabcde\r\n5\r\nfghij\r\n0\r\n\r\n").await.expect("it fits");
        let mut far = link(far, &buffers);
        read_head(&mut far, Framing::Chunked).await;
        far.limit_body(Some(4));
        assert!(matches!(poll_fn(|cx| far.poll_fill(cx)).await, Err(Cut::TooLarge)));
        // As a refusal does: drops what is here and asks for more.
        far.consume(far.data().len());
        assert!(matches!(poll_fn(|cx| far.poll_fill(cx)).await, Err(Cut::TooLarge)));
        far.consume(far.data().len());
        assert!(matches!(poll_fn(|cx| far.poll_fill(cx)).await, Ok(Fill::End)));
        assert!(far.read_done());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_limited_body_passes_to_the_limit_and_no_further(
        bytes in 0usize..2_000, limit in 0u64..2_000, largest in 1usize..700, seed in any::<u64>(),
    ) {
        let body = body(bytes, seed);
        let mut wire = b"h\r\n\r\n".to_vec();
        for chunk in body.chunks(largest) {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let (ended, taken) = read(&wire, Framing::Chunked, Some(limit));
        prop_assert!(taken.len() as u64 <= limit);
        prop_assert!(body.starts_with(&taken));
        match ended {
            Ok(()) => prop_assert!(bytes as u64 <= limit && taken == body),
            Err(cut) => prop_assert!(bytes as u64 > limit && matches!(cut, Cut::TooLarge), "{cut:?}"),
        }
    }
}

#[test]
fn a_link_that_waits_holds_no_buffer() {
    let buffers = Buffers::new(100, 300);
    run(async {
        let (mut near, far) = pair(0);
        let mut far = link(far, &buffers);
        poll_fn(|cx| {
            assert!(far.poll_read_more(cx, Size::Head).is_pending());
            assert!(!far.mem.inbox.is_leased());
            Poll::Ready(())
        })
        .await;
        near.write_all(b"h\r\n\r\nabc").await.expect("it fits");
        read_head(&mut far, Framing::UntilClose).await;
        assert!(matches!(poll_fn(|cx| far.poll_fill(cx)).await, Ok(Fill::Data)));
        far.consume(3);
        far.forget_head();
        poll_fn(|cx| {
            assert!(far.poll_fill(cx).is_pending());
            assert!(!far.mem.inbox.is_leased(), "a silent tunnel holds none either");
            Poll::Ready(())
        })
        .await;
        near.write_all(b"def").await.expect("it fits");
        assert!(matches!(poll_fn(|cx| far.poll_fill(cx)).await, Ok(Fill::Data)));
        assert_eq!(far.data(), b"def");
    });
}

#[test]
fn a_pinned_head_stays_while_its_buffer_is_needed_for_more() {
    let buffers = Buffers::new(64, 80);
    run(async {
        let (mut near, far) = pair(0);
        let mut far = link(far, &buffers);
        near.write_all(b"some head\r\n\r\n").await.expect("it fits");
        near.write_all(&[b'x'; 500]).await.expect("it fits");
        let head = read_head(&mut far, Framing::Length(500)).await;
        let mut got = 0;
        while let Ok(Fill::Data) = poll_fn(|cx| far.poll_fill(cx)).await {
            assert_eq!(&far.head_buf()[..head.len()], b"some head\r\n\r\n");
            got += far.data().len();
            far.consume(far.data().len());
        }
        assert_eq!(got, 500);
        far.shrink_head();
        assert_eq!(far.head_buf(), b"some head\r\n\r\n");
        far.forget_head();
        assert!(!far.mem.held.is_leased());
    });
}

#[test]
fn a_body_where_there_is_none_is_dropped() {
    let buffers = Buffers::new(100, 300);
    run(async {
        let (near, mut far) = pair(0);
        let mut near = link(near, &buffers);
        near.mem.out.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\n");
        near.begin_write(Framing::None);
        let pushed = poll_fn(|cx| near.poll_push(cx, b"the body of an answer to HEAD")).await;
        assert_eq!(pushed.expect("it is taken"), 29);
        poll_fn(|cx| near.poll_end(cx, Trailers::default())).await.expect("it is sent");
        assert!(near.write_done());
        drop(near);
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.expect("it comes");
        assert_eq!(got, b"HTTP/1.1 200 OK\r\n\r\n");
    });
}

#[test]
fn a_tunnel_ends_each_direction_on_its_own() {
    let buffers = Buffers::new(100, 300);
    run(async {
        let (near, mut far) = pair(0);
        let mut near = link(near, &buffers);
        near.become_tunnel();
        poll_fn(|cx| near.poll_push(cx, b"last words")).await.expect("they are taken");
        poll_fn(|cx| near.poll_end(cx, Trailers::default())).await.expect("they are sent");
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.expect("they come, then the end");
        assert_eq!(got, b"last words");
        far.write_all(b"answer").await.expect("the other direction lives");
        assert!(matches!(poll_fn(|cx| near.poll_fill(cx)).await, Ok(Fill::Data)));
        assert_eq!(near.data(), b"answer");
    });
}
