//! `evshard top`: shows the activity of a server once a second in the terminal.

mod interval;
mod layout;
mod screen;
mod snapshot;
mod terminal;

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use evshard::server::ranges;

use super::admin_client::{AdminAddress, AdminArg, ClientError};
use super::flag_values::duration_in;
use super::{OutputError, print};
use interval::Interval;
use layout::Room;
use screen::{Style, render};
use snapshot::Snapshot;
use terminal::{Event, Terminal, room};

/// The shortest interval; below it, the requests of `top` itself dominate.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The server to show, and how often.
#[derive(Args, Debug)]
pub(crate) struct Top {
    #[command(flatten)]
    to: AdminArg,

    /// Time between two updates. Rates and percentiles cover this time.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,

    /// Print one table of one interval and exit. This is the default if the output is no terminal.
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    duration_in(&(INTERVAL_MIN..=*ranges::DURATION.end()), text)
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("the terminal: {0}")]
    Terminal(#[from] io::Error),
}

impl Top {
    /// Shows the server until the user quits.
    pub(crate) fn run(&self) -> Result<(), TopError> {
        let before = fetch(&self.to.admin)?;
        if self.once || !io::stdout().is_terminal() {
            std::thread::sleep(self.interval);
            let room = Room { lines: usize::MAX, ..room() };
            let text = render(&Interval::new(&before, &fetch(&self.to.admin)?), Style::Plain, room);
            return Ok(print(&text)?);
        }
        self.watch(before)
    }

    fn watch(&self, mut before: Snapshot) -> Result<(), TopError> {
        let has_colors = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        let style = if has_colors { Style::Colors } else { Style::Plain };
        let mut terminal = Terminal::take()?;
        // At once, as the mean since the server's start.
        terminal.paint(&render(&Interval::since_start(&before), style, room()))?;
        while terminal.wait(self.interval)? == Event::Time {
            let now = fetch(&self.to.admin)?;
            terminal.paint(&render(&Interval::new(&before, &now), style, room()))?;
            before = now;
        }
        Ok(())
    }
}

fn fetch(admin: &AdminAddress) -> Result<Snapshot, ClientError> {
    let strange = |what| ClientError::Strange { address: admin.clone(), what };
    let body = admin.get("/stats?histograms")?.body;
    let snapshot: Snapshot = serde_json::from_str(&body)
        .map_err(|error| strange(format!("its /stats is not that of evshard: {error}")))?;
    // Every version sends its name. Another program's JSON may lack all that is shown.
    if snapshot.version.is_empty() {
        return Err(strange("its /stats has no version of evshard".to_owned()));
    }
    Ok(snapshot)
}
