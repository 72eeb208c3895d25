//! Rewrites: the path that the backend sees.
//!
//! Owns the new path and the promise that it is as good as one that a client may send: normal by [`wire::path`], so
//! without query, dot segments, spaces or control characters. A regex could put together what no rule meant to let
//! through.

use std::fmt::Display;

use wire::path::{Normal, normalise};

use crate::plan::Rewrite;

/// The rewritten text is not a normalised path; the fault is the rule's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPath;

impl Display for NotAPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the rewritten path is not a path; see the route's `rewrite`")
    }
}

impl std::error::Error for NotAPath {}

/// Appends the new path to `out`. `path` is the normalised path, `rest_at` comes with `Matched`. The path `*`
/// (OPTIONS *) stays, and so does a path that a regex rewrite does not match.
///
/// # Errors
/// The result is not a path; `out` is then as before.
pub fn apply(rewrite: &Rewrite, path: &[u8], rest_at: usize, out: &mut Vec<u8>) -> Result<(), NotAPath> {
    let start = out.len();
    if path == b"*" || !write(rewrite, path, rest_at, out) {
        out.extend_from_slice(path);
        return Ok(());
    }
    one_slash_in_front(out, start);
    if is_normal(&out[start..]) {
        return Ok(());
    }
    out.truncate(start);
    Err(NotAPath)
}

/// Whether the rule applies; then the new path is written.
fn write(rewrite: &Rewrite, path: &[u8], rest_at: usize, out: &mut Vec<u8>) -> bool {
    match rewrite {
        Rewrite::To(text) => out.extend_from_slice(text.as_bytes()),
        Rewrite::Prefix(prefix) => join(prefix.as_bytes(), path.get(rest_at..).unwrap_or_default(), out),
        Rewrite::Regex(pattern, to) => {
            let Some(found) = pattern.regex.captures(path) else { return false };
            found.expand(to.as_bytes(), out);
        }
    }
    true
}

/// Puts the rest (empty, or with its leading slash) behind the prefix; a slash that both have is there once. Empty
/// segments that the client wrote stay: they may mean something to the backend.
fn join(prefix: &[u8], rest: &[u8], out: &mut Vec<u8>) {
    let prefix = if rest.is_empty() { prefix } else { prefix.strip_suffix(b"/").unwrap_or(prefix) };
    out.extend_from_slice(prefix);
    out.extend_from_slice(rest);
}

/// An empty path is the root; a path with two slashes in front looks like a host to whoever resolves it.
fn one_slash_in_front(out: &mut Vec<u8>, start: usize) {
    let slashes = out[start..].iter().take_while(|&&byte| byte == b'/').count();
    if out.len() == start || slashes > 1 {
        out.splice(start..start + slashes, [b'/']);
    }
}

fn is_normal(path: &[u8]) -> bool {
    normalise(path, &mut Vec::new()) == Ok(Normal::AsIs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::Regex;

    use super::*;
    use crate::plan::Pattern;

    fn applied(rewrite: &Rewrite, path: &str, rest_at: usize) -> Result<String, NotAPath> {
        let mut out = b"before ".to_vec();
        let result = apply(rewrite, path.as_bytes(), rest_at, &mut out);
        let text = String::from_utf8(out).unwrap();
        let new = text.strip_prefix("before ").expect("what was there stays").to_owned();
        assert!(result.is_ok() || new.is_empty(), "an error leaves nothing behind");
        result.map(|()| new)
    }

    fn prefixed(new: &str, path: &str, rest_at: usize) -> String {
        applied(&Rewrite::Prefix(new.into()), path, rest_at).unwrap()
    }

    fn by_regex(source: &str, to: &str, path: &str) -> Result<String, NotAPath> {
        let regex = Regex::new(&format!("^(?:{source})$")).unwrap();
        applied(&Rewrite::Regex(Pattern { source: source.into(), regex }, to.into()), path, path.len())
    }

    #[test]
    fn a_text_replaces_the_whole_path() {
        assert_eq!(applied(&Rewrite::To("/index.html".into()), "/a/b", 2).unwrap(), "/index.html");
        assert_eq!(applied(&Rewrite::To(String::new()), "/a/b", 2).unwrap(), "/");
    }

    #[test]
    fn a_prefix_replaces_the_prefix_that_matched() {
        let api = "/api".len();
        assert_eq!(prefixed("/v2", "/api/x/y", api), "/v2/x/y");
        assert_eq!(prefixed("/v2", "/api/", api), "/v2/");
        assert_eq!(prefixed("/v2", "/api", api), "/v2");
        assert_eq!(prefixed("", "/api/x", api), "/x");
        assert_eq!(prefixed("/v2", "/x", 0), "/v2/x");
    }

    #[test]
    fn joining_never_yields_two_slashes_or_an_empty_path() {
        let api = "/api".len();
        assert_eq!(prefixed("/v2/", "/api/x", api), "/v2/x");
        assert_eq!(prefixed("/v2/", "/api", api), "/v2/");
        assert_eq!(prefixed("", "/api", api), "/");
        assert_eq!(prefixed("/", "/api/x", api), "/x");
        assert_eq!(prefixed("/", "/api", api), "/");
    }

    #[test]
    fn empty_segments_of_the_client_stay_but_not_in_front() {
        assert_eq!(prefixed("/v2", "/api//x", 4), "/v2//x");
        assert_eq!(prefixed("", "/api//evil.example", 4), "/evil.example");
        assert_eq!(prefixed("", "//evil.example", 0), "/evil.example");
    }

    #[test]
    fn a_regex_fills_in_its_groups() {
        assert_eq!(by_regex("/user/([0-9]+)/(.*)", "/u/$1/$2", "/user/7/a/b").unwrap(), "/u/7/a/b");
        assert_eq!(by_regex("/old(?P<rest>.*)", "/new$rest", "/old").unwrap(), "/new");
        assert_eq!(by_regex("/old(.*)", "$1", "/old").unwrap(), "/");
        assert_eq!(by_regex("/old(.*)", "/$1", "/old/x").unwrap(), "/x");
    }

    #[test]
    fn a_regex_that_does_not_match_leaves_the_path() {
        assert_eq!(by_regex("/x", "/y", "/z//a").unwrap(), "/z//a");
        assert_eq!(by_regex("/x", "/y", "/x/y").unwrap(), "/x/y");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for to in ["/a b", "/a\r\nx: y", "/\0", "/a?b", "/a#b", "/../$1", "/%2E./$1", "/%zz", "/%00", "/\\x", "x"] {
            assert_eq!(by_regex("/old(.*)", to, "/oldie"), Err(NotAPath), "{to:?}");
            assert_eq!(applied(&Rewrite::To(to.into()), "/oldie", 0), Err(NotAPath), "{to:?}");
        }
        assert_eq!(by_regex("/(.)x(.)/(.*)", "/$1$2/$3", "/.x./secret"), Err(NotAPath));
        assert_eq!(by_regex("/old(.*)", "$1", "/oldie"), Err(NotAPath));
    }

    #[test]
    fn options_asterisk_stays() {
        for rewrite in [Rewrite::To("/x".into()), Rewrite::Prefix("/v2".into())] {
            assert_eq!(applied(&rewrite, "*", 1).unwrap(), "*");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_result_is_always_a_path(to in "[/a.%2e$1 \\r\\n?]{0,8}", path in "(/[a.x%2e]{0,4}){1,3}", at in 0..9_usize) {
            let pattern = Pattern { source: String::new(), regex: Regex::new("^(?:/(.*)a(.*))$").unwrap() };
            let rules = [Rewrite::To(to.clone()), Rewrite::Prefix(to.clone()), Rewrite::Regex(pattern, to)];
            for rule in rules {
                let mut out = Vec::new();
                let outcome = apply(&rule, path.as_bytes(), at, &mut out);
                prop_assert!(outcome.is_ok() != out.is_empty());
                let unchanged = out == path.as_bytes();
                prop_assert!(out.is_empty() || unchanged || is_normal(&out) && !out.starts_with(b"//"));
            }
        }
    }
}
