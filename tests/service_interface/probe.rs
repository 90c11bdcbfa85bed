//! A service that reports its callbacks, and does in them what a test says.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use super::common::{MS, TEST_TIMEOUT};
use evshard::server::{
    Background, CloseReason, Closed, Connection, ConnectionHandle, ConnectionId, DialError,
    MessageSender, Server, ServerConfig, Service, Shard, TimerId,
};

/// What a shard runs for a test.
pub(crate) type Job = Box<dyn FnOnce(&mut Shard<'_, Probe>) + Send>;

/// A callback that was called.
#[derive(Debug)]
pub(crate) enum Event {
    Started(usize),
    Opened(ConnectionHandle),
    Connected(ConnectionHandle, u64),
    DialFailed(DialError, u64),
    End(ConnectionId),
    Sent(ConnectionId),
    Resumed(ConnectionId),
    Timer(ConnectionId, u64),
    ShardTimer(u64),
    Drained(ConnectionId),
    Closed(ConnectionId, CloseReason, u64),
    Room(usize),
    BeginDrain(usize),
    Stopped(usize),
}

type OnConnection = Box<dyn Fn(&mut Connection<'_, Probe>) + Send + Sync>;
type OnReceive = Box<dyn Fn(&[u8], &mut Connection<'_, Probe>) -> usize + Send + Sync>;
type OnBackground = Box<dyn Fn(&mut Shard<'_, Probe>) -> Background + Send + Sync>;
type OnShard = Box<dyn Fn(&mut Shard<'_, Probe>) + Send + Sync>;
type OnDialFailed = Box<dyn Fn(u64, &mut Shard<'_, Probe>) + Send + Sync>;
type OnClose = Box<dyn Fn(u64, Closed, &mut Shard<'_, Probe>) + Send + Sync>;

/// What the callbacks do. By default it echoes, and does nothing else.
pub(crate) struct Does {
    pub(crate) start: OnShard,
    pub(crate) open: OnConnection,
    pub(crate) connected: OnConnection,
    pub(crate) receive: OnReceive,
    pub(crate) end: OnConnection,
    pub(crate) sent: OnConnection,
    pub(crate) timer: OnConnection,
    pub(crate) shard_timer: OnShard,
    pub(crate) resume: OnConnection,
    pub(crate) drain: OnConnection,
    pub(crate) dial_failed: OnDialFailed,
    pub(crate) close: OnClose,
    pub(crate) background: OnBackground,
    pub(crate) stop: OnShard,
}

impl Default for Does {
    fn default() -> Self {
        Self {
            start: Box::new(|_| {}),
            open: Box::new(|_| {}),
            connected: Box::new(|_| {}),
            receive: Box::new(|input, connection| {
                connection.send(input);
                input.len()
            }),
            end: Box::new(|connection| connection.close()),
            sent: Box::new(|_| {}),
            timer: Box::new(|_| {}),
            shard_timer: Box::new(|_| {}),
            resume: Box::new(|_| {}),
            drain: Box::new(|_| {}),
            dial_failed: Box::new(|_, _| {}),
            close: Box::new(|_, _, _| {}),
            background: Box::new(|_| Background::Done),
            stop: Box::new(|_| {}),
        }
    }
}

/// The session is a number: 0, or what a dial gave.
#[derive(Clone)]
pub(crate) struct Probe {
    does: Arc<Does>,
    events: Sender<Event>,
    senders: Sender<MessageSender<Job>>,
}

impl Probe {
    fn report(&self, event: Event) {
        // A test that has ended listens no more.
        let _ = self.events.send(event);
    }
}

impl Service for Probe {
    type Session = u64;
    type Message = Job;

    fn start(&mut self, shard: &mut Shard<'_, Self>) {
        let _ = self.senders.send(shard.sender());
        self.report(Event::Started(shard.index()));
        (self.does.start)(shard);
    }

    fn open(&mut self, connection: &mut Connection<'_, Self>) -> u64 {
        self.report(Event::Opened(connection.handle()));
        (self.does.open)(connection);
        0
    }

    fn connected(&mut self, session: &mut u64, connection: &mut Connection<'_, Self>) {
        self.report(Event::Connected(connection.handle(), *session));
        (self.does.connected)(connection);
    }

    fn dial_failed(&mut self, session: u64, error: DialError, shard: &mut Shard<'_, Self>) {
        self.report(Event::DialFailed(error, session));
        (self.does.dial_failed)(session, shard);
    }

    fn receive(
        &mut self,
        _: &mut u64,
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        (self.does.receive)(input, connection)
    }

    fn resume(&mut self, _: &mut u64, connection: &mut Connection<'_, Self>) {
        self.report(Event::Resumed(connection.id()));
        (self.does.resume)(connection);
    }

    fn sent(&mut self, _: &mut u64, connection: &mut Connection<'_, Self>) {
        self.report(Event::Sent(connection.id()));
        (self.does.sent)(connection);
    }

    fn timer(
        &mut self,
        _: &mut u64,
        _: TimerId,
        token: u64,
        connection: &mut Connection<'_, Self>,
    ) {
        self.report(Event::Timer(connection.id(), token));
        (self.does.timer)(connection);
    }

    fn shard_timer(&mut self, _: TimerId, token: u64, shard: &mut Shard<'_, Self>) {
        self.report(Event::ShardTimer(token));
        (self.does.shard_timer)(shard);
    }

    fn end(&mut self, _: &mut u64, _: &[u8], connection: &mut Connection<'_, Self>) {
        self.report(Event::End(connection.id()));
        (self.does.end)(connection);
    }

    fn drain(&mut self, _: &mut u64, connection: &mut Connection<'_, Self>) {
        self.report(Event::Drained(connection.id()));
        (self.does.drain)(connection);
    }

    fn close(&mut self, session: u64, closed: Closed, shard: &mut Shard<'_, Self>) {
        self.report(Event::Closed(closed.id, closed.reason, session));
        (self.does.close)(session, closed, shard);
    }

    fn message(&mut self, job: Job, shard: &mut Shard<'_, Self>) {
        job(shard);
    }

    fn room(&mut self, full: usize, _: &mut Shard<'_, Self>) {
        self.report(Event::Room(full));
    }

    fn background(&mut self, shard: &mut Shard<'_, Self>) -> Background {
        (self.does.background)(shard)
    }

    fn begin_drain(&mut self, shard: &mut Shard<'_, Self>) {
        self.report(Event::BeginDrain(shard.index()));
    }

    fn stop(&mut self, shard: &mut Shard<'_, Self>) {
        self.report(Event::Stopped(shard.index()));
        (self.does.stop)(shard);
    }
}

/// A server with a probe.
pub(crate) struct Probed {
    pub(crate) server: Server,
    pub(crate) events: Receiver<Event>,
    pub(crate) sender: MessageSender<Job>,
}

impl Probed {
    pub(crate) fn start(config: &ServerConfig, does: Does) -> Self {
        let (events, received) = channel();
        let (senders, sender) = channel();
        let probe = Probe { does: Arc::new(does), events, senders };
        let server = Server::start(config, probe).unwrap();
        let sender = sender.recv_timeout(TEST_TIMEOUT).unwrap();
        Self { server, events: received, sender }
    }

    /// Runs a job on a shard, as a message, and returns its result.
    pub(crate) fn on_shard<T: Send + 'static>(
        &self,
        shard: usize,
        job: impl FnOnce(&mut Shard<'_, Probe>) -> T + Send + 'static,
    ) -> T {
        let (result, results) = channel();
        let job: Job = Box::new(move |shard| drop(result.send(job(shard))));
        self.sender.post(shard, job).unwrap();
        results.recv_timeout(TEST_TIMEOUT).expect("the job panicked, or never ran")
    }

    /// The first event for which `choose` returns something; those before it are dropped.
    #[track_caller]
    pub(crate) fn next<T>(&self, mut choose: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            let event = self.events.recv_timeout(TEST_TIMEOUT).expect("the event never came");
            if let Some(found) = choose(event) {
                return found;
            }
        }
    }

    /// The handle of the next connection that opens.
    #[track_caller]
    pub(crate) fn opened(&self) -> ConnectionHandle {
        self.next(|event| match event {
            Event::Opened(handle) => Some(handle),
            _ => None,
        })
    }

    /// Why the next connection is closed, and its session.
    #[track_caller]
    pub(crate) fn closed(&self) -> (ConnectionId, CloseReason, u64) {
        self.next(|event| match event {
            Event::Closed(id, reason, session) => Some((id, reason, session)),
            _ => None,
        })
    }

    /// Waits for the end of all connections, and expects that nothing is counted any more.
    #[track_caller]
    pub(crate) fn expect_nothing_left(&self) {
        let left = || {
            let stats = self.server.stats();
            (stats.total().open, stats.buffer_bytes)
        };
        let deadline = Instant::now() + TEST_TIMEOUT;
        while left() != (0, 0) {
            assert!(Instant::now() < deadline, "open connections, and bytes: {:?}", left());
            thread::sleep(5 * MS);
        }
    }
}
