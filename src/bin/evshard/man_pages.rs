//! `evshard man`: the manual pages of the program and its commands, in section 1.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::Args;

use super::cli;

/// Where to write them.
#[derive(Args, Debug)]
pub(crate) struct ManPages {
    /// Directory for the pages, which is made if it is missing. Pages of the same name are
    /// replaced.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// A page or its directory cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("write the manual pages to {}: {source}; name a directory with free space that you may \
         write to", directory.display())]
pub(crate) struct ManError {
    directory: PathBuf,
    source: io::Error,
}

impl ManPages {
    /// Writes a page for the program and one for each command.
    pub(crate) fn write(&self) -> Result<(), ManError> {
        fs::create_dir_all(&self.directory)
            .and_then(|()| clap_mangen::generate_to(cli::definition(), &self.directory))
            .map_err(|source| ManError { directory: self.directory.clone(), source })
    }
}
