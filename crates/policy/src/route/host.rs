//! The host that a request is for, as routes compare it.

/// Bytes of the longest host that can match (a DNS name has at most 253).
pub(super) const LONGEST: usize = 255;

/// The host of an authority: without port and trailing dot, an IPv6 literal in its brackets. Letters stay as they are.
#[must_use]
pub fn without_port(authority: &[u8]) -> &[u8] {
    if authority.first() == Some(&b'[') {
        let end = authority.iter().position(|&b| b == b']').map_or(authority.len(), |at| at + 1);
        return &authority[..end];
    }
    let end = authority.iter().position(|&b| b == b':').unwrap_or(authority.len());
    let host = &authority[..end];
    host.strip_suffix(b".").unwrap_or(host)
}

/// The host in lower case, written into `room`; none if it is too long to match any configured host.
pub(super) fn normal<'a>(authority: &[u8], room: &'a mut [u8; LONGEST]) -> Option<&'a [u8]> {
    let host = without_port(authority);
    let lower = room.get_mut(..host.len())?;
    lower.copy_from_slice(host);
    lower.make_ascii_lowercase();
    Some(lower)
}

/// What follows each dot of `host`, longest first: the wildcards that could hold. None is longer than `longest`, so
/// that a host of a hundred labels costs no more than the configured ones.
pub(super) fn suffixes(host: &[u8], longest: usize) -> impl Iterator<Item = &[u8]> {
    let first = host.len().saturating_sub(longest + 1).max(1);
    (first..host.len()).filter(|&at| host[at] == b'.').map(|at| &host[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_and_one_trailing_dot_are_ignored() {
        for authority in ["shop.example", "shop.example:8080", "shop.example.", "shop.example.:80", "shop.example:"] {
            assert_eq!(without_port(authority.as_bytes()), b"shop.example", "{authority}");
        }
    }

    #[test]
    fn an_ipv6_literal_keeps_its_brackets() {
        assert_eq!(without_port(b"[2001:db8::1]:443"), b"[2001:db8::1]");
        assert_eq!(without_port(b"[2001:db8::1]"), b"[2001:db8::1]");
        assert_eq!(without_port(b"[broken"), b"[broken");
    }

    #[test]
    fn normal_is_lower_case_and_bounded() {
        let mut room = [0; LONGEST];
        assert_eq!(normal(b"Shop.EXAMPLE:80", &mut room), Some(&b"shop.example"[..]));
        assert!(normal(&[b'a'; LONGEST], &mut room).is_some());
        assert_eq!(normal(&[b'a'; LONGEST + 1], &mut room), None);
    }

    #[test]
    fn suffixes_are_longest_first_and_never_the_host_itself() {
        let all: Vec<_> = suffixes(b"a.b.c", 5).collect();
        assert_eq!(all, [&b"b.c"[..], b"c"]);
        assert_eq!(suffixes(b"a.b.c", 1).collect::<Vec<_>>(), [&b"c"[..]]);
        assert_eq!(suffixes(b".b.c", 5).collect::<Vec<_>>(), [&b"c"[..]]);
        assert_eq!(suffixes(b"", 5).count(), 0);
    }
}
