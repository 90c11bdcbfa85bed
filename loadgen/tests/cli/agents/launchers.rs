//! Agents that job launchers start: they dial in, each with the rank that its launcher gives it.

use std::process::{Command, Stdio};

use super::agents_in;
use super::dial_in::Site;
use super::slurm::Cluster;
use crate::program::*;

/// Starts four agents with a launcher, for a coordinator that expects three. The agent of rank 3 is
/// the first to dial in. It must be refused for its rank, and the others must be one loader. `rank`
/// is the variable in which the launcher passes the rank.
#[track_caller]
fn expect_ranks_of_launcher(mut launcher: Command, rank: &str) {
    let site = Site::new("tcp");
    let flags = "--rate=500 --arrival=constant --agents-timeout=10s";
    let coordinator = site.coordinator(3, flags);
    let folder = test_needs::folder();
    let status = folder.path().join("status of rank 3");
    // A launcher ends all its processes when one of them fails.
    let script = format!(
        "if test ${rank} = 3; then \"$@\"; echo $? > \"$0\"; \
         else until test -s \"$0\"; do sleep 0.01; done; exec \"$@\"; fi"
    );
    launcher.args(["sh", "-c", &script]).arg(&status).arg(env!("CARGO_BIN_EXE_loadgen"));
    launcher.args(["agent", "--connect", &site.address, "--token-file", &site.token]);
    launcher.arg("--connect-timeout=5s");
    launcher.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let agents = wait(launcher.spawn().unwrap());
    assert_eq!(agents.code, Some(0), "{agents:?}");
    assert_eq!(std::fs::read_to_string(status).unwrap(), "1\n", "{agents:?}");
    let finished = wait(coordinator);
    expect_no_errors(&finished);
    let refusal = "rank 3 is none of the ranks 0 to 2";
    assert_eq!(agents.stderr.matches(refusal).count(), 1, "{agents:?}");
    assert_eq!(finished.stderr.matches(refusal).count(), 1, "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!(agents_in(&record).len(), 3, "{record}");
    assert!(agents_in(&record).iter().all(|agent| agent["lost"].is_null()), "{record}");
    assert_eq!(count(&record, "completed"), 125, "{record}");
}

#[test]
fn agents_of_mpirun_have_its_ranks() {
    let Some(mpirun) = test_needs::program("mpirun") else { return };
    let folder = test_needs::folder();
    let mut launcher = Command::new(mpirun);
    launcher.args(["--allow-run-as-root", "--oversubscribe", "-n", "4"]);
    // Its own files go there.
    launcher.env("TMPDIR", folder.path());
    expect_ranks_of_launcher(launcher, "OMPI_COMM_WORLD_RANK");
}

#[test]
fn agents_of_srun_have_its_ranks() {
    let Some(cluster) = Cluster::start() else { return };
    let mut launcher = cluster.command("srun");
    launcher.args(["-n", "4"]);
    expect_ranks_of_launcher(launcher, "SLURM_PROCID");
}
