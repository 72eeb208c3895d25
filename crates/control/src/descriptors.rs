//! File descriptors: the limit the system sets, and whether the plan fits under it.
//!
//! A proxy that runs out of descriptors stops accepting, so the shortfall is told at the start, not found at the peak.

use policy::plan::Plan;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for the log, admin connections, runtimes and probes.
pub(crate) const RESERVE: u64 = 512;

/// Descriptors wanted and had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// What the plan can use at its limits.
    pub wanted: u64,
    /// What the system allows now; `None` is no limit.
    pub allowed: Option<u64>,
}

impl Descriptors {
    /// Client connections to allow: a quarter of the descriptors stays for backends, probes and the admin interface, and
    /// more where a quarter is less than a process needs to run at all.
    #[must_use]
    pub fn connections(&self, limit: usize) -> usize {
        limit.min(self.allowed.map_or(usize::MAX, connections_within))
    }

    /// What to tell the operator when the limits cannot be reached.
    #[must_use]
    pub fn shortfall(&self) -> Option<String> {
        let allowed = self.allowed.filter(|&allowed| allowed < self.wanted)?;
        Some(format!(
            "this process may open {allowed} files, but limits.connections and the backends can need {}: raise it \
             (LimitNOFILE={} in the systemd unit, or `ulimit -n {}` before the start) or lower limits.connections; \
             until then at most {} clients can be connected",
            self.wanted,
            self.wanted,
            self.wanted,
            connections_within(allowed)
        ))
    }
}

fn connections_within(allowed: u64) -> usize {
    let kept = (allowed / 4).max(64.min(allowed / 2));
    usize::try_from(allowed - kept).unwrap_or(usize::MAX)
}

/// Descriptors that a plan can use: two for each client connection (client and backend side), one for each backend
/// (its probe), and a reserve.
#[must_use]
pub fn descriptors_wanted(plan: &Plan) -> u64 {
    let backends: usize = plan.pools.iter().map(|pool| pool.backends.len()).sum();
    let connections = u64::try_from(plan.limits.connections).unwrap_or(u64::MAX);
    let backends = u64::try_from(backends).unwrap_or(u64::MAX);
    connections.saturating_mul(2).saturating_add(backends).saturating_add(RESERVE)
}

/// Raises the soft limit to the hard one, which any process may do, and says what came of it.
pub(crate) fn raise(plan: &Plan) -> Descriptors {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    Descriptors { wanted: descriptors_wanted(plan), allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_is_no_shortfall() {
        assert_eq!(Descriptors { wanted: 1000, allowed: Some(1000) }.shortfall(), None);
        assert_eq!(Descriptors { wanted: 1000, allowed: None }.shortfall(), None);
    }

    #[test]
    fn shortfall_names_both_remedies() {
        let text = Descriptors { wanted: 200_513, allowed: Some(1024) }.shortfall().unwrap();
        assert!(text.contains("LimitNOFILE=200513") && text.contains("ulimit -n 200513"), "{text}");
        assert!(text.contains("1024"), "{text}");
    }

    #[test]
    fn a_quarter_is_kept_from_clients() {
        assert_eq!(Descriptors { wanted: 200_513, allowed: Some(64) }.connections(100_000), 32);
        assert_eq!(Descriptors { wanted: 200_513, allowed: Some(1024) }.connections(100_000), 768);
        assert_eq!(Descriptors { wanted: 1_000, allowed: Some(20_000) }.connections(200), 200);
        assert_eq!(Descriptors { wanted: 200_513, allowed: None }.connections(100_000), 100_000);
    }

    #[test]
    fn two_for_each_connection_one_for_each_backend() {
        let plan = crate::samples::plan(vec![crate::samples::pool("app", 3)]);
        assert_eq!(descriptors_wanted(&plan), 2 * 1000 + 3 + RESERVE);
    }

    #[test]
    fn soft_limit_becomes_the_hard_one() {
        let plan = crate::samples::plan(vec![]);
        let had = raise(&plan);
        assert_eq!(getrlimit(Resource::Nofile).current, had.allowed);
    }
}
