//! Connecting a bufferevent: by address, by host name, or to a unix socket.
//!
//! Meanwhile both directions are suspended. `crate::connect` decides which address to try when, and
//! opens the sockets. Here are the events and the timer of that. The result is an event: connected,
//! or an error.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::direction::Suspended;
use super::error::BuffereventError;
use super::handle::BuffereventMut;
use super::serve::serve_from;
use super::socket::SocketState;
use super::state::{Bufferevent, Kind};
use super::table::{BuffereventId, HasBufferevents};
use super::what::What;
use crate::base::Registry;
use crate::connect::{
    ATTEMPT_DELAY, ConnectAttempts, ConnectError, Lookup, Resolver, Step, interleave, outcome,
    start_connect,
};
use crate::event::{EventId, EventSpec, Fired, Interest};
use crate::transport::Transport;

/// A lookup without a deadline has a timer of this length, so that the loop does not end meanwhile.
const LONG: Duration = Duration::from_secs(3600);

/// Where to connect to.
enum Target<'a> {
    Address(SocketAddr),
    Host(&'a str, u16),
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// A connect that has not ended.
pub(super) struct Connecting {
    /// Distinguishes this connect from an earlier one of the same bufferevent.
    number: u64,
    /// The host as messages name it.
    host: String,
    began: Instant,
    timeout: Option<Duration>,
    stage: Stage,
    timer: EventId,
}

enum Stage {
    LookingUp(#[expect(dead_code, reason = "dropping it cancels the lookup")] Lookup),
    Trying { attempts: ConnectAttempts, running: Vec<Attempt> },
}

struct Attempt {
    index: usize,
    socket: Socket,
    event: EventId,
}

/// Connecting (libevent: `bufferevent_socket_connect` and its siblings).
///
/// Each of these returns at once. Then the event handler gets [`What::CONNECTED`], or
/// [`What::ERROR`], whose error is a [`ConnectError`]. Output that is put in before is sent
/// afterwards. The timeout covers all, the lookup too. Without one the kernel gives up after
/// some minutes.
impl<C: HasBufferevents> BuffereventMut<'_, C> {
    /// Connects to an address (libevent: `bufferevent_socket_connect`).
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Connected`] and [`BuffereventError::NoSocket`].
    pub fn connect(
        &mut self,
        address: SocketAddr,
        timeout: Option<Duration>,
    ) -> Result<(), BuffereventError> {
        self.begin_connect(Target::Address(address), timeout)
    }

    /// Looks a host name up, without making the loop wait, and connects to it (libevent:
    /// `bufferevent_socket_connect_hostname`).
    ///
    /// All its addresses are tried, both families early, each beside the one before it if that
    /// takes more than 250 ms ("Happy Eyeballs", RFC 8305). The first connection is used.
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Connected`] and [`BuffereventError::NoSocket`].
    pub fn connect_host(
        &mut self,
        host: &str,
        port: u16,
        timeout: Option<Duration>,
    ) -> Result<(), BuffereventError> {
        self.begin_connect(Target::Host(host, port), timeout)
    }

    /// Connects to a unix stream socket (libevent: `bufferevent_socket_connect` with `AF_UNIX`).
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Connected`] and [`BuffereventError::NoSocket`]; and
    /// [`BuffereventError::Os`] if that cannot be connected to at once: a unix socket either
    /// accepts or refuses, or its backlog is full.
    pub fn connect_unix(&mut self, path: &Path) -> Result<(), BuffereventError> {
        let (state, registry, id) = self.unconnected_state()?;
        let connect = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
            socket.connect(&SockAddr::unix(path)?).map(|()| socket)
        };
        let op = format!("connect to the unix socket {}", path.display());
        let socket = connect().map_err(BuffereventError::os(op))?;
        state.attach(registry, id, Transport::new(socket));
        state.report_connected();
        self.note_change();
        Ok(())
    }

    /// Whether it is being connected.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        matches!(&self.state_ref().kind, Kind::Socket(SocketState { connecting: Some(_), .. }))
    }

    fn begin_connect(
        &mut self,
        target: Target<'_>,
        timeout: Option<Duration>,
    ) -> Result<(), BuffereventError> {
        self.unconnected_state()?;
        let (table, registry, id) = self.parts();
        table.connects += 1;
        let number = table.connects;
        let host = target.to_string();
        let stage = match target {
            Target::Address(address) => Ok(Stage::trying(&host, vec![address], timeout)),
            Target::Host(name, port) => {
                let remote = registry.remote();
                let resolver = table.resolver.get_or_insert_with(Resolver::new);
                let lookup = resolver.look_up(name, port, move |addresses| {
                    // If the base is gone, so is the bufferevent.
                    let _ = remote.post(move |registry, cx| {
                        looked_up(registry, cx, id, number, addresses);
                    });
                });
                lookup.map(Stage::LookingUp)
            }
        };
        let state = table.resolve(id)?;
        match stage {
            Ok(stage) => {
                let timer = registry.create(EventSpec::timer().token(id.token()), on_timer);
                let began = registry.now();
                let connecting = Connecting { number, host, began, timeout, stage, timer };
                state.begin_connect(registry, id, connecting);
            }
            Err(error) => state.fail_connect(registry, error),
        }
        self.note_change();
        Ok(())
    }

    fn unconnected_state(
        &mut self,
    ) -> Result<(&mut Bufferevent<C>, &mut Registry<C>, BuffereventId), BuffereventError> {
        let (table, registry, id) = self.parts();
        let state = table.resolve(id)?;
        match &state.kind {
            Kind::Socket(SocketState { transport: None, connecting: None, .. }) => {
                Ok((state, registry, id))
            }
            Kind::Socket(_) => Err(BuffereventError::Connected(id)),
            Kind::Pair(_) | Kind::Filter(_) => Err(BuffereventError::NoSocket(id)),
        }
    }
}

impl Stage {
    fn trying(host: &str, addresses: Vec<SocketAddr>, timeout: Option<Duration>) -> Self {
        let addresses = interleave(addresses);
        let attempts = ConnectAttempts::new(host, addresses, ATTEMPT_DELAY, timeout, 0);
        Self::Trying { attempts, running: Vec::new() }
    }
}

impl Connecting {
    fn elapsed_ns(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.began).as_nanos();
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    }

    /// Ends it: frees its events, and closes its sockets.
    pub(super) fn cancel<C>(self, registry: &mut Registry<C>) {
        registry.free(self.timer);
        if let Stage::Trying { running, .. } = self.stage {
            for attempt in running {
                registry.free(attempt.event);
            }
        }
    }
}

/// The socket of an attempt is connected, or its connect failed.
fn on_attempt<C: HasBufferevents>(registry: &mut Registry<C>, cx: &mut C, fired: Fired) {
    let Some(id) = BuffereventId::from_token(fired.token) else { return };
    if let Some(state) = cx.bufferevents().state_mut(id) {
        state.attempt_ended(registry, id, fired.id);
        serve_from(registry, cx, fired.id, Some((id, false)));
    }
}

/// It is time for the next attempt, or to give up.
fn on_timer<C: HasBufferevents>(registry: &mut Registry<C>, cx: &mut C, fired: Fired) {
    let Some(id) = BuffereventId::from_token(fired.token) else { return };
    if let Some(state) = cx.bufferevents().state_mut(id) {
        state.continue_connect(registry, id);
        serve_from(registry, cx, fired.id, Some((id, false)));
    }
}

/// The host name was looked up.
fn looked_up<C: HasBufferevents>(
    registry: &mut Registry<C>,
    cx: &mut C,
    id: BuffereventId,
    number: u64,
    addresses: io::Result<Vec<SocketAddr>>,
) {
    let table = cx.bufferevents();
    let Some(state) = table.state_mut(id) else { return };
    let Kind::Socket(SocketState { connecting: Some(connecting), .. }) = &mut state.kind else {
        return;
    };
    if connecting.number != number {
        return;
    }
    match addresses {
        Ok(addresses) => {
            connecting.stage = Stage::trying(&connecting.host, addresses, connecting.timeout);
            state.continue_connect(registry, id);
        }
        Err(source) => {
            let host = connecting.host.clone();
            state.fail_connect(registry, ConnectError::Lookup { host, source });
        }
    }
    table.mark_changed(registry, id);
}

impl<C: HasBufferevents> Bufferevent<C> {
    /// Suspends both directions until the connect has ended, and starts it.
    fn begin_connect(
        &mut self,
        registry: &mut Registry<C>,
        id: BuffereventId,
        connecting: Connecting,
    ) {
        let Kind::Socket(socket) = &mut self.kind else { return };
        socket.connecting = Some(Box::new(connecting));
        self.read.suspended |= Suspended::CONNECT;
        self.write.suspended |= Suspended::CONNECT;
        self.continue_connect(registry, id);
    }

    /// Does what is to be done now.
    fn continue_connect(&mut self, registry: &mut Registry<C>, id: BuffereventId) {
        loop {
            let now = registry.now();
            let Kind::Socket(SocketState { connecting: Some(connecting), .. }) = &mut self.kind
            else {
                return;
            };
            let now_ns = connecting.elapsed_ns(now);
            let timer = connecting.timer;
            let (timeout, host) = (connecting.timeout, &connecting.host);
            let Stage::Trying { attempts, running } = &mut connecting.stage else {
                let passed = timeout.filter(|timeout| timeout.as_nanos() <= u128::from(now_ns));
                let Some(timeout) = passed else {
                    let left = timeout.unwrap_or(LONG).saturating_sub(Duration::from_nanos(now_ns));
                    // A timer needs nothing of the kernel.
                    let _ = registry.add(timer, Some(left.max(Duration::from_millis(1))));
                    return;
                };
                let (host, tried, addresses, first) = (host.clone(), 0, 0, None);
                let error = ConnectError::TimedOut { host, timeout, tried, addresses, first };
                self.fail_connect(registry, error);
                return;
            };
            match attempts.next_step(now_ns) {
                Step::Start(index, address) => match start(registry, id, address) {
                    Ok((socket, event)) => running.push(Attempt { index, socket, event }),
                    Err(error) => attempts.failed(index, error, now_ns),
                },
                Step::Wait(until_ns) => {
                    let wait = until_ns.map(|until_ns| until_ns.saturating_sub(now_ns));
                    let _ = registry.add(timer, Some(wait.map_or(LONG, Duration::from_nanos)));
                    return;
                }
                Step::GiveUp(error) => {
                    self.fail_connect(registry, error);
                    return;
                }
                Step::Ended => return,
            }
        }
    }

    /// Notes the end of the attempt of this event.
    fn attempt_ended(&mut self, registry: &mut Registry<C>, id: BuffereventId, event: EventId) {
        let now = registry.now();
        let Kind::Socket(SocketState { connecting: Some(connecting), .. }) = &mut self.kind else {
            return;
        };
        let now_ns = connecting.elapsed_ns(now);
        let Stage::Trying { attempts, running } = &mut connecting.stage else { return };
        let Some(position) = running.iter().position(|attempt| attempt.event == event) else {
            return;
        };
        // Without an outcome its event stays.
        let Some(outcome) = outcome(&running[position].socket) else { return };
        let attempt = running.swap_remove(position);
        registry.free(attempt.event);
        match outcome {
            Ok(()) => {
                if attempts.connected(attempt.index) {
                    self.end_connect(registry);
                    self.attach(registry, id, Transport::new(attempt.socket));
                    self.report_connected();
                }
            }
            Err(error) => {
                attempts.failed(attempt.index, error, now_ns);
                self.continue_connect(registry, id);
            }
        }
    }

    fn fail_connect(&mut self, registry: &mut Registry<C>, error: ConnectError) {
        self.end_connect(registry);
        let kind = match &error {
            ConnectError::Failed { source, .. } | ConnectError::Lookup { source, .. } => {
                source.kind()
            }
            ConnectError::TimedOut { .. } => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        self.report_error(io::Error::new(kind, error), What::empty());
    }

    /// Ends a connect, if there is one: frees its events, and closes its sockets.
    pub(super) fn end_connect(&mut self, registry: &mut Registry<C>) {
        self.is_unsettled = true;
        self.read.suspended -= Suspended::CONNECT;
        self.write.suspended -= Suspended::CONNECT;
        if let Kind::Socket(socket) = &mut self.kind
            && let Some(connecting) = socket.connecting.take()
        {
            connecting.cancel(registry);
        }
    }
}

/// Starts an attempt. Its event fires when that has ended.
fn start<C: HasBufferevents>(
    registry: &mut Registry<C>,
    id: BuffereventId,
    address: SocketAddr,
) -> io::Result<(Socket, EventId)> {
    let socket = start_connect(address)?;
    let spec = EventSpec::io(&socket.as_raw_fd(), Interest::WRITE).persist().token(id.token());
    let event = registry.create(spec, on_attempt);
    if let Err(error) = registry.add(event, None) {
        registry.free(event);
        return Err(io::Error::other(error));
    }
    Ok((socket, event))
}
