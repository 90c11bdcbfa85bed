//! What a search stores: `search.json` after each probe, everything else at its end.

use super::record::SearchRecord;
use super::report;
use crate::console;
use crate::destination::{Destination, Output};
use crate::error::Error;
use crate::options::OutputOptions;
use crate::report::{Directory, Progress, files, json};

/// The opened outputs of a search.
#[derive(Debug)]
pub(super) struct SearchFiles {
    directory: Option<Directory>,
    record: Option<Output>,
    /// Whether earlier results in the directory have made way.
    has_begun: bool,
}

/// How far the search came. Earlier results make way for the first whole probe.
pub(super) fn progress(record: &SearchRecord) -> Progress {
    if record.probes.iter().any(|probe| !probe.interrupted) {
        Progress::Result
    } else if record.probes.iter().any(|probe| probe.measured > 0) {
        Progress::Beginning
    } else {
        Progress::Nothing
    }
}

impl SearchFiles {
    /// Checks the outputs that the options name.
    pub(super) fn open(options: &OutputOptions) -> Result<Self, Error> {
        let directory = options.directory.as_deref();
        Ok(Self {
            directory: directory.map(|path| Directory::open(path, options.force)).transpose()?,
            record: options.record.as_ref().map(Destination::open).transpose()?,
            has_begun: false,
        })
    }

    /// The output of the record alone.
    pub(super) fn record(&self) -> Option<&Output> {
        self.record.as_ref()
    }

    /// Stores the record in the directory, for the case that the loader is killed. An error is
    /// said, and comes again at the end, if it lasts.
    pub(super) fn store(&mut self, record: &SearchRecord) {
        if progress(record) == Progress::Result {
            let stored = self.begin().and_then(|()| match &self.directory {
                Some(directory) => directory.write(files::SEARCH, &json::text(record)?),
                None => Ok(()),
            });
            if let Err(error) = stored {
                console::say(&error.to_string());
            }
        }
    }

    /// Writes everything that can be written. Returns the first error.
    pub(super) fn finish(&mut self, record: &SearchRecord) -> Result<(), Error> {
        let progress = progress(record);
        let output = self.record.as_ref();
        let of_record =
            output.map_or(Ok(()), |output| progress.write(output, &json::text(record)?));
        let earlier = self.directory.as_ref().filter(|_| !self.has_begun);
        let of_directory = match progress.may_write(earlier.and_then(Directory::earlier)) {
            true => self.write_directory(record),
            false => Ok(()),
        };
        console::first_error([of_record, of_directory])
    }

    fn write_directory(&mut self, record: &SearchRecord) -> Result<(), Error> {
        self.begin()?;
        let files = report::files(record)?;
        self.directory.as_ref().map_or(Ok(()), |directory| directory.write_all(&files))
    }

    fn begin(&mut self) -> Result<(), Error> {
        if let Some(directory) = self.directory.as_mut().filter(|_| !self.has_begun) {
            directory.begin()?;
            self.has_begun = true;
        }
        Ok(())
    }
}
