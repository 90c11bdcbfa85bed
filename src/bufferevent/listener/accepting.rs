//! Accepting: a bounded number of connections in a turn, and pauses where none can be accepted.

use std::io;
use std::mem;

use super::super::error::refusal;
use super::super::limits::start;
use super::super::table::HasBufferevents;
use super::{Accepted, Listener, ListenerId};
use crate::accept::{AcceptError, reset};
use crate::base::Registry;
use crate::event::{Fired, Ready};
use crate::sys::accept::accept_from;

/// So many connections in a row may end before they are accepted. More are a failure: a firewall
/// or a sandbox may refuse every call with such an error.
const ABORTED_MAX: u32 = 16;

/// Handles the event of a socket on which a connection waits.
pub(super) fn on_acceptable<C: HasBufferevents>(
    registry: &mut Registry<C>,
    cx: &mut C,
    fired: Fired,
) {
    let Some(id) = ListenerId::from_token(fired.token) else { return };
    if fired.ready.contains(Ready::REFUSED) {
        let error = refusal(registry, fired.id);
        return pause(registry, cx, id, error);
    }
    let turn = registry.stats().waits;
    let limit = cx.bufferevents().listener_state(id).map_or(0, |listener| listener.batch.limit());
    for accepted in 0..limit {
        // The handler may have freed or disabled it.
        let Some(listener) = cx.bufferevents().listener_state(id) else { return };
        if !listener.is_accepting() {
            return;
        }
        match accept_from(&listener.socket).map_err(AcceptError::from) {
            Ok((socket, peer)) => {
                listener.has_accepted();
                (listener.on_accept)(registry, cx, id, Accepted { socket, peer });
            }
            Err(AcceptError::NoneWaiting) => {
                listener.aborted = 0;
                return listener.batch.ran_dry(accepted);
            }
            Err(AcceptError::Aborted(error)) => {
                listener.aborted += 1;
                if listener.aborted > ABORTED_MAX {
                    return pause(registry, cx, id, error);
                }
            }
            Err(AcceptError::Exhausted(error)) => return pause(registry, cx, id, error),
        }
    }
    if let Some(listener) = cx.bufferevents().listener_state(id) {
        listener.batch.filled(turn);
    }
}

/// Stops accepting for a while, and reports why unless that is known.
fn pause<C: HasBufferevents>(
    registry: &mut Registry<C>,
    cx: &mut C,
    id: ListenerId,
    error: io::Error,
) {
    let Some(listener) = cx.bufferevents().listener_state(id) else { return };
    listener.shed_one(&error);
    listener.aborted = 0;
    listener.is_paused = true;
    registry.del(listener.acceptable);
    start(registry, listener.pause_over, listener.back_off.next_pause());
    let is_reported = mem::replace(&mut listener.is_reported, true);
    if let Some(on_error) = listener.on_error
        && !is_reported
    {
        on_error(registry, cx, id, error);
    }
}

/// Handles the timer at the end of a pause.
pub(super) fn on_pause_over<C: HasBufferevents>(
    registry: &mut Registry<C>,
    cx: &mut C,
    fired: Fired,
) {
    let Some(id) = ListenerId::from_token(fired.token) else { return };
    let Some(listener) = cx.bufferevents().listener_state(id) else { return };
    listener.is_paused = false;
    if let Err(error) = listener.watch(registry) {
        pause(registry, cx, id, io::Error::other(error));
    }
}

impl<C> Listener<C> {
    /// Ends what a failure began.
    fn has_accepted(&mut self) {
        self.aborted = 0;
        self.is_reported = false;
        self.back_off.reset();
        self.reserve.refill();
    }

    /// If descriptors are exhausted, accepts and resets one connection with the reserve descriptor:
    /// its client learns of it, instead of waiting.
    fn shed_one(&mut self, error: &io::Error) {
        if self.reserve.release_for(error)
            && let Ok((socket, _)) = accept_from(&self.socket)
        {
            reset(socket);
        }
        self.reserve.refill();
    }
}
