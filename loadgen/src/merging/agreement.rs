//! Whether results are parts of one measurement.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::error::Error;
use crate::record::{Code, Reason, RunRecord, Validity, Verdict};
use crate::report::StoredResult;
use crate::units::counted;

/// Parts of the plan that belong to a loader and not to the load.
const OF_LOADER: [&str; 9] = [
    "target",
    "connections",
    "threads",
    "rate",
    "seed",
    "merged_seeds",
    "pacing",
    "pin",
    "key_prefix",
];

/// Parts of the environment that differ between any two loaders.
const OF_MOMENT: [&str; 4] =
    ["command", "started_unix_s", "system.load_average_1m", "system.steal_share_since_boot"];

/// The least share of a window that all loaders must have measured.
const OVERLAP_MIN: f64 = 0.9;

/// What was found besides: see [`Reason`].
#[derive(Debug)]
pub(super) struct Findings(Vec<Reason>);

impl Findings {
    /// Adds them to a verdict, which can only get worse.
    pub(super) fn add_to(self, validity: &mut Validity) {
        for reason in self.0 {
            validity.verdict = validity.verdict.max(reason.level);
            match reason.level {
                Verdict::Valid => validity.labels.push(reason),
                _ => validity.reasons.push(reason),
            }
        }
    }
}

/// Fails unless plans and runs are the same and the loaders ran at the same time.
pub(super) fn check(sources: &[StoredResult]) -> Result<Findings, Error> {
    let Some((first, others)) = sources.split_first() else { return Ok(Findings(Vec::new())) };
    for other in others {
        same_plan(first, other)?;
        same_runs(first, other)?;
    }
    let names: Vec<String> = sources.iter().map(name).collect();
    let mut findings = vec![label(
        Code::Merged,
        format!("what {} loaders measured, added: {}", sources.len(), names.join(", ")),
    )];
    findings.extend(least_overlap(sources)?.filter(|share| *share < OVERLAP_MIN).map(|share| {
        suspect(
            Code::NotSimultaneous,
            format!(
                "all loaders ran together only {:.0} % of the time; the added rates are more than \
                 the server ever had at once. Start them together, and set their clocks",
                100.0 * share
            ),
        )
    }));
    findings.extend(same_seed(sources));
    findings.extend(differences(first, others));
    let servers = sources.iter().filter(|source| source.record.server.is_some());
    if servers.clone().count() > 1 {
        let shown = servers.map(name).next().unwrap_or_default();
        findings
            .push(label(Code::Servers, format!("only the server that {shown} watched is shown")));
    }
    Ok(Findings(findings))
}

fn name(source: &StoredResult) -> String {
    source.path.display().to_string()
}

fn label(code: Code, text: String) -> Reason {
    Reason { code, level: Verdict::Valid, text }
}

fn suspect(code: Code, text: String) -> Reason {
    Reason { code, level: Verdict::Suspect, text }
}

fn refuse<T>(source: &StoredResult, complaint: String) -> Result<T, Error> {
    Err(Error::CannotMerge { path: source.path.clone(), complaint })
}

fn same_plan(first: &StoredResult, other: &StoredResult) -> Result<(), Error> {
    let plan = |source: &StoredResult| serde_json::to_value(&source.record.args);
    let (Ok(Value::Object(ours)), Ok(theirs)) = (plan(first), plan(other)) else { return Ok(()) };
    for (field, ours) in ours.iter().filter(|(field, _)| !OF_LOADER.contains(&field.as_str())) {
        let theirs = &theirs[field];
        if ours != theirs {
            let first = name(first);
            return refuse(
                other,
                format!(
                    "its plan has {field} {theirs}, and that of {first} has {ours}; only loaders \
                     with the same plan can be added"
                ),
            );
        }
    }
    Ok(())
}

fn same_runs(first: &StoredResult, other: &StoredResult) -> Result<(), Error> {
    let numbers = |source: &StoredResult| -> Vec<u32> {
        source.record.runs.iter().map(|run| run.number).collect()
    };
    if numbers(first) == numbers(other) {
        return Ok(());
    }
    let runs = |source: &StoredResult| counted(source.record.runs.len() as u64, "run");
    let (here, there) = (runs(other), runs(first));
    let first = name(first);
    refuse(other, format!("it has {here}, and {first} has {there}; runs are added by number"))
}

/// When a run's window opened and closed, in seconds since 1970.
fn window(run: &RunRecord) -> (f64, f64) {
    let warmup_s = run.intervals.first().map_or(0.0, |first| -first.start_s.min(0.0));
    let opened = run.started_unix_s + warmup_s;
    (opened, opened + run.rate.measured_s)
}

/// The least share, over all runs, of the longest window during which all loaders measured. None at
/// all is an error.
fn least_overlap(sources: &[StoredResult]) -> Result<Option<f64>, Error> {
    let mut least: Option<f64> = None;
    for (index, run) in sources[0].record.runs.iter().enumerate() {
        let windows = sources.iter().map(|source| window(&source.record.runs[index]));
        let longest_s = windows.clone().map(|(from, to)| to - from).fold(0.0, f64::max);
        let from = windows.clone().map(|window| window.0).fold(f64::NEG_INFINITY, f64::max);
        let to = windows.map(|window| window.1).fold(f64::INFINITY, f64::min);
        let share = if longest_s > 0.0 { (to - from) / longest_s } else { 1.0 };
        if share <= 0.0 {
            let number = run.number;
            return refuse(
                &sources[0],
                format!(
                    "the loaders did not measure at the same time in run {number}; to put runs \
                     beside each other use 'loadgen compare'"
                ),
            );
        }
        least = Some(least.map_or(share, |known| known.min(share)));
    }
    Ok(least)
}

/// Loaders with one seed and one plan send at the same instants: in bursts, not at random. If they
/// have it in different runs, these runs have the same schedule and are not independent.
fn same_seed(sources: &[StoredResult]) -> Option<Reason> {
    if !sources.iter().all(|source| source.record.args.is_open()) {
        return None;
    }
    let seeds_of = |source: &StoredResult, run: &RunRecord| source.record.seeds_of(run).to_vec();
    let runs = 0..sources[0].record.runs.len();
    let in_run = |index: usize| -> Vec<Vec<u64>> {
        sources.iter().map(|source| seeds_of(source, &source.record.runs[index])).collect()
    };
    let in_any_run = sources.iter().map(|source| {
        source.record.runs.iter().flat_map(|run| seeds_of(source, run)).collect::<BTreeSet<u64>>()
    });
    if runs.clone().any(|index| overlap(in_run(index).into_iter().flatten())) {
        return Some(suspect(
            Code::SameSeed,
            "loaders had the same seed, so that they sent at the same instants; give each its own \
             --seed"
                .to_owned(),
        ));
    }
    overlap(in_any_run.flatten()).then(|| {
        suspect(
            Code::SameSeed,
            format!(
                "runs of different loaders had the same seed, so that the runs are not independent \
                 and the intervals too narrow; choose seeds at least {} (the number of runs) apart",
                runs.len()
            ),
        )
    })
}

/// Whether a seed appears twice.
fn overlap(seeds: impl Iterator<Item = u64>) -> bool {
    let mut known = BTreeSet::new();
    seeds.into_iter().any(|seed| !known.insert(seed))
}

/// The fields in which the machines differ.
fn differences(first: &StoredResult, others: &[StoredResult]) -> Option<Reason> {
    let env = |source: &StoredResult| serde_json::to_value(&source.record.env).unwrap_or_default();
    let ours = env(first);
    let mut fields = BTreeSet::new();
    for theirs in others.iter().map(env) {
        collect(&ours, &theirs, "", &mut fields);
    }
    let fields: Vec<String> = fields.into_iter().collect();
    let shown = name(first);
    (!fields.is_empty()).then(|| {
        label(
            Code::EnvironmentsDiffer,
            format!("{}; those of {shown} are shown", fields.join(", ")),
        )
    })
}

fn collect(ours: &Value, theirs: &Value, path: &str, fields: &mut BTreeSet<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (field, ours) in ours {
                let dot = if path.is_empty() { "" } else { "." };
                let theirs = theirs.get(field).unwrap_or(&Value::Null);
                collect(ours, theirs, &format!("{path}{dot}{field}"), fields);
            }
        }
        _ if ours != theirs && !OF_MOMENT.contains(&path) => {
            fields.insert(path.to_owned());
        }
        _ => {}
    }
}
