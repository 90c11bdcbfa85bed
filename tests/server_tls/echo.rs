//! Every byte comes back, whatever the sizes of writes, records and socket buffers.

use std::io::{ErrorKind, Read, Write};

use evshard::server::{Connection, Echo, Service};

use crate::clients::{
    Client, Site, VERSIONS, all_configs, client_on, close, echo, handshake, read_to_close_notify,
    socket_to,
};
use crate::common::{eventually, noise};

/// Random sizes: many small ones, and some around the size of a record and of a read buffer.
fn sizes(seed: u64) -> impl Iterator<Item = usize> {
    const AROUND: [usize; 6] = [1, 16_383, 16_384, 16_385, 65_535, 65_537];
    let random = noise(seed, 20);
    let random =
        random.chunks_exact(2).map(|two| usize::from(u16::from_le_bytes([two[0], two[1]])));
    random.collect::<Vec<_>>().into_iter().chain(AROUND)
}

#[test]
fn messages_of_any_size_come_back_identical_with_both_versions() {
    for (seed, config) in (1..).zip(all_configs()) {
        let site = Site::start(config, Echo);
        for version in VERSIONS {
            let mut client = site.connect_by(version);
            for size in sizes(seed) {
                echo(&mut client, &noise(seed, size));
            }
            close(client);
        }
        let total = site.server.drain().unwrap().total();
        assert_eq!((total.errors.total(), total.handshakes.done), (0, 2));
        assert_eq!(total.bytes_in, 2 * sizes(seed).sum::<usize>() as u64);
        assert_eq!(total.bytes_in, total.bytes_out);
    }
}

#[test]
fn single_bytes_each_in_a_record_of_its_own_come_back_in_order() {
    for config in all_configs() {
        let site = Site::start(config, Echo);
        for version in VERSIONS {
            let mut client = site.connect_by(version);
            let sent = noise(7, 300);
            for byte in &sent {
                client.write_all(&[*byte]).unwrap();
                client.flush().unwrap();
            }
            let mut back = vec![0; sent.len()];
            client.read_exact(&mut back).unwrap();
            assert_eq!(back, sent);
        }
    }
}

/// Sends all, and reads only while nothing can be sent: as late as it can, and then a little.
/// Returns what came back.
fn exchange_slowly(client: &mut Client, sent: &[u8], mut is_stuck: impl FnMut()) -> Vec<u8> {
    let (mut written, mut received) = (0, Vec::new());
    client.conn.set_buffer_limit(Some(20_000));
    client.sock.set_nonblocking(true).unwrap();
    while received.len() < sent.len() {
        if written < sent.len() {
            written += client.conn.writer().write(&sent[written..]).unwrap();
        }
        let mut is_blocked = written == sent.len();
        while client.conn.wants_write() {
            match client.conn.write_tls(&mut client.sock) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    is_blocked = true;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        if is_blocked {
            if written < sent.len() {
                is_stuck();
            }
            receive_some(client, &mut received);
        }
    }
    client.sock.set_nonblocking(false).unwrap();
    received
}

/// Reads once from the socket.
fn receive_some(client: &mut Client, received: &mut Vec<u8>) {
    match client.conn.read_tls(&mut client.sock) {
        Ok(length) => assert!(length > 0, "the stream ended"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            std::thread::yield_now();
            return;
        }
        Err(error) => panic!("{error}"),
    }
    client.conn.process_new_packets().unwrap();
    let mut reader = client.conn.reader();
    let mut part = [0; 20_000];
    while let Ok(length) = reader.read(&mut part) {
        received.extend_from_slice(&part[..length]);
    }
}

#[test]
fn a_client_that_writes_much_and_reads_late_gets_every_byte() {
    // More than the sockets of both sides and the server hold together.
    const SENT: usize = 16 << 20;
    for config in all_configs() {
        let site = Site::start(config, Echo);
        for version in VERSIONS {
            let tls = site.authority.client(&[version]).into();
            let socket = socket_to(site.address, Some(4096));
            let mut client = client_on(socket, &tls, "localhost");
            handshake(&mut client);
            let sent = noise(3, SENT);
            let mut was_held = false;
            let back = exchange_slowly(&mut client, &sent, || {
                // The server has read what the socket cannot take back: both its pending output
                // and records that are encrypted.
                if !was_held {
                    let held = || site.server.stats().buffer_bytes;
                    eventually("the server holds output", || held() > 0);
                    was_held = true;
                }
            });
            assert!(was_held && back == sent, "the echo differs");
            drop(client);
            eventually("it holds nothing", || site.server.stats().buffer_bytes == 0);
        }
    }
}

/// Answers each line by its length.
#[derive(Clone)]
struct LineLengths;

impl Service for LineLengths {
    type Session = ();
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) {}

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
        connection.send(format!("{end} ").as_bytes());
        end + 1
    }
}

#[test]
fn messages_in_one_record_and_a_message_over_many_records_are_each_answered_once() {
    for config in all_configs() {
        let site = Site::start(config, LineLengths);
        for version in VERSIONS {
            let mut client = site.connect_by(version);
            let mut expected = String::new();
            // Three hundred in one record.
            let lines: String = (0..300).map(|n| "x".repeat(n % 40) + "\n").collect();
            expected.extend((0..300).map(|n| format!("{} ", n % 40)));
            client.write_all(lines.as_bytes()).unwrap();
            client.flush().unwrap();
            // One over fifty, and over several reads of the server.
            for _ in 0..50 {
                client.write_all(&[b'y'; 4000]).unwrap();
                client.flush().unwrap();
            }
            client.write_all(b"\nz").unwrap();
            expected.push_str("200000 ");
            client.write_all(b"\n").unwrap();
            expected.push_str("1 ");
            client.conn.send_close_notify();
            client.flush().unwrap();
            let answers = read_to_close_notify(&mut client).unwrap();
            assert_eq!(String::from_utf8(answers).unwrap(), expected);
        }
        assert_eq!(site.server.drain().unwrap().total().errors.total(), 0);
    }
}
