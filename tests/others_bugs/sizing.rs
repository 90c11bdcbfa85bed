//! How a server adapts to its environment.

use std::process::Command;

use test_needs::Need;

use crate::clients::{connect, is_served};
use crate::common::{ServerProcess, eventually};

/// The number of threads of a process whose names begin with this.
fn threads(server: &ServerProcess, name: &str) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|comm| comm.starts_with(name)).count()
}

/// Starts from a shell that sees itself in a cgroup with this `cpu.max`, on any machine.
fn in_a_cgroup(folder: &std::path::Path, cpu_max: &str, then: &str) -> Command {
    let path = folder.display();
    let mounted = format!("30 20 0:26 / {path} rw - cgroup2 cgroup2 rw");
    for (file, text) in [("cpu.max", cpu_max), ("cgroup", "0::/\n"), ("mountinfo", &mounted)] {
        std::fs::write(folder.join(file), text).unwrap();
    }
    let mount = |file| format!("mount --bind {path}/{file} /proc/$$/{file}");
    let script = format!("{} && {} && exec {then}", mount("mountinfo"), mount("cgroup"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    command
}

/// Envoy, nginx's ingress, Unit: a worker for each core of the host, in a container with two.
#[test]
fn a_quota_of_one_and_a_half_cores_has_as_many_workers_as_the_host_has_cores() {
    if test_needs::missing(Need::Mount) {
        return;
    }
    let folder = test_needs::folder();
    let cores = std::thread::available_parallelism().unwrap().get();
    let program = env!("CARGO_BIN_EXE_evshard");
    for (cpu_max, quota) in [("50000", 1), ("100000", 1), ("150000", 2), ("max", usize::MAX)] {
        for (mode, others) in [("reuseport", 0), ("acceptor", 1)] {
            let serve = format!("{program} serve --listen 127.0.0.1:0 --accept {mode}");
            let cpu_max = format!("{cpu_max} 100000\n");
            let server = ServerProcess::spawn(in_a_cgroup(folder.path(), &cpu_max, &serve));
            let expected = (quota.min(cores) - others).max(1);
            eventually("its workers run", || threads(&server, "worker-") == expected);
            assert!(server.terminate().0.success(), "{cpu_max} {mode}");
        }
    }
}

/// Children of a socket-activated server used the variables of their parent.
#[test]
fn sockets_that_were_passed_to_another_process_are_taken() {
    let setup = "exec 3</dev/null; export LISTEN_PID=1 LISTEN_FDS=1";
    let server = ServerProcess::start_after(setup, "--workers 1");
    assert!(is_served(&connect(server.address)), "it opened its own");
    assert!(server.terminate().0.success());
}
