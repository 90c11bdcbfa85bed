//! Messages between shards, and from threads that are none.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{ask, config, connect, in_every_mode};
use super::common::{MS, TEST_TIMEOUT, eventually, read_to_end};
use super::probe::{Does, Event, Job, Probe, Probed};
use evshard::server::{
    Answer, Connection, Drain, MessageSender, PostError, Server, ServerConfig, Service, Shard,
};

/// Numbers from shards to shards. Each shard posts so many to each other as it is asked to, at once
/// or when there is room.
#[derive(Clone)]
struct Counting {
    reports: Sender<Report>,
    senders: Sender<MessageSender<Counted>>,
    /// By receiver: the next number to post, and the last.
    to_post: Vec<(u64, u64)>,
    /// By sender: the next number to receive.
    next: Vec<u64>,
    full: u64,
}

#[derive(Clone, Copy)]
enum Counted {
    PostToAll(u64),
    /// To be posted to all.
    Broadcast {
        from: usize,
        number: u64,
    },
    Number {
        from: usize,
        number: u64,
    },
}

/// A shard has everything: its index, and by sender how much.
struct Report {
    shard: usize,
    received: Vec<u64>,
    full: u64,
}

impl Counting {
    fn start(config: &ServerConfig) -> (Server, MessageSender<Counted>, Receiver<Report>) {
        let (reports, reported) = channel();
        let (senders, sender) = channel();
        let (to_post, next) = (Vec::new(), Vec::new());
        let counting = Self { reports, senders, to_post, next, full: 0 };
        let server = Server::start(config, counting).unwrap();
        (server, sender.recv_timeout(TEST_TIMEOUT).unwrap(), reported)
    }

    fn post(&mut self, to: usize, shard: &mut Shard<'_, Self>) {
        let from = shard.index();
        while self.to_post[to].0 < self.to_post[to].1 {
            let number = self.to_post[to].0;
            match shard.post(to, Counted::Number { from, number }) {
                Ok(()) => self.to_post[to].0 += 1,
                Err(PostError::Full(Counted::Number { number: returned, .. })) => {
                    assert_eq!(returned, number, "another message came back");
                    self.full += 1;
                    return;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn report(&self, shard: usize) {
        let _ = self.reports.send(Report { shard, received: self.next.clone(), full: self.full });
    }
}

impl Service for Counting {
    type Session = ();
    type Message = Counted;
    const MESSAGES_MAX: usize = 16;

    fn start(&mut self, shard: &mut Shard<'_, Self>) {
        self.next = vec![0; shard.count() + 1];
        self.to_post = vec![(0, 0); shard.count()];
        let _ = self.senders.send(shard.sender());
    }

    fn open(&mut self, _: &mut Connection<'_, Self>) {}

    fn receive(&mut self, (): &mut (), input: &[u8], _: &mut Connection<'_, Self>) -> usize {
        input.len()
    }

    fn message(&mut self, message: Counted, shard: &mut Shard<'_, Self>) {
        match message {
            Counted::PostToAll(count) => {
                self.to_post.iter_mut().for_each(|(_, last)| *last += count);
                (0..shard.count()).for_each(|to| self.post(to, shard));
            }
            Counted::Broadcast { from, number } => {
                shard.broadcast(&Counted::Number { from, number }).unwrap();
            }
            Counted::Number { from, number } => {
                assert_eq!(number, self.next[from], "from {from}");
                self.next[from] += 1;
                if self.next[from].is_multiple_of(100) {
                    self.report(shard.index());
                }
            }
        }
    }

    fn room(&mut self, full: usize, shard: &mut Shard<'_, Self>) {
        self.post(full, shard);
    }
}

#[test]
fn every_message_arrives_once_and_in_order_although_the_queues_are_full() {
    const COUNT: u64 = 20_000;
    for config in in_every_mode(4) {
        let (server, sender, reported) = Counting::start(&config);
        // Threads outside are the fifth sender.
        for shard in 0..4 {
            let start = Counted::PostToAll(COUNT);
            while sender.post(shard, start).is_err() {}
        }
        let outside = sender.clone();
        let posting = thread::spawn(move || {
            for number in 0..COUNT {
                for shard in 0..4 {
                    let message = Counted::Number { from: 4, number };
                    while let Err(error) = outside.post(shard, message) {
                        assert!(matches!(error, PostError::Full(_)), "{error:?}");
                        thread::yield_now();
                    }
                }
            }
        });
        let mut done = [false; 4];
        let mut full = [0; 4];
        while !done.iter().all(|done| *done) {
            let report = reported.recv_timeout(TEST_TIMEOUT).expect("messages are missing");
            done[report.shard] = report.received.iter().all(|count| *count == COUNT);
            full[report.shard] = report.full;
        }
        posting.join().unwrap();
        assert!(full.iter().sum::<u64>() > 0, "no queue was ever full");
        let total = server.drain().unwrap().total();
        assert_eq!(total.messages, 4 * 5 * COUNT + 4);
        assert!(total.messages_refused >= full.iter().sum::<u64>());
        assert_eq!(total.errors.total(), 0);
        let late = sender.post(0, Counted::PostToAll(1));
        assert!(matches!(late, Err(PostError::Closed(Counted::PostToAll(1)))));
    }
}

#[test]
fn a_broadcast_reaches_each_shard_once_and_in_order() {
    let (server, sender, reported) = Counting::start(&config(3));
    // By a shard, and by a thread that is none.
    for number in 0..100 {
        let from_shard = Counted::Broadcast { from: 0, number };
        while sender.post(1, from_shard).is_err() {}
        let from_outside = Counted::Number { from: 3, number };
        while let Err(missed) = sender.broadcast(&from_outside) {
            assert_eq!(missed.shards.len(), 3, "the queues are empty");
        }
        let all = 2 * 3 * (number + 1) + number + 1;
        eventually("all have it", || server.stats().total().messages == all);
    }
    let mut by_shard = [0; 3];
    for _ in 0..6 {
        by_shard[reported.recv_timeout(TEST_TIMEOUT).unwrap().shard] += 1;
    }
    assert_eq!(by_shard, [2; 3]);
    let nowhere = sender.post(3, Counted::PostToAll(1));
    assert!(matches!(nowhere, Err(PostError::NoShard(Counted::PostToAll(1)))));
}

#[test]
fn a_full_queue_returns_the_message_and_room_is_called_once_it_is_half_empty() {
    let probed = Probed::start(&config(2), Does::default());
    let (block, blocked) = channel::<()>();
    // The other shard takes nothing meanwhile.
    let wait: Job = Box::new(move |_| blocked.recv_timeout(TEST_TIMEOUT).unwrap());
    probed.sender.post(1, wait).unwrap();
    let posted = probed.on_shard(0, |shard| {
        let mut posted = 0;
        while shard.post(1, Box::new(|_| ())).is_ok() {
            posted += 1;
        }
        posted
    });
    assert!((4095..=4096).contains(&posted), "{posted}");
    block.send(()).unwrap();
    let full = probed.next(|event| match event {
        Event::Room(full) => Some(full),
        _ => None,
    });
    assert_eq!(full, 1);
    probed.on_shard(1, |_| ());
    assert_eq!(probed.server.stats().total().messages_refused, 1);
}

#[test]
fn a_panic_in_a_message_is_counted_and_costs_nothing_else() {
    let probed = Probed::start(&config(2), Does::default());
    let mut clients: Vec<_> = (0..8).map(|_| connect(&probed.server)).collect();
    for round in 1..=20 {
        for shard in 0..2 {
            let job: Job = Box::new(|_| panic!("it was asked to"));
            probed.sender.post(shard, job).unwrap();
            probed.on_shard(shard, |_| ());
        }
        for client in &mut clients {
            assert_eq!(ask(client, b"still here"), b"still here");
        }
        assert_eq!(probed.server.stats().total().errors.panicked, 2 * round);
    }
    drop(clients);
    assert_eq!(probed.server.drain().unwrap().total().errors.total(), 40);
}

/// Passes an answer from shard to shard until it is time to send it.
fn answer_at(time: Instant, answer: Answer, shard: &mut Shard<'_, Probe>) {
    if Instant::now() >= time {
        answer.send(b"after all").unwrap();
        return;
    }
    let other = shard.count() - 1 - shard.index();
    let job: Job = Box::new(move |shard| answer_at(time, answer, shard));
    shard.post(other, job).unwrap();
}

#[test]
fn a_shard_without_connections_takes_messages_of_others_until_they_have_drained() {
    for config in in_every_mode(2) {
        let does = Does {
            receive: Box::new(|input, connection| {
                let answer = connection.answer_later();
                answer_at(Instant::now() + 400 * MS, answer, connection.shard());
                input.len()
            }),
            ..Does::default()
        };
        let probed = Probed::start(&config, does);
        let mut client = connect(&probed.server);
        client.write_all(b"a question").unwrap();
        eventually("it is received", || probed.server.stats().total().bytes_in == 10);
        let Probed { server, events, .. } = probed;
        let drained = thread::spawn(move || server.drain().unwrap());
        assert_eq!(read_to_end(client).unwrap(), b"after all");
        assert_eq!(drained.join().unwrap().total().errors.total(), 0);
        let stopped = events.iter().filter(|event| matches!(event, Event::Stopped(_))).count();
        assert_eq!(stopped, 2);
    }
}

#[test]
fn a_shard_gets_a_message_while_the_turn_of_the_sender_still_lasts() {
    let does = Does {
        receive: Box::new(|input, connection| {
            let arrived = Arc::new(AtomicBool::new(false));
            let has_arrived = arrived.clone();
            let shard = connection.shard();
            let other = shard.count() - 1 - shard.index();
            let job: Job = Box::new(move |_| arrived.store(true, Ordering::Release));
            shard.post(other, job).unwrap();
            eventually("the other shard has it", || has_arrived.load(Ordering::Acquire));
            connection.send(input);
            input.len()
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(2), does);
    let mut client = connect(&probed.server);
    assert_eq!(ask(&mut client, b"x"), b"x");
    drop(client);
    assert_eq!(probed.server.drain().unwrap().total().errors.total(), 0);
}

/// A service may always have something to say to itself.
fn post_again(shard: &mut Shard<'_, Probe>, to: usize) {
    let next = shard.count() - 1 - to;
    let job: Job = Box::new(move |shard| post_again(shard, next));
    let _ = shard.post(to, job);
}

#[test]
fn shards_that_post_to_each_other_for_ever_do_not_keep_a_drain() {
    for workers in [1, 2] {
        let probed = Probed::start(&config(workers), Does::default());
        let mut client = connect(&probed.server);
        for shard in 0..workers {
            probed.on_shard(shard, move |shard| post_again(shard, shard.index()));
        }
        assert_eq!(ask(&mut client, b"x"), b"x");
        drop(client);
        let (done, drained) = channel();
        thread::spawn(move || done.send(probed.server.drain().map(drop)));
        drained.recv_timeout(TEST_TIMEOUT / 2).expect("the drain hangs").unwrap();
    }
}

#[test]
fn a_service_that_panics_in_every_message_does_not_keep_a_drain() {
    let probed = Probed::start(&config(2), Does::default());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = probed.sender.clone();
        let stop = &stop;
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let _ = sender.post(0, Box::new(|_| panic!("it always does")));
                thread::sleep(Duration::from_micros(200));
            }
        });
        let mut client = connect(&probed.server);
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        drop(client);
        let start = Instant::now();
        probed.server.drain().unwrap();
        assert!(start.elapsed() < TEST_TIMEOUT / 2);
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_dropped_server_ends_while_threads_post() {
    let drain = Drain { timeout: 100 * MS, ..Drain::default() };
    let probed = Probed::start(&ServerConfig { drain, ..config(2) }, Does::default());
    let sender = probed.sender.clone();
    let posting = thread::spawn(move || {
        loop {
            match sender.post(0, Box::new(|_| ())) {
                Err(PostError::Closed(_)) => return,
                Err(PostError::Full(_)) | Ok(()) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    });
    thread::sleep(50 * MS);
    drop(probed.server);
    posting.join().unwrap();
}
