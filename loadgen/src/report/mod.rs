//! Where results go: the text report for people, the JSON record for scripts.
//!
//! Outputs are opened before the run, so that a bad path costs no measurement.

use std::fs::File;
use std::io::{self, Write};

use crate::engine::Outcome;
use crate::error::Error;
use crate::options::{Options, RecordSink};

mod json;
mod text;
pub(crate) mod units;

/// The opened outputs of a run.
#[derive(Debug)]
pub(crate) struct Reports {
    record: Option<RecordOutput>,
    text: TextOutput,
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
    /// When stdout holds the record, and nothing else.
    Stderr,
}

impl Reports {
    /// Opens the outputs that the options ask for.
    pub(crate) fn open(options: &Options) -> Result<Self, Error> {
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
        Ok(Self { record, text })
    }

    /// Writes everything; the record first, as a script may wait for it.
    pub(crate) fn write(&self, outcome: &Outcome) -> Result<(), Error> {
        let record = match &self.record {
            None => Ok(()),
            Some(RecordOutput::Stdout) => json::write(&mut io::stdout().lock(), &outcome.record),
            Some(RecordOutput::File(file)) => json::replace(file, &outcome.record),
        };
        let text = match self.text {
            TextOutput::None => Ok(()),
            TextOutput::Stdout => write_text(&mut io::stdout().lock(), outcome),
            TextOutput::Stderr => write_text(&mut io::stderr().lock(), outcome),
        };
        reader_may_leave(record).and(reader_may_leave(text)).map_err(Error::WriteResults)
    }
}

fn write_text(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    out.write_all(text::render(outcome).as_bytes())?;
    out.flush()
}

/// A pipe whose reader has seen enough (`| head`) is no failure of the run.
fn reader_may_leave(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
