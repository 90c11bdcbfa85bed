//! The parts of several agents are one load: the same requests at the same times, bit for bit.

use std::collections::BTreeMap;
use std::fs;

use crate::cli::options_from_flags::tests::options;
use crate::engine::plan::{Part, Plan, Share};
use crate::interrupt::Interrupt;
use crate::wire::Exchange;

/// So many requests of each connection are compared.
const REQUESTS: usize = 40;

/// By connection: the intended times of its first requests, and their bytes.
type Load = BTreeMap<u32, (Vec<u64>, Vec<u8>)>;

/// The load of some threads.
fn load_of(flags: &str, part: Part) -> Load {
    let options = options(flags).unwrap();
    let interrupt = Interrupt::never();
    let plan = Plan::new(&options, &interrupt, part);
    let mut load = Load::new();
    for number in plan.shares().into_iter().flat_map(Share::numbers) {
        let times = plan.arrivals(number).zip(plan.intensity.as_ref()).map_or_else(
            Vec::new,
            |(mut arrivals, intensity)| {
                (0..REQUESTS).map(|_| arrivals.advance(intensity)).collect()
            },
        );
        let mut exchange = Exchange::new(&plan.traffic, number);
        let (mut bytes, mut scratch, mut begun) = (Vec::new(), Vec::new(), 0);
        while begun < REQUESTS || exchange.is_mid_request() {
            let outgoing = exchange.outgoing(&plan.traffic, 1, &mut scratch).to_vec();
            begun += exchange.advance_sent(&plan.traffic, outgoing.len());
            bytes.extend(outgoing);
        }
        assert!(load.insert(number, (times, bytes)).is_none(), "connection {number} comes twice");
    }
    load
}

#[track_caller]
fn expect_one_load(flags: &str) {
    let whole = load_of(flags, Part::WHOLE);
    for agents in [1, 2, 3, 7, 13] {
        let mut together = Load::new();
        for rank in 0..agents {
            for (number, load) in load_of(flags, Part { rank, agents }) {
                assert!(together.insert(number, load).is_none(), "{flags}: {number} comes twice");
            }
        }
        assert!(together == whole, "{flags}: {agents} agents differ from one");
    }
    let times = whole.values().flat_map(|(times, _)| times);
    assert!(times.clone().count() == 0 || times.max() > Some(&0), "{flags}");
}

#[test]
fn the_requests_of_all_agents_are_those_of_one_loader_bit_for_bit() {
    for load in [
        "--rate 5k --arrival constant",
        "--rate 5k --seed 7",
        "--rate 1k..9k --size 10..90",
        "--rate 1k,5k,2k@1s --protocol line",
        "--size lognormal:100,1",
    ] {
        for threads in [1, 3, 8] {
            expect_one_load(&format!("-c 13 -t {threads} {load}"));
        }
    }
}

#[test]
fn so_are_requests_with_keys() {
    for flags in ["--key-dist zipf:0.99 --mix get:3,set:1", "--key-dist sequential --size 20..300"]
    {
        let flags = format!("redis://a:1 --keys 1000 -c 13 -t 2 --rate 5k --verify none {flags}");
        expect_one_load(&flags);
    }
}

#[test]
fn so_are_requests_of_a_file_at_their_own_times() {
    let folder = test_needs::folder();
    let path = folder.path().join("requests");
    let lines =
        (0..900).map(|n| format!("{{\"at\":{},\"path\":\"/{n}\"}}\n", f64::from(n) * 0.003));
    fs::write(&path, lines.collect::<String>()).unwrap();
    let file = path.display();
    for order in ["timed", "sequential --rate 5k", "random --rate 5k", "zipf:1 --rate 5k"] {
        expect_one_load(&format!("http://a:1 -c 13 -t 2 --requests {file} --order {order}"));
    }
}
