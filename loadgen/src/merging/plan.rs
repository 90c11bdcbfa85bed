//! The plans of several loaders as one.

use crate::record::{ArgsRecord, Stated};
use crate::report::StoredResult;

/// The plans of all loaders, added. The seed is the first one's.
pub(super) fn added(sources: &[StoredResult]) -> ArgsRecord {
    let plans = || sources.iter().map(|source| &source.record.args);
    let rates: Option<Vec<&str>> =
        plans().map(|plan| plan.rate.as_ref().map(Stated::text)).collect();
    ArgsRecord {
        target: distinct(plans().map(|plan| plan.target.as_str())),
        connections: plans().map(|plan| plan.connections).fold(0, u32::saturating_add),
        threads: plans().map(|plan| plan.threads).fold(0, u32::saturating_add),
        rate: rates.map(|rates| rates.join(" + ").into()),
        pacing: distinct(plans().map(|plan| plan.pacing.text())).into(),
        ..sources[0].record.args.clone()
    }
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = Vec::new();
    for text in texts {
        if !known.contains(&text) {
            known.push(text);
        }
    }
    known.join(" + ")
}
