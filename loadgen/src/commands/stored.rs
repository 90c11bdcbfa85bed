//! Several measurements together, a sweep, a search or an ab, that were stored before.

use std::fs;
use std::path::{Path, PathBuf};

use crate::atomic_file;
use crate::error::Error;
use crate::report::{Directory, View, is_same};

/// The files of a stored sweep, search or ab, made again.
#[derive(Debug)]
pub(super) struct StoredFiles {
    /// "a sweep", "a search", "an ab".
    pub(super) what: &'static str,
    /// Where it was read.
    pub(super) folder: PathBuf,
    /// The names of the files that are the views of these names.
    pub(super) text: &'static str,
    pub(super) json: &'static str,
    pub(super) csv: &'static str,
    /// Names and contents.
    pub(super) files: Vec<(String, String)>,
    /// The records of the single runs, from the folder.
    pub(super) runs: Vec<PathBuf>,
}

impl StoredFiles {
    /// One view as text. [`View::All`] is a directory: see [`Self::rewrite`].
    pub(super) fn view(&self, view: View) -> Result<&str, Error> {
        let name = match view {
            View::Text => self.text,
            View::Json => self.json,
            View::Csv => self.csv,
            _ => {
                let example = self.runs.first().map(|run| {
                    let run = self.folder.join(run);
                    format!("; a single run has others: loadgen report {}", run.display())
                });
                return Err(Error::Usage(format!(
                    "--view: {} has the views text, json, csv and all, which makes the plots, \
                     too{}",
                    self.what,
                    example.unwrap_or_default()
                )));
            }
        };
        let file = self.files.iter().find(|(known, _)| known == name);
        Ok(file.map_or("", |(_, text)| text))
    }

    /// Writes every file again, into the own directory or another. Results in another directory
    /// are replaced only with `force`.
    pub(super) fn rewrite(&self, out: &Path, force: bool) -> Result<(), Error> {
        if is_same(out, &self.folder) {
            return Directory::continued(out)?.write_all(&self.files);
        }
        let mut directory = Directory::open(out, force)?;
        directory.begin()?;
        for run in &self.runs {
            let from = self.folder.join(run);
            let record = fs::read_to_string(&from).map_err(atomic_file::failure("read", &from))?;
            directory.write(run, &record)?;
        }
        directory.write_all(&self.files)
    }
}
