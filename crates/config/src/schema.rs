//! The JSON Schema for editors, made of the table of keys.

use serde_json::{Map, Value, json};

use crate::files::At;
use crate::keys::{Default, Form, Key, Kind, Off, ROOT, Section};
use crate::tree::{Node, Raw, parse_default};

/// The JSON Schema (2020-12) of a configuration file.
#[must_use]
pub fn schema() -> Value {
    let mut schema = table(&ROOT);
    if let Value::Object(schema) = &mut schema {
        schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        schema.insert("title".to_owned(), json!("Evenkeel configuration"));
        let filled = json!({ "type": "string", "pattern": "\\$\\{(env|file):[^}]+\\}" });
        schema.insert("$defs".to_owned(), json!({ "filled": filled }));
        // Included files hold parts, so nothing is required at the top.
        schema.remove("required");
    }
    schema
}

fn table(section: &Section) -> Value {
    let mut properties = Map::new();
    for key in section.keys.iter().filter(|key| !key.is_later()) {
        properties.insert(key.name.to_owned(), property(key));
    }
    let required: Vec<&str> =
        section.keys.iter().filter(|key| matches!(key.default, Default::Required)).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": section.about,
        "properties": properties,
        "additionalProperties": false,
    });
    if let (Value::Object(schema), false) = (&mut schema, required.is_empty()) {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".to_owned(), json!(key.meaning));
        if let Default::Is(text) = key.default
            && let Some(value) = plain(text)
        {
            schema.insert("default".to_owned(), value);
        }
        if let Some(value) = plain(key.example) {
            schema.insert("examples".to_owned(), json!([value]));
        }
    }
    schema
}

fn kind(of: &Kind) -> Value {
    match of {
        Kind::Flag => filled(&json!({ "type": "boolean" })),
        Kind::Count { min, max } => filled(&json!({ "type": "integer", "minimum": min, "maximum": max })),
        Kind::Ratio { min_percent, max_percent } => {
            let (min, max) = (f64::from(*min_percent) / 100.0, f64::from(*max_percent) / 100.0);
            filled(&json!({ "type": "number", "minimum": min, "maximum": max }))
        }
        Kind::Duration { off, .. } => filled(&words(*off, "[0-9]+(ms|s|m|h|d)")),
        Kind::Size { off, .. } => filled(&words(*off, "[0-9]+(B|KB|KiB|MB|MiB|GB|GiB)")),
        Kind::Text(form) => text(*form),
        Kind::Choice { now, .. } => filled(&json!({ "enum": now })),
        Kind::List(inner) => json!({ "type": "array", "items": kind(inner) }),
        Kind::OneOrMore(inner) => {
            let inner = kind(inner);
            json!({ "anyOf": [inner, { "type": "array", "items": inner }] })
        }
        Kind::Table(section) => table(section),
        Kind::Map(inner) => json!({ "type": "object", "additionalProperties": kind(inner) }),
        Kind::Either(kinds) => {
            let kinds: Vec<Value> = kinds.iter().filter(|of| !matches!(of, Kind::NotYet(_))).map(kind).collect();
            match kinds.as_slice() {
                [only] => only.clone(),
                several => json!({ "anyOf": several }),
            }
        }
        Kind::NotYet(_) => json!(false),
    }
}

/// A type, or a string that is filled in with it.
fn filled(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "$ref": "#/$defs/filled" }] })
}

fn words(off: Off, pattern: &str) -> Value {
    let pattern = match off {
        Off::Allowed => format!("^({pattern}|off)$"),
        Off::Refused => format!("^{pattern}$"),
    };
    json!({ "type": "string", "pattern": pattern })
}

fn text(form: Form) -> Value {
    match form {
        Form::Page => json!({ "type": "string", "pattern": "^file:" }),
        _ => json!({ "type": "string" }),
    }
}

/// A default or an example as JSON.
fn plain(text: &str) -> Option<Value> {
    let node = parse_default(text, At { file: 0, start: 0, end: 0 })?;
    Some(json_of(&node))
}

fn json_of(node: &Node) -> Value {
    match &node.raw {
        Raw::Text(text) => json!(text),
        Raw::Integer(number) => json!(number),
        Raw::Flag(flag) => json!(flag),
        Raw::List(list) => list.iter().map(json_of).collect(),
        Raw::Table(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.name.clone(), json_of(&entry.node))).collect())
        }
        Raw::Float(number) => json!(number.parse::<f64>().ok()),
        Raw::Date => Value::Null,
    }
}
