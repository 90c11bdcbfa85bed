//! The flags of `loadgen plot`.

use std::path::PathBuf;

use clap::Args;

use crate::destination::Destination;

/// Help below the flags.
pub(super) const PLOT_HELP: &str = "\
The description is JSON: a picture of charts, with a row for each value.

  {
    \"title\": \"CPU time of a request\",
    \"caption\": \"median and range of 5 rounds\",
    \"charts\": [{
      \"title\": \"GET\",
      \"label\": \"µs\",
      \"names\": \"version\",
      \"target\": 12.0,
      \"from_zero\": true,
      \"rows\": [
        {\"name\": \"new\", \"median\": 11.2, \"low\": 10.9, \"high\": 12.3, \"verdict\": \"VALID\"}
      ]
    }]
  }

caption, names, target, from_zero and verdict may be left out. A SUSPECT value has a hollow mark, \
an INVALID one is crossed out. Equal descriptions give equal bytes.

Example:
  loadgen plot description.json --out plot.svg";

/// The flags of `loadgen plot`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlotArgs {
    /// The description; '-' is standard input
    #[arg(value_name = "FILE|-")]
    pub(crate) description: PathBuf,

    /// Where to write the picture; a file of this name is replaced
    #[arg(short, long, value_name = "FILE|-", default_value = "-")]
    pub(crate) out: Destination,
}
