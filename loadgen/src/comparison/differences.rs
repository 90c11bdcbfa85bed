//! Other differences between two sides: a comparison shows the effect of all of them together.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{Side, schedules};

/// Fields that may differ between runs: times, numbers of runs, momentary loads, and the command
/// line, whose flags are in the plan.
const EXPECTED: [&str; 9] = [
    "args.runs",
    // The seeds of the runs are compared instead.
    "args.seed",
    "args.slo",
    "env.command",
    "env.started_unix_s",
    "env.calibration",
    "env.system.load_average_1m",
    "env.system.steal_share_since_boot",
    // What is measured may well be another server.
    "args.server_command",
];

/// A field that has other values in B than in A.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// Its path in the record, such as "env.kernel".
    pub(crate) field: String,
    /// The values as JSON, several where the measurements of a side differ among themselves.
    pub(crate) a: String,
    pub(crate) b: String,
}

/// Every field of plan and environment that differs, by name.
pub(super) fn between(a: &Side, b: &Side) -> Vec<Difference> {
    let seeds = schedules::differ(a, b).then(|| Difference {
        field: "runs.seeds".to_owned(),
        a: schedules::shown(a),
        b: schedules::shown(b),
    });
    let (a, b) = (fields(a), fields(b));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let shown = |side: &BTreeMap<String, BTreeSet<String>>, name: &String| {
        let values = side.get(name).into_iter().flatten().cloned();
        values.collect::<Vec<_>>().join(" or ")
    };
    let one_value = |side: &BTreeMap<String, BTreeSet<String>>, name: &String| {
        side.get(name).is_some_and(|values| values.len() == 1)
    };
    let others = names
        .into_iter()
        .filter(|name| a.get(*name) != b.get(*name) || !one_value(&a, name))
        .map(|name| Difference { field: name.clone(), a: shown(&a, name), b: shown(&b, name) });
    others.chain(seeds).collect()
}

/// All values that a side's measurements have in each field.
fn fields(side: &Side) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for record in &side.records {
        // Both are plain data, whose conversion cannot fail.
        let args = serde_json::to_value(&record.args).unwrap_or_default();
        let env = serde_json::to_value(&record.env).unwrap_or_default();
        flatten("args", &args, &mut found);
        flatten("env", &env, &mut found);
    }
    found
}

fn flatten(path: &str, value: &Value, found: &mut BTreeMap<String, BTreeSet<String>>) {
    if EXPECTED.contains(&path) {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                flatten(&format!("{path}.{name}"), member, found);
            }
        }
        plain => {
            found.entry(path.to_owned()).or_default().insert(plain.to_string());
        }
    }
}
