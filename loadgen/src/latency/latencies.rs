//! The latency distributions of a run.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use super::{Latency, ReplyClass};
use crate::schedule::Mode;

/// The kinds of latency that have a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// Intended time to reply; open loop only.
    Response,
    /// Requests without a correct reply: how long they had waited at the end, which is a lower
    /// bound of their headline latency.
    Unanswered,
    /// Write to reply.
    Service,
    /// Intended time to write; open loop only.
    Lateness,
    /// The loader's own part of the lateness; open loop only.
    LoaderLate,
    /// The part of the lateness in which the connection could not be used; open loop only, and only
    /// of requests that were blocked.
    Blocked,
    /// Connects: the handshakes of TCP.
    Connect,
    /// The handshakes of TLS, from the end of the connect.
    Handshake,
    /// How long the loader stood still while a request was outstanding, if it did. The reply can
    /// have been read later by so much.
    Stalled,
}

impl Distribution {
    /// In the order of files.
    pub(crate) const ALL: [Self; 9] = [
        Self::Response,
        Self::Unanswered,
        Self::Service,
        Self::Lateness,
        Self::LoaderLate,
        Self::Blocked,
        Self::Connect,
        Self::Handshake,
        Self::Stalled,
    ];

    /// The headline latency: response in an open loop, service in a closed one, which has no
    /// response times.
    pub(crate) fn headline(mode: Mode) -> Self {
        match mode {
            Mode::Open => Self::Response,
            Mode::Closed => Self::Service,
        }
    }

    /// Its name in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Unanswered => "unanswered",
            Self::Service => "service",
            Self::Lateness => "lateness",
            Self::LoaderLate => "loader_late",
            Self::Blocked => "blocked",
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Stalled => "stalled",
        }
    }

    /// The distribution with this name in files.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|distribution| distribution.name() == name)
    }
}

/// All distributions of a thread, an interval, a run or several runs.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    distributions: [Latency; Distribution::ALL.len()],
    /// The classes that replies had so far; the others need no histogram.
    classes: BTreeMap<ReplyClass, Latency>,
}

impl Index<Distribution> for Latencies {
    type Output = Latency;

    fn index(&self, distribution: Distribution) -> &Latency {
        &self.distributions[distribution as usize]
    }
}

impl IndexMut<Distribution> for Latencies {
    fn index_mut(&mut self, distribution: Distribution) -> &mut Latency {
        &mut self.distributions[distribution as usize]
    }
}

impl Latencies {
    /// Empty distributions.
    pub(crate) fn new() -> Self {
        let distributions = Distribution::ALL.map(|_| Latency::new());
        Self { distributions, classes: BTreeMap::new() }
    }

    /// Adds all values of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        let pairs = self.distributions.iter_mut().zip(&other.distributions);
        pairs.for_each(|(ours, theirs)| ours.merge(theirs));
        for (&class, latency) in &other.classes {
            self.of_class(class).merge(latency);
        }
    }

    /// Every distribution that has samples, with its name in files.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = (&'static str, &Latency)> {
        let names = Distribution::ALL.into_iter().map(Distribution::name);
        let all = names.zip(&self.distributions);
        all.filter(|(_, latency)| latency.count() > 0).chain(self.of_classes())
    }

    /// The latencies of a class of replies.
    pub(crate) fn of_class(&mut self, class: ReplyClass) -> &mut Latency {
        self.classes.entry(class).or_insert_with(Latency::new)
    }

    /// The latencies of every class that has samples, with its name in files.
    pub(crate) fn of_classes(&self) -> impl Iterator<Item = (&'static str, &Latency)> {
        let classes = self.classes.iter().map(|(class, latency)| (class.name(), latency));
        classes.filter(|(_, latency)| latency.count() > 0)
    }

    /// The distribution, or the class of replies, with this name in files.
    pub(crate) fn by_name(&mut self, name: &str) -> Option<&mut Latency> {
        match Distribution::by_name(name) {
            Some(distribution) => Some(&mut self[distribution]),
            None => ReplyClass::by_name(name).map(|class| self.of_class(class)),
        }
    }

    /// The headline latency: see [`Distribution::headline`].
    pub(crate) fn headline(&self, mode: Mode) -> &Latency {
        &self[Distribution::headline(mode)]
    }

    /// A distribution of all requests. The headline latency includes the lower bounds of
    /// unanswered requests.
    pub(crate) fn with_bounds(&self, distribution: Distribution, mode: Mode) -> Cow<'_, Latency> {
        let mut latency = Cow::Borrowed(&self[distribution]);
        if distribution == Distribution::headline(mode) {
            latency.to_mut().merge(&self[Distribution::Unanswered]);
        }
        latency
    }

    /// Empties all distributions, without freeing their memory.
    pub(crate) fn clear(&mut self) {
        self.distributions.iter_mut().chain(self.classes.values_mut()).for_each(Latency::clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_distribution_is_found_by_its_name_and_stands_at_its_place() {
        let mut latencies = Latencies::new();
        for (place, distribution) in Distribution::ALL.into_iter().enumerate() {
            assert_eq!(Distribution::by_name(distribution.name()), Some(distribution));
            (0..=place).for_each(|_| latencies[distribution].record(5));
        }
        let counts: Vec<u64> = latencies.recorded().map(|(_, latency)| latency.count()).collect();
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(Distribution::by_name("other"), None);
    }

    #[test]
    fn a_class_of_replies_has_a_histogram_once_there_is_one() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.of_classes().count(), 0);
        latencies.of_class(ReplyClass::Http5xx).record(5);
        let mut sum = Latencies::new();
        sum.merge(&latencies);
        sum.by_name("5xx").unwrap().record(9);
        let names: Vec<&str> = sum.recorded().map(|(name, _)| name).collect();
        assert_eq!(names, ["5xx"]);
        assert_eq!(sum.of_class(ReplyClass::Http5xx).count(), 2);
        sum.clear();
        assert_eq!(sum.recorded().count(), 0);
        assert!(sum.by_name("unknown").is_none());
    }

    #[test]
    fn what_was_never_answered_is_a_lower_bound_of_the_headline_latency_alone() {
        let mut latencies = Latencies::new();
        Distribution::ALL.into_iter().for_each(|distribution| latencies[distribution].record(5));
        assert_eq!(latencies.with_bounds(Distribution::Response, Mode::Open).count(), 2);
        assert_eq!(latencies.with_bounds(Distribution::Service, Mode::Open).count(), 1);
        assert_eq!(latencies.with_bounds(Distribution::Service, Mode::Closed).count(), 2);
    }
}
