//! The record has the fields that its schema, `loadgen/schema/result.schema.json`, describes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::extremes;
use crate::record::Record;

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/result.schema.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

fn value(record: &Record) -> Value {
    serde_json::to_value(record).unwrap()
}

#[track_caller]
fn expect_valid(record: &Value) {
    let complaints: Vec<String> = validator()
        .iter_errors(record)
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The schema that a reference or a choice between an object and null leads to.
fn resolved<'a>(root: &'a Value, part: &'a Value) -> &'a Value {
    let chosen = part.get("oneOf").map_or(part, |choices| &choices[0]);
    match chosen.get("$ref").and_then(Value::as_str) {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => chosen,
    }
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Complains of every object in `value` that has other keys than the schema describes or demands.
fn compare(root: &Value, part: &Value, value: &Value, at: &str, complaints: &mut Vec<String>) {
    let part = resolved(root, part);
    match value {
        Value::Object(fields) if part["additionalProperties"] == false => {
            let required = part["required"].as_array().unwrap();
            let required: BTreeSet<&str> = required.iter().map(|n| n.as_str().unwrap()).collect();
            let described = keys(&part["properties"]);
            if keys(value) != described || required != described {
                complaints.push(format!("{at}: {:?} in the record", keys(value)));
            }
            for (name, field) in fields {
                let at = format!("{at}/{name}");
                compare(root, &part["properties"][name], field, &at, complaints);
            }
        }
        Value::Array(items) => {
            for item in items {
                compare(root, &part["items"], item, &format!("{at}[]"), complaints);
            }
        }
        _ => {}
    }
}

/// Where the record has null, so that what lies below it would not be compared.
fn nulls(value: &Value) -> Vec<String> {
    let below = |name: &str, value: &Value| -> Vec<String> {
        nulls(value).into_iter().map(|at| format!("/{name}{at}")).collect()
    };
    match value {
        Value::Null => vec![String::new()],
        Value::Object(fields) => fields.iter().flat_map(|(name, v)| below(name, v)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(n, v)| below(&n.to_string(), v)).collect()
        }
        _ => Vec::new(),
    }
}

/// Complains of everything in the schema that has no description.
fn undescribed(part: &Value, at: &str, complaints: &mut Vec<String>) {
    for (name, field) in part["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}/{name}");
        if !field["description"].is_string() {
            complaints.push(format!("{at} has no description"));
        }
        undescribed(field, &at, complaints);
    }
}

#[test]
fn a_record_in_which_everything_is_known_fits_the_schema() {
    expect_valid(&value(&extremes::full()));
}

#[test]
fn a_record_with_the_least_fits_the_schema() {
    expect_valid(&value(&extremes::minimal()));
}

#[test]
fn record_and_schema_have_the_same_fields_everywhere() {
    let (schema, mut complaints) = (schema(), Vec::new());
    let record = value(&extremes::full());
    let unknown = nulls(&record);
    let unknown_at = ["/intervals/", "/at_most/", "/ci95/"];
    let known_to_be_unknown =
        |at: &&str| at.starts_with("/env/") || unknown_at.iter().any(|part| at.contains(part));
    assert!(unknown.iter().all(|at| known_to_be_unknown(&at.as_str())), "{unknown:?}");
    compare(&schema, &schema, &record, "", &mut complaints);
    assert!(complaints.is_empty(), "the schema differs:\n{}", complaints.join("\n"));
}

#[test]
fn every_field_is_described() {
    let (schema, mut complaints) = (schema(), Vec::new());
    undescribed(&schema, "", &mut complaints);
    for (name, part) in schema["$defs"].as_object().unwrap() {
        undescribed(part, name, &mut complaints);
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_record_that_says_something_else_does_not_fit() {
    let good = value(&extremes::full());
    for (pointer, wrong) in [
        ("/schema", json!("loadgen/1")),
        ("/validity/verdict", json!("FINE")),
        ("/latency_ns/response/p99", json!(-1)),
        ("/latency_ns/response/ci95", json!({"p42": [1, 2]})),
        ("/runs/0/intervals/0/sent", json!(null)),
        ("/runs/0/counters", json!({})),
        ("/server/cpu_s", json!("0.5 s")),
    ] {
        let mut record = good.clone();
        *record.pointer_mut(pointer).unwrap() = wrong;
        assert!(!validator().is_valid(&record), "{pointer}");
    }
}

#[test]
fn a_record_survives_its_way_through_a_file() {
    for record in [extremes::full(), extremes::minimal()] {
        let text = serde_json::to_string(&record).unwrap();
        let read: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(value(&read), value(&record));
    }
}
