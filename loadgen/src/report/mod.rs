//! The outputs of a measurement: the text report for people, the JSON record for scripts.
//!
//! Outputs are opened before the run, so that a bad path costs no measurement.

use std::fs::File;
use std::io::{self, IsTerminal, Write};

use crate::engine::Observer;
use crate::error::Error;
use crate::measure::Measurement;
use crate::options::{OutputOptions, RecordSink};

mod csv;
mod files;
mod folder;
mod hgrm;
pub(crate) mod hlog;
mod html;
mod json;
mod loader_mark;
mod markup;
pub(crate) mod plot;
mod stored;
pub(crate) mod text;
mod views;

pub(crate) use self::folder::ResultFolder;
pub(crate) use self::stored::StoredResult;
use self::text::Style;
pub(crate) use self::views::{View, rewrite, view};

/// The opened outputs of a measurement.
#[derive(Debug)]
pub(crate) struct Reports {
    folder: Option<ResultFolder>,
    record: Option<RecordOutput>,
    text: TextOutput,
    no_observer: (),
}

#[derive(Debug)]
enum RecordOutput {
    Stdout,
    File(File),
}

#[derive(Debug)]
enum TextOutput {
    None,
    Stdout,
    /// When stdout is for the record alone.
    Stderr,
}

impl Reports {
    /// Opens the outputs that the options name.
    pub(crate) fn open(options: &OutputOptions) -> Result<Self, Error> {
        let record = match &options.record {
            None => None,
            Some(RecordSink::Stdout) => Some(RecordOutput::Stdout),
            Some(RecordSink::File(path)) => {
                let opened = json::open(path)
                    .map_err(|source| Error::OpenRecord { path: path.clone(), source })?;
                Some(RecordOutput::File(opened))
            }
        };
        let text = match record {
            _ if options.quiet => TextOutput::None,
            Some(RecordOutput::Stdout) => TextOutput::Stderr,
            _ => TextOutput::Stdout,
        };
        let folder = options.directory.as_deref().map(ResultFolder::open).transpose()?;
        Ok(Self { folder, record, text, no_observer: () })
    }

    /// The observer that writes during the measurement.
    pub(crate) fn observer(&mut self) -> &mut dyn Observer {
        match &mut self.folder {
            Some(folder) => folder,
            None => &mut self.no_observer,
        }
    }

    /// Writes everything; the record first, as a script may wait for it.
    pub(crate) fn write(&mut self, measurement: &Measurement) -> Result<(), Error> {
        let record = match &self.record {
            None => Ok(()),
            Some(RecordOutput::Stdout) => {
                json::write(&mut io::stdout().lock(), &measurement.record)
            }
            Some(RecordOutput::File(file)) => json::replace(file, &measurement.record),
        };
        let text = match self.text {
            TextOutput::None => Ok(()),
            TextOutput::Stdout => write_text(&mut io::stdout().lock(), measurement),
            TextOutput::Stderr => write_text(&mut io::stderr().lock(), measurement),
        };
        let written = reader_may_leave(record).and(reader_may_leave(text));
        written.map_err(Error::WriteResults)?;
        self.folder.as_mut().map_or(Ok(()), |folder| folder.finish(measurement))
    }
}

fn write_text(out: &mut (impl Write + IsTerminal), measurement: &Measurement) -> io::Result<()> {
    let style = Style::of(out);
    out.write_all(text::render(&measurement.record, &measurement.latencies, style).as_bytes())?;
    out.flush()
}

/// Ignores a pipe that its reader has closed (`| head`): that is no failure of the run.
fn reader_may_leave(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
