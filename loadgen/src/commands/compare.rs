//! `loadgen compare`: is B faster, slower or the same?

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use crate::cli::compare::CompareArgs;
use crate::comparison::{self, Comparison, Side};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::report::text::Style;
use crate::slo;

/// Carries out the command and returns the exit code.
pub(crate) fn compare(args: CompareArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    let delta = slo::share(&args.delta)
        .map_err(|complaint| Error::Usage(format!("--delta: {complaint}")))?;
    let comparison = Comparison::of(&Side::read(&args.a)?, &Side::read(&args.b)?, delta);
    match args.json.as_deref() {
        Some(path) if path == Path::new("-") => {
            write(&mut io::stdout().lock(), &json(&comparison))?;
            show(&mut io::stderr().lock(), &comparison)?;
        }
        Some(path) => {
            fs::write(path, json(&comparison))
                .map_err(|source| Error::OpenRecord { path: path.to_owned(), source })?;
            show(&mut io::stdout().lock(), &comparison)?;
        }
        None => show(&mut io::stdout().lock(), &comparison)?,
    }
    Ok(comparison.exit_code())
}

fn show(out: &mut (impl Write + IsTerminal), comparison: &Comparison) -> Result<(), Error> {
    let style = Style::of(out);
    write(out, &comparison::render(comparison, style))
}

fn json(comparison: &Comparison) -> String {
    let text = serde_json::to_string_pretty(comparison);
    text.expect("a comparison is plain data") + "\n"
}

/// A reader who has seen enough (`| head`) is no failure.
fn write(out: &mut impl Write, text: &str) -> Result<(), Error> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::WriteResults(error)),
        _ => Ok(()),
    }
}
