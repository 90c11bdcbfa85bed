//! Chat with rooms on all cores: the members of a room may be on any shard.
//!
//! `JOIN ROOM` joins a room and leaves the last one, `LEAVE` leaves it, and any other line is said
//! to all members of the room, the speaker too.
//!
//! ```text
//! $ cargo run --example chat_rooms     # or with: [ADDRESS] [--workers N]
//! listening on 127.0.0.1:5557
//! $ nc 127.0.0.1 5557
//! you are guest 2
//! JOIN kitchen
//! * guest 2 joined kitchen
//! * guest 1 joined kitchen
//! is there coffee?
//! guest 2: is there coffee?
//! guest 1: soon
//! ```
//!
//! A member that does not read is disconnected once 256 KiB wait for it. All that the others see is
//! that it left. The lines of one speaker come in order, those of several in any. Ctrl-C drains.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use evshard::server::{
    CloseReason, Closed, Connection, ConnectionId, PostError, Server, ServerConfig, Service, Shard,
};
use evshard::{Config, EventBase, EventSpec};

/// A longer line ends its connection.
const LINE_BYTES_MAX: usize = 4 << 10;
/// More unsent bytes end their connection.
const UNSENT_BYTES_MAX: usize = 256 << 10;

/// What the shards send to each other: a line for the members of a room, who share its bytes.
#[derive(Clone)]
struct Line {
    room: Arc<str>,
    bytes: Arc<[u8]>,
}

/// The chat on one shard.
#[derive(Clone, Default)]
struct Chat {
    /// How many guests all shards have had.
    guests: Arc<AtomicU64>,
    /// The members on this shard, by room, in the order in which sending to them costs least.
    members: HashMap<Arc<str>, BTreeSet<ConnectionId>>,
    /// By shard: lines for which its queue has no room yet. Their speakers are paused until then,
    /// so that there are few of each.
    waiting: Vec<VecDeque<Line>>,
    paused: Vec<ConnectionId>,
}

struct Guest {
    number: u64,
    room: Option<Arc<str>>,
}

impl Chat {
    fn join(&mut self, room: &str, guest: &mut Guest, connection: &mut Connection<'_, Self>) {
        self.leave(guest, connection.id(), connection.shard());
        let room: Arc<str> = room.into();
        self.members.entry(room.clone()).or_default().insert(connection.id());
        let text = format!("* guest {} joined {room}\n", guest.number);
        self.say(&room, text, connection.shard());
        guest.room = Some(room);
    }

    fn leave(&mut self, guest: &mut Guest, id: ConnectionId, shard: &mut Shard<'_, Self>) {
        let Some(room) = guest.room.take() else { return };
        let members = self.members.entry(room.clone()).or_default();
        members.remove(&id);
        if members.is_empty() {
            self.members.remove(&room);
        }
        self.say(&room, format!("* guest {} left {room}\n", guest.number), shard);
    }

    /// Says a line to all members of a room, on whatever shard.
    fn say(&mut self, room: &Arc<str>, text: String, shard: &mut Shard<'_, Self>) {
        let line = Line { room: room.clone(), bytes: text.into_bytes().into() };
        let (own, count) = (shard.index(), shard.count());
        for to in (0..count).filter(|to| *to != own) {
            self.waiting[to].push_back(line.clone());
            self.post_waiting(to, shard);
        }
        self.deliver(&line, shard);
    }

    /// Sends a line to the members on this shard.
    fn deliver(&self, line: &Line, shard: &mut Shard<'_, Self>) {
        for &id in self.members.get(&line.room).into_iter().flatten() {
            // It reads too slowly, or the server has no memory for it.
            if shard.send_shared(id, &line.bytes).is_err() {
                shard.abort(id);
            }
        }
    }

    /// Posts the lines that wait for a shard, until its queue is full.
    fn post_waiting(&mut self, to: usize, shard: &mut Shard<'_, Self>) {
        while let Some(line) = self.waiting[to].pop_front() {
            if let Err(PostError::Full(line)) = shard.post(to, line) {
                self.waiting[to].push_front(line);
                return;
            }
        }
    }
}

impl Service for Chat {
    type Session = Guest;
    type Message = Line;

    fn start(&mut self, shard: &mut Shard<'_, Self>) {
        self.waiting = vec![VecDeque::new(); shard.count()];
    }

    fn open(&mut self, connection: &mut Connection<'_, Self>) -> Guest {
        let number = self.guests.fetch_add(1, Ordering::Relaxed) + 1;
        connection.send(format!("you are guest {number}\n").as_bytes());
        Guest { number, room: None }
    }

    fn receive(
        &mut self,
        guest: &mut Guest,
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
        let line = line.trim_end();
        match (line.strip_prefix("JOIN "), guest.room.clone()) {
            (Some(room), _) => self.join(room, guest, connection),
            (None, Some(_)) if line == "LEAVE" => {
                self.leave(guest, connection.id(), connection.shard());
                connection.send(b"you left\n");
            }
            (None, Some(room)) => {
                let text = format!("guest {}: {line}\n", guest.number);
                self.say(&room, text, connection.shard());
            }
            (None, None) => connection.send(b"error: write `JOIN ROOM` first\n"),
        }
        if self.waiting.iter().any(|lines| !lines.is_empty()) {
            self.paused.push(connection.id());
            connection.pause();
        }
        end + 1
    }

    fn message(&mut self, line: Line, shard: &mut Shard<'_, Self>) {
        self.deliver(&line, shard);
    }

    fn room(&mut self, full: usize, shard: &mut Shard<'_, Self>) {
        self.post_waiting(full, shard);
        if self.waiting.iter().all(VecDeque::is_empty) {
            self.paused.drain(..).for_each(|id| shard.read(id));
        }
    }

    fn drain(&mut self, _: &mut Guest, connection: &mut Connection<'_, Self>) {
        connection.send(b"* the server drains\n");
    }

    fn close(&mut self, mut guest: Guest, closed: Closed, shard: &mut Shard<'_, Self>) {
        if closed.reason != CloseReason::Drained {
            self.leave(&mut guest, closed.id, shard);
        }
    }
}

/// The configuration by the command line.
fn config() -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let usage = "usage: chat_rooms [ADDRESS] [--workers N]";
    let mut address = "127.0.0.1:5557".to_owned();
    let mut config = ServerConfig::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--workers" => {
                let count = words.next().unwrap_or_default();
                config.workers = count.parse().map_err(|_| format!("{word} {count}: {usage}"))?;
            }
            flag if flag.starts_with('-') => return Err(format!("{flag}: {usage}").into()),
            _ => address = word,
        }
    }
    config.listen = vec![address.parse().map_err(|error| format!("{address}: {error}; {usage}"))?];
    config.limits.buffer_bytes = UNSENT_BYTES_MAX;
    Ok(config)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = config()?;
    // This comes first, so that a Ctrl-C during the start is not lost.
    let mut base = EventBase::<()>::new(Config::default())?;
    let interrupt = base.registry().create(EventSpec::signal(libc::SIGINT), |_, (), _| {});
    base.registry().add(interrupt, None)?;
    let server = Server::start(&config, Chat::default())?;
    println!("listening on {}", server.addresses()[0]);
    base.run(&mut ())?;
    print!("{}", server.drain()?);
    Ok(())
}
