//! Answers and handles of threads while one server process replaces another.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::{env, thread};

use super::clients::{config, with_timeouts};
use super::common::{MS, Program, TEST_TIMEOUT, eventually};
use evshard::server::upgrade::{UpgradeSocket, take_over};
use evshard::server::{
    AcceptMode, Answer, Connection, ConnectionHandle, Server, ServerConfig, Service,
};

/// What a server process gets: the accept mode, the path of the upgrade socket, and whether it
/// succeeds another.
const MODE: &str = "EVSHARD_TEST_UPGRADE_MODE";
const SOCKET: &str = "EVSHARD_TEST_UPGRADE_SOCKET";
const SUCCEEDS: &str = "EVSHARD_TEST_UPGRADE_SUCCEEDS";

const REQUESTS: usize = 20;
const CLIENTS: usize = 8;
const UPGRADES: usize = 3;

/// Passes each line on to threads, which answer it with the process that serves. Another thread
/// sends lines that are not asked for to every second connection, by its handle. Without them a
/// connection is quiet until an answer comes.
#[derive(Clone)]
struct Pool {
    jobs: Sender<(Vec<u8>, Answer)>,
    ticks: Sender<ConnectionHandle>,
    opened: u64,
}

impl Service for Pool {
    type Session = ();
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        self.opened += 1;
        if self.opened.is_multiple_of(2) {
            self.ticks.send(connection.handle()).unwrap();
        }
    }

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
        self.jobs.send((input[..end].to_vec(), connection.answer_later())).unwrap();
        end + 1
    }
}

fn answer(jobs: &Mutex<Receiver<(Vec<u8>, Answer)>>) {
    let next = || jobs.lock().unwrap().recv();
    while let Ok((line, answer)) = next() {
        // The last one of a client takes longer than a connection is quiet before a drain ends it.
        let is_last = line.ends_with(format!("-{}", REQUESTS - 1).as_bytes());
        thread::sleep(if is_last { 120 * MS } else { MS * u32::from(line.last().unwrap() % 8) });
        let process = format!(" {}\n", std::process::id());
        answer.send(&[&line, process.as_bytes()].concat()).unwrap();
    }
}

/// Sends to all of these connections that are open.
fn send_ticks(opened: &Receiver<ConnectionHandle>) {
    let mut handles: Vec<ConnectionHandle> = Vec::new();
    loop {
        match opened.recv_timeout(MS) {
            Ok(handle) => handles.push(handle),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
        }
        handles.retain(|handle| handle.send(b"\n").is_ok());
    }
}

fn start(config: &ServerConfig, path: &Path, notify: Sender<()>) -> Server {
    let ((jobs, taken), (ticks, handles)) = (channel(), channel());
    let taken = Arc::new(Mutex::new(taken));
    for _ in 0..8 {
        let taken = taken.clone();
        thread::spawn(move || answer(&taken));
    }
    thread::spawn(move || send_ticks(&handles));
    let service = Pool { jobs, ticks, opened: 0 };
    let (mut server, socket) = if env::var_os(SUCCEEDS).is_some() {
        let (listeners, handover) = take_over(path).unwrap();
        (Server::start_on(config, listeners, service).unwrap(), handover.ready().unwrap())
    } else {
        (Server::start(config, service).unwrap(), UpgradeSocket::open(path).unwrap())
    };
    let taken_over = move |_| {
        // The test may have ended it first.
        let _ = notify.send(());
    };
    server.offer(socket, taken_over).unwrap();
    server
}

#[test]
#[ignore = "a server process of the next test"]
fn a_server_process() {
    let (Ok(mode), Some(path)) = (env::var(MODE), env::var_os(SOCKET)) else { return };
    let accept = AcceptMode::ALL.into_iter().find(|accept| accept.name() == mode).unwrap();
    let (end, ends) = channel();
    let server = start(&ServerConfig { accept, ..config(2) }, path.as_ref(), end.clone());
    println!("\nlistening on {}", server.addresses()[0]);
    thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        let _ = end.send(());
    });
    ends.recv().unwrap();
    let total = server.drain().unwrap().total();
    println!("\nended with {} errors", total.errors.total());
}

fn start_process(mode: AcceptMode, path: &Path, succeeds: bool) -> Program {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "upgrade::a_server_process"]);
    command.env(MODE, mode.name()).env(SOCKET, path);
    if succeeds {
        command.env(SUCCEEDS, "1");
    }
    Program::start(&mut command)
}

/// What the process prints after these words.
#[track_caller]
fn printed(process: &Program, words: &str) -> String {
    let mut printed = Vec::new();
    loop {
        let Ok(line) = process.lines.recv_timeout(TEST_TIMEOUT) else {
            panic!("it never printed {words:?}: {printed:?}")
        };
        if let Some(rest) = line.strip_prefix(words) {
            return rest.to_owned();
        }
        printed.push(line);
    }
}

/// Sends requests and returns which processes answered them. All must be answered, once each, also
/// if the client ends its stream before, as it does every second time.
fn ask(address: SocketAddr, round: usize) -> HashSet<u32> {
    let mut client = with_timeouts(TcpStream::connect(address).unwrap());
    let requests: Vec<String> = (0..REQUESTS).map(|at| format!("{round}-{at}")).collect();
    client.write_all((requests.join("\n") + "\n").as_bytes()).unwrap();
    if round.is_multiple_of(2) {
        client.shutdown(Shutdown::Write).unwrap();
    }
    let mut left: HashSet<String> = requests.into_iter().collect();
    let mut processes = HashSet::new();
    let ends = client.try_clone().unwrap();
    let mut lines = BufReader::new(client).lines();
    while !left.is_empty() {
        let line = lines.next().expect("an answer is lost").expect("the client is reset");
        if let Some((request, process)) = line.split_once(' ') {
            assert!(left.remove(request), "no answer to {line:?} is due");
            processes.insert(process.parse().unwrap());
        } else {
            assert_eq!(line, "", "of a handle");
        }
    }
    // The server may have closed it, because it drains. To leave bytes unread would be a reset.
    let _ = ends.shutdown(Shutdown::Write);
    assert!(lines.map(Result::unwrap).all(|line| line.is_empty()), "an answer too many");
    processes
}

#[test]
fn no_answer_is_lost_while_one_server_process_replaces_another() {
    for mode in AcceptMode::ALL {
        let folder = test_needs::folder();
        let path = folder.path().join("upgrade");
        let mut process = start_process(mode, &path, false);
        let address: SocketAddr = printed(&process, "listening on ").parse().unwrap();
        let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
        let answering: Mutex<HashSet<u32>> = Mutex::default();
        let mut pids = vec![process.child.id()];
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (stop, rounds, answering) = (&stop, &rounds, &answering);
                scope.spawn(move || {
                    for round in (client * 1_000_000)..usize::MAX {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let processes = ask(address, round);
                        assert_eq!(processes.len(), 1, "a connection stays with its process");
                        answering.lock().unwrap().extend(processes);
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let _stop = StopAtEnd(&stop);
            for _ in 0..UPGRADES {
                let before = rounds.load(Ordering::Relaxed);
                eventually("clients are served", || rounds.load(Ordering::Relaxed) > before + 20);
                let next = start_process(mode, &path, true);
                assert_eq!(printed(&next, "listening on "), address.to_string());
                assert_eq!(printed(&process, "ended with "), "0 errors", "{mode}");
                process = next;
                pids.push(process.child.id());
            }
            let before = rounds.load(Ordering::Relaxed);
            eventually("clients are served", || rounds.load(Ordering::Relaxed) > before + 20);
        });
        process.stdin = None;
        assert_eq!(printed(&process, "ended with "), "0 errors", "{mode}");
        assert_eq!(answering.into_inner().unwrap(), pids.into_iter().collect(), "{mode}");
    }
}

/// Stops the clients, also if the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
