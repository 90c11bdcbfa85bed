//! A search that was made before.

use std::path::Path;

use super::record::{self, SearchRecord};
use super::report;
use crate::commands::stored::StoredFiles;
use crate::error::Error;
use crate::report::{files, read_record};

/// The files of the search in this directory, made again from `search.json`.
pub(in crate::commands) fn stored(folder: &Path) -> Result<StoredFiles, Error> {
    let record: SearchRecord =
        read_record(&folder.join(files::SEARCH), record::SCHEMA, "a search")?;
    Ok(StoredFiles {
        what: "a search",
        folder: folder.to_owned(),
        text: files::SEARCH_TEXT,
        json: files::SEARCH,
        csv: files::SEARCH_TABLE,
        files: report::files(&record)?,
        runs: Vec::new(),
    })
}
