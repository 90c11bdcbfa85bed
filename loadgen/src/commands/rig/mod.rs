//! A test rig: this loader against an echo server in the same process, with known behaviour.

mod echo;

pub(super) use self::echo::{Behaviour, Echo};

use crate::cli::{self, Command, Request};
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::measure::{self, Measurement};
use crate::options::Options;

/// Measures an echo that behaves like this, as `loadgen run` with these flags would.
pub(super) fn measure(
    behaviour: Behaviour,
    flags: &str,
    interrupt: &Interrupt,
) -> Result<Measurement, Error> {
    let echo = Echo::start(behaviour).map_err(Error::Start)?;
    let address = echo.address().to_string();
    let words = ["loadgen", "run", "--quiet", &address].into_iter();
    let Request::Do(Command::Run(args)) = cli::parse(words.chain(flags.split_whitespace()))? else {
        return Err(Error::Usage(format!("'{flags}' are no flags of a run")));
    };
    let measurement = measure::measure(&Options::try_from(*args)?, interrupt, &mut ())?;
    if measurement.record.interrupted { Err(Error::Interrupted) } else { Ok(measurement) }
}

/// The exit code for checks that passed or failed.
pub(super) fn exit_code(passed: bool) -> u8 {
    if passed { exit::OK } else { exit::FAILED }
}
