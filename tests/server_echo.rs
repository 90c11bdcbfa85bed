//! The echo service against real sockets, in a server process: every byte comes back, and no
//! resource of a connection remains.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use common::{ServerProcess, TEST_TIMEOUT, eventually, noise, total};
use test_needs::Need;

const MODES: [&[&str]; 2] = [&["--workers", "2", "--changelist", "immediate"], &["--workers", "2"]];

/// Sends everything while reading; returns what came back before the end of stream.
fn echo_all(stream: TcpStream, sent: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = stream;
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        received
    })
}

/// Closes with a reset instead of an orderly end.
fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn messages_of_any_size_come_back_identical_and_half_close_ends_in_end_of_stream() {
    for mode in MODES {
        let server = ServerProcess::start(mode);
        thread::scope(|scope| {
            for connection in 0..100_u64 {
                let server = &server;
                scope.spawn(move || {
                    let length = noise(connection, 8)
                        .iter()
                        .fold(0_usize, |n, byte| (n << 8 | usize::from(*byte)) % (1 << 20));
                    let length =
                        [0, 1, 1 << 20].get(connection as usize).copied().unwrap_or(length);
                    let sent = noise(connection, length);
                    let received = echo_all(server.connect(), &sent);
                    assert!(received == sent, "connection {connection} with {length} bytes");
                });
            }
        });
        let (status, table) = server.terminate();
        assert!(status.success(), "{status}");
        assert_eq!(total(&table, "connections"), 100);
        assert_eq!(total(&table, "errors"), 0, "{table}");
    }
}

#[test]
fn a_reader_that_stalls_loses_nothing_and_costs_bounded_memory() {
    const SENT: usize = 64 << 20;
    const CONNECTIONS: usize = 8;
    for mode in MODES {
        let server = ServerProcess::start(mode);
        let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| server.connect()).collect();
        let before_kib = server.status("VmRSS");
        let chunk = noise(1, 1 << 20);
        // Write until neither our kernel nor the server takes more: a stuck reader.
        let fill = |mut stream: &TcpStream| {
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            let mut written = 0;
            while let Ok(n) = stream.write(&chunk[written % chunk.len()..]) {
                written += n;
                assert!(written < SENT, "{SENT} bytes that were not read are held somewhere");
            }
            written
        };
        let written: Vec<usize> = thread::scope(|scope| {
            let fills: Vec<_> = streams.iter().map(|s| scope.spawn(|| fill(s))).collect();
            fills.into_iter().map(|fill| fill.join().unwrap()).collect()
        });
        // The server is idle while all its peers stall: it does not spin on what cannot be sent.
        let (cpu, start) = (server.cpu_time(), Instant::now());
        let grown_kib = server.status("VmRSS").saturating_sub(before_kib);
        assert!(grown_kib < 4096, "{grown_kib} KiB for {CONNECTIONS} stalled connections");
        thread::sleep(Duration::from_millis(300));
        let busy = (server.cpu_time() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
        assert!(busy < 0.2, "{busy:.2} of a core while every peer stalls");
        // Then the clients read, and everything is there.
        for (stream, written) in streams.iter_mut().zip(written) {
            stream.shutdown(Shutdown::Write).unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            assert_eq!(received.len(), written);
            assert!(received.chunks(chunk.len()).all(|part| part == &chunk[..part.len()]));
        }
    }
}

#[test]
fn whatever_way_connections_end_no_socket_is_left() {
    for mode in MODES {
        let server = ServerProcess::start(mode);
        let before = server.sockets();
        for round in 0..40 {
            let streams: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
            for (index, mut stream) in streams.into_iter().enumerate() {
                match (index + round) % 6 {
                    0 => drop(stream),
                    1 => reset(stream),
                    2 => drop(echo_all(stream, &noise(7, 3000))),
                    3 => {
                        stream.write_all(&noise(8, 200_000)).unwrap();
                        reset(stream);
                    }
                    4 => {
                        stream.write_all(b"never read").unwrap();
                        drop(stream);
                    }
                    _ => {
                        stream.shutdown(Shutdown::Write).unwrap();
                        assert_eq!(common::read(&stream, &mut [0; 8]).unwrap(), 0);
                    }
                }
            }
        }
        eventually("all sockets are closed", || server.sockets() <= before);
        let (status, table) = server.terminate();
        assert!(status.success() && total(&table, "connections") >= 2000, "{table}");
    }
}

#[test]
fn fifteen_thousand_connections_are_held_and_each_echoes() {
    const CONNECTIONS: usize = 15_000;
    // Other tests run in this process at the same time and need some, too.
    if test_needs::missing(Need::Descriptors(CONNECTIONS as u64 + 2_000)) {
        return;
    }
    let server = ServerProcess::start(&["--workers", "2"]);
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for round in 0..2_u32 {
        for (number, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&(number as u32 ^ round).to_le_bytes()).unwrap();
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let mut echo = [0; 4];
            stream.read_exact(&mut echo).unwrap();
            assert_eq!(u32::from_le_bytes(echo), number as u32 ^ round);
        }
    }
    assert!(server.sockets() > CONNECTIONS);
    drop(streams);
    let (status, table) = server.terminate();
    assert!(status.success());
    assert_eq!(total(&table, "connections"), CONNECTIONS as u64);
    assert_eq!(total(&table, "bytes"), CONNECTIONS as u64 * 8);
}

#[test]
fn running_out_of_descriptors_neither_spins_nor_ends_the_server() {
    let server = ServerProcess::start_after("ulimit -n 40", "--workers 1");
    let clients: Vec<TcpStream> = (0..80).map(|_| server.connect()).collect();
    eventually("the descriptors run out", || server.descriptors() >= 40);
    let (cpu, start) = (server.cpu_time(), Instant::now());
    thread::sleep(Duration::from_millis(500));
    let busy = (server.cpu_time() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(busy < 0.1, "{busy:.2} of a core while exhausted");
    drop(clients);
    let echoed = echo_all(server.connect(), b"still there");
    assert_eq!(echoed, b"still there");
    assert!(server.terminate().0.success());
}

#[test]
fn a_client_that_sends_nothing_delays_no_other() {
    let server = ServerProcess::start(&["--workers", "1"]);
    let _silent: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    let start = Instant::now();
    assert_eq!(echo_all(server.connect(), b"hello"), b"hello");
    assert!(start.elapsed() < TEST_TIMEOUT);
}
