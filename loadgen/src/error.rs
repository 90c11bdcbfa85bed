//! Errors that end the program. Their texts state what failed and the remedy.
//!
//! Errors of single connections during a run are results, not errors: see the recorder.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;

use crate::exit;

/// A run that cannot start or cannot continue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line requests something impossible.
    #[error("{0}")]
    Usage(String),

    #[error("resolve {target}: {source}; is the host name right?")]
    Resolve { target: String, source: io::Error },

    #[error("resolve {target}: the name has no address; is the host name right?")]
    NoAddress { target: String },

    #[error("connect to {address}: {}", connect_advice(source, *done, *timeout))]
    Connect {
        address: String,
        source: io::Error,
        /// Connections that the same thread had established before.
        done: usize,
        timeout: Duration,
    },

    /// The complaint states the reason and the remedy.
    #[error("TLS handshake with {address}{}: {complaint}", after(*done))]
    Handshake {
        address: String,
        complaint: String,
        /// Connections that the same thread had established before.
        done: usize,
    },

    /// The complaint states the reason and the remedy.
    #[error("set up a connection to {address}{}: {complaint}", after(*done))]
    Setup {
        address: String,
        complaint: String,
        /// Connections that the same thread had established before.
        done: usize,
    },

    /// The server does not keep idle connections for as long as it takes to open all of them.
    #[error(
        "open {all} connections to {address}: each one that is open is lost before all are, and \
         {live} are open now; the first was lost because: {reason}; does the server allow so many \
         (--connections), and wait for a request as long as that takes?"
    )]
    LostBeforeLoad { address: String, reason: String, live: usize, all: usize },

    /// The complaint states the reason.
    #[error("preload {address}: {complaint}")]
    Preload { address: String, complaint: String },

    /// The complaint states the reason and the remedy.
    #[error("import {name}: {complaint}")]
    Import { name: String, complaint: String },

    /// The complaint states the reason.
    #[error("plot {name}: {complaint}; 'loadgen plot --help' has an example")]
    Plot { name: String, complaint: String },

    /// A file of TLS that cannot be used; the complaint states the reason and the remedy.
    #[error("read {} ({flag}): {complaint}", path.display())]
    TlsFile { flag: &'static str, path: PathBuf, complaint: String },

    #[error(
        "verify the server: this system has no trusted certificates{why}; name the one that issued \
         the server's with --tls-ca FILE"
    )]
    NoTrust { why: String },

    #[error(
        "{connections} connections to one address need as many local ports, and there are {ports} \
         (net.ipv4.ip_local_port_range); ask for fewer connections or widen the range"
    )]
    TooFewPorts { connections: u32, ports: u32 },

    #[error(
        "{connections} connections need {needed} open files, and the hard limit is {limit} \
         (ulimit -Hn); ask for at most {possible} connections or raise the limit"
    )]
    TooFewDescriptors { connections: u32, needed: u64, limit: u64, possible: u64 },

    #[error("open {} for the result: {source}; name another file, or '-'", path.display())]
    OpenOutput { path: PathBuf, source: io::Error },

    /// Why the lines were lost, and the remedy.
    #[error("write the JSON stream to {name}: {lost} of {lines} lines were lost: {complaint}")]
    StreamLost { name: String, lost: u64, lines: u64, complaint: String },

    #[error(
        "listen for scrapes at {address}: {source}; name an address of this machine with a free \
         port, such as 127.0.0.1:9300 (--metrics)"
    )]
    Metrics { address: String, source: io::Error },

    #[error("write the results: {0}")]
    WriteResults(io::Error),

    #[error(
        "write the manual pages to {}: {source}; name a directory with free space that you may \
         write to",
        path.display()
    )]
    ManPages { path: PathBuf, source: io::Error },

    #[error("{operation} {}: {source}", path.display())]
    File { operation: &'static str, path: PathBuf, source: io::Error },

    #[error(
        "start the server: {target} already accepts connections, so another server would be \
         measured; stop that one, or watch it with --server-pid"
    )]
    TargetTaken { target: String },

    #[error("start the server '{command}': {source}; is its path right?")]
    SpawnServer { command: String, source: io::Error },

    #[error(
        "start the server '{command}': it ended before {target} accepted ({status}){last_output}"
    )]
    ServerEnded { command: String, target: String, status: String, last_output: String },

    #[error(
        "start the server '{command}': it put itself into the background: its process ended \
         ({status}), and {others}, which it had started, went on. The loader cannot watch it, and \
         has ended it. Keep the server in the foreground (nginx: -g 'daemon off;', redis-server: \
         --daemonize no), and start it with exec if the command is a script{last_output}"
    )]
    ServerInBackground { command: String, status: String, others: String, last_output: String },

    #[error(
        "start the server '{command}': {target} did not accept within {}; does it listen there? \
         {{addr}} in the command stands for the target. A --timeout above that gives it \
         more time{last_output}",
        humantime::format_duration(*within)
    )]
    ServerNotReady { command: String, target: String, within: Duration, last_output: String },

    #[error("run {number} of {runs}: {source}")]
    LaterRun { number: u32, runs: u32, source: Box<Self> },

    #[error(
        "agent {name} was lost: {why}; the others are not the same loader, so no further run is \
         made: start all agents again, and repeat this command"
    )]
    LostAgent { name: String, why: String },

    #[error("watch the server: there is no process {pid}; is its id right?")]
    NoSuchProcess { pid: u32 },

    #[error("stop the server '{command}', process {pid}: {source}")]
    StopServer { command: String, pid: u32, source: io::Error },

    #[error("interrupted before the measurement began")]
    Interrupted,

    #[error(
        "write results into {}: it contains {found}, which is not a result of loadgen; name a \
         new or an empty directory", path.display()
    )]
    ForeignDirectory { path: PathBuf, found: String },

    #[error(
        "write results into {}: another loadgen writes into it now; name another directory, or \
         wait until it has ended", path.display()
    )]
    DirectoryInUse { path: PathBuf },

    #[error(
        "write results into {}: it already contains a result ({found}); add --force to replace \
         it, or name another directory", path.display()
    )]
    ExistingResult { path: PathBuf, found: String },

    /// A stored result that cannot be used; the complaint states the reason and the remedy.
    #[error("read {}: {complaint}", path.display())]
    BadResult { path: PathBuf, complaint: String },

    /// Results that are not parts of one measurement.
    #[error("merge {}: {complaint}", path.display())]
    CannotMerge { path: PathBuf, complaint: String },

    /// The complaint states the reason.
    #[error("agent {name}: {complaint}")]
    Agent { name: String, complaint: String },

    #[error("start agent {name}: {source}; is the program installed (--agents-ssh)?")]
    SpawnAgent { name: String, source: io::Error },

    #[error(
        "listen for agents at {address}: {source}; name an address of this machine with a \
         free port (--agents)"
    )]
    ListenForAgents { address: String, source: io::Error },

    #[error(
        "wait for agents: {found} of {expected} have dialled in within {}; start the others with \
         'loadgen agent --connect', or wait longer (--agents-timeout)",
        humantime::format_duration(*within)
    )]
    AgentsMissing { found: u32, expected: u32, within: Duration },

    #[error("the coordinator refuses this agent: {0}")]
    AgentRefused(String),

    #[error(
        "connect to the coordinator at {address}: {source}; it did not answer within {}; does \
         a 'loadgen' with this --agents run there?",
        humantime::format_duration(*within)
    )]
    DialCoordinator { address: String, source: io::Error, within: Duration },

    /// The complaint is about the other side.
    #[error("dial in to the coordinator at {address}: {complaint}")]
    DialIn { address: String, complaint: String },

    #[error("start the load: {0}")]
    Start(io::Error),

    #[error("poll the connections: {0}")]
    Poll(io::Error),

    #[error(
        "pin a thread to processor {cpu}: {source}; see the processors allowed by 'loadgen env'"
    )]
    Pin { cpu: usize, source: io::Error },

    #[error(
        "internal error: requests are unaccounted for, the results cannot be trusted, please \
         report this: {0}"
    )]
    NotConserved(String),
}

impl Error {
    /// The exit code of a program that ends with this error.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Interrupted => exit::INTERRUPTED,
            Self::LaterRun { source, .. } => source.exit_code(),
            _ => exit::FAILED,
        }
    }
}

fn connect_advice(source: &io::Error, done: usize, timeout: Duration) -> String {
    let progress = after(done);
    match source.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "connection refused{progress}; is the server running? Start it, or name its \
             address"
        ),
        io::ErrorKind::TimedOut => format!(
            "no answer within {}{progress}; is the address right, does a firewall let it through, \
             is the server accepting? (--timeout)",
            humantime::format_duration(timeout)
        ),
        io::ErrorKind::NotFound => format!(
            "there is no such socket{progress}; is the server running? Start it, or name its path"
        ),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => format!(
            "no free local port{progress}; ask for fewer connections, or wait until closed ones \
             have left TIME_WAIT"
        ),
        io::ErrorKind::WouldBlock => format!(
            "the backlog of the socket stayed full for {}{progress}: a process listens, and does \
             not accept; is it stopped or overloaded? (--timeout)",
            humantime::format_duration(timeout)
        ),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => format!(
            "no route leads there ({source}){progress}; is the address right, and the network up?"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("{source}{progress}; may this user connect to it, does a firewall forbid it?")
        }
        _ if is_out_of_descriptors(source) => format!(
            "no descriptor left ({source}){progress}; ask for fewer connections, or raise the \
             limit of open files (ulimit -n)"
        ),
        _ => format!("{source}{progress}"),
    }
}

/// How far a thread had got.
fn after(done: usize) -> String {
    match done {
        0 => String::new(),
        1 => " after 1 connection".to_owned(),
        _ => format!(" after {done} connections"),
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect_error(kind: io::ErrorKind, done: usize) -> String {
        Error::Connect {
            address: "127.0.0.1:5555".parse().unwrap(),
            source: kind.into(),
            done,
            timeout: Duration::from_secs(5),
        }
        .to_string()
    }

    #[test]
    fn a_refused_connect_says_where_and_what_to_do() {
        let text = connect_error(io::ErrorKind::ConnectionRefused, 0);
        assert!(text.starts_with("connect to 127.0.0.1:5555: connection refused; is the server"));
    }

    #[test]
    fn a_socket_that_does_not_exist_says_so() {
        let text = connect_error(io::ErrorKind::NotFound, 0);
        assert!(
            text.ends_with(
                "there is no such socket; is the server running? Start it, or \
            name its path"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_connect_that_times_out_names_the_time_and_how_far_it_got() {
        let text = connect_error(io::ErrorKind::TimedOut, 130);
        assert!(text.contains("within 5s after 130 connections"), "{text}");
    }

    #[test]
    fn only_usage_errors_exit_with_64() {
        assert_eq!(Error::Usage(String::new()).exit_code(), 64);
        assert_eq!(Error::Poll(io::Error::other("x")).exit_code(), 1);
    }
}
