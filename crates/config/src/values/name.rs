//! Names: of pools and listeners, of backends, of header fields and methods.

use policy::plan::MethodName;
use wire::head::Method;

use crate::diagnostic::Problem;

/// Bytes of a name.
const NAME_MAX: usize = 100;

/// Methods with a meaning of their own.
const METHODS: &[(&str, Method)] = &[
    ("GET", Method::Get),
    ("HEAD", Method::Head),
    ("POST", Method::Post),
    ("PUT", Method::Put),
    ("DELETE", Method::Delete),
    ("OPTIONS", Method::Options),
    ("TRACE", Method::Trace),
    ("CONNECT", Method::Connect),
    ("PATCH", Method::Patch),
];

/// Fields that frame a message or belong to one connection: whoever changed them would break the protocol.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Checks a name that people choose: it stands in selectors (`POOL/NAME`), in metrics and in logs.
pub(crate) fn chosen(text: &str) -> Result<(), Problem> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(fits) {
        return Err(Problem::value(format!("`{text}` is not a name"))
            .remedy(format!("use letters, digits, `-`, `_`, `.` and `:`, {NAME_MAX} at most")));
    }
    Ok(())
}

/// Reads a request method.
pub(crate) fn method(text: &str) -> Result<MethodName, Problem> {
    if !is_token(text) {
        return Err(Problem::value(format!("`{text}` is not a method")).remedy("write for instance `\"GET\"`"));
    }
    let upper = text.to_ascii_uppercase();
    if upper != text {
        return Err(Problem::value(format!("`{text}`: methods are matched letter by letter"))
            .remedy(format!("write `\"{upper}\"`")));
    }
    let method = METHODS.iter().find(|(name, _)| *name == text).map_or(Method::Other, |(_, method)| *method);
    Ok(MethodName { method, name: upper })
}

/// Reads the name of a field, in lower case.
pub(crate) fn field(text: &str) -> Result<String, Problem> {
    if text.starts_with(':') {
        return Err(Problem::value(format!("`{text}` is not a header")).remedy("use `host`, `path` and `methods`"));
    }
    match is_token(text) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Problem::value(format!("`{text}` is not the name of a header"))),
    }
}

/// Reads the name of a cookie: more than the tokens of RFC 6265, section 4.1.1, since browsers send more, but nothing
/// that ends a name.
pub(crate) fn cookie(text: &str) -> Result<String, Problem> {
    let ends = |letter: char| letter.is_whitespace() || letter.is_control() || matches!(letter, ';' | '=' | ',');
    match text.is_empty() || text.contains(ends) {
        false => Ok(text.to_owned()),
        true => Err(Problem::value(format!("`{text}` is not the name of a cookie"))),
    }
}

/// Reads the name of a field that is to be changed.
pub(crate) fn changeable_field(text: &str) -> Result<String, Problem> {
    let name = field(text)?;
    if name == "host" {
        return Err(Problem::value("`host` cannot be changed here").remedy("`host = \"…\"` on the pool changes it"));
    }
    if FRAMING.contains(&name.as_str()) {
        return Err(Problem::value(format!("`{name}` belongs to the connection and cannot be changed"))
            .remedy("leave it out: it is set as each side needs it"));
    }
    Ok(name)
}

/// Checks text that becomes a field value.
pub(crate) fn field_value(text: &str) -> Result<(), Problem> {
    if text.chars().any(|letter| letter.is_control() && letter != '\t') {
        return Err(Problem::value("a header value cannot hold control characters or line ends"));
    }
    if text.trim_matches([' ', '\t']) != text {
        return Err(Problem::value("a header value cannot start or end with a space"));
    }
    Ok(())
}

/// Whether it is a token (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_upper_case_tokens() {
        assert_eq!(method("GET").unwrap().method, Method::Get);
        assert_eq!(method("PURGE").unwrap(), MethodName { method: Method::Other, name: "PURGE".to_owned() });
        assert_eq!(method("get").unwrap_err().remedy.unwrap(), "write `\"GET\"`");
        assert!(method("").is_err());
        assert!(method("GE T").is_err());
    }

    #[test]
    fn framing_fields_are_left_alone() {
        for name in ["Content-Length", "transfer-encoding", "Connection", "Upgrade", "TE", "Host", ":path", "a b", ""] {
            assert!(changeable_field(name).is_err(), "{name}");
        }
        assert_eq!(changeable_field("X-Team").as_deref(), Ok("x-team"));
    }

    #[test]
    fn field_values_stay_on_one_line() {
        assert!(field_value("a\tb ß").is_ok());
        for text in ["a\r\nb", "\u{0}", " a", "a "] {
            assert!(field_value(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn chosen_names_fit_a_selector() {
        assert!(chosen("blue-1.a_b:80").is_ok());
        for text in ["", "a/b", "a b", "*", "ß"] {
            assert!(chosen(text).is_err(), "{text}");
        }
    }
}
