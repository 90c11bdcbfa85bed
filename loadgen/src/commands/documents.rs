//! `loadgen completions` and `loadgen man`: what the command line says of itself, for shells and
//! for man(1).

use std::fs;
use std::io;
use std::path::Path;

use clap_mangen::Man;

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
    let mut command = definition().disable_help_subcommand(true);
    command.build();
    fs::create_dir_all(&path)
        .and_then(|()| write_pages(&command, &path))
        .map_err(|source| Error::ManPages { path, source })?;
    Ok(exit::OK)
}

/// Writes the page of a command, after those of its commands.
fn write_pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    for command in command.get_subcommands() {
        write_pages(command, directory)?;
    }
    let page = Man::new(command.clone()).source(concat!("loadgen ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    fs::write(directory.join(page.get_filename()), with_examples_as_written(&text))
}

/// The page, in which man(1) joins no indented lines: those are examples and tables.
fn with_examples_as_written(page: &str) -> String {
    let mut text = String::new();
    let mut is_as_written = false;
    for line in page.lines() {
        if line.starts_with("  ") != is_as_written {
            is_as_written = !is_as_written;
            text += if is_as_written { ".nf\n" } else { ".fi\n" };
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}
