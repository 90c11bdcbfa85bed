//! Pairs: two bufferevents of which each reads what the other writes (libevent:
//! `bufferevent_pair_new`).

use super::error::BuffereventError;
use super::filter::FlushMode;
use super::state::{Bufferevent, BuffereventOptions, Kind};
use super::table::{BuffereventId, Bufferevents, HasBufferevents};
use super::what::What;
use crate::base::Registry;
use crate::buffer::Buffer;
use crate::event::Interest;

impl<C: HasBufferevents> Bufferevents<C> {
    /// Creates two bufferevents that are connected to each other (libevent:
    /// `bufferevent_pair_new`).
    ///
    /// Bytes move without being copied once the writing end is enabled for writing, and the reading
    /// end for reading. The handlers are always deferred. Freeing one end does not end the stream
    /// of the other: flush it first, with [`FlushMode::Finished`].
    pub fn pair(
        &mut self,
        registry: &mut Registry<C>,
        options: BuffereventOptions,
    ) -> (BuffereventId, BuffereventId) {
        let options = options | BuffereventOptions::DEFER_CALLBACKS;
        let first = self.create(registry, Kind::Pair(None), options);
        let second = self.create(registry, Kind::Pair(Some(first)), options);
        if let Some(state) = self.state_mut(first) {
            state.kind = Kind::Pair(Some(second));
        }
        (first, second)
    }

    /// Moves what can move in both directions, and lets the timeouts run that should.
    pub(super) fn settle_pair(
        &mut self,
        registry: &mut Registry<C>,
        id: BuffereventId,
        partner: Option<BuffereventId>,
    ) {
        if let Some(partner) = partner {
            self.transfer(registry, id, partner, FlushMode::Normal);
            self.transfer(registry, partner, id, FlushMode::Normal);
        }
        let Some(state) = self.state_mut(id) else { return };
        state.check_high_watermark();
        state.watch_directions(registry);
    }

    /// Moves output of `from` to the input of `to`; returns whether any moved. A flush ignores the
    /// watermarks, and its end ends the stream.
    fn transfer(
        &mut self,
        registry: &mut Registry<C>,
        from: BuffereventId,
        to: BuffereventId,
        mode: FlushMode,
    ) -> bool {
        let Some(source) = self.state_mut(from) else { return false };
        if !source.write.is_on() {
            return false;
        }
        let mut output = std::mem::take(&mut source.output);
        let moved = match self.state_mut(to) {
            Some(target) if target.read.enabled => target.take_from_pair(&mut output, mode),
            _ => 0,
        };
        let Some(source) = self.state_mut(from) else { return false };
        source.output = output;
        if moved == 0 {
            return false;
        }
        source.report_output();
        source.renew_timeout(registry, Interest::WRITE);
        if let Some(target) = self.state_mut(to) {
            target.renew_timeout(registry, Interest::READ);
        }
        self.mark_changed(registry, from);
        self.mark_changed(registry, to);
        true
    }

    /// Flushes the directions of one end; see [`flush`](crate::BuffereventMut::flush).
    pub(super) fn flush_pair(
        &mut self,
        registry: &mut Registry<C>,
        id: BuffereventId,
        directions: Interest,
        mode: FlushMode,
    ) -> Result<bool, BuffereventError> {
        let Kind::Pair(partner) = self.resolve(id)?.kind else { return Ok(false) };
        let partner = partner.ok_or(BuffereventError::NoOtherSide(id))?;
        if mode == FlushMode::Normal {
            return Ok(false);
        }
        let mut moved = false;
        let writes = directions.contains(Interest::WRITE);
        let reads = directions.contains(Interest::READ);
        for (wanted, from, to) in [(reads, partner, id), (writes, id, partner)] {
            if !wanted {
                continue;
            }
            moved |= self.transfer(registry, from, to, mode);
            if mode == FlushMode::Finished
                && let Some(target) = self.state_mut(to)
            {
                target.report(What::EOF | What::READING);
                self.mark_changed(registry, to);
            }
        }
        Ok(moved)
    }
}

impl<C: HasBufferevents> Bufferevent<C> {
    /// Takes bytes from the other end's output; returns how many.
    fn take_from_pair(&mut self, output: &mut Buffer, mode: FlushMode) -> usize {
        let room = match mode {
            FlushMode::Normal => {
                self.check_high_watermark();
                if !self.read.is_on() {
                    return 0;
                }
                self.read.watermarks.room(self.input.len())
            }
            FlushMode::Flush | FlushMode::Finished => usize::MAX,
        };
        let moved = output.move_to(&mut self.input, room);
        if moved > 0 {
            self.report_input();
        }
        moved
    }
}
