//! Servers that return values which they must not return.

use super::client::{Client, PROTOCOLS, traffic};
use super::peer::{Command, Peer};
use crate::wire::{Outcome, Protocol, Traffic, WrongKind};

/// A connection that has only just written its key several times, and the values it wrote.
struct Written<'a> {
    client: Client<'a>,
    peer: Peer,
    key: String,
    values: Vec<Vec<u8>>,
}

/// One key, about as many reads as writes.
fn one_key(protocol: Protocol) -> Traffic {
    traffic(protocol, "get:1,set:1", "1", "uniform", "200")
}

impl<'a> Written<'a> {
    fn new(traffic: &'a Traffic, protocol: Protocol) -> Self {
        let (client, peer) = (Client::new(traffic, 0), Peer::new(protocol));
        let mut written = Self { client, peer, key: String::new(), values: Vec::new() };
        while written.values.len() < 3 {
            let command = written.next_command();
            if let Command::Set(key, value) = &command {
                written.values.push(value.clone());
                written.key.clone_from(key);
            }
            let reply = written.peer.execute(command);
            written.reply(&reply);
        }
        written.client.outcomes.clear();
        written
    }

    fn next_command(&mut self) -> Command {
        self.client.send(1, usize::MAX, &self.peer);
        self.client.waiting.pop_front().unwrap()
    }

    fn reply(&mut self, bytes: &[u8]) {
        self.client.replies.extend(bytes);
        self.client.receive(usize::MAX).unwrap();
    }

    /// The outcome of the next read, if the server returns this value.
    fn read_of(&mut self, value: &[u8]) -> Outcome {
        loop {
            match self.next_command() {
                Command::Get(key) => {
                    let reply = self.peer.found(&key, Some(value));
                    self.reply(&reply);
                    return self.client.outcomes.pop().unwrap();
                }
                // A write that is not acknowledged replaces nothing.
                command => {
                    let _ = self.peer.execute(command);
                    self.client.restart();
                }
            }
        }
    }

    #[track_caller]
    fn expect_wrong(&mut self, value: &[u8], wanted: WrongKind, said: &str) {
        match self.read_of(value) {
            Outcome::Wrong { kind, found } => {
                let found = found.expect("the first one is described");
                assert_eq!((kind, found.kind, &found.key), (wanted, wanted, &self.key));
                assert!(found.words.contains(said), "{}", found.words);
            }
            other => panic!("{wanted:?}: {other:?}"),
        }
    }
}

#[test]
fn an_old_version_is_found() {
    for protocol in PROTOCOLS {
        let traffic = one_key(protocol);
        let mut written = Written::new(&traffic, protocol);
        let [_, before_last, last] = [0, 1, 2].map(|at| written.values[at].clone());
        assert_eq!(written.read_of(&last), Outcome::Hit { is_verified: true });
        written.expect_wrong(&before_last, WrongKind::Old, "it is version 2, and version 3 or");
    }
}

#[test]
fn another_keys_value_is_found() {
    for protocol in PROTOCOLS {
        let many = traffic(protocol, "set", "1k", "uniform", "200");
        let mut other = Client::new(&many, 1);
        let peer = Peer::new(protocol);
        other.send(1, usize::MAX, &peer);
        let Some(Command::Set(key, foreign)) = other.waiting.pop_front() else { panic!() };
        let traffic = one_key(protocol);
        let said = format!("it is version 1 of {key}");
        Written::new(&traffic, protocol).expect_wrong(&foreign, WrongKind::Foreign, &said);
    }
}

#[test]
fn a_value_that_no_one_has_written_is_found() {
    for protocol in PROTOCOLS {
        for strange in [&b""[..], b"short", &[0; 200]] {
            let traffic = one_key(protocol);
            Written::new(&traffic, protocol).expect_wrong(
                strange,
                WrongKind::Foreign,
                "this run has not written it",
            );
        }
    }
}

#[test]
fn the_halves_of_two_versions_and_a_cut_value_are_found() {
    for protocol in PROTOCOLS {
        let traffic = one_key(protocol);
        let mut written = Written::new(&traffic, protocol);
        let halves = [&written.values[2][..100], &written.values[1][100..]].concat();
        let said = "it is version 3 up to byte 100 only: expected 0x";
        written.expect_wrong(&halves, WrongKind::Torn, said);
        let traffic = one_key(protocol);
        let mut written = Written::new(&traffic, protocol);
        let cut = written.values[2][..150].to_vec();
        let said = "version 3 up to byte 150 only: the value has 200 bytes";
        written.expect_wrong(&cut, WrongKind::Torn, said);
    }
}

#[test]
fn a_key_that_the_run_has_not_written_may_have_any_value_and_it_is_not_called_verified() {
    for protocol in PROTOCOLS {
        let traffic = traffic(protocol, "get", "1", "uniform", "200");
        let mut peer = Peer::new(protocol);
        let mut client = Client::new(&traffic, 0);
        peer.data.insert("k000000000000".to_owned(), b"of an earlier run".to_vec());
        assert_eq!(client.ask(&mut peer), Outcome::Hit { is_verified: false });
    }
}

#[test]
fn a_key_that_was_written_and_is_gone_is_a_miss_that_says_so() {
    for protocol in PROTOCOLS {
        let traffic = one_key(protocol);
        let mut written = Written::new(&traffic, protocol);
        written.peer.data.clear();
        let outcome = loop {
            match written.client.ask(&mut written.peer) {
                Outcome::Done => written.peer.data.clear(),
                outcome => break outcome,
            }
        };
        assert_eq!(outcome, Outcome::Miss { was_written: true });
    }
}

#[test]
fn a_text_reply_that_names_another_key_is_found() {
    let traffic = one_key(Protocol::MemcachedText);
    let mut written = Written::new(&traffic, Protocol::MemcachedText);
    let value = written.values[2].clone();
    loop {
        match written.next_command() {
            Command::Get(_) => break,
            command => {
                let _ = written.peer.execute(command);
                written.client.restart();
            }
        }
    }
    let reply = written.peer.found("k000000000009", Some(&value));
    written.reply(&reply);
    let outcome = written.client.outcomes.pop().unwrap();
    assert!(matches!(outcome, Outcome::Wrong { kind: WrongKind::Foreign, .. }), "{outcome:?}");
}
