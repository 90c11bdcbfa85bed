//! Random operations on real descriptors against a naive model: they become ready, are drained and
//! closed before or after their events, and other files reuse their numbers. Runs on every backend
//! with every changelist policy and flush.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use proptest::prelude::*;

use super::*;
use crate::backend::ChangelistFlush;
use crate::base::steps::{Run, Wait};
use crate::sys::fd::duplicate;

const SOCKETS: usize = 4;

/// The first number of a range that only this test uses, also after it closes one.
fn lowest_fd() -> i32 {
    // Not higher: a check visits every lower number.
    let limit = rlimit::increase_nofile_limit(20_000).unwrap().min(2_048);
    limit as i32 / 8 * 7
}

/// When a descriptor is closed.
#[derive(Clone, Copy, Debug)]
enum Close {
    BeforeItsEventsAreFreed,
    AfterItsEventsAreFreed,
    /// After its events are freed with that promise.
    AsPromised,
}

#[derive(Clone, Debug)]
enum Step {
    Open {
        index: usize,
    },
    Close {
        index: usize,
        how: Close,
    },
    /// Closes and leaves the events as they are.
    Abandon {
        index: usize,
    },
    MakeReadable {
        index: usize,
    },
    Drain {
        index: usize,
    },
    Create {
        index: usize,
        interest: u8,
        persist: bool,
    },
    Add {
        pick: usize,
    },
    Del {
        pick: usize,
    },
    Free {
        pick: usize,
    },
    Activate {
        pick: usize,
    },
    /// Begins a wait, which the next poll ends. `runs_first` if it is over before what follows.
    Lend {
        runs_first: bool,
    },
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0..SOCKETS;
    let pick = 0..20_usize;
    prop_oneof![
        2 => index.clone().prop_map(|index| Step::Open { index }),
        1 => (index.clone(), closes()).prop_map(|(index, how)| Step::Close { index, how }),
        1 => index.clone().prop_map(|index| Step::Abandon { index }),
        2 => index.clone().prop_map(|index| Step::MakeReadable { index }),
        1 => index.clone().prop_map(|index| Step::Drain { index }),
        3 => (index, 0..3_u8, any::<bool>())
            .prop_map(|(index, interest, persist)| Step::Create { index, interest, persist }),
        4 => pick.clone().prop_map(|pick| Step::Add { pick }),
        2 => pick.clone().prop_map(|pick| Step::Del { pick }),
        1 => pick.clone().prop_map(|pick| Step::Free { pick }),
        1 => pick.prop_map(|pick| Step::Activate { pick }),
        1 => any::<bool>().prop_map(|runs_first| Step::Lend { runs_first }),
        4 => Just(Step::Poll),
    ]
}

fn closes() -> impl Strategy<Value = Close> {
    prop_oneof![
        Just(Close::BeforeItsEventsAreFreed),
        Just(Close::AfterItsEventsAreFreed),
        Just(Close::AsPromised),
    ]
}

/// A socket under a number of this test's own, and its peer.
struct Socket {
    watched: OwnedFd,
    near: UnixStream,
    far: UnixStream,
    readable: bool,
}

impl Socket {
    fn open() -> Self {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let watched = duplicate(&near, lowest_fd()).unwrap();
        Self { watched, near, far, readable: false }
    }

    fn ready(&self) -> Ready {
        if self.readable { Ready::READ | Ready::WRITE } else { Ready::WRITE }
    }
}

struct Event {
    id: EventId,
    token: u64,
    index: usize,
    interest: Interest,
    persist: bool,
    pending: bool,
    /// Its descriptor was closed before it was deleted.
    dead: bool,
    activated: Ready,
}

/// The base under test, its descriptors, and the model of its events.
struct World {
    base: EventBase<Log>,
    sockets: [Option<Socket>; SOCKETS],
    events: Vec<Event>,
    /// A wait that has not ended, and whether it was run.
    lent: Option<(Box<Wait>, bool)>,
    /// The backend keeps the files open that it polls, and so may report closed descriptors.
    reports_closed_fds: bool,
}

impl World {
    fn new(config: Config) -> Self {
        let mut base = EventBase::new(config.ignore_environment()).unwrap();
        let reports_closed_fds = base.registry().backend_name() == BackendKind::IoUring.name();
        let sockets = [const { None }; SOCKETS];
        Self { base, sockets, events: Vec::new(), lent: None, reports_closed_fds }
    }

    fn step(&mut self, token: u64, step: Step) {
        match step {
            Step::Open { index } => self.open(index),
            Step::Close { index, how } => {
                let is_its = |event: &Event| event.index == index;
                match how {
                    Close::BeforeItsEventsAreFreed => {}
                    Close::AfterItsEventsAreFreed => self.free_all(is_its),
                    // Those of a number that was closed before are not meant by the promise.
                    Close::AsPromised => self.free_all_with(Registry::free_closing, |event| {
                        is_its(event) && !event.dead
                    }),
                }
                self.abandon(index);
                self.free_all(is_its);
            }
            Step::Abandon { index } => self.abandon(index),
            Step::MakeReadable { index } => {
                if let Some(socket) = &mut self.sockets[index] {
                    socket.far.write_all(b"x").unwrap();
                    socket.readable = true;
                }
            }
            Step::Drain { index } => {
                if let Some(socket) = &mut self.sockets[index] {
                    let _ = socket.near.read(&mut [0; 256]);
                    socket.readable = false;
                }
            }
            Step::Create { index, interest, persist } => {
                self.create(token, index, interest, persist);
            }
            Step::Lend { runs_first } => self.lend(runs_first),
            Step::Poll => {
                self.end_lent();
                self.poll();
            }
            Step::Add { pick }
            | Step::Del { pick }
            | Step::Free { pick }
            | Step::Activate { pick } => {
                if !self.events.is_empty() {
                    self.act_on(pick % self.events.len(), &step);
                }
            }
        }
    }

    fn open(&mut self, index: usize) {
        if self.sockets[index].is_some() {
            return;
        }
        let socket = Socket::open();
        // The owner of a reused number frees the events of the previous file.
        let number = socket.watched.as_raw_fd();
        let registry = self.base.registry();
        let of_number = |id| registry.info(id).is_some_and(|info| info.fd == Some(number));
        let stale: Vec<EventId> =
            self.events.iter().map(|event| event.id).filter(|id| of_number(*id)).collect();
        self.free_all(|event| stale.contains(&event.id));
        self.sockets[index] = Some(socket);
    }

    fn abandon(&mut self, index: usize) {
        self.sockets[index] = None;
        self.events.iter_mut().filter(|e| e.index == index).for_each(|event| event.dead = true);
    }

    fn free_all(&mut self, which: impl Fn(&Event) -> bool) {
        self.free_all_with(Registry::free, which);
    }

    fn free_all_with(
        &mut self,
        free: fn(&mut Registry<Log>, EventId),
        which: impl Fn(&Event) -> bool,
    ) {
        let registry = self.base.registry();
        self.events.retain(|event| {
            if which(event) {
                free(registry, event.id);
            }
            !which(event)
        });
    }

    fn create(&mut self, token: u64, index: usize, interest: u8, persist: bool) {
        let Some(socket) = &self.sockets[index] else { return };
        let interest = [READ, WRITE, READ | WRITE][usize::from(interest)];
        let mut spec = EventSpec::io(&socket.watched, interest).token(Token(token));
        spec.persist = persist;
        let id = self.base.registry().create(spec, log);
        let (pending, dead, activated) = (false, false, Ready::empty());
        self.events.push(Event { id, token, index, interest, persist, pending, dead, activated });
    }

    fn act_on(&mut self, at: usize, step: &Step) {
        let (registry, event) = (self.base.registry(), &mut self.events[at]);
        match step {
            // Adding an event whose descriptor is closed is the owner's error.
            Step::Add { .. } if !event.dead => {
                registry.add(event.id, None).unwrap();
                event.pending = true;
            }
            Step::Del { .. } => {
                registry.del(event.id);
                (event.pending, event.activated) = (false, Ready::empty());
            }
            Step::Activate { .. } => {
                registry.activate(event.id, Ready::TIMEOUT).unwrap();
                event.activated = Ready::TIMEOUT;
            }
            Step::Free { .. } => {
                let id = event.id;
                self.free_all(|event| event.id == id);
            }
            _ => {}
        }
    }

    fn lend(&mut self, runs_first: bool) {
        if self.lent.is_none() {
            let mut wait = self.base.begin_wait(&Run::new(LoopFlags::NONBLOCK));
            if runs_first {
                wait.run();
            }
            self.lent = Some((wait, runs_first));
        }
    }

    /// Ends a wait. What it reports may be older than the last changes, but the next poll agrees.
    fn end_lent(&mut self) {
        let Some((mut wait, has_run)) = self.lent.take() else { return };
        if !has_run {
            wait.run();
        }
        self.base.end_wait(wait).unwrap();
        let mut fired = Log::new();
        self.base.run_active(&mut fired);
        for event in &mut self.events {
            let at = fired.iter().position(|(token, _)| *token == event.token);
            let ready = at.map_or(Ready::empty(), |at| fired.swap_remove(at).1);
            let activated = std::mem::take(&mut event.activated);
            let interest = if event.pending { event.interest.into() } else { Ready::empty() };
            assert!(ready.contains(activated), "event {}", event.token);
            let extra = ready - activated - interest;
            assert!(event.dead || extra.is_empty(), "event {} fired {ready:?}", event.token);
            event.pending &= event.persist || ready.is_empty();
        }
        assert_eq!(fired, [], "no other event fires");
    }

    fn poll(&mut self) {
        let mut fired = Log::new();
        self.base.run_with(&mut fired, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
        for event in &mut self.events {
            let socket = self.sockets[event.index].as_ref().filter(|_| !event.dead);
            let ready = socket.map_or(Ready::empty(), Socket::ready);
            let interest = if event.pending { event.interest.into() } else { Ready::empty() };
            let expected = (ready & interest) | std::mem::take(&mut event.activated);
            let fired_ready = fired.iter().position(|(token, _)| *token == event.token);
            let fired_ready = fired_ready.map_or(Ready::empty(), |at| fired.swap_remove(at).1);
            if event.dead {
                // A change of a closed descriptor is refused and reported.
                let extra = fired_ready - expected - Ready::REFUSED;
                assert!(fired_ready.contains(expected), "event {}", event.token);
                assert!(extra.is_empty() || self.reports_closed_fds, "event {}", event.token);
            } else {
                assert_eq!(fired_ready, expected, "event {}", event.token);
            }
            event.pending &= event.persist || fired_ready.is_empty();
        }
        assert_eq!(fired, [], "no other event fires");
    }

    fn compare(&mut self) {
        let registry = self.base.registry();
        registry.check();
        for event in self.events.iter().filter(|event| !event.dead) {
            let pending: Ready = if event.pending { event.interest.into() } else { Ready::empty() };
            assert_eq!(registry.pending(event.id), pending | event.activated);
        }
    }
}

fn configs() -> impl Iterator<Item = Config> {
    let epoll = Config::default().backend(BackendKind::Epoll);
    BackendKind::usable().flat_map(move |kind| {
        let immediate = Config::default().backend(kind);
        let deferred = immediate.changelist(ChangelistPolicy::Deferred);
        let through_uring =
            epoll.changelist(ChangelistPolicy::Deferred).flush(ChangelistFlush::IoUring);
        // Where there is io_uring, epoll can flush through it.
        let more = (kind == BackendKind::IoUring).then_some(through_uring);
        [deferred.flush(ChangelistFlush::EpollCtl), immediate].into_iter().chain(more)
    })
}

proptest! {
    #![proptest_config(test_inputs::config(64))]

    #[test]
    fn descriptors_that_come_and_go_agree_with_a_naive_model(
        steps in prop::collection::vec(step(), 1..100))
    {
        for config in configs() {
            let agrees = || {
                let mut world = World::new(config);
                for (token, step) in (1..).zip(steps.clone()) {
                    world.step(token, step);
                    world.compare();
                }
            };
            // A child that another test has just forked holds the closed descriptors, too, and
            // epoll then reports them. What is wrong is wrong every time.
            let is_right = (0..3).any(|_| std::panic::catch_unwind(agrees).is_ok());
            prop_assert!(is_right, "see the panics above; with {config:?}");
        }
    }
}
