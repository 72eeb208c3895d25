//! Blocked networks: finding the one that an address is in, among a hundred thousand.
//!
//! Owns how networks are written and found; who blocks them, for how long and why is the business of `control`, refusing
//! of `engine`. Networks that overlap lie one in the other: an address is found in the narrowest.

use std::net::IpAddr;

pub use ipnet::IpNet;

use crate::access::unmapped;

/// Networks that may be blocked at once.
pub const BLOCKS_MAX: usize = 100_000;

/// A text that is no network to block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNetwork {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Reads `203.0.113.0/24`, `2001:db8::/48` or one address. An IPv4 network written as IPv6 is the IPv4 one.
///
/// # Errors
/// It is no network, has bits beyond its prefix, or is everybody.
pub fn parse(text: &str) -> Result<IpNet, BadNetwork> {
    let bad = |message: String, remedy: String| Err(BadNetwork { message, remedy });
    let net = match text.parse::<IpAddr>() {
        Ok(ip) => IpNet::from(ip),
        Err(_) => match text.parse::<IpNet>() {
            Ok(net) => net,
            Err(_) => {
                let shown: String = text.chars().take(64).collect();
                return bad(
                    format!("`{}` is no network", shown.escape_debug()),
                    "write 203.0.113.0/24, 2001:db8::/48 or one address".to_owned(),
                );
            }
        },
    };
    let net = unmapped(net);
    if net.trunc() != net {
        let message = format!("{net} has bits beyond its prefix");
        return bad(message, format!("write {} for the network, or {} for the address", net.trunc(), net.addr()));
    }
    if net.prefix_len() == 0 {
        return bad(format!("{net} is everybody"), "stop the process, or name smaller networks".to_owned());
    }
    Ok(net)
}

/// Networks, compiled for finding.
#[derive(Clone, Debug, Default)]
pub struct Table {
    v4: Nets<u32>,
    v6: Nets<u128>,
}

impl Table {
    /// Of networks without repetition; [`Table::find`] tells their place in this order.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (net, number) in networks.into_iter().zip(0..) {
            match unmapped(net) {
                IpNet::V4(net) => v4.push(Net::new(net.network().to_bits(), net.broadcast().to_bits(), number)),
                IpNet::V6(net) => v6.push(Net::new(net.network().to_bits(), net.broadcast().to_bits(), number)),
            }
        }
        Self { v4: Nets::new(v4), v6: Nets::new(v6) }
    }

    /// Whether there is no network.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.0.is_empty() && self.v6.0.is_empty()
    }

    /// The narrowest network that an address is in, by its place in the order given; logarithmic in their number.
    #[must_use]
    pub fn find(&self, ip: IpAddr) -> Option<usize> {
        let number = match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.find(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.find(ip.to_bits()),
        };
        number.map(|number| number as usize)
    }
}

/// A network with its place in the order given.
#[derive(Clone, Copy, Debug)]
struct Net<T> {
    first: T,
    last: T,
    number: u32,
    /// Where the narrowest network around it stands.
    around: Option<u32>,
}

impl<T> Net<T> {
    fn new(first: T, last: T, number: u32) -> Self {
        Self { first, last, number, around: None }
    }
}

/// Sorted by first address, the widest first: what lies in a network stands behind it.
#[derive(Clone, Debug, Default)]
struct Nets<T>(Vec<Net<T>>);

impl<T: Copy + Ord> Nets<T> {
    fn new(mut nets: Vec<Net<T>>) -> Self {
        nets.sort_unstable_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)));
        // The networks that are not yet passed, from the widest to the narrowest.
        let mut open: Vec<u32> = Vec::new();
        for (at, here) in (0..nets.len()).zip(0..) {
            while open.last().is_some_and(|&outer| nets[outer as usize].last < nets[at].first) {
                open.pop();
            }
            nets[at].around = open.last().copied();
            open.push(here);
        }
        Self(nets)
    }

    /// The last network that begins at or before the address, or one around it, is the narrowest that has it: networks
    /// never overlap in part.
    fn find(&self, ip: T) -> Option<u32> {
        let mut at = self.0.partition_point(|net| net.first <= ip).checked_sub(1)?;
        while self.0[at].last < ip {
            at = self.0[at].around? as usize;
        }
        Some(self.0[at].number)
    }
}

#[cfg(test)]
mod tests {
    use ipnet::Ipv4Net;
    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn found<'a>(texts: &[&'a str], ip: &str) -> Option<&'a str> {
        Table::new(nets(texts)).find(ip.parse().unwrap()).map(|at| texts[at])
    }

    #[test]
    fn networks_are_read_and_slips_told() {
        for (text, net) in [
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("203.0.113.7", "203.0.113.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), net);
        }
        let remedy = |text: &str| parse(text).unwrap_err().remedy;
        assert_eq!(remedy("10.0.0.5/8"), "write 10.0.0.0/8 for the network, or 10.0.0.5 for the address");
        for text in ["", "host", "10.0.0.0/33", "10.0.0/8", "0.0.0.0/0", "::/0", "::ffff:0:0/96", "\u{1b}[1m"] {
            let bad = parse(text).unwrap_err();
            assert!(!bad.remedy.is_empty() && !bad.message.contains('\u{1b}'), "{text}: {bad:?}");
        }
    }

    #[test]
    fn the_narrowest_network_is_found() {
        let all = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "192.0.2.0/24", "2001:db8::/32"];
        for (ip, net) in [
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("10.1.2.4", Some("10.1.2.0/24")),
            ("10.1.3.0", Some("10.1.0.0/16")),
            ("10.255.255.255", Some("10.0.0.0/8")),
            ("11.0.0.0", None),
            ("9.255.255.255", None),
            ("192.0.2.255", Some("192.0.2.0/24")),
            ("192.0.3.0", None),
            ("::ffff:192.0.2.1", Some("192.0.2.0/24")),
            ("2001:db8:ffff::1", Some("2001:db8::/32")),
            ("2001:db9::", None),
        ] {
            assert_eq!(found(&all, ip), net, "{ip}");
        }
        assert!(Table::default().is_empty() && Table::default().find("::1".parse().unwrap()).is_none());
    }

    #[test]
    fn a_hundred_thousand_networks_are_found() {
        let all = (0..100_000_u32).map(|i| Ipv4Net::new((i << 9).into(), 24).unwrap().into());
        let table = Table::new(all);
        for i in (0..100_000_usize).step_by(7) {
            let bits = u32::try_from(i).unwrap() << 9;
            assert_eq!(table.find(std::net::Ipv4Addr::from_bits(bits | 0xff).into()), Some(i));
            assert_eq!(table.find(std::net::Ipv4Addr::from_bits(bits + 0x100).into()), None);
        }
    }

    fn crowded() -> impl Strategy<Value = IpNet> {
        (0..64_u32, 22..=32_u8)
            .prop_map(|(ip, length)| IpNet::from(Ipv4Net::new((ip * 5).into(), length).unwrap()).trunc())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_agrees_with_asking_every_network(mut all in proptest::collection::vec(crowded(), 0..16)) {
            let mut seen = std::collections::BTreeSet::new();
            all.retain(|net| seen.insert(*net));
            let table = Table::new(all.clone());
            for bits in 0..0x800_u32 {
                let ip = IpAddr::from(bits.to_be_bytes());
                let wanted = all.iter().filter(|net| net.contains(&ip)).max_by_key(|net| net.prefix_len());
                prop_assert_eq!(table.find(ip).map(|at| &all[at]), wanted, "{}", ip);
            }
        }
    }
}
