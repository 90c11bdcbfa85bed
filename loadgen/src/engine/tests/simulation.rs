//! A world for tests: a clock that only waiting moves, and a server that is a formula.
//!
//! The loading thread runs in it unchanged. Sending and receiving take no time unless a test says
//! so; whatever is measured then follows from the schedule and the server alone.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::rc::Rc;

use crate::engine::network::{Interest, Network, Ready, Token};

/// What a server does with what it gets.
pub(crate) trait SimulatedServer {
    /// Bytes came in at `now_ns`; what goes back, and when.
    fn received(&mut self, now_ns: u64, bytes: &[u8]) -> Vec<SimulatedReply>;
}

/// Something that reaches the loader at its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SimulatedReply {
    Bytes { at_ns: u64, bytes: Vec<u8> },
    Close { at_ns: u64 },
}

impl SimulatedReply {
    fn at_ns(&self) -> u64 {
        match self {
            Self::Bytes { at_ns, .. } | Self::Close { at_ns } => *at_ns,
        }
    }
}

/// What is common to all streams.
struct World {
    now_ns: u64,
    /// How long it takes the loader to read.
    read_ns: u64,
    server: Box<dyn SimulatedServer>,
    inboxes: HashMap<(u32, u32), VecDeque<SimulatedReply>>,
    /// When something reaches which stream.
    arrivals: BinaryHeap<Reverse<(u64, u32, u32)>>,
}

/// One stream to the server.
pub(crate) struct SimulatedStream {
    world: Rc<RefCell<World>>,
    token: Token,
}

fn key(token: Token) -> (u32, u32) {
    (token.connection, token.generation)
}

impl Write for SimulatedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let world = &mut *self.world.borrow_mut();
        for reply in world.server.received(world.now_ns, bytes) {
            world.arrivals.push(Reverse((
                reply.at_ns(),
                self.token.connection,
                self.token.generation,
            )));
            world.inboxes.entry(key(self.token)).or_default().push_back(reply);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for SimulatedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let world = &mut *self.world.borrow_mut();
        world.now_ns += world.read_ns;
        let inbox = world.inboxes.entry(key(self.token)).or_default();
        let mut count = 0;
        while let Some(reply) = inbox.front()
            && reply.at_ns() <= world.now_ns
        {
            match reply {
                SimulatedReply::Bytes { bytes, .. } if count + bytes.len() <= buffer.len() => {
                    buffer[count..count + bytes.len()].copy_from_slice(bytes);
                    count += bytes.len();
                    inbox.pop_front();
                }
                SimulatedReply::Close { .. } if count == 0 => return Ok(0),
                SimulatedReply::Bytes { .. } | SimulatedReply::Close { .. } => {
                    let again = (world.now_ns, self.token.connection, self.token.generation);
                    world.arrivals.push(Reverse(again));
                    break;
                }
            }
        }
        if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }
}

/// The simulated network of one thread.
pub(crate) struct Simulation {
    world: Rc<RefCell<World>>,
    ready: Vec<Ready>,
    /// Streams whose handshakes have begun, and when they end.
    handshakes: VecDeque<(u64, Token)>,
    /// How long a handshake takes.
    handshake_ns: u64,
    /// When connects begin to be refused.
    refuses_from_ns: u64,
    /// Until when the backlog is full, as that of a unix socket.
    full_until_ns: u64,
    /// How often the loader has tried to connect.
    attempts: Rc<Cell<u32>>,
    /// How much longer than requested a wait takes.
    oversleep: Box<dyn FnMut(u64) -> u64>,
}

impl Simulation {
    /// A network with one server behind it, whose waits end on time.
    pub(crate) fn new(server: impl SimulatedServer + 'static) -> Self {
        let world = World {
            now_ns: 0,
            read_ns: 0,
            server: Box::new(server),
            inboxes: HashMap::new(),
            arrivals: BinaryHeap::new(),
        };
        Self {
            world: Rc::new(RefCell::new(world)),
            ready: Vec::new(),
            handshakes: VecDeque::new(),
            handshake_ns: 0,
            refuses_from_ns: u64::MAX,
            full_until_ns: 0,
            attempts: Rc::default(),
            oversleep: Box::new(|_| 0),
        }
    }

    /// Makes handshakes take so long.
    pub(crate) fn shaking_hands_for(self, handshake_ns: u64) -> Self {
        Self { handshake_ns, ..self }
    }

    /// Makes connects from this time on refused, as if the server had ended.
    pub(crate) fn refusing_from(self, refuses_from_ns: u64) -> Self {
        Self { refuses_from_ns, ..self }
    }

    /// Makes connects find a full backlog until this time, and counts them all in `attempts`.
    pub(crate) fn full_until(self, full_until_ns: u64, attempts: &Rc<Cell<u32>>) -> Self {
        Self { full_until_ns, attempts: Rc::clone(attempts), ..self }
    }

    /// Makes every read take so long.
    pub(crate) fn reading_for(self, read_ns: u64) -> Self {
        self.world.borrow_mut().read_ns = read_ns;
        self
    }

    /// Makes waits end late, by a function of the time at which they should have ended.
    pub(crate) fn oversleeping(self, oversleep: impl FnMut(u64) -> u64 + 'static) -> Self {
        Self { oversleep: Box::new(oversleep), ..self }
    }
}

impl Network for Simulation {
    type Stream = SimulatedStream;

    fn now_ns(&self) -> u64 {
        self.world.borrow().now_ns
    }

    fn connect(&mut self, token: Token, _number: u32) -> io::Result<SimulatedStream> {
        self.attempts.set(self.attempts.get() + 1);
        if self.now_ns() < self.full_until_ns {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.now_ns() >= self.refuses_from_ns {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        self.handshakes.push_back((self.now_ns() + self.handshake_ns, token));
        Ok(SimulatedStream { world: Rc::clone(&self.world), token })
    }

    fn connected(&self, _stream: &SimulatedStream) -> io::Result<()> {
        Ok(())
    }

    fn watch(&self, _: &SimulatedStream, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, until_ns: u64, heartbeat_ns: u64) -> io::Result<usize> {
        let until_ns = until_ns.min(heartbeat_ns);
        let world = &mut *self.world.borrow_mut();
        self.ready.clear();
        let reply_ns = world.arrivals.peek().map(|Reverse((at_ns, ..))| *at_ns);
        let handshake_ns = self.handshakes.front().map(|(at_ns, _)| *at_ns);
        let next_ns = reply_ns.into_iter().chain(handshake_ns).min();
        if next_ns.is_none_or(|next_ns| next_ns > world.now_ns) {
            let woken_ns = next_ns.unwrap_or(u64::MAX).min(until_ns).max(world.now_ns);
            world.now_ns = woken_ns + (self.oversleep)(woken_ns);
        }
        while let Some((_, token)) =
            self.handshakes.pop_front_if(|(at_ns, _)| *at_ns <= world.now_ns)
        {
            self.ready.push(Ready { token, readable: false, writable: true });
        }
        while let Some(&Reverse((at_ns, connection, generation))) = world.arrivals.peek()
            && at_ns <= world.now_ns
        {
            world.arrivals.pop();
            let token = Token { connection, generation };
            if self.ready.last().is_none_or(|ready| ready.token != token) {
                self.ready.push(Ready { token, readable: true, writable: false });
            }
        }
        Ok(self.ready.len())
    }

    fn ready(&self, index: usize) -> Ready {
        self.ready[index]
    }
}

/// A server with one place: requests of a fixed size wait in a queue and are served in order.
pub(crate) struct Queue<F> {
    size: usize,
    free_ns: u64,
    served: u64,
    /// When the service of request `k`, which could begin at a time, ends.
    ends_ns: F,
}

impl<F: FnMut(u64, u64) -> u64> Queue<F> {
    /// Serves requests of `size` bytes; `ends_ns(k, begins_ns)` says when request `k` is done.
    pub(crate) fn new(size: usize, ends_ns: F) -> Self {
        Self { size, free_ns: 0, served: 0, ends_ns }
    }
}

impl<F: FnMut(u64, u64) -> u64> SimulatedServer for Queue<F> {
    fn received(&mut self, now_ns: u64, bytes: &[u8]) -> Vec<SimulatedReply> {
        let requests = bytes.chunks(self.size);
        let serve = |request: &[u8]| {
            assert_eq!(request.len(), self.size, "the simulation takes whole requests");
            self.free_ns = (self.ends_ns)(self.served, self.free_ns.max(now_ns));
            self.served += 1;
            SimulatedReply::Bytes { at_ns: self.free_ns, bytes: request.to_vec() }
        };
        requests.map(serve).collect()
    }
}
