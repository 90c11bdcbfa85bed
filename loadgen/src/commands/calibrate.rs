//! `loadgen calibrate`: the loader's maximum on this machine, stored for later runs.
//!
//! The server is an echo server in a thread of this process. Its work is in the numbers, too. They
//! are the maximum of loader and server on this machine, not of the loader alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::echo_server::{self, Behaviour};
use crate::atomic_file;
use crate::cli::CalibrateArgs;
use crate::console;
use crate::destination::Destination;
use crate::environment::Environment;
use crate::environment::calibration::{Calibration, LatenessFloor};
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::options::Pacing;
use crate::report::{json, print_beside};
use crate::units;

/// The rate at which the lateness is measured.
const RATE_PER_S: f64 = 20_000.0;

/// Connections: enough that the echo always has one to answer.
const CONNECTIONS: u32 = 16;

/// Carries out the command and returns the exit code.
pub(crate) fn calibrate(args: CalibrateArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let destination = match args.out {
        Some(destination) => destination,
        None => Destination::File(default_file()?),
    };
    let output = destination.open()?;
    let found = measure(*args.duration, interrupt)?;
    let written = output.write(&json::text(&found)?);
    if let (Ok(()), Destination::File(path)) = (&written, &destination) {
        let later = match Calibration::path().as_ref() == Some(path) {
            true => "later runs compare with it",
            false => "later runs compare with it if --calibration or LOADGEN_CALIBRATION names it",
        };
        console::say(&format!("written to {}; {later}", path.display()));
    }
    let printed = print_beside(Some(&output), |_| render(&found));
    console::first_error([written, printed])?;
    Ok(exit::OK)
}

/// The file in the user's cache, whose folder exists from now on.
fn default_file() -> Result<PathBuf, Error> {
    let path = Calibration::path().ok_or_else(|| {
        Error::Usage("--out: there is no cache directory for the result; name a file".to_owned())
    })?;
    path.parent().map_or(Ok(()), atomic_file::folder)?;
    Ok(path)
}

fn measure(duration: std::time::Duration, interrupt: &Interrupt) -> Result<Calibration, Error> {
    let common = format!("-c {CONNECTIONS} --warmup 500ms --duration {}us", duration.as_micros());
    let closed = echo_server::measure(Behaviour::Faithful, &common, interrupt)?;
    let mut lateness = BTreeMap::new();
    for pacing in [Pacing::Sleep, Pacing::Hybrid, Pacing::Spin] {
        let flags = format!("{common} --rate {RATE_PER_S} --pacing {pacing}");
        let open = echo_server::measure(Behaviour::Faithful, &flags, interrupt)?;
        let late = open.record.latency_ns.loader_late;
        let floor = LatenessFloor { p50_ns: late.p50, p99_ns: late.p99, p999_ns: late.p999 };
        lateness.insert(pacing.to_string(), floor);
    }
    let Environment { loadgen_version, loadgen_profile, kernel, cpu_model, started_unix_s, .. } =
        closed.record.env;
    Ok(Calibration {
        loadgen_version,
        loadgen_profile,
        kernel,
        cpu_model,
        made_unix_s: started_unix_s,
        ceiling_per_s: closed.record.rate.achieved_per_s,
        lateness_rate_per_s: RATE_PER_S,
        lateness,
    })
}

fn render(found: &Calibration) -> String {
    let ceiling = units::rate(found.ceiling_per_s);
    let mut text = format!("One thread in a closed loop, {CONNECTIONS} connections: {ceiling}/s\n");
    let rate = units::rate(found.lateness_rate_per_s);
    _ = writeln!(text, "How late one thread sends at {rate}/s, by its way of waiting:");
    let known = |value_ns: Option<u64>| value_ns.map_or("n/a".to_owned(), units::duration);
    for (pacing, floor) in &found.lateness {
        _ = writeln!(
            text,
            "  {pacing:<8} p50 {:>8}   p99 {:>8}   p99.9 {:>8}",
            known(floor.p50_ns),
            known(floor.p99_ns),
            known(floor.p999_ns)
        );
    }
    if found.loadgen_profile == "debug" {
        text.push_str("This is a debug build; it counts for debug builds alone.\n");
    }
    text
}
