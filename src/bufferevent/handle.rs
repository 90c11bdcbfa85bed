//! Access to one bufferevent: its buffers, its settings and its end.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::direction::Watermarks;
use super::error::BuffereventError;
use super::filter::{FilterState, FlushMode};
use super::handlers::BuffereventHandlers;
use super::serve::{on_deferred, on_readable, on_writable};
use super::socket::non_blocking;
use super::state::{Bufferevent, BuffereventOptions, Kind, SINGLE_READ_MAX, SINGLE_WRITE_MAX};
use super::table::{BuffereventId, Bufferevents, HasBufferevents};
use super::what::What;
use crate::base::Registry;
use crate::buffer::Buffer;
use crate::error::Error;
use crate::event::{EventSpec, Interest, Token};
use crate::transport::Transport;

impl<C: HasBufferevents> Bufferevents<C> {
    /// Gives access to a bufferevent; `None` if it was freed.
    ///
    /// What the caller changes takes effect once the access ends: output is sent after the running
    /// handler, and reading starts or stops.
    pub fn get<'a>(
        &'a mut self,
        registry: &'a mut Registry<C>,
        id: BuffereventId,
    ) -> Option<BuffereventMut<'a, C>> {
        self.state(id)?;
        Some(BuffereventMut { table: self, registry, id, is_changed: false })
    }

    /// Ends a bufferevent (libevent: `bufferevent_free`): closes its socket, frees what is below
    /// it, drops its buffers and makes its id stale. Nothing of it is called any more. A stale id
    /// has no effect.
    ///
    /// Output that the socket has not taken is lost;
    /// [`free_when_sent`](BuffereventMut::free_when_sent) sends it first.
    pub fn free(&mut self, registry: &mut Registry<C>, id: BuffereventId) {
        let Some(state) = self.remove(id) else { return };
        // First the events, then their descriptor.
        for event in state.events() {
            registry.free(event);
        }
        if let Some(group) = state.group() {
            self.groups.leave(group, id);
        }
        if let Some(above) = state.filter.and_then(|filter| self.state_mut(filter))
            && let Kind::Filter(filter) = &mut above.kind
        {
            filter.underlying = None;
        }
        if let Some(filter) = state.filter {
            self.mark_changed(registry, filter);
        }
        match state.kind {
            Kind::Socket(socket) => {
                if let Some(connecting) = socket.connecting {
                    connecting.cancel(registry);
                }
            }
            Kind::Pair(partner) => {
                if let Some(partner) = partner
                    && let Some(state) = self.state_mut(partner)
                {
                    state.kind = Kind::Pair(None);
                    self.mark_changed(registry, partner);
                }
            }
            Kind::Filter(FilterState { underlying, .. }) => {
                if let Some(underlying) = underlying {
                    self.free(registry, underlying);
                }
            }
        }
    }

    /// Ends a bufferevent whose output is sent. What is below a filter still has to send it.
    pub(super) fn end(&mut self, registry: &mut Registry<C>, id: BuffereventId) {
        if let Some(state) = self.state_mut(id)
            && let Kind::Filter(filter) = &mut state.kind
            && let Some(underlying) = filter.underlying.take()
            && let Some(below) = self.state_mut(underlying)
        {
            below.filter = None;
            below.close();
            self.mark_changed(registry, underlying);
        }
        self.free(registry, id);
    }

    /// Creates a bufferevent of any kind.
    pub(super) fn create(
        &mut self,
        registry: &mut Registry<C>,
        kind: Kind,
        options: BuffereventOptions,
    ) -> BuffereventId {
        let id = self.insert(Bufferevent::new(kind));
        if options.contains(BuffereventOptions::DEFER_CALLBACKS)
            && let Some(state) = self.state_mut(id)
        {
            let spec = EventSpec::timer().token(id.token());
            state.deferred = Some(registry.create(spec, on_deferred));
        }
        id
    }

    pub(super) fn flush(
        &mut self,
        registry: &mut Registry<C>,
        id: BuffereventId,
        directions: Interest,
        mode: FlushMode,
    ) -> Result<bool, BuffereventError> {
        match self.resolve(id)?.kind {
            Kind::Socket(_) => Ok(false),
            Kind::Pair(_) => self.flush_pair(registry, id, directions, mode),
            Kind::Filter(_) => self.flush_filter(registry, id, directions, mode),
        }
    }
}

/// A bufferevent, together with the registry of its base (libevent: `struct bufferevent`).
///
/// [`Bufferevents::get`] returns it.
pub struct BuffereventMut<'a, C: HasBufferevents> {
    pub(super) table: &'a mut Bufferevents<C>,
    pub(super) registry: &'a mut Registry<C>,
    pub(super) id: BuffereventId,
    /// Whether more than its buffers changed.
    pub(super) is_changed: bool,
}

/// Bytes.
impl<C: HasBufferevents> BuffereventMut<'_, C> {
    /// What was received and not removed yet (libevent: `bufferevent_get_input`).
    pub fn input(&mut self) -> &mut Buffer {
        &mut self.state().input
    }

    /// What is to be sent (libevent: `bufferevent_get_output`).
    pub fn output(&mut self) -> &mut Buffer {
        &mut self.state().output
    }

    /// Both buffers, input first, to move bytes from one to the other.
    pub fn buffers(&mut self) -> (&mut Buffer, &mut Buffer) {
        let state = self.state();
        (&mut state.input, &mut state.output)
    }

    /// Appends bytes to the output (libevent: `bufferevent_write`).
    pub fn write(&mut self, bytes: &[u8]) {
        self.output().append(bytes);
    }

    /// Removes up to `into.len()` bytes from the input and copies them to `into`; returns how many
    /// (libevent: `bufferevent_read`).
    pub fn read(&mut self, into: &mut [u8]) -> usize {
        self.input().remove(into)
    }

    /// Ends the stream to the peer once all output is sent (`shutdown(2)` with `SHUT_WR`). The peer
    /// can go on sending. On a pair or a filter this is a flush of the output with
    /// [`FlushMode::Finished`].
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn end_write(&mut self) -> Result<(), BuffereventError> {
        self.is_changed = true;
        if let Kind::Socket(socket) = &mut self.state().kind {
            socket.ends = true;
            return Ok(());
        }
        self.flush(Interest::WRITE, FlushMode::Finished).map(|_| ())
    }

    /// Frees the bufferevent once all output is sent, or as soon as that fails. It reads nothing
    /// more, and calls no handler any more.
    ///
    /// A write timeout limits how long that takes. (libevent's programs do this in a write
    /// callback.)
    pub fn free_when_sent(mut self) {
        self.is_changed = true;
        self.state().close();
    }

    /// Moves what can be moved, also past watermarks (libevent: `bufferevent_flush`); returns
    /// whether any byte moved.
    ///
    /// A socket bufferevent sends its output anyway, so nothing happens. Of a pair,
    /// [`FlushMode::Finished`] ends the stream: the reading end gets [`What::EOF`].
    ///
    /// # Errors
    ///
    /// [`BuffereventError::NoOtherSide`] if the other end or the underlying bufferevent was freed,
    /// and [`BuffereventError::FilterFailed`].
    pub fn flush(
        &mut self,
        directions: Interest,
        mode: FlushMode,
    ) -> Result<bool, BuffereventError> {
        let id = self.id;
        self.table.flush(self.registry, id, directions, mode)
    }
}

/// Settings. A direction is [`Interest::READ`] or [`Interest::WRITE`], or both.
impl<C: HasBufferevents> BuffereventMut<'_, C> {
    /// Sets its handlers in place of the earlier ones (libevent: `bufferevent_setcb`).
    pub fn set_handlers(&mut self, handlers: BuffereventHandlers<C>) {
        self.state().handlers = handlers;
    }

    /// Its handlers (libevent: `bufferevent_getcb`).
    #[must_use]
    pub fn handlers(&self) -> BuffereventHandlers<C> {
        self.state_ref().handlers
    }

    /// Sets a number of the owner's choice (libevent: the callbacks' `arg`).
    pub fn set_token(&mut self, token: Token) {
        self.state().token = token;
    }

    /// The number that was set; 0 if none was.
    #[must_use]
    pub fn token(&self) -> Token {
        self.state_ref().token
    }

    /// Enables directions (libevent: `bufferevent_enable`). Their timeouts start anew.
    pub fn enable(&mut self, directions: Interest) {
        self.set_enabled(directions, true);
    }

    /// Disables directions (libevent: `bufferevent_disable`). Their buffers keep their bytes.
    pub fn disable(&mut self, directions: Interest) {
        self.set_enabled(directions, false);
    }

    /// The enabled directions, also while they wait for something (libevent:
    /// `bufferevent_get_enabled`).
    #[must_use]
    pub fn enabled(&self) -> Interest {
        self.state_ref().enabled()
    }

    fn set_enabled(&mut self, directions: Interest, enabled: bool) {
        self.is_changed = true;
        let state = self.state();
        for (direction, one) in
            [(Interest::READ, &mut state.read), (Interest::WRITE, &mut state.write)]
        {
            if directions.contains(direction) {
                one.enabled = enabled;
            }
        }
    }

    /// Sets the watermarks of directions (libevent: `bufferevent_setwatermark`).
    pub fn set_watermarks(&mut self, directions: Interest, watermarks: Watermarks) {
        self.is_changed = true;
        let state = self.state();
        if directions.contains(Interest::READ) {
            state.read.watermarks = watermarks;
        }
        if directions.contains(Interest::WRITE) {
            state.write.watermarks = watermarks;
        }
    }

    /// The watermarks of one direction (libevent: `bufferevent_getwatermark`).
    #[must_use]
    pub fn watermarks(&self, direction: Interest) -> Watermarks {
        let state = self.state_ref();
        if direction.contains(Interest::READ) {
            state.read.watermarks
        } else {
            state.write.watermarks
        }
    }

    /// Sets the timeouts of both directions; `None` and zero are none (libevent:
    /// `bufferevent_set_timeouts`).
    ///
    /// The read timeout runs while the bufferevent can read, and starts anew with each read. The
    /// write timeout runs while it has output that it cannot send, and starts anew with each
    /// write. A timeout that elapses disables its direction and is an event with
    /// [`What::TIMEOUT`].
    pub fn set_timeouts(&mut self, read: Option<Duration>, write: Option<Duration>) {
        self.is_changed = true;
        let id = self.id;
        let Self { table, registry, .. } = self;
        let Some(state) = table.state_mut(id) else { return };
        state.read.timeout = read.filter(|timeout| !timeout.is_zero());
        state.write.timeout = write.filter(|timeout| !timeout.is_zero());
        if !matches!(state.kind, Kind::Socket(_)) {
            let spec = || EventSpec::timer().persist().token(id.token());
            state.read.event.get_or_insert_with(|| registry.create(spec(), on_readable));
            state.write.event.get_or_insert_with(|| registry.create(spec(), on_writable));
            state.apply_priority(registry);
        }
        for direction in [&mut state.read, &mut state.write] {
            if let Some(event) = direction.event {
                registry.remove_timeout(event);
            }
        }
        state.renew_timeout(registry, Interest::READ);
        state.renew_timeout(registry, Interest::WRITE);
    }

    /// Sets the most bytes that one system call reads and writes; 0 is the default (libevent:
    /// `bufferevent_set_max_single_read`, `_write`).
    pub fn set_max_single(&mut self, read: usize, write: usize) {
        let state = self.state();
        state.read.max_single = if read == 0 { SINGLE_READ_MAX } else { read };
        state.write.max_single = if write == 0 { SINGLE_WRITE_MAX } else { write };
    }

    /// Sets the priority of its events (libevent: `bufferevent_priority_set`).
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Base`] if the base has no such priority, or if one of its events is
    /// active. Nothing is changed then.
    pub fn set_priority(&mut self, priority: u8) -> Result<(), BuffereventError> {
        let priorities = self.registry.priorities();
        if priority >= priorities {
            return Err(Error::Priority { priority, priorities }.into());
        }
        let Self { table, registry, id, .. } = self;
        let Some(state) = table.state_mut(*id) else { return Ok(()) };
        if let Some(active) = state
            .events()
            .find(|event| registry.info(*event).is_some_and(|info| !info.active.is_empty()))
        {
            return Err(Error::Active(active).into());
        }
        state.priority = Some(priority);
        state.apply_priority(registry);
        Ok(())
    }
}

/// Events.
impl<C: HasBufferevents> BuffereventMut<'_, C> {
    /// Has the data handlers of directions called, if their watermarks are met (libevent:
    /// `bufferevent_trigger`).
    pub fn trigger(&mut self, directions: Interest) {
        self.is_changed = true;
        let state = self.state();
        if directions.contains(Interest::READ) {
            state.report_input();
        }
        if directions.contains(Interest::WRITE) {
            state.report_output();
        }
    }

    /// The same, whatever the watermarks (libevent: `BEV_TRIG_IGNORE_WATERMARKS`).
    pub fn trigger_always(&mut self, directions: Interest) {
        self.is_changed = true;
        let state = self.state();
        state.due.read |= directions.contains(Interest::READ);
        state.due.write |= directions.contains(Interest::WRITE);
    }

    /// Has the event handler called (libevent: `bufferevent_trigger_event`).
    pub fn trigger_event(&mut self, what: What) {
        self.is_changed = true;
        self.state().due.what |= what;
    }

    /// Takes the error behind [`What::ERROR`] (libevent: `EVUTIL_SOCKET_ERROR` in the event
    /// callback); `None` if there is none, or if it was taken before.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.state().error.take()
    }
}

/// What it stands on.
impl<C: HasBufferevents> BuffereventMut<'_, C> {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> BuffereventId {
        self.id
    }

    /// The descriptor of its socket, or of the socket below its filters (libevent:
    /// `bufferevent_getfd`).
    #[must_use]
    pub fn fd(&self) -> Option<RawFd> {
        Some(self.transport()?.as_raw_fd())
    }

    /// What moves its bytes, or those below its filters.
    pub(super) fn transport(&self) -> Option<&Transport> {
        let mut state = self.table.state(self.id)?;
        while let Kind::Filter(filter) = &state.kind {
            state = self.table.state(filter.underlying?)?;
        }
        match &state.kind {
            Kind::Socket(socket) => socket.transport.as_ref(),
            _ => None,
        }
    }

    /// Takes its socket out, which stays open (libevent: `bufferevent_setfd` with -1). The buffers
    /// keep their bytes.
    ///
    /// # Errors
    ///
    /// [`BuffereventError::NoSocket`] for a pair and a filter. TLS ends without being closed: what
    /// it has not sent and what it has decrypted is lost.
    pub fn take_socket(&mut self) -> Result<Option<OwnedFd>, BuffereventError> {
        let Self { table, registry, id, .. } = self;
        let state = table.resolve(*id)?;
        let Kind::Socket(socket) = &mut state.kind else {
            return Err(BuffereventError::NoSocket(*id));
        };
        let transport = socket.transport.take();
        state.end_handshake(registry);
        state.free_io_events(registry);
        state.end_connect(registry);
        Ok(transport.map(Transport::into_socket))
    }

    /// Gives it another connected socket, and returns the earlier one (libevent:
    /// `bufferevent_setfd`, `bufferevent_replacefd`). The buffers and settings stay.
    ///
    /// # Errors
    ///
    /// As [`take_socket`](Self::take_socket), and [`BuffereventError::Os`] if the new descriptor
    /// cannot be non-blocking. The earlier one stays then.
    pub fn replace_socket(
        &mut self,
        socket: impl Into<OwnedFd>,
    ) -> Result<Option<OwnedFd>, BuffereventError> {
        let transport = non_blocking(socket.into())?;
        let earlier = self.take_socket()?;
        self.is_changed = true;
        let Self { table, registry, id, .. } = self;
        table.resolve(*id)?.attach(registry, *id, transport);
        Ok(earlier)
    }

    /// The other end of a pair (libevent: `bufferevent_pair_get_partner`).
    #[must_use]
    pub fn partner(&self) -> Option<BuffereventId> {
        if let Kind::Pair(partner) = self.state_ref().kind { partner } else { None }
    }

    /// What is below a filter (libevent: `bufferevent_get_underlying`).
    #[must_use]
    pub fn underlying(&self) -> Option<BuffereventId> {
        if let Kind::Filter(filter) = &self.state_ref().kind { filter.underlying } else { None }
    }

    pub(super) fn parts(&mut self) -> (&mut Bufferevents<C>, &mut Registry<C>, BuffereventId) {
        (self.table, self.registry, self.id)
    }

    /// Has it served after the running handler.
    pub(super) fn note_change(&mut self) {
        self.is_changed = true;
    }

    pub(super) fn state(&mut self) -> &mut Bufferevent<C> {
        self.table.state_mut(self.id).expect("it exists as long as this access")
    }

    pub(super) fn state_ref(&self) -> &Bufferevent<C> {
        self.table.state(self.id).expect("it exists as long as this access")
    }
}

impl<C: HasBufferevents> Drop for BuffereventMut<'_, C> {
    fn drop(&mut self) {
        let state = self.state();
        let input = state.input.take_changes();
        let output = state.output.take_changes();
        if self.is_changed || input.removed > 0 || output.added > 0 {
            self.table.mark_changed(self.registry, self.id);
        }
    }
}

impl<C: HasBufferevents> fmt::Debug for BuffereventMut<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BuffereventMut").field(&self.id).field(self.state_ref()).finish()
    }
}

/// Settings that concern its events.
impl<C: HasBufferevents> Bufferevent<C> {
    /// Reads no more, and ends once the output is sent.
    fn close(&mut self) {
        self.is_closing = true;
        self.read.enabled = false;
        // A peer takes a TLS stream without its end for one that was cut off.
        if let Kind::Socket(socket) = &mut self.kind
            && socket.is_tls()
            && !(socket.is_before_tls() && self.output.is_empty())
        {
            socket.ends = true;
        }
        self.handlers = BuffereventHandlers::default();
    }

    pub(super) fn apply_priority(&mut self, registry: &mut Registry<C>) {
        let Some(priority) = self.priority else { return };
        for event in self.events() {
            // Its priority exists, and the event is not active: it is new, or was checked.
            let _ = registry.set_priority(event, priority);
        }
    }

    /// Starts the timeout of a direction anew, if it runs.
    pub(super) fn renew_timeout(&mut self, registry: &mut Registry<C>, direction: Interest) {
        let direction = if direction == Interest::READ { &self.read } else { &self.write };
        if let (Some(event), Some(timeout), true) =
            (direction.event, direction.timeout, direction.watched && direction.is_on())
        {
            // It is pending already, so only its timeout changes.
            let _ = registry.add(event, Some(timeout));
        }
    }
}
