//! The placer: the state of a placement policy in one acceptor.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter::Chain;
use std::net::IpAddr;
use std::ops::Range;

use super::Placement;
use super::load::ShardLoad;

/// A worker passes new connections on while it has more than the mean × (1 + 1/8). At 64
/// connections a shard, that excess is one standard deviation of the kernel's hash (the root of the
/// mean).
const SKEW_DIVISOR: usize = 8;

/// The minimum excess of connections: with few connections, a difference of one is no skew.
const SKEW_MIN: usize = 2;

/// A shard that is always busy, in thousandths.
const ALWAYS_BUSY: usize = 1000;

/// What a policy may know about a connection. Each field costs a system call or an address, so an
/// acceptor reads only what [`Placer::wants_address`] and [`Placer::wants_core`] ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct PlacementHint {
    pub(in crate::server) address: Option<IpAddr>,
    pub(in crate::server) core: Option<usize>,
}

/// The shard that an acceptor runs in, and when it keeps connections of its own socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum LocalShard {
    /// It runs in no shard, or has no socket of its own.
    None,
    /// Always.
    Always(usize),
    /// Unless it has more connections than the others.
    UnlessSkewed(usize),
}

/// Chooses the shard of each connection.
#[derive(Debug)]
pub(in crate::server) struct Placer {
    policy: Placement,
    local_shard: LocalShard,
    /// The core of each shard.
    cores: Box<[Option<usize>]>,
    /// Where the next search for the minimum begins, so that ties rotate.
    next: usize,
    random: fastrand::Rng,
}

impl Placer {
    /// Places on shards pinned to `cores`. Placers of different seeds make different choices.
    pub(in crate::server) fn new(
        policy: Placement,
        local_shard: LocalShard,
        cores: &[Option<usize>],
        seed: u64,
    ) -> Self {
        Self {
            policy,
            local_shard,
            cores: cores.into(),
            next: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    pub(in crate::server) fn wants_address(&self) -> bool {
        self.policy == Placement::SourceHash && self.is_asked()
    }

    pub(in crate::server) fn wants_core(&self) -> bool {
        self.policy == Placement::IncomingCpu && self.is_asked()
    }

    /// Whether the policy ever decides.
    fn is_asked(&self) -> bool {
        !matches!(self.local_shard, LocalShard::Always(_))
    }

    /// The shards in the order a connection is offered to them: the chosen one, then the others by
    /// rotation. `is_local`: it came from the acceptor's own socket.
    pub(in crate::server) fn order(
        &mut self,
        loads: &[ShardLoad],
        hint: PlacementHint,
        is_local: bool,
    ) -> Chain<Range<usize>, Range<usize>> {
        let first = match self.local_shard {
            LocalShard::Always(local) if is_local => local,
            LocalShard::UnlessSkewed(local) if is_local && !is_skewed(loads, local) => local,
            _ => self.choose(loads, hint),
        };
        (first..loads.len()).chain(0..first)
    }

    fn choose(&mut self, loads: &[ShardLoad], hint: PlacementHint) -> usize {
        match self.policy {
            Placement::RoundRobin => self.in_turn(loads),
            Placement::LeastConnections => self.fewest_connections(loads),
            Placement::LeastLoaded => {
                let mean = mean_connections(loads);
                least(&mut self.next, loads.len(), |shard| Some(score(&loads[shard], mean)))
            }
            Placement::TwoChoices => self.of_two(loads),
            Placement::SourceHash => match hint.address {
                Some(address) => hash(address) % loads.len(),
                None => self.in_turn(loads),
            },
            Placement::IncomingCpu => self.by_core(loads, hint.core),
        }
    }

    fn in_turn(&mut self, loads: &[ShardLoad]) -> usize {
        least(&mut self.next, loads.len(), |_| Some(0))
    }

    fn fewest_connections(&mut self, loads: &[ShardLoad]) -> usize {
        least(&mut self.next, loads.len(), |shard| Some(loads[shard].connections()))
    }

    fn of_two(&mut self, loads: &[ShardLoad]) -> usize {
        let shards = loads.len();
        let one = self.random.usize(..shards);
        if shards == 1 {
            return one;
        }
        let other = (one + 1 + self.random.usize(..shards - 1)) % shards;
        if loads[other].connections() < loads[one].connections() { other } else { one }
    }

    /// The shard with the fewest connections of those pinned to the core. Several shards share a
    /// core if there are more workers than cores.
    fn by_core(&mut self, loads: &[ShardLoad], core: Option<usize>) -> usize {
        let cores = &self.cores;
        let is_there = |shard: usize| core.is_some() && cores.get(shard) == Some(&core);
        if !(0..loads.len()).any(is_there) {
            return self.fewest_connections(loads);
        }
        let of_those_there = |shard| is_there(shard).then(|| loads[shard].connections());
        least(&mut self.next, loads.len(), of_those_there)
    }
}

/// The first of the lowest scores, searched from `next` on; `next` then points behind it. A shard
/// without a score is not a candidate.
fn least(next: &mut usize, shards: usize, score: impl Fn(usize) -> Option<usize>) -> usize {
    let start = *next % shards;
    let scored = (start..shards).chain(0..start).filter_map(|shard| Some((score(shard)?, shard)));
    // Of equals, the first one found.
    let least = scored.min_by_key(|(score, _)| *score).map_or(start, |(_, shard)| shard);
    *next = least + 1;
    least
}

fn is_skewed(loads: &[ShardLoad], local: usize) -> bool {
    let mean = mean_connections(loads);
    loads[local].connections() > mean + (mean / SKEW_DIVISOR).max(SKEW_MIN)
}

fn mean_connections(loads: &[ShardLoad]) -> usize {
    loads.iter().map(ShardLoad::connections).sum::<usize>() / loads.len()
}

/// In thousandths of a connection. A connection that waits to be adopted counts once more, because
/// its cost is still to come. Busy time is weighed by the average number of connections, so that it
/// means the same for 32 long connections as for 10,000. One is added for the case of none.
fn score(load: &ShardLoad, mean: usize) -> usize {
    let connections = load.connections() + load.queued();
    connections * ALWAYS_BUSY + load.busy_permille() as usize * (mean + 1)
}

/// An IPv4 client on an IPv6 socket is the same client.
fn hash(address: IpAddr) -> usize {
    let mut hasher = DefaultHasher::new();
    address.to_canonical().hash(&mut hasher);
    hasher.finish() as usize
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::super::load::{Loads, loads};
    use super::*;

    fn with_connections(counts: &[usize]) -> Loads {
        let loads = loads(counts.len());
        for (load, count) in loads.iter().zip(counts) {
            (0..*count).for_each(|_| assert!(load.placed() > 0));
            load.adopted(*count);
        }
        loads
    }

    fn placer(policy: Placement) -> Placer {
        Placer::new(policy, LocalShard::None, &[], 1)
    }

    fn first(placer: &mut Placer, loads: &Loads, hint: PlacementHint) -> usize {
        placer.order(loads, hint, false).next().unwrap()
    }

    fn from(address: &str) -> PlacementHint {
        PlacementHint { address: Some(address.parse().unwrap()), core: None }
    }

    #[test]
    fn every_worker_is_first_in_turn_and_all_are_offered() {
        let (mut placer, loads) = (placer(Placement::RoundRobin), with_connections(&[9, 0, 5]));
        let order = |_| placer.order(&loads, PlacementHint::default(), false).collect();
        let orders: Vec<Vec<usize>> = (0..4).map(order).collect();
        assert_eq!(orders, [vec![0, 1, 2], vec![1, 2, 0], vec![2, 0, 1], vec![0, 1, 2]]);
    }

    proptest! {
        #[test]
        fn every_policy_offers_to_every_shard_exactly_once(
            counts in proptest::collection::vec(0_usize..9, 1..9),
            seed: u64,
            calls in 1_usize..9,
        ) {
            let loads = with_connections(&counts);
            for policy in Placement::ALL {
                let mut placer = Placer::new(policy, LocalShard::None, &[Some(1), None], seed);
                for call in 0..calls {
                    let hint = PlacementHint { core: Some(call), ..from("10.1.2.3") };
                    let mut offered: Vec<_> = placer.order(&loads, hint, false).collect();
                    offered.sort_unstable();
                    prop_assert_eq!(offered, (0..counts.len()).collect::<Vec<_>>());
                }
            }
        }

        /// Against the naive model: a shard with the fewest connections, and of several the one
        /// that was chosen longest ago.
        #[test]
        fn least_connections_takes_a_minimum_and_ties_rotate(
            mut counts in proptest::collection::vec(0_usize..4, 1..9),
            closes in proptest::collection::vec(any::<u16>(), 1..99),
        ) {
            let mut placer = placer(Placement::LeastConnections);
            let loads = with_connections(&counts);
            for close in closes {
                let chosen = first(&mut placer, &loads, PlacementHint::default());
                prop_assert_eq!(Some(&counts[chosen]), counts.iter().min());
                loads[chosen].placed();
                counts[chosen] += 1;
                let closed = usize::from(close) % counts.len();
                if counts[closed] > 0 {
                    loads[closed].closed();
                    counts[closed] -= 1;
                }
            }
        }

        #[test]
        fn ties_rotate_evenly(shards in 1_usize..9, rounds in 1_usize..20) {
            for policy in [Placement::LeastConnections, Placement::LeastLoaded] {
                let (loads, mut placer) = (with_connections(&vec![3; shards]), placer(policy));
                let mut chosen = vec![0; shards];
                for _ in 0..shards * rounds {
                    chosen[first(&mut placer, &loads, PlacementHint::default())] += 1;
                }
                prop_assert_eq!(chosen, vec![rounds; shards]);
            }
        }

        #[test]
        fn two_choices_never_takes_the_one_shard_that_has_most(seed: u64, shards in 2_usize..9) {
            let mut counts = vec![1; shards];
            counts[shards / 2] = 2;
            let loads = with_connections(&counts);
            let mut placer = Placer::new(Placement::TwoChoices, LocalShard::None, &[], seed);
            for _ in 0..50 {
                prop_assert_ne!(first(&mut placer, &loads, PlacementHint::default()), shards / 2);
            }
        }
    }

    #[test]
    fn two_choices_reach_every_shard_and_the_same_seed_takes_the_same() {
        let loads = with_connections(&[0; 5]);
        let run = |seed| -> Vec<usize> {
            let mut placer = Placer::new(Placement::TwoChoices, LocalShard::None, &[], seed);
            (0..200).map(|_| first(&mut placer, &loads, PlacementHint::default())).collect()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert!((0..5).all(|shard| run(7).iter().filter(|chosen| **chosen == shard).count() > 20));
    }

    #[test]
    fn least_loaded_weighs_connections_that_wait_and_busy_time() {
        let (mut placer, loads) = (placer(Placement::LeastLoaded), with_connections(&[4, 3, 5]));
        assert_eq!(first(&mut placer, &loads, PlacementHint::default()), 1);
        loads[1].set_busy_permille(1000); // 3 + 1 × (4 + 1) against 4 and 5
        assert_eq!(first(&mut placer, &loads, PlacementHint::default()), 0);
        loads[0].placed(); // 5, and one of them not adopted, against 5 and 8
        assert_eq!(first(&mut placer, &loads, PlacementHint::default()), 2);
    }

    #[test]
    fn a_client_gets_the_same_shard_by_either_address_family() {
        let (mut placer, loads) = (placer(Placement::SourceHash), with_connections(&[0; 7]));
        let shard = first(&mut placer, &loads, from("192.0.2.7"));
        assert_eq!(first(&mut placer, &loads, from("192.0.2.7")), shard);
        assert_eq!(first(&mut placer, &loads, from("::ffff:192.0.2.7")), shard);
        let met = |client| first(&mut placer, &loads, from(&format!("192.0.2.{client}")));
        let mut met: Vec<usize> = (0..200).map(met).collect();
        met.sort_unstable();
        met.dedup();
        assert_eq!(met.len(), 7, "clients are spread over all shards");
    }

    #[test]
    fn clients_without_an_address_are_placed_in_turn() {
        let (mut placer, loads) = (placer(Placement::SourceHash), with_connections(&[5, 0]));
        let chosen: Vec<_> =
            (0..4).map(|_| first(&mut placer, &loads, PlacementHint::default())).collect();
        assert_eq!(chosen, [0, 1, 0, 1]);
    }

    #[test]
    fn a_connection_goes_to_the_core_that_received_it_or_to_the_fewest_connections() {
        let loads = with_connections(&[3, 9, 4, 5]);
        let cores = [Some(2), Some(6), Some(6), None];
        let mut placer = Placer::new(Placement::IncomingCpu, LocalShard::None, &cores, 1);
        let received = |core| PlacementHint { address: None, core };
        assert_eq!(first(&mut placer, &loads, received(Some(2))), 0);
        assert_eq!(first(&mut placer, &loads, received(Some(6))), 2, "the emptier of two there");
        assert_eq!(first(&mut placer, &loads, received(Some(1))), 0, "no shard is pinned there");
        assert_eq!(first(&mut placer, &loads, received(None)), 0, "it is not known");
    }

    #[test]
    fn a_worker_keeps_what_its_own_socket_brings() {
        let loads = with_connections(&[90, 0]);
        let mut placer = Placer::new(Placement::LeastConnections, LocalShard::Always(0), &[], 1);
        let order = |placer: &mut Placer, own| -> Vec<usize> {
            placer.order(&loads, PlacementHint::default(), own).collect()
        };
        assert_eq!(order(&mut placer, true), [0, 1]);
        assert_eq!(order(&mut placer, false), [1, 0], "a shared socket is for all shards");
    }

    #[test]
    fn a_hybrid_worker_hands_over_what_it_has_too_many_of() {
        let mut placer =
            Placer::new(Placement::LeastConnections, LocalShard::UnlessSkewed(0), &[], 1);
        let mut keeps = |counts: &[usize]| {
            placer.order(&with_connections(counts), PlacementHint::default(), true).next()
                == Some(0)
        };
        assert!(keeps(&[4, 0]), "two more than the mean is no skew yet");
        assert!(!keeps(&[5, 0]));
        assert!(keeps(&[72, 56]), "an eighth more than the mean of 64");
        assert!(!keeps(&[73, 55]));
    }
}
