//! The table of the agents: what each has done, and how well its clock was known.

use std::fmt::{self, Write as _};

use super::Columns;
use crate::record::{AgentRecord, Record};
use crate::units::{brief, duration, grouped};

/// A row for each agent of each run; nothing if the loader was one process.
pub(super) fn write_agents(out: &mut String, record: &Record) -> fmt::Result {
    if record.runs.iter().all(|run| run.agents.is_empty()) {
        return Ok(());
    }
    writeln!(out)?;
    let mut columns = Columns::default();
    let names =
        ["run", "agent", "name", "conns", "completed", "p50", "p99", "clock", "drift", "late", ""];
    columns.row(names.map(String::from));
    for run in &record.runs {
        for agent in &run.agents {
            columns.row(row(run.number, agent));
        }
    }
    for line in columns.lines() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn row(run: u32, agent: &AgentRecord) -> Vec<String> {
    let latency = |ns: Option<u64>| ns.map_or_else(|| "n/a".to_owned(), duration);
    let time = |ns: Option<u64>| ns.map_or_else(|| "n/a".to_owned(), brief);
    vec![
        run.to_string(),
        agent.rank.to_string(),
        agent.name.clone(),
        grouped(agent.connections.into()),
        grouped(agent.counters.completed),
        latency(agent.p50_ns),
        latency(agent.p99_ns),
        format!("± {}", time(agent.clock_error_ns)),
        time(agent.clock_drift_ns.map(i64::unsigned_abs)),
        time(agent.start_late_ns),
        if agent.lost.is_some() { "LOST" } else { "" }.to_owned(),
    ]
}
