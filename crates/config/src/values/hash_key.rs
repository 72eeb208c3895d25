//! What of a request is hashed: `header:x-user`, `cookie:session`, `query:user`, `path`, `client`.

use policy::hashing::HashKey;

use super::name;
use crate::diagnostic::Problem;

/// Reads what is hashed.
pub(crate) fn parse(text: &str) -> Result<HashKey, Problem> {
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
    match (kind, name) {
        ("client", None) => Ok(HashKey::Client),
        ("path", None) => Ok(HashKey::Path),
        ("header", Some(name)) if !name.is_empty() => header(name),
        ("cookie", Some(name)) if !name.is_empty() => name::cookie(name).map(HashKey::Cookie),
        ("query", Some(name)) if !name.is_empty() => Ok(HashKey::Query(name.to_owned())),
        ("header" | "cookie" | "query", _) => {
            Err(Problem::value(format!("`{text}` does not say which")).remedy(format!("write `\"{kind}:NAME\"`")))
        }
        ("client" | "path", Some(_)) => {
            Err(Problem::value(format!("`{text}`: there is only one")).remedy(format!("write `\"{kind}\"`")))
        }
        _ => Err(Problem::value(format!("`{text}` is nothing that can be hashed"))
            .remedy("write `client`, `path`, `header:NAME`, `cookie:NAME` or `query:NAME`")),
    }
}

fn header(text: &str) -> Result<HashKey, Problem> {
    let name = name::field(text)?;
    match name.as_str() {
        // Its value may stand in the request target instead, or in HTTP/2's `:authority`.
        "host" => Err(Problem::value("`host` is not hashed").remedy("write `path`, or a header that says the same")),
        "cookie" => Err(Problem::value("`cookie` holds all cookies at once").remedy("write `\"cookie:NAME\"`")),
        _ => Ok(HashKey::Header(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read() {
        assert_eq!(parse("client"), Ok(HashKey::Client));
        assert_eq!(parse("path"), Ok(HashKey::Path));
        assert_eq!(parse("header:X-User"), Ok(HashKey::Header("x-user".to_owned())));
        assert_eq!(parse("cookie:SID"), Ok(HashKey::Cookie("SID".to_owned())));
        assert_eq!(parse("query:a:b c"), Ok(HashKey::Query("a:b c".to_owned())));
    }

    #[test]
    fn all_else_is_refused_with_a_remedy() {
        let remedy = |text| parse(text).unwrap_err().remedy.unwrap_or_default();
        assert_eq!(remedy("header"), "write `\"header:NAME\"`");
        assert_eq!(remedy("cookie:"), "write `\"cookie:NAME\"`");
        assert_eq!(remedy("path:/a"), "write `\"path\"`");
        assert!(remedy("x-user").contains("`header:NAME`"));
        for text in [
            "header:a b",
            "header:Host",
            "header:cookie",
            "header::path",
            "cookie:a;b",
            "cookie:a=b",
            "",
            ":",
            "Header:x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
