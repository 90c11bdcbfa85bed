//! The context of these tests: a table of bufferevents, and a log of what their handlers saw.

#![allow(unreachable_pub, reason = "a test program exports nothing")]

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::common;
use evshard::{
    Accepted, BuffereventHandlers, BuffereventId, BuffereventMut, Bufferevents, Config, EventBase,
    EventSpec, HasBufferevents, ListenerId, LoopFlags, Registry, What,
};

/// The longest that a test waits for a condition.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a handler was called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Read(BuffereventId),
    Write(BuffereventId),
    Event(BuffereventId, What),
}

#[derive(Default)]
pub(crate) struct App {
    pub(crate) table: Bufferevents<Self>,
    pub(crate) seen: Vec<Seen>,
    /// Bufferevents that a handler needs besides its own.
    pub(crate) others: Vec<BuffereventId>,
    /// What listeners accepted.
    pub(crate) accepted: Vec<(ListenerId, Accepted)>,
    /// The turns in which they were accepted, by the base's count of waits.
    pub(crate) turns: Vec<u64>,
    /// What its clients are accepted with.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<evshard::tls::TlsServer>,
    /// Peers that stay open.
    pub(crate) peers: Vec<TcpStream>,
}

impl HasBufferevents for App {
    fn bufferevents(&mut self) -> &mut Bufferevents<Self> {
        &mut self.table
    }
}

/// Handlers that only log.
pub(crate) fn logging() -> BuffereventHandlers<App> {
    BuffereventHandlers {
        read: Some(|_, app, id| app.seen.push(Seen::Read(id))),
        write: Some(|_, app, id| app.seen.push(Seen::Write(id))),
        event: Some(|_, app, id, what| app.seen.push(Seen::Event(id, what))),
    }
}

/// Moves all input to the output.
pub(crate) fn echo(registry: &mut Registry<App>, app: &mut App, id: BuffereventId) {
    let mut bufferevent = app.table.get(registry, id).unwrap();
    let (input, output) = bufferevent.buffers();
    output.append_buffer(input);
}

/// A base and its context.
pub(crate) struct Bench {
    pub(crate) base: EventBase<App>,
    pub(crate) app: App,
}

impl Bench {
    /// Gives access to a bufferevent that exists.
    pub(crate) fn get(&mut self, id: BuffereventId) -> BuffereventMut<'_, App> {
        self.app.table.get(self.base.registry(), id).expect("it exists")
    }

    /// Runs what is ready now.
    pub(crate) fn turn(&mut self) {
        self.base.run_with(&mut self.app, LoopFlags::NONBLOCK).unwrap();
    }

    /// Runs one pass over the active events, whatever they activate.
    pub(crate) fn pass(&mut self) {
        let exit = |registry: &mut Registry<App>, _: &mut App, _| registry.loop_exit();
        self.base.registry().once(EventSpec::timer(), Some(Duration::ZERO), exit).unwrap();
        self.base.run_until_exit(&mut self.app).unwrap();
    }

    /// Runs the loop until a condition holds.
    pub(crate) fn run_until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "no {what}; seen: {:?}", self.app.seen);
            self.turn();
        }
    }

    /// Runs the loop until a handler has seen it.
    pub(crate) fn run_until_seen(&mut self, seen: Seen) {
        self.run_until(&format!("{seen:?}"), |bench| bench.app.seen.contains(&seen));
    }
}

/// Runs for a while, and returns how often the base waited.
pub(crate) fn waits_in(bench: &mut Bench, duration: Duration) -> u64 {
    bench.turn();
    let before = bench.base.registry().stats().waits;
    bench.base.registry().loop_exit_after(duration);
    bench.base.run_until_exit(&mut bench.app).unwrap();
    bench.base.registry().stats().waits - before
}

/// Runs a test with every backend and policy that the machine has.
pub(crate) fn on_each_backend(test: impl Fn(&mut Bench)) {
    for config in common::all_configs() {
        test(&mut Bench { base: EventBase::new(config).unwrap(), app: App::default() });
    }
}

/// A bench on the default backend.
pub(crate) fn bench() -> Bench {
    let base = EventBase::new(Config::default()).unwrap();
    Bench { base, app: App::default() }
}

/// Two ends of a TCP connection; the first does not block.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let (socket, _) = listener.accept().unwrap();
    (socket, peer)
}
