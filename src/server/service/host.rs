//! The host of a service: holds its sessions by connection key, hides its type, and catches its
//! panics.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Outlet, Peer, Service};

/// A service with its sessions, of whatever type. `None` is a panic; the session is lost with it.
pub(in crate::server) trait Hosted: Send {
    fn open(&mut self, key: usize, peer: &Peer<'_>, out: &mut Outlet<'_>) -> Option<()>;
    /// Passes message after message, until one is incomplete or the next step is not to read.
    /// Returns the number of consumed bytes.
    fn receive(&mut self, key: usize, input: &[u8], out: &mut Outlet<'_>) -> Option<usize>;
    fn resume(&mut self, key: usize, out: &mut Outlet<'_>) -> Option<()>;
    fn end(&mut self, key: usize, rest: &[u8], out: &mut Outlet<'_>) -> Option<()>;
    fn drain(&mut self, key: usize, out: &mut Outlet<'_>) -> Option<()>;
    /// Does nothing if the connection has no session.
    fn close(&mut self, key: usize) -> Option<()>;
}

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
    sessions: Vec<Option<S::Session>>,
}

impl<S: Service> Host<S> {
    pub(in crate::server) fn new(service: S) -> Self {
        Self { service, sessions: Vec::new() }
    }

    /// Calls the service with a session that is open.
    #[inline]
    fn with<T>(
        &mut self,
        key: usize,
        call: impl FnOnce(&mut S, &mut S::Session) -> T,
    ) -> Option<T> {
        let session = self.sessions.get_mut(key)?.as_mut()?;
        catch_panic(|| call(&mut self.service, session))
    }
}

/// Runs code of a service and catches its panic. The service continues as the panic left it, as its
/// documentation says.
fn catch_panic<T>(call: impl FnOnce() -> T) -> Option<T> {
    IN_CALLBACK.set(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    IN_CALLBACK.set(false);
    result.ok()
}

impl<S: Service> Hosted for Host<S> {
    fn open(&mut self, key: usize, peer: &Peer<'_>, out: &mut Outlet<'_>) -> Option<()> {
        let session = catch_panic(|| self.service.open(peer, out))?;
        if self.sessions.len() <= key {
            self.sessions.resize_with(key + 1, || None);
        }
        self.sessions[key] = Some(session);
        Some(())
    }

    fn receive(&mut self, key: usize, input: &[u8], out: &mut Outlet<'_>) -> Option<usize> {
        self.with(key, |service, session| {
            let mut rest = input;
            loop {
                let (consumed, given) = (service.receive(session, rest, out), rest.len());
                assert!(consumed <= given, "the service consumed {consumed} of {given} bytes");
                rest = &rest[consumed..];
                if consumed == 0 || rest.is_empty() || !out.can_receive_more() {
                    return input.len() - rest.len();
                }
            }
        })
    }

    fn resume(&mut self, key: usize, out: &mut Outlet<'_>) -> Option<()> {
        self.with(key, |service, session| service.resume(session, out))
    }

    fn end(&mut self, key: usize, rest: &[u8], out: &mut Outlet<'_>) -> Option<()> {
        self.with(key, |service, session| service.end(session, rest, out))
    }

    fn drain(&mut self, key: usize, out: &mut Outlet<'_>) -> Option<()> {
        self.with(key, |service, session| service.drain(session, out))
    }

    fn close(&mut self, key: usize) -> Option<()> {
        let Some(session) = self.sessions.get_mut(key).and_then(Option::take) else {
            return Some(());
        };
        catch_panic(|| self.service.close(session))
    }
}
