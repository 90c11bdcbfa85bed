//! The machine-readable result of a sweep, `sweep.json`.

use serde::Serialize;

use super::row::Row;
use super::summary::Summary;
use super::sweep_plan::{PlanText, SweepPlan};
use super::variable::Setting;
use crate::environment::Environment;

/// Name and version of the format.
const SCHEMA: &str = "loadgen-sweep/1";

/// A sweep: its plan and what it has found so far.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SweepRecord {
    /// Always [`SCHEMA`].
    pub(super) schema: &'static str,
    pub(super) plan: PlanText,
    /// Where, as of the last run; null before the first one.
    pub(super) env: Option<Environment>,
    /// Whether every run of the plan was made.
    pub(super) complete: bool,
    /// Whether loader and server shared processors in any run.
    pub(super) co_located: bool,
    /// In the order of the plan; those without a run are left out.
    pub(super) cells: Vec<CellRecord>,
}

/// One combination of values.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CellRecord {
    pub(super) settings: Vec<Setting>,
    /// Its folder in `cells`.
    pub(super) folder: String,
    pub(super) summary: Summary,
    pub(super) runs: Vec<Row>,
}

impl SweepRecord {
    /// Before the first run.
    pub(super) fn beginning(plan: &PlanText) -> Self {
        Self {
            schema: SCHEMA,
            plan: plan.clone(),
            env: None,
            complete: false,
            co_located: false,
            cells: Vec::new(),
        }
    }

    /// After these runs.
    pub(super) fn new(plan: &SweepPlan, env: Option<Environment>, rows: &[Row]) -> Self {
        let cells = plan.cells.iter().enumerate().filter_map(|(place, cell)| {
            let mut runs: Vec<Row> = rows.iter().filter(|row| row.cell == place).cloned().collect();
            runs.sort_by_key(|row| row.round);
            let summary = Summary::of(&runs)?;
            let (settings, folder) = (cell.settings.clone(), cell.file_name());
            Some(CellRecord { settings, folder, summary, runs })
        });
        Self {
            env,
            complete: rows.len() == plan.cells.len() * plan.text.runs as usize,
            co_located: rows.iter().any(|row| row.co_located),
            cells: cells.collect(),
            ..Self::beginning(&plan.text)
        }
    }
}
