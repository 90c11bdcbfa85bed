//! The host of a service: holds its sessions by connection key, hides its type, and catches its
//! panics.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::messages::{MessageSender, Messages};
use super::{Background, Connection, Service, Shard};
use crate::server::shard::call::{Closed, Hosted, TakenMessages};
use crate::server::shard::dialing::DialError;
use crate::server::shard::service_timers::TimerId;
use crate::server::shard::shard_mut::ShardMut;

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is in a callback of a [`Service`]. A panic there costs only one
/// connection. A panic hook that ends the process on other panics can test this.
///
/// ```
/// std::panic::set_hook(Box::new(|panic| {
///     eprintln!("{panic}");
///     if !evshard::server::in_service_callback() {
///         std::process::abort();
///     }
/// }));
/// # let _ = std::panic::take_hook();
/// ```
#[must_use]
pub fn in_service_callback() -> bool {
    IN_CALLBACK.get()
}

/// A service of the type `S` with its sessions.
pub(in crate::server) struct Host<S: Service> {
    service: S,
    pub(super) own: HostState<S>,
}

/// What a [`Shard`] has of the service's own types.
pub(super) struct HostState<S: Service> {
    pub(super) messages: Messages<S::Message>,
    /// By connection key. The session of the connection whose callback runs is not here.
    pub(super) sessions: Vec<Option<S::Session>>,
    /// By dial key: the sessions of connections that are dialed.
    dialed: Vec<Option<S::Session>>,
}

impl<S: Service> Host<S> {
    /// The service of one shard. `sender` posts to all of them.
    pub(in crate::server) fn new(
        service: S,
        sender: MessageSender<S::Message>,
        shard: usize,
    ) -> Self {
        let messages = Messages::new(sender, shard);
        Self { service, own: HostState { messages, sessions: Vec::new(), dialed: Vec::new() } }
    }

    /// Calls the service with the session of a connection, if it has one.
    #[inline(always)]
    fn with_session<T>(
        &mut self,
        shard: ShardMut<'_>,
        key: usize,
        call: impl FnOnce(&mut S, &mut S::Session, &mut Connection<'_, S>) -> T,
    ) -> Option<T> {
        let Self { service, own } = self;
        let mut session = own.sessions.get_mut(key)?.take()?;
        let mut connection = Connection::new(shard, own, key);
        let called = catch_panic(|| call(service, &mut session, &mut connection));
        // After a panic, too: the session is passed to `close`.
        own.sessions[key] = Some(session);
        called
    }

    /// Calls the service for no connection.
    fn without_session<T>(
        &mut self,
        shard: ShardMut<'_>,
        call: impl FnOnce(&mut S, &mut Shard<'_, S>) -> T,
    ) -> Option<T> {
        let Self { service, own } = self;
        catch_panic(|| call(service, &mut Shard::new(shard, own)))
    }

    fn pass(&mut self, message: S::Message, shard: ShardMut<'_>, taken: &mut TakenMessages) {
        taken.messages += 1;
        let handled = self.without_session(shard, |service, shard| service.message(message, shard));
        taken.panics += u64::from(handled.is_none());
    }
}

impl<S: Service> HostState<S> {
    /// Keeps the session of a dial.
    pub(super) fn begin_dial(&mut self, dial: usize, session: S::Session) {
        put(&mut self.dialed, dial, session);
    }

    /// The session of a dial that has ended.
    pub(super) fn end_dial(&mut self, dial: usize) -> Option<S::Session> {
        self.dialed.get_mut(dial)?.take()
    }
}

fn put<T>(into: &mut Vec<Option<T>>, key: usize, value: T) {
    if into.len() <= key {
        into.resize_with(key + 1, || None);
    }
    into[key] = Some(value);
}

/// Runs code of a service and catches its panic. The service continues as the panic left it, as its
/// documentation says.
#[inline(always)]
fn catch_panic<T>(call: impl FnOnce() -> T) -> Option<T> {
    IN_CALLBACK.set(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    IN_CALLBACK.set(false);
    result.ok()
}

impl<S: Service> Hosted for Host<S> {
    fn open(&mut self, shard: ShardMut<'_>, key: usize) -> Option<()> {
        let Self { service, own } = self;
        let session = catch_panic(|| service.open(&mut Connection::new(shard, own, key)))?;
        put(&mut own.sessions, key, session);
        Some(())
    }

    fn receive(&mut self, shard: ShardMut<'_>, key: usize, input: &[u8]) -> Option<usize> {
        self.with_session(shard, key, |service, session, connection| {
            let mut rest = input;
            loop {
                let consumed = service.receive(session, rest, connection);
                let given = rest.len();
                assert!(consumed <= given, "the service consumed {consumed} of {given} bytes");
                rest = &rest[consumed..];
                if consumed == 0 || rest.is_empty() || !connection.can_receive_more() {
                    return input.len() - rest.len();
                }
            }
        })
    }

    fn resume(&mut self, shard: ShardMut<'_>, key: usize) -> Option<()> {
        self.with_session(shard, key, S::resume)
    }

    fn sent(&mut self, shard: ShardMut<'_>, key: usize) -> Option<()> {
        self.with_session(shard, key, S::sent)
    }

    fn timer(&mut self, shard: ShardMut<'_>, key: usize, timer: TimerId, token: u64) -> Option<()> {
        self.with_session(shard, key, |service, session, connection| {
            service.timer(session, timer, token, connection);
        })
    }

    fn shard_timer(&mut self, shard: ShardMut<'_>, timer: TimerId, token: u64) -> Option<()> {
        self.without_session(shard, |service, shard| service.shard_timer(timer, token, shard))
    }

    fn end(&mut self, shard: ShardMut<'_>, key: usize, rest: &[u8]) -> Option<()> {
        self.with_session(shard, key, |service, session, connection| {
            service.end(session, rest, connection);
        })
    }

    fn drain(&mut self, shard: ShardMut<'_>, key: usize) -> Option<()> {
        self.with_session(shard, key, S::drain)
    }

    fn connected(&mut self, shard: ShardMut<'_>, key: usize, dial: usize) -> Option<()> {
        let session = self.own.end_dial(dial)?;
        put(&mut self.own.sessions, key, session);
        self.with_session(shard, key, S::connected)
    }

    fn dial_failed(&mut self, shard: ShardMut<'_>, dial: usize, error: DialError) -> Option<()> {
        let session = self.own.end_dial(dial)?;
        self.without_session(shard, |service, shard| service.dial_failed(session, error, shard))
    }

    fn close(&mut self, shard: ShardMut<'_>, key: usize, closed: Closed) -> Option<()> {
        let Some(session) = self.own.sessions.get_mut(key).and_then(Option::take) else {
            return Some(());
        };
        self.without_session(shard, |service, shard| service.close(session, closed, shard))
    }

    fn background(&mut self, shard: ShardMut<'_>) -> Option<bool> {
        let called = self.without_session(shard, S::background)?;
        Some(called == Background::More)
    }

    fn start(&mut self, shard: ShardMut<'_>) -> Option<()> {
        self.without_session(shard, S::start)
    }

    fn take_messages(&mut self, mut shard: ShardMut<'_>, limit: usize) -> TakenMessages {
        let (own, sender) = (self.own.messages.shard, self.own.messages.sender().clone());
        let mut taken = TakenMessages::default();
        sender.take(own, limit, |message| self.pass(message, shard.reborrow(), &mut taken));
        // Each once: one that is full again is looked at when its shard has made room.
        for full in self.own.messages.take_those_with_room() {
            let handled = self.without_session(shard.reborrow(), |service, shard| {
                service.room(full, shard);
            });
            taken.panics += u64::from(handled.is_none());
        }
        taken
    }

    fn take_last_messages(&mut self, mut shard: ShardMut<'_>) -> TakenMessages {
        let (own, sender) = (self.own.messages.shard, self.own.messages.sender().clone());
        let mut taken = TakenMessages::default();
        sender.close(own, |message| self.pass(message, shard.reborrow(), &mut taken));
        taken
    }

    fn wake_posted(&mut self) {
        self.own.messages.wake_posted();
    }

    fn messages_refused(&self) -> u64 {
        self.own.messages.refused
    }

    fn begin_drain(&mut self, shard: ShardMut<'_>) -> Option<()> {
        self.without_session(shard, S::begin_drain)
    }

    fn stop(&mut self, shard: ShardMut<'_>) -> Option<()> {
        self.without_session(shard, S::stop)
    }
}
