//! A Slurm cluster of the test's own: one node, which is this machine, with four processors.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use test_needs::Need;

use super::file;
use crate::program::{until, unused_address};

/// Its daemons. All their files are in one folder.
pub(super) struct Cluster {
    daemons: Vec<Child>,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts the daemons, and waits until the node can be used. Nothing if the machine lacks what
    /// they need.
    #[track_caller]
    pub(super) fn start() -> Option<Self> {
        for program in ["munged", "slurmctld", "slurmd", "srun", "sinfo"] {
            test_needs::program(program)?;
        }
        // slurmd starts jobs as their users.
        if test_needs::missing(Need::OtherUser) {
            return None;
        }
        let folder = test_needs::folder();
        let place = folder.path();
        file(place, "slurm.conf", &configuration(place));
        // The plugin is loaded in any case. It makes no group unless another plugin uses it.
        file(place, "cgroup.conf", "CgroupPlugin=cgroup/v1\n");
        for name in ["state", "spool"] {
            std::fs::create_dir(place.join(name)).unwrap();
        }
        file(place, "key", &"of the test, and long enough ".repeat(4));
        let mut cluster = Self { daemons: Vec::new(), folder };
        let in_folder = |name: &str| cluster.folder.path().join(name).display().to_string();
        let flags = [("key-file", "key"), ("socket", "munge"), ("pid-file", "munged.pid")];
        let more = [("log-file", "munged.log"), ("seed-file", "munged.seed")];
        let flags = flags.into_iter().chain(more);
        let flags: Vec<String> =
            flags.map(|(name, file)| format!("--{name}={}", in_folder(file))).collect();
        let socket = cluster.folder.path().join("munge");
        cluster.start_daemon("munged", &["--foreground", "--force"], &flags);
        until(|| socket.exists());
        cluster.start_daemon("slurmctld", &["-D", "-i"], &[]);
        cluster.start_daemon("slurmd", &["-D"], &[]);
        until(|| cluster.is_idle());
        Some(cluster)
    }

    /// A program that uses this cluster.
    pub(super) fn command(&self, program: &'static str) -> Command {
        let mut command = Command::new(test_needs::program(program).expect("it was there"));
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        command.current_dir(self.folder.path());
        command
    }

    fn start_daemon(&mut self, program: &'static str, words: &[&str], more: &[String]) {
        let mut daemon = self.command(program);
        daemon.args(words).args(more);
        daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.daemons.push(daemon.spawn().unwrap());
    }

    /// Whether the node waits for jobs.
    fn is_idle(&self) -> bool {
        let output = self.command("sinfo").args(["--noheader", "--format=%T"]).output().unwrap();
        output.stdout == b"idle\n"
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        // What slurmd starts for a job outlives it, and would report to slurmctld for minutes.
        let place = self.folder.path().display().to_string();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let name = process.file_name().to_string_lossy().into_owned();
            if String::from_utf8_lossy(&environment).contains(&place) {
                let _ = Command::new("kill").args(["-KILL", &name]).status();
            }
        }
    }
}

fn configuration(place: &Path) -> String {
    let port = || unused_address().rsplit_once(':').unwrap().1.to_owned();
    let (host, place) = (rustix::system::uname(), place.display());
    let host = host.nodename().to_string_lossy().split('.').next().unwrap().to_owned();
    let (control_port, node_port) = (port(), port());
    format!(
        "ClusterName=test\n\
         SlurmctldHost={host}(127.0.0.1)\n\
         SlurmctldPort={control_port}\n\
         SlurmdPort={node_port}\n\
         SlurmUser=root\n\
         SlurmdUser=root\n\
         AuthType=auth/munge\n\
         AuthInfo=socket={place}/munge\n\
         CredType=cred/munge\n\
         StateSaveLocation={place}/state\n\
         SlurmdSpoolDir={place}/spool\n\
         SlurmctldPidFile={place}/slurmctld.pid\n\
         SlurmdPidFile={place}/slurmd.pid\n\
         SlurmctldLogFile={place}/slurmctld.log\n\
         SlurmdLogFile={place}/slurmd.log\n\
         ProctrackType=proctrack/linuxproc\n\
         TaskPlugin=task/none\n\
         SwitchType=switch/none\n\
         MpiDefault=none\n\
         JobAcctGatherType=jobacct_gather/none\n\
         SelectType=select/cons_tres\n\
         SelectTypeParameters=CR_CPU\n\
         SchedulerType=sched/builtin\n\
         SlurmdParameters=config_overrides\n\
         ReturnToService=2\n\
         NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN\n\
         PartitionName=test Nodes={host} Default=YES State=UP\n"
    )
}
