//! The plan of a run, shared by all threads: constant, except two flags and the progress.

use std::sync::atomic::AtomicBool;

use super::progress::SharedProgress;
use crate::clock::nanoseconds;
use crate::interrupt::Interrupt;
use crate::options::{Churn, Load, OpenLoad, Options};
use crate::schedule::{Arrivals, Intensity};
use crate::tls::Connector;
use crate::wire::Traffic;

/// The plan of a run, ready for use.
#[derive(Debug)]
pub(crate) struct Plan<'run> {
    pub(crate) options: &'run Options,
    pub(crate) traffic: Traffic,
    /// Requests due over time; nothing in a closed loop.
    pub(crate) intensity: Option<Intensity>,
    pub(crate) interrupt: &'run Interrupt,
    /// Set when the run cannot start.
    pub(crate) abandoned: AtomicBool,
    pub(crate) shared_progress: SharedProgress,
}

impl<'run> Plan<'run> {
    /// Prepares what the options describe.
    pub(crate) fn new(options: &'run Options, interrupt: &'run Interrupt) -> Self {
        let intensity =
            |open: &OpenLoad| Intensity::new(&open.profile, options.warmup, options.duration);
        Self {
            options,
            traffic: Traffic::new(&options.traffic, options.seed),
            intensity: options.load.open().map(intensity),
            interrupt,
            abandoned: AtomicBool::new(false),
            shared_progress: SharedProgress::new(options.threads),
        }
    }

    /// The schedule of a connection; nothing in a closed loop.
    pub(crate) fn arrivals(&self, connection: u32) -> Option<Arrivals> {
        match &self.options.load {
            Load::Closed => None,
            Load::Open(open) => {
                let Options { seed, connections, .. } = *self.options;
                Some(Arrivals::new(open.arrival, seed, connection, connections))
            }
        }
    }

    /// What begins the TLS handshakes of a connection; nothing in plain text.
    pub(crate) fn connector(&self, connection: u32) -> Option<Connector> {
        let tls = self.options.tls.as_ref()?;
        Some(tls.connector(connection, self.options.seed))
    }

    /// Maximum number of requests outstanding on a connection.
    pub(crate) fn pipeline(&self) -> usize {
        self.options.pipeline as usize
    }

    /// How many requests a connection may begin before it is replaced.
    pub(crate) fn requests_per_connection(&self) -> u64 {
        match self.options.churn {
            Churn::EachRequest => 1,
            Churn::Requests(requests) => requests,
            Churn::None | Churn::Lifetime(_) => u64::MAX,
        }
    }

    /// Whether a connection is made for each request, as a part of it.
    pub(crate) fn connects_per_request(&self) -> bool {
        self.options.churn == Churn::EachRequest
    }

    /// How long a connection with a reply outstanding may receive nothing.
    pub(crate) fn timeout_ns(&self) -> u64 {
        nanoseconds(self.options.timeout)
    }
}

/// One thread's part of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) thread: usize,
    pub(crate) first_connection: u32,
    pub(crate) connections: u32,
}

/// Spreads the connections over the threads; shares differ by at most one.
pub(crate) fn shares(connections: u32, threads: u32) -> Vec<Share> {
    let (each, rest) = (connections / threads, connections % threads);
    let mut first_connection = 0;
    (0..threads)
        .map(|thread| {
            let share = Share {
                thread: thread as usize,
                first_connection,
                connections: each + u32::from(thread < rest),
            };
            first_connection += share.connections;
            share
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_evenly_and_numbered_without_gaps() {
        for (connections, threads) in [(1, 1), (7, 3), (64, 5), (1_000, 7), (4, 4)] {
            let shares = shares(connections, threads);
            let counts = || shares.iter().map(|share| share.connections);
            assert_eq!(counts().sum::<u32>(), connections);
            assert!(counts().max().unwrap() - counts().min().unwrap() <= 1);
            let mut next = 0;
            for share in &shares {
                assert_eq!(share.first_connection, next);
                next += share.connections;
            }
        }
    }
}
