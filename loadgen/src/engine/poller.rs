//! Readiness: one epoll set with a nanosecond timeout.
//!
//! A wait is one call of `epoll_pwait2(2)`. Some sandboxes refuse it. Then a wait is `ppoll(2)` of
//! the set, which counts nanoseconds, too, and `epoll_wait(2)` for the events.
//!
//! It knows descriptors and tokens, not connections. Events are level-triggered: a descriptor with
//! unread bytes is ready again in the next wait. So callers can bound their work per wake-up.

use std::io;
use std::os::fd::AsFd;

use nix::sys::epoll::{Epoll, EpollEvent, EpollTimeout};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::network::{Interest, Ready, Token};

/// Maximum number of events that one wait returns; the next wait returns the rest.
const EVENTS_PER_WAIT_MAX: usize = 512;

/// One thread's epoll set and the events of its latest wait.
pub(crate) struct Poller {
    epoll: Epoll,
    events: Vec<Event>,
    /// Whether `epoll_pwait2(2)` is refused.
    waits_by_poll: bool,
}

impl Poller {
    /// Opens an empty set.
    pub(crate) fn new() -> io::Result<Self> {
        let mut poller = Self {
            epoll: Epoll(epoll::create(CreateFlags::CLOEXEC)?),
            events: Vec::with_capacity(EVENTS_PER_WAIT_MAX),
            waits_by_poll: false,
        };
        // Old sandboxes return EPERM for a call that they do not know.
        match poller.wait_once(Timespec { tv_sec: 0, tv_nsec: 1 }) {
            Err(Errno::NOSYS | Errno::PERM) => poller.waits_by_poll = true,
            result => drop(result?),
        }
        Ok(poller)
    }

    /// Whether a wait takes two system calls, because `epoll_pwait2(2)` is refused.
    pub(crate) fn waits_by_poll(&self) -> bool {
        self.waits_by_poll
    }

    /// Watches `source`; its events carry `token`. Closing the descriptor removes it.
    pub(crate) fn add(
        &self,
        source: impl AsFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let data = EventData::new_u64(packed(token));
        Ok(epoll::add(&self.epoll.0, source, data, flags(interest))?)
    }

    /// Changes the readiness that `source` waits for.
    pub(crate) fn modify(
        &self,
        source: impl AsFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let data = EventData::new_u64(packed(token));
        Ok(epoll::modify(&self.epoll.0, source, data, flags(interest))?)
    }

    /// Waits until something is ready or `timeout_ns` has passed; returns how many are ready.
    ///
    /// A signal ends the wait early with nothing ready.
    pub(crate) fn wait(&mut self, timeout_ns: u64) -> io::Result<usize> {
        let timeout = Timespec {
            tv_sec: (timeout_ns / 1_000_000_000).cast_signed(),
            tv_nsec: (timeout_ns % 1_000_000_000).cast_signed(),
        };
        self.events.clear();
        let waited = if self.waits_by_poll { self.poll(timeout) } else { self.wait_once(timeout) };
        match waited {
            Ok(count) => Ok(count),
            Err(Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn wait_once(&mut self, timeout: Timespec) -> rustix::io::Result<usize> {
        epoll::wait(&self.epoll.0, spare_capacity(&mut self.events), Some(&timeout))
    }

    fn poll(&mut self, timeout: Timespec) -> rustix::io::Result<usize> {
        // An epoll descriptor is readable when one of its own is ready.
        if poll(&mut [PollFd::new(&self.epoll.0, PollFlags::IN)], Some(&timeout))? == 0 {
            return Ok(0);
        }
        let mut events = [EpollEvent::empty(); EVENTS_PER_WAIT_MAX];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO);
        let count = count.map_err(|errno| Errno::from_raw_os_error(errno as i32))?;
        let events = events[..count].iter().map(|event| Event {
            flags: EventFlags::from_bits_retain(event.events().bits() as u32),
            data: EventData::new_u64(event.data()),
        });
        self.events.extend(events);
        Ok(count)
    }

    /// The latest wait's event number `index`.
    pub(crate) fn ready(&self, index: usize) -> Ready {
        let Event { flags, data } = self.events[index];
        let read = EventFlags::IN | EventFlags::ERR | EventFlags::HUP;
        Ready {
            token: unpacked(data.u64()),
            readable: flags.intersects(read),
            writable: flags.contains(EventFlags::OUT),
        }
    }
}

fn packed(token: Token) -> u64 {
    u64::from(token.generation) << 32 | u64::from(token.connection)
}

fn unpacked(data: u64) -> Token {
    Token { connection: data as u32, generation: (data >> 32) as u32 }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        Interest::Read => EventFlags::IN,
        Interest::Write => EventFlags::OUT,
        Interest::ReadWrite => EventFlags::IN | EventFlags::OUT,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;

    /// One that waits by each way.
    fn pollers() -> impl Iterator<Item = Poller> {
        [false, true].into_iter().map(|by_poll| {
            let mut poller = Poller::new().unwrap();
            poller.waits_by_poll |= by_poll;
            poller
        })
    }

    fn token(connection: u32) -> Token {
        Token { connection, generation: u32::MAX }
    }

    #[test]
    fn readiness_carries_the_token_and_follows_the_interest() {
        for mut poller in pollers() {
            let (near, mut far) = UnixStream::pair().unwrap();
            poller.add(&near, token(41), Interest::Read).unwrap();
            assert_eq!(poller.wait(0).unwrap(), 0);

            far.write_all(b"x").unwrap();
            assert_eq!(poller.wait(1_000_000_000).unwrap(), 1);
            let ready = poller.ready(0);
            assert!(ready.token == token(41) && ready.readable && !ready.writable);

            poller.modify(&near, token(41), Interest::ReadWrite).unwrap();
            assert_eq!(poller.wait(1_000_000_000).unwrap(), 1);
            assert!(poller.ready(0).writable);
        }
    }

    #[test]
    fn a_hang_up_is_reported_as_readable() {
        for mut poller in pollers() {
            let (near, far) = UnixStream::pair().unwrap();
            poller.add(&near, token(0), Interest::Read).unwrap();
            drop(far);
            assert_eq!(poller.wait(1_000_000_000).unwrap(), 1);
            assert!(poller.ready(0).readable);
        }
    }

    #[test]
    fn a_closed_descriptor_leaves_the_set() {
        for mut poller in pollers() {
            let (near, far) = UnixStream::pair().unwrap();
            poller.add(&near, token(0), Interest::Read).unwrap();
            drop((near, far));
            assert_eq!(poller.wait(0).unwrap(), 0);
        }
    }

    #[test]
    fn a_wait_never_returns_before_its_timeout() {
        for mut poller in pollers() {
            let before = Instant::now();
            assert_eq!(poller.wait(300_000).unwrap(), 0);
            assert!(before.elapsed() >= Duration::from_micros(300));
        }
    }
}
