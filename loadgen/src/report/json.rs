//! The record as JSON, to a file or a stream.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::record::Record;

/// Opens the file for the record, without changing it before there is a new record.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

/// Replaces the content of an opened file by the record.
pub(super) fn replace(file: &File, record: &Record) -> io::Result<()> {
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
