//! `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` in strings.
//!
//! They are filled in after the TOML was read, so that no value can break the syntax; `$${` stands for `${` itself.

use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::files::At;

/// A string after filling in.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) origin: Origin,
    /// Whether anything was filled in: then it is read as the key's type, be it a number or a flag.
    pub(crate) filled: Filled,
}

/// Whether a string held references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// It is as it was written.
    No,
    /// From the environment.
    Yes,
    /// From a file, whose contents are shown to nobody.
    FromFile,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The file, at the value's place.
    Written,
    /// This environment variable.
    Environment(String),
    /// The table of keys.
    Default,
}

/// What stands between `${` and `}`.
enum Reference<'a> {
    Env { name: &'a str, default: Option<&'a str> },
    File { path: &'a str },
}

/// Fills a string in; what cannot be filled in is noted, all of it.
pub(crate) fn fill(context: &mut Context<'_>, written: &str, at: At) -> Option<Given> {
    let mut given = Given { text: String::new(), origin: Origin::Written, filled: Filled::No };
    let mut whole = Some(());
    let mut rest = written;
    while let Some(start) = rest.find("${") {
        if let Some(before) = rest[..start].strip_suffix('$') {
            given.text.push_str(before);
            given.text.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        given.text.push_str(&rest[..start]);
        let Some(length) = rest[start..].find('}') else {
            let problem = Problem::value("`${` has no `}`").remedy("write `$${` for the two characters themselves");
            context.error(at, problem);
            return None;
        };
        let reference = &rest[start..=start + length];
        let narrow = narrowed(context, reference, at);
        let value = parse(reference).and_then(|reference| look_up(context, &reference, at, &mut given));
        match context.take(narrow, value) {
            Some(value) => given.text.push_str(&value),
            None => whole = None,
        }
        rest = &rest[start + length + 1..];
    }
    given.text.push_str(rest);
    whole.map(|()| given)
}

/// The place of the reference itself within the string, when it stands there letter by letter.
fn narrowed(context: &Context<'_>, reference: &str, at: At) -> At {
    match context.files.excerpt(at).find(reference) {
        Some(offset) => At { start: at.start + offset, end: at.start + offset + reference.len(), ..at },
        None => at,
    }
}

/// Reads `${…}`.
fn parse(reference: &str) -> Result<Reference<'_>, Problem> {
    let inside = &reference[2..reference.len() - 1];
    match inside.split_once(':') {
        Some(("env", name)) => {
            let (name, default) = match name.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (name, None),
            };
            match name.is_empty() {
                true => Err(Problem::value(format!("`{reference}` names no variable")).remedy("write `${env:NAME}`")),
                false => Ok(Reference::Env { name, default }),
            }
        }
        Some(("file", "")) => {
            Err(Problem::value(format!("`{reference}` names no file")).remedy("write `${file:PATH}`"))
        }
        Some(("file", path)) => Ok(Reference::File { path }),
        _ => Err(Problem::value(format!("`{reference}` is not known")).remedy(
            "there are `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}`; `$${` stands for `${` itself",
        )),
    }
}

fn look_up(context: &Context<'_>, reference: &Reference<'_>, at: At, given: &mut Given) -> Result<String, Problem> {
    match reference {
        Reference::Env { name, default } => {
            if given.filled == Filled::No {
                given.filled = Filled::Yes;
            }
            let set = context.source.env(name);
            // As in a shell, `:-` also stands in for a variable that is set to nothing.
            match (set.filter(|value| default.is_none() || !value.is_empty()), default) {
                (Some(value), _) => {
                    given.origin = Origin::Environment((*name).to_owned());
                    Ok(value)
                }
                (None, Some(default)) => Ok((*default).to_owned()),
                (None, None) => Err(Problem::new(code::UNSET, format!("the environment variable `{name}` is not set"))
                    .remedy(format!("set it, or give a default: `${{env:{name}:-…}}`"))),
            }
        }
        Reference::File { path } => {
            given.filled = Filled::FromFile;
            let text = read(context, path, at)?;
            // Editors end files with a line end, which is no part of a token or a path.
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
    }
}

/// The text of a file named in the configuration, relative to the folder of the file that names it.
pub(crate) fn read(context: &Context<'_>, path: &str, at: At) -> Result<String, Problem> {
    let whole = context.files.folder(at.file).join(path);
    context.source.read(&whole).map_err(|reason| {
        Problem::new(code::UNREADABLE, format!("cannot read {}: {reason}", whole.display()))
            .remedy("paths are relative to the folder of this file")
    })
}
