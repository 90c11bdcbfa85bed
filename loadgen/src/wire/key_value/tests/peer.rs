//! A server in memory, written from the definitions of RESP and of memcached's protocol and from
//! nothing else here.

use std::collections::HashMap;

use crate::wire::Protocol;

/// A command as the server understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Get(String),
    Set(String, Vec<u8>),
    Delete(String),
}

/// A server with its data.
#[derive(Debug)]
pub(super) struct Peer {
    protocol: Protocol,
    pub(super) data: HashMap<String, Vec<u8>>,
}

impl Peer {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol, data: HashMap::new() }
    }

    /// Takes the first whole command out of `stream`.
    pub(super) fn take_command(&self, stream: &mut Vec<u8>) -> Option<Command> {
        let (command, bytes) = match self.protocol {
            Protocol::Resp2 => resp_command(stream)?,
            _ => memcached_command(self.protocol, stream)?,
        };
        stream.drain(..bytes);
        Some(command)
    }

    /// Executes a command; returns the reply.
    pub(super) fn execute(&mut self, command: Command) -> Vec<u8> {
        match command {
            Command::Get(key) => {
                let value = self.data.get(&key).cloned();
                self.found(&key, value.as_deref())
            }
            Command::Set(key, value) => {
                self.data.insert(key, value);
                self.stored()
            }
            Command::Delete(key) => {
                let existed = self.data.remove(&key).is_some();
                self.deleted(existed)
            }
        }
    }

    /// The reply to a read.
    pub(super) fn found(&self, key: &str, value: Option<&[u8]>) -> Vec<u8> {
        let Some(value) = value else {
            return match self.protocol {
                Protocol::Resp2 => b"$-1\r\n".to_vec(),
                Protocol::MemcachedText => b"END\r\n".to_vec(),
                _ => b"EN\r\n".to_vec(),
            };
        };
        let length = value.len();
        let (head, tail) = match self.protocol {
            Protocol::Resp2 => (format!("${length}\r\n"), "\r\n"),
            Protocol::MemcachedText => (format!("VALUE {key} 0 {length}\r\n"), "\r\nEND\r\n"),
            _ => (format!("VA {length}\r\n"), "\r\n"),
        };
        [head.as_bytes(), value, tail.as_bytes()].concat()
    }

    fn stored(&self) -> Vec<u8> {
        match self.protocol {
            Protocol::Resp2 => b"+OK\r\n".to_vec(),
            Protocol::MemcachedText => b"STORED\r\n".to_vec(),
            _ => b"HD\r\n".to_vec(),
        }
    }

    fn deleted(&self, existed: bool) -> Vec<u8> {
        let reply: &str = match (self.protocol, existed) {
            (Protocol::Resp2, true) => ":1\r\n",
            (Protocol::Resp2, false) => ":0\r\n",
            (Protocol::MemcachedText, true) => "DELETED\r\n",
            (Protocol::MemcachedText, false) => "NOT_FOUND\r\n",
            (_, true) => "HD\r\n",
            (_, false) => "NF\r\n",
        };
        reply.as_bytes().to_vec()
    }
}

/// The text up to a line end from `at` on, and where the next line begins.
fn line(stream: &[u8], at: usize) -> Option<(String, usize)> {
    let length = stream.get(at..)?.windows(2).position(|two| two == b"\r\n")?;
    let text = String::from_utf8(stream[at..at + length].to_vec()).unwrap();
    Some((text, at + length + 2))
}

/// A block of so many bytes with a line end behind it, and where the next line begins.
fn block(stream: &[u8], at: usize, length: usize) -> Option<(Vec<u8>, usize)> {
    let bytes = stream.get(at..at + length + 2)?;
    assert_eq!(bytes[length..], *b"\r\n");
    Some((bytes[..length].to_vec(), at + length + 2))
}

fn resp_command(stream: &[u8]) -> Option<(Command, usize)> {
    let (head, mut at) = line(stream, 0)?;
    let count: usize = head.strip_prefix('*').unwrap().parse().unwrap();
    let mut words = Vec::new();
    for _ in 0..count {
        let (head, begin) = line(stream, at)?;
        let length = head.strip_prefix('$').unwrap().parse().unwrap();
        let (word, end) = block(stream, begin, length)?;
        words.push(word);
        at = end;
    }
    let text = |word: &Vec<u8>| String::from_utf8(word.clone()).unwrap();
    let command = match (text(&words[0]).as_str(), &words[1..]) {
        ("GET", [key]) => Command::Get(text(key)),
        ("SET", [key, value]) => Command::Set(text(key), value.clone()),
        ("DEL", [key]) => Command::Delete(text(key)),
        (other, _) => panic!("{other}"),
    };
    Some((command, at))
}

fn memcached_command(protocol: Protocol, stream: &[u8]) -> Option<(Command, usize)> {
    let (head, at) = line(stream, 0)?;
    let words: Vec<&str> = head.split(' ').collect();
    let key = words[1].to_owned();
    assert_eq!(words[0].len() == 2, protocol == Protocol::MemcachedMeta, "{head}");
    match words[..] {
        ["get", _] | ["mg", _, "v"] => Some((Command::Get(key), at)),
        ["delete", _] | ["md", _] => Some((Command::Delete(key), at)),
        ["set", _, "0", "0", length] | ["ms", _, length] => {
            let (value, at) = block(stream, at, length.parse().unwrap())?;
            Some((Command::Set(key, value), at))
        }
        _ => panic!("{head}"),
    }
}
