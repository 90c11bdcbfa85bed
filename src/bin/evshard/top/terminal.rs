//! The terminal: repainted at each update, with keys read without Enter, and restored at the end.

use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::pipe;

use super::layout::Room;

/// Hides the cursor and cuts long lines; END restores both.
const BEGIN: &str = "\x1b[?25l\x1b[?7l\x1b[2J";
const END: &str = "\x1b[?7h\x1b[?25h";
const CURSOR_TO_TOP: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Time,
    Quit,
}

/// The terminal while `top` uses it.
#[derive(Debug)]
pub(super) struct Terminal {
    /// The earlier settings; `None` if the input is no terminal.
    before: Option<Termios>,
    signals: UnixStream,
}

impl Terminal {
    /// Takes the terminal. From now on [`wait`](Self::wait) reports signals to end.
    pub(super) fn take() -> io::Result<Self> {
        let (signals, sender) = UnixStream::pair()?;
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            pipe::register(signal, sender.try_clone()?)?;
        }
        let before = if io::stdin().is_terminal() { Some(take_keys()?) } else { None };
        let terminal = Self { before, signals };
        write(BEGIN)?;
        Ok(terminal)
    }

    /// Shows the text, which was made for the [`room`]. A terminal that has become smaller since
    /// shows as much as it can.
    pub(super) fn paint(&mut self, text: &str) -> io::Result<()> {
        let lines = text.lines().take(room().lines);
        let lines = lines.map(|line| format!("{line}{CLEAR_LINE}\r\n"));
        write(&format!("{CURSOR_TO_TOP}{}{CLEAR_BELOW}", lines.collect::<String>()))
    }

    /// Waits for the time to pass, a `q`, or a signal.
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
                |index: usize| watched.get(index).is_some_and(|w| !w.revents().is_empty());
            if is_ready(0) || is_ready(1) && is_quit_key()? {
                return Ok(Event::Quit);
            }
        }
    }
}

/// The room in the terminal, less the last row, in which a line end would scroll. A size of zero is
/// unknown.
pub(super) fn room() -> Room {
    let known = |size: u16| (size > 0).then_some(usize::from(size));
    let size = tcgetwinsize(io::stdout()).ok();
    let columns = size.and_then(|size| known(size.ws_col)).unwrap_or(usize::MAX);
    let rows = size.and_then(|size| known(size.ws_row));
    Room { columns, lines: rows.map_or(usize::MAX, |rows| rows - 1) }
}

/// Makes keys readable one by one, without echo.
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
    // Not with std, which reads more than requested: later keys would then be missed.
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
        // A closed terminal needs no restoring.
        let _ = write(END);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
