//! From read values to the plan: names become indices, strings their types, and terms are merged.
//!
//! A part that cannot be made is noted and left out, so that the others are judged as well; the plan is made only when
//! nothing was noted.

mod action;
mod breaker;
mod buffer;
mod eject;
mod fields;
mod health;
mod limits;
mod listener;
mod matching;
mod page;
mod pool;
mod process;
mod route;
mod terms;

use std::collections::BTreeMap;

use ipnet::IpNet;
use policy::plan::{ListenerId, Plan, PoolId};
use policy::route::Router;

use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::files::At;
use crate::nearest::suggestion;
use crate::table::{Member, Table, Words};
use crate::values::{cidr, name};
use crate::warn;
use crate::warn::facts::Facts;

/// Pools and listeners by name, in the order of writing; ids are their positions.
pub(crate) struct Names {
    pools: BTreeMap<String, PoolId>,
    listeners: BTreeMap<String, ListenerId>,
}

/// Makes the plan, and judges it.
pub(crate) fn lower(context: &mut Context<'_>, root: &Table) -> Option<Plan> {
    let names = Names::of(context, root);
    let admin = process::admin(context, root);
    let error_pages = process::error_pages(context, root);
    let limits = process::limits(context, root);
    let access_log = process::access_log(context, root);
    let mut facts = Facts { allow: process::allowed(root), admin: process::admin_place(root), ..Facts::default() };

    let pools = pool::all(context, root, &mut facts);
    let listeners = listener::all(context, root, &mut facts);
    listener::check_binds(context, &facts, admin.as_ref());
    let members = root.members("pool").iter();
    let terms: Vec<_> = members.map(|pool| terms::of_pool(context, pool.item.table()?)).collect();
    let buffered = limits.as_ref().map(|limits| limits.buffered);
    let routes = route::all(context, root, &route::Known { names: &names, terms: &terms, buffered }, &mut facts);
    if context.has_errors() {
        return None;
    }
    let plan = Plan {
        generation: 1,
        workers: root.table("runtime")?.count("workers")?,
        admin: admin?,
        limits: limits?,
        overload: process::overload(root)?,
        access_log: access_log?,
        listeners,
        router: Router::compile(&routes),
        routes,
        pools,
        error_pages,
    };
    warn::judge(context, &plan, &facts);
    Some(plan)
}

impl Names {
    fn of(context: &mut Context<'_>, root: &Table) -> Self {
        let mut names = Self { pools: BTreeMap::new(), listeners: BTreeMap::new() };
        for (index, member) in named(context, root, "pool").iter().enumerate() {
            if let Ok(id) = u32::try_from(index) {
                names.pools.insert(member.name.clone(), PoolId(id));
            }
        }
        for (index, member) in named(context, root, "listener").iter().enumerate() {
            if let Ok(id) = u16::try_from(index) {
                names.listeners.insert(member.name.clone(), ListenerId(id));
            }
        }
        names
    }

    /// The pool of a name, or a note of the nearest.
    fn pool(&self, context: &mut Context<'_>, name: Words<'_>) -> Option<PoolId> {
        let known = self.pools.get(name.text).copied();
        if known.is_none() {
            let remedy = match self.pools.is_empty() {
                true => format!("define it: `[pool.{}]` with `backends = [\"10.0.0.11:8080\"]`", name.text),
                false => suggestion(name.text, self.pools.keys().map(String::as_str)),
            };
            let problem = Problem::new(code::UNKNOWN_POOL, format!("there is no pool `{}`", name.text));
            context.error(name.at, problem.remedy_if(remedy));
        }
        known
    }

    /// The listener of a name, or a note of the nearest.
    fn listener(&self, context: &mut Context<'_>, name: Words<'_>) -> Option<ListenerId> {
        let known = self.listeners.get(name.text).copied();
        if known.is_none() {
            let problem = Problem::new(code::UNKNOWN_LISTENER, format!("there is no listener `{}`", name.text));
            context.error(name.at, problem.remedy_if(suggestion(name.text, self.listeners.keys().map(String::as_str))));
        }
        known
    }
}

/// The members of a table whose names must fit selectors.
fn named<'a>(context: &mut Context<'_>, root: &'a Table, key: &str) -> &'a [Member] {
    let members = root.members(key);
    for member in members {
        context.take(member.at, name::chosen(&member.name));
    }
    if members.len() > usize::from(u16::MAX) {
        context.error(None, Problem::new(code::TOO_MANY, format!("more than {} of `{key}`", u16::MAX)));
    }
    members
}

/// The address ranges of a key, each with its place.
fn ranges(context: &mut Context<'_>, table: &Table, key: &str) -> Vec<(At, IpNet)> {
    let mut ranges = Vec::new();
    for words in table.all_words(key) {
        if let Some(net) = context.take(words.at, cidr::parse(words.text)) {
            ranges.push((words.at, net));
        }
    }
    ranges
}

/// The ranges without their places.
fn bare(ranges: &[(At, IpNet)]) -> Vec<IpNet> {
    ranges.iter().map(|(_, net)| *net).collect()
}
