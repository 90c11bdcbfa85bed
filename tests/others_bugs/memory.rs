//! The memory of all connections together. Other servers grew until the system ended them, or kept
//! the memory of a burst for ever.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;

use socket2::{Domain, Socket, Type};
use test_needs::Need;

use crate::clients::is_served;
use crate::common::{ServerProcess, eventually};
use crate::servers::Watched;

const KIB_PER_MIB: u64 = 1024;
const CLIENTS: usize = 1000;

/// Clients that send as much as the server takes, and read nothing.
struct SlowReaders {
    clients: Vec<TcpStream>,
    /// How many the server has reset.
    reset: usize,
}

impl SlowReaders {
    fn connect(server: &ServerProcess, count: usize) -> Self {
        let connect = |_| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            // The less the kernel holds, the more the server must. With short segments, the kernel
            // gives the server's socket little room.
            client.set_recv_buffer_size(4096).unwrap();
            client.set_send_buffer_size(4096).unwrap();
            client.set_tcp_mss(536).unwrap();
            client.connect(&server.address.into()).unwrap();
            client.set_nonblocking(true).unwrap();
            client.into()
        };
        Self { clients: (0..count).map(connect).collect(), reset: 0 }
    }

    /// Sends more on each. Those that were reset are counted and leave.
    fn send(&mut self) {
        let before = self.clients.len();
        self.clients.retain(|mut client| {
            loop {
                if let Err(error) = client.write(&[7; 64 * 1024]) {
                    break error.kind() == ErrorKind::WouldBlock;
                }
            }
        });
        self.reset += before - self.clients.len();
    }
}

fn metric(server: &Watched, name: &str) -> u64 {
    let (_, text) = server.http("GET", "/metrics");
    let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    values.map(|value| value.parse::<f64>().expect("a number") as u64).sum()
}

fn no_memory_resets(server: &Watched) -> u64 {
    let of = |shard| {
        let labels = format!("{{shard=\"{shard}\",kind=\"no_memory\"}}");
        metric(server, &format!("evshard_shard_errors_total{labels}"))
    };
    of(0) + of(1)
}

/// evshard: 9,000 clients with 64 KiB each took 584 MiB, and 558 stayed after they had left.
#[test]
fn the_memory_of_a_burst_was_kept_for_ever() {
    if test_needs::missing(Need::Descriptors(CLIENTS as u64 + 1_000)) {
        return;
    }
    let server = Watched::start(&["--workers", "2", "--no-pin"]);
    let before_kib = server.server.status("VmRSS");
    let mut clients = SlowReaders::connect(&server.server, CLIENTS);
    eventually("the server holds unsent output", || {
        clients.send();
        metric(&server, "evshard_buffer_bytes") > 18 << 20
    });
    assert!(server.server.status("VmRSS") > before_kib + 18 * KIB_PER_MIB);
    drop(clients);
    eventually("the memory is back", || {
        metric(&server, "evshard_buffer_bytes") == 0
            && server.server.status("VmRSS") < before_kib + 4 * KIB_PER_MIB
    });
}

/// evshard: nothing limited the buffers of all connections together.
#[test]
fn slow_readers_took_all_memory() {
    let flags = ["--workers", "2", "--no-pin", "--memory-limit", "8MiB"];
    let server = Watched::start(&flags);
    let modest = server.server.connect();
    assert!(is_served(&modest));
    let mut clients = SlowReaders::connect(&server.server, 400);
    eventually("the largest buffers are freed", || {
        clients.send();
        assert!(metric(&server, "evshard_buffer_bytes") <= 8 << 20);
        no_memory_resets(&server) > 20
    });
    clients.send();
    assert!(clients.reset > 0 && !clients.clients.is_empty());
    assert!(is_served(&modest), "it holds no buffer");
    eventually("new clients are served", || is_served(&server.server.connect()));
    assert!(server.server.terminate().0.success());
}

/// evshard: the process aborted with all connections, because an allocation failed.
#[test]
fn a_process_at_its_limit_of_address_space_aborted() {
    if test_needs::missing(Need::Descriptors(2 * CLIENTS as u64 + 1_000)) {
        return;
    }
    let flags = "--workers 2 --no-pin --admin 127.0.0.1:0";
    let limited = ServerProcess::start_after("ulimit -v 100000", flags);
    let server = Watched::of(limited);
    let limit = metric(&server, "evshard_buffer_limit_bytes");
    assert!(limit < 50 << 20, "{limit}");
    let mut clients = SlowReaders::connect(&server.server, 2 * CLIENTS);
    eventually("the limit is reached", || {
        clients.send();
        no_memory_resets(&server) > 20
    });
    assert!(metric(&server, "evshard_buffer_bytes") <= limit);
    drop(clients);
    eventually("the memory is free", || metric(&server, "evshard_buffer_bytes") == 0);
    assert!(server.server.terminate().0.success());
}
