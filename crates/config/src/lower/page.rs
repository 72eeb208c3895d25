//! Files whose text becomes the body of an answer.

use crate::context::Context;
use crate::files::At;
use crate::interpolate;

/// Content types by the ending of the file's name.
const TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("json", "application/json"),
    ("xml", "application/xml"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
];

/// What text is when nobody says otherwise.
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";

/// The text of a file.
pub(super) fn read(context: &mut Context<'_>, path: &str, at: At) -> Option<Vec<u8>> {
    let text = interpolate::read(context, path, at);
    context.take(at, text).map(String::into_bytes)
}

/// The content type that a file's name tells.
pub(super) fn content_type(path: &str) -> &'static str {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    TYPES.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known)).map_or(PLAIN, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_tells_the_type() {
        assert_eq!(content_type("a/sorry.HTML"), "text/html; charset=utf-8");
        assert_eq!(content_type("sorry"), PLAIN);
    }
}
