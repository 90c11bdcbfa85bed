//! `loadgen compare`.

use std::path::PathBuf;

use clap::Args;

/// Help below the flags.
pub(super) const AFTER_HELP: &str = "\
The unit of comparison is the run, not the request: five runs a side are the least for a verdict. \
A and B are result directories, result.json files, or directories of several of them.

Exit codes: 0 no regression, 2 B is slower in one of the metrics, 3 one of the sides is INVALID.

Example:
  loadgen run --rate 10k --runs 10 --out before/    ...    --out after/
  loadgen compare before/ after/";

/// The flags of `loadgen compare`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompareArgs {
    /// The side to compare with
    #[arg(value_name = "A")]
    pub(crate) a: PathBuf,

    /// The side in question
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,

    /// Differences within this share are the same
    #[arg(long, value_name = "SHARE", default_value = "3%")]
    pub(crate) delta: String,

    /// Write the comparison as JSON to FILE; with '-' to stdout, the report then goes to stderr
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<PathBuf>,
}
