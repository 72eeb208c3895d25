//! The OpenAPI document, generated from the tables of endpoints and fields.

use serde_json::{Map, Value, json};

use crate::access::Access;
use crate::api::{Content, ENDPOINTS, Endpoint, Type};
use crate::blocks::order_schema;
use crate::view::{FIELDS, Field, Kind};

/// The document.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_ascii_lowercase()] = operation(endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Evenkeel admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Reads on loopback and on the Unix socket need no token; from other machines a bearer token. Changes need the socket or the token.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let (media, schema) = match endpoint.content {
        Content::Json(schema) => ("application/json", reference(schema)),
        Content::Other(media) => (media, json!({ "type": "string" })),
    };
    let parameter = |(name, kind, meaning): &(&str, Type, &str)| json!({ "name": name, "in": "query", "description": meaning, "schema": plain(*kind) });
    let error = json!({ "application/json": { "schema": reference("Error") } });
    let mut operation = json!({
        "summary": endpoint.summary,
        "parameters": endpoint.query.iter().map(parameter).collect::<Vec<_>>(),
        "responses": {
            "200": { "description": "the answer", "content": { media: { "schema": schema } } },
            "4XX": { "description": "refused, with a remedy", "content": error },
        },
    });
    if let Some(schema) = endpoint.body {
        let content = json!({ "application/json": { "schema": reference(schema) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    if endpoint.access != Access::Open {
        operation["security"] = json!([{}, { "token": [] }]);
    }
    operation
}

fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    for field in FIELDS {
        let schema =
            schemas.entry(field.of).or_insert_with(|| json!({ "type": "object", "properties": {}, "required": [] }));
        schema["properties"][field.name] = property(field);
        if let Some(required) = schema["required"].as_array_mut() {
            required.push(field.name.into());
        }
    }
    let text = json!({ "type": "string" });
    let words = json!({ "code": text, "message": text, "remedy": text });
    let error = json!({ "type": "object", "properties": words, "required": ["code", "message", "remedy"] });
    schemas.insert(
        "Error".to_owned(),
        json!({ "type": "object", "properties": { "error": error }, "required": ["error"] }),
    );
    let line = "one line of the access log; docs/log.md lists its fields";
    schemas.insert("Errors".to_owned(), json!({ "type": "array", "items": { "type": "object", "description": line } }));
    schemas.insert("BlockOrder".to_owned(), order_schema());
    schemas.insert("Document".to_owned(), json!({ "type": "object", "description": "an OpenAPI document" }));
    schemas
}

fn property(field: &Field) -> Value {
    let mut schema = match field.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::TextOrNull => json!({ "type": ["string", "null"] }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Whole => whole(),
        Kind::WholeOrNull => json!({ "type": ["integer", "null"] }),
        Kind::Number => json!({ "type": "number" }),
        Kind::NumberOrNull => json!({ "type": ["number", "null"] }),
        Kind::Object(name) => reference(name),
        Kind::Objects(name) => json!({ "type": "array", "items": reference(name) }),
    };
    schema["description"] = field.meaning.into();
    schema
}

fn plain(kind: Type) -> Value {
    match kind {
        Type::Whole => whole(),
        Type::Text => json!({ "type": "string" }),
        Type::Flag => json!({ "type": "boolean" }),
    }
}

fn whole() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` in a value.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        ("$ref", Value::String(target)) => found.push(target),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > ENDPOINTS.len());
        for target in found {
            assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
        }
    }

    #[test]
    fn every_path_is_there() {
        let document = document();
        for endpoint in ENDPOINTS {
            let method = endpoint.method.as_str().to_ascii_lowercase();
            assert_eq!(document["paths"][endpoint.path][method]["summary"], endpoint.summary);
        }
    }
}
