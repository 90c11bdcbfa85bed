//! `evshard completions`: a script with which a shell completes the command line.

use clap::Args;
use clap_complete::Shell;

use super::cli;

/// The shell that is to complete.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// Shell that reads the script.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    /// The text of the script.
    pub(crate) fn script(&self) -> String {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli::definition(), "evshard", &mut script);
        String::from_utf8(script).expect("scripts are UTF-8")
    }
}
