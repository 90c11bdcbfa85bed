//! The timers of a service: any number for each connection, and for the shard.
//!
//! A timer is an event of the base. An entry here has what the service gave with it, and is in the
//! list of its connection, so that a close ends all of them. Starting, cancelling and firing are
//! O(1) for durations that are used again and again (`repeated_durations.rs`), and else O(log n).
//!
//! A shard without timers needs no memory for them, and a connection without timers never does.
//! A timer needs [`size_of::<Timer>()`](Timer) bytes here, and 64 in the base.

mod repeated_durations;
#[cfg(all(test, not(loom)))]
mod tests;

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::time::Duration;

use slab::Slab;

use super::shard_numbers::ShardNumbers;
use crate::base::{Handler, Registry};
use crate::event::{EventId, EventSpec, Fired, Token};
use repeated_durations::RepeatedDurations;

/// No timer: the end of a list.
const NONE: u32 = u32::MAX;

/// To whom a timer belongs, and with whom it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum TimerOwner {
    Shard,
    /// The connection with this key.
    Connection(usize),
}

/// Identifies one timer of one shard; `Copy`, 16 bytes (so is `Option<TimerId>`).
///
/// Once the timer has fired, or was cancelled, or its connection has ended, its id is *stale* and
/// stays so: it never names another timer of the server. On another shard it names none either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    /// See [`ShardNumbers`].
    number: NonZeroU64,
    key: u32,
}

/// The timers of a shard that run.
#[derive(Debug)]
pub(in crate::server) struct ServiceTimers {
    timers: Slab<Timer>,
    /// By key of a connection: the newest of its timers.
    newest: HashMap<usize, u32>,
    numbers: ShardNumbers,
    durations: RepeatedDurations,
}

/// One that runs.
#[derive(Debug)]
struct Timer {
    number: NonZeroU64,
    event: EventId,
    owner: TimerOwner,
    /// What the service passed.
    token: u64,
    /// The neighbours in the list of its connection.
    newer: u32,
    older: u32,
}

const _: () = assert!(size_of::<Timer>() == 48 && size_of::<Option<TimerId>>() == 16);

impl ServiceTimers {
    /// No timers of a shard that numbers them so.
    pub(in crate::server) fn new(numbers: ShardNumbers) -> Self {
        let (timers, newest) = (Slab::new(), HashMap::new());
        Self { timers, newest, numbers, durations: RepeatedDurations::default() }
    }

    /// Starts a timer. When it is due, the base calls `handler`, which calls
    /// [`fired`](Self::fired).
    pub(in crate::server) fn start<C>(
        &mut self,
        registry: &mut Registry<C>,
        handler: Handler<C>,
        owner: TimerOwner,
        after: Duration,
        token: u64,
    ) -> TimerId {
        let vacant = self.timers.vacant_entry();
        let key = u32::try_from(vacant.key()).expect("fewer timers than events of a base");
        let event = registry.create(EventSpec::timer().token(Token(u64::from(key))), handler);
        let added = match self.durations.common_timeout(registry, after) {
            Some(common) => registry.add_common(event, common),
            None => registry.add(event, Some(after)),
        };
        added.expect("a timer needs nothing of the kernel");
        let number = self.numbers.next();
        vacant.insert(Timer { number, event, owner, token, newer: NONE, older: NONE });
        if let TimerOwner::Connection(connection) = owner
            && let Some(older) = self.newest.insert(connection, key)
        {
            self.timers[older as usize].newer = key;
            self.timers[key as usize].older = older;
        }
        TimerId { number, key }
    }

    /// Ends a timer; returns whether it was running. If so, its handler is not called, even if it
    /// is due.
    pub(in crate::server) fn cancel<C>(&mut self, registry: &mut Registry<C>, id: TimerId) -> bool {
        let timer = self.timers.get(id.key as usize);
        if timer.is_none_or(|timer| timer.number != id.number) {
            return false;
        }
        registry.free(self.remove(id.key).event);
        true
    }

    /// Called by the handler of a timer: ends it, and returns what it was started with.
    pub(in crate::server) fn fired<C>(
        &mut self,
        registry: &mut Registry<C>,
        fired: Fired,
    ) -> Option<(TimerOwner, TimerId, u64)> {
        let key = u32::try_from(fired.token.0).ok()?;
        if self.timers.get(key as usize)?.event != fired.id {
            return None;
        }
        let Timer { number, event, owner, token, .. } = self.remove(key);
        registry.free(event);
        Some((owner, TimerId { number, key }, token))
    }

    /// Ends all timers of a connection.
    pub(in crate::server) fn end_connection<C>(
        &mut self,
        registry: &mut Registry<C>,
        connection: usize,
    ) {
        while let Some(&newest) = self.newest.get(&connection) {
            registry.free(self.remove(newest).event);
        }
    }

    /// How many run.
    #[cfg(all(test, not(loom)))]
    pub(in crate::server) fn len(&self) -> usize {
        self.timers.len()
    }

    /// Takes a timer out, and off the list of its connection.
    fn remove(&mut self, key: u32) -> Timer {
        let timer = self.timers.remove(key as usize);
        if timer.older != NONE {
            self.timers[timer.older as usize].newer = timer.newer;
        }
        match timer.owner {
            TimerOwner::Shard => {}
            TimerOwner::Connection(_) if timer.newer != NONE => {
                self.timers[timer.newer as usize].older = timer.older;
            }
            TimerOwner::Connection(connection) if timer.older != NONE => {
                self.newest.insert(connection, timer.older);
            }
            TimerOwner::Connection(connection) => {
                self.newest.remove(&connection);
            }
        }
        if self.timers.is_empty() {
            (self.timers, self.newest) = (Slab::new(), HashMap::new());
        }
        timer
    }
}
