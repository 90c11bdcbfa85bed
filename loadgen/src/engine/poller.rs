//! Readiness: one epoll set with a nanosecond timeout.
//!
//! It knows descriptors and tokens, not connections. Level-triggered: what one wake-up leaves
//! unread comes back with the next, which is what lets callers bound their work per wake-up.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::network::{Interest, Ready, Token};

/// Events taken from the kernel at once; the rest comes with the next wait.
const EVENTS_PER_WAIT_MAX: usize = 512;

/// One thread's epoll set and the events of its latest wait.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// Opens an empty set. Waiting on it takes Linux 5.11.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_PER_WAIT_MAX),
        })
    }

    /// Watches `source`; its events carry `token`. Closing the descriptor removes it.
    pub(crate) fn add(
        &self,
        source: impl AsFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let data = EventData::new_u64(packed(token));
        Ok(epoll::add(&self.epoll, source, data, flags(interest))?)
    }

    /// Changes what `source` waits for.
    pub(crate) fn modify(
        &self,
        source: impl AsFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let data = EventData::new_u64(packed(token));
        Ok(epoll::modify(&self.epoll, source, data, flags(interest))?)
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
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(count) => Ok(count),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
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
    u64::from(token.generation) << 32 | u64::from(token.lane)
}

fn unpacked(data: u64) -> Token {
    Token { lane: data as u32, generation: (data >> 32) as u32 }
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

    fn token(lane: u32) -> Token {
        Token { lane, generation: u32::MAX }
    }

    #[test]
    fn readiness_carries_the_token_and_follows_the_interest() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
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

    #[test]
    fn a_hang_up_is_reported_as_readable() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&near, token(0), Interest::Read).unwrap();
        drop(far);
        assert_eq!(poller.wait(1_000_000_000).unwrap(), 1);
        assert!(poller.ready(0).readable);
    }

    #[test]
    fn a_closed_descriptor_leaves_the_set() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&near, token(0), Interest::Read).unwrap();
        drop((near, far));
        assert_eq!(poller.wait(0).unwrap(), 0);
    }

    #[test]
    fn a_wait_never_returns_before_its_timeout() {
        let mut poller = Poller::new().unwrap();
        let before = Instant::now();
        assert_eq!(poller.wait(300_000).unwrap(), 0);
        assert!(before.elapsed() >= Duration::from_micros(300));
    }
}
