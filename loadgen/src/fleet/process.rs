//! Agents that the coordinator starts: on this machine, or by ssh on others.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::options::SshAgents;

/// This program, also if its file was replaced.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How long an agent may take to end after its standard input has ended.
const ENDING_MAX: Duration = Duration::from_secs(3);

/// Time between two checks whether a process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// How much of the output of a program is stored, and how much longer than the program it may last.
const TAIL_BYTES: usize = 4_096;
const OUTPUT_DELAY_MAX: Duration = Duration::from_millis(200);

/// The host as ssh takes it, and the port, of `[USER@]HOST[:PORT]`. An IPv6 address with a port has
/// brackets, which ssh does not take.
fn split(host: &str) -> (String, Option<u16>) {
    let port = host.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match port {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host.replace(['[', ']'], ""), Some(port))
        }
        _ => (host.replace(['[', ']'], ""), None),
    }
}

/// A process that is an agent, or the ssh that leads to one.
#[derive(Debug)]
pub(super) struct AgentProcess {
    child: Child,
    output: Arc<Mutex<VecDeque<u8>>>,
    reader: thread::JoinHandle<()>,
}

/// Its streams.
pub(super) type Streams = (BufReader<ChildStdout>, ChildStdin);

impl AgentProcess {
    /// Starts an agent on this machine.
    pub(super) fn start_here() -> io::Result<(Self, Streams)> {
        let mut command = Command::new(THIS_PROGRAM);
        command.arg0("loadgen").arg("agent");
        Self::start(command)
    }

    /// Starts an agent on another machine.
    pub(super) fn start_by_ssh(agents: &SshAgents, host: &str) -> io::Result<(Self, Streams)> {
        let (program, arguments) = agents.ssh.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments);
        let (host, port) = split(host);
        if let Some(port) = port {
            command.args(["-p", &port.to_string()]);
        }
        command.arg("--").arg(host).arg(format!("{} agent", agents.program));
        Self::start(command)
    }

    fn start(mut command: Command) -> io::Result<(Self, Streams)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: Ctrl-C at the terminal signals only the coordinator.
        let mut child = command.process_group(0).spawn()?;
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let mut stderr = child.stderr.take().expect("it is piped");
        let output = Arc::<Mutex<VecDeque<u8>>>::default();
        let stored = Arc::clone(&output);
        let reader = thread::spawn(move || {
            let mut buffer = [0; TAIL_BYTES];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                let mut stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
                stored.extend(&buffer[..count]);
                let excess = stored.len().saturating_sub(TAIL_BYTES);
                stored.drain(..excess);
            }
        });
        Ok((Self { child, output, reader }, (BufReader::new(stdout), stdin)))
    }

    /// The end of its standard error, as a further sentence of an error; empty if there is none.
    pub(super) fn last_words(&self) -> String {
        let begun = Instant::now();
        while !self.reader.is_finished() && begun.elapsed() < OUTPUT_DELAY_MAX {
            thread::sleep(LOOK_AGAIN);
        }
        let mut stored = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(stored.make_contiguous()).trim().to_owned();
        if text.is_empty() { text } else { format!("; its last words: {text}") }
    }

    /// Kills it.
    pub(super) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end, which the end of its standard input brings about; kills it otherwise.
    pub(super) fn end(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < ENDING_MAX {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(LOOK_AGAIN);
        }
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_an_ipv6_address_kept_its_brackets() {
        for (given, host, port) in [
            ("a", "a", None),
            ("me@b:2222", "me@b", Some(2222)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("me@[fe80::1]:22", "me@fe80::1", Some(22)),
            ("a:b", "a:b", None),
        ] {
            assert_eq!(split(given), (host.to_owned(), port), "{given}");
        }
    }
}
