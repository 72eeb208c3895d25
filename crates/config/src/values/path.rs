//! Paths: of routes, of rewrites, of health checks.

use policy::plan::PathMatch;
use wire::path::{Normal, normalise};

use crate::diagnostic::Problem;

/// Reads the path of a route: `/about`, `/api/*`, `/*`.
pub(crate) fn condition(text: &str) -> Result<PathMatch, Problem> {
    let Some(prefix) = text.strip_suffix("/*") else {
        return normal(text).map(|()| PathMatch::Exact(text.to_owned()));
    };
    if !prefix.is_empty() {
        normal(prefix)?;
    }
    Ok(PathMatch::Prefix(prefix.to_owned()))
}

/// Reads `package.Service` or `package.Service/Method`.
pub(crate) fn method_of_grpc(text: &str) -> Result<PathMatch, Problem> {
    let is_name = |name: &str| {
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        name.split('.').all(is_word)
    };
    match text.split_once('/') {
        None if is_name(text) => Ok(PathMatch::Prefix(format!("/{text}"))),
        Some((service, method)) if is_name(service) && is_name(method) && !method.contains('.') => {
            Ok(PathMatch::Exact(format!("/{text}")))
        }
        _ => Err(Problem::value(format!("`{text}` is no gRPC service or method"))
            .remedy("write `\"package.Service\"` or `\"package.Service/Method\"`")),
    }
}

/// Checks a path that stands for itself: absolute, without star and query, and already as the matcher sees paths.
pub(crate) fn normal(text: &str) -> Result<(), Problem> {
    if text.contains('*') {
        return Err(star(text));
    }
    if let Some((path, _)) = text.split_once(['?', '#']) {
        return Err(Problem::value(format!("`{text}` has more than a path"))
            .remedy(format!("write `\"{path}\"`; a route's `query` matches parameters")));
    }
    if !text.starts_with('/') {
        let path = text.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let remedy = path.map_or_else(|| format!("write `\"/{text}\"`"), |path| format!("write `\"{path}\"`"));
        return Err(Problem::value(format!("`{text}` does not start with `/`")).remedy(remedy));
    }
    let mut clean = Vec::new();
    match normalise(text.as_bytes(), &mut clean) {
        Ok(Normal::AsIs) => Ok(()),
        Ok(Normal::Changed) => {
            Err(Problem::value(format!("`{text}` can never be matched: dot segments are resolved first"))
                .remedy(format!("write `\"{}\"`", String::from_utf8_lossy(&clean))))
        }
        Err(why) => {
            let problem = Problem::value(format!("`{text}` is not a path: {why}"));
            Err(problem.remedy_if(escaped(text).map(|path| format!("write `\"{path}\"`")).unwrap_or_default()))
        }
    }
}

fn star(text: &str) -> Problem {
    let problem = Problem::value(format!("`{text}`: `*` may only stand at the end, after a slash"));
    match text.strip_suffix('*') {
        Some(start) if !start.contains('*') => problem.remedy(format!("write `\"{start}/*\"` for all below `{start}`")),
        _ => problem.remedy(format!("write a regular expression: `{{ regex = \"{}\" }}`", text.replace('*', "[^/]*"))),
    }
}

/// The path with spaces and letters beyond ASCII escaped, when that alone makes it a path.
fn escaped(text: &str) -> Option<String> {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => {
                path.push_str(&format!("%{byte:02X}"))
            }
            byte => path.push(char::from(byte)),
        }
    }
    let clean = normalise(path.as_bytes(), &mut Vec::new()) == Ok(Normal::AsIs);
    (clean && path != text).then_some(path)
}

/// Reads the target of a health check: a path, perhaps with a query.
pub(crate) fn target(text: &str) -> Result<String, Problem> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    normal(path)?;
    match query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        true => Ok(text.to_owned()),
        false => Err(Problem::value(format!("`{query}` is not a query"))),
    }
}

/// What a rewrite to a path does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// Of the whole path.
    Whole(String),
    /// Of the prefix.
    Prefix(String),
}

/// Reads the text form of `rewrite`.
pub(crate) fn replacement(text: &str) -> Result<Replacement, Problem> {
    Ok(match condition(text)? {
        PathMatch::Prefix(prefix) => Replacement::Prefix(prefix),
        _ => Replacement::Whole(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        assert!(matches!(condition("/about"), Ok(PathMatch::Exact(path)) if path == "/about"));
        assert!(matches!(condition("/"), Ok(PathMatch::Exact(path)) if path == "/"));
        assert!(matches!(condition("/api/*"), Ok(PathMatch::Prefix(path)) if path == "/api"));
        assert!(matches!(condition("/*"), Ok(PathMatch::Prefix(path)) if path.is_empty()));
    }

    #[test]
    fn services_and_methods_of_grpc_are_paths() {
        assert!(matches!(method_of_grpc("a.B"), Ok(PathMatch::Prefix(path)) if path == "/a.B"));
        assert!(matches!(method_of_grpc("Plain"), Ok(PathMatch::Prefix(path)) if path == "/Plain"));
        assert!(matches!(method_of_grpc("a.v1.B_2/Do_it"), Ok(PathMatch::Exact(path)) if path == "/a.v1.B_2/Do_it"));
        for text in ["", "/a.B", "a.B/", "a.B/*", "a..B", ".B", "a.B/C/D", "a.B/C.D", "a B", "a.B?x"] {
            assert!(method_of_grpc(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bad_conditions_say_what_to_write() {
        let remedy = |text| condition(text).unwrap_err().remedy.unwrap();
        assert_eq!(remedy("/api*"), "write `\"/api/*\"` for all below `/api`");
        assert_eq!(remedy("/a/*/b"), "write a regular expression: `{ regex = \"/a/[^/]*/b\" }`");
        assert_eq!(remedy("api"), "write `\"/api\"`");
        assert_eq!(remedy("/a/../b"), "write `\"/b\"`");
        assert_eq!(remedy("/a/%2e%2E/b/*"), "write `\"/b\"`");
        assert_eq!(remedy("/a?b=1"), "write `\"/a\"`; a route's `query` matches parameters");
        assert_eq!(remedy("/a b"), "write `\"/a%20b\"`");
        assert_eq!(remedy("https://x.example/a"), "write `\"/a\"`");
        for text in ["", "*", "/%00", "/%zz", "/\\", "/a/*/*"] {
            assert!(condition(text).is_err(), "{text}");
        }
    }

    #[test]
    fn health_targets_may_have_a_query() {
        assert_eq!(target("/healthz?full=1").as_deref(), Ok("/healthz?full=1"));
        for text in ["healthz", "/a?b c", "/a?b#c", "/a*"] {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn replacements() {
        assert_eq!(replacement("/v2/*"), Ok(Replacement::Prefix("/v2".to_owned())));
        assert_eq!(replacement("/index.html"), Ok(Replacement::Whole("/index.html".to_owned())));
    }
}
