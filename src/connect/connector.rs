//! One connect: its lookup, its attempts, and their events and timer on a base.
//!
//! The owner passes what the events report, and gets the [`Progress`].

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::attempts::{ATTEMPT_DELAY, ConnectAttempts, Step};
use super::error::ConnectError;
use super::order::interleave;
use super::resolver::Lookup;
use super::socket::{outcome, start_connect};
use crate::base::{Handler, Registry};
use crate::event::{EventId, EventSpec, Interest, Token};

/// A lookup without a deadline has a timer of this length, so that the loop does not end meanwhile.
const LONG: Duration = Duration::from_secs(3600);

/// A connect that has not ended.
pub(crate) struct Connector {
    /// The host as messages name it.
    host: String,
    began: Instant,
    timeout: Option<Duration>,
    stage: Stage,
    timer: EventId,
}

/// The handlers of the events of a connect, and their token.
pub(crate) struct ConnectEvents<C> {
    pub(crate) token: Token,
    /// Calls [`Connector::attempt_ended`].
    pub(crate) on_attempt: Handler<C>,
    /// Calls [`Connector::advance`].
    pub(crate) on_timer: Handler<C>,
}

/// What became of a connect so far. After an end, the owner [cancels](Connector::cancel) it.
pub(crate) enum Progress {
    Waits,
    Connected(Socket),
    Failed(ConnectError),
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

impl Stage {
    fn trying(host: &str, addresses: Vec<SocketAddr>, timeout: Option<Duration>) -> Self {
        let addresses = interleave(addresses);
        let attempts = ConnectAttempts::new(host, addresses, ATTEMPT_DELAY, timeout, 0);
        Self::Trying { attempts, running: Vec::new() }
    }
}

impl Connector {
    /// A connect to an address. [`advance`](Self::advance) starts it.
    pub(crate) fn to_address<C>(
        registry: &mut Registry<C>,
        events: &ConnectEvents<C>,
        address: SocketAddr,
        timeout: Option<Duration>,
    ) -> Self {
        let host = address.to_string();
        let stage = Stage::trying(&host, vec![address], timeout);
        Self::new(registry, events, host, stage, timeout)
    }

    /// A connect to a host name, whose lookup has begun. [`advance`](Self::advance) starts it.
    pub(crate) fn to_host<C>(
        registry: &mut Registry<C>,
        events: &ConnectEvents<C>,
        host: String,
        lookup: Lookup,
        timeout: Option<Duration>,
    ) -> Self {
        Self::new(registry, events, host, Stage::LookingUp(lookup), timeout)
    }

    fn new<C>(
        registry: &mut Registry<C>,
        events: &ConnectEvents<C>,
        host: String,
        stage: Stage,
        timeout: Option<Duration>,
    ) -> Self {
        let timer = registry.create(EventSpec::timer().token(events.token), events.on_timer);
        Self { host, began: registry.now(), timeout, stage, timer }
    }

    /// The lookup of the host name has ended.
    pub(crate) fn looked_up<C>(
        &mut self,
        registry: &mut Registry<C>,
        events: &ConnectEvents<C>,
        addresses: io::Result<Vec<SocketAddr>>,
    ) -> Progress {
        match addresses {
            Ok(addresses) => {
                self.stage = Stage::trying(&self.host, addresses, self.timeout);
                self.advance(registry, events)
            }
            Err(source) => {
                Progress::Failed(ConnectError::Lookup { host: self.host.clone(), source })
            }
        }
    }

    /// Does what is to be done now: starts attempts, waits, or gives up.
    pub(crate) fn advance<C>(
        &mut self,
        registry: &mut Registry<C>,
        events: &ConnectEvents<C>,
    ) -> Progress {
        loop {
            let now_ns = self.elapsed_ns(registry.now());
            let Stage::Trying { attempts, running } = &mut self.stage else {
                return self.await_lookup(registry, now_ns);
            };
            match attempts.next_step(now_ns) {
                Step::Start(index, address) => match start(registry, events, address) {
                    Ok((socket, event)) => running.push(Attempt { index, socket, event }),
                    Err(error) => attempts.failed(index, error, now_ns),
                },
                Step::Wait(until_ns) => {
                    let wait = until_ns.map(|until_ns| until_ns.saturating_sub(now_ns));
                    // A timer needs nothing of the kernel.
                    let _ = registry.add(self.timer, Some(wait.map_or(LONG, Duration::from_nanos)));
                    return Progress::Waits;
                }
                Step::GiveUp(error) => return Progress::Failed(error),
                Step::Ended => return Progress::Waits,
            }
        }
    }

    fn await_lookup<C>(&mut self, registry: &mut Registry<C>, now_ns: u64) -> Progress {
        let passed = self.timeout.filter(|timeout| timeout.as_nanos() <= u128::from(now_ns));
        if let Some(timeout) = passed {
            let (host, tried, addresses, first) = (self.host.clone(), 0, 0, None);
            return Progress::Failed(ConnectError::TimedOut {
                host,
                timeout,
                tried,
                addresses,
                first,
            });
        }
        let left = self.timeout.unwrap_or(LONG).saturating_sub(Duration::from_nanos(now_ns));
        // A timer needs nothing of the kernel.
        let _ = registry.add(self.timer, Some(left.max(Duration::from_millis(1))));
        Progress::Waits
    }

    /// The attempt of this event has ended, or has not yet.
    pub(crate) fn attempt_ended<C>(
        &mut self,
        registry: &mut Registry<C>,
        events: &ConnectEvents<C>,
        event: EventId,
    ) -> Progress {
        let now_ns = self.elapsed_ns(registry.now());
        let Stage::Trying { attempts, running } = &mut self.stage else { return Progress::Waits };
        let Some(position) = running.iter().position(|attempt| attempt.event == event) else {
            return Progress::Waits;
        };
        // Not connected yet: its event stays.
        let Some(outcome) = outcome(&running[position].socket) else { return Progress::Waits };
        let attempt = running.swap_remove(position);
        registry.free(attempt.event);
        match outcome {
            Ok(()) if attempts.connected(attempt.index) => Progress::Connected(attempt.socket),
            Ok(()) => Progress::Waits,
            Err(error) => {
                attempts.failed(attempt.index, error, now_ns);
                self.advance(registry, events)
            }
        }
    }

    /// How much of the time is left, for a handshake; `None` without a deadline.
    #[cfg(feature = "server")]
    pub(crate) fn time_left(&self, now: Instant) -> Option<Duration> {
        self.timeout
            .map(|timeout| timeout.saturating_sub(now.saturating_duration_since(self.began)))
    }

    fn elapsed_ns(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.began).as_nanos();
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    }

    /// Ends it: frees its events, and closes its sockets.
    pub(crate) fn cancel<C>(self, registry: &mut Registry<C>) {
        registry.free(self.timer);
        if let Stage::Trying { running, .. } = self.stage {
            for attempt in running {
                registry.free(attempt.event);
            }
        }
    }
}

/// Starts to connect a new socket. Its event fires when that has ended.
fn start<C>(
    registry: &mut Registry<C>,
    events: &ConnectEvents<C>,
    address: SocketAddr,
) -> io::Result<(Socket, EventId)> {
    let socket = start_connect(address)?;
    let spec = EventSpec::io(&socket, Interest::WRITE).persist().token(events.token);
    let event = registry.create(spec, events.on_attempt);
    if let Err(error) = registry.add(event, None) {
        registry.free(event);
        return Err(io::Error::other(error));
    }
    Ok((socket, event))
}
