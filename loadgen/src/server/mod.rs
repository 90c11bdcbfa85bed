//! The server process: started before a run, watched during it, stopped after it.
//!
//! ```text
//! child       a process that the loader starts, and its last output
//! supervisor  the process between the two, which ends the server whatever ends the loader
//! procfs      figures of a process from /proc
//! metrics     what the server says of itself
//! snapshot    all figures at one moment, and their growth between two
//! ```

mod child;
mod metrics;
mod procfs;
mod snapshot;
mod supervisor;

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use self::child::ServerChild;
pub(crate) use self::metrics::MetricsReader;
use self::procfs::cpus_allowed;
use self::snapshot::Snapshot;
pub(crate) use self::supervisor::{command_of, supervise};
use crate::console;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::options::{Options, ServerCommand, ServerSource, Target};
use crate::record::ServerRecord;

/// Minimum time that a server has to start.
const START_TIME_MIN: Duration = Duration::from_secs(10);

/// What is said of a command that ended without a fault before there was a server.
const STARTED_ELSEWHERE: &str = "exit code 0: if it starts a server elsewhere, as systemctl does, \
                                 name the server's process with --server-pid instead";

/// Time between two attempts to connect while a server starts.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// A watched server. Dropping it stops a server that was started here.
#[derive(Debug)]
pub(crate) struct Server {
    pid: u32,
    command: String,
    program_sha256: Option<String>,
    begun: Snapshot,
    /// The process, if the loader started it.
    child: Option<ServerChild>,
}

impl Server {
    /// Starts the server and waits until the target accepts, or finds the running one.
    ///
    /// Fails if another server accepts already, if the process ends, if the target accepts within
    /// neither the timeout nor ten seconds, or if the user interrupts.
    pub(crate) fn start(
        source: &ServerSource,
        options: &Options,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        match source {
            ServerSource::Pid(pid) => Self::find(*pid),
            ServerSource::Command(command) => {
                let target = &options.target;
                let child = spawn(command, target, interrupt)?;
                let within = options.timeout.max(START_TIME_MIN);
                await_ready(&child, command, target, within, interrupt)?;
                Ok(Self::watch(child.id(), command.to_string(), Some(child)))
            }
        }
    }

    fn find(pid: u32) -> Result<Self, Error> {
        if procfs::threads(pid).is_empty() {
            return Err(Error::NoSuchProcess { pid });
        }
        let command = procfs::command_line(pid).unwrap_or_default();
        Ok(Self::watch(pid, command, None))
    }

    fn watch(pid: u32, command: String, child: Option<ServerChild>) -> Self {
        let (program_sha256, begun) = (procfs::sha256(pid), Snapshot::take(pid));
        Self { pid, command, program_sha256, begun, child }
    }

    /// Reads the figures at the start of the run.
    pub(crate) fn begin(&mut self) {
        self.begun = Snapshot::take(self.pid);
    }

    /// Processor time of the process so far, in seconds. It has steps of 10 ms, but is cheap to
    /// read.
    pub(crate) fn cpu_s(&self) -> Option<f64> {
        procfs::family(self.pid).into_iter().map(procfs::cpu_s).sum()
    }

    /// The processors that it may use, as the kernel lists them.
    pub(crate) fn cpus_allowed(&self) -> Option<String> {
        cpus_allowed(self.pid)
    }

    /// The growth of the figures since [`Self::begin`].
    pub(crate) fn record(&mut self, completed: u64) -> ServerRecord {
        let growth = Snapshot::take(self.pid).since(&self.begun);
        let family = procfs::family(self.pid);
        ServerRecord {
            command: self.command.clone(),
            pid: self.pid,
            wall_s: growth.wall_s,
            cpu_s: growth.cpu_s,
            cpu_us_per_request: (completed > 0).then(|| growth.cpu_s * 1e6 / completed as f64),
            voluntary_switches: growth.voluntary_switches,
            involuntary_switches: growth.involuntary_switches,
            rss_bytes: family.iter().map(|&pid| procfs::rss_bytes(pid)).sum(),
            pss_bytes: family.iter().map(|&pid| procfs::pss_bytes(pid)).sum(),
            threads: growth.threads,
            cpus_allowed: self.cpus_allowed(),
            program_sha256: self.program_sha256.clone(),
        }
    }

    /// Stops a server that was started here, and waits for its end.
    ///
    /// Prints a message if the server has ended by itself. The run's counters show the effect. It
    /// is an error if the server has put itself into the background, for then the figures are not
    /// those of the server.
    pub(crate) fn stop(self) -> Result<(), Error> {
        let Self { child: Some(mut child), command, pid, .. } = self else { return Ok(()) };
        let background = child.ended().and_then(|status| {
            let error = in_background(&child, &command, &status);
            if error.is_none() {
                let last_output = child.last_output();
                console::say(&format!(
                    "the server '{command}' ended during the run ({status}){last_output}"
                ));
            }
            error
        });
        child.end().map_err(|source| Error::StopServer { command, pid, source })?;
        background.map_or(Ok(()), Err)
    }
}

/// Why a server that has ended cannot be watched: it left processes behind, and did not crash.
fn in_background(child: &ServerChild, command: &str, status: &str) -> Option<Error> {
    let orphans = child.orphans();
    (status == supervisor::SUCCESS && !orphans.is_empty()).then(|| Error::ServerInBackground {
        command: command.to_owned(),
        status: status.to_owned(),
        others: orphans.join(", "),
        last_output: child.last_output(),
    })
}

fn spawn(
    command: &ServerCommand,
    target: &Target,
    interrupt: &Interrupt,
) -> Result<ServerChild, Error> {
    if listens(target, interrupt)? {
        return Err(Error::TargetTaken { target: target.to_string() });
    }
    let spawned = ServerChild::spawn(&command.words(target));
    spawned.map_err(|source| Error::SpawnServer { command: command.to_string(), source })
}

fn await_ready(
    child: &ServerChild,
    command: &ServerCommand,
    target: &Target,
    within: Duration,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let is_ready = listens(target, interrupt)?;
        if let Some(status) = child.ended() {
            let (command, target) = (command.to_string(), target.to_string());
            return Err(match in_background(child, &command, &status) {
                Some(error) => error,
                None => {
                    let last_output = child.last_output();
                    let status = status.replace(supervisor::SUCCESS, STARTED_ELSEWHERE);
                    Error::ServerEnded { command, target, status, last_output }
                }
            });
        }
        if is_ready {
            return Ok(());
        }
        if begun.elapsed() >= within {
            let (command, target) = (command.to_string(), target.to_string());
            return Err(Error::ServerNotReady {
                command,
                target,
                within,
                last_output: child.last_output(),
            });
        }
        thread::sleep(TRY_AGAIN);
    }
}

/// Longest wait for one connect; a server that listens on this machine accepts at once.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Whether a process listens at the target. It tries to connect once to every address, and closes
/// the connection.
fn listens(target: &Target, interrupt: &Interrupt) -> Result<bool, Error> {
    let target = target.clone();
    let answer = interrupt.or(move || match target {
        Target::Unix(path) => listens_at(&path),
        Target::Tcp(text) => text
            .to_socket_addrs()
            .into_iter()
            .flatten()
            .any(|address| TcpStream::connect_timeout(&address, CONNECT_MAX).is_ok()),
    });
    answer.filter(|_| !interrupt.is_requested()).ok_or(Error::Interrupted)
}

/// Whether a process listens at a unix socket. A connect that blocks would wait without limit while
/// its backlog is full; one that does not returns EAGAIN then.
fn listens_at(path: &Path) -> bool {
    let connect = || {
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC);
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        net::connect(&socket, &SocketAddrUnix::new(path)?)
    };
    matches!(connect(), Ok(()) | Err(Errno::AGAIN))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn is_listened_to(target: &Target) -> bool {
        listens(target, &Interrupt::never()).unwrap()
    }

    #[test]
    fn a_tcp_target_accepts_while_a_server_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Tcp(listener.local_addr().unwrap().to_string());
        assert!(is_listened_to(&target));
        drop(listener);
        assert!(!is_listened_to(&target));
    }

    #[test]
    fn a_socket_file_without_a_listener_does_not_accept() {
        let folder = test_needs::folder();
        let path = folder.path().join("s");
        let target = Target::Unix(path.clone());
        let listener = UnixListener::bind(path).unwrap();
        assert!(is_listened_to(&target));
        drop(listener);
        assert!(!is_listened_to(&target));
    }

    #[test]
    fn a_unix_socket_with_a_full_backlog_does_not_block_the_check() {
        let folder = test_needs::folder();
        let path = folder.path().join("s");
        let listener = net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        net::listen(&listener, 0).unwrap();
        let target = Target::Unix(path);
        for _ in 0..3 {
            assert!(is_listened_to(&target));
        }
    }
}
