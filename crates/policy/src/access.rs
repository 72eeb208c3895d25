//! Who may connect: sets of address ranges.
//!
//! Owns the answer to "is this address in the set", for lists of a hundred thousand ranges and more; reading such lists
//! is the business of `config`, refusing a connection that of `engine`.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Bits of `::ffff:0:0/96`, where IPv4 addresses appear on IPv6 sockets (RFC 4291, section 2.5.5.2).
const MAPPED_PREFIX_BITS: u8 = 96;

/// A set of address ranges; IPv4-mapped IPv6 addresses count as IPv4.
///
/// `::/0` therefore means every IPv6 client and no IPv4 client, however the listener's socket presents the latter.
#[derive(Clone, Debug, Default)]
pub struct CidrSet {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl CidrSet {
    /// A set of these ranges, in any order, overlapping as they like.
    #[must_use]
    pub fn new(ranges: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            match unmapped(*range) {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self { v4: Ranges::new(v4, |end| end.checked_add(1)), v6: Ranges::new(v6, |end| end.checked_add(1)) }
    }

    /// Whether there is no range in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.0.is_empty() && self.v6.0.is_empty()
    }

    /// Whether `ip` is in one of the ranges; logarithmic in their number.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.contains(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.contains(ip.to_bits()),
        }
    }
}

/// A range within `::ffff:0:0/96` as the IPv4 range that it means.
fn unmapped(range: IpNet) -> IpNet {
    let IpNet::V6(net) = range else { return range };
    let Some(v4) = mapped_network(net) else { return range };
    v4.into()
}

fn mapped_network(net: Ipv6Net) -> Option<Ipv4Net> {
    let length = net.prefix_len().checked_sub(MAPPED_PREFIX_BITS)?;
    Ipv4Net::new(net.network().to_ipv4_mapped()?, length).ok()
}

/// Ranges from first to last, sorted, neither overlapping nor touching.
#[derive(Clone, Debug, Default)]
struct Ranges<T>(Vec<(T, T)>);

impl<T: Copy + Ord> Ranges<T> {
    /// `next` is what follows a number, none after the last.
    fn new(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Self {
        ranges.sort_unstable();
        ranges.dedup_by(|later, earlier| {
            let joins = next(earlier.1).is_none_or(|next| later.0 <= next);
            if joins {
                earlier.1 = earlier.1.max(later.1);
            }
            joins
        });
        ranges.shrink_to_fit();
        Self(ranges)
    }

    fn contains(&self, it: T) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= it);
        after > 0 && it <= self.0[after - 1].1
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
