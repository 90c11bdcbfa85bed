//! A key-value store that speaks RESP, the protocol of Redis. Its keys belong to shards, so no
//! lock is needed. A request for a key of another shard travels there as a message, and its reply
//! travels back. Each client gets its replies in the order of its requests.
//!
//! It knows PING, ECHO, GET, SET, DEL, EXISTS, INCR, MGET and QUIT.
//!
//! ```sh
//! cargo run --release --example resp_store -- 127.0.0.1:6380 2     # address, workers
//! redis-cli -p 6380 set a 1
//! redis-benchmark -p 6380 -t set,get -P 16
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

mod protocol;
mod replies;
mod store;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use evshard::server::{
    Answer, Closed, Connection, ConnectionId, PostError, Server, ServerConfig, Service, Shard,
};
use evshard::{Config, EventBase, EventSpec};
use protocol::{Parsed, Reply, parse};
use replies::Replies;
use store::{Action, Store};

/// The service of one shard.
#[derive(Clone, Default)]
struct Resp {
    store: Store,
    /// The same in all shards: which shard has a key.
    hasher: RandomState,
    /// Collects the replies of one send.
    out: Vec<u8>,
    /// By shard: messages for which its queue had no room.
    waiting: Vec<VecDeque<Message>>,
    /// Connections that read again once the messages that wait are posted.
    paused: Vec<ConnectionId>,
}

/// What shards send to each other. `at` is the place of the reply among those of the connection.
#[derive(Clone)]
enum Message {
    Request { from: ConnectionId, at: u64, key: Vec<u8>, action: Action },
    Reply { to: ConnectionId, at: u64, reply: Reply },
}

/// The state of a connection.
#[derive(Default)]
struct Session {
    replies: Replies,
    /// While replies of other shards are awaited: keeps the connection open during a drain.
    awaited: Option<Answer>,
}

impl Service for Resp {
    type Session = Session;
    type Message = Message;

    fn start(&mut self, shard: &mut Shard<'_, Self>) {
        self.waiting.resize_with(shard.count(), VecDeque::new);
    }

    fn open(&mut self, _: &mut Connection<'_, Self>) -> Session {
        Session::default()
    }

    fn receive(
        &mut self,
        session: &mut Session,
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        match parse(input) {
            Parsed::Incomplete => 0,
            Parsed::Request(arguments, length) => {
                self.request(session, &arguments, connection);
                self.send_ready(session, connection);
                length
            }
            Parsed::Invalid(error) => {
                self.reply(session, Reply::Error(error));
                self.send_ready(session, connection);
                connection.close();
                input.len()
            }
        }
    }

    fn message(&mut self, message: Message, shard: &mut Shard<'_, Self>) {
        match message {
            Message::Request { from, at, key, action } => {
                let reply = self.store.apply(&key, action);
                self.post(from.shard(), Message::Reply { to: from, at, reply }, shard);
            }
            Message::Reply { to, at, reply } => {
                // The client may have gone.
                let Some(session) = shard.session(to) else { return };
                session.replies.fill(at, reply);
                session.replies.take_ready(&mut self.out);
                if session.replies.is_empty() {
                    session.awaited = None;
                }
                if !self.out.is_empty() && shard.send(to, &self.out).is_err() {
                    // It does not read its replies.
                    shard.abort(to);
                }
                self.out.clear();
            }
        }
    }

    fn room(&mut self, full: usize, shard: &mut Shard<'_, Self>) {
        while let Some(message) = self.waiting[full].pop_front() {
            if let Err(PostError::Full(message)) = shard.post(full, message) {
                self.waiting[full].push_front(message);
                return;
            }
        }
        if self.waiting.iter().all(VecDeque::is_empty) {
            self.paused.drain(..).for_each(|id| shard.read(id));
        }
    }

    fn close(&mut self, _: Session, closed: Closed, _: &mut Shard<'_, Self>) {
        self.paused.retain(|id| *id != closed.id);
    }
}

/// Requests.
impl Resp {
    fn request(
        &mut self,
        session: &mut Session,
        arguments: &[&[u8]],
        connection: &mut Connection<'_, Self>,
    ) {
        let Some((command, arguments)) = arguments.split_first() else { return };
        match (command.to_ascii_uppercase().as_slice(), arguments) {
            (b"GET", [key]) => self.one(session, key, Action::Get, connection),
            (b"SET", [key, value]) => {
                self.one(session, key, Action::Set(value.to_vec()), connection);
            }
            (b"INCR", [key]) => self.one(session, key, Action::Increment, connection),
            (b"DEL", [key]) => self.one(session, key, Action::Delete, connection),
            (b"DEL", [_, ..]) => {
                let at = session.replies.push_sum(arguments.len());
                for key in arguments {
                    self.act(session, at, key, Action::Delete, connection);
                }
            }
            (b"MGET", [_, ..]) => {
                session.replies.push_array(arguments.len());
                for key in arguments {
                    self.one(session, key, Action::Get, connection);
                }
            }
            (b"PING", []) => self.reply(session, Reply::Simple("PONG")),
            (b"PING" | b"ECHO", [text]) => self.reply(session, Reply::Bulk(text.to_vec())),
            (b"QUIT", []) => {
                self.reply(session, Reply::Simple("OK"));
                connection.close();
            }
            _ => self.reply(session, Reply::Error("ERR unknown command, or wrong arguments")),
        }
    }

    fn shard_of(&self, key: &[u8]) -> usize {
        (self.hasher.hash_one(key) % self.waiting.len() as u64) as usize
    }

    /// Sends a reply, or queues it behind those that are awaited.
    fn reply(&mut self, session: &mut Session, reply: Reply) {
        if session.replies.is_empty() {
            reply.append_to(&mut self.out);
        } else {
            session.replies.push(reply);
        }
    }

    /// Acts on one key, whose reply is the next.
    fn one(
        &mut self,
        session: &mut Session,
        key: &[u8],
        action: Action,
        connection: &mut Connection<'_, Self>,
    ) {
        if self.shard_of(key) == connection.shard().index() {
            let reply = self.store.apply(key, action);
            self.reply(session, reply);
        } else {
            let at = session.replies.push_awaited();
            self.act(session, at, key, action, connection);
        }
    }

    /// Acts on one key, whose reply belongs to the place `at`.
    fn act(
        &mut self,
        session: &mut Session,
        at: u64,
        key: &[u8],
        action: Action,
        connection: &mut Connection<'_, Self>,
    ) {
        let to = self.shard_of(key);
        if to == connection.shard().index() {
            let reply = self.store.apply(key, action);
            session.replies.fill(at, reply);
            return;
        }
        let (from, key) = (connection.id(), key.to_vec());
        session.awaited.get_or_insert_with(|| connection.answer_later());
        let is_posted =
            self.post(to, Message::Request { from, at, key, action }, connection.shard());
        if !is_posted {
            // No more requests until there is room.
            connection.pause();
            self.paused.push(from);
        }
    }

    fn send_ready(&mut self, session: &mut Session, connection: &mut Connection<'_, Self>) {
        session.replies.take_ready(&mut self.out);
        connection.send(&self.out);
        self.out.clear();
    }

    /// Posts a message, or keeps it until the queue of the shard has room. Returns whether it was
    /// posted. Messages to one shard keep their order.
    fn post(&mut self, to: usize, message: Message, shard: &mut Shard<'_, Self>) -> bool {
        let message = if self.waiting[to].is_empty() {
            match shard.post(to, message) {
                Err(PostError::Full(message)) => message,
                // Or the shard has ended, and with it the server.
                _ => return true,
            }
        } else {
            message
        };
        self.waiting[to].push_back(message);
        false
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:6380".to_owned());
    let mut config = ServerConfig { listen: vec![address.parse()?], ..ServerConfig::default() };
    if let Some(workers) = arguments.next() {
        config.workers = workers.parse()?;
    }
    // This comes first, so that a Ctrl-C during the start is not lost.
    let mut base = EventBase::<()>::new(Config::default())?;
    let interrupt = base.registry().create(EventSpec::signal(libc::SIGINT), |_, (), _| {});
    base.registry().add(interrupt, None)?;
    let server = Server::start(&config, Resp::default())?;
    println!("listening on {}", server.addresses()[0]);
    base.run(&mut ())?;
    print!("{}", server.drain()?);
    Ok(())
}
