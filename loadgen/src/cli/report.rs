//! `loadgen report` and `loadgen merge`: views of stored results, and several results as one.

use std::path::PathBuf;

use clap::Args;

use crate::report::View;

/// The flags of `loadgen report`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReportArgs {
    /// A result directory, or a result.json
    #[arg(value_name = "DIR")]
    pub(crate) source: PathBuf,

    /// What to make of it
    #[arg(long, value_name = "VIEW", default_value = "text")]
    pub(crate) view: View,

    /// Where to [default: stdout; all: the directory itself]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
}

/// The flags of `loadgen merge`.
#[derive(Debug, Clone, Args)]
pub(crate) struct MergeArgs {
    /// Result directories of loaders that ran at the same time with the same plan
    #[arg(value_name = "DIR", required = true, num_args = 2..)]
    pub(crate) sources: Vec<PathBuf>,

    /// Directory of the merged result
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}
