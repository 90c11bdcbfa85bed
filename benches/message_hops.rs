//! Messages that travel from shard to shard, round and round: what a hop costs.
//!
//! Each token is a message that its shard posts to the next. With one token both shards sleep
//! until it comes. With many, a shard takes several at once, and one wake is for all of them.
//! `scripts/compare_messages.sh` runs it in turns with `benches/peers/locked_hops.c`, which does
//! the same by a list under a mutex and a wake for each message.
//!
//! ```text
//! cargo build --release --example message_hops
//! target/release/examples/message_hops --tokens 1000 --seconds 3
//! ```

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use evshard::server::{Connection, MessageSender, Server, ServerConfig, Service, Shard};

/// Sends messages from shard to shard, and prints how many hops they made as a line of JSON.
#[derive(Parser)]
struct Options {
    /// Messages on their way at once, as many as a queue holds at most
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=4096))]
    tokens: u64,

    /// Shards, of which each sends to the next
    #[arg(long, default_value = "2")]
    shards: NonZeroUsize,

    /// How long they travel
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// A message. It has the size of a small request.
struct Token {
    _payload: [u64; 4],
}

/// The shard of the tokens.
#[derive(Clone)]
struct Hops {
    hops: u64,
    is_over: Arc<AtomicBool>,
    started: Sender<MessageSender<Token>>,
    counted: Sender<u64>,
}

impl Service for Hops {
    type Session = ();
    type Message = Token;

    fn start(&mut self, shard: &mut Shard<'_, Self>) {
        let _ = self.started.send(shard.sender());
    }

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        connection.close();
    }

    fn receive(&mut self, (): &mut (), input: &[u8], _: &mut Connection<'_, Self>) -> usize {
        input.len()
    }

    fn message(&mut self, token: Token, shard: &mut Shard<'_, Self>) {
        self.hops += 1;
        if !self.is_over.load(Ordering::Relaxed) {
            let next = (shard.index() + 1) % shard.count();
            // There are no more tokens than one queue has room for, so it is not full.
            let _ = shard.post(next, token);
        }
    }

    fn stop(&mut self, _: &mut Shard<'_, Self>) {
        let _ = self.counted.send(self.hops);
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()).and_then(|line| Ok(writeln!(io::stdout(), "{line}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // No other output could report a failure of this one.
            let _ = writeln!(io::stderr(), "message_hops: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Lets the tokens travel; returns the result as a line.
fn run(options: &Options) -> Result<String, Box<dyn std::error::Error>> {
    let is_over = Arc::new(AtomicBool::new(false));
    let ((started, has_started), (counted, counts)) = (channel(), channel());
    let service = Hops { hops: 0, is_over: is_over.clone(), started, counted };
    let listen = vec!["127.0.0.1:0".parse()?];
    let config = ServerConfig { listen, workers: options.shards, ..ServerConfig::default() };
    let server = Server::start(&config, service)?;
    let elapsed = travel(options, &has_started, &is_over)?;
    server.drain()?;
    let hops: u64 = counts.iter().take(options.shards.get()).sum();
    Ok(format!(r#"{{"hops": {hops}, "elapsed_ns": {}}}"#, elapsed.as_nanos()))
}

/// Sends the tokens on their way once all shards have started, and ends it after the time.
fn travel(
    options: &Options,
    has_started: &Receiver<MessageSender<Token>>,
    is_over: &AtomicBool,
) -> Result<Duration, Box<dyn std::error::Error>> {
    let senders: Vec<_> = has_started.iter().take(options.shards.get()).collect();
    let begin = Instant::now();
    for _ in 0..options.tokens {
        senders[0].post(0, Token { _payload: [0; 4] })?;
    }
    thread::sleep(Duration::from_secs(options.seconds));
    is_over.store(true, Ordering::Relaxed);
    Ok(begin.elapsed())
}
