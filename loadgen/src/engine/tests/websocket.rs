//! Connections of WebSocket: how they begin, are kept, and end.

use std::cell::RefCell;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest as _, Sha1};

use super::simulation::{SimulatedReply, SimulatedServer, Simulation};
use super::{MS, SimulationResult, simulate, try_to_simulate};
use crate::error::Error;

/// What a server has received.
#[derive(Debug, Default)]
struct Received {
    /// The keys of the upgrades.
    keys: Vec<String>,
    messages: usize,
    pongs: Vec<Vec<u8>>,
    /// Payloads of close frames.
    closes: Vec<Vec<u8>>,
}

/// A server of one connection at a time, which answers each message after a millisecond.
struct Server<F> {
    arriving: Vec<u8>,
    received: Rc<RefCell<Received>>,
    /// What is sent behind the reply to an upgrade.
    behind_upgrade: Vec<u8>,
    /// What is sent for message number `k`, from 0.
    answer: F,
}

impl<F: FnMut(usize, &[u8]) -> Vec<u8>> Server<F> {
    fn take(&mut self) -> Option<Vec<u8>> {
        let mut received = self.received.borrow_mut();
        if self.arriving.starts_with(b"GET ") {
            let end = self.arriving.windows(4).position(|four| four == b"\r\n\r\n")?;
            let head = String::from_utf8(self.arriving.drain(..end + 4).collect()).unwrap();
            let key = head.split("Sec-WebSocket-Key: ").nth(1).unwrap().trim_end();
            let mut reply = upgraded(key);
            reply.extend_from_slice(&self.behind_upgrade);
            received.keys.push(key.to_owned());
            return Some(reply);
        }
        // No frame of these tests is longer than 125 bytes.
        let &[first, second] = self.arriving.first_chunk()?;
        let length = usize::from(second & 0x7f);
        let masked = self.arriving.get(6..6 + length)?;
        let key = self.arriving[2..6].iter().cycle();
        let payload: Vec<u8> = masked.iter().zip(key).map(|(byte, key)| byte ^ key).collect();
        self.arriving.drain(..6 + length);
        match first {
            0x88 => received.closes.push(payload),
            0x8a => received.pongs.push(payload),
            _ => {
                received.messages += 1;
                return Some((self.answer)(received.messages - 1, &payload));
            }
        }
        Some(Vec::new())
    }
}

impl<F: FnMut(usize, &[u8]) -> Vec<u8>> SimulatedServer for Server<F> {
    fn received(&mut self, now_ns: u64, bytes: &[u8]) -> Vec<SimulatedReply> {
        self.arriving.extend_from_slice(bytes);
        let replies = std::iter::from_fn(|| self.take()).filter(|bytes| !bytes.is_empty());
        let at_ns = now_ns + MS;
        replies.map(|bytes| SimulatedReply::Bytes { at_ns, bytes }).collect()
    }
}

fn upgraded(key: &str) -> Vec<u8> {
    let hash = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = BASE64_STANDARD.encode(hash);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}

fn echo(_: usize, payload: &[u8]) -> Vec<u8> {
    frame(0x82, payload)
}

/// What a load finds, and what the server has received.
fn load(
    flags: &str,
    behind_upgrade: &[u8],
    answer: impl FnMut(usize, &[u8]) -> Vec<u8> + 'static,
) -> (SimulationResult, Rc<RefCell<Received>>) {
    let received = Rc::<RefCell<Received>>::default();
    let server = Server {
        arriving: Vec::new(),
        received: Rc::clone(&received),
        behind_upgrade: behind_upgrade.to_vec(),
        answer,
    };
    let flags = format!("ws://a/b -c 1 --warmup 0s --duration 1s {flags}");
    (simulate(&flags, Simulation::new(server)), received)
}

const OPEN: &str = "--rate 100 --arrival constant";

#[test]
fn frames_behind_the_reply_to_the_upgrade_are_the_first_of_the_connection() {
    let (found, received) = load(OPEN, &frame(0x89, b"first"), echo);
    let counters = &found.recorded.counters;
    assert_eq!((counters.completed, counters.has_errors()), (100, false));
    assert_eq!(received.borrow().pongs, [b"first"]);
    assert_eq!(received.borrow().closes, [1000_u16.to_be_bytes()], "the run ends in order");
}

#[test]
fn a_message_behind_the_reply_to_the_upgrade_belongs_to_no_request() {
    let received = Rc::<RefCell<Received>>::default();
    let server = Server {
        arriving: Vec::new(),
        received: Rc::clone(&received),
        behind_upgrade: frame(0x82, b"welcome"),
        answer: echo,
    };
    let flags = "ws://a -c 1 --warmup 0s --duration 1s --timeout 100ms";
    let error = try_to_simulate(flags, Simulation::new(server)).err().unwrap();
    assert!(matches!(error, Error::LostBeforeLoad { .. }), "{error}");
    assert!(error.to_string().contains("the server sent bytes before a request"), "{error}");
}

#[test]
fn pings_during_the_load_are_answered_at_once() {
    let ping = |number: usize, payload: &[u8]| {
        [frame(0x89, &[number as u8]), frame(0x82, payload)].concat()
    };
    for flags in [OPEN, ""] {
        let (found, received) = load(flags, b"", ping);
        let counters = &found.recorded.counters;
        let received = received.borrow();
        assert!(!counters.has_errors(), "{counters:?}");
        assert_eq!(received.messages as u64, counters.completed);
        let pongs: Vec<u8> = received.pongs.iter().map(|pong| pong[0]).collect();
        let pings: Vec<u8> = (0..received.messages).map(|number| number as u8).collect();
        assert_eq!(pongs, pings);
    }
}

#[test]
fn a_close_frame_before_all_replies_ends_the_connection_which_is_answered_and_replaced() {
    let answer = |number: usize, payload: &[u8]| match number {
        50 => frame(0x88, b"\x03\xf0enough"),
        _ => frame(0x82, payload),
    };
    let (found, received) = load(OPEN, b"", answer);
    let counters = &found.recorded.counters;
    assert_eq!((counters.completed, counters.failed), (99, 1));
    assert_eq!((counters.closed_by_server, counters.mismatches, counters.connects), (1, 0, 2));
    let words = "the server sent a close frame: 1008 (policy violation) 'enough'";
    assert_eq!(found.recorded.first_error.as_deref(), Some(words));
    let received = received.borrow();
    assert_eq!(received.closes.len(), 2, "the answer, and the end of the run");
    assert_ne!(received.keys[0], received.keys[1]);
}

#[test]
fn connections_that_are_replaced_end_with_a_close_frame_each() {
    for flags in ["--churn 10", "--connect-per-request"] {
        let (found, received) = load(&format!("{OPEN} {flags}"), b"", echo);
        let counters = &found.recorded.counters;
        assert_eq!((counters.completed, counters.has_errors()), (100, false), "{flags}");
        assert!(counters.churned >= 10);
        let received = received.borrow();
        assert_eq!(received.closes.len(), received.keys.len(), "{flags}");
        assert_eq!(received.keys.len() as u64, counters.connects, "{flags}");
    }
}

#[test]
fn a_violation_is_a_wrong_byte_of_its_request_and_the_connection_is_replaced() {
    let answer = |number: usize, payload: &[u8]| match number {
        50 => [&[0x82, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat(),
        _ => frame(0x82, payload),
    };
    let (found, _) = load(OPEN, b"", answer);
    let counters = &found.recorded.counters;
    assert_eq!((counters.completed, counters.failed, counters.mismatches), (99, 1, 1));
    let mismatch = found.recorded.first_mismatch.unwrap();
    assert_eq!((mismatch.request, mismatch.offset_bytes), (50, 1));
    assert_eq!(mismatch.note.as_deref(), Some("a masked frame; a server must not mask"));
}

/// Refuses every upgrade.
struct Refusing;

impl SimulatedServer for Refusing {
    fn received(&mut self, now_ns: u64, _: &[u8]) -> Vec<SimulatedReply> {
        let bytes = b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec();
        vec![SimulatedReply::Bytes { at_ns: now_ns + MS, bytes }]
    }
}

#[test]
fn an_upgrade_that_is_refused_ends_the_run_before_the_load_and_is_counted_in_it() {
    let flags = "ws://a/b -c 1 --warmup 0s --duration 1s --timeout 100ms";
    let error = try_to_simulate(flags, Simulation::new(Refusing)).err().unwrap().to_string();
    let said = "upgrade to WebSocket: the server said 'HTTP/1.1 403 Forbidden'; does it want";
    assert!(error.contains(said), "{error}");
    let flags = format!("{flags} --connect-per-request");
    let found = simulate(&flags, Simulation::new(Refusing));
    let counters = &found.recorded.counters;
    assert!(counters.connect_failures > 0 && counters.sent == 0, "{counters:?}");
    assert!(found.recorded.first_error.unwrap().contains(said));
}
