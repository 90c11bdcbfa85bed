//! The connection of a callback: what its service may do with it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::host::HostState;
use super::{Service, Shard};
use crate::server::PeerAddress;
use crate::server::shard::call::NextStep;
use crate::server::shard::close_reason::CloseReason;
use crate::server::shard::connection_id::ConnectionId;
use crate::server::shard::handles::{Answer, ConnectionHandle};
use crate::server::shard::service_timers::{TimerId, TimerOwner};
use crate::server::shard::shard_mut::{SendError, ShardMut};
use crate::tls::TlsFacts;

/// A connection during a callback of its service `S`.
///
/// What is sent is collected, and sent in few calls once the callback returns. What the socket does
/// not take is kept, up to [`Limits::buffer_bytes`](crate::server::Limits::buffer_bytes), and sent
/// when it can be. Of the steps that may follow a callback ([`close`](Self::close),
/// [`pause`](Self::pause) and so on) the last one chosen counts.
#[derive(Debug)]
pub struct Connection<'a, S: Service> {
    shard: Shard<'a, S>,
    key: usize,
}

impl<'a, S: Service> Connection<'a, S> {
    #[inline(always)]
    pub(super) fn new(shard: ShardMut<'a>, own: &'a mut HostState<S>, key: usize) -> Self {
        Self { shard: Shard::new(shard, own), key }
    }

    #[inline(always)]
    pub(super) fn can_receive_more(&mut self) -> bool {
        self.shard.shard.can_receive_more(self.key)
    }

    /// Its shard: other connections, and what belongs to no connection.
    pub fn shard(&mut self) -> &mut Shard<'a, S> {
        &mut self.shard
    }

    /// Its id, with which other callbacks of this shard reach it.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.shard.shard.id(self.key)
    }
}

/// The peer.
impl<S: Service> Connection<'_, S> {
    /// The address of the peer. This is a system call, unless a PROXY header had the address.
    #[must_use]
    pub fn peer(&self) -> PeerAddress {
        self.shard.shard.connection(self.key).peer_address()
    }

    /// What its TLS handshake agreed on: version, cipher suite, the host name that it asked for
    /// (SNI), application protocol (ALPN), and its certificates if the server asked for them.
    /// `None` without TLS. It is a copy, so call this once for a connection.
    #[must_use]
    pub fn tls(&self) -> Option<TlsFacts> {
        self.shard.shard.connection(self.key).tls_facts()
    }

    /// The index of the configured listener that accepted the connection; `None` if it was dialed.
    #[must_use]
    pub fn listener(&self) -> Option<usize> {
        self.shard.shard.connection(self.key).listener.map(usize::from)
    }
}

/// Sending.
impl<S: Service> Connection<'_, S> {
    /// Sends bytes, in the order of the calls. If they do not fit in the connection's
    /// [`room`](Self::room), it is reset.
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) {
        self.shard.shard.send(bytes);
    }

    /// Sends bytes if they fit.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing is sent then.
    pub fn try_send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.shard.shard.send_to(self.key, bytes)
    }

    /// Sends bytes that many connections share, without copying them.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing is sent then.
    pub fn send_shared(&mut self, bytes: &Arc<[u8]>) -> Result<(), SendError> {
        self.shard.shard.send_shared_to(self.key, bytes)
    }

    /// Sends a range of a file (`sendfile(2)`). It needs no memory, so no limit applies to it. The
    /// file must stay as long as it is until all is sent.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the range is none of a file, `UnexpectedEof` if a regular file is shorter,
    /// `NotConnected` if the output has ended, and those of `fstat(2)`. Nothing is sent then.
    pub fn send_file(&mut self, file: Arc<File>, range: Range<u64>) -> io::Result<()> {
        self.shard.shard.send_file_to(self.key, file, range)
    }

    /// How many bytes are not sent yet.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.shard.shard.unsent(self.key)
    }

    /// How many more bytes fit within the limit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.shard.shard.room(self.key)
    }

    /// Ends the stream to the peer once everything is sent (`shutdown(2)` with `SHUT_WR`). The
    /// connection still receives. What is sent afterwards is discarded.
    pub fn end_output(&mut self) {
        self.shard.shard.end_output(self.key);
    }
}

/// What follows the callback.
impl<S: Service> Connection<'_, S> {
    /// Chooses whether it receives while it has unsent bytes. By default it does not, so that the
    /// answers to a peer that does not read stay bounded. A service that sends what others send,
    /// as a proxy does, reads on and limits what it reads by [`pause`](Self::pause).
    pub fn read_while_sending(&mut self, reads: bool) {
        self.shard.shard.connection_mut(self.key).reads_while_sending = reads;
    }

    /// Calls [`Service::resume`] once everything is sent. Until then nothing is received.
    pub fn continue_when_sent(&mut self) {
        self.shard.shard.choose(self.key, NextStep::ResumeWhenSent);
    }

    /// Receives nothing for this time, then calls [`Service::resume`]. The time begins once
    /// everything is sent.
    pub fn pause_for(&mut self, time: Duration) {
        self.shard.shard.choose(self.key, NextStep::PauseFor(time));
    }

    /// Receives nothing until [`read`](Self::read) or [`Shard::read`]. If the peer resets the
    /// connection meanwhile, it is closed; on the backend select, and after the peer has ended its
    /// stream, only when something is sent to it. That the peer ends its stream is noticed after
    /// the pause. No deadline runs meanwhile: a service bounds a long pause by a
    /// [timer](Self::start_timer). After the peer has ended its stream, this keeps the connection
    /// open: the service must close it.
    pub fn pause(&mut self) {
        self.shard.shard.choose(self.key, NextStep::Pause);
    }

    /// Receives nothing until no [answer](Self::answer_later) is due any more, and then receives
    /// again; at once if none is due. So a service answers one request at a time. If the peer has
    /// ended its stream, the connection is closed instead, once everything is sent.
    /// [`Shard::read`] and the other steps end the pause sooner. While answers are due, only the
    /// drain timeout bounds it.
    pub fn pause_until_answered(&mut self) {
        self.shard.shard.choose(self.key, NextStep::PauseUntilAnswered);
    }

    /// Receives again after a pause. After the peer has ended its stream, this closes the
    /// connection once everything is sent.
    pub fn read(&mut self) {
        self.shard.shard.choose(self.key, NextStep::Read);
    }

    /// Closes the connection once everything is sent. Nothing more is received or sent: what
    /// [answers](Self::answer_later) that are due send is discarded.
    /// [`pause_until_answered`](Self::pause_until_answered) waits for them.
    pub fn close(&mut self) {
        self.shard.shard.choose(self.key, NextStep::Close);
    }

    /// Resets the connection. What is not sent yet is discarded.
    pub fn abort(&mut self) {
        self.shard.shard.choose(self.key, NextStep::Fail(CloseReason::Aborted));
    }
}

/// Answers from elsewhere.
impl<S: Service> Connection<'_, S> {
    /// A handle, with which other threads and shards send to the connection.
    #[must_use]
    pub fn handle(&mut self) -> ConnectionHandle {
        self.shard.shard.handle(self.key)
    }

    /// A handle for an answer that comes later, perhaps from another thread. Until it is dropped,
    /// the drain and the idle deadline do not close the connection, nor does the end of the peer's
    /// stream. Meanwhile the connection receives further requests, unless it
    /// [pauses until it is answered](Self::pause_until_answered).
    pub fn answer_later(&mut self) -> Answer {
        self.shard.shard.answer_later(self.key)
    }
}

/// Timers.
impl<S: Service> Connection<'_, S> {
    /// Starts a timer, which calls [`Service::timer`] with this token. It ends with the connection.
    /// The time begins with the turn of the loop, and so before the callbacks that ran in it.
    /// A connection may have any number. Starting and cancelling are O(1) for durations that are
    /// used often, and else O(log n).
    pub fn start_timer(&mut self, after: Duration, token: u64) -> TimerId {
        self.shard.shard.start_service_timer(TimerOwner::Connection(self.key), after, token)
    }

    /// Cancels a timer, whether of this connection or of another of the shard; returns whether it
    /// was running. If so, it is not called, even if it is due.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.shard.cancel_timer(timer)
    }
}
