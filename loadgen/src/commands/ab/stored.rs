//! A comparison in pairs that was measured before.

use std::path::Path;

use super::ab_plan::Name;
use super::folder::{all_files, run_file};
use super::record::{AbRecord, SCHEMA, StoredAb};
use crate::commands::stored::StoredFiles;
use crate::error::Error;
use crate::report::{files, read_record};

/// The files of the comparison in this directory, made again from `ab.json`.
pub(in crate::commands) fn stored(folder: &Path) -> Result<StoredFiles, Error> {
    let stored: StoredAb = read_record(&folder.join(files::AB), SCHEMA, "an ab")?;
    let runs = stored.pairs.iter().flat_map(|pair| [Name::A, Name::B].map(|n| run_file(pair, n)));
    let runs = runs.filter(|run| folder.join(run).exists()).collect();
    Ok(StoredFiles {
        what: "an ab",
        folder: folder.to_owned(),
        text: files::AB_TEXT,
        json: files::AB,
        csv: files::AB_TABLE,
        files: all_files(&AbRecord::new(stored))?,
        runs,
    })
}
