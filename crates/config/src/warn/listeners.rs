//! Mistakes of listeners and of the admin interface.

use policy::plan::{ListenerId, Plan};

use super::facts::{Facts, ListenerFacts};
use super::{ADMIN_BEYOND_LOOPBACK, TIMEOUT_OFF, TRUSTS_EVERYBODY, UNREACHABLE_LISTENER, Warnings};

pub(super) fn judge(warnings: &mut Warnings<'_, '_>, plan: &Plan, facts: &Facts) {
    if let Some(open) = plan.admin.bind.iter().find(|addr| !addr.ip().is_loopback()) {
        let message = format!("the admin interface at {open} speaks plain HTTP: the token can be read on the way");
        warnings.add(
            ADMIN_BEYOND_LOOPBACK,
            facts.admin,
            message,
            "bind 127.0.0.1 and come by SSH, or a private network",
        );
    }
    for (index, (listener, facts)) in plan.listeners.iter().zip(&facts.listeners).enumerate() {
        trusts(warnings, facts);
        for found in &facts.certs {
            warnings.add(found.code, found.at, &found.message, &found.remedy);
        }
        if listener.timeouts.header.is_none() {
            let message = "without a `header` timeout, clients that send nothing hold their connections for ever";
            warnings.add(TIMEOUT_OFF, facts.header_timeout, message, "write a long one instead, as in `\"1m\"`");
        }
        if listener.timeouts.body.is_none() {
            let message = "without a `body` timeout, clients that stop halfway hold their connections for ever";
            warnings.add(TIMEOUT_OFF, facts.body_timeout, message, "write a long one instead, as in `\"5m\"`");
        }
        let led = |id: &ListenerId| usize::from(id.0) == index;
        let reached = plan.routes.iter().flat_map(|route| &route.matches);
        let reached = reached.map(|found| &found.listeners).any(|ids| ids.is_empty() || ids.iter().any(led));
        if !facts.has_pool && !reached {
            let message = format!("listener `{}` answers everything with 404", listener.name);
            warnings.add(UNREACHABLE_LISTENER, facts.at, message, "give it a `pool`, or a route with this `listener`");
        }
    }
}

fn trusts(warnings: &mut Warnings<'_, '_>, facts: &ListenerFacts) {
    if let Some((at, net)) = facts.trusted.iter().find(|(_, net)| net.prefix_len() == 0) {
        let message = format!("`{net}` believes everybody: each client can claim each address");
        warnings.add(TRUSTS_EVERYBODY, *at, message, "name the ranges of your proxies alone");
    }
}
