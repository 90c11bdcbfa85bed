//! A sweep that was measured before.

use std::path::Path;

use super::folder;
use super::record::{self, SweepRecord};
use super::report;
use super::row::Row;
use super::sweep_plan::folder_name;
use crate::commands::stored::StoredFiles;
use crate::error::Error;
use crate::report::{files, read_record};

/// The files of the sweep in this directory, made again from `sweep.json` and from the records of
/// runs that are not in it yet, because the sweep was killed.
pub(in crate::commands) fn stored(path: &Path) -> Result<StoredFiles, Error> {
    let file = path.join(files::SWEEP);
    let stored: SweepRecord = read_record(&file, record::SCHEMA, "a sweep")?;
    stored
        .plan
        .expect_possible()
        .map_err(|complaint| Error::BadResult { path: file, complaint })?;
    let cells = stored.plan.cells();
    let (mut rows, mut env) = (Vec::new(), stored.env.clone());
    let mut runs = Vec::new();
    for (round, place) in stored.plan.order() {
        let (settings, name) = (&cells[place], folder_name(place, &cells[place]));
        let in_cell = stored.cells.iter().filter(|cell| cell.folder == name);
        let known = in_cell.flat_map(|cell| &cell.runs).find(|row| row.round == round);
        let record = folder::run(path, &name, round);
        if record.is_some() {
            runs.push(folder::run_file(&name, round));
        }
        if let Some(row) = known {
            rows.push(row.in_cell(place, settings));
        } else if let Some(record) = record {
            rows.push(Row::new(place, settings, round, &record));
            env = Some(record.env);
        }
    }
    let record = SweepRecord::new(&stored.plan, env, &rows);
    Ok(StoredFiles {
        what: "a sweep",
        folder: path.to_owned(),
        text: files::SWEEP_TEXT,
        json: files::SWEEP,
        csv: files::SWEEP_TABLE,
        files: report::files(&record, &rows)?,
        runs,
    })
}
