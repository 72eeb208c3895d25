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
