//! The process between the loader and a server that it starts: this very program, under another
//! name.
//!
//! It ends the server, and all that the server started, when its standard input ends. That is when
//! the loader closes it, and also when the loader is killed. It is a child subreaper (prctl(2)): it
//! gets the processes that detach themselves from the server, and can find and end them, too.
//!
//! ```text
//! stdin   from the loader: nothing; its end is the request to end the server
//! stdout  to the loader: one line when the server has started or not, one when it has ended
//! stderr  to the loader: the output of the server
//! ```

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, kill_process_group,
    set_child_subreaper, waitid,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;

use super::procfs;
use crate::exit;

/// The name by which this program is a supervisor. Process lists show it, with the server's words.
pub(super) const NAME: &str = "loadgen-supervisor";

/// How long a server may take to end after the signal.
pub(super) const ENDING_MAX: Duration = Duration::from_secs(5);

/// How a server ended that did not fail.
pub(super) const SUCCESS: &str = "exit code 0";

/// Time between two checks whether a process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A line of a supervisor to its loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// The server's process id.
    Started(u32),
    /// The server could not be started; the number of the error.
    Failed(i32),
    /// How the server ended.
    Ended(String),
}

impl fmt::Display for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(pid) => write!(formatter, "started {pid}"),
            Self::Failed(number) => write!(formatter, "failed {number}"),
            Self::Ended(status) => write!(formatter, "ended {status}"),
        }
    }
}

impl FromStr for Message {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (word, value) = line.trim_end().split_once(' ').ok_or(())?;
        match word {
            "started" => value.parse().map(Self::Started).map_err(drop),
            "failed" => value.parse().map(Self::Failed).map_err(drop),
            "ended" => Ok(Self::Ended(value.to_owned())),
            _ => Err(()),
        }
    }
}

/// The command of the server, if this process was started as a supervisor.
pub(crate) fn command_of(mut words: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    (words.next()?.as_os_str() == OsStr::new(NAME)).then(|| words.collect())
}

/// Starts the server and supervises it until the loader has no more use for it. Returns the exit
/// code.
pub(crate) fn supervise(command: &[OsString]) -> u8 {
    let server = match start(command) {
        Ok(server) => server,
        Err(error) => {
            say(&Message::Failed(error.raw_os_error().unwrap_or_default()));
            return exit::FAILED;
        }
    };
    say(&Message::Started(server.as_raw_nonzero().get().unsigned_abs()));
    thread::spawn(move || {
        if let Some(status) = wait(server, WaitIdOptions::empty()) {
            say(&Message::Ended(describe(&status)));
        }
    });
    // Its end, and every error, is the end of the loader.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    end(server);
    exit::OK
}

fn start(command: &[OsString]) -> io::Result<Pid> {
    set_child_subreaper(Some(rustix::process::getpid()))?;
    // A signal to all processes of a service ends the loader; its end is what counts here. The
    // server gets the default actions of these signals, as they are handled and not ignored.
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let output = io::stderr().as_fd().try_clone_to_owned()?;
    let nothing = File::options().write(true).open("/dev/null")?;
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(output.try_clone()?).stderr(output);
    // A group of its own: one signal ends the server and what it started, but not this process.
    let server = command.process_group(0).spawn()?;
    // The output ends with the server.
    rustix::stdio::dup2_stderr(nothing)?;
    i32::try_from(server.id()).ok().and_then(Pid::from_raw).ok_or(io::Error::other("no process id"))
}

fn say(message: &Message) {
    // A loader that has ended reads nothing.
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{message}").and_then(|()| stdout.flush());
}

/// How a process ended, which stays a zombie, so that no other can get its id and its figures can
/// be read.
fn wait(process: Pid, options: WaitIdOptions) -> Option<WaitIdStatus> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | options;
    waitid(WaitId::Pid(process), options).ok()?
}

fn describe(status: &WaitIdStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Sends SIGTERM to the server, waits, and kills what is left of it and of all that it started.
fn end(server: Pid) {
    let has_ended = || wait(server, WaitIdOptions::NOHANG).is_some();
    let was_running = !has_ended();
    // Those that have ended stay in the list until they are reaped.
    let goes_on = |process: &Pid| {
        let id = process.as_raw_nonzero().get().unsigned_abs();
        *process != server && !procfs::has_ended(id)
    };
    let others = || children().into_iter().filter(goes_on);
    // A process may have ended already.
    let _ = kill_process_group(server, Signal::TERM);
    others().for_each(|process| _ = kill_process(process, Signal::TERM));
    let begun = Instant::now();
    let is_done = || has_ended() && (was_running || others().next().is_none());
    while !is_done() && begun.elapsed() < ENDING_MAX {
        thread::sleep(LOOK_AGAIN);
    }
    let _ = kill_process_group(server, Signal::KILL);
    let _ = waitid(WaitId::Pid(server), WaitIdOptions::EXITED);
    // What a killed process had started is here after it.
    while begun.elapsed() < 2 * ENDING_MAX
        && let Some(process) = children().first().copied()
    {
        let _ = kill_process(process, Signal::KILL);
        let _ = waitid(WaitId::Pid(process), WaitIdOptions::EXITED);
    }
}

/// The processes that are this one's children now.
fn children() -> Vec<Pid> {
    let children = procfs::children(std::process::id());
    children.into_iter().filter_map(|id| Pid::from_raw(i32::try_from(id).ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        for message in
            [Message::Started(12), Message::Failed(2), Message::Ended("exit code 3".to_owned())]
        {
            assert_eq!(message.to_string().parse(), Ok(message));
        }
        assert_eq!("walked 3".parse::<Message>(), Err(()));
        assert_eq!("".parse::<Message>(), Err(()));
    }

    #[test]
    fn only_the_name_of_a_supervisor_makes_one() {
        let words = |words: [&str; 2]| words.map(OsString::from).into_iter();
        assert_eq!(command_of(words([NAME, "serve"])), Some(vec!["serve".into()]));
        assert_eq!(command_of(words(["loadgen", "run"])), None);
        assert_eq!(command_of([].into_iter()), None);
    }
}
