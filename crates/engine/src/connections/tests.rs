//! The count, and those who seek: nobody waits for ever, and never is there one more than may be.

use std::future::poll_fn;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use super::*;
use crate::stream::Stream;
use crate::testing;

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(seeking: &Seeking) -> Poll<Found> {
    seeking.poll(&Context::from_waker(Waker::noop()))
}

fn opens(found: Poll<Found>) -> Hold {
    match found {
        Poll::Ready(Found { stream: None, hold }) => hold,
        other => panic!("{other:?}"),
    }
}

#[test]
fn as_many_as_may_be_and_then_one_for_each_that_is_closed() {
    let connections = Connections::new(2);
    let (one, two) = (connections.hold(), connections.hold());
    assert!(one.is_some() && two.is_some() && connections.hold().is_none());
    assert!(!connections.are_sought());
    let (first, second) = (connections.seek(), connections.seek());
    assert!(poll(&first).is_pending() && poll(&second).is_pending() && connections.are_sought());
    let bell = Arc::new(Bell::default());
    assert!(first.poll(&Context::from_waker(&Waker::from(Arc::clone(&bell)))).is_pending());
    drop(one);
    assert_eq!((bell.0.load(Ordering::SeqCst), connections.open()), (1, 2));
    assert!(poll(&second).is_pending(), "first come, first served");
    let third = opens(poll(&first));
    drop(two);
    assert!(connections.hold().is_none(), "nobody overtakes");
    drop((third, opens(poll(&second))));
    assert_eq!(connections.open(), 0);
}

#[test]
fn who_goes_away_passes_on_what_he_was_given() {
    let connections = Connections::new(1);
    let hold = connections.hold();
    let [gone, given, next] = [connections.seek(), connections.seek(), connections.seek()];
    drop(gone);
    drop(hold);
    drop(given);
    assert_eq!(connections.open(), 1);
    drop(opens(poll(&next)));
    assert_eq!((connections.open(), connections.are_sought()), (0, false));
}

#[test]
fn an_open_connection_goes_from_one_thread_to_another_and_works() {
    let connections = Connections::new(1);
    let hold = connections.hold().expect("room");
    let seeking = connections.seek();
    let (connections, mut peer) = std::thread::spawn(move || {
        testing::run(async move {
            let (ours, peer) = testing::pair(0);
            let loose = Stream::Unix(ours).loosen().expect("a socket");
            assert!(connections.pass_on(Found { stream: Some(loose), hold }).is_none());
            (connections, peer.into_std().expect("a socket"))
        })
    })
    .join()
    .expect("no panic");
    testing::run(async move {
        let found = poll_fn(|cx| seeking.poll(cx)).await;
        let mut stream = found.stream.expect("it is open").settle().expect("a runtime");
        assert_eq!(stream.rest(), crate::stream::Rest::Quiet);
        let sent = poll_fn(|cx| stream.poll_write(cx, b"hello")).await;
        assert_eq!(sent.expect("it is open"), 5);
        peer.set_nonblocking(false).expect("a socket");
        let mut got = [0; 5];
        std::io::Read::read_exact(&mut peer, &mut got).expect("five bytes");
        assert_eq!((&got, connections.open()), (b"hello", 1));
        drop(found.hold);
        assert_eq!(connections.open(), 0);
    });
}

#[test]
fn four_threads_never_exceed_the_cap_and_never_wait_for_ever() {
    let connections = Connections::new(3);
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (connections, now, most) = (&connections, &now, &most);
            scope.spawn(move || {
                for turn in 0..5_000 {
                    let hold = connections.hold().unwrap_or_else(|| {
                        let seeking = connections.seek();
                        if (turn + thread) % 7 == 0 {
                            drop(connections.seek());
                        }
                        loop {
                            match poll(&seeking) {
                                Poll::Ready(found) => return found.hold,
                                Poll::Pending => std::thread::yield_now(),
                            }
                        }
                    });
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    now.fetch_sub(1, Ordering::SeqCst);
                    drop(hold);
                }
            });
        }
    });
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert_eq!((connections.open(), connections.are_sought()), (0, false));
}
