//! Weighted splits: which arm of a route's split takes a request.
//!
//! Owns the choice; the weights are the plan's. The engine asks once for each exchange, so that retries stay on the arm.

use std::net::IpAddr;

use crate::plan::{Action, FieldMatch, FieldTest, HostMatch, Match, PathMatch, Plan, Route, RouteId, SplitBy, Target};
use crate::rng::{Rng, mix};

/// What a choice may depend on.
#[derive(Debug)]
pub struct Throw<'a> {
    /// The trusted client address.
    pub client: IpAddr,
    /// Chance.
    pub rng: &'a mut Rng,
}

/// The target of a route for one exchange; none if the route answers by itself.
#[must_use]
pub fn target<'p>(plan: &'p Plan, route: RouteId, throw: &mut Throw<'_>) -> Option<&'p Target> {
    match &plan.route(route).action {
        Action::Pool(target) => Some(target),
        Action::Split { by, arms } => {
            let arm = match by {
                SplitBy::Request => by_request(arms.iter().map(|(weight, _)| *weight), throw.rng),
                SplitBy::Client => {
                    let named = arms.iter().map(|(weight, target)| (*weight, plan.pool(target.pool).name.as_str()));
                    by_client(named, throw.client, salt(plan.route(route)))
                }
            };
            arms.get(arm).map(|(_, target)| target)
        }
        Action::Answer(_) | Action::Redirect(_) => None,
    }
}

/// Throws an arm anew, by weight. 0 if there is no weight.
#[must_use]
pub fn by_request(weights: impl Iterator<Item = u32> + Clone, rng: &mut Rng) -> usize {
    let total = weights.clone().map(u64::from).sum();
    let mut left = rng.below(total);
    for (arm, weight) in weights.enumerate() {
        let weight = u64::from(weight);
        if left < weight {
            return arm;
        }
        left -= weight;
    }
    0
}

/// The arm that a client stays on: weighted rendezvous hashing. Each arm has a score for the client that depends on the
/// arm's own name and weight only, so raising one weight moves clients to that arm and no others, and the order of the
/// arms does not matter. `salt` makes splits independent of each other. 0 if there is no weight.
#[must_use]
pub fn by_client<'a>(arms: impl Iterator<Item = (u32, &'a str)>, client: IpAddr, salt: u64) -> usize {
    let client = mix(client_key(client) ^ salt);
    let mut best = (0, f64::INFINITY);
    for (arm, (weight, name)) in arms.enumerate() {
        // An exponential variable of rate `weight`: the smallest of several is theirs in proportion to their rates.
        let wait = -uniform(mix(client ^ hash_of(name))).ln() / f64::from(weight);
        if wait < best.1 {
            best = (arm, wait);
        }
    }
    best.0
}

/// What tells this route's split from others' and survives a reload: its conditions, not its place in the file.
#[must_use]
pub fn salt(route: &Route) -> u64 {
    let mut hash = Fnv::default();
    for it in &route.matches {
        hash_match(it, &mut hash);
    }
    mix(hash.0)
}

fn hash_match(it: &Match, hash: &mut Fnv) {
    match &it.host {
        HostMatch::Any => hash.words(["host", ""]),
        HostMatch::Exact(host) => hash.words(["host", host]),
        HostMatch::Wildcard(suffix) => hash.words(["hosts below", suffix]),
    }
    match &it.path {
        PathMatch::Any => hash.words(["path", ""]),
        PathMatch::Exact(path) => hash.words(["path", path]),
        PathMatch::Prefix(path) => hash.words(["paths below", path]),
        PathMatch::Regex(pattern) => hash.words(["paths like", &pattern.source]),
    }
    it.methods.iter().for_each(|method| hash.words(["method", &method.name]));
    it.headers.iter().for_each(|field| hash_field("header", field, hash));
    it.query.iter().for_each(|field| hash_field("query", field, hash));
    it.cookies.iter().for_each(|field| hash_field("cookie", field, hash));
}

fn hash_field(kind: &str, field: &FieldMatch, hash: &mut Fnv) {
    hash.words([kind, &field.name]);
    match &field.test {
        FieldTest::Present => hash.words(["present", ""]),
        FieldTest::Absent => hash.words(["absent", ""]),
        FieldTest::Exact(value) => hash.words(["is", value]),
        FieldTest::Regex(pattern) => hash.words(["like", &pattern.source]),
    }
}

/// A client: an IPv4 address, or the /64 that an IPv6 client moves about in.
fn client_key(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, ..] = ip.octets();
            u64::from_be_bytes([a, b, c, d, e, f, g, h])
        }
    }
}

/// A number above 0 and below 1, with the 53 bits that a float holds.
fn uniform(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// FNV-1a: spelled out because clients stay on their arm only while the hash stays the same, from one build of the
/// program to the next.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn words(&mut self, words: [&str; 2]) {
        // 0xff ends a word; it never occurs in UTF-8.
        for byte in words.into_iter().flat_map(|word| word.bytes().chain([0xff])) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn hash_of(name: &str) -> u64 {
    let mut hash = Fnv::default();
    hash.words([name, ""]);
    hash.0
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const CLIENTS: u32 = 20_000;

    fn v4(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    fn arm_of(arms: &[(u32, &str)], client: IpAddr, salt: u64) -> usize {
        by_client(arms.iter().copied(), client, salt)
    }

    /// Clients on each of the arms.
    fn shares(arms: &[(u32, &str)], salt: u64) -> Vec<u32> {
        let mut counts = vec![0; arms.len()];
        (0..CLIENTS).for_each(|n| counts[arm_of(arms, v4(n), salt)] += 1);
        counts
    }

    /// Within a twentieth of all.
    fn about(count: u32, share: f64) -> bool {
        (f64::from(count) / f64::from(CLIENTS) - share).abs() < 0.02
    }

    #[test]
    fn requests_are_shared_by_weight() {
        let mut rng = Rng::new(7);
        let mut counts = [0; 3];
        (0..CLIENTS).for_each(|_| counts[by_request([5, 0, 15].into_iter(), &mut rng)] += 1);
        assert!(about(counts[0], 0.25), "{counts:?}");
        assert_eq!(counts[1], 0);
    }

    #[test]
    fn one_arm_gets_everything() {
        assert_eq!(by_request([1].into_iter(), &mut Rng::new(1)), 0);
        assert_eq!(arm_of(&[(1, "app")], v4(1), 0), 0);
    }

    #[test]
    fn arms_without_weight_get_nothing() {
        assert_eq!(by_request([0, 0].into_iter(), &mut Rng::new(1)), 0);
        assert_eq!(by_request([0, 3].into_iter(), &mut Rng::new(1)), 1);
        assert_eq!(shares(&[(0, "app"), (3, "beta")], 1), [0, CLIENTS]);
        assert_eq!(arm_of(&[(0, "app"), (0, "beta")], v4(1), 0), 0);
    }

    #[test]
    fn clients_are_shared_by_weight() {
        let counts = shares(&[(95, "app"), (5, "beta")], 1);
        assert!(about(counts[1], 0.05), "{counts:?}");
        let counts = shares(&[(1, "a"), (2, "b"), (1, "c")], 2);
        assert!(about(counts[0], 0.25) && about(counts[1], 0.5), "{counts:?}");
    }

    #[test]
    fn a_client_stays_on_its_arm() {
        let arms = [(1, "app"), (1, "beta")];
        assert!((0..100).all(|n| arm_of(&arms, v4(n), 3) == arm_of(&arms, v4(n), 3)));
    }

    #[test]
    fn raising_a_weight_moves_clients_only_to_that_arm() {
        let (before, after) = ([(80, "a"), (10, "b"), (10, "c")], [(80, "a"), (30, "b"), (10, "c")]);
        let mut moved = 0;
        for client in (0..CLIENTS).map(v4) {
            let (old, new) = (arm_of(&before, client, 4), arm_of(&after, client, 4));
            assert!(old == new || new == 1, "from {old} to {new}");
            moved += u32::from(old != new);
        }
        assert!(about(moved, 0.25 - 0.1), "{moved}");
    }

    #[test]
    fn scaling_all_weights_moves_nobody() {
        let (small, large) = ([(19, "a"), (1, "b")], [(95, "a"), (5, "b")]);
        assert!((0..CLIENTS).map(v4).all(|client| arm_of(&small, client, 5) == arm_of(&large, client, 5)));
    }

    #[test]
    fn the_order_of_the_arms_does_not_matter() {
        let (one, other) = ([(3, "a"), (2, "b")], [(2, "b"), (3, "a")]);
        assert!((0..CLIENTS).map(v4).all(|client| arm_of(&one, client, 6) != arm_of(&other, client, 6)));
    }

    #[test]
    fn splits_with_different_salts_are_independent() {
        let arms = [(50, "app"), (50, "beta")];
        let both = (0..CLIENTS).map(v4).filter(|c| arm_of(&arms, *c, 7) == 1 && arm_of(&arms, *c, 8) == 1).count();
        assert!(about(u32::try_from(both).unwrap(), 0.25), "{both}");
    }

    #[test]
    fn ipv6_clients_go_by_their_64() {
        let arms = [(1, "a"), (1, "b"), (1, "c"), (1, "d")];
        let at = |net: u128, host: u128| arm_of(&arms, Ipv6Addr::from_bits(net << 64 | host).into(), 9);
        let net = 0x2001_0db8_0000_0001;
        assert!((0..100).all(|host| at(net, host) == at(net, 0)));
        assert!((0..100).any(|more| at(net + more, 0) != at(net, 0)));
    }

    #[test]
    fn a_mapped_client_is_the_ipv4_client() {
        let arms = [(1, "a"), (1, "b")];
        let mapped = |n| Ipv4Addr::from_bits(n).to_ipv6_mapped().into();
        assert!((0..100).all(|n| arm_of(&arms, mapped(n), 1) == arm_of(&arms, Ipv4Addr::from_bits(n).into(), 1)));
    }

    /// Clients keep their arm when the program is replaced: the numbers below may not change.
    #[test]
    fn the_choice_is_the_same_in_every_build() {
        let arms = [(1, "app"), (1, "beta"), (1, "gamma")];
        let found: Vec<usize> = (0..12).map(|n| arm_of(&arms, v4(n), 10)).collect();
        assert_eq!(found, [1, 0, 2, 0, 1, 2, 0, 0, 0, 2, 2, 2]);
    }
}
