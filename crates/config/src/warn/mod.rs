//! Known mistakes: judged on the finished plan, since only a whole plan can be misjudged.
//!
//! Each has a code, by which `[check] allow` silences it.

pub(crate) mod facts;
mod listeners;
mod pools;
mod relations;
mod routes;

use policy::plan::Plan;

use crate::context::Context;
use crate::diagnostic::Problem;
use crate::files::At;
use facts::Facts;

/// A code and what it warns of.
pub(crate) struct Warning {
    pub(crate) code: &'static str,
    pub(crate) about: &'static str,
}

/// Every warning there is.
pub(crate) const ALL: &[Warning] = &[
    Warning {
        code: ADMIN_BEYOND_LOOPBACK,
        about: "The admin interface is reachable from other machines, in plain text.",
    },
    Warning {
        code: CERTIFICATE_CHAIN,
        about: "A certificate comes without that of its issuer: some clients refuse it.",
    },
    Warning {
        code: CERTIFICATE_EXPIRY,
        about: "A certificate or stapled answer is over, or will be soon, or is not valid yet.",
    },
    Warning { code: CERTIFICATE_FILE, about: "A file beside certificates is of no use." },
    Warning { code: CERTIFICATE_NAMES, about: "A certificate is for no name, or two are for the same." },
    Warning {
        code: HEADER_ONLY_CANARY,
        about: "A route by headers, query or cookies alone loses to a more specific path or host.",
    },
    Warning { code: HEALTH_INTERVAL, about: "A probe may take longer than the time between two of them." },
    Warning { code: HEALTH_OFF, about: "Nobody notices when a backend of this pool dies, but its clients." },
    Warning { code: LOOP, about: "A backend is one of our own listeners." },
    Warning { code: NO_READY_BACKEND, about: "Every backend of a pool is drained or down by the file." },
    Warning { code: ONE_BACKEND, about: "A pool of one backend has nowhere to go when that fails." },
    Warning {
        code: PATH_WITHOUT_STAR,
        about: "A path matches itself alone, and everything below it is answered with 404.",
    },
    Warning { code: SHADOWED_ROUTE, about: "A route can never match, since another always takes its requests." },
    Warning { code: TCP_ONLY_CHECK, about: "A TCP check passes for a process that hangs." },
    Warning { code: TIMEOUT_OFF, about: "Slow or silent clients hold their connections for ever." },
    Warning { code: TRUSTS_EVERYBODY, about: "Every client can claim every address." },
    Warning { code: UNREACHABLE_LISTENER, about: "A listener answers everything with 404." },
    Warning { code: UNUSED_POOL, about: "No route and no listener leads to a pool." },
    Warning { code: UNVERIFIED, about: "Backends are spoken to over TLS without knowing who they are." },
];

/// The codes, in the order of [`ALL`].
pub(crate) const CODES: &[&str] = &codes();

const fn codes() -> [&'static str; ALL.len()] {
    let mut codes = [""; ALL.len()];
    let mut index = 0;
    while index < ALL.len() {
        codes[index] = ALL[index].code;
        index += 1;
    }
    codes
}

pub(crate) const ADMIN_BEYOND_LOOPBACK: &str = "admin-beyond-loopback";
pub(crate) const CERTIFICATE_CHAIN: &str = "certificate-chain";
pub(crate) const CERTIFICATE_EXPIRY: &str = "certificate-expiry";
pub(crate) const CERTIFICATE_FILE: &str = "certificate-file";
pub(crate) const CERTIFICATE_NAMES: &str = "certificate-names";
pub(crate) const HEADER_ONLY_CANARY: &str = "header-only-canary";
pub(crate) const HEALTH_INTERVAL: &str = "health-interval";
pub(crate) const HEALTH_OFF: &str = "health-off";
pub(crate) const LOOP: &str = "loop";
pub(crate) const NO_READY_BACKEND: &str = "no-ready-backend";
pub(crate) const ONE_BACKEND: &str = "one-backend";
pub(crate) const PATH_WITHOUT_STAR: &str = "path-without-star";
pub(crate) const SHADOWED_ROUTE: &str = "shadowed-route";
pub(crate) const TCP_ONLY_CHECK: &str = "tcp-only-check";
pub(crate) const TIMEOUT_OFF: &str = "timeout-off";
pub(crate) const TRUSTS_EVERYBODY: &str = "trusts-everybody";
pub(crate) const UNREACHABLE_LISTENER: &str = "unreachable-listener";
pub(crate) const UNUSED_POOL: &str = "unused-pool";
pub(crate) const UNVERIFIED: &str = "unverified-backends";

/// Warnings found so far, without those that are meant so.
pub(crate) struct Warnings<'a, 'b> {
    context: &'a mut Context<'b>,
    allow: &'a [String],
}

impl Warnings<'_, '_> {
    fn add(&mut self, code: &'static str, at: impl Into<Option<At>>, message: impl Into<String>, remedy: &str) {
        if !self.allow.iter().any(|allowed| allowed == code) {
            self.context.warn(at, Problem::new(code, message).remedy(remedy));
        }
    }

    /// `file:line` of a place.
    fn reference(&self, at: At) -> String {
        self.context.files.reference(at)
    }
}

/// Judges a plan.
pub(crate) fn judge(context: &mut Context<'_>, plan: &Plan, facts: &Facts) {
    let mut warnings = Warnings { context, allow: &facts.allow };
    listeners::judge(&mut warnings, plan, facts);
    pools::judge(&mut warnings, plan, facts);
    routes::judge(&mut warnings, plan, facts);
}
