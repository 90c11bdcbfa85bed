//! The configuration file of `evshard serve`: read, printed, checked and reloaded by the program.

mod common;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::{ServerProcess, eventually};

/// A folder with a configuration file and a log.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = Self(test_needs::folder());
        folder.write(text);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, text: &str) {
        // In one step, so that no reload reads a half of it.
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path("evshard.toml")).unwrap();
    }

    /// A command that runs in the folder.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evshard"));
        command.args(arguments).current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn serve(&self, flags: &[&str]) -> ServerProcess {
        let mut command = self.command(&["serve", "--config", "evshard.toml"]);
        command.args(flags);
        ServerProcess::spawn(command)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    #[track_caller]
    fn expect_log(&self, text: &str) {
        eventually(&format!("{text:?} is logged"), || self.log().contains(text));
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Whether the server sends a byte back.
fn is_served(mut stream: &TcpStream) -> bool {
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0]).is_ok()
}

#[test]
fn a_server_reads_its_configuration_from_a_file() {
    let folder = Folder::with(
        "listen = [\"127.0.0.1:0\"]\nworkers = 2\nlog-file = \"log\"\nlog-format = \"json\"\n\
         max-connections = 1\noverload = \"shed\"\n",
    );
    let server = folder.serve(&["--max-connections", "2"]);
    let clients = [server.connect(), server.connect()];
    assert!(clients.iter().all(is_served), "the flag replaces the key");
    let error = server.connect().read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    folder.expect_log("\"level\":\"INFO\"");
    drop(clients);
    let (status, table) = server.terminate();
    assert!(status.success() && table.lines().any(|line| line.starts_with("    1 ")), "{table}");
}

#[test]
fn a_file_with_errors_ends_the_start_with_all_of_them_and_status_2() {
    let folder = Folder::with("workers = 0\n\nmax-conections = 7\n");
    for arguments in [&["serve", "--config", "evshard.toml"][..], &["check-config", "evshard.toml"]]
    {
        let output = folder.run(arguments);
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert_eq!(
            complaint,
            "\
evshard: evshard.toml:1:11: invalid value '0' for '--workers <N>': write a number from 1 to 1024
  |
1 | workers = 0
  |           ^
evshard.toml:3:1: there is no key `max-conections`; write `max-connections`, if that is meant
  |
3 | max-conections = 7
  | ^
"
        );
    }
}

#[test]
fn a_file_that_does_not_exist_is_named_with_the_reason() {
    let folder = Folder::with("");
    for arguments in [&["serve", "--config=none.toml"][..], &["check-config", "none.toml"]] {
        let output = folder.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let expected = "evshard: none.toml: cannot read the configuration file: No such file";
        assert!(text(&output.stderr).starts_with(expected), "{output:?}");
    }
    assert_eq!(folder.run(&["check-config"]).status.code(), Some(2));
}

#[test]
fn wrong_flags_are_wrong_usage_also_with_a_file() {
    let folder = Folder::with("drain-timeout = \"1s\"\n");
    for flag in ["--wrkers=1", "--workers=0", "--proxy-protocol=require"] {
        let output = folder.run(&["serve", "--config", "evshard.toml", flag]);
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains("see `evshard serve --help`"), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    let help = folder.run(&["serve", "--config", "evshard.toml", "--help"]);
    assert!(help.status.success());
    assert!(text(&help.stdout).contains("Usage: evshard serve [OPTIONS]"), "{help:?}");
}

#[test]
fn a_printed_configuration_is_valid_and_prints_itself() {
    let folder = Folder::with("idle-timeout = \"90s\"\nno-pin = true\n");
    let flags = ["serve", "--config", "evshard.toml", "--backlog", "99", "--print-config"];
    let output = folder.run(&flags);
    let printed = text(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    for line in [
        "idle-timeout = \"90s\"  # file",
        "no-pin = true  # file",
        "backlog = 99  # flag",
        "message-timeout = \"10s\"  # default",
        "# max-connections = N  # default",
    ] {
        assert!(printed.lines().any(|found| found == line), "{line}: {printed}");
    }
    folder.write(printed);
    let valid = folder.run(&["check-config", "evshard.toml"]);
    assert_eq!(text(&valid.stdout), "evshard.toml is valid\n");
    assert!(valid.status.success() && valid.stderr.is_empty(), "{valid:?}");
    let again = folder.run(&["serve", "--config", "evshard.toml", "--print-config"]);
    let without_origin = |text: &str| {
        text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(without_origin(text(&again.stdout)), without_origin(printed));
}

#[test]
fn the_file_for_deployment_is_valid_and_has_what_the_unit_expects() {
    let deploy = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let file = deploy.join("evshard.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_evshard"));
    let output = command.arg("check-config").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let unit = fs::read_to_string(deploy.join("systemd/evshard.service")).unwrap();
    let reload = unit.lines().find_map(|line| line.strip_prefix("ExecReload="));
    let address = reload.and_then(|line| line.split(" --admin ").nth(1)).unwrap();
    let admin = format!("\nadmin = \"{address}\"\n");
    assert!(fs::read_to_string(&file).unwrap().contains(&admin), "{admin}");
}

/// The address of the admin, from the second line of the output.
fn admin_of(server: &mut ServerProcess) -> String {
    let line = server.next_line();
    line.strip_prefix("admin on ").unwrap_or_else(|| panic!("{line:?}")).to_owned()
}

const BEFORE: &str = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nlog-file = \"log\"\n\
                      workers = 1\nmax-connections = 1\noverload = \"shed\"\n";

#[test]
fn a_reload_applies_what_can_change_and_names_what_needs_a_restart() {
    let folder = Folder::with(BEFORE);
    let mut server = folder.serve(&["--idle-timeout", "1h"]);
    let admin = admin_of(&mut server);
    let first = server.connect();
    assert!(is_served(&first));
    assert!(server.connect().read(&mut [0]).is_err(), "there is no room");

    let after = BEFORE.replace("= 1\n", "= 2\n") + "idle-timeout = \"1s\"\nlog-level = \"debug\"\n";
    folder.write(&after);
    for round in 0..2 {
        let output = folder.run(&["ctl", "reload", "--admin", &admin]);
        let report = text(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        let mut expected = vec![
            "workers: needs a restart or an upgrade, to change to 2",
            // The flag still wins.
            "idle-timeout: unchanged, a flag sets it to 1h",
        ];
        if round == 0 {
            expected.push("max-connections: applied, from 1 to 2");
            expected.push("log-level: applied, from info to debug");
        } else {
            expected.push("max-connections: unchanged");
        }
        for line in expected {
            assert!(report.lines().any(|found| found == line), "{line}: {report}");
        }
    }
    let second = server.connect();
    assert!(is_served(&second) && is_served(&first));
    assert!(server.connect().read(&mut [0]).is_err(), "there is no room for a third");
    folder.expect_log("applied=\"max-connections log-level\" read_again=none need_restart=workers");
    assert!(server.terminate().0.success());
}

#[test]
fn a_file_with_errors_changes_nothing_and_is_answered_with_its_lines() {
    let folder = Folder::with(BEFORE);
    let mut server = folder.serve(&[]);
    let admin = admin_of(&mut server);
    folder.write(&(BEFORE.replace("connections = 1", "connections = 2") + "idle-timeout = 7\n"));
    let output = folder.run(&["ctl", "reload", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let complaint = text(&output.stderr);
    assert!(complaint.contains("with 409: evshard.toml:7:16: invalid value '7'"), "{complaint}");
    folder.expect_log(" ERROR reload: the configuration was not reloaded; the server keeps");
    let first = server.connect();
    assert!(is_served(&first));
    assert!(server.connect().read(&mut [0]).is_err(), "the limit is as before");
    assert!(server.terminate().0.success());
}

#[test]
fn a_sighup_reloads_the_file_and_opens_the_log_again() {
    let folder = Folder::with(BEFORE);
    let server = folder.serve(&[]);
    let first = server.connect();
    assert!(is_served(&first));
    folder.write(&(BEFORE.replace("connections = 1", "connections = 2")));
    fs::rename(folder.path("log"), folder.path("old")).unwrap();
    server.signal("HUP");
    folder.expect_log("applied=max-connections read_again=none need_restart=none");
    assert!(folder.log().contains("the log file was opened again"), "{}", folder.log());
    assert!(is_served(&server.connect()));
    folder.write("workers = = 2\n");
    server.signal("HUP");
    folder.expect_log("error=\"evshard.toml:1:11: ");
    assert!(server.terminate().0.success());
}

#[test]
fn a_reload_without_a_file_is_refused() {
    let folder = Folder::with("");
    let mut server = ServerProcess::start(&["--admin", "127.0.0.1:0"]);
    let admin = admin_of(&mut server);
    let output = folder.run(&["ctl", "reload", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("started without a configuration file"), "{output:?}");
}

#[test]
fn a_successor_reads_the_file_as_it_is_then() {
    let folder = Folder::with("");
    let path = folder.path("upgrade").into_os_string().into_string().unwrap();
    let with_offer = format!("{BEFORE}upgrade-socket = {path:?}\n");
    folder.write(&with_offer.replace("listen = \"127.0.0.1:0\"\n", ""));
    let old = folder.serve(&["--listen", "127.0.0.1:0"]);
    let first = old.connect();
    assert!(is_served(&first));
    folder.write(&with_offer.replace("connections = 1", "connections = 2"));
    let new = folder.serve(&["--upgrade-from", &path]);
    assert_eq!(new.address, old.address);
    drop(first);
    assert!(old.wait().0.success());
    let clients = [new.connect(), new.connect()];
    assert!(clients.iter().all(is_served), "the new limit counts");
    drop(clients);
    assert!(new.terminate().0.success());
}
