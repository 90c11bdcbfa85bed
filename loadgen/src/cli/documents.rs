//! The flags of `loadgen completions` and `loadgen man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Help below the flags.
pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  loadgen completions bash > ~/.local/share/bash-completion/completions/loadgen
  loadgen completions zsh > ~/.zfunc/_loadgen          a directory of $fpath
  loadgen completions fish > ~/.config/fish/completions/loadgen.fish";

/// The flags of `loadgen completions`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell that reads the script
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Help below the flags.
pub(super) const MAN_HELP: &str = "\
Example:
  loadgen man ~/.local/share/man/man1 && man loadgen-run";

/// The flags of `loadgen man`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// Directory for the pages, which is made if it is missing; pages of the same name are replaced
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}
