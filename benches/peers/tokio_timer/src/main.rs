//! tokio_timer: how late a load generator sends that waits for its times on tokio's timers.
//!
//! Each connection is a task of its own on a current-thread runtime; it has its intended times,
//! evenly spaced and shifted so that all connections together send at the rate. It sleeps until the
//! next one, reads the clock, and sends. Other tasks read the echoes: a send is late only because
//! of the timer, or because the task is behind its schedule.
//!
//! ```text
//! tokio_timer 127.0.0.1:7000 --rate 20000 --connections 64 --seconds 3
//! ```
//!
//! Prints one line of JSON: how many requests were due after the first second, how many of all were
//! answered, and how late the former were sent.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

const MESSAGE_BYTES: usize = 64;
const WARMUP: Duration = Duration::from_secs(1);
/// Time for the tasks to begin to wait, and for the last echoes.
const MARGIN: Duration = Duration::from_millis(200);

type Failure = Box<dyn Error>;

/// The load, the same for every connection.
struct Plan {
    address: SocketAddr,
    rate_per_s: u32,
    connections: u32,
    seconds: u32,
}

impl Plan {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let usage = "usage: tokio_timer ADDRESS [--rate R] [--connections N] [--seconds S]";
        let address = words.next().ok_or(usage)?.parse()?;
        let mut plan = Self { address, rate_per_s: 20_000, connections: 64, seconds: 3 };
        while let Some(flag) = words.next() {
            let value = words.next().ok_or(usage)?.parse()?;
            match &*flag {
                "--rate" => plan.rate_per_s = value,
                "--connections" => plan.connections = value,
                "--seconds" => plan.seconds = value,
                _ => return Err(usage.into()),
            }
        }
        if plan.rate_per_s == 0 || plan.connections == 0 || plan.seconds == 0 {
            return Err(usage.into());
        }
        Ok(plan)
    }

    /// When request `k` of a connection is due, counted from the start.
    fn intended(&self, connection: u32, k: u64) -> Duration {
        let number = u128::from(k) * u128::from(self.connections) + u128::from(connection);
        let ns = number * 1_000_000_000 / u128::from(self.rate_per_s);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    fn end(&self) -> Duration {
        WARMUP + Duration::from_secs(self.seconds.into())
    }
}

/// What the tasks have measured so far.
struct Results {
    lateness_ns: RefCell<Histogram<u64>>,
    answered_bytes: Cell<u64>,
}

async fn send_all(
    plan: Rc<Plan>,
    results: Rc<Results>,
    connection: u32,
    start: Instant,
    mut stream: OwnedWriteHalf,
) {
    for k in 0.. {
        let due = plan.intended(connection, k);
        if due >= plan.end() {
            return;
        }
        sleep_until(start + due).await;
        let late = Instant::now().saturating_duration_since(start + due);
        if stream.write_all(&[b'x'; MESSAGE_BYTES]).await.is_err() {
            return;
        }
        if due >= WARMUP {
            let ns = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
            results.lateness_ns.borrow_mut().saturating_record(ns.max(1));
        }
    }
}

async fn receive_all(results: Rc<Results>, mut stream: OwnedReadHalf) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut bytes).await {
        results.answered_bytes.set(results.answered_bytes.get() + length as u64);
    }
}

async fn drive(plan: Rc<Plan>, results: Rc<Results>) -> Result<(), Failure> {
    let mut streams = Vec::new();
    for _ in 0..plan.connections {
        let stream = TcpStream::connect(plan.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream.into_split());
    }
    let start = Instant::now() + MARGIN;
    let (mut senders, mut receivers) = (JoinSet::new(), JoinSet::new());
    for (connection, (reader, writer)) in (0..).zip(streams) {
        let (plan, results) = (Rc::clone(&plan), Rc::clone(&results));
        receivers.spawn_local(receive_all(Rc::clone(&results), reader));
        senders.spawn_local(send_all(plan, results, connection, start, writer));
    }
    while senders.join_next().await.is_some() {}
    sleep(MARGIN).await;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let plan = Rc::new(Plan::parse(std::env::args().skip(1))?);
    let lateness_ns = RefCell::new(Histogram::new_with_bounds(1, 60_000_000_000, 3)?);
    let results = Rc::new(Results { lateness_ns, answered_bytes: Cell::new(0) });
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, drive(plan, Rc::clone(&results)))?;
    let lateness = results.lateness_ns.borrow();
    let percentiles = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)]
        .map(|(name, quantile)| format!("\"{name}\": {}", lateness.value_at_quantile(quantile)));
    println!(
        "{{\"requests\": {}, \"answered\": {}, \"lateness_ns\": {{{}}}}}",
        lateness.len(),
        results.answered_bytes.get() / MESSAGE_BYTES as u64,
        percentiles.join(", ")
    );
    Ok(())
}
