//! Records have the fields that their schemas, `loadgen/schema/*.schema.json`, describe.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jsonschema::{Resource, Validator};
use serde::Serialize;
use serde_json::{Value, json};

use super::extremes;
use crate::record::Record;

/// The schema that the others refer to for shared parts.
const RESULT: &str = "result.schema.json";

/// One of the schemas.
#[derive(Debug)]
pub(crate) struct Schema {
    root: Value,
    result: Value,
}

impl Schema {
    /// The schema of this name, such as "sweep".
    pub(crate) fn named(name: &str) -> Self {
        let read = |file: &str| -> Value {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(file);
            serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
        };
        Self { root: read(&format!("{name}.schema.json")), result: read(RESULT) }
    }

    fn validator(&self) -> Validator {
        let result = Resource::from_contents(self.result.clone()).unwrap();
        let uri = format!("json-schema:///{RESULT}");
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .with_resource(&uri, result)
            .build(&self.root)
            .unwrap()
    }

    /// Fails unless the record is what the schema says.
    #[track_caller]
    pub(crate) fn expect_valid(&self, record: &impl Serialize) {
        let complaints: Vec<String> = self
            .validator()
            .iter_errors(&value(record))
            .map(|error| format!("{}: {error}", error.instance_path))
            .collect();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }

    /// Fails unless record and schema have the same fields everywhere. Below a null nothing could
    /// be compared, so only what `may_be_null` accepts is null.
    #[track_caller]
    pub(crate) fn expect_same_fields(
        &self,
        record: &impl Serialize,
        may_be_null: impl Fn(&str) -> bool,
    ) {
        let (record, mut complaints) = (value(record), Vec::new());
        let unknown = nulls(&record);
        assert!(unknown.iter().all(|at| may_be_null(at)), "{unknown:?}");
        self.compare((&self.root, &self.root), &record, "", &mut complaints);
        assert!(complaints.is_empty(), "the schema differs:\n{}", complaints.join("\n"));
    }

    /// Fails unless every field has a description.
    #[track_caller]
    pub(crate) fn expect_described(&self) {
        let mut complaints = Vec::new();
        undescribed(&self.root, "", &mut complaints);
        for (name, part) in self.root["$defs"].as_object().unwrap() {
            undescribed(part, name, &mut complaints);
        }
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }

    /// The part that a reference or a choice between an object and null leads to, with the root of
    /// its file.
    fn resolved<'a>(&'a self, (root, part): (&'a Value, &'a Value)) -> (&'a Value, &'a Value) {
        let chosen = part.get("oneOf").map_or(part, |choices| &choices[0]);
        let Some(reference) = chosen.get("$ref").and_then(Value::as_str) else {
            return (root, chosen);
        };
        let (file, pointer) = reference.split_once('#').unwrap();
        let root = if file == RESULT { &self.result } else { root };
        (root, root.pointer(pointer).unwrap())
    }

    /// Complains of every object in `value` that has other keys than the schema describes or
    /// demands.
    fn compare(
        &self,
        place: (&Value, &Value),
        value: &Value,
        at: &str,
        complaints: &mut Vec<String>,
    ) {
        let (root, part) = self.resolved(place);
        match value {
            Value::Object(fields) if part["additionalProperties"] == false => {
                let required = part["required"].as_array().unwrap();
                let required: BTreeSet<&str> =
                    required.iter().map(|name| name.as_str().unwrap()).collect();
                let described = keys(&part["properties"]);
                if keys(value) != described || required != described {
                    complaints.push(format!("{at}: {:?} in the record", keys(value)));
                }
                for (name, field) in fields {
                    let place = (root, &part["properties"][name]);
                    self.compare(place, field, &format!("{at}/{name}"), complaints);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.compare((root, &part["items"]), item, &format!("{at}[]"), complaints);
                }
            }
            _ => {}
        }
    }
}

fn value(record: &impl Serialize) -> Value {
    serde_json::to_value(record).unwrap()
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
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
    Schema::named("result").expect_valid(&extremes::full());
}

#[test]
fn a_record_with_the_least_fits_the_schema() {
    Schema::named("result").expect_valid(&extremes::minimal());
}

#[test]
fn record_and_schema_have_the_same_fields_everywhere() {
    let known_to_be_unknown = |at: &str| at.contains("/intervals/") || at.starts_with("/env/");
    Schema::named("result").expect_same_fields(&extremes::full(), known_to_be_unknown);
}

#[test]
fn an_upper_bound_may_be_unknown() {
    let mut record = extremes::full();
    let response = &mut record.latency_ns.response;
    response.at_most.insert("max".to_owned(), None);
    response.ci95.insert("p99".to_owned(), (179_000, None));
    Schema::named("result").expect_valid(&record);
}

#[test]
fn every_field_is_described() {
    for name in ["result", "search", "sweep", "compare", "ab"] {
        Schema::named(name).expect_described();
    }
}

#[test]
fn a_record_that_says_something_else_does_not_fit() {
    let (good, validator) = (value(&extremes::full()), Schema::named("result").validator());
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
        assert!(!validator.is_valid(&record), "{pointer}");
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
