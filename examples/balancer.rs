//! A TCP proxy that balances its clients over several backends.
//!
//! ```text
//! $ cargo run --example balancer -- --workers 2 127.0.0.1:5556 127.0.0.1:5551 localhost:5552
//! listening on 127.0.0.1:5556
//! shard 0: localhost:5552 is down: connect to localhost:5552: ... refused ...
//! ^C127.0.0.1:5551: chosen 7 times, 0 connections
//! localhost:5552: chosen 0 times, 0 connections
//! ```
//!
//! A client gets the backend with the fewest connections of all shards. Each shard checks the
//! backends by a connect. One that fails three times in a row gets no clients until it succeeds.
//! If a backend cannot be connected to, the next one is tried, and at last the client is reset.
//!
//! A side that reads slowly holds the other one back, at about 256 KiB. The end of one stream is
//! passed on, while the other one continues. A reset is passed on, too. Ctrl-C drains: connections
//! continue until they end, and those that have not ended after ten seconds are reset.
//!
//! `--check-every MS` is the time between checks. `--tls-roots FILE` connects to the backends with
//! TLS; their certificates must have the names given here, and be signed by one of those in FILE.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use evshard::server::{
    Answer, CloseReason, Closed, Connection, ConnectionId, Dial, DialError, DialId, Server,
    ServerConfig, Service, Shard, TimerId,
};
use evshard::tls::{TlsClient, TrustRoots};
use evshard::{Config, EventBase, EventSpec};

const USAGE: &str = "usage: balancer [--workers N] [--check-every MS] [--tls-roots FILE] \
                     ADDRESS:PORT BACKEND:PORT...";

/// At so many unsent bytes of one side, the other is not read until all are sent.
const UNSENT_BYTES_MAX: usize = 256 << 10;
/// So many failures in a row take a backend out.
const FAILURES_MAX: u32 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A backend, for all shards.
struct Backend {
    name: String,
    dial: Dial,
    /// The connections of clients that it has, or that are being connected.
    connections: AtomicUsize,
    /// How many it ever had: of two equal backends, the one with fewer is chosen.
    chosen: AtomicUsize,
}

/// One connection of a backend, which counts until this is dropped.
struct Counted(Arc<Backend>);

impl Counted {
    fn new(backend: &Arc<Backend>) -> Self {
        backend.connections.fetch_add(1, Relaxed);
        backend.chosen.fetch_add(1, Relaxed);
        Self(backend.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// The balancer of one shard.
#[derive(Clone)]
struct Balancer {
    backends: Vec<Arc<Backend>>,
    /// How often each backend has failed since its last success.
    failures: Vec<u32>,
    check_every: Duration,
    next_check: Option<TimerId>,
}

struct Session {
    role: Role,
    /// The other side, to which the bytes go, once it is connected.
    other: Option<ConnectionId>,
    /// Whether the peer has ended its stream.
    has_ended: bool,
    /// While it is kept, the drain does not take a silent connection for a finished one.
    _keeps_open: Option<Answer>,
}

enum Role {
    /// A client, and the dial for it.
    Client(Option<DialId>),
    /// A connection to a backend, and the backends to try if this one fails.
    Server { backend: usize, untried: Vec<usize>, _counted: Counted },
    /// A health check of a backend.
    Check(usize),
}

impl Session {
    fn new(role: Role, other: Option<ConnectionId>) -> Self {
        Self { role, other, has_ended: false, _keeps_open: None }
    }
}

impl Balancer {
    /// Dials the best of these backends for a client; `None` if there is none left.
    fn dial_one_of(
        &self,
        mut untried: Vec<usize>,
        client: ConnectionId,
        shard: &mut Shard<'_, Self>,
    ) -> Option<DialId> {
        let connections = |&index: &usize| {
            let backend = &self.backends[index];
            (backend.connections.load(Relaxed), backend.chosen.load(Relaxed))
        };
        let backend = untried.iter().copied().min_by_key(connections)?;
        untried.retain(|index| *index != backend);
        let _counted = Counted::new(&self.backends[backend]);
        let dial = self.backends[backend].dial.clone().deadline(CONNECT_TIMEOUT);
        let role = Role::Server { backend, untried, _counted };
        Some(shard.dial(dial, Session::new(role, Some(client))))
    }

    fn check_backends(&mut self, shard: &mut Shard<'_, Self>) {
        for (index, backend) in self.backends.iter().enumerate() {
            // A check ends before the next one begins.
            let dial = backend.dial.clone().deadline(self.check_every);
            shard.dial(dial, Session::new(Role::Check(index), None));
        }
        self.next_check = Some(shard.start_timer(self.check_every, 0));
    }

    fn succeeded(&mut self, backend: usize, shard: usize) {
        if std::mem::take(&mut self.failures[backend]) >= FAILURES_MAX {
            println!("shard {shard}: {} is up", self.backends[backend].name);
        }
    }

    fn failed(&mut self, backend: usize, error: &DialError, shard: usize) {
        self.failures[backend] += 1;
        if self.failures[backend] == FAILURES_MAX {
            println!("shard {shard}: {} is down: {error}", self.backends[backend].name);
        }
    }
}

impl Service for Balancer {
    type Session = Session;
    type Message = ();

    fn start(&mut self, shard: &mut Shard<'_, Self>) {
        self.check_backends(shard);
    }

    fn shard_timer(&mut self, _: TimerId, _: u64, shard: &mut Shard<'_, Self>) {
        self.check_backends(shard);
    }

    fn begin_drain(&mut self, shard: &mut Shard<'_, Self>) {
        self.next_check.take().map(|timer| shard.cancel_timer(timer));
    }

    fn open(&mut self, client: &mut Connection<'_, Self>) -> Session {
        client.read_while_sending(true);
        let id = client.id();
        let is_up = |index: &usize| self.failures[*index] < FAILURES_MAX;
        let up = (0..self.backends.len()).filter(is_up).collect();
        let dial = self.dial_one_of(up, id, client.shard());
        if dial.is_none() {
            client.abort();
        }
        let mut session = Session::new(Role::Client(dial), None);
        session._keeps_open = Some(client.answer_later());
        session
    }

    fn connected(&mut self, session: &mut Session, connection: &mut Connection<'_, Self>) {
        let (id, index) = (connection.id(), connection.shard().index());
        match (&session.role, session.other) {
            (Role::Server { backend, .. }, Some(client)) => {
                self.succeeded(*backend, index);
                connection.read_while_sending(true);
                session._keeps_open = Some(connection.answer_later());
                let shard = connection.shard();
                match shard.session(client) {
                    Some(of_client) => of_client.other = Some(id),
                    None => return connection.abort(),
                }
                shard.read(client);
            }
            (Role::Check(backend), _) => {
                self.succeeded(*backend, index);
                connection.close();
            }
            _ => {}
        }
    }

    fn dial_failed(&mut self, session: Session, error: DialError, shard: &mut Shard<'_, Self>) {
        match (session.role, session.other) {
            (Role::Server { backend, untried, _counted }, Some(client)) => {
                self.failed(backend, &error, shard.index());
                drop(_counted);
                let next = self.dial_one_of(untried, client, shard);
                if next.is_none() {
                    shard.abort(client);
                } else if let Some(of_client) = shard.session(client) {
                    of_client.role = Role::Client(next);
                }
            }
            (Role::Check(backend), _) => self.failed(backend, &error, shard.index()),
            _ => {}
        }
    }

    /// Passes the input on. If too much waits on the other side, this one reads no more for now.
    fn receive(
        &mut self,
        session: &mut Session,
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        let Some(other) = session.other else {
            // What comes before the backend is connected waits.
            connection.pause();
            return 0;
        };
        if connection.shard().send(other, input).is_err() {
            connection.abort();
        } else if connection.shard().unsent(other) >= UNSENT_BYTES_MAX {
            connection.pause();
        }
        input.len()
    }

    /// All is sent, so the other side may be read again.
    fn sent(&mut self, session: &mut Session, connection: &mut Connection<'_, Self>) {
        let Some(other) = session.other else { return };
        let shard = connection.shard();
        if shard.session(other).is_some_and(|session| !session.has_ended) {
            shard.read(other);
        }
    }

    /// Passes the end of the stream on. The other stream may continue.
    fn end(&mut self, session: &mut Session, _: &[u8], connection: &mut Connection<'_, Self>) {
        session.has_ended = true;
        let Some(other) = session.other else { return connection.close() };
        let shard = connection.shard();
        shard.end_output(other);
        if shard.session(other).is_some_and(|session| session.has_ended) {
            shard.close(other);
            connection.close();
        } else {
            connection.pause();
        }
    }

    /// Ends the other side in the same way.
    fn close(&mut self, session: Session, closed: Closed, shard: &mut Shard<'_, Self>) {
        let Some(other) = session.other else {
            if let Role::Client(Some(dial)) = session.role {
                shard.cancel_dial(dial);
            }
            return;
        };
        match closed.reason {
            CloseReason::Closed => shard.close(other),
            _ => shard.abort(other),
        }
    }
}

/// What the command line asks for.
struct Options {
    config: ServerConfig,
    check_every: Duration,
    backends: Vec<Arc<Backend>>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn std::error::Error>> {
        let mut config = ServerConfig { workers: NonZeroUsize::MIN, ..ServerConfig::default() };
        config.drain.timeout = DRAIN_TIMEOUT;
        let (mut check_every, mut tls, mut addresses) = (Duration::from_secs(2), None, Vec::new());
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value; {USAGE}"));
            let wrong = |value: &str| format!("{word} {value}: give a number from 1; {USAGE}");
            match word.as_str() {
                "--workers" => {
                    let value = value()?;
                    config.workers = value.parse().map_err(|_| wrong(&value))?;
                }
                "--check-every" => {
                    let value = value()?;
                    let ms: NonZeroU32 = value.parse().map_err(|_| wrong(&value))?;
                    check_every = Duration::from_millis(ms.get().into());
                }
                "--tls-roots" => {
                    tls = Some(TlsClient::builder(TrustRoots::from_file(value()?)?).build()?);
                }
                flag if flag.starts_with('-') => {
                    return Err(format!("there is no flag {flag}; {USAGE}").into());
                }
                _ => addresses.push(word),
            }
        }
        let [listen, names @ ..] = &addresses[..] else { return Err(USAGE.into()) };
        if names.is_empty() {
            return Err(USAGE.into());
        }
        config.listen = vec![listen.parse().map_err(|error| format!("{listen}: {error}"))?];
        let backends =
            names.iter().map(|name| backend(name, tls.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { config, check_every, backends })
    }
}

fn backend(name: &str, tls: Option<&TlsClient>) -> Result<Arc<Backend>, String> {
    let wrong = || format!("{name}: give a host and a port; {USAGE}");
    let (host, port) = name.rsplit_once(':').ok_or_else(wrong)?;
    let mut dial = match name.parse() {
        Ok(address) => Dial::address(address),
        Err(_) => Dial::host(host, port.parse().map_err(|_| wrong())?),
    };
    if let Some(tls) = tls {
        dial = dial.tls(tls, host);
    }
    let (connections, chosen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Ok(Arc::new(Backend { name: name.to_owned(), dial, connections, chosen }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Options { config, check_every, backends } = Options::parse(std::env::args().skip(1))?;
    let failures = vec![0; backends.len()];
    // This comes first, so that a Ctrl-C during the start is not lost.
    let mut base = EventBase::<()>::new(Config::default())?;
    let interrupt = base.registry().create(EventSpec::signal(libc::SIGINT), |_, (), _| {});
    base.registry().add(interrupt, None)?;
    let balancer = Balancer { backends: backends.clone(), failures, check_every, next_check: None };
    let server = Server::start(&config, balancer)?;
    println!("listening on {}", server.addresses()[0]);
    base.run(&mut ())?;
    let report = server.drain()?;
    for backend in &backends {
        let (chosen, open) = (backend.chosen.load(Relaxed), backend.connections.load(Relaxed));
        println!("{}: chosen {chosen} times, {open} connections", backend.name);
    }
    print!("{report}");
    Ok(())
}
