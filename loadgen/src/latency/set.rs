//! The distributions that one run is described by.

use super::Latency;

/// All distributions of a thread, an interval, a run or several runs.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    /// Intended time to reply.
    pub(crate) response: Latency,
    /// For requests without a reply: how long they had waited at the end, a lower bound of
    /// their response time.
    pub(crate) unanswered: Latency,
    /// Write to reply.
    pub(crate) service: Latency,
    /// Intended time to write.
    pub(crate) lateness: Latency,
    /// The loader's own part of the lateness.
    pub(crate) loader_late: Latency,
    /// The part in which the connection could not be used; only of requests that were blocked.
    pub(crate) blocked: Latency,
    /// Handshakes.
    pub(crate) connect: Latency,
}

impl Latencies {
    /// Empty distributions.
    pub(crate) fn new() -> Self {
        Self {
            response: Latency::new(),
            unanswered: Latency::new(),
            service: Latency::new(),
            lateness: Latency::new(),
            loader_late: Latency::new(),
            blocked: Latency::new(),
            connect: Latency::new(),
        }
    }

    /// Adds all values of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.response.merge(&other.response);
        self.unanswered.merge(&other.unanswered);
        self.service.merge(&other.service);
        self.lateness.merge(&other.lateness);
        self.loader_late.merge(&other.loader_late);
        self.blocked.merge(&other.blocked);
        self.connect.merge(&other.connect);
    }

    /// Every distribution with the name that it has in files.
    pub(crate) fn named(&self) -> [(&'static str, &Latency); 7] {
        [
            ("response", &self.response),
            ("unanswered", &self.unanswered),
            ("service", &self.service),
            ("lateness", &self.lateness),
            ("loader_late", &self.loader_late),
            ("blocked", &self.blocked),
            ("connect", &self.connect),
        ]
    }

    /// The distribution that has this name in files.
    pub(crate) fn by_name(&mut self, name: &str) -> Option<&mut Latency> {
        match name {
            "response" => Some(&mut self.response),
            "unanswered" => Some(&mut self.unanswered),
            "service" => Some(&mut self.service),
            "lateness" => Some(&mut self.lateness),
            "loader_late" => Some(&mut self.loader_late),
            "blocked" => Some(&mut self.blocked),
            "connect" => Some(&mut self.connect),
            _ => None,
        }
    }

    /// Response times of all requests; of the unanswered ones a lower bound.
    pub(crate) fn response_or_bound(&self) -> Latency {
        let mut all = self.response.clone();
        all.merge(&self.unanswered);
        all
    }

    /// The headline latency: response in an open loop, service in a closed one, which has no
    /// response times.
    pub(crate) fn headline(&self) -> &Latency {
        if self.response.count() > 0 { &self.response } else { &self.service }
    }

    /// How many reply times exceeded the range of their histogram.
    pub(crate) fn saturated(&self) -> u64 {
        self.headline().saturated()
    }

    /// Empties all, without freeing their memory.
    pub(crate) fn clear(&mut self) {
        self.response.clear();
        self.unanswered.clear();
        self.service.clear();
        self.lateness.clear();
        self.loader_late.clear();
        self.blocked.clear();
        self.connect.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_distribution_is_found_by_its_name() {
        let mut latencies = Latencies::new();
        let names = latencies.named().map(|(name, _)| name);
        for (count, name) in (1..).zip(names) {
            (0..count).for_each(|_| latencies.by_name(name).unwrap().record(5));
        }
        assert_eq!(latencies.named().map(|(_, latency)| latency.count()), [1, 2, 3, 4, 5, 6, 7]);
        assert!(latencies.by_name("other").is_none());
    }
}
