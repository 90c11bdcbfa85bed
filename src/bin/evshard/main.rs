//! The `evshard` program: a server, and commands that inspect and control it.

mod admin_client;
mod cli;
mod completions;
mod config_file;
mod ctl;
mod flag_values;
mod flags;
mod logger;
mod man_pages;
mod output_queue;
mod reload;
mod serve;
mod tls_flags;
mod top;
mod usage_error;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use cli::Action;
use config_file::Configuration;
use output_queue::{FLUSH_TIMEOUT, write_text};

fn main() -> ExitCode {
    abort_on_panic();
    let action = match cli::parse() {
        Ok(action) => action,
        Err(exit) => return exit,
    };
    let done = match action {
        Action::Serve(serve) if serve.flags.file.print_config => print_config(&serve),
        Action::Serve(serve) => serve::run(*serve),
        Action::Top(top) => top.run().map_err(Into::into),
        Action::Ctl(ctl) => ctl.run(),
        Action::CheckConfig(check) => match check.run() {
            Ok(text) => print(&text).map_err(Into::into),
            Err(refusal) => return cli::refuse(&refusal),
        },
        Action::Completions(completions) => print(&completions.script()).map_err(Into::into),
        Action::ManPages(pages) => pages.write().map_err(Into::into),
    };
    exit_code(done)
}

fn print_config(serve: &Configuration) -> Result<(), Box<dyn Error>> {
    Ok(print(&serve.settings.to_toml()?)?)
}

/// The exit code of a command, after its error is printed.
fn exit_code(done: Result<(), impl Display>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&format!("evshard: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Ends the process when a thread panics. Otherwise the connections of that thread would hang while
/// the others continue, and a supervisor could not help. A panic in a service costs only its
/// connection, and its worker must not wait for the reader of standard error.
fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let mut text = format!("thread {} {panic}", thread.name().unwrap_or_default());
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            text += &format!("\n{backtrace}");
        }
        log::error!(target: "panic", "{text}");
        if !evshard::server::in_service_callback() {
            log::logger().flush();
            if !log::log_enabled!(target: "panic", log::Level::Error) {
                print_error(&format!("{text}\n"));
            }
            std::process::abort();
        }
    }));
}

/// Standard output does not take what a command prints.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}; free space there, or choose another output")]
struct OutputError(io::Error);

/// Prints the result of a command.
fn print(text: &str) -> Result<(), OutputError> {
    let mut out = io::stdout();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The result of a write to standard output. A reader that has closed it has what it wanted.
fn written(result: io::Result<()>) -> Result<(), OutputError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(OutputError(error)),
        _ => Ok(()),
    }
}

/// Prints an error that ends the program, unless the reader of standard error stalls.
fn print_error(text: &str) {
    let _ = write_text(io::stderr(), text, Some(Instant::now() + FLUSH_TIMEOUT));
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;
    use std::num::NonZeroUsize;
    use std::os::unix::process::ExitStatusExt;
    use std::path::PathBuf;
    use std::process::Command;

    use evshard::server::{Connection, ListenAddress, Server, ServerConfig, Service};
    use log::LevelFilter;

    use super::*;
    use crate::logger::LogFormat;

    /// Names the log file of a process that panics.
    const LOG: &str = "EVSHARD_TEST_LOG";

    /// Panics in a callback, and once more at the end of its worker.
    #[derive(Clone)]
    struct Faulty;

    impl Service for Faulty {
        type Session = ();
        type Message = ();

        fn open(&mut self, _: &mut Connection<'_, Self>) {
            panic!("a callback\nof two lines")
        }

        fn receive(&mut self, (): &mut (), input: &[u8], _: &mut Connection<'_, Self>) -> usize {
            input.len()
        }
    }

    impl Drop for Faulty {
        fn drop(&mut self) {
            let is_worker = std::thread::current().name() == Some("worker-0");
            assert!(!is_worker, "no callback");
        }
    }

    #[test]
    #[ignore = "run by another test, in a process that it ends"]
    fn a_service_and_its_worker_panic() {
        let path = PathBuf::from(std::env::var_os(LOG).unwrap());
        logger::start(LogFormat::Text, LevelFilter::Info, Some(path)).unwrap();
        abort_on_panic();
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let config = ServerConfig { listen, workers: NonZeroUsize::MIN, ..ServerConfig::default() };
        let server = Server::start(&config, Faulty).unwrap();
        let ListenAddress::Tcp(address) = server.addresses()[0] else { unreachable!() };
        assert!(TcpStream::connect(address).unwrap().read(&mut [0]).is_err());
        let _ = server.drain();
    }

    #[test]
    fn a_panic_of_a_worker_or_its_service_is_no_line_of_the_log() {
        let folder = test_needs::folder();
        let log = folder.path().join("log");
        let name = "tests::a_service_and_its_worker_panic";
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--ignored", "--exact", name]).env(LOG, &log).env_remove("RUST_BACKTRACE");
        let output = child.output().unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
        let text = std::fs::read_to_string(&log).unwrap();
        let panics: Vec<&str> = text.lines().filter(|line| line.contains(" panic: ")).collect();
        let [callback, worker] = panics[..] else { panic!("{text}") };
        for (line, message) in [(callback, "a callback\\nof two lines"), (worker, "no callback")] {
            assert!(line.contains(" ERROR panic: thread worker-0 panicked at "), "{line}");
            assert!(line.ends_with(message), "{line}");
        }
    }
}
