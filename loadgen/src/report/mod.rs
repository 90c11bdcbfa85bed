//! The outputs of a measurement: the text report for people, the JSON record for scripts.
//!
//! Outputs are checked before the run, so that a bad path costs no measurement. Files are written
//! once there is something to write: a run that cannot start leaves no file, and changes none.

use std::io::{self, IsTerminal, Write};

use crate::console;
use crate::engine::Observer;
use crate::error::Error;
use crate::measure::Measurement;
use crate::options::{OutputOptions, RecordSink};
use crate::record::{Code, Record, Verdict};

mod csv;
pub(crate) mod existing;
pub(crate) mod files;
mod folder;
mod hgrm;
pub(crate) mod hlog;
mod html;
pub(crate) mod json;
mod loader_mark;
mod markup;
pub(crate) mod plot;
mod stored;
pub(crate) mod text;
mod views;

pub(crate) use self::folder::ResultFolder;
use self::json::RecordFile;
pub(crate) use self::stored::{StoredResult, read_record};
use self::text::Style;
pub(crate) use self::views::{View, is_same, rewrite, view};

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
    File(RecordFile),
}

#[derive(Debug)]
enum TextOutput {
    /// Only why the exit code is not 0, in a line on stderr.
    Verdict,
    Stdout,
    /// When stdout is for the record alone.
    Stderr,
}

impl Reports {
    /// Checks the outputs that the options name.
    pub(crate) fn open(options: &OutputOptions) -> Result<Self, Error> {
        let record = match &options.record {
            None => None,
            Some(RecordSink::Stdout) => Some(RecordOutput::Stdout),
            Some(RecordSink::File(path)) => {
                let opened = RecordFile::open(path)
                    .map_err(|source| Error::OpenRecord { path: path.clone(), source })?;
                Some(RecordOutput::File(opened))
            }
        };
        let text = match record {
            _ if options.quiet => TextOutput::Verdict,
            Some(RecordOutput::Stdout) => TextOutput::Stderr,
            _ => TextOutput::Stdout,
        };
        let folder = options.directory.as_deref();
        let folder = folder.map(|path| ResultFolder::open(path, options.force)).transpose()?;
        Ok(Self { folder, record, text, no_observer: () })
    }

    /// The observer that writes during the measurement.
    pub(crate) fn observer(&mut self) -> &mut dyn Observer {
        match &mut self.folder {
            Some(folder) => folder,
            None => &mut self.no_observer,
        }
    }

    /// Writes everything; the record first, as a script may wait for it. Files stay as they are if
    /// the run was interrupted before it sent anything.
    pub(crate) fn write(&mut self, measurement: &Measurement) -> Result<(), Error> {
        let Record { interrupted, counters, .. } = &measurement.record;
        let has_begun = !interrupted || counters.sent > 0;
        let record = match &self.record {
            None => Ok(()),
            Some(RecordOutput::Stdout) => {
                json::write(&mut io::stdout().lock(), &measurement.record)
            }
            Some(RecordOutput::File(file)) if has_begun => file.write(&measurement.record),
            Some(RecordOutput::File(_)) => Ok(()),
        };
        let text = match self.text {
            TextOutput::Verdict => {
                if let Some(line) = quiet_line(&measurement.record) {
                    console::say(&line);
                }
                Ok(())
            }
            TextOutput::Stdout => write_text(&mut io::stdout().lock(), measurement),
            TextOutput::Stderr => write_text(&mut io::stderr().lock(), measurement),
        };
        let written = reader_may_leave(record).and(reader_may_leave(text));
        written.map_err(Error::WriteResults)?;
        match &mut self.folder {
            Some(folder) if has_begun => folder.finish(measurement),
            _ => Ok(()),
        }
    }
}

/// All that a run without a report says: a verdict that is not VALID, errors that are too few for
/// such a verdict, and the objectives that were not met.
fn quiet_line(record: &Record) -> Option<String> {
    let validity = &record.validity;
    let verdict = (validity.verdict > Verdict::Valid).then(|| validity.summary());
    let errors = validity.labels.iter().find(|label| label.code == Code::Errors);
    let errors = errors.map(|label| format!("errors: {}", label.text));
    let not_met = record.slo.iter().filter(|slo| slo.met != Some(true)).map(|slo| {
        let came_to = if slo.met.is_some() { "MISSED" } else { "not known" };
        format!("slo {} {came_to}: {}", slo.objective, slo.found)
    });
    verdict.into_iter().chain(errors).chain(not_met).reduce(|all, next| format!("{all}; {next}"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::sample;
    use crate::record::{Decision, Reason, SloRecord};

    #[test]
    fn a_quiet_run_says_why_its_exit_code_is_not_0() {
        let mut record = sample::open().record;
        assert_eq!(quiet_line(&record), None);
        let text = "1 of 10,000 requests failed".to_owned();
        record.validity.labels.push(Reason { code: Code::Errors, level: Verdict::Valid, text });
        record.slo = [(Some(true), "max<1s"), (Some(false), "p99<1ms"), (None, "p99.9<1s")]
            .map(|(met, objective)| SloRecord {
                objective: objective.to_owned(),
                met,
                decision: Decision::Undecided,
                found: "2 ms".to_owned(),
            })
            .into();
        assert_eq!(
            quiet_line(&record).unwrap(),
            "errors: 1 of 10,000 requests failed; slo p99<1ms MISSED: 2 ms; slo p99.9<1s not \
             known: 2 ms"
        );
    }
}
