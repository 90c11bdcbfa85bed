//! A small Redis that shares no code with the loader, and answers reads as a test wants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::servers::{Client, Server};

/// All values of each key, oldest first.
pub(super) type Values = HashMap<String, Vec<Vec<u8>>>;

/// A read: its number in order of arrival, from 0, the key, and all values so far.
pub(super) struct Read<'a> {
    pub(super) number: u64,
    pub(super) key: &'a str,
    pub(super) values: &'a Values,
}

impl Read<'_> {
    /// The value that was written last; nothing if there is none.
    pub(super) fn right(&self) -> Option<Vec<u8>> {
        self.values.get(self.key)?.last().cloned()
    }
}

/// Starts a server that executes one command after the other, and answers a read with what `read`
/// returns. `special` may answer any command in its own way.
pub(super) fn start(
    read: impl Fn(&Read<'_>) -> Option<Vec<u8>> + Send + Sync + 'static,
    special: impl Fn(&[Vec<u8>]) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> Server {
    let state: Arc<Mutex<(u64, Values)>> = Arc::default();
    Server::start(move |mut client: Client| {
        let mut stream = Vec::new();
        loop {
            while let Some((words, length)) = command(&stream) {
                stream.drain(..length);
                let reply = special(&words).unwrap_or_else(|| execute(&words, &read, &state));
                client.write(&reply);
            }
            let more = client.read_some(64 * 1024);
            if more.is_empty() {
                return;
            }
            stream.extend(more);
        }
    })
}

fn execute(
    words: &[Vec<u8>],
    read: &impl Fn(&Read<'_>) -> Option<Vec<u8>>,
    state: &Mutex<(u64, Values)>,
) -> Vec<u8> {
    let key = String::from_utf8(words[1].clone()).unwrap();
    let (number, values) = &mut *state.lock().unwrap();
    match &words[0][..] {
        b"SET" => {
            values.entry(key).or_default().push(words[2].clone());
            b"+OK\r\n".to_vec()
        }
        b"GET" => {
            let found = read(&Read { number: *number, key: &key, values });
            *number += 1;
            match found {
                None => b"$-1\r\n".to_vec(),
                Some(value) => {
                    [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat()
                }
            }
        }
        other => panic!("{}", other.escape_ascii()),
    }
}

/// The first whole command of a stream, and its length.
fn command(stream: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let number = |at: usize| {
        let length = stream.get(at..)?.iter().position(|&byte| byte == b'\n')?;
        let text = std::str::from_utf8(&stream[at + 1..at + length - 1]).unwrap();
        Some((text.parse::<usize>().unwrap(), at + length + 1))
    };
    let (count, mut at) = number(0)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (length, begin) = number(at)?;
        words.push(stream.get(begin..begin + length)?.to_vec());
        at = begin + length + 2;
    }
    (stream.len() >= at).then_some((words, at))
}
