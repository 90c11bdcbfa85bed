//! A server process that the loader starts, without a shell. A supervisor between them ends it with
//! all that it started, whatever ends the loader. Its last output is stored for error messages.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, PipeReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::procfs;
use super::supervisor::{ENDING_MAX, Message, NAME};

/// This program, also if its file was replaced.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Time between two checks whether a process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The process; ended when this is dropped.
#[derive(Debug)]
pub(super) struct ServerChild {
    supervisor: Child,
    /// Closing it ends the server.
    life_line: Option<ChildStdin>,
    /// The server's process id.
    pid: u32,
    /// How the server ended, once it has.
    status: Arc<OnceLock<String>>,
    output: Tail,
}

impl ServerChild {
    /// Starts the program; the rest of `words` are its arguments.
    pub(super) fn spawn(words: &[String]) -> io::Result<Self> {
        let (reader, writer): (PipeReader, _) = io::pipe()?;
        let mut command = Command::new(THIS_PROGRAM);
        command.arg0(NAME).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(writer);
        // A group of its own: Ctrl-C at the terminal signals only the loader.
        let mut supervisor = command.process_group(0).spawn()?;
        // It holds an end of the pipe.
        drop(command);
        let life_line = supervisor.stdin.take();
        let mut messages = BufReader::new(supervisor.stdout.take().expect("it is piped"));
        let pid = match next(&mut messages) {
            Some(Message::Started(pid)) => pid,
            other => {
                drop(life_line);
                supervisor.wait()?;
                return Err(match other {
                    Some(Message::Failed(number)) => io::Error::from_raw_os_error(number),
                    _ => io::Error::other(Tail::of(reader).last_words()),
                });
            }
        };
        let status = Arc::new(OnceLock::new());
        let ended = Arc::clone(&status);
        thread::spawn(move || {
            let status = match next(&mut messages) {
                Some(Message::Ended(status)) => status,
                _ => "ended with its supervisor".to_owned(),
            };
            let _ = ended.set(status);
        });
        Ok(Self { supervisor, life_line, pid, status, output: Tail::of(reader) })
    }

    /// The process id.
    pub(super) fn id(&self) -> u32 {
        self.pid
    }

    /// How the process ended, if it has. It is not reaped, so no other process can get its id.
    pub(super) fn ended(&self) -> Option<String> {
        // The supervisor is about to say how a process ended that can no longer run.
        let has_ended = self.status.get().is_some() || procfs::has_ended(self.pid);
        has_ended.then(|| self.status.wait().clone())
    }

    /// The processes that have outlived the server that started them, by name and id.
    pub(super) fn orphans(&self) -> Vec<String> {
        let children = procfs::children(self.supervisor.id()).into_iter();
        let orphans = children.filter(|&pid| pid != self.pid && !procfs::has_ended(pid));
        let named = |pid| Some(format!("{} ({pid})", procfs::name(pid)?));
        orphans.filter_map(named).collect()
    }

    /// The last output, as a further sentence of an error message; empty if there is none.
    pub(super) fn last_output(&self) -> String {
        let text = match self.ended() {
            Some(_) => self.output.last_words(),
            None => self.output.text(),
        };
        if text.is_empty() { text } else { format!("; its last words:\n{text}") }
    }

    /// Has the server ended, with SIGTERM and then SIGKILL, and all that it started. Waits for it.
    pub(super) fn end(&mut self) -> io::Result<()> {
        drop(self.life_line.take());
        let begun = Instant::now();
        while self.supervisor.try_wait()?.is_none() {
            if begun.elapsed() > 3 * ENDING_MAX {
                return Err(io::Error::other("it cannot be killed; does it wait for a device?"));
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Drop for ServerChild {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The next message of a supervisor; nothing at its end.
fn next(messages: &mut impl BufRead) -> Option<Message> {
    let mut line = String::new();
    messages.read_line(&mut line).ok()?;
    line.parse().ok()
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
    use std::io::Cursor;

    use super::*;

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
