//! Regular expressions.

use policy::plan::Pattern;
use regex::bytes::Regex;

use crate::diagnostic::Problem;

/// Compiles an expression that must match the whole value.
pub(crate) fn parse(text: &str) -> Result<Pattern, Problem> {
    // Alone first: within the anchors, stray brackets could close them.
    Regex::new(text).map_err(|error| refused(&error))?;
    let regex = Regex::new(&format!("^(?:{text})$")).map_err(|error| refused(&error))?;
    Ok(Pattern { source: text.to_owned(), regex })
}

/// Compiles an expression that may match anywhere.
pub(crate) fn anywhere(text: &str) -> Result<Pattern, Problem> {
    let regex = Regex::new(text).map_err(|error| refused(&error))?;
    Ok(Pattern { source: text.to_owned(), regex })
}

fn refused(error: &regex::Error) -> Problem {
    match error {
        regex::Error::CompiledTooBig(_) => Problem::value("the regular expression is too big"),
        error => {
            // The last line of the library's report says what is wrong; the others draw an excerpt of their own.
            let report = error.to_string();
            let reason = report.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Problem::value(format!("this is not a regular expression: {reason}"))
        }
    }
}

/// Checks that each `$1` or `$name` of a replacement is a group of the expression.
pub(crate) fn check_replacement(text: &str, pattern: &Pattern) -> Result<(), Problem> {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let (name, in_braces) = reference(rest);
        if name.is_empty() {
            return Err(Problem::value("a lone `$` in a replacement").remedy("write `$$` for the sign itself"));
        }
        let known = match name.parse::<usize>() {
            Ok(index) => index < pattern.regex.captures_len(),
            Err(_) => pattern.regex.capture_names().flatten().any(|known| known == name),
        };
        if !known {
            let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
            let remedy = match digits.is_empty() || digits == name || in_braces {
                true => "groups are counted from `$1`; named ones are written `(?<name>…)`".to_owned(),
                false => format!("write `$${{{digits}}}` to end the number there"),
            };
            return Err(Problem::value(format!("the expression has no group `{name}`")).remedy(remedy));
        }
    }
    Ok(())
}

/// The name after a `$`, and whether it stands in braces.
fn reference(text: &str) -> (&str, bool) {
    if let Some(inner) = text.strip_prefix('{') {
        return (inner.split('}').next().unwrap_or(""), true);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (&text[..end], false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_value_must_match() {
        let pattern = parse("a|b").unwrap();
        assert!(pattern.regex.is_match(b"a"));
        assert!(!pattern.regex.is_match(b"ab"));
        assert_eq!(pattern.source, "a|b");
    }

    #[test]
    fn stray_brackets_do_not_escape_the_anchors() {
        assert!(parse("a)(b").is_err());
        assert!(parse("(").is_err());
        assert!(parse("(a{1000}){1000}{1000}").is_err());
    }

    #[test]
    fn replacements_name_groups_that_are_there() {
        let pattern = parse("/user/([0-9]+)/(?<what>.*)").unwrap();
        for text in ["/u/$1", "/$what/$1", "/${1}x", "/$$"] {
            assert_eq!(check_replacement(text, &pattern), Ok(()), "{text}");
        }
        for text in ["/$3", "/$1x", "/$", "/$name", "/${", "/${}"] {
            assert!(check_replacement(text, &pattern).is_err(), "{text}");
        }
        let remedy = check_replacement("/$1x", &pattern).unwrap_err().remedy.unwrap();
        assert_eq!(remedy, "write `$${1}` to end the number there");
    }
}
