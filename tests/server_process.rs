//! The `evshard` program as users run it: flags, the first line, signals, exit statuses.

mod common;

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{ServerProcess, eventually, noise, total};
use test_needs::Need;

fn evshard(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evshard")).args(args).output().unwrap()
}

/// The one line on standard error of a run that must fail with this status.
#[track_caller]
fn complaint(status: i32, args: &[&str]) -> String {
    let output = evshard(args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{args:?}: {message}");
    assert_eq!(message.lines().count(), 1, "{args:?}: {message}");
    assert!(output.stdout.is_empty(), "{args:?} prints on stdout");
    message
}

#[test]
fn wrong_usage_is_one_line_with_advice_and_status_2() {
    for (args, expected) in [
        (&["--wrong"][..], "--wrong"),
        (&["--workers", "0"], "from 1 to 1024"),
        (&["--workers", "many"], "from 1 to 1024"),
        (&["--workers", "1000000"], "from 1 to 1024"),
        (&["--backend", "kqueue"], "possible values: epoll"),
        (&["--changelist", "sometimes"], "immediate, deferred"),
        (&["--listen", "127.0.0.1"], "ADDR:PORT"),
        (&["--listen", "127.0.0.1:http"], "0 to 65535"),
        (&["--listen", "no.such.host.invalid:80"], "not known"),
        (&["--backlog", "0"], "--backlog"),
        (&["--accept", "somehow"], "acceptor-in-shard0"),
        (&["--placement", "anywhere"], "least-connections"),
        (&["--listen", "unix:@name"], "write a path"),
        (&["--unix-mode", "0999"], "octal"),
        (&["--idle-timeout", "0s"], "off"),
        (&["--max-connections", "0"], "--max-connections"),
        (&["--max-connections-per-source", "0"], "such as 100, 100/24 or 100/24,56"),
        (&["--max-connections-per-source", "10/33"], "a prefix of IPv4 has 1 to 32 bits"),
        (&["--max-connections-per-source", "10/24,0"], "one of IPv6 1 to 128"),
        (&["--max-connections-per-source", "10/24,56,3"], "write a number from 1"),
        (&["--accept-rate", "0"], "a number from 1 to 1000000"),
        (&["--accept-rate", "2000000"], "connections a second"),
        (&["--max-connection-age", "0s"], "from 1ms to 1year, such as 1500ms or 30s, or off"),
        (&["--bytes-per-second", "0"], "from 1.0 KiB to 1.0 TiB, such as 256KiB"),
        (&["--total-bytes-per-second", "much"], "the bytes of a second"),
        (&["--work", "spin"], "spin:TIME"),
        (&["--proxy-protocol", "require"], "not provided: --proxy-trust"),
        (&["--proxy-trust", "10.0.0.0/40"], "such as 10.0.0.0/8 or 10.0.0.1"),
        (&["--work", "spin:-1s"], "such as sleep:exp:5ms"),
        (&["--admin", "0.0.0.0:0"], "--admin-remote"),
        (&["--admin-remote"], "--admin"),
        (&["--upgrade-from", "a", "--upgrade-socket", "b"], "cannot be used with"),
        (&["--log-level", "loud"], "off, error, warn, info, debug or trace"),
        (&["--drain-timeout", "soon"], "--drain-timeout"),
        (&["--handoff-capacity", "18446744073709551615"], "from 1 to 1048576"),
        (&["--max-connections", "2147483648"], "from 1 to 2147483647"),
        (&["--backlog", "4294967295"], "from 1 to 2147483647"),
        (&["--buffer", "0"], "from 1.0 KiB to 1.0 TiB"),
        (&["--drain-delay", "500000000years"], "from 0s to 1year"),
        (&["--slow-callback", "2years"], "from 0s to 1year"),
        (&["--idle-timeout", "500000000000years"], "from 1ms to 1year"),
        (&["--service", "work", "--work", "sleep:500000000years"], "from 0s to 1day"),
        (&["--drain-spread", "4s"], "longer than --drain-timeout 3s"),
        (&["--work", "spin:1ms"], "without --service work"),
        (&["--proxy-trust", "10.0.0.0/8"], "without --proxy-protocol"),
        (&["--placement", "least-loaded", "--no-timings"], "--no-timings"),
        (&["stray"], "stray"),
    ] {
        let message = complaint(2, &[&["serve"], args].concat());
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("--help"), "{message}");
    }
    assert!(complaint(2, &["sreve"]).contains("serve"), "a slip of the finger is understood");
}

#[test]
fn too_few_descriptors_for_any_part_of_a_start_name_the_limit() {
    let folder = test_needs::folder();
    let path = folder.path().join("upgrade");
    let flags = format!("--workers 2 --admin 127.0.0.1:0 --upgrade-socket {}", path.display());
    for limit in 5..64 {
        let program = env!("CARGO_BIN_EXE_evshard");
        let script =
            format!("ulimit -n {limit}; exec {program} serve --listen 127.0.0.1:0 {flags}");
        let mut command = Command::new("sh");
        let mut server = command.args(["-c", &script]).stdout(Stdio::piped());
        server = server.stderr(Stdio::piped());
        let mut server = server.spawn().unwrap();
        let starts = server.stdout.as_mut().unwrap().read(&mut [0]).unwrap() > 0;
        server.kill().unwrap();
        let output = server.wait_with_output().unwrap();
        if starts {
            return;
        }
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("; raise the limit of open files (ulimit -n)"), "{limit}: {text}");
    }
    panic!("64 descriptors are enough");
}

#[test]
fn a_result_that_cannot_be_written_was_a_success() {
    let mut server = ServerProcess::start(&["--workers", "1", "--admin", "127.0.0.1:0"]);
    let admin = server.next_line();
    let admin = admin.strip_prefix("admin on ").unwrap();
    for args in [&["ctl", "stats", "--admin", admin][..], &["top", "--once", "--admin", admin]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evshard"));
        let full = std::fs::File::create("/dev/full").unwrap();
        let output = command.args(args).stdout(full).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
        assert!(message.contains("cannot write to standard output: No space left"), "{message}");
    }
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut help = Command::new(env!("CARGO_BIN_EXE_evshard"));
    assert_eq!(help.arg("--help").stdout(full).status().unwrap().code(), Some(1));
}

#[test]
fn an_argument_that_is_no_text_is_wrong_usage_as_any_other() {
    for arguments in [&[&b"\xff"[..]][..], &[b"serve", b"\xff"], &[b"serve", b"--listen", b"\xff"]]
    {
        let arguments = arguments.iter().map(|bytes| OsStr::from_bytes(bytes));
        let output = Command::new(env!("CARGO_BIN_EXE_evshard")).args(arguments).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.lines().count() == 1 && message.contains("--help"), "{message}");
    }
}

#[test]
fn a_log_file_that_cannot_be_opened_is_status_1_with_advice() {
    for file in ["/nowhere/log", "/dev"] {
        let message = complaint(1, &["serve", "--listen", "127.0.0.1:0", "--log-file", file]);
        assert!(message.contains(file) && message.contains("another --log-file"), "{message}");
    }
}

#[test]
fn help_and_version_are_what_was_asked_for() {
    for args in [&["--help"][..], &["serve", "--help"], &["--version"], &["help", "serve"]] {
        let output = evshard(args);
        assert!(output.status.success() && !output.stdout.is_empty(), "{args:?}");
    }
    let help = String::from_utf8(evshard(&["serve", "--help"]).stdout).unwrap();
    assert!(help.contains("127.0.0.1:5555") && help.contains("Examples:"), "{help}");
    assert_eq!(evshard(&[]).status.code(), Some(2), "a bare call shows the help as an error");
}

#[test]
fn an_address_that_cannot_be_listened_on_is_status_1_with_advice() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let message = complaint(1, &["serve", "--listen", &address]);
    assert!(message.contains(&address) && message.contains("choose another port"), "{message}");
    let message = complaint(1, &["serve", "--listen", "192.0.2.1:0"]);
    assert!(message.contains("no interface"), "{message}");
}

#[test]
fn both_signals_end_the_server_with_a_table_and_status_0() {
    for signal in ["TERM", "INT"] {
        let server = ServerProcess::start(&["--workers", "3"]);
        let mut client = server.connect();
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        server.signal(signal);
        let (status, table) = server.wait();
        assert_eq!(status.code(), Some(0));
        assert_eq!(table.lines().count(), 5, "a header, three shards and the total: {table}");
        assert_eq!(total(&table, "bytes"), 5);
        assert_eq!(total(&table, "wakes-sent") + total(&table, "wakes-suppressed"), 1);
        assert_eq!(common::read(&client, &mut [0; 5]).unwrap(), 0, "an orderly end");
    }
}

/// Sends and receives until the connection ends; returns how many whole echoes there were.
fn busy_client(mut stream: TcpStream) -> usize {
    let (message, mut echo) = (noise(3, 256), [0; 256]);
    let mut echoes = 0;
    while stream.write_all(&message).is_ok() && stream.read_exact(&mut echo).is_ok() {
        assert_eq!(echo[..], message[..]);
        echoes += 1;
    }
    echoes
}

#[test]
fn termination_under_load_takes_no_longer_than_the_drain_time() {
    let server = ServerProcess::start(&["--workers", "2", "--drain-timeout", "500ms"]);
    let clients: Vec<_> = (0..20)
        .map(|_| server.connect())
        .map(|stream| thread::spawn(move || busy_client(stream)))
        .collect();
    let port = server.address;
    eventually("the load is on", || server.cpu_time() > Duration::from_millis(50));
    let start = Instant::now();
    let (status, table) = server.terminate();
    let took = start.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(took >= Duration::from_millis(400), "busy clients were cut off after {took:?}");
    assert!(took < Duration::from_secs(10), "the drain took {took:?}");
    assert!(TcpStream::connect(port).is_err(), "no socket listens any more");
    let echoes: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(total(&table, "bytes") >= echoes as u64 * 256);
}

#[test]
fn what_was_sent_before_termination_is_echoed_to_a_slow_reader() {
    let server = ServerProcess::start(&["--workers", "1", "--drain-timeout", "30s"]);
    let mut client = server.connect();
    let sent = noise(4, 64 << 20);
    let mut writer = client.try_clone().unwrap();
    let written = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for chunk in sent.chunks(10_000) {
                writer.write_all(chunk).unwrap();
                written.fetch_add(chunk.len(), Ordering::Relaxed);
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        // Everything waits for this reader before the server gets the signal.
        eventually("the writer is stuck", || {
            let before = written.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(50));
            before > 0 && written.load(Ordering::Relaxed) == before
        });
        assert!(written.load(Ordering::Relaxed) < sent.len());
        server.signal("TERM");
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    });
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn idle_connections_do_not_delay_the_end() {
    let server = ServerProcess::start(&["--workers", "2", "--drain-timeout", "60s"]);
    let _idle: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
    let start = Instant::now();
    assert_eq!(server.terminate().0.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let server = ServerProcess::start(&["--workers", "1", "--drain-timeout", "1h"]);
    // A client that does not read has pending output, so the drain waits for it.
    let client = stuck_client(&server);
    server.signal("INT");
    let address = server.address;
    eventually("the drain began", || TcpStream::connect(address).is_err());
    server.signal("INT");
    let (status, _) = server.wait();
    assert_eq!(status.code(), Some(130), "{status:?} {:?}", status.signal());
    drop(client);
}

/// A client that sent until the server took no more, and read nothing.
fn stuck_client(server: &ServerProcess) -> TcpStream {
    let mut client = server.connect();
    client.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let bytes = noise(5, 1 << 20);
    while client.write(&bytes).is_ok() {}
    client
}

#[test]
fn a_closed_standard_output_does_not_stop_the_service() {
    let mut server = ServerProcess::start(&["--workers", "1"]);
    server.close_stdout();
    let mut client = server.connect();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    drop(client);
    assert!(server.terminate().0.success(), "the table goes nowhere, and that is all");
}

/// The cores each thread may run on, by name.
fn allowed_cores(pid: u32) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let read = |task: io::Result<std::fs::DirEntry>| {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name| {
            let line = status.lines().find_map(|line: &str| line.strip_prefix(name));
            line.unwrap().trim().to_owned()
        };
        (field("Name:"), field("Cpus_allowed_list:"))
    };
    tasks.map(read).collect()
}

#[test]
fn workers_are_pinned_within_the_mask_the_server_was_started_with() {
    if test_needs::missing(Need::Affinity) || test_needs::program("taskset").is_none() {
        return;
    }
    let workers = |server: &ServerProcess| {
        let mut cores: Vec<String> = allowed_cores(server.pid())
            .into_iter()
            .filter_map(|(name, cores)| name.starts_with("worker-").then_some(cores))
            .collect();
        cores.sort();
        cores
    };
    let own = own_cores();
    let (first, last) = (own[0].to_string(), own[own.len() - 1].to_string());
    let confine = format!("taskset -p -c {last} $$ > /dev/null");
    let server = ServerProcess::start_after(&confine, "--workers 2");
    eventually("both workers are pinned", || workers(&server) == vec![last.clone(); 2]);
    for (name, cores) in allowed_cores(server.pid()) {
        assert_eq!(cores, last, "{name} left the mask");
    }
    let server = ServerProcess::start_after(&confine, "");
    eventually("as many workers as usable cores", || workers(&server).len() == 1);

    if own.len() >= 2 {
        let server = ServerProcess::start(&["--workers", "2"]);
        let expected = [first, own[1].to_string()];
        eventually("each has its own core", || workers(&server) == expected);
    }
    let free = ServerProcess::start(&["--workers", "2", "--no-pin"]);
    let mask = own_status("Cpus_allowed_list:");
    eventually("no worker is pinned", || workers(&free) == [mask.clone(), mask.clone()]);
}

fn own_status(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().to_owned()
}

/// The cores this process may use, from a list such as `0-2,5`.
fn own_cores() -> Vec<usize> {
    let list = own_status("Cpus_allowed_list:");
    let number = |text: &str| text.parse::<usize>().unwrap();
    let range = |part: &str| match part.split_once('-') {
        Some((from, to)) => (number(from)..=number(to)).collect(),
        None => vec![number(part)],
    };
    list.split(',').flat_map(range).collect()
}

#[test]
fn a_wait_that_is_interrupted_is_no_error() {
    // SIGCONT interrupts the wait of a stopped process: signal(7).
    for backend in common::usable_backends() {
        let server = ServerProcess::start(&["--workers", "2", "--backend", backend.name()]);
        let mut client = server.connect();
        for round in 0..3_u8 {
            server.signal("STOP");
            server.signal("CONT");
            client.write_all(&[round]).unwrap();
            let mut echo = [0];
            client.read_exact(&mut echo).unwrap();
            assert_eq!(echo, [round], "by {backend:?}");
        }
        drop(client);
        assert!(server.terminate().0.success());
    }
}

/// A command that runs the program without io_uring, as in a container that forbids it.
fn without_io_uring(program: &str, arguments: &[&str]) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/restricted.sh");
    let mut command = Command::new(script);
    command.args(["--only", "io_uring", program]).args(arguments);
    command
}

#[test]
fn what_the_machine_refuses_is_logged_once_with_what_is_lost() {
    if test_needs::program("python3").is_none() {
        return;
    }
    let attempt = without_io_uring("true", &[]).stderr(Stdio::null()).status().unwrap();
    let attempt = if attempt.success() { Ok(()) } else { Err(io::Error::other("no filter")) };
    if test_needs::refused(Need::SeccompFilter, &attempt) {
        return;
    }
    let serve = ["serve", "--listen", "127.0.0.1:0", "--workers", "2"];
    let mut command = without_io_uring(env!("CARGO_BIN_EXE_evshard"), &serve);
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 13];
    server.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"listening on ");
    let kill = format!("kill -TERM {}", server.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let output = server.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    assert_eq!(
        message.matches("one system call each, instead of one for many").count(),
        1,
        "{message}"
    );
}

#[test]
fn a_server_that_cannot_start_its_first_thread_ends_with_an_error() {
    if test_needs::missing(Need::Trace) {
        return;
    }
    let mut command = Command::new("strace");
    // The C library tries clone(2) where clone3(2) is missing.
    command.args(["-f", "-o", "/dev/null", "-e", "inject=clone3,clone:error=EAGAIN:when=1+"]);
    command.args([env!("CARGO_BIN_EXE_evshard"), "serve", "--listen", "127.0.0.1:0"]);
    let output = command.output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("start a thread: Resource temporarily unavailable"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

/// The acceptor of the server gets no connection here, so each call of accept is the admin's.
#[test]
fn the_admin_pauses_when_accept_fails_again_and_again() {
    if test_needs::missing(Need::Trace) {
        return;
    }
    let folder = test_needs::folder();
    let (trace, admin) = (folder.path().join("trace"), folder.path().join("admin"));
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-ttt", "-o", trace.to_str().unwrap(), "-e", "trace=accept4"]);
    command.args(["-e", "inject=accept4:error=EPERM:when=1+", env!("CARGO_BIN_EXE_evshard")]);
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin"]);
    command.arg(format!("unix:{}", admin.display()));
    let server = ServerProcess::spawn(command);
    let _client = UnixStream::connect(&admin).unwrap();
    let times = || -> Vec<f64> {
        let text = std::fs::read_to_string(&trace).unwrap_or_default();
        let calls = text.lines().filter(|line| line.contains("accept4("));
        calls.filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect()
    };
    eventually("accept was called six times", || times().len() >= 6);
    let times = times();
    // 10, 20, 40, 80 and 160 ms.
    assert!(times[5] - times[0] > 0.3, "{times:?}");
    assert!(server.terminate().0.success());
}

#[test]
fn a_host_name_is_listened_on_at_all_its_addresses() {
    let mut server = ServerProcess::start_on("localhost:0", &["--workers", "1"]);
    let found = ("localhost", 0).to_socket_addrs().unwrap();
    let mut addresses: Vec<SocketAddr> =
        found.filter(|address| TcpListener::bind(address).is_ok()).collect();
    addresses.dedup();
    let mut listened = vec![server.address];
    for _ in 1..addresses.len() {
        let line = server.next_line();
        listened.push(line.strip_prefix("listening on ").expect("an address").parse().unwrap());
    }
    for (address, listened) in addresses.iter().zip(listened) {
        assert_eq!(address.ip(), listened.ip());
        TcpStream::connect(listened).unwrap();
    }
}
