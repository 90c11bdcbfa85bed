//! The command line: the flags and defaults of the C programs, and this base's own variants.

use clap::{Parser, ValueEnum};
use evshard::{ChangelistFlush, ChangelistPolicy, Config, EventBase};

use crate::Outcome;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Benchmark {
    Chain,
    Cascade,
    Timers,
    Changes,
    Memory,
}

/// How a base is set up, and what its descriptors promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// The library's default.
    Default,
    /// The deferred changelist, as the server has it.
    Deferred,
    /// The deferred changelist, and every event has `stable_fd`.
    Stable,
    /// The deferred changelist, flushed through `io_uring`.
    Uring,
}

/// How a handler sets its event's timeout anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rearm {
    None,
    /// As the famous program does.
    DelAdd,
    /// `add` on the pending event.
    Add,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deadlines {
    Random,
    /// One duration for all.
    Common,
}

fn from_one_to(most: u32) -> impl clap::builder::TypedValueParser<Value = u32> {
    clap::value_parser!(u32).range(1..=i64::from(most))
}

/// The options of a run.
#[derive(Debug, Parser)]
#[command(about = "The famous benchmarks of event bases on evshard; one line of JSON per run")]
pub(crate) struct Options {
    #[arg(value_enum)]
    pub(crate) benchmark: Benchmark,
    #[arg(long, value_enum, default_value = "default")]
    pub(crate) variant: Variant,
    #[arg(long, default_value_t = 100, value_parser = from_one_to(9900))]
    pub(crate) pipes: u32,
    #[arg(long, default_value_t = 1, value_parser = from_one_to(9900))]
    pub(crate) active: u32,
    #[arg(long, default_value_t = 10_000, value_parser = from_one_to(u32::MAX))]
    pub(crate) writes: u32,
    #[arg(long, value_enum, default_value = "none")]
    pub(crate) rearm: Rearm,
    #[arg(long, default_value_t = 100_000, value_parser = from_one_to(u32::MAX))]
    pub(crate) timers: u32,
    #[arg(long, value_enum, default_value = "random")]
    pub(crate) deadlines: Deadlines,
    #[arg(long, default_value_t = 1, value_parser = from_one_to(9900))]
    pub(crate) changes: u32,
    #[arg(long, default_value_t = 100_000, value_parser = from_one_to(u32::MAX))]
    pub(crate) events: u32,
    #[arg(long, default_value_t = 18_000, value_parser = from_one_to(19_800))]
    pub(crate) descriptors: u32,
    /// Reported runs; one more comes before them and is not.
    #[arg(long, default_value_t = 1, value_parser = from_one_to(64))]
    pub(crate) runs: u32,
}

impl Options {
    /// A base of the requested variant.
    pub(crate) fn open_base<C>(&self) -> Outcome<EventBase<C>> {
        let deferred = Config::default().changelist(ChangelistPolicy::Deferred);
        let config = match self.variant {
            Variant::Default => Config::default(),
            Variant::Deferred | Variant::Stable => deferred.flush(ChangelistFlush::EpollCtl),
            Variant::Uring => deferred.flush(ChangelistFlush::IoUring),
        };
        Ok(EventBase::new(config)?)
    }

    pub(crate) fn is_stable(&self) -> bool {
        self.variant == Variant::Stable
    }

    /// Reported runs after one that is not: that one is `None`.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Option<u32>> {
        std::iter::once(None).chain((0..self.runs).map(Some))
    }
}
