//! A crowd over all shards: each member gets each line once, in order of its sender, while others
//! join, leave and do not read.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use super::clients::{address, connect_narrow, in_every_mode, with_timeouts};
use super::common::eventually;
use evshard::server::{
    Closed, Connection, ConnectionId, Limits, Server, ServerConfig, Service, Shard,
};

const SPEAKERS: usize = 6;
const LINES: u32 = 150;
/// A sender, a number, and bytes that follow from both.
const LINE_BYTES: usize = 300;

/// Sends each line to all members of all shards. A member that does not read is aborted.
#[derive(Clone, Default)]
struct Crowd {
    members: Vec<ConnectionId>,
}

impl Service for Crowd {
    type Session = ();
    type Message = Arc<[u8]>;

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        self.members.push(connection.id());
        connection.send(b"welcome\n");
        // What it sends to others must not wait for what it reads.
        connection.read_while_sending(true);
    }

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        let Some(line) = input.get(..LINE_BYTES) else { return 0 };
        let line: Arc<[u8]> = line.into();
        let shard = connection.shard();
        for to in 0..shard.count() {
            // The queue of messages is longer than all lines.
            shard.post(to, line.clone()).unwrap();
        }
        LINE_BYTES
    }

    fn message(&mut self, line: Arc<[u8]>, shard: &mut Shard<'_, Self>) {
        for &member in &self.members {
            if shard.send_shared(member, &line).is_err() {
                shard.abort(member);
            }
        }
    }

    fn close(&mut self, (): (), closed: Closed, _: &mut Shard<'_, Self>) {
        self.members.retain(|member| *member != closed.id);
    }
}

fn line(speaker: usize, number: u32) -> Vec<u8> {
    let mut line = vec![speaker as u8];
    line.extend(number.to_le_bytes());
    line.extend((5..LINE_BYTES).map(|at| (speaker as u32 * 31 + number * 7 + at as u32) as u8));
    line
}

fn join(address: SocketAddr) -> TcpStream {
    let mut member = with_timeouts(TcpStream::connect(address).unwrap());
    let mut welcome = [0; 8];
    member.read_exact(&mut welcome).unwrap();
    assert_eq!(&welcome, b"welcome\n");
    member
}

/// Reads lines, each whole and the next of its speaker, until `done`.
fn expect_lines(mut member: &TcpStream, mut done: impl FnMut(&[Option<u32>]) -> bool) {
    let mut last = vec![None; SPEAKERS];
    let mut bytes = [0; LINE_BYTES];
    while !done(&last) {
        member.read_exact(&mut bytes).unwrap();
        let speaker = usize::from(bytes[0]);
        let number = u32::from_le_bytes(bytes[1..5].try_into().unwrap());
        assert!(bytes == line(speaker, number)[..]);
        // Who joins later begins later.
        assert!(last[speaker].is_none_or(|last| last + 1 == number), "{speaker}: {number}");
        last[speaker] = Some(number);
    }
}

#[test]
fn each_member_gets_each_line_while_others_join_leave_and_do_not_read() {
    for config in in_every_mode(2) {
        let limits = Limits { buffer_bytes: 8 << 20, ..Limits::default() };
        let server = Server::start(&ServerConfig { limits, ..config }, Crowd::default()).unwrap();
        let address = address(&server);
        let speakers: Vec<TcpStream> = (0..SPEAKERS).map(|_| join(address)).collect();
        let listeners: Vec<TcpStream> = (0..20).map(|_| join(address)).collect();
        let deaf: Vec<TcpStream> = (0..4).map(|_| connect_narrow(&server)).collect();
        thread::scope(|scope| {
            for (speaker, mut stream) in speakers.iter().enumerate() {
                scope.spawn(move || {
                    for number in 0..LINES {
                        stream.write_all(&line(speaker, number)).unwrap();
                    }
                });
            }
            for member in speakers.iter().chain(&listeners) {
                let all = |last: &[Option<u32>]| last.iter().all(|at| *at == Some(LINES - 1));
                scope.spawn(move || expect_lines(member, all));
            }
            for _ in 0..3 {
                scope.spawn(move || (0..50).for_each(|_| drop(join(address))));
            }
        });
        drop((speakers, listeners, deaf));
        eventually("all have left", || {
            let stats = server.stats();
            stats.total().open == 0 && stats.buffer_bytes == 0
        });
        let total = server.drain().unwrap().total();
        assert_eq!(total.messages, u64::from(LINES) * SPEAKERS as u64 * 2);
        assert_eq!((total.messages_refused, total.errors.panicked), (0, 0));
    }
}
