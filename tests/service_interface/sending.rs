//! What a callback does to other connections of its shard.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use super::clients::{
    MUCH, ask, config, connect, connect_narrow, expect_silence, limited, receive, roomy,
};
use super::common::{MS, TEST_TIMEOUT, eventually, noise, read_to_end};
use super::probe::{Does, Event, Probed};
use evshard::server::{CloseReason, ConnectionId, Limits, SendError, ServerConfig};

fn expect_sent(probed: &Probed, id: ConnectionId) {
    let is_sent = |event| matches!(event, Event::Sent(sent) if sent == id);
    probed.next(|event| is_sent(event).then_some(()));
}

#[test]
fn small_sends_to_another_connection_are_followed_by_sent_so_that_a_relay_can_wait_for_it() {
    let probed = Probed::start(&config(1), Does::default());
    let mut client = connect(&probed.server);
    let id = probed.opened().id();
    let unsent = probed.on_shard(0, move |shard| {
        shard.send(id, b"collected").unwrap();
        shard.unsent(id)
    });
    assert_eq!(unsent, 9, "a relay stops reading its source now");
    assert_eq!(receive(&mut client, 9), b"collected");
    expect_sent(&probed, id);
    // What goes out at once needs no call.
    let unsent = probed.on_shard(0, move |shard| {
        shard.send(id, &[1; 5000]).unwrap();
        shard.unsent(id)
    });
    assert_eq!(unsent, 0);
    receive(&mut client, 5000);
    assert!(probed.events.try_recv().is_err());
}

#[test]
fn sent_is_called_once_for_each_time_that_pending_output_is_gone() {
    let does = Does {
        // A service that pauses then has nothing more to send.
        sent: Box::new(|connection| connection.pause()),
        resume: Box::new(|connection| connection.pause()),
        ..Does::default()
    };
    let probed = Probed::start(&roomy(), does);
    let mut client = connect_narrow(&probed.server);
    let id = probed.opened().id();
    for round in 0..3_u8 {
        let unsent = probed.on_shard(0, move |shard| {
            shard.send(id, &vec![round; MUCH]).unwrap();
            shard.unsent(id)
        });
        assert!(unsent > 0);
        assert!(receive(&mut client, MUCH) == vec![round; MUCH]);
        expect_sent(&probed, id);
        let unsent = probed.on_shard(0, move |shard| shard.unsent(id));
        assert_eq!(unsent, 0);
        // A turn of the loop later.
        probed.on_shard(0, |_| ());
        let more: Vec<Event> = probed.events.try_iter().collect();
        assert!(more.is_empty(), "{more:?}");
    }
}

#[test]
fn a_connection_that_pauses_when_it_resumes_is_not_called_again() {
    let does = Does {
        receive: Box::new(|input, connection| {
            connection.send(&vec![1; MUCH]);
            connection.continue_when_sent();
            input.len()
        }),
        resume: Box::new(|connection| connection.pause()),
        ..Does::default()
    };
    let probed = Probed::start(&roomy(), does);
    let mut client = connect_narrow(&probed.server);
    let id = probed.opened().id();
    client.write_all(b"x").unwrap();
    receive(&mut client, MUCH);
    probed.next(|event| matches!(event, Event::Resumed(of) if of == id).then_some(()));
    for _ in 0..3 {
        probed.on_shard(0, |_| ());
    }
    let more: Vec<Event> = probed.events.try_iter().collect();
    assert!(more.is_empty(), "{more:?}");
    probed.on_shard(0, move |shard| shard.close(id));
    assert_eq!(read_to_end(client).unwrap(), b"");
}

#[test]
fn bytes_of_every_way_to_send_stay_in_order() {
    let shared: Arc<[u8]> = noise(3, 20_000).into();
    let large = noise(4, 30_000);
    let mut file = tempfile::tempfile().unwrap();
    let in_file = noise(5, 50_000);
    file.write_all(&in_file).unwrap();
    let file = Arc::new(file);
    let expected = {
        let mut all = Vec::new();
        for _ in 0..3 {
            for part in [&b"small"[..], &shared, b"small", &in_file, &large, b"small", b"own"] {
                all.extend_from_slice(part);
            }
        }
        all
    };
    // The own connection by its id, and itself.
    let does = Does {
        receive: Box::new(move |input, connection| {
            let id = connection.id();
            for _ in 0..3 {
                connection.send(b"small");
                connection.shard().send_shared(id, &shared).unwrap();
                connection.shard().send(id, b"small").unwrap();
                connection.send_file(file.clone(), 0..50_000).unwrap();
                connection.shard().send(id, &large).unwrap();
                connection.try_send(b"small").unwrap();
                connection.send(b"own");
            }
            input.len()
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    for mut client in [connect(&probed.server), connect_narrow(&probed.server)] {
        client.write_all(b"x").unwrap();
        assert!(receive(&mut client, expected.len()) == expected);
        expect_silence(&mut client);
    }
}

#[test]
fn a_slow_reader_is_full_at_its_limit_and_loses_only_itself() {
    let limits = Limits { buffer_bytes: 100_000, ..Limits::default() };
    let probed = Probed::start(&limited(limits), Does::default());
    let slow = connect_narrow(&probed.server);
    let slow_id = probed.opened().id();
    let mut quick = connect(&probed.server);
    let quick_id = probed.opened().id();
    let shared: Arc<[u8]> = noise(6, 10_000).into();
    let mut rounds = 0;
    loop {
        let news = shared.clone();
        let result = probed.on_shard(0, move |shard| {
            shard.send_shared(quick_id, &news).unwrap();
            let result = shard.send_shared(slow_id, &news);
            assert!(shard.unsent(slow_id) <= 100_000);
            if result.is_err() {
                shard.abort(slow_id);
            }
            result
        });
        assert!(receive(&mut quick, 10_000) == shared[..]);
        rounds += 1;
        assert!(rounds < 10_000, "the queue grows without bound");
        match result {
            Ok(()) => {}
            Err(error) => break assert_eq!(error, SendError::Full),
        }
    }
    assert_eq!(probed.closed(), (slow_id, CloseReason::Aborted, 0));
    assert_eq!(ask(&mut quick, b"still here"), b"still here");
    let stale = probed.on_shard(0, move |shard| shard.send(slow_id, b"x"));
    assert_eq!(stale, Err(SendError::Closed));
    drop((slow, quick));
    probed.expect_nothing_left();
}

#[test]
fn a_full_connection_has_unsent_bytes_and_learns_when_they_are_sent() {
    const PART: usize = 3000;
    const LIMIT: usize = 10_000;
    let (accepted, count) = channel();
    let accepted = Mutex::new(accepted);
    let does = Does {
        receive: Box::new(move |input, connection| {
            // The callback collects them at first, and the socket takes more than the limit.
            let mut parts = 0;
            let error = loop {
                match connection.try_send(&[7; PART]) {
                    Ok(()) => parts += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!((error, connection.unsent() > 0), (SendError::Full, true));
            assert_eq!(connection.try_send(&[7; LIMIT + 1]), Err(SendError::TooLarge));
            accepted.lock().unwrap().send(parts).unwrap();
            input.len()
        }),
        ..Does::default()
    };
    let limits = Limits { buffer_bytes: LIMIT, ..Limits::default() };
    let probed = Probed::start(&limited(limits), does);
    let mut client = connect_narrow(&probed.server);
    let handle = probed.opened();
    let id = handle.id();
    client.write_all(b"x").unwrap();
    let parts: usize = count.recv_timeout(TEST_TIMEOUT).unwrap();
    assert!(parts * PART > 2 * LIMIT, "{parts}");
    probed.on_shard(0, move |shard| {
        assert_eq!(shard.send(id, &[7; PART]), Err(SendError::Full));
        assert_eq!(shard.send(id, &[7; LIMIT + 1]), Err(SendError::TooLarge));
    });
    assert_eq!(handle.send(&[7; LIMIT + 1]), Err(SendError::TooLarge));
    receive(&mut client, parts * PART);
    probed.next(|event| matches!(event, Event::Sent(of) if of == id).then_some(()));
    probed.on_shard(0, move |shard| shard.send(id, &[8; PART]).unwrap());
    assert_eq!(receive(&mut client, PART), [8; PART]);
}

#[test]
fn a_send_without_memory_differs_from_one_to_a_full_connection() {
    let limits = Limits { buffer_bytes: 1 << 20, ..Limits::default() };
    let config = ServerConfig { limits, memory_limit: 2 << 20, ..config(1) };
    let probed = Probed::start(&config, Does::default());
    let _slow: Vec<TcpStream> = (0..8).map(|_| connect_narrow(&probed.server)).collect();
    let handles: Vec<_> = (0..8).map(|_| probed.opened()).collect();
    let mut other = connect(&probed.server);
    let handle = probed.opened();
    let id = handle.id();
    probed.on_shard(0, move |shard| {
        // The memory is used up within one callback, before any connection is reset for it.
        let mut errors: Vec<SendError> = Vec::new();
        for slow in &handles {
            errors.push(loop {
                if let Err(error) = shard.send(slow.id(), &[1; 1000]) {
                    break error;
                }
            });
        }
        assert!(errors.contains(&SendError::Full) && errors.contains(&SendError::NoMemory));
        assert_eq!((shard.unsent(id), shard.send(id, b"x")), (0, Err(SendError::NoMemory)));
        assert_eq!(handle.send(&[1; 100_000]), Err(SendError::NoMemory));
    });
    assert_eq!(ask(&mut other, b"still here"), b"still here");
}

#[test]
fn an_id_of_a_closed_connection_never_reaches_the_next_one_in_its_slot() {
    let probed = Probed::start(&config(1), Does::default());
    let mut old = Vec::new();
    for _ in 0..50 {
        let client = connect(&probed.server);
        let handle = probed.opened();
        drop(client);
        assert_eq!(probed.closed().0, handle.id());
        old.push(handle);
    }
    let mut client = connect(&probed.server);
    let _ = probed.opened();
    for handle in old {
        assert!(!handle.is_open());
        assert_eq!(handle.send(b"to another"), Err(SendError::Closed));
        assert_eq!(handle.close(), Err(SendError::Closed));
        assert_eq!(handle.abort(), Err(SendError::Closed));
        let id = handle.id();
        probed.on_shard(0, move |shard| {
            assert!(!shard.is_open(id) && shard.session(id).is_none());
            assert_eq!(shard.send(id, b"to another"), Err(SendError::Closed));
            shard.abort(id);
            shard.close(id);
            shard.end_output(id);
            shard.pause(id);
            assert!(shard.handle(id).is_none());
        });
    }
    assert_eq!(ask(&mut client, b"untouched"), b"untouched");
    expect_silence(&mut client);
}

#[test]
fn a_connection_that_others_pause_and_resume_a_thousand_times_loses_nothing() {
    let probed = Probed::start(&config(1), Does::default());
    let mut client = connect(&probed.server);
    let id = probed.opened().id();
    let bytes = noise(7, 400_000);
    let mut writer = client.try_clone().unwrap();
    let written = bytes.clone();
    let writing =
        thread::spawn(move || written.chunks(997).for_each(|c| writer.write_all(c).unwrap()));
    let reading = thread::spawn(move || receive(&mut client, 400_000));
    for round in 0..1000_u32 {
        probed.on_shard(0, move |shard| {
            shard.pause(id);
            if round % 3 > 0 {
                shard.read(id);
                shard.pause(id);
                shard.read(id);
            }
        });
    }
    probed.on_shard(0, move |shard| shard.read(id));
    writing.join().unwrap();
    assert!(reading.join().unwrap() == bytes);
}

#[test]
fn a_paused_connection_receives_nothing_and_what_it_missed_when_it_reads_again() {
    let probed = Probed::start(&config(1), Does::default());
    let mut client = connect(&probed.server);
    let id = probed.opened().id();
    probed.on_shard(0, move |shard| shard.pause(id));
    client.write_all(b"later").unwrap();
    expect_silence(&mut client);
    // It is sent to meanwhile.
    probed.on_shard(0, move |shard| shard.send(id, b"meanwhile").unwrap());
    assert_eq!(receive(&mut client, 9), b"meanwhile");
    expect_silence(&mut client);
    probed.on_shard(0, move |shard| shard.read(id));
    assert_eq!(receive(&mut client, 5), b"later");
}

/// Both sides write more than all buffers take before they read.
#[test]
fn two_that_write_before_they_read_do_not_wait_for_each_other() {
    let does = Does {
        open: Box::new(|connection| connection.read_while_sending(true)),
        receive: Box::new(|input, connection| {
            connection.send(input);
            input.len()
        }),
        ..Does::default()
    };
    let limits = Limits { buffer_bytes: 64 << 20, ..Limits::default() };
    let probed = Probed::start(&limited(limits), does);
    let mut client = connect_narrow(&probed.server);
    let bytes = noise(8, 20 << 20);
    client.write_all(&bytes).unwrap();
    assert!(receive(&mut client, bytes.len()) == bytes);
    drop(client);
    probed.expect_nothing_left();
}

#[test]
fn a_callback_closes_and_aborts_others_and_each_learns_why() {
    let probed = Probed::start(&config(1), Does::default());
    let clients: Vec<TcpStream> = (0..20).map(|_| connect(&probed.server)).collect();
    let ids: Vec<_> = (0..20).map(|_| probed.opened().id()).collect();
    let all = ids.clone();
    probed.on_shard(0, move |shard| {
        for (at, &id) in all.iter().enumerate() {
            shard.send(id, b"the end").unwrap();
            if at % 2 == 0 {
                shard.close(id);
            } else {
                shard.abort(id);
            }
            // Nothing more is taken, whatever was chosen.
            assert_eq!(shard.send(id, b"more"), Err(SendError::Closed));
            shard.read(id);
            shard.pause(id);
        }
    });
    for (at, client) in clients.into_iter().enumerate() {
        let all = read_to_end(client);
        if at % 2 == 0 {
            assert_eq!(all.unwrap(), b"the end");
        } else {
            assert!(all.is_err(), "an abort is a reset");
        }
    }
    let mut reasons: Vec<_> = (0..20).map(|_| probed.closed()).collect();
    let place = |id| ids.iter().position(|other| *other == id).unwrap();
    reasons.sort_by_key(|(id, ..)| place(*id));
    for (at, (id, reason, _)) in reasons.into_iter().enumerate() {
        assert_eq!(id, ids[at]);
        let expected = if at % 2 == 0 { CloseReason::Closed } else { CloseReason::Aborted };
        assert_eq!(reason, expected);
    }
    probed.expect_nothing_left();
}

#[test]
fn a_close_waits_for_output_and_no_later_choice_undoes_it() {
    let does = Does {
        open: Box::new(|connection| {
            connection.start_timer(MS, 1);
        }),
        timer: Box::new(|connection| {
            connection.read();
            connection.start_timer(MS, 1);
        }),
        ..Does::default()
    };
    let probed = Probed::start(&roomy(), does);
    let mut client = connect_narrow(&probed.server);
    let id = probed.opened().id();
    let pending = probed.on_shard(0, move |shard| {
        shard.send(id, &vec![1; MUCH]).unwrap();
        shard.close(id);
        shard.unsent(id)
    });
    assert!(pending > 0);
    for _ in 0..5 {
        probed.next(|event| matches!(event, Event::Timer(..)).then_some(()));
    }
    assert!(receive(&mut client, MUCH) == vec![1; MUCH]);
    assert_eq!(read_to_end(client).unwrap(), b"");
    assert_eq!(probed.closed(), (id, CloseReason::Closed, 0));
}

#[test]
fn a_subscriber_that_is_only_sent_to_is_not_idle() {
    let limits = Limits { idle: Some(300 * MS), ..Limits::default() };
    let probed = Probed::start(&limited(limits), Does::default());
    let mut subscriber = connect(&probed.server);
    let id = probed.opened().id();
    let start = std::time::Instant::now();
    while start.elapsed() < 1200 * MS {
        let open = probed.on_shard(0, move |shard| shard.send(id, b"news").is_ok());
        assert!(open, "it was closed after {:?}", start.elapsed());
        assert_eq!(receive(&mut subscriber, 4), b"news");
        thread::sleep(20 * MS);
    }
    assert_eq!(subscriber.read(&mut [0]).unwrap(), 0, "it is idle once nothing moves");
    assert_eq!(probed.closed().1, CloseReason::Idle);
}

#[test]
fn a_client_that_is_greeted_and_sent_to_still_owes_its_first_byte() {
    let limits = Limits { first_byte: Some(300 * MS), idle: None, ..Limits::default() };
    let does = Does { open: Box::new(|connection| connection.send(b"220")), ..Does::default() };
    let probed = Probed::start(&limited(limits), does);
    let mut client = connect(&probed.server);
    let id = probed.opened().id();
    assert_eq!(receive(&mut client, 3), b"220");
    probed.on_shard(0, move |shard| shard.send(id, b"news").unwrap());
    assert_eq!(receive(&mut client, 4), b"news");
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(probed.closed().1, CloseReason::FirstByte);
}

/// The second request is in the same read as the first, whose answer is a file.
#[test]
fn requests_in_one_read_are_all_answered_whatever_their_answers_are() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&noise(11, 1000)).unwrap();
    let file = Arc::new(file);
    let shared: Arc<[u8]> = noise(12, 1000).into();
    let does = Does {
        receive: Box::new(move |input, connection| {
            match input[0] {
                b'f' => connection.send_file(file.clone(), 0..1000).unwrap(),
                b's' => connection.send_shared(&shared).unwrap(),
                b'e' => connection.end_output(),
                _ => connection.send(&[b'x'; 1000]),
            }
            1
        }),
        ..Does::default()
    };
    let probed = Probed::start(&config(1), does);
    let mut client = connect(&probed.server);
    client.write_all(&b"fsx".repeat(100)).unwrap();
    receive(&mut client, 300_000);
    client.write_all(b"fxexx").unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 2000);
    client.write_all(b"x").unwrap();
    eventually("all are received", || probed.server.stats().total().bytes_in == 306);
    // Nothing that is left unconsumed keeps it from being quiet.
    assert_eq!(probed.server.drain().unwrap().total().errors.total(), 0);
}

#[test]
fn a_file_that_becomes_shorter_while_it_is_sent_costs_its_connection_only() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&noise(9, 20 << 20)).unwrap();
    let file = Arc::new(file);
    let probed = Probed::start(&config(1), Does::default());
    let mut client = connect_narrow(&probed.server);
    let id = probed.opened().id();
    let mut other = connect(&probed.server);
    let sent = file.clone();
    probed.on_shard(0, move |shard| shard.send_file(id, sent, 0..20 << 20).unwrap());
    receive(&mut client, 1000);
    file.set_len(10 << 20).unwrap();
    assert!(client.read_to_end(&mut Vec::new()).is_err(), "its end is no orderly one");
    assert_eq!(probed.closed(), (id, CloseReason::Broken, 0));
    assert_eq!(ask(&mut other, b"still here"), b"still here");
    drop(other);
    probed.expect_nothing_left();
}

#[test]
fn a_file_that_is_sent_leaves_room_for_bytes_of_handles() {
    let mut file = tempfile::tempfile().unwrap();
    let bytes = noise(10, 20 << 20);
    file.write_all(&bytes).unwrap();
    let file = Arc::new(file);
    let probed = Probed::start(&config(1), Does::default());
    let mut client = connect_narrow(&probed.server);
    let handle = probed.opened();
    let id = handle.id();
    probed.on_shard(0, move |shard| shard.send_file(id, file, 0..20 << 20).unwrap());
    eventually("a part is sent", || probed.server.stats().total().bytes_out > 0);
    // A file needs no memory, so it does not count.
    handle.send(b"after it").unwrap();
    assert!(receive(&mut client, bytes.len()) == bytes);
    assert_eq!(receive(&mut client, 8), b"after it");
}

#[test]
fn no_bytes_are_sent_as_well_as_some() {
    let probed = Probed::start(&config(1), Does::default());
    let mut client = connect(&probed.server);
    let handle = probed.opened();
    let id = handle.id();
    let nothing: Arc<[u8]> = Arc::from([]);
    handle.send(b"").unwrap();
    handle.send_shared(&nothing).unwrap();
    probed.on_shard(0, move |shard| {
        shard.send(id, b"").unwrap();
        shard.send_shared(id, &nothing).unwrap();
    });
    assert_eq!(ask(&mut client, b"x"), b"x");
    handle.send(b"").unwrap();
    probed.on_shard(0, |_| ());
    // A connection with nothing to send is quiet.
    let start = std::time::Instant::now();
    let report = probed.server.drain().unwrap();
    assert!(start.elapsed() < TEST_TIMEOUT / 2);
    assert_eq!(report.total().errors.total(), 0);
    assert_eq!(read_to_end(client).unwrap(), b"");
}
