//! Agents that the coordinator starts with the real ssh, on hosts of a real sshd.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use test_needs::Need;

use super::{agents_in, codes, descendants, exists, file, send_signal};
use crate::program::*;
use crate::servers::Server;

/// Each address is a host. They share one sshd.
const HOSTS: [&str; 4] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];

/// An sshd of the test's own: its keys, its configuration, and that of an ssh that logs in to it.
struct Sshd {
    process: Child,
    port: String,
    ssh_config: String,
    _folder: tempfile::TempDir,
}

impl Sshd {
    /// Starts it with more lines in its configuration; nothing if the machine lacks what it needs.
    #[track_caller]
    fn start(more: &str) -> Option<Self> {
        let keygen = test_needs::program("ssh-keygen")?;
        let sshd = test_needs::program("sshd")?;
        test_needs::program("ssh")?;
        // Only root has the right to mount. For root, sshd needs /run/sshd.
        if test_needs::missing(Need::Mount) {
            return None;
        }
        let folder = test_needs::folder();
        let place = folder.path().display();
        for key in ["host", "user"] {
            let mut keygen = Command::new(&keygen);
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &format!("{place}/{key}")]);
            assert!(keygen.status().unwrap().success());
        }
        let address = unused_address();
        let port = address.rsplit_once(':').unwrap().1.to_owned();
        let listen = HOSTS.map(|host| format!("ListenAddress {host}:{port}\n")).concat();
        let sshd_config = format!(
            "{listen}HostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\nStrictModes no\n\
             UsePAM no\nPidFile none\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n{more}\n"
        );
        let sshd_config = file(folder.path(), "sshd_config", &sshd_config);
        let key = std::fs::read_to_string(folder.path().join("host.pub")).unwrap();
        let known = HOSTS.map(|host| format!("[{host}]:{port} {key}")).concat();
        file(folder.path(), "known_hosts", &known);
        let ssh_config = format!(
            "User root\nIdentityFile {place}/user\nIdentitiesOnly yes\n\
             UserKnownHostsFile {place}/known_hosts\nGlobalKnownHostsFile none\n\
             StrictHostKeyChecking yes\n"
        );
        let ssh_config = file(folder.path(), "ssh_config", &ssh_config);
        let script = "mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec \"$0\" -D -f \"$1\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(sshd).arg(sshd_config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let sshd = Self { process, port, ssh_config, _folder: folder };
        until(|| TcpStream::connect(&address).is_ok());
        Some(sshd)
    }

    /// Starts a run with an agent on each host.
    fn start_run(&self, server: &Server, flags: &str) -> Child {
        let address = server.address();
        let hosts = HOSTS.map(|host| format!("{host}:{}", self.port)).join(",");
        let (agents, ssh) = (format!("ssh://{hosts}"), format!("ssh -F {}", self.ssh_config));
        let program = env!("CARGO_BIN_EXE_loadgen");
        let words = ["run", &address, "-c8", "--arrival=constant", "--json=-", "--agents", &agents];
        let others = ["--agents-ssh", &ssh, "--agents-program", program];
        let words = words.into_iter().chain(others).chain(flags.split(' '));
        command(&words.collect::<Vec<_>>()).spawn().unwrap()
    }

    /// The agents that run on the hosts: what sshd has started, apart from its own processes.
    fn agents(&self) -> Vec<u32> {
        let is_agent = |pid: &u32| {
            let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            words.is_ok_and(|words| words.ends_with("loadgen\0agent\0"))
        };
        descendants(self.process.id()).into_iter().filter(is_agent).collect()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[track_caller]
fn expect_agents_of_all_hosts(sshd: &Sshd, record: &Value) {
    let agents = agents_in(record);
    let names: Vec<_> = agents.iter().map(|agent| agent["name"].as_str().unwrap()).collect();
    assert_eq!(names, HOSTS.map(|host| format!("{host}:{}", sshd.port)));
    assert!(agents.iter().all(|agent| agent["connections"] == 2), "{record}");
}

#[test]
fn four_hosts_of_an_sshd_are_one_loader() {
    let Some(sshd) = Sshd::start("") else { return };
    let server = Server::echo();
    let run = sshd.start_run(&server, "--rate=1k --duration=200ms --warmup=50ms");
    let finished = wait(run);
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    expect_agents_of_all_hosts(&sshd, &record);
    assert_eq!((count(&record, "scheduled"), count(&record, "completed")), (250, 250));
    assert!(agents_in(&record).iter().all(|agent| agent["lost"].is_null()), "{record}");
    assert!(sshd.agents().is_empty(), "an agent is left on a host");
}

#[test]
fn a_host_that_refuses_the_key_is_named_with_the_words_of_ssh() {
    let Some(sshd) = Sshd::start("Match LocalAddress 127.0.0.3\nAuthorizedKeysFile none") else {
        return;
    };
    let finished = wait(sshd.start_run(&Server::echo(), "-q"));
    let host = format!("agent 127.0.0.3:{}: it ended before its hello", sshd.port);
    let refusal = "root@127.0.0.3: Permission denied (publickey).";
    expect_one_line(&finished, 1, &format!("{host}; its last words: {refusal}"));
    until(|| sshd.agents().is_empty());
}

#[test]
fn a_host_whose_key_is_not_known_is_not_logged_in_to() {
    let Some(sshd) = Sshd::start("") else { return };
    std::fs::write(sshd.ssh_config.replace("ssh_config", "known_hosts"), "").unwrap();
    let finished = wait(sshd.start_run(&Server::echo(), "-q"));
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("Host key verification failed."), "{finished:?}");
    assert!(sshd.agents().is_empty());
}

#[test]
fn an_interrupt_leaves_no_agent_on_a_host() {
    let Some(sshd) = Sshd::start("") else { return };
    let server = Server::echo();
    let run = sshd.start_run(&server, "--rate=1k --duration=60s");
    until(|| server.bytes_read() > 10_000);
    let agents = sshd.agents();
    assert_eq!(agents.len(), 4);
    signal(&run, "INT");
    let finished = wait(run);
    assert_eq!(finished.code, Some(130), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    expect_agents_of_all_hosts(&sshd, &record);
    assert!(agents_in(&record).iter().all(|agent| agent["lost"].is_null()), "{record}");
    until(|| agents.iter().all(|pid| !exists(*pid)));
}

#[test]
fn an_agent_whose_sshd_is_killed_is_lost_and_ends_and_the_others_go_on() {
    let Some(sshd) = Sshd::start("") else { return };
    let server = Server::echo();
    let run = sshd.start_run(&server, "--rate=1k --duration=60s --warmup=0s --interval=100ms");
    until(|| server.bytes_read() > 10_000);
    let agents = sshd.agents();
    assert_eq!(agents.len(), 4);
    let sessions = descendants(sshd.process.id());
    let of_agent = |pid: &&u32| descendants(**pid).contains(&agents[0]);
    sessions.iter().filter(of_agent).for_each(|pid| send_signal(*pid, "KILL"));
    // It does not wait for the end of its load.
    until(|| !exists(agents[0]));
    let bytes_read = server.bytes_read();
    until(|| server.bytes_read() > bytes_read + 10_000);
    assert!(agents[1..].iter().all(|pid| exists(*pid)), "another agent has ended, too");
    signal(&run, "INT");
    let finished = wait(run);
    let record = finished.json();
    expect_conserved(&record);
    assert!(codes(&record).contains(&"agent-lost"), "{record}");
    let lost = |agent: &&Value| agent["lost"].is_string();
    assert_eq!(agents_in(&record).iter().filter(lost).count(), 1, "{record}");
    until(|| agents.iter().all(|pid| !exists(*pid)));
}
