//! Bufferevents on a socket (libevent: `bufferevent_socket_new`).

use std::os::fd::OwnedFd;

use super::connecting::Connecting;
use super::direction::{Direction, Suspended};
use super::error::{BuffereventError, refusal};
use super::limit_groups::Groups;
use super::serve::{on_readable, on_writable};
use super::state::{Bufferevent, BuffereventOptions, Kind};
use super::table::{BuffereventId, Bufferevents, HasBufferevents};
use super::what::What;
use crate::base::Registry;
use crate::buffer::Buffer;
use crate::error::Error;
use crate::event::{EventSpec, Fired, Ready};
use crate::rate_limit::Direction as Way;
use crate::transport::{Transport, would_block};

/// What a socket bufferevent has of its own.
#[derive(Default)]
pub(super) struct SocketState {
    /// `None` until it is connected.
    pub(super) transport: Option<Transport>,
    /// While it connects.
    pub(super) connecting: Option<Box<Connecting>>,
    /// Whether the stream to the peer ends once the output is sent.
    pub(super) ends: bool,
    /// TLS that is to be started, or whose handshake is not done.
    #[cfg(feature = "tls")]
    pub(super) handshake: Option<Box<super::tls::Handshake>>,
    /// Whether a stream that TLS does not end properly is taken for one that ended.
    pub(super) allows_truncation: bool,
}

impl<C: HasBufferevents> Bufferevents<C> {
    /// Creates a bufferevent on a connected stream socket, which it owns (libevent:
    /// `bufferevent_socket_new` with `BEV_OPT_CLOSE_ON_FREE`). It makes the socket non-blocking.
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Os`] if the descriptor cannot be non-blocking.
    pub fn socket(
        &mut self,
        registry: &mut Registry<C>,
        socket: impl Into<OwnedFd>,
        options: BuffereventOptions,
    ) -> Result<BuffereventId, BuffereventError> {
        let transport = non_blocking(socket.into())?;
        let id = self.unconnected(registry, options);
        self.resolve(id)?.attach(registry, id, transport);
        Ok(id)
    }

    /// Creates a bufferevent without a socket, to connect it (libevent: `bufferevent_socket_new`
    /// with the descriptor -1).
    ///
    /// What is put into its output before it is connected is sent afterwards.
    pub fn unconnected(
        &mut self,
        registry: &mut Registry<C>,
        options: BuffereventOptions,
    ) -> BuffereventId {
        self.create(registry, Kind::Socket(SocketState::default()), options)
    }
}

/// A transport on the socket, which no longer blocks.
pub(super) fn non_blocking(socket: OwnedFd) -> Result<Transport, BuffereventError> {
    let socket = socket2::Socket::from(socket);
    socket
        .set_nonblocking(true)
        .map_err(BuffereventError::os("make the socket of a bufferevent non-blocking"))?;
    Ok(Transport::new(socket))
}

impl SocketState {
    /// Whether it has TLS, or will have it once it is connected.
    pub(super) fn is_tls(&self) -> bool {
        self.is_before_tls() || self.transport.as_ref().is_some_and(Transport::is_tls)
    }

    /// Whether TLS is to be started, or its handshake is not done.
    pub(super) fn is_before_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.handshake.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }
}

/// The state of a socket bufferevent.
impl<C: HasBufferevents> Bufferevent<C> {
    /// Takes a connected socket, and creates its events.
    pub(super) fn attach(
        &mut self,
        registry: &mut Registry<C>,
        id: BuffereventId,
        transport: Transport,
    ) {
        let Kind::Socket(socket) = &mut self.kind else { return };
        let (read, write) = (transport.read_waits_for(), transport.write_waits_for());
        // Events of one descriptor may share it: it is closed only after both are freed.
        let spec =
            |interest| EventSpec::io(&transport, interest).persist().stable_fd().token(id.token());
        self.read.event = Some(registry.create(spec(read), on_readable));
        self.write.event = Some(registry.create(spec(write), on_writable));
        socket.transport = Some(transport);
        self.has_tls = false;
        self.apply_priority(registry);
        self.begin_handshake(registry, id, Buffer::new());
    }

    /// Reports a connect that succeeded. With TLS that is when its handshake is done.
    pub(super) fn report_connected(&mut self) {
        if !matches!(&self.kind, Kind::Socket(socket) if socket.is_tls()) {
            self.due.what |= What::CONNECTED;
        }
    }

    /// Whether its TLS handshake goes on.
    pub(super) fn is_handshaking(&self) -> bool {
        self.read.suspended.contains(Suspended::HANDSHAKE)
    }

    /// Notes what the event of the reading direction reports.
    pub(super) fn readable(
        &mut self,
        registry: &mut Registry<C>,
        groups: &mut Groups,
        fired: Fired,
    ) {
        if fired.ready.contains(Ready::READ) {
            if self.is_handshaking() {
                return self.continue_handshake(registry);
            }
            self.read_socket(registry, groups);
        } else if fired.ready.contains(Ready::REFUSED) {
            self.refused(registry, fired, What::READING);
        } else {
            self.report(What::TIMEOUT | What::READING);
        }
    }

    /// Notes what the event of the writing direction reports.
    pub(super) fn writable(
        &mut self,
        registry: &mut Registry<C>,
        groups: &mut Groups,
        fired: Fired,
    ) {
        self.is_unsettled = true;
        if fired.ready.contains(Ready::WRITE) {
            if self.is_handshaking() {
                return self.continue_handshake(registry);
            }
            self.write_socket(registry, groups);
        } else if fired.ready.contains(Ready::REFUSED) {
            self.refused(registry, fired, What::WRITING);
        } else {
            self.report(What::TIMEOUT | What::WRITING);
        }
    }

    fn refused(&mut self, registry: &mut Registry<C>, fired: Fired, what: What) {
        self.report_error(refusal(registry, fired.id), what);
    }

    /// Reads once.
    #[inline(always)]
    fn read_socket(&mut self, registry: &mut Registry<C>, groups: &mut Groups) {
        let room = self.read.watermarks.room(self.input.len());
        let max = self.read.max_single.min(room);
        if max == 0 || !self.read.is_on() {
            return;
        }
        let max = self.allowed(registry, groups, Way::Read, max);
        let Kind::Socket(SocketState { transport: Some(transport), .. }) = &self.kind else {
            return;
        };
        if max == 0 {
            return;
        }
        let result = transport.read_to(&mut self.input, max);
        if self.has_tls {
            // It may have more than was asked for, and something to answer.
            self.is_unsettled |= transport.has_received() || transport.unsent() > 0;
        }
        match result {
            Ok(0) => self.report(What::EOF | What::READING),
            Ok(n) => {
                self.moved(registry, groups, Way::Read, n);
                self.report_input();
            }
            Err(error) if would_block(&error) => {}
            Err(error) if self.allows(&error) => self.report(What::EOF | What::READING),
            Err(error) => self.report_error(error, What::READING),
        }
    }

    /// Whether an error is an improper end of TLS that is allowed.
    fn allows(&self, error: &std::io::Error) -> bool {
        let Kind::Socket(socket) = &self.kind else { return false };
        socket.allows_truncation && error.kind() == std::io::ErrorKind::UnexpectedEof
    }

    /// Reads what TLS has decrypted already. The readiness of the socket does not show it.
    #[inline(never)]
    fn read_received(&mut self, registry: &mut Registry<C>, groups: &mut Groups) {
        while self.read.is_on()
            && let Kind::Socket(SocketState { transport: Some(transport), .. }) = &self.kind
            && transport.has_received()
        {
            self.read_socket(registry, groups);
            self.check_high_watermark();
        }
    }

    /// Writes once.
    fn write_socket(&mut self, registry: &mut Registry<C>, groups: &mut Groups) {
        let max = self.allowed(registry, groups, Way::Write, self.write.max_single);
        let unsent = self.unsent();
        let Kind::Socket(SocketState { transport: Some(transport), .. }) = &self.kind else {
            return;
        };
        if max == 0 {
            return;
        }
        let result = transport.write_from(&mut self.output, max);
        if self.unsent() < unsent {
            self.report_output();
        }
        match result {
            Ok(0) => {}
            Ok(n) => {
                self.moved(registry, groups, Way::Write, n);
                self.report_output();
            }
            Err(error) if would_block(&error) => {}
            Err(error) => self.report_error(error, What::WRITING),
        }
    }

    /// Writes what is new in the output, and watches the socket for what is wanted.
    ///
    /// The output is written at once. The socket is watched only if it does not take all of it.
    pub(super) fn settle_socket(&mut self, registry: &mut Registry<C>, groups: &mut Groups) {
        self.check_high_watermark();
        if self.has_output() && self.write.is_on() && !self.write.watched {
            self.write_socket(registry, groups);
        }
        let Kind::Socket(socket) = &mut self.kind else { return };
        let Some(transport) = &socket.transport else { return };
        if socket.ends && self.output.is_empty() && self.write.is_on() {
            socket.ends = false;
            // If the connection is broken already, the next read or write reports it.
            let _ = transport.end_write();
        }
        if self.has_tls {
            self.read_received(registry, groups);
        }
        self.watch_directions(registry);
    }

    /// Makes the events agree with what can move now.
    #[inline(always)]
    pub(super) fn watch_directions(&mut self, registry: &mut Registry<C>) {
        let reads = self.read.is_on() || self.is_handshaking();
        if reads != self.read.watched {
            let changed = watch(&mut self.read, registry, reads);
            self.report_refusal(changed, What::READING);
        }
        let writes = if self.write.is_on() {
            self.has_output()
        } else {
            self.is_handshaking() && self.unsent() > 0
        };
        if writes != self.write.watched {
            let changed = watch(&mut self.write, registry, writes);
            self.report_refusal(changed, What::WRITING);
        }
    }

    fn report_refusal(&mut self, changed: Result<(), Error>, what: What) {
        if let Err(error) = changed {
            self.report_error(std::io::Error::other(error), what);
        }
    }
}

/// Makes the event of a direction pending, with its timeout, or idle.
fn watch<C>(
    direction: &mut Direction,
    registry: &mut Registry<C>,
    wanted: bool,
) -> Result<(), Error> {
    let Some(event) = direction.event else { return Ok(()) };
    if wanted {
        // The timeouts do not run in a handshake, which has a deadline of its own.
        registry.add(event, direction.timeout.filter(|_| direction.is_on()))?;
    } else {
        registry.del(event);
    }
    direction.watched = wanted;
    Ok(())
}
