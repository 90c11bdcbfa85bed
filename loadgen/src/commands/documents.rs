//! `loadgen completions` and `loadgen man`: what the command line says of itself, for shells and
//! for man(1).

use std::fs;

use crate::cli::{CompletionsArgs, ManArgs, definition};
use crate::console;
use crate::error::Error;
use crate::exit;

/// Prints the script of a shell and returns the exit code.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<u8, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition(), "loadgen", &mut script);
    console::print(&String::from_utf8(script).expect("scripts are UTF-8"))?;
    Ok(exit::OK)
}

/// Writes a page for the program and one for each command, and returns the exit code.
pub(crate) fn man(args: ManArgs) -> Result<u8, Error> {
    let ManArgs { directory: path } = args;
    fs::create_dir_all(&path)
        .and_then(|()| clap_mangen::generate_to(definition(), &path))
        .map_err(|source| Error::ManPages { path, source })?;
    Ok(exit::OK)
}
