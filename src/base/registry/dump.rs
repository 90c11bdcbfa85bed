//! A base's events as text, for debugging.

use std::fmt;
use std::ops::ControlFlow;

use super::Registry;
use super::query::EventInfo;

/// Displays a base's events; made by [`Registry::dump`].
#[derive(Debug)]
pub struct Dump<'a, C>(&'a Registry<C>);

impl<C> Registry<C> {
    /// Displays every pending and active event, one per line, in the sections of libevent's
    /// `event_base_dump_events`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use evshard::{Config, EventBase, EventSpec};
    /// # let mut base = EventBase::<()>::new(Config::default())?;
    /// let timer = base.registry().create(EventSpec::timer(), |_, _, _| ());
    /// base.registry().add(timer, Some(Duration::from_secs(60)))?;
    /// let text = base.registry().dump().to_string();
    /// // Inserted events:
    /// //   1.1 timer, priority 0, times out in 59.99s
    /// // Active events:
    /// assert!(text.contains("timer, priority 0, times out in"));
    /// # Ok::<(), evshard::Error>(())
    /// ```
    #[must_use]
    pub fn dump(&self) -> Dump<'_, C> {
        Dump(self)
    }
}

impl<C> fmt::Display for Dump<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Inserted events:")?;
        self.lines(f, |info| info.inserted || info.deadline.is_some())?;
        writeln!(f, "Active events:")?;
        self.lines(f, |info| !info.active.is_empty())
    }
}

impl<C> Dump<'_, C> {
    fn lines(&self, f: &mut fmt::Formatter<'_>, wanted: fn(&EventInfo) -> bool) -> fmt::Result {
        let now = self.0.timers.clock.instant(self.0.timers.clock.read_ns());
        let ended = self.0.for_each(|info| {
            if !wanted(&info) {
                return ControlFlow::Continue(());
            }
            match line(f, &info, now) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        });
        ended.break_value().map_or(Ok(()), Err)
    }
}

fn line(f: &mut fmt::Formatter<'_>, info: &EventInfo, now: std::time::Instant) -> fmt::Result {
    write!(f, "  {} ", info.id)?;
    match (info.fd, info.signal) {
        (Some(fd), _) => write!(f, "fd {fd}")?,
        (_, Some(number)) => write!(f, "signal {number}")?,
        _ => write!(f, "timer")?,
    }
    for (name, _) in info.interest.iter_names() {
        write!(f, " {name}")?;
    }
    if info.persist {
        write!(f, " persist")?;
    }
    if info.edge {
        write!(f, " edge")?;
    }
    write!(f, ", priority {}", info.priority)?;
    if let Some(deadline) = info.deadline {
        write!(f, ", times out in {:.2?}", deadline.saturating_duration_since(now))?;
    }
    if !info.active.is_empty() {
        write!(f, ", active for")?;
        for (name, _) in info.active.iter_names() {
            write!(f, " {name}")?;
        }
    }
    writeln!(f)
}
