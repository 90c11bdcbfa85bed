//! The terminal: painted over and over, keys read without Enter, left as it was found.

use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// Cursor away and long lines cut; and back.
const BEGIN: &str = "\x1b[?25l\x1b[?7l\x1b[2J";
const END: &str = "\x1b[?7h\x1b[?25h";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Time,
    Quit,
}

/// The terminal while it is ours.
#[derive(Debug)]
pub(super) struct Terminal {
    /// How it was; `None` if keys do not come from a terminal.
    before: Option<Termios>,
    signals: UnixStream,
}

impl Terminal {
    /// Takes it. Signals to end are told by [`wait`](Self::wait) from now on.
    pub(super) fn take() -> io::Result<Self> {
        let (signals, sender) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            pipe::register(signal, sender.try_clone()?)?;
        }
        let before = if io::stdin().is_terminal() { Some(take_keys()?) } else { None };
        let terminal = Self { before, signals };
        write(BEGIN)?;
        Ok(terminal)
    }

    /// Shows the lines, as many as there is room for.
    pub(super) fn paint(&mut self, text: &str) -> io::Result<()> {
        let rows = tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_row));
        // In the last row, an end of line would scroll.
        let room = if rows == 0 { usize::MAX } else { rows - 1 };
        let lines = text.lines().take(room).map(|line| format!("{line}{CLEAR_LINE}\r\n"));
        write(&format!("{HOME}{}{CLEAR_BELOW}", lines.collect::<String>()))
    }

    /// Waits for the time to pass or a `q`, or a signal.
    pub(super) fn wait(&mut self, time: Duration) -> io::Result<Event> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Event::Time);
            }
            let stdin = io::stdin();
            let mut watched = vec![PollFd::new(&self.signals, PollFlags::IN)];
            if self.before.is_some() {
                watched.push(PollFd::new(&stdin, PollFlags::IN));
            }
            let left = left.try_into().map_err(io::Error::other)?;
            match poll(&mut watched, Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let is_ready =
                |place: usize| watched.get(place).is_some_and(|w| !w.revents().is_empty());
            if is_ready(0) || is_ready(1) && is_quit_key()? {
                return Ok(Event::Quit);
            }
        }
    }
}

/// Has keys told one by one, and not shown.
fn take_keys() -> io::Result<Termios> {
    let before = tcgetattr(io::stdin())?;
    let mut modes = before.clone();
    modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
    tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
    Ok(before)
}

/// Whether a `q` was typed, or the terminal is gone.
fn is_quit_key() -> io::Result<bool> {
    let mut keys = [0; 64];
    // Not by std, which reads more than it is asked for: the rest would be waited for in vain.
    let count = rustix::io::read(io::stdin(), &mut keys)?;
    Ok(count == 0 || keys[..count].contains(&b'q'))
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing any more.
        let _ = write(END);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
