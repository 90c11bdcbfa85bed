//! The record as JSON, to a file or a stream.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::atomic_file;
use crate::record::Record;

/// The file for the record.
#[derive(Debug)]
pub(super) enum RecordFile {
    /// It does not exist before there is a record.
    New(PathBuf),
    /// It keeps its content until there is a record. It may be a device or a named pipe.
    Opened(File),
}

impl RecordFile {
    /// Opens the file, or checks that it can be made. Changes nothing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path.exists() {
            return OpenOptions::new().write(true).open(path).map(Self::Opened);
        }
        atomic_file::check_new_file(path)?;
        Ok(Self::New(path.to_owned()))
    }

    /// Writes the record into the file.
    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        match self {
            Self::New(path) => replace(&File::create(path)?, record),
            Self::Opened(file) => replace(file, record),
        }
    }
}

/// Replaces the content of an opened file by the record.
fn replace(file: &File, record: &Record) -> io::Result<()> {
    // A device or a named pipe has no length to cut.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    write(&mut BufWriter::new(file), record)
}

/// Writes the record and a line end.
pub(super) fn write(out: &mut impl Write, record: &Record) -> io::Result<()> {
    out.write_all(text(record)?.as_bytes())?;
    out.flush()
}

/// The record and a line end.
pub(crate) fn text(record: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(record)? + "\n")
}
