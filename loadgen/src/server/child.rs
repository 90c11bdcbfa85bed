//! A server process that the loader starts, without a shell, in a process group of its own. Ending
//! it ends all processes that it started. Its last output is stored for error messages.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How long a server may take to end after the signal.
const ENDING_MAX: Duration = Duration::from_secs(5);

/// Time between two checks whether the process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The process; ended and reaped when this is dropped.
#[derive(Debug)]
pub(super) struct ServerChild {
    child: Child,
    output: Tail,
    reaped: bool,
}

impl ServerChild {
    /// Starts the program; the rest of `words` are its arguments.
    pub(super) fn spawn(words: &[String]) -> io::Result<Self> {
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (reader, writer): (PipeReader, _) = io::pipe()?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(writer.try_clone()?).stderr(writer);
        // A group of its own: Ctrl-C at the terminal signals only the loader.
        let child = command.process_group(0).spawn()?;
        Ok(Self { child, output: Tail::of(reader), reaped: false })
    }

    /// The process id, which is the id of its group, too.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, if it has. It is not reaped, so no other process can get its id.
    pub(super) fn ended(&self) -> Option<String> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.pid()?), options).ok()??;
        Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "ended".to_owned(),
        })
    }

    /// The last output, as a further sentence of an error message; empty if there is none.
    pub(super) fn last_output(&self) -> String {
        let text = match self.ended() {
            Some(_) => self.output.last_words(),
            None => self.output.text(),
        };
        if text.is_empty() { text } else { format!("; its last words:\n{text}") }
    }

    /// Sends SIGTERM, waits, and kills the rest of its group.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if self.reaped {
            return Ok(());
        }
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while self.ended().is_none() && begun.elapsed() < ENDING_MAX {
            thread::sleep(LOOK_AGAIN);
        }
        // The process is not reaped yet, so no other process can have its id.
        self.signal(Signal::KILL);
        self.reaped = true;
        self.child.wait().map(drop)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // The group may have ended already.
            let _ = kill_process_group(pid, signal);
        }
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }
}

impl Drop for ServerChild {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Number of bytes stored: a few lines of a log, or the end of a backtrace.
const TAIL_BYTES: usize = 4_096;

/// How long to wait for the output of a process that has ended.
const OUTPUT_DELAY_MAX: Duration = Duration::from_millis(200);

/// The end of a stream, which a thread of its own reads.
#[derive(Debug)]
struct Tail {
    stored: Arc<Mutex<VecDeque<u8>>>,
    reader: JoinHandle<()>,
}

impl Tail {
    /// Begins to read.
    pub(super) fn of(mut stream: impl Read + Send + 'static) -> Self {
        let stored = Arc::<Mutex<VecDeque<u8>>>::default();
        let shared = Arc::clone(&stored);
        let reader = thread::spawn(move || {
            let mut buffer = [0; TAIL_BYTES];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let mut stored = shared.lock().unwrap_or_else(PoisonError::into_inner);
                stored.extend(&buffer[..count]);
                let excess = stored.len().saturating_sub(TAIL_BYTES);
                stored.drain(..excess);
            }
        });
        Self { stored, reader }
    }

    /// The end of the output so far.
    pub(super) fn text(&self) -> String {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(stored.make_contiguous()).trim_end().to_owned()
    }

    /// The end of the output of a process that has ended.
    fn last_words(&self) -> String {
        let begun = Instant::now();
        // A child process may have inherited the stream and hold it open.
        while !self.reader.is_finished() && begun.elapsed() < OUTPUT_DELAY_MAX {
            thread::sleep(Duration::from_millis(1));
        }
        self.text()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use super::*;

    fn shell(script: &str) -> ServerChild {
        let words = ["sh", "-c", script].map(str::to_owned);
        ServerChild::spawn(&words).unwrap()
    }

    /// Waits until the process has written `text`.
    fn until_it_says(child: &ServerChild, text: &str) {
        let begun = Instant::now();
        while !child.output.text().contains(text) {
            assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain");
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn exists(pid: &str) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn an_end_is_noticed_with_its_code_and_the_last_words() {
        let child = shell("echo to stdout; echo no such file >&2; exit 3");
        let begun = Instant::now();
        while child.ended().is_none() && begun.elapsed() < Duration::from_secs(20) {
            thread::sleep(LOOK_AGAIN);
        }
        assert_eq!(child.ended().as_deref(), Some("exit code 3"));
        let said = child.last_output();
        assert!(said.contains("to stdout") && said.contains("no such file"), "{said}");
    }

    #[test]
    fn ending_asks_first() {
        let mut child =
            shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done");
        until_it_says(&child, "up");
        child.end().unwrap();
        assert!(child.output.last_words().ends_with("bye"));
    }

    #[test]
    fn dropping_it_ends_everything_that_it_started_also_what_will_not_listen() {
        let child = shell("trap '' TERM; sleep 60 & trap - TERM; echo pid $!. up; wait");
        until_it_says(&child, "up");
        let text = child.output.text();
        let grandchild = text["pid ".len()..].split('.').next().unwrap().to_owned();
        assert!(exists(&grandchild));
        let leader = child.id().to_string();
        drop(child);
        let begun = Instant::now();
        while exists(&grandchild) {
            assert!(begun.elapsed() < Duration::from_secs(20), "still there");
            thread::sleep(LOOK_AGAIN);
        }
        assert!(!exists(&leader));
    }

    #[test]
    fn only_the_end_is_stored() {
        let long = "x".repeat(3 * TAIL_BYTES) + "the end\n";
        let text = Tail::of(Cursor::new(long)).last_words();
        assert!(text.ends_with("xthe end"), "{text}");
        assert_eq!(text.len(), TAIL_BYTES - 1, "but for the line's end");
    }

    #[test]
    fn what_is_no_text_is_shown_as_far_as_it_is() {
        let text = Tail::of(Cursor::new(b"a\xFFb".to_vec())).last_words();
        assert_eq!(text, "a\u{FFFD}b");
    }
}
