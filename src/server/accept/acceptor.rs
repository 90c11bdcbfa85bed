//! The acceptor: takes connections from the kernel and hands them to workers.
//!
//! It has an event base of its own. A batch of accepts ends in one wake per worker that got any.
//! When no worker has room it stops accepting, and the kernel's backlog holds what comes; when
//! descriptors run out it pauses. It never spins and never gives up.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::super::handoff::Handoff;
use super::super::placement::RoundRobin;
use super::super::report::{AcceptorTally, LinkTally};
use crate::base::{EventBase, Registry, Wake};
use crate::error::Result;
use crate::event::{EventId, EventSpec, Fired, Interest, Ready};
use crate::sys::socket::accept;

/// Accepts per turn. Bounds how long the first connection of a storm waits for its worker to be
/// woken; level-triggered readiness brings us back for the rest.
const ACCEPTS_PER_TURN_MAX: usize = 64;

/// Connections taken after the server was told to stop: as many as a usual backlog holds. Clients
/// that keep connecting must not keep a server from ending.
const LAST_ACCEPTS_MAX: usize = 4096;

/// How long accepting pauses when the process or the system is out of descriptors or memory: long
/// enough to cost nothing, short enough that nobody notices once one is free.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// The acceptor's end of one worker's handoff.
#[derive(Debug)]
pub(in crate::server) struct Link {
    handoff: Arc<Handoff>,
    /// Got a socket in this batch.
    touched: bool,
    tally: LinkTally,
}

impl Link {
    pub(in crate::server) fn new(handoff: Arc<Handoff>) -> Self {
        Self { handoff, touched: false, tally: LinkTally::default() }
    }

    fn wake_if_touched(&mut self) {
        if std::mem::take(&mut self.touched) {
            match self.handoff.wake_worker() {
                Wake::Sent => self.tally.wakes_sent += 1,
                Wake::Suppressed => self.tally.wakes_suppressed += 1,
            }
        }
    }
}

/// The context of the acceptor's base.
#[derive(Debug)]
pub(in crate::server) struct Acceptor {
    listener: TcpListener,
    links: Vec<Link>,
    placement: RoundRobin,
    /// Accepted, and no worker had room.
    held: Option<OwnedFd>,
    /// Once it is stopping, how many connections it may still take from the kernel.
    last_accepts: Option<usize>,
    acceptable: EventId,
    pause_over: EventId,
    pauses: u64,
}

/// Why a batch of accepts ended.
enum BatchEnd {
    /// No connection waits.
    Empty,
    /// It was long enough; more may wait.
    Full,
    /// The last one is held, because no worker has room.
    NoRoom,
    /// The kernel has no descriptor or memory for another connection.
    Exhausted,
}

impl Acceptor {
    /// An acceptor for `listener` that feeds `links`; `registry` is that of its base.
    pub(in crate::server) fn new(
        listener: TcpListener,
        links: Vec<Link>,
        registry: &mut Registry<Self>,
    ) -> Result<Self> {
        let room = registry.create(EventSpec::notify(), on_room);
        registry.add(room, None)?;
        let listening = EventSpec::io(&listener, Interest::READ).persist();
        let acceptable = registry.create(listening, on_acceptable);
        registry.add(acceptable, None)?;
        Ok(Self {
            listener,
            links,
            placement: RoundRobin::default(),
            held: None,
            last_accepts: None,
            acceptable,
            pause_over: registry.create(EventSpec::timer(), on_pause_over),
            pauses: 0,
        })
    }

    /// The acceptor's thread.
    pub(in crate::server) fn run(
        mut base: EventBase<Self>,
        mut acceptor: Self,
    ) -> Result<AcceptorTally> {
        base.run_until_exit(&mut acceptor)?;
        let links = acceptor.links.iter().map(|link| link.tally).collect();
        Ok(AcceptorTally { links, pauses: acceptor.pauses })
    }

    /// Takes what the kernel has queued, and ends once everything is handed over.
    pub(in crate::server) fn stop(registry: &mut Registry<Self>, acceptor: &mut Self) {
        acceptor.last_accepts = Some(LAST_ACCEPTS_MAX);
        acceptor.accept(registry);
    }

    fn accept(&mut self, registry: &mut Registry<Self>) {
        if self.held.is_some() {
            return; // until there is room
        }
        let end = self.accept_batch();
        self.wake_touched();
        match end {
            BatchEnd::NoRoom => registry.del(self.acceptable),
            BatchEnd::Full => {}
            BatchEnd::Empty | BatchEnd::Exhausted if self.last_accepts.is_some() => {
                registry.loop_exit();
            }
            BatchEnd::Empty => {}
            BatchEnd::Exhausted => self.pause(registry),
        }
    }

    fn wake_touched(&mut self) {
        for link in &mut self.links {
            link.wake_if_touched();
        }
    }

    /// Accepts nothing for a while.
    fn pause(&mut self, registry: &mut Registry<Self>) {
        self.pauses += 1;
        registry.del(self.acceptable);
        registry.add(self.pause_over, Some(EXHAUSTED_PAUSE)).expect("a timer needs no kernel");
    }

    fn accept_batch(&mut self) -> BatchEnd {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            if self.last_accepts == Some(0) {
                return BatchEnd::Empty;
            }
            match accept(&self.listener) {
                Ok(socket) => {
                    self.last_accepts = self.last_accepts.map(|left| left - 1);
                    if !self.place(socket) {
                        return BatchEnd::NoRoom;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return BatchEnd::Empty,
                Err(error) if concerns_one_connection(&error) => {}
                Err(_) => return BatchEnd::Exhausted,
            }
        }
        BatchEnd::Full
    }

    /// Offers a socket to the workers in turn; holds it if none has room.
    fn place(&mut self, mut socket: OwnedFd) -> bool {
        for worker in self.placement.order(self.links.len()) {
            let link = &mut self.links[worker];
            match link.handoff.offer(socket) {
                Ok(()) => {
                    link.touched = true;
                    return true;
                }
                Err(refused) => socket = refused,
            }
        }
        self.held = Some(socket);
        false
    }

    /// Goes on accepting, unless a socket is held still; also ends a stop that had to wait.
    fn resume(&mut self, registry: &mut Registry<Self>) {
        self.wake_touched();
        if self.held.is_some() {
            return;
        }
        match registry.add(self.acceptable, None) {
            Ok(()) => self.accept(registry),
            // epoll has no memory for the listener: try again like after any shortage.
            Err(_) => self.pause(registry),
        }
    }

    fn nobody_adopts(&self) -> bool {
        self.links.iter().all(|link| link.handoff.is_closed())
    }
}

fn on_acceptable(registry: &mut Registry<Acceptor>, acceptor: &mut Acceptor, fired: Fired) {
    if fired.ready.contains(Ready::REFUSED) {
        acceptor.pause(registry);
    } else {
        acceptor.accept(registry);
    }
}

fn on_pause_over(registry: &mut Registry<Acceptor>, acceptor: &mut Acceptor, _fired: Fired) {
    acceptor.resume(registry);
}

/// A worker made room, or ended. Without any worker there is nothing to accept for.
fn on_room(registry: &mut Registry<Acceptor>, acceptor: &mut Acceptor, _fired: Fired) {
    if acceptor.nobody_adopts() {
        acceptor.held = None;
        registry.loop_exit();
    } else if let Some(socket) = acceptor.held.take()
        && acceptor.place(socket)
    {
        acceptor.resume(registry);
    }
}

/// Errors that end one connection before it was accepted, and say nothing about the next
/// (accept(2), "Error handling").
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPERM
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
        )
    )
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;
    use std::time::Instant;

    use super::super::super::{ServerConfig, listener};
    use super::*;
    use crate::base::LoopFlags;

    /// An acceptor with one worker that has room for one socket, and nobody adopts.
    struct Rig {
        base: EventBase<Acceptor>,
        acceptor: Acceptor,
        handoff: Arc<Handoff>,
        _worker: EventBase<()>,
    }

    impl Rig {
        fn new() -> Self {
            let listen = vec!["127.0.0.1:0".parse().unwrap()];
            let config = ServerConfig { listen, ..ServerConfig::default() };
            let listener = listener::open(&config).unwrap().remove(0).sockets.remove(0).into();
            let mut worker = EventBase::<()>::new(config.base).unwrap();
            let mut base = EventBase::new(config.base).unwrap();
            let (to_worker, to_acceptor) =
                (worker.registry().notifier(), base.registry().notifier());
            let handoff = Arc::new(Handoff::with_capacity(1, to_worker, to_acceptor));
            let links = vec![Link::new(handoff.clone())];
            let acceptor = Acceptor::new(listener, links, base.registry()).unwrap();
            Self { base, acceptor, handoff, _worker: worker }
        }

        fn connect(&self, clients: usize) -> Vec<TcpStream> {
            let address = self.acceptor.listener.local_addr().unwrap();
            (0..clients).map(|_| TcpStream::connect(address).unwrap()).collect()
        }

        fn run(&mut self) {
            self.base.run_with(&mut self.acceptor, LoopFlags::NONBLOCK).unwrap();
        }

        /// Runs until the acceptor has done what a test waits for.
        #[track_caller]
        fn run_until(&mut self, condition: impl Fn(&mut Self) -> bool) {
            let deadline = Instant::now() + Duration::from_secs(60);
            while !condition(self) {
                assert!(Instant::now() < deadline, "never came true");
                self.run();
            }
        }

        fn is_listening(&mut self) -> bool {
            self.base.registry().pending(self.acceptor.acceptable) == Ready::READ
        }

        /// What the worker would adopt now.
        fn take(&self) -> Option<TcpStream> {
            let mut taken = None;
            self.handoff.take(1, |socket| taken = Some(TcpStream::from(socket)));
            taken
        }
    }

    #[test]
    fn what_no_worker_has_room_for_waits_and_nothing_is_lost() {
        let mut rig = Rig::new();
        let clients = rig.connect(5);
        rig.run_until(|rig| rig.acceptor.held.is_some());
        assert!(!rig.is_listening(), "the kernel's backlog holds the rest");
        let mut served = Vec::new();
        for _ in &clients {
            let socket = rig.take().expect("the queue is filled again as soon as there is room");
            served.push(socket.peer_addr().unwrap());
            rig.run();
        }
        assert!(rig.take().is_none());
        assert!(rig.is_listening(), "there is room again");
        let mut connected: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
        connected.sort();
        served.sort();
        assert_eq!(served, connected);
    }

    #[test]
    fn stopping_hands_over_what_is_held_and_what_the_kernel_has_queued() {
        let mut rig = Rig::new();
        let clients = rig.connect(4);
        rig.run_until(|rig| rig.acceptor.held.is_some());
        Acceptor::stop(rig.base.registry(), &mut rig.acceptor);
        let (mut served, mut ended) = (0, false);
        while rig.take().is_some() {
            served += 1;
            rig.run();
            ended |= rig.base.registry().got_exit();
        }
        assert_eq!(served, clients.len());
        assert!(ended, "with everything handed over, it ends");
    }

    #[test]
    fn clients_that_keep_connecting_do_not_keep_the_acceptor_from_ending() {
        let mut rig = Rig::new();
        let mut clients = rig.connect(3);
        rig.run_until(|rig| rig.acceptor.held.is_some());
        Acceptor::stop(rig.base.registry(), &mut rig.acceptor);
        rig.acceptor.last_accepts = Some(10);
        let mut served = 0;
        while !rig.base.registry().got_exit() {
            served += usize::from(rig.take().is_some());
            clients.extend(rig.connect(1));
            rig.run();
        }
        assert!(served <= 2 + 10, "{served} were served after the stop");
    }

    #[test]
    fn without_workers_the_acceptor_ends_instead_of_holding_a_client_for_ever() {
        let mut rig = Rig::new();
        let _clients = rig.connect(3);
        rig.run_until(|rig| rig.acceptor.held.is_some());
        drop(rig.handoff.clone().adopting());
        rig.run();
        assert!(rig.base.registry().got_exit() && rig.acceptor.held.is_none());
    }

    #[test]
    fn a_listener_that_the_kernel_refuses_to_watch_is_tried_again_later() {
        let mut rig = Rig::new();
        let (acceptable, pause_over) = (rig.acceptor.acceptable, rig.acceptor.pause_over);
        rig.base.registry().activate(acceptable, Ready::REFUSED).unwrap();
        rig.run();
        assert!(!rig.is_listening());
        assert_eq!(rig.base.registry().pending(pause_over), Ready::TIMEOUT);
        rig.run_until(Rig::is_listening);
    }

    #[test]
    fn accepted_sockets_inherit_no_delay_and_do_not_block() {
        let mut rig = Rig::new();
        let _client = rig.connect(1);
        rig.run_until(|rig| !rig.handoff.is_empty());
        let socket = rig.take().unwrap();
        assert!(socket.nodelay().unwrap());
        let error = (&socket).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
