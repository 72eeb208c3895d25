//! What a hot key does to its backend, and what the bound does about it.

use policy::hashing::{Bound, HashKey, Hashing};
use policy::plan::PolicyKind;

use crate::work::Keys;
use crate::world::{Outcome, Setup, homes};
use crate::{QUEUE, compare, pool};

fn by_key(bound: Option<Bound>) -> Hashing {
    Hashing { key: HashKey::Client, bound, among: 1 }
}

/// The share of requests that went to their key's own backend first.
fn at_home(kind: &PolicyKind, outcome: &Outcome) -> f64 {
    let keys = outcome.first_attempts.iter().map(|(key, _)| *key);
    let homes = homes(kind, 10, keys);
    let hits = outcome.first_attempts.iter().zip(homes).filter(|((_, picked), home)| picked == home).count();
    hits as f64 / outcome.first_attempts.len() as f64
}

#[test]
fn hot_keys() {
    let setup = Setup { keys: Keys::zipf(10_000), ..pool([QUEUE; 10], 0.6) };
    let title = "10,000 keys, the most frequent in one of ten requests (Zipf), ten equal backends, load 0.6";
    let kinds = [
        ("hash", PolicyKind::Hash(by_key(None))),
        ("hash, bounded 2", PolicyKind::Hash(by_key(Some(Bound(200))))),
        ("hash, bounded 1.25", PolicyKind::Hash(by_key(Some(Bound(125))))),
        ("maglev", PolicyKind::Maglev(by_key(None))),
        ("maglev, bounded 1.25", PolicyKind::Maglev(by_key(Some(Bound(125))))),
        ("power-of-two", PolicyKind::PowerOfTwo),
    ];
    let outcomes = compare(title, kinds.clone(), &setup);
    println!("\n| policy | at the key's own backend |\n|---|---|");
    let mut kept = Vec::new();
    for ((name, kind), outcome) in kinds.iter().zip(&outcomes).take(5) {
        kept.push(at_home(kind, outcome));
        println!("| {name} | {:.0} % |", 100.0 * at_home(kind, outcome));
    }
    let [hash, double, tight, maglev, tight_maglev, two] = outcomes.each_ref().map(|outcome| outcome.quantile_ms(0.99));
    assert!(hash > 10.0 * double && maglev > 10.0 * tight_maglev, "a backend with a hot key drowns without a bound");
    assert!(tight < double && tight < 1.1 * two && tight_maglev < 1.1 * two);
    assert!(kept[0] == 1.0 && kept[3] == 1.0 && kept[1] > kept[2], "{kept:?}");
}
