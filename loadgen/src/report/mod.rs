//! The outputs of a measurement: the text report for people, the JSON record for scripts.
//!
//! Outputs are checked before the run, so that a bad path costs no measurement. Files are written
//! once there is something to write: a run that cannot start leaves no file, and changes none. What
//! cannot be written is printed all the same.

use std::io;
use std::path::Path;

use crate::console;
use crate::destination::{Destination, Output};
use crate::engine::{Interval, Observer};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::measure::Measurement;
use crate::options::Options;
use crate::record::{Code, Record, Verdict};

mod csv;
mod directory;
pub(crate) mod files;
mod folder;
mod hgrm;
pub(crate) mod hlog;
mod html;
pub(crate) mod json;
mod loader_mark;
pub(crate) mod markup;
mod metrics;
pub(crate) mod plot;
mod stored;
mod stream;
pub(crate) mod text;
mod views;

pub(crate) use self::directory::Directory;
pub(crate) use self::folder::ResultFolder;
use self::metrics::Metrics;
pub(crate) use self::stored::{StoredResult, read_record};
use self::stream::JsonStream;
use self::text::Style;
pub(crate) use self::views::{View, is_same, rewrite, view};

/// The opened outputs of a measurement.
#[derive(Debug)]
pub(crate) struct Reports {
    folder: Option<ResultFolder>,
    record: Option<Output>,
    stream: Option<JsonStream>,
    metrics: Option<Metrics>,
    quiet: bool,
    interrupt: Interrupt,
    /// Whether an interval with replies ended before an interrupt.
    has_interval: bool,
}

impl Reports {
    /// Checks the outputs that the options name.
    pub(crate) fn open(options: &Options, interrupt: &Interrupt) -> Result<Self, Error> {
        let output = &options.output;
        let folder = output.directory.as_deref();
        if let Some(folder) = folder.filter(|folder| !folder.exists()) {
            for (flag, place) in [("--json", &output.record), ("--json-stream", &output.stream)] {
                if let Some(Destination::File(path)) = place
                    && path.starts_with(folder)
                {
                    return Err(Error::Usage(format!(
                        "{flag} {}: the directory of --out does not exist before its results are \
                         written; name a file outside of it, or make the directory first",
                        path.display()
                    )));
                }
            }
        }
        Ok(Self {
            folder: folder.map(|path| ResultFolder::open(path, output.force)).transpose()?,
            record: output.record.as_ref().map(Destination::open).transpose()?,
            stream: output.stream.as_ref().map(JsonStream::open).transpose()?,
            metrics: Metrics::open(options)?,
            quiet: output.quiet,
            interrupt: interrupt.clone(),
            has_interval: false,
        })
    }

    /// Ends the live outputs, and then writes everything that can be written. Returns the first
    /// error.
    pub(crate) fn finish(&mut self, mut measurement: Measurement) -> Result<(), Error> {
        let streamed = self.stream.as_mut().map_or(Ok(()), |stream| stream.finish(&measurement));
        if let Err(Error::StreamLost { .. }) = &streamed {
            let labels = &mut measurement.record.validity.labels;
            labels.extend(streamed.as_ref().err().map(stream::label));
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.finish(&measurement.record);
        }
        let written = self.write(&measurement);
        if let Some(metrics) = &self.metrics {
            metrics.linger(&self.interrupt);
        }
        console::first_error([streamed, written])
    }

    /// The output that is standard output, if any: then the report goes to stderr.
    fn stdout(&self) -> Option<&Output> {
        let all = [self.record.as_ref(), self.stream.as_ref().map(JsonStream::output)];
        all.into_iter().flatten().find(|output| matches!(output, Output::Stdout))
    }

    /// Writes the record first, as a script may wait for it.
    fn write(&mut self, measurement: &Measurement) -> Result<(), Error> {
        let Measurement { record, latencies, .. } = measurement;
        let progress = match record.counters.sent {
            _ if !record.interrupted || self.has_interval => Progress::Result,
            0 => Progress::Nothing,
            _ => Progress::Beginning,
        };
        let mut written = Vec::new();
        if let Some(output) = &self.record {
            written.push(progress.write(output, &json::text(record)?));
        }
        if self.quiet {
            if let Some(line) = quiet_line(record) {
                console::say(&line);
            }
        } else {
            let report = |style| text::render(record, latencies, style);
            written.push(print_beside(self.stdout(), report));
        }
        if let Some(folder) = &mut self.folder
            && progress.may_write(folder.earlier())
        {
            written.push(folder.finish(measurement));
        }
        console::first_error(written)
    }
}

/// Earlier results make way when the first interval with replies has ended.
impl Observer for Reports {
    fn run_begins(&mut self, number: u32, started_unix_s: f64) -> Result<(), Error> {
        if let Some(folder) = &mut self.folder {
            folder.run_begins(number, started_unix_s);
        }
        if let Some(stream) = &mut self.stream {
            stream.run_begins(number, started_unix_s)?;
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.run_begins(number);
        }
        Ok(())
    }

    fn interval(&mut self, interval: &Interval<'_>) -> Result<(), Error> {
        self.has_interval |= interval.record.completed > 0 && !self.interrupt.is_requested();
        if let Some(stream) = &mut self.stream {
            stream.interval(interval)?;
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.interval(interval);
        }
        let Some(folder) = &mut self.folder else { return Ok(()) };
        if self.has_interval {
            folder.begin();
        }
        folder.interval(interval.record, interval.latencies);
        Ok(())
    }
}

/// How far a measurement came, and thus what it may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It was interrupted before it sent anything.
    Nothing,
    /// It was interrupted before its first interval with replies, or its first probe, ended.
    Beginning,
    /// Otherwise.
    Result,
}

impl Progress {
    /// Whether files are written where these earlier results are. Says so if results stay.
    pub(crate) fn may_write(self, earlier: Option<&Path>) -> bool {
        if let (Self::Beginning, Some(path)) = (self, earlier) {
            let path = path.display();
            console::say(&format!("interrupted at its beginning; {path} keeps the earlier result"));
        }
        self == Self::Result || (self == Self::Beginning && earlier.is_none())
    }

    /// Writes a record. A pipe or a device has no earlier result, and gets every record.
    pub(crate) fn write(self, output: &Output, text: &str) -> Result<(), Error> {
        if !output.is_file() || self.may_write(output.earlier()) {
            output.write(text)?;
        }
        Ok(())
    }
}

/// Prints a report: to stderr if stdout is for the record alone.
pub(crate) fn print_beside(
    record: Option<&Output>,
    report: impl FnOnce(Style) -> String,
) -> Result<(), Error> {
    if let Some(Output::Stdout) = record {
        let mut stderr = io::stderr().lock();
        let text = report(Style::of(&stderr));
        return console::print_to(&mut stderr, &text);
    }
    console::print(&report(Style::of(&io::stdout())))
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
