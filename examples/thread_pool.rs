//! Answers that take long: the requests of all connections go to a pool of threads, which answer
//! them in any order. No shard waits meanwhile.
//!
//! ```text
//! $ cargo run --example thread_pool -- --workers 2 --threads 4 127.0.0.1:5556
//! listening on 127.0.0.1:5556
//!
//! $ printf 'sleep 500\nprimes 10000\nwhat?\n' | nc -N 127.0.0.1 5556
//! 3 error: write `sleep MILLISECONDS` or `primes LIMIT`
//! 2 1229 primes below 10000
//! 1 slept 500 ms
//! ```
//!
//! Each answer has the number of its request. At most `--queue N` requests wait for a thread; a
//! further one is answered `busy`, because only its client knows whether it can wait. A client that
//! ends its stream gets the answers that it is still owed, and so does each one when Ctrl-C drains.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use evshard::server::{Answer, Connection, Server, ServerConfig, Service};
use evshard::{Config, EventBase, EventSpec};

const USAGE: &str = "usage: thread_pool [--workers N] [--threads N] [--queue N] [ADDRESS:PORT]";
const SLEEP_MAX_MS: u64 = 10_000;
const PRIMES_MAX: u64 = 1_000_000;
/// Longer than a request may take, so that the drain cuts off none that has begun.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

/// A request for the pool.
struct Job {
    number: u64,
    task: Task,
    /// While it is kept, the connection stays open although it is silent or its client has ended
    /// its stream.
    answer: Answer,
}

enum Task {
    Sleep(u64),
    Primes(u64),
}

impl Task {
    fn parse(line: &str) -> Result<Self, String> {
        let wrong = || "write `sleep MILLISECONDS` or `primes LIMIT`".to_owned();
        let (name, number) = line.split_once(' ').ok_or_else(wrong)?;
        let number = number.parse().map_err(|_| wrong())?;
        match name {
            "sleep" if number <= SLEEP_MAX_MS => Ok(Self::Sleep(number)),
            "sleep" => Err(format!("sleep at most {SLEEP_MAX_MS} ms")),
            "primes" if number <= PRIMES_MAX => Ok(Self::Primes(number)),
            "primes" => Err(format!("the limit is at most {PRIMES_MAX}")),
            _ => Err(wrong()),
        }
    }

    /// Does the work, however long it takes.
    fn run(&self) -> String {
        match *self {
            Self::Sleep(ms) => {
                thread::sleep(Duration::from_millis(ms));
                format!("slept {ms} ms")
            }
            Self::Primes(limit) => {
                let is_prime =
                    |n: &u64| (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
                format!("{} primes below {limit}", (2..limit).filter(is_prime).count())
            }
        }
    }
}

impl Job {
    /// Runs on a thread of the pool.
    fn run(self) {
        let text = format!("{} {}\n", self.number, self.task.run());
        if self.answer.send(text.as_bytes()).is_err() {
            // The client reads no answers, or has gone. To wait for it would hold up all others.
            let _ = self.answer.handle().abort();
        }
    }
}

/// Starts the pool, whose threads end with the last sender. At most `queue` jobs wait.
fn start_pool(threads: usize, queue: usize) -> SyncSender<Job> {
    let (to_pool, jobs) = sync_channel(queue);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..threads {
        let jobs = jobs.clone();
        thread::spawn(move || {
            while let Some(job) = next(&jobs) {
                job.run();
            }
        });
    }
    to_pool
}

fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// The service: it only reads requests, and passes them on.
#[derive(Clone)]
struct Front {
    pool: SyncSender<Job>,
}

impl Service for Front {
    /// How many requests the client has made.
    type Session = u64;
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) -> u64 {
        0
    }

    fn receive(
        &mut self,
        requests: &mut u64,
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
        *requests += 1;
        let number = *requests;
        let refusal = match Task::parse(String::from_utf8_lossy(&input[..end]).trim_end()) {
            Err(error) => Some(format!("error: {error}")),
            Ok(task) => {
                let job = Job { number, task, answer: connection.answer_later() };
                self.pool.try_send(job).err().map(|_| "busy".to_owned())
            }
        };
        if let Some(refusal) = refusal {
            connection.send(format!("{number} {refusal}\n").as_bytes());
        }
        end + 1
    }
}

/// What the command line asks for.
struct Options {
    config: ServerConfig,
    threads: NonZeroUsize,
    queue: NonZeroUsize,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut config = ServerConfig { workers: NonZeroUsize::MIN, ..ServerConfig::default() };
        config.drain.timeout = DRAIN_TIMEOUT;
        let number = |n: usize| NonZeroUsize::new(n).expect("not zero");
        let (mut threads, mut queue, mut address) = (number(4), number(64), None);
        while let Some(word) = words.next() {
            let into = match word.as_str() {
                "--workers" => &mut config.workers,
                "--threads" => &mut threads,
                "--queue" => &mut queue,
                flag if flag.starts_with('-') => {
                    return Err(format!("there is no flag {flag}; {USAGE}"));
                }
                _ if address.is_none() => {
                    address = Some(word);
                    continue;
                }
                _ => return Err(USAGE.to_owned()),
            };
            let value = words.next().unwrap_or_default();
            let wrong = |_| format!("{word} {value}: give a number from 1; {USAGE}");
            *into = value.parse().map_err(wrong)?;
        }
        let address = address.unwrap_or_else(|| "127.0.0.1:5556".to_owned());
        config.listen = vec![address.parse().map_err(|error| format!("{address}: {error}"))?];
        Ok(Self { config, threads, queue })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Options { config, threads, queue } = Options::parse(std::env::args().skip(1))?;
    // This comes first, so that a Ctrl-C during the start is not lost.
    let mut base = EventBase::<()>::new(Config::default())?;
    let interrupt = base.registry().create(EventSpec::signal(libc::SIGINT), |_, (), _| {});
    base.registry().add(interrupt, None)?;
    let pool = start_pool(threads.get(), queue.get());
    let server = Server::start(&config, Front { pool })?;
    println!("listening on {}", server.addresses()[0]);
    base.run(&mut ())?;
    print!("{}", server.drain()?);
    Ok(())
}
