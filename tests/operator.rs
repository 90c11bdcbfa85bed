//! `evshard top` and `evshard ctl` as operators use them, against a fake admin.

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use common::eventually;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

const STATS: &str = r#"{
    "version": "1.2.3", "uptime_s": 5.0, "listeners": ["127.0.0.1:5555"],
    "shards": [{ "answered": true, "open": 3, "reads": 10 }], "acceptors": [{ "accepting": true }],
    "balance": { "open": { "jain": 1.0, "max_over_mean": 1.0 } }, "process": { "pid": 42 }
}"#;

/// Answers each request with the next of these, and ends after the last.
struct FakeAdmin {
    address: SocketAddr,
    asked: Receiver<String>,
}

impl FakeAdmin {
    fn start(
        answers: impl IntoIterator<Item = (u16, &'static str), IntoIter: Send + 'static>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = channel();
        let answers = answers.into_iter();
        thread::spawn(move || {
            for (status, body) in answers {
                let (stream, _) = listener.accept().unwrap();
                let _ = sender.send(answer(stream, status, body));
            }
        });
        Self { address, asked }
    }

    /// The command `evshard VERB... --admin` with this address.
    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evshard"));
        command.args(verb).arg("--admin").arg(self.address.to_string());
        command
    }

    fn run(&self, verb: &[&str]) -> Output {
        self.command(verb).output().unwrap()
    }
}

/// Answers one request; returns its first line.
fn answer(stream: TcpStream, status: u16, body: &str) -> String {
    let mut lines = BufReader::new(&stream).lines();
    let first = lines.next().unwrap().unwrap();
    lines.find(|line| line.as_ref().unwrap().is_empty());
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
    (&stream).write_all(format!("{head}{body}").as_bytes()).unwrap();
    first
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[track_caller]
fn expect_complaint(output: &Output, expected: &str) {
    let output_text = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output_text}");
    assert!(output_text.contains(expected) && output_text.lines().count() == 1, "{output_text}");
}

#[test]
fn ctl_stats_prints_the_document_in_lines() {
    let admin = FakeAdmin::start([(200, r#"{"shards":[{"open":3}]}"#)]);
    let output = admin.run(&["ctl", "stats"]);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("\"open\": 3\n"), "{output:?}");
    assert_eq!(admin.asked.recv().unwrap(), "GET /stats HTTP/1.0");
}

#[test]
fn ctl_drain_posts_and_prints_the_result() {
    let admin = FakeAdmin::start([(202, "the server drains\n")]);
    let output = admin.run(&["ctl", "drain"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout), format!("{}: the server drains\n", admin.address));
    assert_eq!(admin.asked.recv().unwrap(), "POST /drain HTTP/1.0");
}

#[test]
fn an_error_is_one_line_with_advice_and_status_1() {
    let refusing = FakeAdmin::start([(503, "not\nnow\n")]);
    expect_complaint(&refusing.run(&["ctl", "drain"]), "with 503: not; now");
    expect_complaint(
        &FakeAdmin::start([(200, "[")]).run(&["ctl", "stats"]),
        "use the address of its --admin",
    );
    expect_complaint(
        &FakeAdmin::start([(200, "[")]).run(&["top"]),
        "use the address of its --admin",
    );

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    for verb in [&["ctl", "stats"][..], &["ctl", "drain"], &["top"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evshard"));
        let output = command.args(verb).args(["--admin", &address]).output().unwrap();
        expect_complaint(&output, &format!("is the server running with --admin {address}?"));
    }
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        &["ctl", "restart"][..],
        &["ctl", "drain", "--admin", "9100"],
        &["top", "--interval", "1ms"],
        &["top", "--interval", "500000000000years"],
        &["top", "--admin", "unix:"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_evshard")).args(args).output().unwrap();
        let output_text = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output_text}");
        assert!(output_text.contains(&format!("evshard {} --help", args[0])), "{output_text}");
    }
}

#[test]
fn top_without_a_terminal_prints_one_table_and_ends() {
    let admin = FakeAdmin::start([(200, STATS), (200, STATS)]);
    let output = admin.run(&["top", "--interval", "100ms"]);
    assert!(output.status.success(), "{output:?}");
    let output_text = text(&output.stdout);
    assert!(output_text.starts_with("evshard 1.2.3  pid 42  up 5s  serving"), "{output_text}");
    assert!(output_text.lines().last().unwrap().starts_with("total"), "{output_text}");
    assert!(!output_text.contains('\x1b'), "{output_text}");
}

/// A terminal and a `top` in it.
struct Screen {
    ours: File,
    theirs: File,
    top: Child,
}

impl Screen {
    fn start(admin: &FakeAdmin, no_color: bool) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let path = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = File::options().read(true).write(true).open(path).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&theirs, size).unwrap();
        let mut command = admin.command(&["top", "--interval", "100ms"]);
        command.env_remove("NO_COLOR");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let [stdin, stdout] = [(); 2].map(|()| Stdio::from(theirs.try_clone().unwrap()));
        let top = command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        Self { ours: File::from(ours), theirs, top }
    }

    /// Reads the output until it contains this.
    fn read_until(&mut self, expected: &str) -> String {
        let mut shown = String::new();
        eventually(expected, || {
            let mut bytes = [0; 4096];
            let n = common::read(&self.ours, &mut bytes).unwrap();
            shown.push_str(&String::from_utf8_lossy(&bytes[..n]));
            shown.contains(expected)
        });
        shown
    }

    fn shows_keys(&self) -> bool {
        tcgetattr(&self.theirs).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    #[track_caller]
    fn expect_clean_end(mut self) {
        self.read_until("\x1b[?25h");
        assert!(self.top.wait().unwrap().success());
        assert!(self.shows_keys(), "the terminal is restored");
    }
}

#[test]
fn top_repaints_until_q_is_typed_and_restores_the_terminal() {
    let mut screen = Screen::start(&FakeAdmin::start([(200, STATS); 1_000]), false);
    for _ in 0..3 {
        let shown = screen.read_until("total");
        assert!(shown.contains("\x1b[H") && shown.contains("\x1b[32mserving"), "{shown:?}");
        screen.read_until("\x1b[J");
    }
    assert!(!screen.shows_keys());
    screen.ours.write_all(b"xq").unwrap();
    screen.expect_clean_end();
}

#[test]
fn top_ends_as_cleanly_by_a_signal_and_without_colors() {
    for signal in ["HUP", "INT", "QUIT", "TERM"] {
        let mut screen = Screen::start(&FakeAdmin::start([(200, STATS); 1_000]), true);
        let shown = screen.read_until("total");
        assert!(shown.contains("serving") && !shown.contains("\x1b[32m"), "{shown:?}");
        // The shell's built-in kill, because some machines lack the program.
        let kill = format!("kill -{signal} {}", screen.top.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        screen.expect_clean_end();
    }
}

#[test]
fn top_reports_that_the_server_ended() {
    let mut screen = Screen::start(&FakeAdmin::start([(200, STATS); 2]), false);
    screen.read_until("\x1b[?25h");
    let mut output_text = String::new();
    screen.top.stderr.take().unwrap().read_to_string(&mut output_text).unwrap();
    assert_eq!(screen.top.wait().unwrap().code(), Some(1), "{output_text}");
    // Nothing answers, or a response broke off: the server may end at any moment.
    assert!(output_text.contains("the server"), "{output_text}");
    assert!(screen.shows_keys(), "the terminal is restored");
}
