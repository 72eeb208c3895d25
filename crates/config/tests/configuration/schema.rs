//! The JSON Schema says of a file what the parser says, as far as a schema can.

use regex::Regex;
use serde_json::Value;

use super::plan::EXAMPLE;

/// Whether `value` fits `schema`, of which only the words are known that ours uses.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(words) = schema else { return schema == &Value::Bool(true) };
    words.iter().all(|(word, wanted)| match word.as_str() {
        "$ref" => fits(root, &root["$defs"]["filled"], value),
        "anyOf" => wanted.as_array().unwrap().iter().any(|schema| fits(root, schema, value)),
        "type" => is_type(wanted.as_str().unwrap(), value),
        "enum" => wanted.as_array().unwrap().contains(value),
        "pattern" => value.as_str().is_none_or(|text| Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text)),
        "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(root, wanted, item))),
        "required" => wanted.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
        "properties" => {
            properties(value).all(|(key, value)| wanted.get(key).is_none_or(|schema| fits(root, schema, value)))
        }
        "additionalProperties" => {
            let known = |key: &str| words.get("properties").is_some_and(|known| known.get(key).is_some());
            properties(value).filter(|(key, _)| !known(key)).all(|(_, value)| fits(root, wanted, value))
        }
        "$schema" | "title" | "description" | "default" | "examples" | "$defs" => true,
        unknown => panic!("the test does not know `{unknown}`"),
    })
}

fn properties(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        unknown => panic!("the test does not know the type `{unknown}`"),
    }
}

fn accepts(text: &str) -> bool {
    let schema = config::schema();
    let table: toml::Table = text.parse().unwrap();
    fits(&schema, &schema, &serde_json::to_value(table).unwrap())
}

#[test]
fn the_example_fits() {
    assert!(accepts(EXAMPLE));
}

#[test]
fn mistakes_do_not() {
    for (right, wrong) in [
        ("one_in = 1000", "one_in = 0"),
        ("policy = \"least-requests\"", "policy = \"least\""),
        ("interval = \"5s\"", "interval = 5"),
        ("interval = \"5s\"", "interval = \"off\""),
        ("forwarded = true", "forwarded = 1"),
        ("forwarded = true", "forwarted = true"),
        ("header_bytes = \"32KiB\"", "header_bytes = \"32k\""),
        ("503 = \"file:sorry.html\"", "503 = \"sorry.html\""),
        ("bind = \"unix:/run/front.sock\"\n", ""),
    ] {
        assert!(EXAMPLE.contains(right), "{right}");
        assert!(!accepts(&EXAMPLE.replacen(right, wrong, 1)), "{wrong}");
    }
}

/// Defaults and examples stand in the schema beside the type that they must fit.
fn check_values(root: &Value, schema: &Value, seen: &mut usize) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (key, schema) in properties {
            let examples = schema.get("examples").and_then(Value::as_array).into_iter().flatten();
            for value in examples.chain(schema.get("default")) {
                assert!(fits(root, schema, value), "{key}: {value}");
                *seen += 1;
            }
        }
    }
    match schema {
        Value::Object(parts) => parts.values().for_each(|part| check_values(root, part, seen)),
        Value::Array(parts) => parts.iter().for_each(|part| check_values(root, part, seen)),
        _ => {}
    }
}

#[test]
fn every_default_and_example_fits_its_key() {
    let schema = config::schema();
    let mut seen = 0;
    check_values(&schema, &schema, &mut seen);
    assert!(seen > 100, "{seen}");
}
