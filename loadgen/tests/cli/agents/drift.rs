//! An agent whose clock runs too fast.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::ssh::load_with_script;
use super::{agents_in, codes};
use crate::program::*;
use crate::servers::Server;

/// By how much the clock is too fast.
const DRIFT: f64 = 200e-6;

/// Duration of the load.
const LOAD_NS: f64 = 3e9;

#[test]
fn a_clock_that_is_200_ppm_too_fast_is_found() {
    let Some(compiler) = test_needs::program("cc") else { return };
    let folder = test_needs::folder();
    let library = folder.path().join("fast_clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/agents/fast_clock.c");
    let mut command = Command::new(compiler);
    command.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    assert!(command.status().unwrap().success());
    let library = library.display();
    let script = format!(
        "for last; do :; done; case \"$*\" in *two*) export LD_PRELOAD={library} ;; esac; \
         exec sh -c \"$last\""
    );
    let flags = "-c 8 --rate 1k --arrival constant --duration 3s --warmup 0s --interval 50ms \
                 --agents ssh://one,two,three,four";
    let begun = Instant::now();
    let (finished, _) = load_with_script(&Server::echo(), &script, flags);
    let most_ns = begun.elapsed().as_nanos() as f64;
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(count(&record, "scheduled"), 3_000, "{record}");
    let drifts: Vec<f64> = agents_in(&record)
        .iter()
        .map(|agent| agent["clock_drift_ns"].as_i64().unwrap() as f64)
        .collect();
    // What the others seem to drift is the error of the comparisons.
    let others = [0, 2, 3].map(|rank: usize| drifts[rank].abs());
    let error_ns = 50_000.0 + others.into_iter().fold(0.0, f64::max);
    let (least_ns, most_ns) = (DRIFT * LOAD_NS - error_ns, DRIFT * most_ns + error_ns);
    assert!((least_ns..=most_ns).contains(&drifts[1]), "{drifts:?}");
    // More than a hundredth of an interval.
    assert!(codes(&record).contains(&"start-skew"), "{record}");
}
