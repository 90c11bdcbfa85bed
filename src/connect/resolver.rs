//! Looks host names up on threads of its own, so that an event loop never waits for a name server.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::error::ConnectError;
use super::lookup_queue::{LookupQueue, Refused};
use crate::sync::{Mutex, thread};

/// `getaddrinfo(3)` blocks for many seconds if name servers do not answer. Four threads bound what
/// that costs, and one slow name does not delay the others.
const THREADS_MAX: usize = 4;
/// Names that may wait. More would wait longer than a caller does.
const QUEUED_MAX: usize = 1_024;

type Addresses = io::Result<Vec<SocketAddr>>;
type Reply = Box<dyn FnOnce(Addresses) + Send>;
type LookUp = dyn Fn(&str, u16) -> Addresses + Send + Sync;

/// Looks host names up.
///
/// Each lookup that is accepted gets one reply, unless its [`Lookup`] is dropped before. Threads
/// start when they are needed, and end when the resolver is dropped. That does not wait for them:
/// one may be in a call that takes long, and ends after it.
pub(crate) struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    queue: LookupQueue<Job>,
    look_up: Box<LookUp>,
}

/// A lookup that was accepted; dropping it cancels it.
///
/// Its reply is then dropped, not called, unless another thread is calling it already: a reply
/// must not assume that what it is for still exists.
#[must_use = "dropping it cancels the lookup"]
pub(crate) struct Lookup {
    reply: Arc<PendingReply>,
}

struct Job {
    host: String,
    port: u16,
    reply: Arc<PendingReply>,
}

/// A reply until it is called or cancelled: the one who takes it decides which.
struct PendingReply(Mutex<Option<Reply>>);

impl Resolver {
    /// A resolver that asks the system: `/etc/hosts`, name servers and what else
    /// `nsswitch.conf(5)` names.
    pub(crate) fn new() -> Self {
        let system = |host: &str, port| (host, port).to_socket_addrs().map(Iterator::collect);
        Self::with(THREADS_MAX, QUEUED_MAX, system)
    }

    fn with(
        threads_max: usize,
        queued_max: usize,
        look_up: impl Fn(&str, u16) -> Addresses + Send + Sync + 'static,
    ) -> Self {
        let queue = LookupQueue::new(queued_max, threads_max);
        Self { shared: Arc::new(Shared { queue, look_up: Box::new(look_up) }) }
    }

    /// Looks a host name up, or parses an address. Calls `reply` on a thread of the resolver, or,
    /// with an error, on the thread that drops the resolver before the lookup began. A reply that
    /// panics ends no thread.
    ///
    /// # Errors
    ///
    /// [`ConnectError::TooManyLookups`] and [`ConnectError::Thread`]; `reply` is then dropped.
    pub(crate) fn look_up(
        &self,
        host: &str,
        port: u16,
        reply: impl FnOnce(Addresses) + Send + 'static,
    ) -> Result<Lookup, ConnectError> {
        let reply = Arc::new(PendingReply(Mutex::new(Some(Box::new(reply)))));
        let job = Job { host: host.to_owned(), port, reply: reply.clone() };
        let start = || {
            let shared = self.shared.clone();
            let thread = thread::Builder::new().name("evshard-resolver".to_owned());
            thread.spawn(move || shared.run()).map(drop)
        };
        let host = || host.to_owned();
        match self.shared.queue.push(job, |job| job.reply.is_taken(), start) {
            Ok(()) => Ok(Lookup { reply }),
            Err(Refused::Full(waiting)) => {
                Err(ConnectError::TooManyLookups { host: host(), waiting })
            }
            Err(Refused::NoThread(source)) => Err(ConnectError::Thread { host: host(), source }),
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        for job in self.shared.queue.close() {
            let message = format!("the resolver was dropped before it looked up {}", job.host);
            job.reply.call(Err(io::Error::other(message)));
        }
    }
}

impl Shared {
    /// The life of a thread.
    fn run(&self) {
        while let Some(job) = self.queue.next() {
            if job.reply.is_taken() {
                continue;
            }
            let look_up = AssertUnwindSafe(|| (self.look_up)(&job.host, job.port));
            let addresses = catch_unwind(look_up)
                .unwrap_or_else(|_| Err(io::Error::other("the function that looks up panicked")));
            job.reply.call(addresses);
        }
    }
}

impl PendingReply {
    /// Takes it out. The caller calls or drops it without the lock.
    fn take(&self) -> Option<Reply> {
        self.0.lock().take()
    }

    fn is_taken(&self) -> bool {
        self.0.lock().is_none()
    }

    /// Calls it, if it was not cancelled. The panic hook has reported a panic when it gets here.
    fn call(&self, addresses: Addresses) {
        if let Some(reply) = self.take() {
            let _ = catch_unwind(AssertUnwindSafe(|| reply(addresses)));
        }
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        drop(self.reply.take());
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("has_ended", &self.reply.is_taken()).finish()
    }
}

/// Models: R5, a lookup that is cancelled while its thread has it; R6, a resolver that is dropped
/// while its threads look up; R7, a mutation. The queue has R1 to R4.
#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn model(run: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(run);
    }

    fn resolver() -> Resolver {
        Resolver::with(1, 8, |_, _| Ok(Vec::new()))
    }

    /// A reply that counts its calls, and its drops in the upper half.
    fn counted(counts: &Arc<AtomicU32>) -> impl FnOnce(Addresses) + Send + 'static {
        struct Dropped(Arc<AtomicU32>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.fetch_add(1 << 16, Ordering::AcqRel);
            }
        }
        let counts = Dropped(counts.clone());
        move |_| {
            counts.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    #[test]
    fn loom_r5_a_lookup_that_is_cancelled_while_its_thread_has_it_is_called_once_or_dropped() {
        model(|| {
            let counts = Arc::new(AtomicU32::new(0));
            let resolver = resolver();
            let lookup = resolver.look_up("host", 1, counted(&counts)).unwrap();
            drop(lookup);
            drop(resolver);
            // A call that has begun may not have ended.
            assert!(matches!(counts.load(Ordering::Acquire), 0 | 1 | 0x1_0000 | 0x1_0001));
        });
    }

    #[test]
    fn loom_r6_a_resolver_that_is_dropped_answers_each_lookup_once() {
        model(|| {
            let counts = Arc::new(AtomicU32::new(0));
            let resolver = resolver();
            let look_up = || resolver.look_up("host", 1, counted(&counts)).unwrap();
            let lookups = [look_up(), look_up()];
            drop(resolver);
            while counts.load(Ordering::Acquire) != 0x2_0002 {
                loom::thread::yield_now();
            }
            drop(lookups);
        });
    }

    fn model_of_cancelling(take: fn(&PendingReply) -> Option<Reply>) {
        model(move || {
            let counts = Arc::new(AtomicU32::new(0));
            let pending = Arc::new(PendingReply(Mutex::new(Some(Box::new(counted(&counts))))));
            let of_thread = pending.clone();
            let caller = loom::thread::spawn(move || {
                if let Some(reply) = take(&of_thread) {
                    reply(Ok(Vec::new()));
                }
            });
            let cancelled = pending.take().is_some();
            caller.join().unwrap();
            let expected = if cancelled { 0x1_0000 } else { 0x1_0001 };
            assert_eq!(counts.load(Ordering::Acquire), expected);
        });
    }

    #[test]
    fn loom_r5_a_reply_is_either_called_or_cancelled() {
        model_of_cancelling(PendingReply::take);
    }

    /// Looks for the reply, and takes it under a second lock, when it may be cancelled.
    #[test]
    #[ignore = "must fail"]
    fn taking_a_reply_after_looking_for_it() {
        model_of_cancelling(|pending| match pending.is_taken() {
            true => None,
            false => Some(pending.take().expect("it was there")),
        });
    }

    #[test]
    fn loom_r7_catches_the_mutation() {
        let path = concat!(module_path!(), "::taking_a_reply_after_looking_for_it");
        crate::sync::must_fail(path);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{Duration, Instant};

    use super::*;

    /// A bound for what must not happen never.
    const LONG: Duration = Duration::from_secs(20);

    /// A resolver whose lookups report that they begin, wait for a permission each, and then
    /// return the port that they were asked for.
    struct Controlled {
        resolver: Option<Resolver>,
        begun: Receiver<String>,
        permit: Sender<()>,
        replies: Receiver<Addresses>,
        reply: Sender<Addresses>,
    }

    impl Controlled {
        fn new(threads_max: usize, queued_max: usize) -> Self {
            let (begin, begun) = channel();
            let (permit, permitted) = channel::<()>();
            let permitted = std::sync::Mutex::new(permitted);
            let (reply, replies) = channel();
            let look_up = move |host: &str, port| {
                begin.send(host.to_owned()).unwrap();
                // It goes on if the test has ended.
                let _ = permitted.lock().unwrap().recv();
                assert_ne!(host, "panic");
                Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
            };
            let resolver = Some(Resolver::with(threads_max, queued_max, look_up));
            Self { resolver, begun, permit, replies, reply }
        }

        fn look_up(&self, host: &str, port: u16) -> Result<Lookup, ConnectError> {
            let reply = self.reply.clone();
            let reply = move |addresses| reply.send(addresses).unwrap();
            self.resolver.as_ref().unwrap().look_up(host, port, reply)
        }

        fn expect_begun(&self, host: &str) {
            assert_eq!(self.begun.recv_timeout(LONG).unwrap(), host);
        }

        fn expect_port(&self, port: u16) {
            let addresses = self.replies.recv_timeout(LONG).unwrap().unwrap();
            assert_eq!(addresses, [SocketAddr::from(([127, 0, 0, 1], port))]);
        }

        fn counts(&self) -> (usize, usize, usize) {
            self.resolver.as_ref().unwrap().shared.queue.counts()
        }
    }

    fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
        let deadline = Instant::now() + LONG;
        while !is_true() {
            assert!(Instant::now() < deadline, "{what}");
            thread::yield_now();
        }
    }

    #[test]
    fn localhost_and_addresses_are_looked_up_by_the_system() {
        let resolver = Resolver::new();
        for (host, expected) in [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80")] {
            let (reply, replies) = channel();
            let _lookup =
                resolver.look_up(host, 80, move |result| reply.send(result).unwrap()).unwrap();
            let addresses = replies.recv_timeout(LONG).unwrap().unwrap();
            assert_eq!(addresses, [expected.parse().unwrap()]);
        }
        let (reply, replies) = channel();
        let _lookup =
            resolver.look_up("localhost", 7, move |result| reply.send(result).unwrap()).unwrap();
        let addresses = replies.recv_timeout(LONG).unwrap().unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()), "{addresses:?}");
    }

    #[test]
    fn a_name_that_cannot_be_one_is_an_error() {
        let (reply, replies) = channel();
        let resolver = Resolver::new();
        let _lookup =
            resolver.look_up("a\0b", 80, move |result| reply.send(result).unwrap()).unwrap();
        replies.recv_timeout(LONG).unwrap().unwrap_err();
    }

    #[test]
    fn a_thread_starts_only_if_all_others_are_busy_and_there_are_few() {
        let controlled = Controlled::new(2, 8);
        assert_eq!(controlled.counts(), (0, 0, 0));
        let mut lookups = Vec::new();
        for port in 0..3 {
            lookups.push(controlled.look_up("one", port).unwrap());
            controlled.expect_begun("one");
            controlled.permit.send(()).unwrap();
            controlled.expect_port(port);
            wait_until("the thread waits", || controlled.counts() == (0, 1, 1));
        }
        for port in 0..4 {
            lookups.push(controlled.look_up("many", port).unwrap());
        }
        controlled.expect_begun("many");
        controlled.expect_begun("many");
        assert_eq!(controlled.counts(), (2, 2, 0));
        for _ in 0..4 {
            controlled.permit.send(()).unwrap();
            controlled.replies.recv_timeout(LONG).unwrap().unwrap();
        }
    }

    #[test]
    fn a_cancelled_lookup_does_not_begin_and_one_that_has_begun_gets_no_reply() {
        let controlled = Controlled::new(1, 8);
        let running = controlled.look_up("running", 1).unwrap();
        controlled.expect_begun("running");
        let waiting = controlled.look_up("waiting", 2).unwrap();
        let _last = controlled.look_up("last", 3).unwrap();
        drop((running, waiting));
        controlled.permit.send(()).unwrap();
        controlled.expect_begun("last");
        controlled.permit.send(()).unwrap();
        controlled.expect_port(3);
        assert!(controlled.replies.try_recv().is_err());
    }

    #[test]
    fn a_full_queue_refuses_but_cancelled_lookups_do_not_fill_it() {
        let controlled = Controlled::new(1, 2);
        let _running = controlled.look_up("running", 1).unwrap();
        controlled.expect_begun("running");
        let cancelled = controlled.look_up("cancelled", 2).unwrap();
        let _waiting = controlled.look_up("waiting", 3).unwrap();
        let error = controlled.look_up("refused", 4).unwrap_err();
        assert!(matches!(error, ConnectError::TooManyLookups { waiting: 2, .. }), "{error}");
        drop(cancelled);
        let _accepted = controlled.look_up("accepted", 5).unwrap();
        for _ in 0..3 {
            controlled.permit.send(()).unwrap();
        }
        for port in [1, 3, 5] {
            controlled.expect_port(port);
        }
    }

    #[test]
    fn a_reply_or_a_lookup_that_panics_ends_no_thread() {
        let controlled = Controlled::new(1, 8);
        let resolver = controlled.resolver.as_ref().unwrap();
        let _first = resolver.look_up("first", 1, |_| panic!("a reply that panics")).unwrap();
        let _second = controlled.look_up("panic", 2).unwrap();
        let _third = controlled.look_up("third", 3).unwrap();
        for _ in 0..3 {
            controlled.permit.send(()).unwrap();
        }
        let error = controlled.replies.recv_timeout(LONG).unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the function that looks up panicked");
        controlled.expect_port(3);
        assert_eq!(controlled.counts().1, 1);
    }

    #[test]
    fn dropping_the_resolver_waits_for_no_lookup_and_answers_those_that_did_not_begin() {
        let mut controlled = Controlled::new(1, 8);
        let _hangs = controlled.look_up("hangs", 1).unwrap();
        controlled.expect_begun("hangs");
        let _waiting = controlled.look_up("waiting", 2).unwrap();
        let shared = controlled.resolver.as_ref().unwrap().shared.clone();
        drop(controlled.resolver.take());
        let error = controlled.replies.try_recv().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the resolver was dropped before it looked up waiting");
        assert_eq!(Arc::strong_count(&shared), 2, "the thread runs");
        controlled.permit.send(()).unwrap();
        controlled.expect_port(1);
        wait_until("the thread ends", || Arc::strong_count(&shared) == 1);
    }

    #[test]
    fn dropping_the_resolver_ends_idle_threads() {
        let mut controlled = Controlled::new(4, 8);
        let lookups: Vec<Lookup> =
            (0..4).map(|port| controlled.look_up("host", port).unwrap()).collect();
        for _ in &lookups {
            controlled.expect_begun("host");
        }
        for _ in &lookups {
            controlled.permit.send(()).unwrap();
        }
        wait_until("all threads wait", || controlled.counts() == (0, 4, 4));
        let shared = controlled.resolver.as_ref().unwrap().shared.clone();
        drop(controlled.resolver.take());
        wait_until("all threads end", || Arc::strong_count(&shared) == 1);
    }

    #[test]
    fn a_reply_may_look_up_another_name_and_drop_lookups() {
        let resolver = Arc::new(Resolver::with(1, 8, |_, port| {
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        }));
        let (reply, replies) = channel();
        let of_reply = resolver.clone();
        let _first = resolver.look_up("first", 1, move |_| {
            let second = of_reply.look_up("second", 2, |_| ()).unwrap();
            drop(second);
            reply.send(of_reply.look_up("third", 3, |_| ()).unwrap()).unwrap();
        });
        drop(replies.recv_timeout(LONG).unwrap());
    }
}
