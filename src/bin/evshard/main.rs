//! The `evshard` program: parse, serve until told to stop, report.

mod admin_client;
mod cli;
mod ctl;
mod logger;
mod top;

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use cli::Asked;
use evshard::server::{Server, ServerConfig};
use log::LevelFilter;
use logger::LogFormat;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> ExitCode {
    let asked = match cli::parse() {
        Ok(asked) => asked,
        Err(exit) => return exit,
    };
    let done: Result<(), Box<dyn std::error::Error>> = match asked {
        Asked::Serve(config) => serve(&config),
        Asked::Top(top) => top.run().map_err(Into::into),
        Asked::Ctl(ctl) => ctl.run().map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(io::stderr(), format_args!("evshard: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn serve(config: &ServerConfig) -> Result<(), Box<dyn std::error::Error>> {
    end_loudly_on_panic();
    logger::start(LogFormat::default(), LevelFilter::Info);
    // Before anything else, so that a signal during the start is not lost.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    // Every connection is a descriptor; the soft limit is often far below the hard one. Failing
    // to raise it is no reason not to serve.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let server = Server::start(config)?;
    say(io::stdout(), format_args!("listening on {}\n", server.local_addr()));
    signals.forever().next();
    exit_at_once_on_the_next(signals);
    let seconds = config.drain.timeout.as_secs_f64();
    say(
        io::stderr(),
        format_args!("evshard: draining for at most {seconds} s; signal again to quit at once\n"),
    );
    let report = server.drain()?;
    say(io::stdout(), format_args!("{report}"));
    if report.accept_pauses > 0 {
        let times = report.accept_pauses;
        say(
            io::stderr(),
            format_args!(
                "evshard: accepting paused {times} times for want of descriptors or memory; \
                 raise the limit (ulimit -n) or accept fewer clients\n"
            ),
        );
    }
    Ok(())
}

/// A thread that panicked would leave its connections hanging while the others go on as if nothing
/// had happened. Whoever supervises the process can only help if it ends.
fn end_loudly_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
}

/// A second signal means now, with the status a shell gives a process it killed.
fn exit_at_once_on_the_next(mut signals: Signals) {
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            std::process::exit(128 + signal);
        }
    });
}

/// Prints and flushes. A reader that went away must not end a server that others use.
fn say(mut out: impl Write, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}
