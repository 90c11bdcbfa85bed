//! Watchers: functions that the loop calls right before and right after each wait (libevent:
//! `evwatch_prepare_new`, `evwatch_check_new`).

use std::time::Duration;

use super::Registry;

/// A function called before each wait. It gets the duration of the wait: `None` is for ever, zero
/// does not wait.
pub type PrepareWatcher<C> = fn(&mut Registry<C>, &mut C, Option<Duration>);

/// A function called after each wait, when ready descriptors are active and due timeouts are not
/// yet.
pub type CheckWatcher<C> = fn(&mut Registry<C>, &mut C);

/// Identifies one watcher of one base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(u64);

/// The watchers of one kind, in the order they were made.
#[derive(Debug)]
struct WatcherList<W>(Vec<(WatcherId, W)>);

impl<W: Copy> WatcherList<W> {
    fn remove(&mut self, id: WatcherId) {
        self.0.retain(|(other, _)| *other != id);
    }

    /// The first watcher added after `last` and before `end`. A watcher may remove any watcher; the
    /// loop calls those that it adds from the next turn on.
    fn next(&self, last: Option<WatcherId>, end: WatcherId) -> Option<(WatcherId, W)> {
        let after_last = self.0.partition_point(|(id, _)| Some(*id) <= last);
        self.0.get(after_last).copied().filter(|(id, _)| *id < end)
    }
}

/// All watchers of a base.
#[derive(Debug)]
pub(in crate::base) struct Watchers<C> {
    prepare: WatcherList<PrepareWatcher<C>>,
    check: WatcherList<CheckWatcher<C>>,
    next: u64,
}

impl<C> Watchers<C> {
    pub(in crate::base) fn new() -> Self {
        Self { prepare: WatcherList(Vec::new()), check: WatcherList(Vec::new()), next: 0 }
    }

    fn next_id(&mut self) -> WatcherId {
        self.next += 1;
        WatcherId(self.next - 1)
    }

    pub(in crate::base) fn add_prepare(&mut self, watcher: PrepareWatcher<C>) -> WatcherId {
        let id = self.next_id();
        self.prepare.0.push((id, watcher));
        id
    }

    pub(in crate::base) fn add_check(&mut self, watcher: CheckWatcher<C>) -> WatcherId {
        let id = self.next_id();
        self.check.0.push((id, watcher));
        id
    }

    pub(in crate::base) fn remove(&mut self, id: WatcherId) {
        self.prepare.remove(id);
        self.check.remove(id);
    }

    pub(in crate::base) fn has_prepare(&self) -> bool {
        !self.prepare.0.is_empty()
    }
}

impl<C> Registry<C> {
    /// Adds a function that the loop calls right before each wait (libevent:
    /// `evwatch_prepare_new`).
    ///
    /// The wait that follows respects events it adds or activates; in libevent it does not.
    ///
    /// ```
    /// use evshard::{Config, EventBase, EventSpec};
    ///
    /// let mut base = EventBase::<Vec<&str>>::new(Config::default())?;
    /// base.registry().watch_prepare(|_, log, _timeout| log.push("about to wait"));
    /// base.registry().watch_check(|_, log| log.push("waited"));
    /// base.registry().loop_exit_after(std::time::Duration::from_millis(1));
    /// let mut log = Vec::new();
    /// base.run(&mut log)?;
    /// assert_eq!(log[..2], ["about to wait", "waited"]);
    /// # Ok::<(), evshard::Error>(())
    /// ```
    pub fn watch_prepare(&mut self, watcher: PrepareWatcher<C>) -> WatcherId {
        self.watchers.add_prepare(watcher)
    }

    /// Adds a function that the loop calls right after each wait (libevent: `evwatch_check_new`).
    pub fn watch_check(&mut self, watcher: CheckWatcher<C>) -> WatcherId {
        self.watchers.add_check(watcher)
    }

    /// Removes a watcher (libevent: `evwatch_free`). Has no effect if it was removed before.
    pub fn unwatch(&mut self, id: WatcherId) {
        self.watchers.remove(id);
    }

    pub(in crate::base) fn run_prepare_watchers(&mut self, cx: &mut C, timeout: Option<Duration>) {
        let (end, mut last) = (WatcherId(self.watchers.next), None);
        while let Some((id, watcher)) = self.watchers.prepare.next(last, end) {
            watcher(self, cx, timeout);
            last = Some(id);
        }
    }

    pub(in crate::base) fn run_check_watchers(&mut self, cx: &mut C) {
        let (end, mut last) = (WatcherId(self.watchers.next), None);
        while let Some((id, watcher)) = self.watchers.check.next(last, end) {
            watcher(self, cx);
            last = Some(id);
        }
    }
}
