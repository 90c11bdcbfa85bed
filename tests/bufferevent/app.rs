//! The context of these tests: a table of bufferevents, and a log of what their handlers saw.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::common;
use evshard::{
    BuffereventHandlers, BuffereventId, BuffereventMut, Bufferevents, Config, EventBase, EventSpec,
    HasBufferevents, LoopFlags, Registry, What,
};

/// The longest that a test waits for a condition.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a handler was called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Read(BuffereventId),
    Write(BuffereventId),
    Event(BuffereventId, What),
}

#[derive(Default)]
pub struct App {
    pub table: Bufferevents<App>,
    pub seen: Vec<Seen>,
    /// Bufferevents that a handler needs besides its own.
    pub others: Vec<BuffereventId>,
}

impl HasBufferevents for App {
    fn bufferevents(&mut self) -> &mut Bufferevents<App> {
        &mut self.table
    }
}

/// Handlers that only log.
pub fn logging() -> BuffereventHandlers<App> {
    BuffereventHandlers {
        read: Some(|_, app, id| app.seen.push(Seen::Read(id))),
        write: Some(|_, app, id| app.seen.push(Seen::Write(id))),
        event: Some(|_, app, id, what| app.seen.push(Seen::Event(id, what))),
    }
}

/// Moves all input to the output.
pub fn echo(registry: &mut Registry<App>, app: &mut App, id: BuffereventId) {
    let mut bufferevent = app.table.get(registry, id).unwrap();
    let (input, output) = bufferevent.buffers();
    output.append_buffer(input);
}

/// A base and its context.
pub struct Bench {
    pub base: EventBase<App>,
    pub app: App,
}

impl Bench {
    /// Gives access to a bufferevent that exists.
    pub fn get(&mut self, id: BuffereventId) -> BuffereventMut<'_, App> {
        self.app.table.get(self.base.registry(), id).expect("it exists")
    }

    /// Runs what is ready now.
    pub fn turn(&mut self) {
        self.base.run_with(&mut self.app, LoopFlags::NONBLOCK).unwrap();
    }

    /// Runs one pass over the active events, whatever they activate.
    pub fn pass(&mut self) {
        let exit = |registry: &mut Registry<App>, _: &mut App, _| registry.loop_exit();
        self.base.registry().once(EventSpec::timer(), Some(Duration::ZERO), exit).unwrap();
        self.base.run_until_exit(&mut self.app).unwrap();
    }

    /// Runs the loop until a condition holds.
    pub fn run_until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "no {what}; seen: {:?}", self.app.seen);
            self.turn();
        }
    }

    /// Runs the loop until a handler has seen it.
    pub fn run_until_seen(&mut self, seen: Seen) {
        self.run_until(&format!("{seen:?}"), |bench| bench.app.seen.contains(&seen));
    }
}

/// Runs a test with every backend and policy that the machine has.
pub fn on_each_backend(test: impl Fn(&mut Bench)) {
    for config in common::all_configs() {
        test(&mut Bench { base: EventBase::new(config).unwrap(), app: App::default() });
    }
}

/// A bench on the default backend.
pub fn bench() -> Bench {
    let base = EventBase::new(Config::default()).unwrap();
    Bench { base, app: App::default() }
}

/// Two ends of a TCP connection; the first does not block.
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let (socket, _) = listener.accept().unwrap();
    (socket, peer)
}
