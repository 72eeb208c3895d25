//! Diagnostics as text with an excerpt of the file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Place, Severity};

/// Whether the text is for a terminal with colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// No escape sequences.
    Plain,
    /// ANSI colours.
    Colours,
}

/// A diagnostic as people read it, without colours and without a last line end. `files` are
/// [`crate::Outcome::files`].
#[must_use]
pub fn render(diagnostic: &Diagnostic, files: &BTreeMap<PathBuf, String>) -> String {
    render_with(diagnostic, files, Paint::Plain)
}

/// As [`render`], with or without colours.
#[must_use]
pub fn render_with(diagnostic: &Diagnostic, files: &BTreeMap<PathBuf, String>, paint: Paint) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let remedy = diagnostic.remedy.as_deref().map(|text| Level::HELP.no_name().message(visible(text)));
    let excerpt = diagnostic.place.as_ref().and_then(|place| excerpt(place, files));
    let title = level.primary_title(shortened(&diagnostic.message));
    let group = Group::with_title(title).elements(excerpt).elements(remedy);
    let renderer = match paint {
        Paint::Plain => Renderer::plain(),
        Paint::Colours => Renderer::styled(),
    };
    renderer.render(&[group])
}

/// A message that quotes a value of any length, as far as anybody reads: its begin, and its end, which says what is wrong.
fn shortened(message: &str) -> String {
    const BEGIN: usize = 200;
    const END: usize = 100;
    let letters = message.chars().count();
    if letters <= BEGIN + END {
        return message.to_owned();
    }
    let (begin, end) = (byte_of(message, BEGIN), byte_of(message, letters - END));
    format!("{}…{}", &message[..begin], &message[end..])
}

/// The line of a place with its characters marked.
fn excerpt<'a>(
    place: &Place,
    files: &'a BTreeMap<PathBuf, String>,
) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let line = files.get(&place.file)?.split('\n').nth(place.line - 1)?.trim_end_matches('\r');
    let start = byte_of(line, place.column - 1);
    let end = byte_of(line, place.column - 1 + place.length);
    let path = place.file.display().to_string();
    Some(Snippet::source(line).line_start(place.line).path(path).annotation(AnnotationKind::Primary.span(start..end)))
}

/// The byte at which the character number `index` starts.
fn byte_of(line: &str, index: usize) -> usize {
    line.char_indices().nth(index).map_or(line.len(), |(at, _)| at)
}

/// Control characters written out, so that a file cannot speak to the terminal.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() && letter != '\n' {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(place: Option<Place>) -> Diagnostic {
        let remedy = Some("did you mean `policy`?".to_owned());
        Diagnostic {
            severity: Severity::Error,
            code: "unknown-key",
            place,
            message: "unknown key `polcy`".to_owned(),
            remedy,
        }
    }

    #[test]
    fn shows_the_line_the_mark_and_the_remedy() {
        let place = Place { file: "evenkeel.toml".into(), line: 2, column: 1, length: 5 };
        let files = BTreeMap::from([(PathBuf::from("evenkeel.toml"), "[pool.app]\r\npolcy = 1\r\n".to_owned())]);
        insta::assert_snapshot!(render(&diagnostic(Some(place)), &files), @r"
        error: unknown key `polcy`
         --> evenkeel.toml:2:1
          |
        2 | polcy = 1
          | ^^^^^
          |
          = did you mean `policy`?
        ");
    }

    #[test]
    fn a_quoted_value_of_any_length_does_not_hide_what_is_wrong() {
        let message = format!("`{}` is not a host", "ä".repeat(100_000));
        let told = render(&Diagnostic { message, ..diagnostic(None) }, &BTreeMap::new());
        assert!(told.len() < 1000 && told.contains("error: `ää") && told.contains("ä` is not a host"), "{told}");
    }

    #[test]
    fn a_place_beyond_the_file_does_not_matter() {
        let place = Place { file: "x".into(), line: 9, column: 9, length: 9 };
        let files = BTreeMap::from([(PathBuf::from("x"), "a".to_owned())]);
        assert!(render(&diagnostic(Some(place)), &files).starts_with("error: unknown key"));
    }

    #[test]
    fn colours_are_asked_for() {
        let files = BTreeMap::new();
        assert!(!render(&diagnostic(None), &files).contains('\u{1b}'));
        assert!(render_with(&diagnostic(None), &files, Paint::Colours).contains('\u{1b}'));
    }
}
