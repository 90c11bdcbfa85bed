//! `evshard check-config`: the errors of a configuration file, without starting a server.

use std::path::PathBuf;

use clap::Args;

use super::configuration::{Configuration, Refusal};
use super::source::Source;

/// The file to check.
#[derive(Args, Debug)]
pub(crate) struct CheckConfig {
    /// Configuration file of `evshard serve`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl CheckConfig {
    /// Checks the file. Returns what to print.
    pub(crate) fn run(&self) -> Result<String, Refusal> {
        Configuration::from_file(&Source::read(&self.file)?, &[])?;
        Ok(format!("{} is valid\n", self.file.display()))
    }
}
