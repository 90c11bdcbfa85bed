//! Answers that come later.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{config, connect, in_every_mode, limited, receive};
use super::common::{MS, TEST_TIMEOUT, eventually, read_to_end};
use super::probe::{Does, Event, Probed};
use evshard::server::{Answer, CloseReason, Drain, Limits, SendError, ServerConfig};

/// Takes each request of one byte away, as an answer that is due, with the byte.
fn taking(answers: &Arc<Mutex<Vec<(Answer, u8)>>>) -> Does {
    let answers = answers.clone();
    Does {
        receive: Box::new(move |input, connection| {
            answers.lock().unwrap().push((connection.answer_later(), input[0]));
            1
        }),
        ..Does::default()
    }
}

fn wait_for(answers: &Mutex<Vec<(Answer, u8)>>, count: usize) -> Vec<(Answer, u8)> {
    eventually("the requests are taken", || answers.lock().unwrap().len() == count);
    std::mem::take(&mut answers.lock().unwrap())
}

#[test]
fn answers_are_sent_in_the_order_in_which_they_are_given() {
    for config in in_every_mode(2) {
        let answers = Arc::default();
        let probed = Probed::start(&config, taking(&answers));
        let mut client = connect(&probed.server);
        client.write_all(b"abcdef").unwrap();
        let mut due = wait_for(&answers, 6);
        due.rotate_left(2);
        due.reverse();
        let threads: Vec<u8> = due.iter().map(|(_, byte)| *byte).collect();
        for (answer, byte) in due {
            thread::spawn(move || answer.send(&[byte]).unwrap()).join().unwrap();
        }
        assert_eq!(receive(&mut client, 6), threads);
        drop(client);
        probed.expect_nothing_left();
    }
}

#[test]
fn an_answer_after_its_connection_is_gone_is_an_error_and_harms_no_other() {
    let answers = Arc::default();
    let probed = Probed::start(&config(1), taking(&answers));
    let mut client = connect(&probed.server);
    client.write_all(b"x").unwrap();
    let due = wait_for(&answers, 1);
    drop(client);
    probed.closed();
    let mut next = connect(&probed.server);
    next.write_all(b"y").unwrap();
    let next_due = wait_for(&answers, 1);
    for (answer, _) in due {
        assert_eq!(answer.send(b"too late"), Err(SendError::Closed));
        assert!(!answer.handle().is_open());
    }
    for (answer, byte) in next_due {
        answer.send(&[byte]).unwrap();
    }
    assert_eq!(receive(&mut next, 1), b"y");
    drop(next);
    probed.expect_nothing_left();
}

#[test]
fn a_drain_waits_for_an_answer_and_closes_once_it_is_sent() {
    for config in in_every_mode(2) {
        let answers = Arc::default();
        let probed = Probed::start(&config, taking(&answers));
        let mut client = connect(&probed.server);
        client.write_all(b"x").unwrap();
        let mut due = wait_for(&answers, 1);
        let Probed { server, events, .. } = probed;
        let drained = thread::spawn(move || server.drain().unwrap());
        // Longer than a connection must be quiet for.
        thread::sleep(300 * MS);
        let (answer, _) = due.pop().unwrap();
        assert!(answer.handle().is_open(), "the drain did not wait");
        answer.send(b"a part, ").unwrap();
        thread::sleep(100 * MS);
        answer.send(b"and the end").unwrap();
        drop(answer);
        assert_eq!(read_to_end(client).unwrap(), b"a part, and the end");
        assert_eq!(drained.join().unwrap().total().errors.total(), 0);
        let reason = events.iter().find_map(|event| match event {
            Event::Closed(_, reason, _) => Some(reason),
            _ => None,
        });
        assert_eq!(reason, Some(CloseReason::Drained));
    }
}

#[test]
fn a_drain_waits_no_longer_than_its_timeout_for_an_answer() {
    let answers = Arc::default();
    let drain = Drain { timeout: 300 * MS, ..Drain::default() };
    let probed = Probed::start(&ServerConfig { drain, ..config(1) }, taking(&answers));
    let mut client = connect(&probed.server);
    client.write_all(b"x").unwrap();
    let due = wait_for(&answers, 1);
    let start = Instant::now();
    let report = probed.server.drain().unwrap();
    assert!(start.elapsed() >= 290 * MS);
    assert_eq!(report.total().errors.cut, 1);
    assert_eq!(due[0].0.send(b"x"), Err(SendError::Closed));
    assert!(client.read(&mut [0]).is_err(), "it is a reset: an answer is missing");
}

#[test]
fn an_answer_that_is_dropped_without_being_sent_ends_the_wait_of_a_drain() {
    let answers = Arc::default();
    let probed = Probed::start(&config(1), taking(&answers));
    let mut client = connect(&probed.server);
    client.write_all(b"x").unwrap();
    let due = wait_for(&answers, 1);
    let drained = thread::spawn(move || probed.server.drain().unwrap());
    thread::sleep(150 * MS);
    assert!(due[0].0.handle().is_open());
    drop(due);
    assert_eq!(read_to_end(client).unwrap(), b"");
    assert_eq!(drained.join().unwrap().total().errors.total(), 0);
}

#[test]
fn the_idle_deadline_waits_for_an_answer_and_then_ends_the_connection() {
    let answers = Arc::default();
    let limits = Limits { idle: Some(100 * MS), ..Limits::default() };
    let probed = Probed::start(&limited(limits), taking(&answers));
    let mut client = connect(&probed.server);
    client.write_all(b"x").unwrap();
    let mut due = wait_for(&answers, 1);
    thread::sleep(500 * MS);
    let (answer, _) = due.pop().unwrap();
    answer.send(b"y").unwrap();
    drop(answer);
    assert_eq!(receive(&mut client, 1), b"y");
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(probed.closed().1, CloseReason::Idle);
}

/// Many connections, whose answers come from threads while the server drains: each gets its own,
/// whole, whatever the moment.
#[test]
fn every_answer_that_was_accepted_before_its_connection_is_closed_arrives() {
    for config in in_every_mode(2) {
        let (answers, due) = channel::<(Answer, u8)>();
        let does = Does {
            receive: Box::new(move |input, connection| {
                // The test may have enough.
                let _ = answers.send((connection.answer_later(), input[0]));
                1
            }),
            ..Does::default()
        };
        let probed = Probed::start(&config, does);
        let mut clients: Vec<_> = (0..100).map(|_| connect(&probed.server)).collect();
        for (at, client) in clients.iter_mut().enumerate() {
            client.write_all(&[at as u8]).unwrap();
        }
        let due: Vec<_> = (0..100).map(|_| due.recv_timeout(TEST_TIMEOUT).unwrap()).collect();
        let drained = thread::spawn(move || probed.server.drain().unwrap());
        let answering = thread::spawn(move || {
            for (answer, byte) in due {
                for part in [&[byte; 700][..], &[byte; 5000], &[byte; 3]] {
                    answer.send(part).unwrap();
                }
                drop(answer);
                thread::sleep(Duration::from_micros(1500));
            }
        });
        for (at, client) in clients.into_iter().enumerate() {
            assert!(read_to_end(client).unwrap() == vec![at as u8; 5703], "{at}");
        }
        answering.join().unwrap();
        assert_eq!(drained.join().unwrap().total().errors.total(), 0);
    }
}
