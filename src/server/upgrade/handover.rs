//! Whether another process has the listening sockets: decided once, before the server drains.

use std::time::Duration;

use super::UpgradeSocket;
use super::offer::Offer;
use crate::server::error::Result;
use crate::server::failure::Failures;
use crate::server::listener::Listener;

/// Who serves the kernel's backlog when this server ends.
///
/// The offer's thread decides it, whatever leads to the end at that moment: a signal, the admin, or
/// the successor. Until [`decide`](Self::decide) returns, nothing is done to a listening socket.
#[derive(Debug)]
pub(in crate::server) enum Handover {
    /// No successor can ask for the sockets. Holds duplicates of them.
    NotOffered(Vec<Listener>),
    /// A successor may ask for them.
    Offered(Offer),
    /// The process id of the successor that has them, if any.
    Decided(Option<u32>),
}

impl Handover {
    /// A server's start: duplicates the sockets.
    ///
    /// # Errors
    ///
    /// [`Error::Os`](crate::server::Error::Os) if there is no descriptor left.
    pub(in crate::server) fn of(listeners: &[Listener]) -> Result<Self> {
        let duplicates = listeners.iter().map(Listener::duplicate);
        duplicates.collect::<Result<_>>().map(Self::NotOffered)
    }

    /// Offers the sockets at the upgrade socket. `taken_over` is called with the process id of the
    /// successor that has them.
    ///
    /// # Errors
    ///
    /// As [`Offer::start`].
    pub(in crate::server) fn offer(
        &mut self,
        socket: UpgradeSocket,
        taken_over: Box<dyn FnOnce(u32) + Send>,
        failures: &Failures,
    ) -> Result<()> {
        match std::mem::replace(self, Self::Decided(None)) {
            Self::NotOffered(listeners) => {
                *self = Self::Offered(Offer::start(socket, listeners, taken_over, failures)?);
            }
            other => *self = other,
        }
        Ok(())
    }

    /// Ends the offer after `delay`, or at once if a successor has the sockets. One that has
    /// received them, and is not ready, gets the rest of its ten seconds. Returns the process id of
    /// the successor. From then on this process has no duplicates: they would keep the kernel
    /// queueing connections that no process accepts.
    pub(in crate::server) fn decide(&mut self, delay: Duration) -> Option<u32> {
        let successor = match std::mem::replace(self, Self::Decided(None)) {
            Self::NotOffered(_) => {
                std::thread::sleep(delay);
                None
            }
            Self::Offered(offer) => offer.end_after(delay),
            Self::Decided(successor) => successor,
        };
        *self = Self::Decided(successor);
        successor
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};
    use std::sync::{Barrier, mpsc};
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::server::ServerConfig;
    use crate::server::listener::{self, ListenAddress};
    use crate::server::upgrade::{TakeOver, take_over};

    /// Longer than any test.
    const LONG: Duration = Duration::from_secs(60);

    /// A server that offers a unix socket.
    struct Offering {
        folder: tempfile::TempDir,
        listeners: Vec<Listener>,
        handover: Handover,
        taken: mpsc::Receiver<u32>,
    }

    impl Offering {
        fn start() -> Self {
            let folder = test_needs::folder();
            let listen = vec![ListenAddress::Unix(folder.path().join("web")).into()];
            let config = ServerConfig { listen, ..ServerConfig::default() };
            let listeners = listener::open(&config).unwrap();
            let mut handover = Handover::of(&listeners).unwrap();
            let (sender, taken) = mpsc::channel();
            let socket = UpgradeSocket::open(&folder.path().join("upgrade")).unwrap();
            let notify = Box::new(move |process| sender.send(process).unwrap());
            handover.offer(socket, notify, &Failures::none()).unwrap();
            Self { folder, listeners, handover, taken }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("upgrade")
        }

        /// The decision of this server and the answer to the successor must be the same, and so
        /// must the owner of the socket's file and the call of `taken_over`.
        #[track_caller]
        fn assert_agree(mut self, decided: Option<u32>, successor: Option<Vec<Listener>>) {
            assert_eq!(decided.is_some(), successor.is_some(), "decided: {decided:?}");
            assert_eq!(self.handover.decide(LONG), decided, "it stays decided");
            assert_eq!(self.taken.try_recv().ok(), decided);
            self.listeners.clear();
            drop(self.handover);
            let web = self.folder.path().join("web");
            assert_eq!(web.exists(), successor.is_some(), "the file is that of who has the socket");
            drop(successor);
            assert!(!web.exists());
        }
    }

    /// The successor's answer, with what it listens on if it has the sockets.
    fn ready(listeners: Vec<Listener>, taken: TakeOver) -> Option<(Vec<Listener>, UpgradeSocket)> {
        taken.ready().ok().map(|upgrade| (listeners, upgrade))
    }

    #[test]
    fn a_server_that_ends_before_a_successor_asks_keeps_its_sockets() {
        let mut old = Offering::start();
        let decided = old.handover.decide(Duration::ZERO);
        assert!(take_over(&old.path()).is_err());
        old.assert_agree(decided, None);
    }

    /// Whether an offer refuses a second successor, and so has not been asked to end.
    fn answers_at_once(path: &Path) -> bool {
        let Ok(mut second) = UnixStream::connect(path) else { return false };
        second.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        second.read(&mut [0]).is_ok_and(|count| count > 0)
    }

    #[test]
    fn a_server_that_ends_before_its_successor_is_ready_waits_for_it() {
        for is_ready in [true, false] {
            let mut old = Offering::start();
            let path = old.path();
            let (listeners, taken) = take_over(&path).unwrap();
            let (decided, successor) = thread::scope(|scope| {
                let decided = scope.spawn(|| old.handover.decide(Duration::ZERO));
                while answers_at_once(&path) {
                    thread::yield_now();
                }
                let taken = is_ready.then_some(taken);
                let successor = taken.map(|taken| ready(listeners, taken).expect("it is awaited"));
                (decided.join().unwrap(), successor)
            });
            assert_eq!(decided.is_some(), is_ready);
            old.assert_agree(decided, successor.map(|(listeners, _)| listeners));
        }
    }

    #[test]
    fn a_server_that_ends_after_its_successor_is_ready_knows_that_it_was_succeeded() {
        let mut old = Offering::start();
        let (listeners, taken) = take_over(&old.path()).unwrap();
        let successor = ready(listeners, taken).expect("it has them");
        let decided = old.handover.decide(Duration::ZERO);
        assert_eq!(decided, Some(std::process::id()));
        old.assert_agree(decided, Some(successor.0));
    }

    #[test]
    fn a_server_can_be_succeeded_during_its_drain_delay() {
        let mut old = Offering::start();
        let path = old.path();
        thread::scope(|scope| {
            let successor = scope.spawn(move || {
                let (listeners, taken) = take_over(&path).unwrap();
                ready(listeners, taken).map(|(listeners, _)| listeners)
            });
            let decided = old.handover.decide(LONG);
            old.assert_agree(decided, successor.join().unwrap());
        });
    }

    #[test]
    fn a_successor_that_gives_up_after_it_was_ready_knows_whether_it_has_the_sockets() {
        for is_late in [false, true] {
            let mut old = Offering::start();
            let (listeners, taken) = take_over(&old.path()).unwrap();
            let abort = taken.abort_handle().unwrap();
            if !is_late {
                abort.abort();
            }
            let successor = ready(listeners, taken);
            abort.abort();
            assert_eq!(successor.is_some(), is_late);
            let decided = old.handover.decide(Duration::ZERO);
            old.assert_agree(decided, successor.map(|(listeners, _)| listeners));
        }
    }

    fn spin(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn whatever_happens_at_the_same_moment_both_servers_agree() {
        let (mut given, mut kept) = (0, 0);
        for round in 0..400_u64 {
            let mut old = Offering::start();
            let (listeners, taken) = take_over(&old.path()).unwrap();
            let abort = taken.abort_handle().unwrap();
            let together = Barrier::new(3);
            let wait = |part: u64| {
                together.wait();
                spin(Duration::from_micros((round * 7 + part * 13) % 60 * 2));
            };
            let (decided, successor) = thread::scope(|scope| {
                let successor = scope.spawn(|| {
                    wait(0);
                    ready(listeners, taken)
                });
                scope.spawn(|| {
                    wait(1);
                    if round % 3 == 0 {
                        abort.abort();
                    }
                });
                wait(2);
                let decided = old.handover.decide(Duration::ZERO);
                (decided, successor.join().unwrap())
            });
            *(if decided.is_some() { &mut given } else { &mut kept }) += 1;
            old.assert_agree(decided, successor.map(|(listeners, _)| listeners));
        }
        println!("{given} times handed over, {kept} times not");
    }
}
