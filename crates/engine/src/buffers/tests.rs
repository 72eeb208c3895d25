//! Leases against a model: no buffer is lost, none is given out twice, and the few large ones stay few.

use proptest::prelude::*;

use super::{BULKS, Buffers, FLOW_BYTES, FLOWS, Inbox, KEPT, Most, OUT_KEPT_BYTES, SIZES, Size};

impl Buffers {
    /// Flow buffers leased now.
    pub(crate) fn flows_leased(&self) -> usize {
        self.out[Size::Flow as usize].get()
    }

    fn bulks_leased(&self) -> usize {
        self.out[Size::Bulk as usize].get()
    }

    /// Buffers that wait for reuse, by size.
    fn kept(&self) -> [usize; SIZES] {
        [0, 1, 2, 3].map(|which: usize| self.free[which].borrow().len())
    }
}

const HEAD: usize = 64;
const BULK: usize = 256;
/// As small as half a head's buffer where that is smaller than a sip.
const SIP: usize = 32;

fn filled(buffers: &Buffers, size: Size) -> Inbox {
    let mut inbox = buffers.lease(size);
    inbox.end = inbox.capacity();
    inbox
}

#[test]
fn a_lease_is_empty_and_as_large_as_asked() {
    let buffers = Buffers::new(HEAD, BULK);
    for (size, bytes) in [(Size::Sip, SIP), (Size::Head, HEAD), (Size::Bulk, BULK), (Size::Flow, FLOW_BYTES)] {
        let mut inbox = buffers.lease(size);
        assert!(inbox.is_leased() && !inbox.is_full() && inbox.unread().is_empty());
        assert_eq!((inbox.room().len(), inbox.capacity()), (bytes, bytes));
    }
    assert!(!Inbox::default().is_leased());
}

#[test]
fn what_is_given_back_is_leased_again_empty() {
    let buffers = Buffers::new(HEAD, BULK);
    let mut inbox = filled(&buffers, Size::Head);
    inbox.start = 10;
    let place = inbox.all().as_ptr();
    buffers.give_back(&mut inbox);
    assert!(!inbox.is_leased());
    let mut again = buffers.lease(Size::Head);
    assert_eq!(again.room().as_ptr(), place);
    assert!(again.all().is_empty());
    buffers.give_back(&mut inbox);
    assert_eq!(buffers.kept(), [0, 0, 0, 0], "nothing is given back twice");
}

#[test]
fn only_so_many_are_kept() {
    let buffers = Buffers::new(HEAD, BULK);
    let mut leased: Vec<_> = (0..KEPT + 10).map(|_| buffers.lease(Size::Bulk)).collect();
    leased.iter_mut().for_each(|inbox| buffers.give_back(inbox));
    assert_eq!(buffers.kept(), [0, 0, KEPT, 0]);
    let outs: Vec<_> = (0..KEPT + 10).map(|_| vec![1; 10]).collect();
    outs.into_iter().for_each(|out| buffers.give_back_out(out));
    assert_eq!(buffers.outs.borrow().len(), KEPT);
    assert!(buffers.lease_out().is_empty(), "what an output buffer held is forgotten");
}

#[test]
fn output_that_grew_large_is_not_kept() {
    let buffers = Buffers::new(HEAD, BULK);
    buffers.give_back_out(Vec::with_capacity(OUT_KEPT_BYTES + 1));
    buffers.give_back_out(Vec::new());
    assert_eq!(buffers.outs.borrow().len(), 0);
}

#[test]
fn a_buffer_of_its_own_holds_its_bytes_and_goes_nowhere() {
    let buffers = Buffers::new(HEAD, BULK);
    let mut small = Inbox::holding(b"GET / HTTP/1.1\r\n\r\n");
    assert!(small.is_leased() && small.is_full());
    assert_eq!(small.all(), b"GET / HTTP/1.1\r\n\r\n");
    buffers.give_back(&mut small);
    assert_eq!(buffers.kept(), [0; SIZES]);
}

#[test]
fn compacting_moves_the_unread_to_the_front() {
    let buffers = Buffers::new(HEAD, BULK);
    let mut inbox = buffers.lease(Size::Head);
    inbox.room()[..6].copy_from_slice(b"abcdef");
    (inbox.start, inbox.end) = (4, 6);
    inbox.compact();
    assert_eq!((inbox.unread(), inbox.all()), (&b"ef"[..], &b"ef"[..]));
    assert_eq!(inbox.room().len(), HEAD - 2);
}

#[test]
fn only_bulk_buffers_widen_and_only_so_many() {
    let buffers = Buffers::new(HEAD, BULK);
    let mut head = buffers.lease(Size::Head);
    buffers.widen(&mut head);
    assert_eq!(head.capacity(), HEAD);
    let mut wide: Vec<_> = (0..FLOWS + 5).map(|_| buffers.lease(Size::Bulk)).collect();
    wide.iter_mut().for_each(|inbox| buffers.widen(inbox));
    assert_eq!(wide.iter().filter(|inbox| inbox.capacity() == FLOW_BYTES).count(), FLOWS);
    assert_eq!(wide.iter().filter(|inbox| inbox.capacity() == BULK).count(), 5);
    wide.iter_mut().for_each(|inbox| buffers.give_back(inbox));
    assert_eq!(buffers.flows_leased(), 0);
    let mut again = buffers.lease(Size::Bulk);
    buffers.widen(&mut again);
    assert_eq!(again.capacity(), FLOW_BYTES, "what came back may be leased again");
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Lease(bool),
    Widen(usize),
    GiveBack(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        any::<bool>().prop_map(Act::Lease),
        any::<usize>().prop_map(Act::Widen),
        any::<usize>().prop_map(Act::GiveBack),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn leases_are_distinct_and_counted(acts in prop::collection::vec(act(), 1..300)) {
        let buffers = Buffers::new(HEAD, BULK);
        let mut leased: Vec<Inbox> = Vec::new();
        for act in acts {
            match act {
                Act::Lease(true) => leased.push(buffers.lease(Size::Head)),
                Act::Lease(false) => leased.push(buffers.lease(Size::Bulk)),
                Act::Widen(at) if !leased.is_empty() => {
                    let at = at % leased.len();
                    buffers.widen(&mut leased[at]);
                }
                Act::GiveBack(at) if !leased.is_empty() => {
                    let mut inbox = leased.swap_remove(at % leased.len());
                    buffers.give_back(&mut inbox);
                }
                _ => {}
            }
            let flows = leased.iter().filter(|inbox| inbox.capacity() == FLOW_BYTES).count();
            prop_assert_eq!(buffers.flows_leased(), flows);
            prop_assert!(flows <= FLOWS);
            let bulks = leased.iter().filter(|inbox| inbox.capacity() == BULK).count();
            prop_assert_eq!(buffers.bulks_leased(), bulks);
            prop_assert!(bulks <= BULKS);
            let mut places: Vec<_> = leased.iter_mut().map(|inbox| inbox.room().as_ptr()).collect();
            places.sort_unstable();
            places.dedup();
            prop_assert_eq!(places.len(), leased.len());
        }
        leased.iter_mut().for_each(|inbox| buffers.give_back(inbox));
        prop_assert_eq!((buffers.flows_leased(), buffers.bulks_leased()), (0, 0));
    }

    #[test]
    fn thrift_and_growth_keep_every_unread_byte(
        unread in prop::collection::vec(any::<u8>(), 0..FLOW_BYTES), start in 0usize..64, size in 0usize..4,
    ) {
        let buffers = Buffers::lending(HEAD * 100, BULK * 100, Most { bulks: 1, flows: 1 });
        let mut inbox = buffers.lend(Size::ALL[size]);
        let (len, room) = (unread.len(), inbox.capacity());
        prop_assume!(start + len <= room);
        inbox.room()[start..start + len].copy_from_slice(&unread);
        (inbox.start, inbox.end) = (start, start + len);
        buffers.thrift(&mut inbox);
        prop_assert_eq!(inbox.unread(), &unread[..]);
        prop_assert!(inbox.capacity() <= room);
        let mut roomier = buffers.lease_roomier(inbox.unread());
        prop_assert_eq!(roomier.unread(), &unread[..]);
        prop_assert!(!roomier.room().is_empty());
        buffers.give_back(&mut roomier);
        buffers.give_back(&mut inbox);
        prop_assert_eq!((buffers.flows_leased(), buffers.bulks_leased()), (0, 0));
    }
}

#[test]
fn beyond_the_most_bodies_go_in_sips() {
    let buffers = Buffers::lending(HEAD, BULK, Most { bulks: 2, flows: 1 });
    let mut leased: Vec<_> = (0..4).map(|_| buffers.lease(Size::Bulk)).collect();
    let sizes = |leased: &[Inbox]| leased.iter().map(Inbox::capacity).collect::<Vec<_>>();
    assert_eq!(sizes(&leased), [BULK, BULK, SIP, SIP]);
    leased.iter_mut().for_each(|inbox| buffers.widen(inbox));
    assert_eq!(sizes(&leased), [FLOW_BYTES, BULK, BULK, SIP], "what is free now is lent again");
    leased.iter_mut().for_each(|inbox| buffers.give_back(inbox));
    assert_eq!((buffers.flows_leased(), buffers.bulks_leased()), (0, 0));
}

#[test]
fn many_workers_share_what_one_may_lend() {
    let all = |workers: usize| {
        let most = Most::for_one_of(workers);
        (workers * most.bulks, workers * most.flows)
    };
    assert_eq!(all(1), (BULKS, FLOWS));
    assert_eq!(all(4), (BULKS, FLOWS));
    assert_eq!(all(16), (16 * 64, 16 * 16), "but each has enough to be of use");
}

#[test]
fn thrift_gives_back_what_is_not_needed() {
    let buffers = Buffers::lending(HEAD, BULK, Most { bulks: 9, flows: 9 });
    let after = |size: Size, unread: usize| {
        let mut inbox = buffers.lease(size);
        inbox.end = unread;
        buffers.thrift(&mut inbox);
        let capacity = inbox.capacity();
        buffers.give_back(&mut inbox);
        capacity
    };
    assert_eq!(after(Size::Flow, 0), 0);
    assert_eq!(after(Size::Head, 5), 5);
    assert_eq!(after(Size::Sip, 20), SIP, "not worth a copy");
    assert_eq!(after(Size::Bulk, 20), SIP);
    assert_eq!(after(Size::Bulk, SIP), BULK, "nothing that holds it is smaller");
    assert_eq!(after(Size::Flow, 200), BULK);
    assert_eq!(after(Size::Flow, BULK), FLOW_BYTES);
}
