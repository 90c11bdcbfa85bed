//! A publish/subscribe broker on all cores: the subscribers of a topic may be on any shard.
//!
//! ```text
//! $ cargo run --example broker     # or with: [ADDRESS] [--workers N] [--slow skip|disconnect]
//! listening on 127.0.0.1:5558
//! $ nc 127.0.0.1 5558
//! SUBSCRIBE news
//! subscribed news
//! PUBLISH news it works
//! MESSAGE news it works
//! UNSUBSCRIBE news
//! unsubscribed news
//! ```
//!
//! A subscriber is slow if 256 KiB wait for it. With `--slow skip` it misses what is published
//! until it has read them, and then gets `missed N`. With `--slow disconnect` it is disconnected.
//! No other subscriber waits. A publisher waits while the queue of a shard is full. Ctrl-C drains.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use evshard::server::{
    Closed, Connection, ConnectionId, PostError, SendError, Server, ServerConfig, Service, Shard,
};
use evshard::{Config, EventBase, EventSpec};

/// A longer line ends its connection.
const LINE_BYTES_MAX: usize = 4 << 10;
/// With more unsent bytes a subscriber is slow.
const UNSENT_BYTES_MAX: usize = 256 << 10;

/// What to do with a subscriber that is slow.
#[derive(Clone, Copy, Default)]
enum SlowReader {
    #[default]
    Skip,
    Disconnect,
}

/// What the shards send to each other. All subscribers share the bytes.
#[derive(Clone)]
struct Publication {
    topic: Arc<str>,
    bytes: Arc<[u8]>,
}

/// The broker on one shard.
#[derive(Clone, Default)]
struct Broker {
    slow_reader: SlowReader,
    /// The shards with subscribers of each topic; the only state that all shards share. It changes
    /// when the first subscriber on a shard comes, or the last one goes.
    shards: Arc<RwLock<HashMap<Arc<str>, Vec<usize>>>>,
    /// The subscribers on this shard, in the order in which sending to them costs least.
    subscribers: HashMap<Arc<str>, BTreeSet<ConnectionId>>,
    /// By shard: what its queue has no room for yet. Its publishers are paused until then, so there
    /// is at most one of each.
    waiting: Vec<VecDeque<Publication>>,
    paused: Vec<ConnectionId>,
}

#[derive(Default)]
struct Client {
    topics: HashSet<Arc<str>>,
    /// What was published since it became slow.
    missed: u64,
}

impl Broker {
    fn subscribe(&mut self, topic: &str, id: ConnectionId) -> Arc<str> {
        let topic: Arc<str> = topic.into();
        let subscribers = self.subscribers.entry(topic.clone()).or_default();
        if subscribers.is_empty() {
            let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
            shards.entry(topic.clone()).or_default().push(id.shard());
        }
        subscribers.insert(id);
        topic
    }

    fn unsubscribe(&mut self, topic: &str, id: ConnectionId) {
        let Some(subscribers) = self.subscribers.get_mut(topic) else { return };
        subscribers.remove(&id);
        if !subscribers.is_empty() {
            return;
        }
        self.subscribers.remove(topic);
        let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
        let Some(with_subscribers) = shards.get_mut(topic) else { return };
        with_subscribers.retain(|shard| *shard != id.shard());
        if with_subscribers.is_empty() {
            shards.remove(topic);
        }
    }

    /// Publishes on the shards that have subscribers of the topic.
    fn publish(&mut self, topic: &str, text: &str, shard: &mut Shard<'_, Self>) {
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        let Some((topic, shards)) = shards.get_key_value(topic) else { return };
        let bytes = format!("MESSAGE {topic} {text}\n").into_bytes().into();
        let publication = Publication { topic: topic.clone(), bytes };
        for &to in shards {
            self.waiting[to].push_back(publication.clone());
            post_waiting(&mut self.waiting[to], to, shard);
        }
    }
}

/// Posts what waits for a shard, until its queue is full.
fn post_waiting(waiting: &mut VecDeque<Publication>, to: usize, shard: &mut Shard<'_, Broker>) {
    while let Some(publication) = waiting.pop_front() {
        if let Err(PostError::Full(publication)) = shard.post(to, publication) {
            waiting.push_front(publication);
            return;
        }
    }
}

impl Service for Broker {
    type Session = Client;
    type Message = Publication;

    fn start(&mut self, shard: &mut Shard<'_, Self>) {
        self.waiting = vec![VecDeque::new(); shard.count()];
    }

    fn open(&mut self, _: &mut Connection<'_, Self>) -> Client {
        Client::default()
    }

    fn receive(
        &mut self,
        client: &mut Client,
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        let Some(end) = input.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
            if input.len() >= LINE_BYTES_MAX {
                connection
                    .send(format!("error: a line has at most {LINE_BYTES_MAX} bytes\n").as_bytes());
                connection.close();
            }
            return 0;
        };
        let line = String::from_utf8_lossy(&input[..end]);
        let mut words = line.trim_end().splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("SUBSCRIBE"), Some(topic), None) => {
                client.topics.insert(self.subscribe(topic, connection.id()));
                connection.send(format!("subscribed {topic}\n").as_bytes());
            }
            (Some("UNSUBSCRIBE"), Some(topic), None) => {
                self.unsubscribe(topic, connection.id());
                client.topics.remove(topic);
                connection.send(format!("unsubscribed {topic}\n").as_bytes());
            }
            (Some("PUBLISH"), Some(topic), Some(text)) => {
                self.publish(topic, text, connection.shard());
            }
            _ => connection.send(
                b"error: write `SUBSCRIBE TOPIC`, `UNSUBSCRIBE TOPIC` or `PUBLISH TOPIC TEXT`\n",
            ),
        }
        if self.waiting.iter().any(|publications| !publications.is_empty()) {
            self.paused.push(connection.id());
            connection.pause();
        }
        end + 1
    }

    fn message(&mut self, publication: Publication, shard: &mut Shard<'_, Self>) {
        for &id in self.subscribers.get(&publication.topic).into_iter().flatten() {
            // A slow one misses all until it has caught up, so that what it misses is one run.
            if let Some(client) = shard.session(id).filter(|client| client.missed > 0) {
                client.missed += 1;
            } else if let Err(error) = shard.send_shared(id, &publication.bytes) {
                match (self.slow_reader, error, shard.session(id)) {
                    // Its `sent` follows.
                    (SlowReader::Skip, SendError::Full, Some(client)) => client.missed = 1,
                    _ => shard.abort(id),
                }
            }
        }
    }

    fn sent(&mut self, client: &mut Client, connection: &mut Connection<'_, Self>) {
        let missed = std::mem::take(&mut client.missed);
        if missed > 0 {
            connection.send(format!("missed {missed}\n").as_bytes());
        }
    }

    fn room(&mut self, full: usize, shard: &mut Shard<'_, Self>) {
        post_waiting(&mut self.waiting[full], full, shard);
        if self.waiting.iter().all(VecDeque::is_empty) {
            self.paused.drain(..).for_each(|id| shard.read(id));
        }
    }

    fn close(&mut self, client: Client, closed: Closed, _: &mut Shard<'_, Self>) {
        client.topics.iter().for_each(|topic| self.unsubscribe(topic, closed.id));
    }
}

/// The configuration and the policy by the command line.
fn arguments() -> Result<(ServerConfig, SlowReader), Box<dyn std::error::Error>> {
    let usage = "usage: broker [ADDRESS] [--workers N] [--slow skip|disconnect]";
    let mut address = "127.0.0.1:5558".to_owned();
    let (mut config, mut slow_reader) = (ServerConfig::default(), SlowReader::Skip);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        match word.as_str() {
            "--workers" => {
                let count = value();
                config.workers = count.parse().map_err(|_| format!("{word} {count}: {usage}"))?;
            }
            "--slow" => match value().as_str() {
                "skip" => slow_reader = SlowReader::Skip,
                "disconnect" => slow_reader = SlowReader::Disconnect,
                other => return Err(format!("{word} {other}: {usage}").into()),
            },
            flag if flag.starts_with('-') => return Err(format!("{flag}: {usage}").into()),
            _ => address = word,
        }
    }
    config.listen = vec![address.parse().map_err(|error| format!("{address}: {error}; {usage}"))?];
    config.limits.buffer_bytes = UNSENT_BYTES_MAX;
    Ok((config, slow_reader))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (config, slow_reader) = arguments()?;
    // This comes first, so that a Ctrl-C during the start is not lost.
    let mut base = EventBase::<()>::new(Config::default())?;
    let interrupt = base.registry().create(EventSpec::signal(libc::SIGINT), |_, (), _| {});
    base.registry().add(interrupt, None)?;
    let broker = Broker { slow_reader, ..Broker::default() };
    let server = Server::start(&config, broker)?;
    println!("listening on {}", server.addresses()[0]);
    base.run(&mut ())?;
    print!("{}", server.drain()?);
    Ok(())
}
