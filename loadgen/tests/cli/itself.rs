//! What the loader says of itself and its machine: `selftest`, `calibrate`, `env`.

use std::fs;

use serde_json::Value;

use crate::program::*;
use crate::servers::Server;

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

#[test]
fn a_calibration_in_a_file_of_its_own_is_compared_with_when_a_flag_or_the_environment_names_it() {
    let folder = test_needs::folder();
    let file = folder.path().join("here.json");
    let path = file.to_str().unwrap();
    let finished = loadgen(&["calibrate", "--duration", "50ms", "-o", path]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let said = "later runs compare with it if --calibration or LOADGEN_CALIBRATION names it";
    assert!(finished.stderr.contains(said), "{finished:?}");

    let written: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let server = Server::echo();
    let by_flag = load(&server, &format!("-c 2 --calibration {path}")).json();
    assert_eq!(by_flag["env"]["calibration"], written);
    let words = ["run", &server.address(), "-c2", "--duration=100ms", "--warmup=0s", "--json=-"];
    let mut by_environment = command(&words);
    let finished = wait(by_environment.env("LOADGEN_CALIBRATION", path).spawn().unwrap());
    assert_eq!(finished.json()["env"]["calibration"], written);
}

#[test]
fn a_calibration_that_cannot_be_used_ends_the_run_before_it_begins() {
    let folder = test_needs::folder();
    let file = folder.path().join("not.json");
    let path = file.to_str().unwrap();
    let address = Server::echo().address();
    let words = ["run", &address, "--calibration", path];
    expect_one_line(&loadgen(&words), 1, "make it with 'loadgen calibrate -o ");
    fs::write(&file, "{}").unwrap();
    expect_one_line(&loadgen(&words), 1, "it is no calibration");
}

#[test]
fn a_result_that_a_full_disk_does_not_take_is_an_error() {
    let folder = test_needs::folder();
    let out = folder.path().join("run");
    load(&Server::echo(), &format!("-c 1 --quiet --out {}", out.display()));
    for args in [&["env"][..], &["report", out.to_str().unwrap(), "--view", "json"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let finished = wait(command(args).stdout(full).spawn().unwrap());
        expect_one_line(&finished, 1, "No space left");
    }
}
