//! Random operations on a few connections of one shard, against the bytes that each peer must get.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;

use super::clients::{connect_narrow, limited};
use super::common::{TEST_TIMEOUT, noise};
use super::probe::{Does, Probe, Probed};
use evshard::server::{ConnectionId, Limits, SendError, Shard};

const CONNECTIONS: usize = 3;
const BUFFER_BYTES: usize = 60_000;
const FILE_BYTES: usize = 300_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Send(usize),
    Shared(usize),
    File(usize, usize),
    Pause,
    Read,
    EndOutput,
    Close,
}

/// A step and its connection.
type Op = (usize, Step);

/// What runs in one callback, and what a peer reads afterwards.
#[derive(Clone, Debug)]
struct Batch {
    /// The connection whose callback runs them, if it still receives; otherwise a message does.
    of: Option<usize>,
    ops: Vec<Op>,
    reads: (usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..200_usize).prop_map(Step::Send),
        4 => (0..40_000_usize).prop_map(Step::Send),
        4 => (0..40_000_usize).prop_map(Step::Shared),
        2 => (0..FILE_BYTES, 0..FILE_BYTES).prop_map(|(a, b)| Step::File(a.min(b), a.max(b))),
        2 => Just(Step::Pause),
        2 => Just(Step::Read),
        1 => Just(Step::EndOutput),
        1 => Just(Step::Close),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    let ops = vec((0..CONNECTIONS, step()), 1..12);
    let of = prop::option::of(0..CONNECTIONS);
    (of, ops, (0..CONNECTIONS, 0..200_000_usize)).prop_map(|(of, ops, reads)| Batch {
        of,
        ops,
        reads,
    })
}

/// What one operation sends, as the peer must get it.
fn bytes(at: usize, step: Step, file: &[u8]) -> Vec<u8> {
    match step {
        Step::Send(length) | Step::Shared(length) => noise(at as u64 + 1, length),
        Step::File(from, to) => file[from..to].to_vec(),
        _ => Vec::new(),
    }
}

struct Job {
    ids: Vec<ConnectionId>,
    ops: Vec<(usize, Op)>,
    results: Sender<Vec<Result<(), SendError>>>,
}

/// The file that is sent, and its bytes.
type TestFile = (Arc<std::fs::File>, Arc<Vec<u8>>);

fn run(job: Job, (file, in_file): &TestFile, shard: &mut Shard<'_, Probe>) {
    let results = job.ops.into_iter().map(|(at, (to, step))| {
        let (id, bytes) = (job.ids[to], bytes(at, step, in_file));
        match step {
            Step::Send(_) => return shard.send(id, &bytes),
            Step::Shared(_) => return shard.send_shared(id, &bytes.into()),
            Step::File(from, to) => {
                let sent = shard.send_file(id, file.clone(), from as u64..to as u64);
                return sent.map_err(|_| SendError::Closed);
            }
            Step::Pause => shard.pause(id),
            Step::Read => shard.read(id),
            Step::EndOutput => shard.end_output(id),
            Step::Close => shard.close(id),
        }
        Ok(())
    });
    let results = results.collect();
    let _ = job.results.send(results);
}

#[derive(Default)]
struct Peer {
    expected: Vec<u8>,
    /// How many of them were read.
    read: usize,
    is_paused: bool,
    takes_no_output: bool,
    is_closed: bool,
}

impl Peer {
    fn applied(&mut self, at: usize, step: Step, result: Result<(), SendError>, file: &[u8]) {
        match step {
            Step::Send(_) | Step::Shared(_) | Step::File(..) => {
                let closed = self.takes_no_output || self.is_closed;
                assert_eq!(result == Err(SendError::Closed), closed, "{at} {step:?}");
                if result.is_ok() {
                    self.expected.extend(bytes(at, step, file));
                }
            }
            Step::Pause => self.is_paused = true,
            Step::Read => self.is_paused = false,
            Step::EndOutput => self.takes_no_output = true,
            Step::Close => self.is_closed = true,
        }
    }

    fn read(&mut self, client: &mut TcpStream, at_most: usize) {
        let length = at_most.min(self.expected.len() - self.read);
        let mut bytes = vec![0; length];
        client.read_exact(&mut bytes).unwrap();
        assert!(bytes == self.expected[self.read..][..length]);
        self.read += length;
    }
}

fn check(batches: Vec<Batch>, file: &TestFile) {
    let waiting: Arc<Mutex<Option<Job>>> = Arc::default();
    let (next, files) = (waiting.clone(), file.clone());
    let does = Does {
        open: Box::new(|connection| connection.read_while_sending(true)),
        receive: Box::new(move |input, connection| {
            if let Some(job) = next.lock().unwrap().take() {
                run(job, &files, connection.shard());
            }
            input.len()
        }),
        ..Does::default()
    };
    let limits = Limits { buffer_bytes: BUFFER_BYTES, ..Limits::default() };
    let probed = Probed::start(&limited(limits), does);
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| connect_narrow(&probed.server)).collect();
    let ids: Vec<_> = (0..CONNECTIONS).map(|_| probed.opened().id()).collect();
    let mut peers: Vec<Peer> = (0..CONNECTIONS).map(|_| Peer::default()).collect();
    let mut count = 0;
    for Batch { of, ops, reads } in batches {
        let (results, received) = channel();
        let numbered: Vec<(usize, Op)> = (count..).zip(ops).collect();
        count += numbered.len();
        let job = Job { ids: ids.clone(), ops: numbered.clone(), results };
        let of = of.filter(|&of| !peers[of].is_paused && !peers[of].is_closed);
        match of {
            Some(of) => {
                *waiting.lock().unwrap() = Some(job);
                clients[of].write_all(b"!").unwrap();
            }
            None => {
                let file = file.clone();
                probed.sender.post(0, Box::new(move |shard| run(job, &file, shard))).unwrap();
            }
        }
        let results = received.recv_timeout(TEST_TIMEOUT).expect("the batch never ran");
        // Of the steps of the connection of a callback, the last one counts, after the callback.
        let mut own_step = None;
        for ((at, (to, step)), result) in numbered.into_iter().zip(results) {
            if of == Some(to) && matches!(step, Step::Pause | Step::Read | Step::Close) {
                own_step = Some((at, (to, step)));
                continue;
            }
            // A step on a connection that is closed does nothing.
            if !peers[to].is_closed || !matches!(step, Step::Pause | Step::Read) {
                peers[to].applied(at, step, result, &file.1);
            }
        }
        if let Some((at, (to, step))) = own_step {
            peers[to].applied(at, step, Ok(()), &file.1);
        }
        let held = probed.server.stats().buffer_bytes;
        assert!(held <= (CONNECTIONS * 2 * BUFFER_BYTES) as u64, "{held}");
        peers[reads.0].read(&mut clients[reads.0], reads.1);
    }
    for &id in &ids {
        probed.on_shard(0, move |shard| shard.close(id));
    }
    for (peer, client) in peers.iter_mut().zip(&mut clients) {
        peer.read(client, usize::MAX);
        // What it sent to a paused connection may make the end a reset.
        assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    }
    drop(clients);
    probed.expect_nothing_left();
}

proptest! {
    #![proptest_config(test_inputs::config(24))]

    #[test]
    fn each_peer_gets_what_was_accepted_for_it_in_order(batches in vec(batch(), 1..25)) {
        let in_file = noise(99, FILE_BYTES);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&in_file).unwrap();
        check(batches, &(Arc::new(file), Arc::new(in_file)));
    }
}
