//! `[listener.NAME]`.

use std::net::SocketAddr;

use policy::access::{AccessList, CidrSet};
use policy::pace::Floors;
use policy::plan::{Admin, Bind, ClientTimeouts, Listener, ListenerId, Route};

use super::{bare, limits, ranges, tls};
use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::files::At;
use crate::interpolate::Origin;
use crate::table::{Member, Table};
use crate::values::address;
use crate::warn::facts::{Facts, ListenerFacts, RouteFacts};

/// Every listener that can be made; without any there is nothing to do.
pub(super) fn all(context: &mut Context<'_>, root: &Table, facts: &mut Facts) -> Vec<Listener> {
    if root.members("listener").is_empty() && root.written("listener").is_none() {
        let remedy = "add for instance\n\n[listener.web]\nbind = \":80\"\npool = \"app\"";
        context.error(None, Problem::new(code::NO_LISTENER, "there is no listener").remedy(remedy));
    }
    let mut listeners = Vec::new();
    for member in root.members("listener") {
        let Some(table) = member.item.table() else { continue };
        let binds = binds(context, table);
        let trusted = ranges(context, table, "trusted_proxies");
        let timeouts = table.table("timeouts");
        facts.listeners.push(ListenerFacts {
            at: member.at,
            binds: binds.clone(),
            trusted: trusted.clone(),
            header_timeout: timeouts.map_or(member.at, |timeouts| timeouts.place("header")),
            body_timeout: timeouts.map_or(member.at, |timeouts| timeouts.place("body")),
            has_pool: table.written("pool").is_some(),
            certs: Vec::new(),
        });
        let binds = binds.into_iter().map(|(_, bind)| bind).collect();
        let mut certs = Vec::new();
        let tls = tls::of_listener(context, table, &mut certs);
        if let Some(facts) = facts.listeners.last_mut() {
            facts.certs = certs;
        }
        let listener = one(context, member, table, (binds, CidrSet::new(&bare(&trusted))));
        listeners.extend(listener.zip(tls).map(|(listener, tls)| Listener { tls, ..listener }));
    }
    listeners
}

/// The listeners that only redirect are put behind the others; gives their routes.
pub(super) fn redirects(
    context: &mut Context<'_>,
    root: &Table,
    listeners: &mut Vec<Listener>,
    facts: &mut Facts,
) -> Vec<(Route, RouteFacts)> {
    let mut routes = Vec::new();
    for member in root.members("listener") {
        let Some(table) = member.item.table().filter(|table| table.written("http_redirect").is_some()) else {
            continue;
        };
        let binds = binds_of(context, table, "http_redirect");
        let Some(secure) = listeners.iter().find(|listener| listener.name == member.name) else { continue };
        let id = ListenerId(u16::try_from(listeners.len()).unwrap_or(u16::MAX));
        let plain = binds.iter().map(|(_, bind)| bind.clone()).collect();
        let Some((listener, route, of_route)) = tls::redirect(context, (secure, table), plain, id) else { continue };
        if listeners.iter().any(|other| other.name == listener.name) {
            let message = format!("`http_redirect` makes a listener `{}`, which is there already", listener.name);
            context
                .error(table.place("http_redirect"), Problem::new(code::DUPLICATE, message).remedy("rename that one"));
        }
        let at = table.place("http_redirect");
        facts.listeners.push(ListenerFacts {
            at,
            binds,
            trusted: Vec::new(),
            header_timeout: at,
            body_timeout: at,
            has_pool: false,
            certs: Vec::new(),
        });
        listeners.push(listener);
        routes.push((route, of_route));
    }
    routes
}

fn one(
    context: &mut Context<'_>,
    member: &Member,
    table: &Table,
    (binds, trusted_proxies): (Vec<Bind>, CidrSet),
) -> Option<Listener> {
    let allow = ranges(context, table, "allow");
    let deny = ranges(context, table, "deny");
    if table.item("allow").is_some_and(|item| item.origin != Origin::Default) && table.list("allow").is_empty() {
        let problem = Problem::value("`allow` is empty, which would allow everybody")
            .remedy("leave it out for everybody, or write `deny = [\"0.0.0.0/0\", \"::/0\"]` for nobody");
        context.error(table.place("allow"), problem);
    }
    let proxy_protocol = table.flag("proxy_protocol")?;
    if proxy_protocol && table.list("trusted_proxies").is_empty() {
        let problem = Problem::new(code::MISSING_KEY, "`proxy_protocol` without `trusted_proxies` believes nobody")
            .remedy("add for instance `trusted_proxies = [\"10.0.0.0/8\"]`");
        context.error(table.place("proxy_protocol"), problem);
    }
    let timeouts = table.table("timeouts")?;
    let floors = table.table("floors")?;
    let limits = table.table("limits")?;
    let limit = limits::rate(context, limits, "listener")?;
    let client_connections = limits.count("client_connections");
    if proxy_protocol && client_connections.is_some() {
        let problem = Problem::value("with `proxy_protocol` all connections come from proxies, which are not counted");
        context.error(limits.place("client_connections"), problem.remedy("cap connections where clients connect"));
    }
    Some(Listener {
        name: member.name.clone(),
        binds,
        access: AccessList { allow: CidrSet::new(&bare(&allow)), deny: CidrSet::new(&bare(&deny)) },
        proxy_protocol,
        trusted_proxies,
        timeouts: ClientTimeouts {
            header: timeouts.wait("header")?,
            body: timeouts.wait("body")?,
            keep_alive: timeouts.wait("keep_alive")?,
            tunnel: timeouts.wait("tunnel")?,
        },
        floors: Floors { body: floors.size("body")?, drain: floors.size("drain")?, over: floors.wait("over")?? },
        limit,
        client_connections,
        tls: None,
        hsts: tls::hsts(context, table)?,
    })
}

fn binds_of(context: &mut Context<'_>, table: &Table, key: &str) -> Vec<(At, Bind)> {
    let mut binds = Vec::new();
    for words in table.all_words(key) {
        binds.extend(context.take(words.at, address::bind(words.text)).map(|bind| (words.at, bind)));
    }
    binds
}

fn binds(context: &mut Context<'_>, table: &Table) -> Vec<(At, Bind)> {
    let binds = binds_of(context, table, "bind");
    if table.item("bind").is_some() && table.list("bind").is_empty() {
        let problem = Problem::value("a listener without an address accepts nothing").remedy("write `bind = \":80\"`");
        context.error(table.place("bind"), problem);
    }
    binds
}

/// No address is taken twice, be it by two listeners or by the admin interface.
pub(super) fn check_binds(context: &mut Context<'_>, facts: &Facts, admin: Option<&Admin>) {
    let mut taken: Vec<(Bind, At)> = Vec::new();
    let admin_binds = admin.map(|admin| admin.bind.as_slice()).unwrap_or_default();
    let admin_binds = admin_binds.iter().map(|addr| Bind::Tcp { addr: *addr, v6_only: addr.is_ipv6() });
    for (at, bind) in facts.listeners.iter().flat_map(|listener| &listener.binds) {
        if let Some((_, first)) = taken.iter().find(|(other, _)| collide(bind, other)) {
            let remedy = format!("it is taken at {}", context.files.reference(*first));
            let problem = Problem::new(code::DUPLICATE, format!("`{}` is taken twice", address::show(bind)));
            context.error(*at, problem.remedy(remedy));
        } else if admin_binds.clone().any(|other| collide(bind, &other)) {
            let message = format!("`{}` is taken by the admin interface", address::show(bind));
            context.error(
                *at,
                Problem::new(code::DUPLICATE, message).remedy("choose another port, or set `bind` of [admin]"),
            );
        }
        taken.push((bind.clone(), *at));
    }
}

/// Whether two addresses cannot be bound at once. Port 0 is a free port each time; an address beside the wildcard is
/// allowed, since the more specific one wins.
fn collide(one: &Bind, other: &Bind) -> bool {
    match (one, other) {
        (Bind::Unix(one), Bind::Unix(other)) => one == other,
        (Bind::Tcp { addr: one, v6_only: one_v6 }, Bind::Tcp { addr: other, v6_only: other_v6 }) => {
            let both_any = one.ip().is_unspecified() && other.ip().is_unspecified();
            let families_meet =
                one.is_ipv4() == other.is_ipv4() || takes_both(one, *one_v6) || takes_both(other, *other_v6);
            one.port() != 0 && one.port() == other.port() && (one.ip() == other.ip() || (both_any && families_meet))
        }
        _ => false,
    }
}

fn takes_both(addr: &SocketAddr, v6_only: bool) -> bool {
    addr.is_ipv6() && !v6_only
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_addresses_collide() {
        let collide = |one: &str, other: &str| {
            let (one, other) = (address::bind(one).unwrap(), address::bind(other).unwrap());
            assert_eq!(collide(&one, &other), collide(&other, &one));
            collide(&one, &other)
        };
        assert!(collide(":80", ":80"));
        assert!(collide(":80", "0.0.0.0:80"));
        assert!(collide(":80", "[::]:80"));
        assert!(collide("127.0.0.1:80", "127.0.0.1:80"));
        assert!(collide("unix:/a", "unix:/a"));
        assert!(!collide("0.0.0.0:80", "[::]:80"));
        assert!(!collide(":80", "127.0.0.1:80"));
        assert!(!collide(":80", ":81"));
        assert!(!collide("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!collide("unix:/a", ":80"));
    }
}
