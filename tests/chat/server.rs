//! An example that serves, in a process of its own, and its clients.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use crate::common::example::example_program;
use crate::common::{Program, TEST_TIMEOUT, eventually};

/// A running example.
pub(crate) struct ExampleServer {
    program: Program,
    pub(crate) address: SocketAddr,
}

impl ExampleServer {
    pub(crate) fn start(name: &str, flags: &[&str]) -> Self {
        let mut command = Command::new(example_program(name));
        let program = Program::start(command.args(["127.0.0.1:0", "--workers", "2"]).args(flags));
        let line = program.lines.recv_timeout(TEST_TIMEOUT).expect("it prints its address");
        let address = line.strip_prefix("listening on ").and_then(|address| address.parse().ok());
        Self { address: address.unwrap_or_else(|| panic!("{line}")), program }
    }

    /// Its own memory (Pss), in bytes.
    pub(crate) fn memory(&self) -> usize {
        let path = format!("/proc/{}/smaps_rollup", self.program.child.id());
        let text = fs::read_to_string(path).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a known field");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
    }

    /// Makes it drain, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        // The shell's built-in kill, because some machines lack the program.
        let kill = format!("kill -INT {}", self.program.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end; returns the table that it prints.
    pub(crate) fn table(mut self) -> String {
        let mut status = None;
        eventually("the example ends", || {
            status = self.program.child.try_wait().expect("wait for the example");
            status.is_some()
        });
        let lines: Vec<String> = self.program.lines.iter().collect();
        assert!(status.is_some_and(|status| status.success()), "{status:?}: {lines:?}");
        lines.join("\n")
    }
}

/// A client that waits for what it reads.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(server: &ExampleServer) -> Self {
        Self::new(TcpStream::connect(server.address).expect("connect"))
    }

    /// With a small receive buffer, so that the server soon finds it slow.
    pub(crate) fn connect_slow(server: &ExampleServer) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket.connect(&server.address.into()).expect("connect");
        Self::new(socket.into())
    }

    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(TEST_TIMEOUT)).expect("a timeout");
        stream.set_write_timeout(Some(TEST_TIMEOUT)).expect("a timeout");
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("send");
    }

    /// The next line without its end; `None` if the stream ends or breaks first.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        line.strip_suffix('\n').map(str::to_owned)
    }

    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.next_line().expect("a line")
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }
}
