//! Places of the plan's parts, and what the plan itself no longer tells.

use ipnet::IpNet;
use policy::plan::Bind;

use crate::files::At;

/// What judging needs beside the plan; each list is parallel to the plan's.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// `[check] allow`.
    pub(crate) allow: Vec<String>,
    /// Where `[admin]` has its `bind`.
    pub(crate) admin: Option<At>,
    pub(crate) pools: Vec<PoolFacts>,
    pub(crate) listeners: Vec<ListenerFacts>,
    pub(crate) routes: Vec<RouteFacts>,
}

/// Of a pool.
#[derive(Debug)]
pub(crate) struct PoolFacts {
    pub(crate) at: At,
    pub(crate) health: At,
    pub(crate) probe_timeout: At,
    pub(crate) backends: Vec<At>,
    pub(crate) tls: At,
}

/// Of a listener.
#[derive(Debug)]
pub(crate) struct ListenerFacts {
    pub(crate) at: At,
    pub(crate) binds: Vec<(At, Bind)>,
    pub(crate) trusted: Vec<(At, IpNet)>,
    pub(crate) header_timeout: At,
    pub(crate) body_timeout: At,
    pub(crate) has_pool: bool,
    /// What is not right with its certificates.
    pub(crate) certs: Vec<CertFacts>,
}

/// A warning about a certificate, found when it was read.
#[derive(Debug)]
pub(crate) struct CertFacts {
    pub(crate) at: At,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// Of a route.
#[derive(Debug)]
pub(crate) struct RouteFacts {
    pub(crate) at: At,
    /// The ranges of `client`; empty is all.
    pub(crate) clients: Vec<IpNet>,
    pub(crate) origin: Origin,
}

/// What a route was written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `[[route]]`.
    Route,
    /// The default pool of a listener.
    Listener,
}
