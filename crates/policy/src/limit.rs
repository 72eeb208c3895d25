//! Rate limits: how often a key may come (GCRA, the generic cell rate algorithm).
//!
//! Owns the arithmetic and what a key is; who keeps the state of many keys, and refuses, is `engine`. One number is the
//! whole state of a key: the time at which its credit will be whole again.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use wire::head::Request;

/// `limits` of a route or a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How much.
    pub rate: Rate,
    /// Who shares one credit.
    pub by: By,
    /// Whether it refuses, or only counts.
    pub mode: Mode,
}

/// Whether a limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It refuses.
    Enforce,
    /// It only counts what it would have refused.
    DryRun,
}

/// Who shares one credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A client address, or its network of so many bits.
    Client {
        /// Bits of an IPv4 address.
        v4: u8,
        /// Bits of an IPv6 address.
        v6: u8,
    },
    /// The value of a field, by its name in lower case; the client address where there is none.
    Header(String),
    /// Everybody.
    All,
}

/// So many requests in a time, evenly, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests in each `window`; at least 1.
    pub requests: u32,
    /// Longer than 0.
    pub window: Duration,
    /// Requests that may come at once after a pause; at least 1.
    pub burst: u32,
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes; the key's credit will be whole at this time.
    Pass {
        /// The new state of the key, in nanoseconds of the caller's clock.
        whole_at: u64,
    },
    /// It is one too many; the state of the key stays.
    Refuse {
        /// When another would pass.
        wait: Duration,
    },
}

impl Rate {
    /// Judges a request at `now` of a key whose credit is whole at `whole_at`, both in nanoseconds of one clock. A key that
    /// has never come has been whole since 0.
    #[must_use]
    pub fn judge(&self, whole_at: u64, now: u64) -> Verdict {
        let interval = self.interval_ns();
        let from = whole_at.max(now);
        let tolerance = interval.saturating_mul(u64::from(self.burst.saturating_sub(1)));
        match (from - now).checked_sub(tolerance) {
            None | Some(0) => Verdict::Pass { whole_at: from.saturating_add(interval) },
            Some(early) => Verdict::Refuse { wait: Duration::from_nanos(early) },
        }
    }

    /// Nanoseconds for which one request uses the credit up.
    fn interval_ns(&self) -> u64 {
        let interval = self.window.as_nanos() / u128::from(self.requests.max(1));
        u64::try_from(interval).unwrap_or(u64::MAX).max(1)
    }
}

/// What tells requests apart.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The trusted client address.
    pub client: IpAddr,
    /// The request.
    pub head: &'a Request,
    /// Its buffer.
    pub buf: &'a [u8],
}

impl By {
    /// Feeds what tells the key of a request from others into a hasher.
    pub fn hash_key(&self, asker: &Asker<'_>, hasher: &mut impl Hasher) {
        match self {
            Self::Client { v4, v6 } => hash_network(asker.client, (*v4, *v6), hasher),
            Self::Header(name) => {
                let is_named = |field: &[u8]| field.eq_ignore_ascii_case(name.as_bytes());
                let values = asker.head.fields.iter().filter(|field| is_named(field.name.of(asker.buf)));
                let mut count = 0_usize;
                for field in values {
                    field.value.of(asker.buf).hash(hasher);
                    count += 1;
                }
                if count == 0 {
                    hash_network(asker.client, (CLIENT_V4, CLIENT_V6), hasher);
                }
                count.hash(hasher);
            }
            Self::All => {}
        }
    }
}

/// Bits of an IPv4 address that are one client.
pub const CLIENT_V4: u8 = 32;
/// Bits of an IPv6 address that are one client: what one subscriber gets at least (RFC 6177).
pub const CLIENT_V6: u8 = 64;

fn hash_network(client: IpAddr, (v4, v6): (u8, u8), hasher: &mut impl Hasher) {
    network(client, v4, v6).hash(hasher);
}

/// The first bits of an address, the others 0; IPv4-mapped addresses are IPv4.
#[must_use]
pub fn network(client: IpAddr, v4: u8, v6: u8) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(v4.min(32))).unwrap_or(0);
            std::net::Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6.min(128))).unwrap_or(0);
            std::net::Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use proptest::prelude::*;
    use wire::head::{Field, Name, Span};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(requests: u32, burst: u32) -> Rate {
        Rate { requests, window: Duration::from_secs(1), burst }
    }

    /// How many of so many requests pass that come at these times.
    fn passed(rate: Rate, times: impl Iterator<Item = u64>) -> usize {
        let mut state = 0;
        times
            .filter(|now| match rate.judge(state, *now) {
                Verdict::Pass { whole_at } => {
                    state = whole_at;
                    true
                }
                Verdict::Refuse { .. } => false,
            })
            .count()
    }

    #[test]
    fn a_burst_passes_at_once_and_no_more() {
        assert_eq!(passed(rate(10, 5), std::iter::repeat_n(SECOND, 100)), 5);
        assert_eq!(passed(rate(10, 1), std::iter::repeat_n(0, 100)), 1);
    }

    #[test]
    fn over_a_long_time_the_rate_is_exact() {
        // 1,000 requests a second for 20 seconds against 100 a second.
        let passed = passed(rate(100, 20), (0..20_000).map(|ms| ms * SECOND / 1000));
        assert!(passed.abs_diff(2000 + 19) <= 1, "{passed}");
    }

    #[test]
    fn who_keeps_to_the_rate_is_never_refused() {
        assert_eq!(passed(rate(10, 1), (0..500).map(|n| n * SECOND / 10)), 500);
    }

    #[test]
    fn a_refusal_says_exactly_when_to_come_back() {
        let rate = rate(10, 2);
        let Verdict::Pass { whole_at } = rate.judge(0, 0) else { panic!("the first passes") };
        let Verdict::Pass { whole_at } = rate.judge(whole_at, 0) else { panic!("the second passes") };
        assert_eq!(rate.judge(whole_at, 0), Verdict::Refuse { wait: Duration::from_millis(100) });
        assert_eq!(rate.judge(whole_at, SECOND / 10 - 1), Verdict::Refuse { wait: Duration::from_nanos(1) });
        assert!(matches!(rate.judge(whole_at, SECOND / 10), Verdict::Pass { .. }));
    }

    #[test]
    fn great_numbers_do_not_overflow() {
        let rate = Rate { requests: 1, window: Duration::from_secs(86_400 * 365), burst: u32::MAX };
        assert!(matches!(rate.judge(u64::MAX, 0), Verdict::Refuse { .. } | Verdict::Pass { .. }));
        assert!(matches!(rate.judge(0, u64::MAX), Verdict::Pass { whole_at: u64::MAX }));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_span_of_time_sees_more_than_its_share_and_the_burst(
            requests in 1..50_u32, burst in 1..20_u32, gaps in proptest::collection::vec(0..SECOND / 20, 1..200),
        ) {
            let rate = rate(requests, burst);
            let (mut now, mut state, mut passed) = (SECOND, 0, Vec::new());
            for gap in gaps {
                now += gap;
                if let Verdict::Pass { whole_at } = rate.judge(state, now) {
                    state = whole_at;
                    passed.push(now);
                }
            }
            for from in 0..passed.len() {
                for to in from..passed.len() {
                    let share = (passed[to] - passed[from]) / rate.interval_ns() + u64::from(burst);
                    prop_assert!(((to - from) as u64) < share, "{from}..={to} of {passed:?}");
                }
            }
        }
    }

    fn key(by: &By, client: &str, value: Option<&str>) -> u64 {
        let text = format!("X-Key{}", value.unwrap_or_default());
        let mut head = Request::default();
        if value.is_some() {
            let end = u32::try_from(text.len()).unwrap();
            let (name, value) = (Span { start: 0, end: 5 }, Span { start: 5, end });
            head.fields.push(Field { name, value, known: Name::Other, ..Field::default() });
        }
        let mut hasher = DefaultHasher::new();
        by.hash_key(&Asker { client: client.parse().unwrap(), head: &head, buf: text.as_bytes() }, &mut hasher);
        hasher.finish()
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_64() {
        let by = By::Client { v4: CLIENT_V4, v6: CLIENT_V6 };
        let of = |client| key(&by, client, None);
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }

    #[test]
    fn networks_share_a_key() {
        let by = By::Client { v4: 24, v6: 48 };
        let of = |client| key(&by, client, None);
        assert_eq!(of("192.0.2.1"), of("192.0.2.200"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        let all = By::Client { v4: 0, v6: 0 };
        assert_eq!(key(&all, "192.0.2.1", None), key(&all, "198.51.100.1", None));
    }

    #[test]
    fn a_header_is_the_key_and_without_it_the_client_is() {
        let by = By::Header("x-key".to_owned());
        assert_eq!(key(&by, "192.0.2.1", Some("a")), key(&by, "192.0.2.2", Some("a")));
        assert_ne!(key(&by, "192.0.2.1", Some("a")), key(&by, "192.0.2.1", Some("b")));
        assert_ne!(key(&by, "192.0.2.1", None), key(&by, "192.0.2.2", None));
        assert_eq!(key(&By::All, "192.0.2.1", None), key(&By::All, "192.0.2.2", Some("x")));
    }
}
