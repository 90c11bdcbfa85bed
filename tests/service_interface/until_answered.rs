//! Connections that end, or read on, once their answers are given.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{
    MUCH, address, ask, config, connect, connect_narrow, expect_silence, in_every_mode,
    in_every_mode_and_on_every_backend, receive, roomy,
};
use super::common::{MS, TEST_TIMEOUT, eventually, read_to_end};
use super::probe::{Does, Probe, Probed};
use evshard::server::{
    Answer, CloseReason, Connection, Drain, SendError, Server, ServerConfig, Service,
};

/// Passes each byte on as a request that is answered later, and leaves all else as it is by
/// default.
#[derive(Clone)]
struct Later {
    requests: Sender<(Answer, u8)>,
    one_at_a_time: bool,
}

impl Service for Later {
    type Session = ();
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) {}

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        // The test may have enough.
        let _ = self.requests.send((connection.answer_later(), input[0]));
        if self.one_at_a_time {
            connection.pause_until_answered();
        }
        1
    }
}

fn later(config: &ServerConfig, one_at_a_time: bool) -> (Server, Receiver<(Answer, u8)>) {
    let (requests, received) = channel();
    let server = Server::start(config, Later { requests, one_at_a_time }).unwrap();
    (server, received)
}

fn take(requests: &Receiver<(Answer, u8)>) -> (Answer, u8) {
    requests.recv_timeout(TEST_TIMEOUT).expect("a request")
}

#[test]
fn a_client_that_has_ended_its_stream_gets_the_answers_that_are_due() {
    for config in in_every_mode_and_on_every_backend(2) {
        let (server, requests) = later(&config, false);
        let mut client = connect(&server);
        client.write_all(b"abc").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let due: Vec<_> = (0..3).map(|_| take(&requests)).collect();
        // Its end is read and its connection waits: nothing is left to read.
        expect_silence(&mut client);
        for (answer, byte) in due.into_iter().rev() {
            thread::spawn(move || answer.send(&[byte; 10_000]).unwrap()).join().unwrap();
        }
        let expected = [[b'c'; 10_000], [b'b'; 10_000], [b'a'; 10_000]].concat();
        assert!(read_to_end(client).unwrap() == expected);
        assert_eq!(server.drain().unwrap().total().errors.total(), 0);
    }
}

/// The end of the stream, the answers and their ends race each other.
#[test]
fn no_answer_is_lost_whenever_it_comes_around_the_end_of_the_stream() {
    for config in in_every_mode(2) {
        let (server, requests) = later(&config, false);
        let answering: Vec<_> = {
            let requests = Arc::new(Mutex::new(requests));
            let answer_all = move |requests: Arc<Mutex<Receiver<(Answer, u8)>>>| {
                let next = || requests.lock().unwrap().recv();
                while let Ok((answer, byte)) = next() {
                    answer.send(&[byte]).unwrap();
                }
            };
            (0..3).map(|_| (requests.clone(), answer_all)).collect()
        };
        let threads: Vec<_> = answering
            .into_iter()
            .map(|(requests, answer_all)| thread::spawn(move || answer_all(requests)))
            .collect();
        for round in 0..500_u32 {
            let mut client = connect(&server);
            client.write_all(b"abcd").unwrap();
            if round % 3 > 0 {
                receive(&mut client, (round % 5) as usize);
            }
            client.shutdown(Shutdown::Write).unwrap();
            let mut rest = read_to_end(client).unwrap();
            let before = if round % 3 > 0 { round as usize % 5 } else { 0 };
            assert_eq!(rest.len(), 4 - before, "{round}");
            rest.sort_unstable();
            rest.dedup();
            assert_eq!(rest.len(), 4 - before, "{round}");
        }
        assert_eq!(server.drain().unwrap().total().errors.total(), 0);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn a_client_that_has_ended_its_stream_is_closed_when_its_answers_are_dropped() {
    let (server, requests) = later(&config(1), false);
    let mut client = connect(&server);
    client.write_all(b"ab").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let due = [take(&requests), take(&requests)];
    expect_silence(&mut client);
    let handle = due[0].0.handle().clone();
    drop(due);
    assert_eq!(read_to_end(client).unwrap(), b"");
    eventually("it is closed", || handle.send(b"x") == Err(SendError::Closed));
    assert_eq!(server.drain().unwrap().total().errors.total(), 0);
}

#[test]
fn a_client_that_has_ended_its_stream_and_reads_slowly_gets_all_of_its_answers() {
    let (server, requests) = later(&roomy(), false);
    let mut client = connect_narrow(&server);
    client.write_all(b"ab").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let due = [take(&requests), take(&requests)];
    for (answer, byte) in due {
        answer.send(&vec![byte; MUCH / 2]).unwrap();
    }
    eventually("output is pending", || server.stats().buffer_bytes > 0);
    let expected = [vec![b'a'; MUCH / 2], vec![b'b'; MUCH / 2]].concat();
    assert!(read_to_end(client).unwrap() == expected);
    assert_eq!(server.drain().unwrap().total().errors.total(), 0);
}

#[test]
fn the_drain_timeout_bounds_the_wait_for_answers_of_a_client_that_has_ended_its_stream() {
    for one_at_a_time in [false, true] {
        let drain = Drain { timeout: 300 * MS, ..Drain::default() };
        let (server, requests) = later(&ServerConfig { drain, ..config(1) }, one_at_a_time);
        let mut client = connect(&server);
        client.write_all(b"x").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let due = take(&requests);
        let start = Instant::now();
        assert_eq!(server.drain().unwrap().total().errors.cut, 1);
        assert!(start.elapsed() >= 290 * MS && start.elapsed() < TEST_TIMEOUT / 2);
        assert_eq!(due.0.send(b"x"), Err(SendError::Closed));
        assert!(client.read(&mut [0]).is_err(), "it is a reset: an answer is missing");
    }
}

#[test]
fn the_idle_deadline_ends_one_that_takes_no_answer_and_has_ended_its_stream() {
    let mut config = roomy();
    config.limits.idle = Some(200 * MS);
    let (server, requests) = later(&config, false);
    let mut client = connect_narrow(&server);
    client.write_all(b"x").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (answer, _) = take(&requests);
    answer.send(&vec![1; MUCH]).unwrap();
    drop(answer);
    eventually("it is closed", || server.stats().total().errors.idle == 1);
    drop(client);
}

/// Each request comes with all others in one write. A thread answers it after a while.
#[test]
fn requests_that_are_answered_one_at_a_time_are_answered_in_order() {
    const REQUESTS: usize = 200;
    for config in in_every_mode_and_on_every_backend(2) {
        let (server, requests) = later(&config, true);
        let answering = thread::spawn(move || {
            let mut due = HashMap::new();
            for (answer, byte) in requests {
                let due: &mut u32 = due.entry(answer.handle().id()).or_default();
                *due += 1;
                // In two parts, of which the second is also in time.
                answer.send(&[byte]).unwrap();
                thread::sleep(Duration::from_micros(u64::from(byte % 3) * 300));
                answer.send(&[byte]).unwrap();
            }
            due.into_values().collect::<Vec<u32>>()
        });
        let mut clients: Vec<TcpStream> = (0..3).map(|_| connect(&server)).collect();
        let bytes: Vec<u8> = (0..REQUESTS).map(|at| at as u8).collect();
        clients.iter_mut().for_each(|client| client.write_all(&bytes).unwrap());
        let expected: Vec<u8> = bytes.iter().flat_map(|byte| [*byte; 2]).collect();
        // One goes on after a pause, and the others end their streams with requests unread.
        assert!(receive(&mut clients[0], 2 * REQUESTS) == expected);
        clients[0].write_all(b"more").unwrap();
        assert_eq!(receive(&mut clients[0], 8), b"mmoorree");
        for client in &clients {
            client.shutdown(Shutdown::Write).unwrap();
        }
        assert_eq!(read_to_end(clients.remove(0)).unwrap(), b"");
        for client in clients {
            assert!(read_to_end(client).unwrap() == expected);
        }
        assert_eq!(server.drain().unwrap().total().errors.total(), 0);
        let mut counts = answering.join().unwrap();
        counts.sort_unstable();
        assert_eq!(counts, [200, 200, 204]);
    }
}

#[test]
fn a_request_is_not_passed_on_before_the_one_before_it_is_answered() {
    let (server, requests) = later(&config(1), true);
    let mut client = connect(&server);
    client.write_all(b"abc").unwrap();
    for byte in *b"abc" {
        let (answer, of) = take(&requests);
        assert_eq!(of, byte);
        answer.send(&[byte]).unwrap();
        assert_eq!(receive(&mut client, 1), [byte]);
        assert!(requests.recv_timeout(50 * MS).is_err(), "its answer is not complete");
        drop(answer);
    }
    drop(client);
    drop(server.drain().unwrap());
}

#[test]
fn a_pause_until_answered_ends_at_once_without_answers_and_sooner_by_another_step() {
    let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
    let due = answers.clone();
    let does = Does {
        receive: Box::new(move |input, connection| {
            if input[0] == b'l' {
                due.lock().unwrap().push(connection.answer_later());
            }
            connection.send(&input[..1]);
            connection.pause_until_answered();
            1
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    let mut client = connect(&probed.server);
    let id = probed.opened().id();
    client.write_all(b"abcl1").unwrap();
    assert_eq!(receive(&mut client, 4), b"abcl");
    expect_silence(&mut client);
    // Another step ends the pause, and the end of the answer then changes nothing.
    probed.on_shard(0, move |shard| shard.read(id));
    // The answer is due still, so it pauses again.
    assert_eq!(receive(&mut client, 1), b"1");
    client.write_all(b"2").unwrap();
    expect_silence(&mut client);
    probed.on_shard(0, move |shard| shard.pause(id));
    answers.lock().unwrap().clear();
    expect_silence(&mut client);
    probed.on_shard(0, move |shard| shard.read(id));
    assert_eq!(receive(&mut client, 1), b"2");
    drop(client);
    assert_eq!(probed.closed().1, CloseReason::Closed);
    probed.expect_nothing_left();
}

/// A notice of a wait that was given up must not end the next wait.
#[test]
fn the_end_of_an_earlier_answer_does_not_end_a_later_pause() {
    let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
    let (due, taken) = (answers.clone(), answers.clone());
    let does = Does {
        receive: Box::new(move |input, connection| {
            due.lock().unwrap().push(connection.answer_later());
            connection.send(&input[..1]);
            connection.pause_until_answered();
            if input[0] == b'1' {
                connection.start_timer(MS, 0);
            }
            1
        }),
        timer: Box::new(move |connection| {
            // Its end is queued to this shard, which passes the next request before it takes that.
            taken.lock().unwrap().clear();
            connection.read();
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    let mut client = connect(&probed.server);
    client.write_all(b"123").unwrap();
    assert_eq!(receive(&mut client, 2), b"12");
    expect_silence(&mut client);
    assert_eq!(answers.lock().unwrap().len(), 1);
    answers.lock().unwrap().clear();
    assert_eq!(receive(&mut client, 1), b"3");
    answers.lock().unwrap().clear();
    drop(client);
    assert_eq!(probed.closed().1, CloseReason::Closed);
}

/// What an answer sends within a callback is queued to the shard, and the answer is over.
#[test]
fn an_answer_that_is_over_is_sent_before_the_connection_reads_on_or_is_closed() {
    let answer = |text: &[u8], connection: &mut Connection<'_, Probe>| {
        connection.answer_later().send(text).unwrap();
        connection.pause_until_answered();
    };
    let does = Does {
        receive: Box::new(move |input, connection| {
            answer(&input[..1], connection);
            // It overtakes an answer that waits.
            connection.send(b".");
            1
        }),
        end: Box::new(move |connection| answer(b"the end", connection)),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    let mut client = connect(&probed.server);
    client.write_all(b"abc").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(client).unwrap(), b".a.b.cthe end");
    assert_eq!(probed.closed().1, CloseReason::Closed);
    probed.expect_nothing_left();
}

#[test]
fn a_callback_that_chooses_to_read_gets_the_input_that_it_left() {
    let does = Does {
        receive: Box::new(|input, connection| {
            connection.send(&input[..1]);
            connection.read();
            1
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    let mut client = connect(&probed.server);
    assert_eq!(ask(&mut client, b"abc"), b"abc");
}

#[test]
fn a_close_does_not_wait_for_answers() {
    let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
    let due = answers.clone();
    let does = Does {
        receive: Box::new(move |input, connection| {
            due.lock().unwrap().push(connection.answer_later());
            connection.send(b"error");
            connection.close();
            input.len()
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    let mut client = TcpStream::connect(address(&probed.server)).unwrap();
    client.write_all(b"x").unwrap();
    assert_eq!(read_to_end(client).unwrap(), b"error");
    assert_eq!(probed.closed().1, CloseReason::Closed);
    assert_eq!(answers.lock().unwrap()[0].send(b"x"), Err(SendError::Closed));
}
