//! `loadgen selftest`, `calibrate` and `env`: checks of the loader and its machine.

use std::path::PathBuf;

use clap::Args;

/// The flags of `loadgen selftest`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SelftestArgs {
    /// Only these: stall, pacing, verification [default: all]
    #[arg(value_name = "TEST")]
    pub(crate) tests: Vec<String>,
}

/// The flags of `loadgen calibrate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CalibrateArgs {
    /// How long each measurement takes
    #[arg(long, value_name = "D", default_value = "3s")]
    pub(crate) duration: humantime::Duration,

    /// Where to write the result for later runs [default: loadgen/calibration.json in the user's
    /// cache directory]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// The flags of `loadgen env`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EnvArgs {
    /// Print the record as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
