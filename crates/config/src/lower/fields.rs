//! `request_headers` and `response_headers`.

use policy::plan::{HeaderRules, Piece, Template};

use crate::context::Context;
use crate::diagnostic::Problem;
use crate::table::{Member, Table, Words};
use crate::values::{name, template};

/// Reads the rules of a key.
pub(super) fn rules(context: &mut Context<'_>, route: &Table, key: &str) -> Option<HeaderRules> {
    let table = route.table(key)?;
    let set = changes(context, table, "set");
    let add = changes(context, table, "add");
    let remove = table
        .all_words("remove")
        .filter_map(|words| context.take(words.at, name::changeable_field(words.text)))
        .collect();
    Some(HeaderRules { set, add, remove })
}

fn changes(context: &mut Context<'_>, table: &Table, key: &str) -> Vec<(String, Template)> {
    table.members(key).iter().filter_map(|member| change(context, member)).collect()
}

fn change(context: &mut Context<'_>, member: &Member) -> Option<(String, Template)> {
    let name = context.take(member.at, name::changeable_field(&member.name));
    let template = line(context, member.item.words()?)?;
    Some((name?, template))
}

/// Reads a template that becomes a field value.
pub(super) fn line(context: &mut Context<'_>, words: Words<'_>) -> Option<Template> {
    context.take(words.at, name::field_value(words.text))?;
    context.take(words.at, template::parse(words.text))
}

/// Reads a template that becomes a Location.
pub(super) fn location(context: &mut Context<'_>, words: Words<'_>) -> Option<Template> {
    let template = line(context, words)?;
    let leads_somewhere = match template.0.first() {
        Some(Piece::Text(text)) => ["http://", "https://", "/"].iter().any(|start| text.starts_with(start)),
        Some(Piece::Scheme | Piece::Path | Piece::Rest) => true,
        _ => false,
    };
    if !leads_somewhere || words.text.contains([' ', '\\', '"', '<', '>']) {
        let problem = Problem::value(format!("`{}` is neither a URL nor a path", words.text))
            .remedy("write for instance `\"https://{host}{path}{query}\"`");
        context.error(words.at, problem);
        return None;
    }
    Some(template)
}
