//! An echo server in one thread of this process, on a free port, and measurements of it. It shares
//! nothing with the engine that loads it, and makes one mistake on request.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::cli::{self, Command, Invocation};
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::measure::{self, Loader, Measurement};
use crate::options::Options;

/// Time between two checks whether the server must end.
const LOOK_UP_MS: u16 = 20;

/// Most bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// Most connections reported by one wait.
const EVENTS: usize = 256;

/// The server's reaction to the bytes it receives. Byte numbers count all connections together,
/// from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Sends every byte back at once.
    Faithful,
    /// Sends nothing for this long before this byte, on any connection.
    Stall { at_byte: u64, length: Duration },
    /// Sends this byte with its lowest bit inverted.
    Flip { at_byte: u64 },
    /// Leaves out this byte.
    Swallow { at_byte: u64 },
    /// Sends an extra byte before this one.
    Insert { at_byte: u64 },
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Echo {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Echo {
    /// Starts a server.
    pub(super) fn start(behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let ending = Arc::new(AtomicBool::new(false));
        let thread_ending = Arc::clone(&ending);
        let server = EchoThread::new(listener, behaviour)?;
        let thread = thread::Builder::new()
            .name("echo".to_owned())
            .spawn(move || server.serve(&thread_ending))?;
        Ok(Self { address, ending, thread: Some(thread) })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // An error of this thread has shown in the measurement.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The state of the thread.
struct EchoThread {
    poll: Epoll,
    listener: TcpListener,
    /// By the number of their descriptors.
    clients: BTreeMap<u64, TcpStream>,
    behaviour: Behaviour,
    /// Bytes received so far.
    bytes: u64,
}

impl EchoThread {
    fn new(listener: TcpListener, behaviour: Behaviour) -> io::Result<Self> {
        let poll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        poll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, key(&listener)))?;
        Ok(Self { poll, listener, clients: BTreeMap::new(), behaviour, bytes: 0 })
    }

    fn serve(mut self, ending: &AtomicBool) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let mut buffer = vec![0; READ_BYTES];
        while !ending.load(Ordering::Relaxed) {
            let count = match self.poll.wait(&mut events, LOOK_UP_MS) {
                Err(Errno::EINTR) => continue,
                waited => waited?,
            };
            for event in &events[..count] {
                if event.data() == key(&self.listener) {
                    self.accept()?;
                } else if !self.answer(event.data(), &mut buffer) {
                    // Closing takes it out of the poll.
                    self.clients.remove(&event.data());
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        let (client, _) = self.listener.accept()?;
        client.set_nodelay(true)?;
        self.poll.add(&client, EpollEvent::new(EpollFlags::EPOLLIN, key(&client)))?;
        self.clients.insert(key(&client), client);
        Ok(())
    }

    /// Answers what one read gives; whether the client stays.
    fn answer(&mut self, client: u64, buffer: &mut [u8]) -> bool {
        let Some(mut client) = self.clients.get(&client) else { return false };
        let Ok(count @ 1..) = client.read(buffer) else { return false };
        let first = self.bytes;
        self.bytes += count as u64;
        let bytes = &mut buffer[..count];
        let place = |at_byte: u64| {
            let place = at_byte.checked_sub(first).and_then(|place| usize::try_from(place).ok());
            place.filter(|&place| place < count)
        };
        let (head, rest) = match self.behaviour {
            Behaviour::Faithful => (&*bytes, &[][..]),
            Behaviour::Stall { at_byte, length } => {
                if place(at_byte).is_some() {
                    thread::sleep(length);
                }
                (&*bytes, &[][..])
            }
            Behaviour::Flip { at_byte } => {
                if let Some(place) = place(at_byte) {
                    bytes[place] ^= 1;
                }
                (&*bytes, &[][..])
            }
            Behaviour::Swallow { at_byte } => match place(at_byte) {
                Some(place) => (&bytes[..place], &bytes[place + 1..]),
                None => (&*bytes, &[][..]),
            },
            Behaviour::Insert { at_byte } => match place(at_byte) {
                Some(place) => (&bytes[..=place], &bytes[place..]),
                None => (&*bytes, &[][..]),
            },
        };
        client.write_all(head).and_then(|()| client.write_all(rest)).is_ok()
    }
}

fn key(socket: &impl AsRawFd) -> u64 {
    socket.as_raw_fd().unsigned_abs().into()
}

/// Measures an echo that behaves like this, as `loadgen run` with these flags would.
pub(super) fn measure(
    behaviour: Behaviour,
    flags: &str,
    interrupt: &Interrupt,
) -> Result<Measurement, Error> {
    let echo = Echo::start(behaviour).map_err(Error::Start)?;
    let address = echo.address().to_string();
    let words = ["loadgen", "run", "--quiet", &address].into_iter();
    let Invocation::Do(Command::Run(args)) = cli::parse(words.chain(flags.split_whitespace()))?
    else {
        return Err(Error::Usage(format!("'{flags}' are no flags of a run")));
    };
    // The environment may name a calibration, which has not been written yet.
    let options = Options { calibration: None, ..Options::try_from(*args)? };
    let measured = measure::measure(&options, &mut Loader::default(), interrupt, &mut ())?;
    let measurement = measured.measurement;
    if measurement.record.interrupted { Err(Error::Interrupted) } else { Ok(measurement) }
}

/// The exit code for checks that passed or failed.
pub(super) fn exit_code(passed: bool) -> u8 {
    if passed { exit::OK } else { exit::FAILED }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back for "abcdef", sent in two parts, and then the end of the stream.
    fn answer(behaviour: Behaviour) -> String {
        let echo = Echo::start(behaviour).unwrap();
        let mut client = TcpStream::connect(echo.address()).unwrap();
        client.write_all(b"abc").unwrap();
        let mut answer = vec![0];
        client.read_exact(&mut answer).unwrap();
        client.write_all(b"def").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        client.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn it_answers_as_requested() {
        assert_eq!(answer(Behaviour::Faithful), "abcdef");
        assert_eq!(answer(Behaviour::Flip { at_byte: 4 }), "abcddf");
        assert_eq!(answer(Behaviour::Swallow { at_byte: 4 }), "abcdf");
        assert_eq!(answer(Behaviour::Insert { at_byte: 4 }), "abcdeef");
        assert_eq!(answer(Behaviour::Insert { at_byte: 9 }), "abcdef");
    }

    #[test]
    fn it_stalls_before_the_requested_byte() {
        let length = Duration::from_millis(30);
        let begun = std::time::Instant::now();
        assert_eq!(answer(Behaviour::Stall { at_byte: 1, length }), "abcdef");
        assert!(begun.elapsed() >= length);
    }
}
