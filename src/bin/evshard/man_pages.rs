//! `evshard man`: the manual pages of the program and its commands, in section 1.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man;

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
        let mut command = cli::definition().disable_help_subcommand(true);
        command.build();
        fs::create_dir_all(&self.directory)
            .and_then(|()| write_pages(&command, &self.directory))
            .map_err(|source| ManError { directory: self.directory.clone(), source })
    }
}

/// Writes the page of a command, after those of its commands.
fn write_pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    for command in command.get_subcommands() {
        write_pages(command, directory)?;
    }
    let page = Man::new(command.clone()).source(concat!("evshard ", env!("CARGO_PKG_VERSION")));
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
