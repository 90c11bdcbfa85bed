//! Searches with oracles, and with simulated queues.

mod queues;

use proptest::prelude::{prop, prop_assert, prop_assume, proptest};

use super::*;

/// More probes than any search may take: 30 rises or 4 descents, 20 halvings, 21 rates to
/// confirm, each of these rates six times if undecided, and each probe three times if disturbed.
const PROBES_MAX: usize = 2_000;

fn bounds() -> Bounds {
    Bounds {
        from_per_s: 1_000.0,
        from_is_least: false,
        to_per_s: 1e9,
        tolerance: 0.02,
        confirmations: 3,
        confirm_length: 6,
    }
}

/// Searches with an oracle; returns the end and all probes with what they found. A probe in which
/// the loader is the limit is disturbed.
fn search(
    bounds: Bounds,
    mut oracle: impl FnMut(Probe) -> ProbeFinding,
) -> (SearchStep, Vec<(Probe, ProbeFinding)>) {
    let mut strategy = Strategy::new(bounds);
    let (mut probes, mut rates) = (Vec::new(), Vec::new());
    while let SearchStep::Try(probe) = strategy.next() {
        assert!(probes.len() < PROBES_MAX, "it does not end: {probes:?}");
        let finding = oracle(probe);
        probes.push((probe, finding));
        let disturbed = finding == ProbeFinding::LoaderLimited;
        observe(&mut rates, probe, finding);
        strategy.found(Observation { finding, disturbed }, rates.clone());
    }
    (strategy.next(), probes)
}

/// Adds what a probe found to what all rates show. It leans to neither side.
fn observe(rates: &mut Vec<RateFinding>, probe: Probe, finding: ProbeFinding) {
    let Probe { group, rate_per_s, .. } = probe;
    rates.retain(|rate| rate.group != group);
    let at = rates.partition_point(|rate| rate.rate_per_s < rate_per_s);
    rates.insert(at, RateFinding { group, rate_per_s, finding, lean: None });
}

fn up_to(limit_per_s: f64) -> impl Fn(Probe) -> ProbeFinding {
    move |probe| {
        if probe.rate_per_s <= limit_per_s { ProbeFinding::Good } else { ProbeFinding::Bad }
    }
}

fn stages(probes: &[(Probe, ProbeFinding)]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = probes.iter().map(|(probe, _)| probe.stage).collect();
    stages.dedup();
    stages
}

#[test]
fn it_rises_bisects_and_confirms() {
    let (end, probes) = search(bounds(), up_to(7_777.0));
    let SearchStep::Found { rate_per_s, limit, confirmed: 3 } = end else { panic!("{end:?}") };
    assert!((7_777.0 / 1.02..=7_777.0).contains(&rate_per_s), "{rate_per_s}");
    assert_eq!(limit, Limit::Objective);
    assert_eq!(stages(&probes), [Stage::Rise, Stage::Bisect, Stage::Confirm]);
    let rates: Vec<f64> = probes.iter().map(|(probe, _)| probe.rate_per_s).collect();
    assert_eq!(rates[..3], [1_000.0, 1_500.0, 2_250.0]);
    assert_eq!(rates[rates.len() - 3..], [rate_per_s; 3]);
}

#[test]
fn the_highest_requested_rate_is_an_answer() {
    let (end, probes) = search(Bounds { to_per_s: 2_000.0, ..bounds() }, up_to(1e8));
    assert_eq!(end, SearchStep::Found { rate_per_s: 2_000.0, limit: Limit::Highest, confirmed: 3 });
    assert_eq!(stages(&probes), [Stage::Rise, Stage::Confirm]);
}

#[test]
fn it_descends_below_a_first_guess_but_not_below_a_requested_rate() {
    let (end, probes) = search(bounds(), up_to(200.0));
    let SearchStep::Found { rate_per_s, .. } = end else { panic!("{end:?}") };
    assert!((200.0 / 1.02..=200.0).contains(&rate_per_s), "{rate_per_s}");
    assert_eq!(probes[1].0.stage, Stage::Descend);
    let (end, probes) = search(Bounds { from_is_least: true, ..bounds() }, up_to(200.0));
    assert_eq!((end, probes.len()), (SearchStep::NoneIsGood { limit: Limit::Objective }, 1));
}

#[test]
fn where_nothing_is_good_it_says_so() {
    let (end, probes) = search(bounds(), |_| ProbeFinding::Bad);
    assert_eq!((end, probes.len()), (SearchStep::NoneIsGood { limit: Limit::Objective }, 5));
}

#[test]
fn an_undecided_rate_gets_more_evidence_and_then_counts_as_failed() {
    let (end, probes) = search(bounds(), |probe| match probe.rate_per_s {
        ..=1_600.0 => ProbeFinding::Good,
        _ => ProbeFinding::Undecided,
    });
    // While it rises, each probe is as long as the group before it.
    let lengths: Vec<u32> = probes[2..6].iter().map(|(probe, _)| probe.length).collect();
    assert_eq!(lengths, [1, 1, 2, 1]);
    let rates: Vec<f64> = probes[2..6].iter().map(|(probe, _)| probe.rate_per_s).collect();
    assert_eq!(rates, [2_250.0, 2_250.0, 2_250.0, 1_875.0]);
    let SearchStep::Found { rate_per_s, limit: Limit::Undecided, .. } = end else {
        panic!("{end:?}")
    };
    assert!((1_600.0 / 1.02..=1_600.0).contains(&rate_per_s), "{rate_per_s}");
}

#[test]
fn probes_are_numbered_so_that_each_has_a_seed_of_its_own() {
    let (_, probes) = search(bounds(), up_to(7_777.0));
    assert!(probes.iter().zip(1..).all(|((probe, _), number)| probe.number == number));
}

#[test]
fn too_few_samples_are_not_sought_at_lower_rates() {
    let (end, probes) = search(bounds(), |_| ProbeFinding::Undecided);
    assert_eq!((end, probes.len()), (SearchStep::NoneIsGood { limit: Limit::Undecided }, 6));
}

#[test]
fn without_time_to_find_a_higher_rate_the_best_one_is_confirmed() {
    let mut strategy = Strategy::new(bounds());
    let mut rates = Vec::new();
    assert!(!strategy.give_up(), "nothing is good yet");
    while let SearchStep::Try(probe) = strategy.next() {
        if probe.stage == Stage::Confirm {
            assert!(!strategy.give_up(), "a confirmation cannot be left out");
        } else if probe.rate_per_s > 2_000.0 {
            assert!(strategy.give_up());
            continue;
        }
        observe(&mut rates, probe, ProbeFinding::Good);
        let observed = Observation { finding: ProbeFinding::Good, disturbed: false };
        strategy.found(observed, rates.clone());
    }
    let limit = Limit::Undecided;
    assert_eq!(strategy.next(), SearchStep::Found { rate_per_s: 1_500.0, limit, confirmed: 3 });
}

#[test]
fn a_disturbed_probe_is_repeated_and_not_taken_for_the_loader_s_limit() {
    let mut disturbances = 0;
    let (end, probes) = search(bounds(), |probe| {
        // Every third probe, and never three in a row.
        if probe.number % 3 == 2 {
            disturbances += 1;
            return ProbeFinding::LoaderLimited;
        }
        up_to(7_777.0)(probe)
    });
    let SearchStep::Found { rate_per_s, limit, confirmed: 3 } = end else { panic!("{end:?}") };
    assert!((7_777.0 / 1.02..=7_777.0).contains(&rate_per_s), "{rate_per_s}");
    assert_eq!(limit, Limit::Objective);
    for pair in probes.windows(2) {
        let [(probe, finding), (next, _)] = pair else { unreachable!() };
        if *finding == ProbeFinding::LoaderLimited {
            let same = (next.group, next.rate_per_s, next.length);
            assert_eq!(same, (probe.group, probe.rate_per_s, probe.length));
        }
    }
    assert!(disturbances > 3);
}

#[test]
fn a_loader_that_is_the_limit_each_time_ends_the_search() {
    let (end, probes) = search(bounds(), |_| ProbeFinding::LoaderLimited);
    assert_eq!((end, probes.len()), (SearchStep::NoneIsGood { limit: Limit::Loader }, 4));
}

#[test]
fn a_loader_that_is_the_limit_makes_the_answer_at_least() {
    let (end, _) = search(bounds(), |probe| match probe.rate_per_s {
        ..=5_000.0 => ProbeFinding::Good,
        _ => ProbeFinding::LoaderLimited,
    });
    assert!(matches!(end, SearchStep::Found { limit: Limit::Loader, .. }), "{end:?}");
}

#[test]
fn a_loader_that_is_the_limit_while_confirming_ends_the_search_with_what_was_confirmed() {
    let confirming = |findings: [ProbeFinding; 5]| {
        let mut confirmations = 0;
        search(bounds(), |probe| {
            confirmations += usize::from(probe.stage == Stage::Confirm);
            if confirmations == 0 { up_to(3_000.0)(probe) } else { findings[confirmations - 1] }
        })
    };
    use ProbeFinding::{Good, LoaderLimited};
    let (end, _) = confirming([Good, LoaderLimited, LoaderLimited, LoaderLimited, LoaderLimited]);
    assert!(matches!(end, SearchStep::Found { limit: Limit::Loader, confirmed: 1, .. }), "{end:?}");
}

#[test]
fn a_server_that_fails_below_the_loader_s_limit_is_the_limit() {
    let (end, _) = search(bounds(), |probe| match probe.rate_per_s {
        ..=5_100.0 => ProbeFinding::Good,
        5_900.0.. => ProbeFinding::LoaderLimited,
        _ => ProbeFinding::Bad,
    });
    assert!(matches!(end, SearchStep::Found { limit: Limit::Objective, .. }), "{end:?}");
}

#[test]
fn below_a_rate_that_is_not_confirmed_the_search_goes_on() {
    let mut confirmations = 0;
    let (end, probes) = search(bounds(), |probe| {
        confirmations += u32::from(probe.stage == Stage::Confirm);
        if confirmations < 2 { up_to(3_000.0)(probe) } else { up_to(2_500.0)(probe) }
    });
    let SearchStep::Found { rate_per_s, .. } = end else { panic!("{end:?}") };
    assert!((2_500.0 / 1.02..=2_500.0).contains(&rate_per_s), "{rate_per_s}");
    let seen = stages(&probes);
    assert_eq!(seen[2..4], [Stage::Confirm, Stage::Bisect], "{seen:?}");
    let last = &probes[probes.len() - 3..];
    let confirmed =
        |(probe, _): &(Probe, _)| probe.rate_per_s == rate_per_s && probe.stage == Stage::Confirm;
    assert!(last.iter().all(confirmed), "all confirmations are made again: {probes:?}");
}

#[test]
fn without_a_good_rate_below_one_that_is_not_confirmed_slightly_lower_ones_are_tried() {
    let (end, _) = search(Bounds { to_per_s: 1_000.0, ..bounds() }, |probe| match probe.stage {
        Stage::Rise => ProbeFinding::Good,
        _ => up_to(950.0)(probe),
    });
    let SearchStep::Found { rate_per_s, confirmed: 3, .. } = end else { panic!("{end:?}") };
    assert!((rate_per_s - 1_000.0 * 0.98_f64.powi(3)).abs() < 1e-9, "{rate_per_s}");
}

#[test]
fn confirmations_join_the_evidence_before() {
    let lengths_after = |undecided: u32| {
        let mut seen = 0;
        let (_, probes) = search(Bounds { to_per_s: 1_000.0, ..bounds() }, |_| {
            seen += 1;
            if seen <= undecided { ProbeFinding::Undecided } else { ProbeFinding::Good }
        });
        assert!(probes.iter().all(|(probe, _)| probe.group == 1));
        probes.iter().map(|(probe, _)| probe.length).collect::<Vec<_>>()
    };
    assert_eq!(lengths_after(0), [1, 6, 6, 6]);
    assert_eq!(lengths_after(5), [1, 1, 2, 4, 8, 16, 6, 6, 6]);
}

#[test]
fn confirmations_that_leave_it_undecided_are_lengthened_before_the_rate_is_given_up() {
    let (_, probes) = search(Bounds { to_per_s: 1_000.0, ..bounds() }, |probe| match probe.stage {
        Stage::Rise => ProbeFinding::Good,
        _ if probe.rate_per_s == 1_000.0 => ProbeFinding::Undecided,
        _ => ProbeFinding::Good,
    });
    let at_first = probes.iter().filter(|(probe, _)| probe.rate_per_s == 1_000.0);
    let lengths: Vec<u32> = at_first.map(|(probe, _)| probe.length).collect();
    assert_eq!(lengths, [1, 6, 6, 6, 19, 26]);
    assert_eq!(probes[6].0.rate_per_s, 980.0);
}

/// A search up to 1,000/s: the first probe is good, and the confirmations of that rate leave it
/// undecided. A lower rate shows what it is asked for. The time for finding a rate is over.
fn undecided_when_confirmed(lower: ProbeFinding) -> Strategy {
    let mut strategy = Strategy::new(Bounds { to_per_s: 1_000.0, ..bounds() });
    let mut rates = Vec::new();
    while let SearchStep::Try(probe) = strategy.next() {
        let finding = match probe.stage {
            Stage::Rise => ProbeFinding::Good,
            _ if probe.rate_per_s == 1_000.0 => ProbeFinding::Undecided,
            _ => lower,
        };
        observe(&mut rates, probe, finding);
        strategy.time_passed(1.1);
        strategy.found(Observation { finding, disturbed: false }, rates.clone());
    }
    strategy
}

/// It spent the rest of its time at that rate, and then knew nothing.
#[test]
fn a_rate_that_its_confirmations_leave_undecided_is_followed_by_a_lower_one_while_there_is_time() {
    let limit = Limit::Undecided;
    let strategy = undecided_when_confirmed(ProbeFinding::Good);
    assert_eq!(strategy.next(), SearchStep::Found { rate_per_s: 950.0, limit, confirmed: 3 });
    assert_eq!(strategy.confirmations_left(), Some(0));
}

#[test]
fn the_best_that_is_known_was_good_once_and_not_bad_since() {
    let strategy = undecided_when_confirmed(ProbeFinding::Undecided);
    assert_eq!(strategy.next(), SearchStep::NoneIsGood { limit: Limit::Undecided });
    assert_eq!(strategy.best_known_per_s(), Some(1_000.0));
    let strategy = undecided_when_confirmed(ProbeFinding::Bad);
    assert_eq!(strategy.next(), SearchStep::NoneIsGood { limit: Limit::Objective });
    assert_eq!(strategy.best_known_per_s(), None);
}

#[test]
fn it_knows_how_many_probes_are_left_only_while_it_confirms() {
    let mut left = Vec::new();
    let mut strategy = Strategy::new(Bounds { to_per_s: 1_000.0, ..bounds() });
    let mut rates = Vec::new();
    while let SearchStep::Try(probe) = strategy.next() {
        left.push(strategy.confirmations_left());
        observe(&mut rates, probe, ProbeFinding::Good);
        let observed = Observation { finding: ProbeFinding::Good, disturbed: false };
        strategy.found(observed, rates.clone());
    }
    assert_eq!(left, [None, Some(3), Some(2), Some(1)]);
    assert_eq!(strategy.confirmations_left(), Some(0));
}

#[test]
fn a_rate_that_is_never_confirmed_is_no_answer() {
    let (end, _) = search(bounds(), |probe| match probe.stage {
        Stage::Confirm => ProbeFinding::Bad,
        _ => up_to(3_000.0)(probe),
    });
    assert_eq!(end, SearchStep::NoneIsGood { limit: Limit::Objective });
}

#[test]
fn without_confirmations_the_bisection_s_answer_stands() {
    let (end, probes) = search(Bounds { confirmations: 0, ..bounds() }, up_to(3_000.0));
    assert!(matches!(end, SearchStep::Found { .. }));
    assert!(probes.iter().all(|(probe, _)| probe.stage != Stage::Confirm));
}

proptest! {
    #[test]
    fn a_steady_server_s_limit_is_found_to_within_the_tolerance(
        limit_per_s in 150.0..1e7_f64,
        from_per_s in 100.0..1e5_f64,
        tolerance in 0.001..0.2_f64,
    ) {
        prop_assume!(limit_per_s > from_per_s / 80.0);
        let bounds = Bounds { from_per_s, tolerance, ..bounds() };
        let (end, _) = search(bounds, up_to(limit_per_s));
        let SearchStep::Found { rate_per_s, .. } = end else { panic!("{end:?}") };
        prop_assert!(rate_per_s <= limit_per_s);
        prop_assert!(rate_per_s * (1.0 + tolerance) >= limit_per_s, "{rate_per_s}");
    }

    #[test]
    fn whatever_is_found_it_ends_within_the_bounds_and_confirms_its_answer(
        findings in prop::collection::vec(0..4_u8, 1..300),
        from_per_s in 1.0..1e5_f64,
        from_is_least: bool,
        width in 1.0..1e4_f64,
        confirmations in 0..4_u32,
    ) {
        let to_per_s = from_per_s * width;
        let bounds = Bounds { from_per_s, from_is_least, to_per_s, confirmations, ..bounds() };
        let mut given = findings.iter().cycle();
        let (end, probes) = search(bounds, |_| match given.next().unwrap() {
            0 => ProbeFinding::Good,
            1 => ProbeFinding::Bad,
            2 => ProbeFinding::Undecided,
            _ => ProbeFinding::LoaderLimited,
        });
        for (probe, _) in &probes {
            prop_assert!(probe.rate_per_s <= to_per_s);
            prop_assert!(!from_is_least || probe.rate_per_s >= from_per_s);
            prop_assert!(probe.length <= 32);
        }
        if let SearchStep::Found { rate_per_s, limit, confirmed } = end {
            prop_assert!(confirmed >= confirmations || limit == Limit::Loader);
            let of_answer = probes.iter().filter(|(probe, _)| probe.rate_per_s == rate_per_s);
            let at_or_above = probes.iter().filter(|(probe, _)| probe.rate_per_s >= rate_per_s);
            let confirming = at_or_above.filter(|(probe, _)| probe.stage == Stage::Confirm);
            prop_assert!(confirming.count() >= confirmed as usize);
            prop_assert!(of_answer.clone().any(|(_, finding)| *finding == ProbeFinding::Good));
        }
    }

    #[test]
    fn a_noisy_server_s_answer_was_good_each_time_it_was_confirmed(
        limit_per_s in 2_000.0..1e6_f64,
        noise in prop::collection::vec(0.95..1.05_f64, 64),
    ) {
        let mut noise = noise.iter().cycle();
        let (end, probes) =
            search(bounds(), |probe| up_to(limit_per_s * noise.next().unwrap())(probe));
        if let SearchStep::Found { rate_per_s, .. } = end {
            prop_assert!(rate_per_s <= limit_per_s * 1.05);
            let last = &probes[probes.len() - 3..];
            let confirmed = last.iter().all(|(probe, finding)| {
                probe.rate_per_s == rate_per_s && *finding == ProbeFinding::Good
            });
            prop_assert!(confirmed);
        }
    }
}
