//! `[pool.NAME]`.

use std::collections::BTreeMap;

use policy::hashing::{Bound, HashKey, Hashing};
use policy::plan::{
    Adaptive, Backend, Caps, Panic, PolicyKind, Pool, ProbeKind, ProxyVersion, Queue, SpillOver, Subset, Wanted,
};

use super::{breaker, eject, health, tls};
use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::files::At;
use crate::keys;
use crate::setting;
use crate::table::{Item, Member, Table, Words};
use crate::values::address::Located;
use crate::values::{address, hash_key, host, name};
use crate::warn::facts::{Facts, PoolFacts};

/// Every pool that can be made.
pub(super) fn all(context: &mut Context<'_>, root: &Table, facts: &mut Facts) -> Vec<Pool> {
    let mut pools = Vec::new();
    let mut of_health = BTreeMap::new();
    for member in root.members("pool") {
        let Some(table) = member.item.table() else { continue };
        let (backends, places) = backends(context, table);
        facts.pools.push(PoolFacts {
            at: member.at,
            health: table.place("health"),
            probe_timeout: table.table("health").map_or(table.place("health"), |health| health.place("timeout")),
            backends: places,
            tls: table.table("tls").map_or(member.at, |tls| tls.place("verify")),
        });
        let mark = context.settings.len();
        pools.extend(one(context, member, table, backends));
        of_health.insert(keys::joined(&table.name, "health"), context.settings.split_off(mark));
    }
    setting::insert_behind(&mut context.settings, of_health);
    pools
}

fn one(context: &mut Context<'_>, member: &Member, table: &Table, backends: Vec<Backend>) -> Option<Pool> {
    let host = match table.words("host") {
        Some(words) => Some(context.take(words.at, host::field(words.text))?),
        None => None,
    };
    let send_proxy = match table.words("send_proxy")?.text {
        "v1" => Some(ProxyVersion::V1),
        "v2" => Some(ProxyVersion::V2),
        _ => None,
    };
    let is_capped = |backend: &Backend| backend.max_requests.is_some() || backend.caps != Caps::default();
    if table.written("queue").is_some() && !backends.iter().any(is_capped) {
        let problem = Problem::new(code::MISSING_KEY, "`queue` without `max_requests` holds nobody back");
        context.error(table.place("queue"), problem.remedy("add for instance `max_requests = 100`"));
    }
    refuse_with_http2(context, table, &backends, send_proxy.is_some());
    let health = health::of(context, table)?;
    if health.as_ref().is_some_and(|check| check.port.is_some() || check.agent.is_some()) {
        health::refuse_sockets(context, table, &backends)?;
    }
    if health.as_ref().is_some_and(|check| matches!(check.kind, ProbeKind::Grpc { .. })) {
        health::refuse_http1(context, table, &backends)?;
    }
    let spill_over = spill_over(context, table, &backends);
    let tls = tls::of_pool(context, table, &backends);
    let policy = policy(context, table);
    Some(Pool {
        name: member.name.clone(),
        policy: policy?,
        backends,
        health,
        eject: eject::of(context, table)?,
        breaker: breaker::of(context, table)?,
        panic: if table.words("panic")?.text == "refuse" { Panic::Refuse } else { Panic::Spread },
        host,
        send_proxy,
        forwarded: table.flag("forwarded")?,
        idle_connections: table.count("idle_connections")?,
        slow_start: table.wait("slow_start")?,
        spill_over: spill_over?,
        subset: subset(table)?,
        tls: tls?,
        idle_timeout: table.table("timeouts")?.wait("keep_alive")?,
        queue: queue(table.table("queue")?)?,
    })
}

/// What is about connections of one's own makes no sense where many exchanges share one.
fn refuse_with_http2(context: &mut Context<'_>, table: &Table, backends: &[Backend], sends_proxy: bool) {
    let Some(shared) = backends.iter().find(|backend| backend.http2) else { return };
    let mut refuse = |key: &str, remedy: &str| {
        let what =
            format!("`{key}` with a backend of HTTP/2 ({}), whose connections serve many clients at once", shared.name);
        context.error(table.place(key), Problem::new(code::CONFLICT, what).remedy(remedy));
    };
    if sends_proxy {
        refuse("send_proxy", "leave it out: backends learn who the client is from `X-Forwarded-For`");
    }
    if backends.iter().any(|backend| backend.http2 && backend.caps.max_connections.is_some()) {
        refuse("max_connections", "write `max_requests`, which caps what runs at once");
    }
}

fn queue(table: &Table) -> Option<Queue> {
    Some(Queue { size: table.count("size")?, timeout: table.wait("timeout")?, shed: table.flag("shed")? })
}

/// The outer `None` is a note, the inner one is off.
fn spill_over(context: &mut Context<'_>, pool: &Table, backends: &[Backend]) -> Option<Option<SpillOver>> {
    let Some(table) = pool.table("spill_over") else { return Some(None) };
    if backends.windows(2).all(|pair| pair[0].tier == pair[1].tier) {
        let problem = Problem::new(code::CONFLICT, "nothing can spill over: all backends of this pool are in one tier")
            .remedy("give those that stand by a `tier = 1`, or leave `spill_over` out");
        context.error(pool.place("spill_over"), problem);
        return None;
    }
    Some(Some(SpillOver { below_percent: table.count("below")?, full: table.flag("full")? }))
}

/// The outer `None` is a note, the inner one is off.
fn subset(pool: &Table) -> Option<Option<Subset>> {
    let Some(table) = pool.table("subset") else { return Some(None) };
    let node = table.words("node").map(|words| words.text.to_owned());
    Some(Some(Subset { size: table.count("size")?, node }))
}

fn policy(context: &mut Context<'_>, pool: &Table) -> Option<PolicyKind> {
    const BY_CLIENT: Hashing = Hashing::by(HashKey::Client);
    let words = match pool.table("policy") {
        Some(table) => return hashing(context, table),
        None => pool.words("policy")?,
    };
    let all = [
        PolicyKind::RoundRobin,
        PolicyKind::Random,
        PolicyKind::LeastRequests,
        PolicyKind::PowerOfTwo,
        PolicyKind::PeakEwma,
        PolicyKind::IpHash,
        PolicyKind::Maglev(BY_CLIENT),
        PolicyKind::First,
    ];
    all.into_iter().find(|policy| policy.name() == words.text)
}

/// `{ hash = "header:x-user", bounded = 1.25 }`.
fn hashing(context: &mut Context<'_>, table: &Table) -> Option<PolicyKind> {
    let (words, policy): (_, fn(Hashing) -> PolicyKind) = match (table.words("hash"), table.words("maglev")) {
        (Some(words), None) => (words, PolicyKind::Hash),
        (None, Some(words)) => (words, PolicyKind::Maglev),
        (Some(_), Some(_)) => {
            let problem =
                Problem::new(code::CONFLICT, "a pool has one policy").remedy("keep one of `hash` and `maglev`");
            context.error(table.at, problem);
            return None;
        }
        (None, None) => {
            let problem = Problem::new(code::MISSING_KEY, "this policy does not say what it hashes")
                .remedy("for example `policy = { hash = \"header:x-user\", bounded = 1.25 }`");
            context.error(table.at, problem);
            return None;
        }
    };
    let key = context.take(words.at, hash_key::parse(words.text))?;
    let (bound, among) = (table.ratio("bounded").map(Bound), table.count("among").unwrap_or(1));
    if among > 1 && (bound.is_some() || table.written("maglev").is_some()) {
        let problem = Problem::new(code::CONFLICT, "`maglev` and `bounded` give each key one backend")
            .remedy("`among` goes with `hash` alone");
        context.error(table.place("among"), problem);
        return None;
    }
    Some(policy(Hashing { key, bound, among }))
}

/// Backends of a pool: the balancers count them in 16 bits.
const BACKENDS_MAX: usize = u16::MAX as usize;

/// The backends of a pool with their places; at least one, none of them twice.
fn backends(context: &mut Context<'_>, table: &Table) -> (Vec<Backend>, Vec<At>) {
    let mut backends = Vec::new();
    let mut places = Vec::new();
    let mut addresses: BTreeMap<String, At> = BTreeMap::new();
    let pools_cap = cap(context, table);
    let mut names: BTreeMap<String, At> = BTreeMap::new();
    for item in table.list("backends") {
        let Some(mut backend) = backend(context, item) else { continue };
        if backend.max_requests.is_none() && backend.caps.adaptive.is_none() {
            (backend.max_requests, backend.caps.adaptive) = pools_cap;
        }
        backend.caps.max_connections = backend.caps.max_connections.or(table.count("max_connections"));
        let address = backend.address.to_string();
        if let Some(first) = addresses.insert(address.clone(), item.at) {
            let first = context.files.reference(first);
            let problem = Problem::new(code::DUPLICATE, format!("`{address}` is in this pool twice"))
                .remedy(format!("the first is at {first}; `weight = 2` gives a backend a double share"));
            context.error(item.at, problem);
        } else if let Some(first) = names.insert(backend.name.clone(), item.at) {
            let first = context.files.reference(first);
            let problem =
                Problem::new(code::DUPLICATE, format!("two backends of this pool are named `{}`", backend.name))
                    .remedy(format!("the first is at {first}"));
            context.error(item.at, problem);
        }
        places.push(item.at);
        backends.push(backend);
    }
    if places.len() > BACKENDS_MAX {
        let message = format!("a pool has {BACKENDS_MAX} backends at most, and this one {}", places.len());
        context
            .error(table.place("backends"), Problem::new(code::TOO_MANY, message).remedy("make several pools of them"));
    }
    if table.item("backends").is_some() && table.list("backends").is_empty() && table.written("backends").is_some() {
        let problem = Problem::new(code::NO_BACKEND, "a pool without backends can answer nothing")
            .remedy("name at least one: `backends = [\"10.0.0.11:8080\"]`");
        context.error(table.place("backends"), problem);
    }
    (backends, places)
}

fn backend(context: &mut Context<'_>, item: &Item) -> Option<Backend> {
    if let Some(words) = item.words() {
        let Located { address, tls, http2 } = located(context, words)?;
        let name = address.to_string();
        let (state, caps) = (Wanted::Ready, Caps::default());
        return Some(Backend { name, address, weight: 1, tier: 0, state, max_requests: None, caps, tls, http2 });
    }
    let table = item.table()?;
    let Located { address, tls, http2 } = located(context, table.words("address")?)?;
    let name = match table.words("name") {
        Some(words) => {
            context.take(words.at, name::chosen(words.text))?;
            words.text.to_owned()
        }
        None => address.to_string(),
    };
    let state = match table.words("state")?.text {
        "drained" => Wanted::Drained,
        "down" => Wanted::Down,
        _ => Wanted::Ready,
    };
    let (max_requests, adaptive) = cap(context, table);
    Some(Backend {
        name,
        address,
        weight: table.count("weight")?,
        tier: table.count("tier")?,
        state,
        max_requests,
        caps: Caps { max_connections: table.count("max_connections"), adaptive },
        tls,
        http2,
    })
}

/// `max_requests`: a number, or the terms of one that is found at run time.
fn cap(context: &mut Context<'_>, table: &Table) -> (Option<u32>, Option<Adaptive>) {
    const AUTO: Adaptive = Adaptive { min: 4, max: 1000 };
    let adaptive = match (table.words("max_requests"), table.table("max_requests")) {
        (Some(_), _) => Some(AUTO),
        (None, Some(terms)) => terms.count("min").zip(terms.count("max")).map(|(min, max)| Adaptive { min, max }),
        (None, None) => None,
    };
    if adaptive.is_some_and(|terms| terms.min > terms.max) {
        let problem = Problem::new(code::CONFLICT, "`min` of `max_requests` is more than its `max`");
        context.error(table.place("max_requests"), problem.remedy("write a smaller `min` or a larger `max`"));
    }
    (table.count("max_requests"), adaptive)
}

/// Where a backend is, and whether it is spoken to over TLS.
fn located(context: &mut Context<'_>, words: Words<'_>) -> Option<Located> {
    context.take(words.at, address::backend(words.text))
}
