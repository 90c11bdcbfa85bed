//! Filters: bufferevents that transform what another one reads and writes (libevent:
//! `bufferevent_filter_new`).

use std::{io, mem};

use super::direction::Suspended;
use super::error::BuffereventError;
use super::state::{Bufferevent, BuffereventOptions, Kind};
use super::table::{BuffereventId, Bufferevents, HasBufferevents};
use super::what::{Due, What};
use crate::base::Registry;
use crate::buffer::Buffer;
use crate::event::Interest;

/// How urgently bytes must move (libevent: `enum bufferevent_flush_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlushMode {
    /// As usual: keep what is better sent together with more.
    #[default]
    Normal,
    /// Move everything that can be moved.
    Flush,
    /// The same, and nothing follows: end the stream.
    Finished,
}

/// What a call of a filter achieved (libevent: `enum bufferevent_filter_result`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterResult {
    /// It produced bytes. It is called again if input and room are left.
    Ok,
    /// It produced nothing, because it needs more input.
    NeedMore,
}

/// A transformation of both directions of a stream (libevent: the two `bufferevent_filter_cb`).
///
/// Each method removes bytes from `from` and appends bytes to `into`, at most `limit` of them if it
/// can. A filter that keeps state for a direction keeps it in itself. With
/// [`FlushMode::Flush`] and [`FlushMode::Finished`] a method should produce what it has kept back.
///
/// By default both directions pass through.
pub trait Filter {
    /// Transforms what was received from below, for the user to read.
    ///
    /// # Errors
    ///
    /// Any error ends the reading direction, with [`What::ERROR`] and [`What::READING`].
    fn read(
        &mut self,
        from: &mut Buffer,
        into: &mut Buffer,
        limit: usize,
        _mode: FlushMode,
    ) -> io::Result<FilterResult> {
        Ok(pass_through(from, into, limit))
    }

    /// Transforms what the user wrote, for sending it below.
    ///
    /// # Errors
    ///
    /// Any error ends the writing direction, with [`What::ERROR`] and [`What::WRITING`].
    fn write(
        &mut self,
        from: &mut Buffer,
        into: &mut Buffer,
        limit: usize,
        _mode: FlushMode,
    ) -> io::Result<FilterResult> {
        Ok(pass_through(from, into, limit))
    }
}

fn pass_through(from: &mut Buffer, into: &mut Buffer, limit: usize) -> FilterResult {
    let moved = from.move_to(into, limit);
    if moved > 0 { FilterResult::Ok } else { FilterResult::NeedMore }
}

/// What a filter has of its own.
pub(super) struct FilterState {
    /// What is below, unless it was freed.
    pub(super) underlying: Option<BuffereventId>,
    filter: Box<dyn Filter>,
}

impl<C: HasBufferevents> Bufferevents<C> {
    /// Creates a filter on another bufferevent, which it owns from now on (libevent:
    /// `bufferevent_filter_new` with `BEV_OPT_CLOSE_ON_FREE`).
    ///
    /// The underlying bufferevent's handlers are not called any more, and its directions are
    /// enabled. It reads only while the filter does. Its events become the filter's.
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Stale`] if the underlying one was freed, and
    /// [`BuffereventError::HasFilter`] if it has a filter already.
    pub fn filter(
        &mut self,
        registry: &mut Registry<C>,
        underlying: BuffereventId,
        filter: impl Filter + 'static,
        options: BuffereventOptions,
    ) -> Result<BuffereventId, BuffereventError> {
        if self.resolve(underlying)?.filter.is_some() {
            return Err(BuffereventError::HasFilter(underlying));
        }
        let state = FilterState { underlying: Some(underlying), filter: Box::new(filter) };
        let id = self.create(registry, Kind::Filter(state), options);
        let below = self.resolve(underlying)?;
        below.filter = Some(id);
        below.read.enabled = true;
        below.write.enabled = true;
        below.read.suspended |= Suspended::FILTER;
        self.mark_changed(registry, underlying);
        self.mark_changed(registry, id);
        Ok(id)
    }

    /// Passes what happened below to the filter.
    pub(super) fn report_below(
        &mut self,
        registry: &mut Registry<C>,
        filter: BuffereventId,
        due: Due,
        error: Option<io::Error>,
    ) {
        if due.is_empty() {
            return;
        }
        let Some(state) = self.state_mut(filter) else { return };
        state.error = error.or(state.error.take());
        state.due.what |= due.what;
        self.mark_changed(registry, filter);
    }

    /// Filters what can be filtered, and lets what is below read only if the filter does.
    pub(super) fn settle_filter(&mut self, registry: &mut Registry<C>, id: BuffereventId) {
        for direction in [Interest::READ, Interest::WRITE] {
            // A failure is reported to the handler already.
            let _ = self.run_filter(registry, id, direction, FlushMode::Normal);
        }
        let Some(state) = self.state_mut(id) else { return };
        state.check_high_watermark();
        state.watch_directions(registry);
        let reads = state.read.is_on();
        let Kind::Filter(FilterState { underlying: Some(underlying), .. }) = state.kind else {
            return;
        };
        let Some(below) = self.state_mut(underlying) else { return };
        if below.read.suspended.contains(Suspended::FILTER) == reads {
            below.read.suspended.set(Suspended::FILTER, !reads);
            self.mark_changed(registry, underlying);
        }
    }

    /// Runs one direction of a filter while it makes progress; returns whether it produced bytes.
    fn run_filter(
        &mut self,
        registry: &mut Registry<C>,
        id: BuffereventId,
        direction: Interest,
        mode: FlushMode,
    ) -> Result<bool, BuffereventError> {
        let Kind::Filter(FilterState { underlying: Some(underlying), .. }) = self.resolve(id)?.kind
        else {
            return Ok(false);
        };
        // The buffer below is taken out of the table, so that the filter can use both.
        let Some(below) = self.state_mut(underlying) else { return Ok(false) };
        let room_below = below.write.watermarks.room(below.output.len());
        let mut buffer = mem::take(below.buffer_of(direction));
        let state = self.resolve(id)?;
        let progress = state.filter_through(&mut buffer, room_below, direction, mode);
        if progress.produced {
            state.renew_timeout(registry, direction);
        }
        if let Some(below) = self.state_mut(underlying) {
            *below.buffer_of(direction) = buffer;
        }
        if progress.consumed || progress.produced {
            self.mark_changed(registry, underlying);
        }
        if progress.failed {
            Err(BuffereventError::FilterFailed(id))
        } else {
            Ok(progress.produced)
        }
    }

    /// Flushes the directions of a filter and of what is below; see
    /// [`flush`](crate::BuffereventMut::flush).
    pub(super) fn flush_filter(
        &mut self,
        registry: &mut Registry<C>,
        id: BuffereventId,
        directions: Interest,
        mode: FlushMode,
    ) -> Result<bool, BuffereventError> {
        let Kind::Filter(FilterState { underlying, .. }) = self.resolve(id)?.kind else {
            return Ok(false);
        };
        let underlying = underlying.ok_or(BuffereventError::NoOtherSide(id))?;
        let mut produced = false;
        for direction in [Interest::READ, Interest::WRITE] {
            if directions.contains(direction) {
                produced |= self.run_filter(registry, id, direction, mode)?;
            }
        }
        self.mark_changed(registry, id);
        let flushed = self.flush(registry, underlying, directions, mode)?;
        Ok(produced || flushed)
    }
}

/// What a direction of a filter achieved.
struct Progress {
    consumed: bool,
    produced: bool,
    failed: bool,
}

impl<C> Bufferevent<C> {
    /// Filters between its own buffer of a direction and `below`, while that makes progress.
    fn filter_through(
        &mut self,
        below: &mut Buffer,
        room_below: usize,
        direction: Interest,
        mode: FlushMode,
    ) -> Progress {
        let Self { kind, input, output, read, write, .. } = self;
        let Kind::Filter(FilterState { filter, .. }) = kind else { unreachable!("it is a filter") };
        let reads = direction == Interest::READ;
        let (from, into, room, enabled) = if reads {
            let room = read.watermarks.room(input.len());
            (below, input, room, read.enabled)
        } else {
            (output, below, room_below, write.enabled)
        };
        let (from_start, into_start) = (from.len(), into.len());
        let mut must_call = mode != FlushMode::Normal;
        let mut error = None;
        loop {
            let limit = match mode {
                FlushMode::Normal => room.saturating_sub(into.len().saturating_sub(into_start)),
                FlushMode::Flush | FlushMode::Finished => usize::MAX,
            };
            if !enabled || limit == 0 || (from.is_empty() && !must_call) {
                break;
            }
            must_call = false;
            let before = (from.len(), into.len());
            let result = if reads {
                filter.read(from, into, limit, mode)
            } else {
                filter.write(from, into, limit, mode)
            };
            match result {
                Ok(FilterResult::Ok) if (from.len(), into.len()) != before => {}
                Ok(_) => break,
                Err(failure) => {
                    error = Some(failure);
                    break;
                }
            }
        }
        let (consumed, produced) = (from.len() < from_start, into.len() > into_start);
        let progress = Progress { consumed, produced, failed: error.is_some() };
        if reads && produced {
            self.report_input();
        }
        if !reads && consumed {
            self.report_output();
        }
        if let Some(error) = error {
            self.report_error(error, if reads { What::READING } else { What::WRITING });
        }
        progress
    }

    /// The buffer that a filter above reads from or writes to.
    fn buffer_of(&mut self, direction: Interest) -> &mut Buffer {
        if direction == Interest::READ { &mut self.input } else { &mut self.output }
    }
}
