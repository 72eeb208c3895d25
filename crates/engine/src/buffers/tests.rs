//! Leases against a model: no buffer is lost, none is given out twice, and the few large ones stay few.

use proptest::prelude::*;

use super::{Buffers, FLOW_BYTES, FLOWS, Inbox, KEPT, OUT_KEPT_BYTES, Size};

impl Buffers {
    /// Flow buffers leased now.
    pub(crate) fn flows_leased(&self) -> usize {
        self.flows.get()
    }

    /// Buffers that wait for reuse, by size.
    fn kept(&self) -> [usize; 3] {
        [0, 1, 2].map(|which: usize| self.free[which].borrow().len())
    }
}

const HEAD: usize = 64;
const BULK: usize = 256;

fn filled(buffers: &Buffers, size: Size) -> Inbox {
    let mut inbox = buffers.lease(size);
    inbox.end = inbox.capacity();
    inbox
}

#[test]
fn a_lease_is_empty_and_as_large_as_asked() {
    let buffers = Buffers::new(HEAD, BULK);
    for (size, bytes) in [(Size::Head, HEAD), (Size::Bulk, BULK), (Size::Flow, FLOW_BYTES)] {
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
    assert_eq!(buffers.kept(), [0, 0, 0], "nothing is given back twice");
}

#[test]
fn only_so_many_are_kept() {
    let buffers = Buffers::new(HEAD, BULK);
    let mut leased: Vec<_> = (0..KEPT + 10).map(|_| buffers.lease(Size::Bulk)).collect();
    leased.iter_mut().for_each(|inbox| buffers.give_back(inbox));
    assert_eq!(buffers.kept(), [0, KEPT, 0]);
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
    assert_eq!(buffers.kept(), [0, 0, 0]);
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
            let mut places: Vec<_> = leased.iter_mut().map(|inbox| inbox.room().as_ptr()).collect();
            places.sort_unstable();
            places.dedup();
            prop_assert_eq!(places.len(), leased.len());
        }
        leased.iter_mut().for_each(|inbox| buffers.give_back(inbox));
        prop_assert_eq!(buffers.flows_leased(), 0);
    }
}
