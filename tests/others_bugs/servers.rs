//! Servers of these tests: their configuration, and one in a process of its own with its admin.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread;

use evshard::server::{AcceptMode, ListenAddress, Server, ServerConfig};

use crate::clients::connect;
use crate::common::ServerProcess;

pub(crate) fn config(accept: AcceptMode, workers: usize) -> ServerConfig {
    ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: NonZeroUsize::new(workers).unwrap(),
        accept,
        pin: false,
        ..ServerConfig::default()
    }
}

/// Runs a test in all accept modes at once, because such a test mostly waits.
pub(crate) fn in_every_mode(test: impl Fn(AcceptMode) + Sync) {
    thread::scope(|scope| {
        let threads = AcceptMode::ALL.map(|mode| {
            scope.spawn({
                let test = &test;
                move || test(mode)
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

pub(crate) fn address_of(server: &Server) -> SocketAddr {
    let ListenAddress::Tcp(address) = server.addresses()[0] else { panic!("it is TCP") };
    address
}

/// A server in a process of its own, and the address of its admin.
pub(crate) struct Watched {
    pub(crate) server: ServerProcess,
    pub(crate) admin: SocketAddr,
}

impl Watched {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let flags = [&["--admin", "127.0.0.1:0"], flags].concat();
        Self::of(ServerProcess::start(&flags))
    }

    /// Watches a server that was started with an admin.
    pub(crate) fn of(mut server: ServerProcess) -> Self {
        let line = server.next_line();
        let admin = line.strip_prefix("admin on ").and_then(|address| address.parse().ok());
        Self { server, admin: admin.unwrap_or_else(|| panic!("the second line is {line:?}")) }
    }

    /// The status and the body of a response of the admin.
    pub(crate) fn http(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = connect(self.admin);
        write!(stream, "{method} {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// The document of `/stats`.
    pub(crate) fn stats(&self) -> serde_json::Value {
        serde_json::from_str(&self.http("GET", "/stats").1).unwrap()
    }

    /// The sum of a counter over all acceptors.
    pub(crate) fn of_acceptors(&self, name: &str) -> u64 {
        let stats = self.stats();
        let acceptors = stats["acceptors"].as_array().unwrap().iter();
        acceptors.map(|acceptor| acceptor[name].as_u64().unwrap()).sum()
    }
}
