//! Templates: text with places such as `{path}`.

use policy::plan::{Piece, Template};

use crate::diagnostic::Problem;
use crate::nearest::nearest;

const PLACES: &[(&str, Piece)] = &[
    ("host", Piece::Host),
    ("path", Piece::Path),
    ("rest", Piece::Rest),
    ("query", Piece::Query),
    ("scheme", Piece::Scheme),
    ("client", Piece::Client),
    ("request_id", Piece::RequestId),
];

/// Reads a template. `{{` and `}}` stand for braces.
pub(crate) fn parse(text: &str) -> Result<Template, Problem> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            plain.push_str(brace);
            rest = after;
            continue;
        }
        let (piece, after) = place(brace, rest)?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(piece);
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(Template(pieces))
}

/// The place that starts with a brace, and what follows it.
fn place<'a>(brace: &str, rest: &'a str) -> Result<(Piece, &'a str), Problem> {
    let Some((name, after)) = rest.split_once('}').filter(|_| brace == "{") else {
        return Err(
            Problem::value(format!("a lone `{brace}`")).remedy(format!("write `{brace}{brace}` for the brace itself"))
        );
    };
    if let Some((_, piece)) = PLACES.iter().find(|(known, _)| *known == name) {
        return Ok((piece.clone(), after));
    }
    let names = PLACES.iter().map(|(name, _)| *name);
    let remedy = match nearest(name.trim_start_matches(['?', '$']), names.clone()) {
        Some(near) => format!("did you mean `{{{near}}}`?"),
        None => {
            let all: Vec<String> = names.map(|name| format!("`{{{name}}}`")).collect();
            format!("choose from {}; `{{{{` stands for a brace", all.join(", "))
        }
    };
    Err(Problem::value(format!("`{{{name}}}` is not known")).remedy(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces() {
        let Template(pieces) = parse("https://{host}/{{x}}{query}").unwrap();
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(pieces, [text("https://"), Piece::Host, text("/{x}"), Piece::Query]);
    }

    #[test]
    fn unknown_places_are_told() {
        let remedy = |text| parse(text).unwrap_err().remedy.unwrap();
        assert_eq!(remedy("{?query}"), "did you mean `{query}`?");
        assert_eq!(remedy("{hots}"), "did you mean `{host}`?");
        assert_eq!(remedy("a}b"), "write `}}` for the brace itself");
        assert_eq!(remedy("a{b"), "write `{{` for the brace itself");
        assert!(remedy("{}").starts_with("choose from"));
    }
}
