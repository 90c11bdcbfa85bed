//! Descriptors that were closed while an event waited for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::with;
use crate::abi::access::probe::{FileId, file_id};

/// How many descriptors are looked at before each wait: a system call each, and a process may have
/// tens of thousands.
const LOOKED_AT: usize = 64;

pub(super) const CLOSED: &str =
    ": its descriptor was closed while it was pending; call event_del before close";

/// A pending event: its base, its descriptor, its address.
type Key = (usize, i32, usize);

/// The pending events of descriptors.
#[derive(Default)]
pub(super) struct Descriptors {
    /// Which file each descriptor was when the event became pending; `None` if it was reported, or
    /// was none.
    files: BTreeMap<Key, Option<FileId>>,
    by_event: BTreeSet<(usize, Key)>,
    /// Where the next look at the descriptors of a base begins.
    next: HashMap<usize, Key>,
}

impl Descriptors {
    /// Adds an event; those that wait for another file under the same number.
    pub(super) fn insert(&mut self, base: usize, fd: i32, event: usize) -> Vec<usize> {
        let now = file_id(fd);
        let mut replaced = Vec::new();
        for ((_, _, other), file) in self.files.range_mut((base, fd, 0)..=(base, fd, usize::MAX)) {
            if file.is_some() && *file != now {
                *file = None;
                replaced.push(*other);
            }
        }
        let key = (base, fd, event);
        self.files.insert(key, now);
        self.by_event.insert((event, key));
        replaced
    }

    pub(super) fn remove_event(&mut self, event: usize) {
        let of_event = (event, (0, i32::MIN, 0))..=(event, (usize::MAX, i32::MAX, usize::MAX));
        while let Some(found) = self.by_event.range(of_event.clone()).next().copied() {
            self.by_event.remove(&found);
            self.files.remove(&found.1);
        }
    }

    /// Looks at some descriptors of a base; the events whose file is gone.
    fn closed(&mut self, base: usize) -> Vec<usize> {
        let (first, last) = ((base, i32::MIN, 0), (base, i32::MAX, usize::MAX));
        let begin = self.next.get(&base).copied().unwrap_or(first);
        let mut closed = Vec::new();
        let mut next = first;
        let range = (Bound::Included(begin), Bound::Included(last));
        for (looked_at, (key, file)) in self.files.range_mut(range).enumerate() {
            if looked_at == LOOKED_AT {
                next = *key;
                break;
            }
            if file.is_some() && *file != file_id(key.1) {
                *file = None;
                closed.push(key.2);
            }
        }
        self.next.insert(base, next);
        closed
    }
}

/// Reports events whose descriptor was closed. Call it before a wait of the base.
#[inline]
pub(crate) fn before_wait(base: usize) {
    with(|checks| {
        for event in checks.descriptors.closed(base) {
            checks.report(event, "event_base_loop: ", CLOSED);
        }
    });
}
