//! The famous benchmarks of event bases on this one; its peers are in `benches/peers/bases`.
//!
//! The same benchmarks, flags, defaults, random numbers and output as the C programs, so that
//! `scripts/compare_event_bases.sh` can run them in turns. It is a program of its own, not
//! a criterion benchmark, because the script compares one process with another.
//!
//! ```text
//! cargo build --release --example bases
//! target/release/examples/bases chain --pipes 1000 --active 100 --writes 10000
//! ```

mod cascade;
mod chain;
mod changes;
mod memory;
mod options;
mod pairs;
mod random;
mod record;
mod timers;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use options::{Benchmark, Options};
use record::Record;

/// A result; any error ends a benchmark early.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(&Options::parse()).and_then(|line| Ok(writeln!(io::stdout(), "{line}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}"); // no other output could report a failure
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmark; returns its result as a line.
fn run(options: &Options) -> Outcome<String> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let mut record = Record::new(options);
    match options.benchmark {
        Benchmark::Chain => chain::benchmark(options, &mut record)?,
        Benchmark::Cascade => cascade::benchmark(options, &mut record)?,
        Benchmark::Timers => timers::benchmark(options, &mut record)?,
        Benchmark::Changes => changes::benchmark(options, &mut record)?,
        Benchmark::Memory => memory::benchmark(options, &mut record)?,
    }
    Ok(record.line())
}

/// Nanoseconds since `begin`.
fn elapsed_ns(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).expect("a run of less than five centuries")
}
