use proptest::prelude::*;
use rustls::crypto::cipher::{AeadKey, Iv};

use super::*;

const V13: ProtocolVersion = ProtocolVersion::TLSv1_3;
const V12: ProtocolVersion = ProtocolVersion::TLSv1_2;

fn secrets(kind: usize) -> ConnectionTrafficSecrets {
    let iv = Iv::copy(&[7; 12]);
    match kind {
        // The library cuts what a suite does not need.
        0 => ConnectionTrafficSecrets::Aes256Gcm { key: AeadKey::from([1; 32]), iv },
        _ => ConnectionTrafficSecrets::Chacha20Poly1305 { key: AeadKey::from([2; 32]), iv },
    }
}

fn pair(kind: usize, version: ProtocolVersion) -> (Half, Half) {
    let half = || Half::new((0, secrets(kind)), version).unwrap();
    (half(), half())
}

const FORMS: [(usize, ProtocolVersion); 4] = [(0, V13), (1, V13), (0, V12), (1, V12)];

proptest! {
    #[test]
    fn what_is_sealed_is_opened(first: Vec<u8>, second in prop::collection::vec(any::<u8>(), 0..2000), form in 0_usize..4) {
        let (mut tx, mut rx) = pair(FORMS[form].0, FORMS[form].1);
        for _ in 0..3 {
            let mut sealed = Vec::new();
            tx.seal(Kind::Data, [&first, &second], &mut sealed).unwrap();
            prop_assert_eq!(whole_length(&sealed), Ok(Some(sealed.len())));
            prop_assert!(sealed.len() <= first.len() + second.len() + OVERHEAD);
            let mut room = vec![0; sealed.len()];
            let (kind, length) = rx.open(&sealed, &mut room).unwrap();
            prop_assert_eq!(kind, Kind::Data);
            prop_assert_eq!(&room[..length], [first.as_slice(), &second].concat());
        }
    }

    #[test]
    fn what_was_changed_is_refused(at in 0_usize..60, bit in 0_u32..8, form in 0_usize..4) {
        let (mut tx, mut rx) = pair(FORMS[form].0, FORMS[form].1);
        let mut sealed = Vec::new();
        tx.seal(Kind::Data, [b"a few words that matter to somebody", b""], &mut sealed).unwrap();
        // The version in the header says nothing in TLS 1.2 and is not looked at; the length is the caller's.
        prop_assume!(at < sealed.len() && !(1..5).contains(&at));
        sealed[at] ^= 1 << bit;
        let mut room = vec![0; sealed.len()];
        prop_assert!(rx.open(&sealed, &mut room).is_err());
    }

    #[test]
    fn whatever_comes_is_opened_or_refused(record: Vec<u8>, form in 0_usize..4) {
        let (_, mut rx) = pair(FORMS[form].0, FORMS[form].1);
        let mut room = vec![0; record.len()];
        prop_assert!(rx.open(&record, &mut room).is_err());
        let _ = whole_length(&record);
    }
}

#[test]
fn rfc8446_5_3_no_two_records_have_one_nonce() {
    for (kind, version) in FORMS {
        let (mut tx, mut rx) = pair(kind, version);
        let mut sealed = [Vec::new(), Vec::new()];
        for one in &mut sealed {
            tx.seal(Kind::Data, [b"same", b""], one).unwrap();
        }
        assert_ne!(sealed[0][HEADER..], sealed[1][HEADER..]);
        let mut room = [0; 64];
        // Out of order, or twice: neither is what the count says.
        if version == V13 || kind == 1 {
            assert_eq!(rx.open(&sealed[1], &mut room), Err(Flaw::BadRecordMac));
        }
        rx.open(&sealed[0], &mut room).unwrap();
        assert_eq!(rx.open(&sealed[0], &mut room), Err(Flaw::BadRecordMac));
    }
}

#[test]
fn rfc8446_5_4_padding_is_dropped_and_nothing_but_padding_is_refused() {
    assert_eq!(inner(b"data\x17\0\0\0"), Ok((23, 4)));
    assert_eq!(inner(&[0; 8]), Err(Flaw::UnexpectedMessage));
    assert_eq!(inner(&[]), Err(Flaw::UnexpectedMessage));
}

#[test]
fn rfc8446_5_2_records_have_a_longest() {
    let long = |length: u16| {
        let [high, low] = length.to_be_bytes();
        whole_length(&[23, 3, 3, high, low])
    };
    assert_eq!(long(16 * 1024 + 2048), Ok(Some(16 * 1024 + 2048 + HEADER)));
    assert_eq!(long(16 * 1024 + 2049), Err(Flaw::RecordOverflow));
    assert_eq!(whole_length(&[23, 3, 3, 1]), Ok(None));
}

#[test]
fn rfc8446_5_5_keys_wear_out() {
    let worn = |count, kind, version| Half::new((count, secrets(kind)), version).unwrap();
    assert!(!worn(RENEW_AFTER - 1, 0, V13).is_worn());
    assert!(worn(RENEW_AFTER, 0, V13).is_worn());
    assert!(!worn(RENEW_AFTER, 1, V13).is_worn());
    let mut last = worn(MOST_RECORDS, 0, V12);
    assert_eq!(last.seal(Kind::Data, [b"x", b""], &mut Vec::new()), Err(Flaw::InternalError));
}
