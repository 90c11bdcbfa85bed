//! The plan of a run, shared by all threads: constant, except two flags and the progress.

use std::ops::Range;
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
    /// The connections of this process.
    pub(crate) part: Part,
    pub(crate) traffic: Traffic,
    /// Requests due over time; nothing in a closed loop.
    pub(crate) intensity: Option<Intensity>,
    pub(crate) interrupt: &'run Interrupt,
    /// Set when the run cannot start.
    pub(crate) abandoned: AtomicBool,
    pub(crate) shared_progress: SharedProgress,
}

impl<'run> Plan<'run> {
    /// Prepares a part of what the options describe.
    pub(crate) fn new(options: &'run Options, interrupt: &'run Interrupt, part: Part) -> Self {
        let intensity =
            |open: &OpenLoad| Intensity::new(&open.profile, options.warmup, options.duration);
        Self {
            options,
            part,
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

    /// The connections of each thread of this process.
    pub(crate) fn shares(&self) -> Vec<Share> {
        self.part.shares(self.options.connections, self.options.threads)
    }

    /// The threads of all processes, about.
    pub(crate) fn threads_of_all(&self) -> u32 {
        self.options.threads.saturating_mul(self.part.agents)
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

/// The connections of one process: those whose number, divided by the number of agents, leaves
/// `rank`. The schedule of a connection does not depend on the process that drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Number of the process, from 0.
    pub(crate) rank: u32,
    /// How many processes drive the connections. None has no connection.
    pub(crate) agents: u32,
}

impl Part {
    /// All connections: there is one process.
    pub(crate) const WHOLE: Self = Self { rank: 0, agents: 1 };

    /// How many of `connections` belong to it.
    pub(crate) fn connections_of(self, connections: u32) -> u32 {
        connections / self.agents + u32::from(self.rank < connections % self.agents)
    }

    /// Spreads its part of `connections` over `threads` threads, at most one per connection.
    pub(crate) fn shares(self, connections: u32, threads: u32) -> Vec<Share> {
        let own = self.connections_of(connections);
        let share = |(thread, places): (usize, Range<u32>)| Share {
            thread,
            first_connection: self.rank + places.start * self.agents,
            step: self.agents,
            connections: places.end - places.start,
        };
        ranges(own, threads.min(own)).into_iter().enumerate().map(share).collect()
    }
}

/// One thread's part of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) thread: usize,
    pub(crate) first_connection: u32,
    /// From the number of one connection to that of the next.
    pub(crate) step: u32,
    pub(crate) connections: u32,
}

impl Share {
    /// The numbers of its connections in the run.
    pub(crate) fn numbers(self) -> impl Iterator<Item = u32> {
        (0..self.connections).map(move |index| self.first_connection + index * self.step)
    }
}

/// Divides the numbers below `count` into ranges, whose lengths differ by at most one.
pub(crate) fn ranges(count: u32, ranges: u32) -> Vec<Range<u32>> {
    let (each, rest) = (count / ranges, count % ranges);
    let mut next = 0;
    (0..ranges)
        .map(|number| {
            let first = next;
            next += each + u32::from(number < rest);
            first..next
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_even_and_leave_no_number_out() {
        for (count, parts) in [(1, 1), (7, 3), (64, 5), (1_000, 7), (4, 4)] {
            let ranges = ranges(count, parts);
            let lengths = || ranges.iter().map(ExactSizeIterator::len);
            assert!(lengths().max().unwrap() - lengths().min().unwrap() <= 1);
            assert!(ranges.iter().cloned().flatten().eq(0..count), "{ranges:?}");
        }
    }

    #[test]
    fn the_parts_of_all_agents_have_each_connection_once_and_are_even() {
        for (connections, agents, threads) in [(1, 1, 1), (7, 3, 2), (64, 5, 4), (1_000, 7, 3)] {
            let mut all = Vec::new();
            for rank in 0..agents {
                let part = Part { rank, agents };
                let shares = part.shares(connections, threads);
                let own: Vec<u32> = shares.iter().flat_map(|share| share.numbers()).collect();
                assert_eq!(own.len(), part.connections_of(connections) as usize);
                assert!(own.iter().all(|number| number % agents == rank), "{own:?}");
                assert!(shares.len() <= threads as usize);
                assert!(shares.iter().all(|share| share.connections > 0), "{shares:?}");
                all.extend(own);
            }
            all.sort_unstable();
            assert!(all.into_iter().eq(0..connections));
        }
    }
}
