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

    /// Whether an address of this network is in one of the ranges.
    #[must_use]
    pub fn meets(&self, network: IpNet) -> bool {
        match unmapped(network) {
            IpNet::V4(net) => self.v4.meets(net.network().to_bits(), net.broadcast().to_bits()),
            IpNet::V6(net) => self.v6.meets(net.network().to_bits(), net.broadcast().to_bits()),
        }
    }
}

/// A range within `::ffff:0:0/96` as the IPv4 range that it means.
pub(crate) fn unmapped(range: IpNet) -> IpNet {
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
        self.meets(it, it)
    }

    fn meets(&self, from: T, to: T) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= to);
        after > 0 && from <= self.0[after - 1].1
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &[&str]) -> CidrSet {
        CidrSet::new(&ranges.iter().map(|range| range.parse().unwrap()).collect::<Vec<_>>())
    }

    fn has(set: &CidrSet, ip: &str) -> bool {
        set.contains(ip.parse().unwrap())
    }

    #[test]
    fn an_empty_set_has_nothing() {
        assert!(set(&[]).is_empty());
        assert!(!has(&set(&[]), "192.0.2.1"));
        assert!(!set(&["192.0.2.1/32"]).is_empty());
        assert!(!set(&["::1/128"]).is_empty());
    }

    #[test]
    fn a_range_goes_from_its_first_to_its_last_address() {
        let it = set(&["192.0.2.64/26", "2001:db8:1::/48"]);
        for inside in ["192.0.2.64", "192.0.2.127", "2001:db8:1::", "2001:db8:1:ffff:ffff:ffff:ffff:ffff"] {
            assert!(has(&it, inside), "{inside}");
        }
        for outside in ["192.0.2.63", "192.0.2.128", "2001:db8:0:ffff::", "2001:db8:2::"] {
            assert!(!has(&it, outside), "{outside}");
        }
    }

    #[test]
    fn host_bits_in_a_range_do_not_matter() {
        assert!(has(&set(&["192.0.2.77/24"]), "192.0.2.1"));
    }

    #[test]
    fn whole_families_are_ranges_too() {
        let all = set(&["0.0.0.0/0", "::/0"]);
        for ip in ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
            assert!(has(&all, ip), "{ip}");
        }
        assert!(!has(&set(&["0.0.0.0/0"]), "::1"));
    }

    #[test]
    fn mapped_addresses_count_as_ipv4() {
        assert!(has(&set(&["192.0.2.0/24"]), "::ffff:192.0.2.9"));
        assert!(has(&set(&["::ffff:192.0.2.0/120"]), "192.0.2.9"));
        assert!(has(&set(&["::ffff:0:0/96"]), "203.0.113.1"));
        assert!(!has(&set(&["::/0"]), "::ffff:192.0.2.9"));
        assert!(!has(&set(&["::/0"]), "192.0.2.9"));
        assert!(!has(&set(&["192.0.2.0/24"]), "::192.0.2.9"));
    }

    #[test]
    fn overlapping_and_touching_ranges_become_one() {
        let it = set(&["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "10.0.0.0/9", "11.0.0.0/8"]);
        assert_eq!(it.v4.0, [(0x0a00_0000, 0x0bff_ffff)]);
        let it = set(&["255.0.0.0/8", "255.255.255.255/32", "0.0.0.0/32", "::/0", "ffff::/16"]);
        assert_eq!(it.v4.0, [(0, 0), (0xff00_0000, u32::MAX)]);
        assert_eq!(it.v6.0, [(0, u128::MAX)]);
    }

    #[test]
    fn a_hundred_thousand_ranges_are_one_sorted_list() {
        // Every other /24: none of them touch.
        let ranges: Vec<IpNet> =
            (0..100_000_u32).rev().map(|i| Ipv4Net::new((i << 9).into(), 24).unwrap().into()).collect();
        let it = CidrSet::new(&ranges);
        assert_eq!(it.v4.0.len(), 100_000);
        assert!(it.v4.0.is_sorted());
        for i in 0..100_000_u32 {
            assert!(it.contains(std::net::Ipv4Addr::from_bits(i << 9 | 0xff).into()));
            assert!(!it.contains(std::net::Ipv4Addr::from_bits((i << 9) + 0x100).into()));
        }
    }

    #[test]
    fn networks_meet_when_they_share_an_address() {
        let it = set(&["10.1.0.0/16", "10.3.0.0/16", "2001:db8::/32"]);
        let meets = |net: &str| it.meets(net.parse().unwrap());
        for net in ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "10.2.0.0/15", "::ffff:10.3.0.0/112", "2001::/16"] {
            assert!(meets(net), "{net}");
        }
        for net in ["10.2.0.0/16", "10.0.0.0/16", "10.4.0.0/16", "2001:db9::/32", "::/3"] {
            assert!(!meets(net), "{net}");
        }
    }

    #[test]
    fn deny_wins_over_allow_and_an_empty_allow_is_everybody() {
        let list = AccessList { allow: set(&["10.0.0.0/8"]), deny: set(&["10.1.0.0/16"]) };
        let admits = |list: &AccessList, ip: &str| list.admits(ip.parse().unwrap());
        assert!(admits(&list, "10.0.0.1"));
        assert!(!admits(&list, "10.1.0.1"));
        assert!(!admits(&list, "192.0.2.1"));
        assert!(!admits(&list, "2001:db8::1"));
        let open = AccessList { deny: set(&["10.1.0.0/16"]), ..AccessList::default() };
        assert!(admits(&open, "2001:db8::1"));
        assert!(!admits(&open, "::ffff:10.1.0.1"));
        assert!(admits(&AccessList::default(), "10.1.0.1"));
    }

    fn crowded_v4() -> impl Strategy<Value = IpNet> {
        (0..64_u32, 24..=32_u8).prop_map(|(ip, length)| Ipv4Net::new((ip * 5).into(), length).unwrap().into())
    }

    fn crowded_v6() -> impl Strategy<Value = IpNet> {
        let block = prop_oneof![Just(0_u128), Just(0xffff_0000_0000), Just(u128::MAX - 0xff)];
        (block, 0..64_u128, 90..=128_u8)
            .prop_map(|(block, ip, length)| Ipv6Net::new((block + ip * 4).into(), length).unwrap().into())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_agrees_with_asking_every_range(
            v4 in proptest::collection::vec(crowded_v4(), 0..12),
            v6 in proptest::collection::vec(crowded_v6(), 0..12),
        ) {
            let ranges = [v4, v6].concat();
            let it = CidrSet::new(&ranges);
            let blocks = [0_u128, 0xffff_0000_0000, u128::MAX - 0x1ff];
            for bits in blocks.into_iter().flat_map(|block| (0..0x200).map(move |i| block + i)) {
                let ip = IpAddr::V6(bits.into()).to_canonical();
                let wanted = ranges.iter().any(|range| match (range, ip) {
                    (IpNet::V6(net), IpAddr::V4(v4)) => net.prefix_len() >= 96 && net.contains(&v4.to_ipv6_mapped()),
                    (range, ip) => range.contains(&ip),
                });
                prop_assert_eq!(it.contains(ip), wanted, "{}", ip);
            }
        }
    }
}
