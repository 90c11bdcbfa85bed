//! Clients that connect over and over while something happens to the server.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls_pki_types::CertificateDer;

use crate::clients::{Client, Version};
use crate::common::{MS, eventually};
use crate::files::Authority;

/// Clients of both versions, with and without resumption, each on a thread of its own.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    served: AtomicUsize,
    failures: Mutex<Vec<String>>,
    /// How long a client may be silent without losing its connection.
    silence_max: Option<Duration>,
    /// Connections that ended because their client was silent for longer.
    too_late: AtomicUsize,
    /// The certificates that the server may have, in their order.
    issued: Mutex<Vec<CertificateDer<'static>>>,
}

impl Load {
    pub(crate) fn start(authority: &Authority, address: SocketAddr) -> Self {
        Self::with(authority, address, Shared::default())
    }

    /// The same while a server drains, which ends connections that are silent for 50 ms: a client
    /// that had no core for so long may lose its connection, before anything is echoed.
    pub(crate) fn start_with_drains(authority: &Authority, address: SocketAddr) -> Self {
        Self::with(authority, address, Shared { silence_max: Some(50 * MS), ..Shared::default() })
    }

    fn with(authority: &Authority, address: SocketAddr, shared: Shared) -> Self {
        let shared = Arc::new(shared);
        let versions = [Version::Tls12, Version::Tls13];
        let clients = versions.into_iter().flat_map(|version| {
            [Client::new(authority, version), Client::resuming(authority, version)]
        });
        let start = |client: Client| {
            let shared = shared.clone();
            thread::spawn(move || shared.run(&client, address))
        };
        let clients = clients.map(start).collect();
        Self { shared, clients }
    }

    /// From now on the server may have this certificate, too.
    pub(crate) fn expect(&self, certificate: &CertificateDer<'static>) {
        self.shared.issued.lock().unwrap().push(certificate.clone());
    }

    /// Waits until so many more connections were served.
    pub(crate) fn wait_for(&self, count: usize) {
        let before = self.served();
        eventually("more connections", || {
            self.served() >= before + count || !self.shared.failures.lock().unwrap().is_empty()
        });
    }

    fn served(&self) -> usize {
        self.shared.served.load(Ordering::Relaxed)
    }

    /// Ends the load, of which nothing may have failed. Returns how many connections were served.
    pub(crate) fn stop(mut self) -> usize {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.clients.drain(..).for_each(|client| client.join().unwrap());
        let failures = self.shared.failures.lock().unwrap();
        let served = self.served();
        assert!(failures.is_empty(), "{} failed, {served} served: {failures:?}", failures.len());
        let too_late = self.shared.too_late.load(Ordering::Relaxed);
        assert!(too_late * 20 <= served, "{too_late} of {served} were too late");
        served
    }
}

/// Also ends the clients of a test that fails.
impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn run(&self, client: &Client, address: SocketAddr) {
        let mut newest = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            match client.exchange(address) {
                Ok(certificate) => {
                    let issued = self.issued.lock().unwrap();
                    match issued.iter().position(|one| *one == certificate) {
                        // While one takes effect, or one server succeeds another, both are served.
                        Some(index) if index + 1 >= newest => newest = newest.max(index),
                        index => self.fail(format!("certificate {index:?} after {newest}")),
                    }
                    self.served.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if self.is_too_late(&error, start.elapsed()) => {
                    self.too_late.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => self.fail(error.to_string()),
            }
            // A higher rate would only use up the machine and its ports.
            thread::sleep(MS);
        }
    }

    /// Whether a connection ended because its client was silent for too long.
    fn is_too_late(&self, error: &io::Error, took: Duration) -> bool {
        let ends = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        self.silence_max.is_some_and(|max| took > max) && ends.contains(&error.kind())
    }

    fn fail(&self, failure: String) {
        self.failures.lock().unwrap().push(failure);
    }
}
