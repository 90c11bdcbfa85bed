//! TLS in the simulated world: what its handshakes do to requests, and which of them resume.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use super::simulation::{SimulatedReply, SimulatedServer, Simulation};
use super::{MS, simulate, try_to_simulate};
use crate::latency::Distribution;

/// The type of a record of the handshake in plain text, and of the message that begins one.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// Which handshakes were full ones and which resumed, in their order.
type Kinds = Arc<Mutex<Vec<HandshakeKind>>>;

/// Echoes over TLS. It has one connection at a time.
struct TlsEcho {
    config: Arc<ServerConfig>,
    connection: Option<ServerConnection>,
    /// How long its answer to each part of a handshake takes, and its reply to a request.
    handshake_ns: u64,
    reply_ns: u64,
    kinds: Kinds,
    /// Whether its answers come a byte at a time.
    in_bytes: bool,
    /// Whether it ends each stream with the last bytes of the handshake.
    ends_at_once: bool,
}

impl TlsEcho {
    fn new(handshake_ns: u64, reply_ns: u64) -> Self {
        Self::of(rustls::ALL_VERSIONS, handshake_ns, reply_ns)
    }

    fn of(
        versions: &[&'static rustls::SupportedProtocolVersion],
        handshake_ns: u64,
        reply_ns: u64,
    ) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap();
        let mut config = builder
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.ticketer = ring::Ticketer::new().unwrap();
        Self {
            config: Arc::new(config),
            connection: None,
            handshake_ns,
            reply_ns,
            kinds: Kinds::default(),
            in_bytes: false,
            ends_at_once: false,
        }
    }
}

impl SimulatedServer for TlsEcho {
    fn received(&mut self, now_ns: u64, mut bytes: &[u8]) -> Vec<SimulatedReply> {
        if (bytes[0], bytes[5]) == (HANDSHAKE, CLIENT_HELLO) {
            self.connection = Some(ServerConnection::new(Arc::clone(&self.config)).unwrap());
        }
        let connection = self.connection.as_mut().unwrap();
        let was_handshaking = connection.is_handshaking();
        while !bytes.is_empty() {
            connection.read_tls(&mut bytes).unwrap();
            let state = connection.process_new_packets().unwrap();
            let mut plaintext = vec![0; state.plaintext_bytes_to_read()];
            connection.reader().read_exact(&mut plaintext).unwrap();
            connection.writer().write_all(&plaintext).unwrap();
        }
        if was_handshaking && !connection.is_handshaking() {
            self.kinds.lock().unwrap().push(connection.handshake_kind().unwrap());
            if self.ends_at_once {
                connection.send_close_notify();
            }
        }
        let mut answer = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut answer).unwrap();
        }
        let at_ns = now_ns + if was_handshaking { self.handshake_ns } else { self.reply_ns };
        let pieces = if self.in_bytes { 1 } else { answer.len().max(1) };
        answer
            .chunks(pieces)
            .map(|bytes| SimulatedReply::Bytes { at_ns, bytes: bytes.to_vec() })
            .collect()
    }
}

const INSECURE: &str = "--tls --tls-insecure -c 1 --warmup 0s";

#[test]
fn requests_that_are_due_during_a_handshake_are_late_and_the_connection_is_why() {
    let world = Simulation::new(TlsEcho::new(30 * MS, 0)).shaking_hands_for(5 * MS);
    let flags = "--rate 1000 --arrival constant --duration 1s --churn 100 --pipeline 100";
    let found = simulate(&format!("{INSECURE} {flags}"), world);
    let counters = &found.recorded.counters;
    assert_eq!((counters.completed, counters.unsent, counters.failed), (1_000, 0, 0));
    let of = |distribution: Distribution| &found.latencies[distribution];
    // The connect and the handshake are apart, and of each stream.
    assert_eq!(of(Distribution::Connect).count(), counters.connects);
    assert_eq!(of(Distribution::Handshake).count(), counters.connects);
    assert_eq!(of(Distribution::Connect).max_ns(), Some(5 * MS));
    let handshake = of(Distribution::Handshake);
    assert_eq!((handshake.min_ns(), handshake.max_ns()), (Some(30 * MS), Some(30 * MS)));
    // The first request after a loss waits for both; the loader itself delays none.
    let late_ns = of(Distribution::Lateness).max_ns().unwrap();
    assert!((34 * MS..=35 * MS).contains(&late_ns), "{late_ns}");
    assert_eq!(of(Distribution::LoaderLate).max_ns(), Some(0));
}

#[test]
fn the_handshake_is_a_part_of_a_request_that_has_a_connection_of_its_own() {
    let world = Simulation::new(TlsEcho::new(7 * MS, MS)).shaking_hands_for(2 * MS);
    let found = simulate(&format!("{INSECURE} --connect-per-request --duration 1s"), world);
    let service = &found.latencies[Distribution::Service];
    assert!(service.count() > 60, "{}", service.count());
    // The connect, the server's part of the handshake, and its tickets, which come first.
    assert_eq!(service.min_ns(), Some((2 + 7 + 7) * MS));
}

#[test]
fn records_in_single_bytes_are_put_together() {
    let mut server = TlsEcho::new(MS, MS);
    server.in_bytes = true;
    let found = simulate(&format!("{INSECURE} --size 500 --duration 1s"), Simulation::new(server));
    let counters = &found.recorded.counters;
    assert!(counters.completed > 400 && !counters.has_errors(), "{counters:?}");
}

/// Which connects of a run resumed, as the server saw it.
#[track_caller]
fn resumed(flags: &str) -> Vec<bool> {
    let server = TlsEcho::new(MS, MS);
    let kinds = Arc::clone(&server.kinds);
    let flags = format!("{INSECURE} --connect-per-request --duration 2s {flags}");
    let found = simulate(&flags, Simulation::new(server));
    let resumed: Vec<bool> =
        kinds.lock().unwrap().iter().map(|kind| *kind == HandshakeKind::Resumed).collect();
    let count = resumed.iter().filter(|is_resumed| **is_resumed).count() as u64;
    assert_eq!(found.recorded.tls.resumed_handshakes, count);
    assert_eq!(found.recorded.tls.full_handshakes, resumed.len() as u64 - count);
    resumed
}

#[test]
fn a_share_of_the_connects_resumes_and_the_seed_alone_says_which() {
    let half = resumed("--tls-resumption 0.5 --seed 7");
    assert!(half.len() > 400, "{}", half.len());
    assert_eq!(half, resumed("--tls-resumption 0.5 --seed 7"));
    assert_ne!(half, resumed("--tls-resumption 0.5 --seed 8"));
    let share = |resumed: &[bool]| {
        resumed.iter().filter(|is_resumed| **is_resumed).count() as f64 / resumed.len() as f64
    };
    assert!((0.42..0.58).contains(&share(&half)), "{}", share(&half));
    assert!((0.04..0.17).contains(&share(&resumed("--tls-resumption 0.1"))));
    let on = resumed("");
    assert_eq!((on[0], on[1..].iter().all(|is_resumed| *is_resumed)), (false, true));
    assert!(!resumed("--tls-resumption off").contains(&true));
}

#[test]
fn a_handshake_that_takes_longer_than_the_timeout_has_failed() {
    let world = || Simulation::new(TlsEcho::new(500 * MS, MS));
    let flags = format!("{INSECURE} --duration 1s --timeout 50ms");
    let error = try_to_simulate(&flags, world()).err().unwrap().to_string();
    assert!(error.contains("TLS handshake with 127.0.0.1:5555: no answer within"), "{error}");
    // Where each request connects, the load has begun.
    let found = simulate(&format!("{flags} --connect-per-request"), world());
    let counters = &found.recorded.counters;
    assert!(counters.handshake_failures > 0, "{counters:?}");
    assert_eq!(counters.handshake_failures, counters.connect_failures);
    assert_eq!((counters.connects, counters.completed), (0, 0));
    let failures = &found.recorded.tls.failures;
    assert_eq!((failures.len(), failures[0].handshakes), (1, counters.handshake_failures));
}

#[test]
fn a_stream_that_ends_with_its_handshake_was_not_established() {
    // With TLS 1.2 the last bytes of a full handshake are the server's.
    let world = || {
        let server = TlsEcho::of(&[&rustls::version::TLS12], MS, MS);
        Simulation::new(TlsEcho { ends_at_once: true, ..server })
    };
    let flags = format!("{INSECURE} --tls-resumption off --duration 1s --timeout 100ms");
    let error = try_to_simulate(&flags, world()).err().unwrap().to_string();
    assert!(error.contains("the server closed the connection"), "{error}");
    let found = simulate(&format!("{flags} --connect-per-request"), world());
    let counters = &found.recorded.counters;
    assert!(counters.handshake_failures > 0 && counters.connects == 0, "{counters:?}");
}
