//! Handles, from threads that are no shards.

use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use super::clients::{
    address, ask, config, connect, connect_narrow, in_every_mode, limited, receive, with_timeouts,
};
use super::common::{TEST_TIMEOUT, eventually, read_to_end};
use super::probe::{Does, Probe, Probed};
use evshard::server::{
    CloseReason, ConnectionHandle, Limits, PeerAddress, SendError, ServerConfig, Shard,
};

/// Sends all of it, and waits while there is no room.
fn send_all(handle: &ConnectionHandle, bytes: &[u8]) -> Result<(), SendError> {
    loop {
        match handle.send(bytes) {
            Err(SendError::Full) => thread::yield_now(),
            result => return result,
        }
    }
}

/// A frame of a sender: its number, a counter, and bytes that follow from both.
fn frame(sender: u8, counter: u32) -> Vec<u8> {
    let length = 1 + (u32::from(sender) * 7919 + counter * 104_729) % 6000;
    let mut frame = vec![sender];
    frame.extend(counter.to_le_bytes());
    frame.extend((length as u16).to_le_bytes());
    frame.extend((0..length).map(|at| (u32::from(sender) ^ counter ^ at) as u8));
    frame
}

/// Reads frames; panics unless each is whole, and those of each sender come in order.
fn check_frames(mut stream: impl Read, senders: usize, frames: u32) {
    let mut next = vec![0; senders];
    let mut head = [0; 7];
    for _ in 0..senders as u32 * frames {
        stream.read_exact(&mut head).unwrap();
        let sender = head[0];
        let counter = u32::from_le_bytes(head[1..5].try_into().unwrap());
        let length = u16::from_le_bytes(head[5..].try_into().unwrap());
        let mut rest = vec![0; length.into()];
        stream.read_exact(&mut rest).unwrap();
        assert_eq!(counter, next[usize::from(sender)], "of sender {sender}");
        next[usize::from(sender)] += 1;
        assert!(frame(sender, counter)[7..] == rest, "{sender} {counter}");
    }
    assert!(next.iter().all(|next| *next == frames));
}

#[test]
fn what_eight_threads_send_to_many_connections_arrives_whole_and_in_order_of_each() {
    const FRAMES: u32 = 60;
    for config in in_every_mode(2) {
        let probed = Probed::start(&config, Does::default());
        let clients: Vec<TcpStream> = (0..10).map(|_| connect(&probed.server)).collect();
        let handles: Vec<ConnectionHandle> = (0..10).map(|_| probed.opened()).collect();
        thread::scope(|scope| {
            for sender in 0..8_u8 {
                let handles = &handles;
                scope.spawn(move || {
                    for counter in 0..FRAMES {
                        for handle in handles {
                            send_all(handle, &frame(sender, counter)).unwrap();
                        }
                    }
                });
            }
            for client in &clients {
                scope.spawn(move || check_frames(client, 8, FRAMES));
            }
        });
        drop(clients);
        probed.expect_nothing_left();
    }
}

#[test]
fn a_peer_that_does_not_read_fills_its_own_limit_and_no_more() {
    let limits = Limits { buffer_bytes: 100_000, ..Limits::default() };
    let probed = Probed::start(&limited(limits), Does::default());
    let slow = connect_narrow(&probed.server);
    let handle = probed.opened();
    let mut quick = connect(&probed.server);
    let quick_handle = probed.opened();
    let full = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let shared: Arc<[u8]> = vec![7; 3000].into();
                let mut refused = 0;
                while refused < 2000 {
                    refused += u32::from(handle.send(&[7; 1000]) == Err(SendError::Full));
                    refused += u32::from(handle.send_shared(&shared) == Err(SendError::Full));
                }
                full.store(true, Ordering::Relaxed);
            });
        }
        while !full.load(Ordering::Relaxed) {
            // What is queued and what is unsent, each at most the limit, with what chunks leave
            // unused.
            let bytes = probed.server.stats().buffer_bytes;
            assert!(bytes <= 2 * 100_000 + 100_000, "{bytes}");
        }
    });
    assert_eq!(handle.send(&[7; 100_001]), Err(SendError::TooLarge));
    send_all(&quick_handle, b"not full").unwrap();
    assert_eq!(receive(&mut quick, 8), b"not full");
    handle.abort().unwrap();
    assert_eq!(probed.closed(), (handle.id(), CloseReason::Aborted, 0));
    assert!(read_to_end(slow).is_err());
    drop(quick);
    probed.expect_nothing_left();
}

#[test]
fn a_handle_that_closes_after_it_sent_loses_nothing() {
    for config in in_every_mode(2) {
        let probed = Probed::start(&config, Does::default());
        for size in [1, 5000, 900_000] {
            let mut client = connect_narrow(&probed.server);
            let handle = probed.opened();
            let shared: Arc<[u8]> = vec![5; size / 2].into();
            send_all(&handle, &vec![4; size / 2 + 1]).unwrap();
            while handle.send_shared(&shared) == Err(SendError::Full) {
                thread::yield_now();
            }
            handle.close().unwrap();
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            assert!(all == [vec![4; size / 2 + 1], vec![5; size / 2]].concat(), "{size}");
            assert_eq!(probed.closed(), (handle.id(), CloseReason::Closed, 0));
            assert_eq!(handle.send(b"more"), Err(SendError::Closed));
        }
        probed.expect_nothing_left();
    }
}

/// Clients come and go, threads send to handles old and new and close some of them. Each client
/// receives only what was sent to itself.
#[test]
fn no_handle_ever_reaches_another_connection_in_a_storm() {
    for config in in_every_mode(2) {
        let limits = Limits { buffer_bytes: 50_000, ..Limits::default() };
        let (handles, received) = channel::<(ConnectionHandle, u16)>();
        // Each connection is sent its own port.
        let does = Does {
            open: Box::new(move |connection| {
                let PeerAddress::Internet(peer) = connection.peer() else { panic!("it is TCP") };
                let _ = handles.send((connection.handle(), peer.port()));
            }),
            ..Does::default()
        };
        let probed = Probed::start(&ServerConfig { limits, ..config }, does);
        let address = address(&probed.server);
        let stop = AtomicBool::new(false);
        let received = Mutex::new(received);
        let clients_left = AtomicU32::new(4);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut known: Vec<(ConnectionHandle, u16)> = Vec::new();
                    let mut turn = 0_usize;
                    while !stop.load(Ordering::Relaxed) {
                        turn += 1;
                        if let Ok(new) = received.lock().unwrap().try_recv() {
                            known.push(new);
                        }
                        if known.is_empty() {
                            thread::yield_now();
                            continue;
                        }
                        let (handle, port) = &known[turn * 7919 % known.len()];
                        let _ = handle.send(&port.to_le_bytes().repeat(1 + turn % 3000));
                        match turn % 97 {
                            0 => drop(handle.close()),
                            1 => drop(handle.abort()),
                            _ => {}
                        }
                    }
                });
            }
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..100 {
                        let mut client = with_timeouts(TcpStream::connect(address).unwrap());
                        let port = client.local_addr().unwrap().port();
                        let mut all = vec![0; 1 + round * 500];
                        let mut length = 0;
                        while length < all.len() {
                            match client.read(&mut all[length..]) {
                                Ok(0) | Err(_) => break,
                                Ok(read) => length += read,
                            }
                        }
                        let own = port.to_le_bytes();
                        let is_own = |(at, byte): (usize, &u8)| own[at % 2] == *byte;
                        assert!(all[..length].iter().enumerate().all(is_own));
                    }
                    if clients_left.fetch_sub(1, Ordering::Relaxed) == 1 {
                        stop.store(true, Ordering::Relaxed);
                    }
                });
            }
        });
        probed.expect_nothing_left();
    }
}

#[test]
fn handles_are_used_from_eight_threads_while_the_server_drains_and_after_it() {
    for config in in_every_mode(2) {
        let probed = Probed::start(&config, Does::default());
        let mut clients: Vec<TcpStream> = (0..8).map(|_| connect(&probed.server)).collect();
        for client in &mut clients {
            assert_eq!(ask(client, b"x"), b"x");
        }
        let handles: Vec<ConnectionHandle> = (0..8).map(|_| probed.opened()).collect();
        let start = Barrier::new(9);
        let server = probed.server;
        thread::scope(|scope| {
            for sender in 0..8_usize {
                let (handles, start) = (&handles, &start);
                scope.spawn(move || {
                    start.wait();
                    let mut open: Vec<bool> = vec![true; 8];
                    // Until all are closed, which a drain must reach while they send: each stops
                    // after some time.
                    for _ in 0..2000 {
                        for (handle, open) in handles.iter().zip(&mut open) {
                            match handle.send(&[sender as u8; 10]) {
                                Err(SendError::Closed) => *open = false,
                                _ => assert!(*open, "it was closed and is open again"),
                            }
                        }
                    }
                });
            }
            for client in &clients {
                scope.spawn(move || {
                    let mut bytes = Vec::new();
                    // In order: everything that was accepted is sent.
                    let mut client = client;
                    client.read_to_end(&mut bytes).unwrap();
                    // Ten by ten, each of one sender.
                    assert_eq!(bytes.len() % 10, 0);
                    let whole = |ten: &[u8]| ten.iter().all(|byte| *byte == ten[0] && *byte < 8);
                    assert!(bytes.chunks(10).all(whole));
                });
            }
            start.wait();
            let report = server.drain().unwrap();
            assert_eq!(report.total().errors.total(), 0);
            assert_eq!((report.buffer_bytes, report.total().open), (0, 0));
        });
        for handle in &handles {
            assert_eq!(handle.send(b"x"), Err(SendError::Closed));
            assert_eq!(handle.close(), Err(SendError::Closed));
            assert!(!handle.is_open());
        }
    }
}

#[test]
fn a_handle_outlives_its_server() {
    let probed = Probed::start(&config(1), Does::default());
    let _client = connect(&probed.server);
    let handle = probed.opened();
    drop(probed.server);
    eventually("it is closed", || handle.send(b"x") == Err(SendError::Closed));
    assert!(handle.clone().abort().is_err());
}

#[test]
fn memory_of_all_connections_together_is_bounded_by_the_limit_of_the_server() {
    let limits = Limits { buffer_bytes: 1 << 20, ..Limits::default() };
    let memory_limit = 4 << 20;
    let config = ServerConfig { limits, memory_limit, ..config(2) };
    let probed = Probed::start(&config, Does::default());
    let clients: Vec<TcpStream> = (0..20).map(|_| connect_narrow(&probed.server)).collect();
    let handles: Vec<ConnectionHandle> = (0..20).map(|_| probed.opened()).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    for handle in &handles {
                        let _ = handle.send(&[1; 20_000]);
                    }
                }
            });
        }
        for _ in 0..50 {
            let bytes = probed.server.stats().buffer_bytes;
            assert!(bytes <= memory_limit as u64, "{bytes}");
        }
    });
    drop(clients);
    probed.expect_nothing_left();
}

/// Makes a shard do nothing until the result is dropped.
fn hold_up(probed: &Probed) -> Sender<()> {
    let (go_on, held_up) = channel();
    let (begun, began) = channel();
    let job = move |_: &mut Shard<'_, Probe>| {
        begun.send(()).unwrap();
        let _ = held_up.recv();
    };
    probed.sender.post(0, Box::new(job)).unwrap();
    began.recv_timeout(TEST_TIMEOUT).unwrap();
    go_on
}

/// Sends bytes one by one until the shard has no room for more; returns how many.
fn fill(handle: &ConnectionHandle) -> usize {
    let sends = (0..100_000).take_while(|at| handle.send(&[*at as u8]).is_ok()).count();
    assert_eq!(handle.send(b"x"), Err(SendError::Full));
    sends
}

#[test]
fn a_close_is_not_refused_although_the_shard_has_no_room_and_follows_what_was_sent() {
    for config in in_every_mode(1) {
        let probed = Probed::start(&config, Does::default());
        let clients: Vec<TcpStream> = (0..50).map(|_| connect(&probed.server)).collect();
        let handles: Vec<ConnectionHandle> = (0..50).map(|_| probed.opened()).collect();
        let go_on = hold_up(&probed);
        let sent = fill(&handles[0]);
        for handle in &handles {
            handle.close().unwrap();
            handle.close().unwrap();
            assert_eq!(handle.send(b"after it"), Err(SendError::Closed));
        }
        drop(go_on);
        let received: Vec<_> = clients.into_iter().map(|it| read_to_end(it).unwrap()).collect();
        let mut lengths: Vec<usize> = received.iter().map(Vec::len).collect();
        lengths.sort_unstable();
        assert_eq!(lengths[..49], [0; 49]);
        assert_eq!(lengths[49], sent);
        let longest = received.iter().max_by_key(|bytes| bytes.len()).unwrap();
        assert!(longest.iter().enumerate().all(|(at, byte)| *byte == at as u8));
        for _ in &handles {
            assert_eq!(probed.closed().1, CloseReason::Closed);
        }
        probed.expect_nothing_left();
    }
}

#[test]
fn an_abort_is_not_refused_although_the_shard_has_no_room_and_a_close_was_asked_for() {
    for config in in_every_mode(1) {
        let probed = Probed::start(&config, Does::default());
        let client = connect(&probed.server);
        let handle = probed.opened();
        let go_on = hold_up(&probed);
        fill(&handle);
        handle.abort().unwrap();
        handle.abort().unwrap();
        handle.close().unwrap();
        drop(go_on);
        assert_eq!(probed.closed(), (handle.id(), CloseReason::Aborted, 0));
        assert!(read_to_end(client).is_err(), "an abort is a reset");
        assert_eq!(handle.abort(), Err(SendError::Closed));
        assert_eq!(handle.close(), Err(SendError::Closed));
        probed.expect_nothing_left();
    }
}
