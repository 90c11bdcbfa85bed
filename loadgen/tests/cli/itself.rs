//! What the loader says of itself and its machine: `selftest`, `calibrate`, `env`.

use crate::program::*;

#[test]
fn every_mistake_of_a_server_is_found() {
    let finished = loadgen(&["selftest", "verification"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.stdout.lines().filter(|line| line.starts_with("ok ")).count(), 5);
}

#[test]
fn a_selftest_that_does_not_exist_is_a_usage_error() {
    expect_one_line(&loadgen(&["selftest", "everything"]), 64, "'everything' is no test");
}

#[test]
fn the_machine_is_described_for_people_and_for_scripts() {
    let finished = loadgen(&["env"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("kernel"), "{finished:?}");
    let record = loadgen(&["env", "--json"]).json();
    assert!(record["kernel"].is_string() && record["system"]["sysctls"].is_object(), "{record}");
}

#[test]
fn a_calibration_is_stored_and_found_by_later_runs() {
    let folder = test_needs::folder();
    let mut calibrate = command(&["calibrate", "--duration", "50ms"]);
    let finished = wait(calibrate.env("XDG_CACHE_HOME", folder.path()).spawn().unwrap());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let mut env = command(&["env", "--json"]);
    let record = wait(env.env("XDG_CACHE_HOME", folder.path()).spawn().unwrap()).json();
    assert!(record["calibration"]["ceiling_per_s"].as_f64().unwrap() > 0.0, "{record}");
}
