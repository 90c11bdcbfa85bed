//! How bufferevents are served: their bytes are moved, and then their handlers are called.
//!
//! Everything that happens to a bufferevent is noted in its state first. When it is served, its
//! buffers, its socket and its events are brought into agreement, and then the calls that are due
//! are made one by one. The bufferevent is looked up again before each, so a handler may free it.

use super::handlers::Call;
use super::state::Kind;
use super::table::{BuffereventId, Bufferevents, HasBufferevents};
use crate::base::Registry;
use crate::event::{EventId, Fired};

/// Calls of one bufferevent's handlers in a row, so that one whose handlers cause each other does
/// not keep the loop.
const CALLS_MAX: usize = 16;

/// Bufferevents that one event serves. The others follow in an event of their own.
const SERVED_MAX: usize = 32;

/// Handles the event of the reading direction: its socket is readable, or its timeout elapsed.
pub(super) fn on_readable<C: HasBufferevents>(
    registry: &mut Registry<C>,
    cx: &mut C,
    fired: Fired,
) {
    let Some(id) = BuffereventId::from_token(fired.token) else { return };
    let Some((state, groups)) = cx.bufferevents().state_and_groups(id) else { return };
    state.readable(registry, groups, fired);
    serve_from(registry, cx, fired.id, Some((id, false)));
}

/// Handles the event of the writing direction: its socket is writable, or its timeout elapsed.
pub(super) fn on_writable<C: HasBufferevents>(
    registry: &mut Registry<C>,
    cx: &mut C,
    fired: Fired,
) {
    let Some(id) = BuffereventId::from_token(fired.token) else { return };
    let Some((state, groups)) = cx.bufferevents().state_and_groups(id) else { return };
    state.writable(registry, groups, fired);
    serve_from(registry, cx, fired.id, Some((id, false)));
}

/// Handles the event of deferred handlers: calls them.
pub(super) fn on_deferred<C: HasBufferevents>(
    registry: &mut Registry<C>,
    cx: &mut C,
    fired: Fired,
) {
    let Some(id) = BuffereventId::from_token(fired.token) else { return };
    serve_from(registry, cx, fired.id, Some((id, true)));
}

/// Handles the event of the table: serves what changed while no event of a bufferevent ran.
pub(super) fn on_scheduled<C: HasBufferevents>(
    registry: &mut Registry<C>,
    cx: &mut C,
    fired: Fired,
) {
    serve_from(registry, cx, fired.id, None);
}

/// Serves the first one, and then those that changed, from the handler of `event`. With the first
/// one comes whether its deferred handlers are called now.
pub(super) fn serve_from<C: HasBufferevents>(
    registry: &mut Registry<C>,
    cx: &mut C,
    event: EventId,
    first: Option<(BuffereventId, bool)>,
) {
    cx.bufferevents().serving = Some(event);
    if let Some((id, calls_deferred)) = first {
        serve(registry, cx, id, calls_deferred);
    }
    // Those that change from here on are served by the table's own event.
    for _ in 0..cx.bufferevents().changed.len().min(SERVED_MAX) {
        let table = cx.bufferevents();
        let Some(id) = table.changed.pop_front() else { break };
        if let Some(state) = table.state_mut(id) {
            state.is_marked = false;
            serve(registry, cx, id, false);
        }
    }
    let table = cx.bufferevents();
    (table.serving, table.current) = (None, None);
    if !table.changed.is_empty() {
        table.schedule(registry);
    }
}

/// Serves one bufferevent; `calls_deferred` says whether handlers that are deferred are called now.
fn serve<C: HasBufferevents>(
    registry: &mut Registry<C>,
    cx: &mut C,
    id: BuffereventId,
    calls_deferred: bool,
) {
    cx.bufferevents().current = Some(id);
    for _ in 0..CALLS_MAX {
        let table = cx.bufferevents();
        let Some(state) = table.state_mut(id) else { return };
        let Some(state) = (if state.is_unsettled {
            table.settle(registry, id);
            table.state_mut(id)
        } else {
            Some(state)
        }) else {
            return;
        };
        if state.is_closed() {
            table.end(registry, id);
            return;
        }
        if let Some(filter) = state.filter {
            let due = std::mem::take(&mut state.due);
            let error = state.error.take();
            table.report_below(registry, filter, due, error);
            return;
        }
        if let Some(deferred) = state.deferred
            && !calls_deferred
        {
            if !state.due.is_empty() {
                registry.schedule(deferred).expect("its bufferevent exists");
            }
            return;
        }
        match state.next_call() {
            None => return,
            Some(Call::Data(handler)) => handler(registry, cx, id),
            Some(Call::Event(handler, what)) => handler(registry, cx, id, what),
        }
    }
    let table = cx.bufferevents();
    table.current = None;
    table.mark_changed(registry, id);
}

impl<C: HasBufferevents> Bufferevents<C> {
    /// Moves the bytes that can move, and makes the events agree with what is wanted.
    fn settle(&mut self, registry: &mut Registry<C>, id: BuffereventId) {
        let Some((state, groups)) = self.state_and_groups(id) else { return };
        state.is_unsettled = false;
        match state.kind {
            Kind::Socket(_) => state.settle_socket(registry, groups),
            Kind::Pair(partner) => self.settle_pair(registry, id, partner),
            Kind::Filter(_) => self.settle_filter(registry, id),
        }
    }
}
