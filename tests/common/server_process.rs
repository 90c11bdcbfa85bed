//! `evshard serve` in a process of its own, and what it prints.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::{TEST_TIMEOUT, eventually};

/// An `evshard serve` process on a free port.
pub struct ServerProcess {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    pub address: SocketAddr,
}

impl ServerProcess {
    pub fn start(flags: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", flags)
    }

    /// Starts a server on this address.
    pub fn start_on(listen: &str, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evshard"));
        command.args(["serve", "--listen", listen]).args(flags);
        Self::spawn(command)
    }

    /// Starts from a shell that first runs `setup` and then becomes the server.
    pub fn start_after(setup: &str, flags: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_evshard");
        let mut command = Command::new("sh");
        let script = format!("{setup}; exec '{program}' serve --listen 127.0.0.1:0 {flags}");
        command.arg("-c").arg(script);
        Self::spawn(command)
    }

    /// Starts with this command, which must run `evshard serve`.
    pub fn spawn(command: Command) -> Self {
        Self::spawn_with_stderr(command, Stdio::null())
    }

    /// As [`spawn`](Self::spawn); the log goes to `stderr`.
    pub fn spawn_with_stderr(mut command: Command, stderr: impl Into<Stdio>) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("start evshard");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("read the first line");
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.strip_suffix('\n'));
        let address = address.map(|text| text.strip_prefix("tls:").unwrap_or(text));
        let address = address.and_then(|text| text.parse().ok());
        let address = address.unwrap_or_else(|| panic!("the first line is {line:?}"));
        Self { child, stdout: Some(stdout), address }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connect to the server");
        stream.set_read_timeout(Some(TEST_TIMEOUT)).expect("set a timeout");
        stream.set_write_timeout(Some(TEST_TIMEOUT)).expect("set a timeout");
        stream
    }

    /// How many descriptors the process has open.
    pub fn descriptors(&self) -> usize {
        self.open_files().count()
    }

    /// How many of them are sockets. (A worker may open a ring when it first has many changes.)
    pub fn sockets(&self) -> usize {
        self.open_files().filter(|file| file.to_string_lossy().starts_with("socket:")).count()
    }

    /// Limits the descriptors of the process from now on.
    pub fn allow_descriptors(&self, count: u64) {
        // An ordinary user cannot raise a hard limit, so it stays as the server inherited it.
        let maximum = getrlimit(Resource::Nofile).maximum;
        let current = Some(count.min(maximum.unwrap_or(u64::MAX)));
        let limit = Rlimit { current, maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).unwrap();
    }

    fn open_files(&self) -> impl Iterator<Item = std::path::PathBuf> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the server runs");
        // A descriptor that is closed meanwhile is skipped.
        open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
    }

    /// A field of /proc/PID/status, in its unit.
    pub fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).expect("a known field");
        line.split_whitespace().nth(1).unwrap().parse().expect("a number")
    }

    /// CPU time of the whole process so far.
    pub fn cpu_time(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let run_ns = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            stat.split(" ").next()?.parse::<u64>().ok()
        };
        let run_ns: u64 = tasks.filter_map(run_ns).sum();
        assert!(run_ns > 0, "a server that listens has run: does this kernel count it?");
        Duration::from_nanos(run_ns)
    }

    /// Whether a signal has stopped the process.
    pub fn is_stopped(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        status.lines().any(|line| line.starts_with("State:") && line.contains("stopped"))
    }

    pub fn signal(&self, signal: &str) {
        // The shell's built-in kill, because some machines lack the program.
        let kill = format!("kill -{signal} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// The next printed line, without its line end.
    pub fn next_line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("its reader is still there");
        stdout.read_line(&mut line).expect("read a line");
        line.trim_end_matches('\n').to_owned()
    }

    /// Closes the reader of its standard output.
    pub fn close_stdout(&mut self) {
        self.stdout = None;
    }

    /// Waits for the end. Returns the exit status and the output after the first line.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let mut status = None;
        eventually("the server ends", || {
            status = self.child.try_wait().expect("wait for the server");
            status.is_some()
        });
        // The table fits the pipe, so the server did not wait for us to read it.
        let mut rest = String::new();
        if let Some(stdout) = &mut self.stdout {
            stdout.read_to_string(&mut rest).expect("read the report");
        }
        (status.expect("it ended"), rest)
    }

    pub fn terminate(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a column of a shard table's total line.
pub fn total(table: &str, column: &str) -> u64 {
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    let index = header.iter().position(|name| *name == column).expect("a known column");
    let total = lines.find(|line| line[0] == "total").expect("a total");
    total[index].parse().expect("a number")
}
