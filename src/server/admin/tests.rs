//! The admin over real sockets, with threads that answer, have ended, or never answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;
use crate::base::{LoopFlags, Remote};
use crate::server::stats::{AcceptorStats, ProcessStats, ServerStats, ShardStats};
use crate::server::threads::question::Question;

/// Far longer than anything takes on a loaded machine; reaching it is a failure.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What a fake thread does with its questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Answers,
    IsGone,
    /// Keeps them until the test answers.
    IsStuck,
}

use Habit::{Answers, IsGone, IsStuck};

/// The calls that the fake source has got.
#[derive(Debug, Default)]
struct Seen {
    drains: AtomicUsize,
    /// Requests to reload, which the test answers.
    reloads: Mutex<Vec<ReloadRequest>>,
    asked: AtomicUsize,
    kept: Mutex<Vec<Question<u64>>>,
}

#[derive(Debug)]
struct Fake {
    habits: Vec<Habit>,
    accepts: bool,
    seen: Arc<Seen>,
}

impl Source for Fake {
    type Part = u64;

    fn threads(&self) -> usize {
        self.habits.len()
    }

    fn ask(&mut self, thread: usize, question: Question<u64>) {
        self.seen.asked.fetch_add(1, Ordering::Relaxed);
        match self.habits[thread] {
            Answers => question.answer(10 + thread as u64),
            IsGone => drop(question),
            IsStuck => self.seen.kept.lock().unwrap().push(question),
        }
    }

    fn assemble(&mut self, parts: Vec<Option<u64>>) -> ServerStats {
        let shard = |(shard, part): (usize, Option<u64>)| ShardStats {
            shard,
            answered: part.is_some(),
            connections: part.unwrap_or(0),
            ..Default::default()
        };
        ServerStats {
            draining: self.seen.drains.load(Ordering::Relaxed) > 0,
            shards: parts.into_iter().enumerate().map(shard).collect(),
            acceptors: vec![AcceptorStats {
                answered: true,
                accepting: self.accepts,
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn drain(&mut self) {
        self.seen.drains.fetch_add(1, Ordering::Relaxed);
    }

    fn reload(&mut self, request: ReloadRequest) {
        self.seen.reloads.lock().unwrap().push(request);
    }
}

/// An admin of fake threads.
struct TestAdmin {
    admin: Admin<Fake>,
    seen: Arc<Seen>,
}

fn test(habits: &[Habit]) -> TestAdmin {
    rig_at("127.0.0.1:0", habits, true)
}

fn rig_at(address: &str, habits: &[Habit], accepts: bool) -> TestAdmin {
    let seen = Arc::new(Seen::default());
    let fake = Fake { habits: habits.to_vec(), accepts, seen: seen.clone() };
    TestAdmin { admin: start(Timeouts::default(), address, fake), seen }
}

fn start(timeouts: Timeouts, address: &str, fake: Fake) -> Admin<Fake> {
    let config =
        AdminConfig { address: address.parse().unwrap(), allow_remote: false, hosts: Vec::new() };
    let (listener, http) = (listen::bind(&config).unwrap(), Protocol::Http(Hosts::of(&config)));
    Admin::run(listener, http, timeouts, Config::default(), fake, &Failures::none()).unwrap()
}

/// An admin whose connections have a short timeout, and whose threads have a long one.
fn hurried_rig(habits: &[Habit]) -> TestAdmin {
    let seen = Arc::new(Seen::default());
    let fake = Fake { habits: habits.to_vec(), accepts: true, seen: seen.clone() };
    let timeouts = Timeouts { connection: Duration::from_millis(200), collect: TEST_TIMEOUT };
    TestAdmin { admin: start(timeouts, "127.0.0.1:0", fake), seen }
}

impl TestAdmin {
    fn address(&self) -> SocketAddr {
        match self.admin.address() {
            ListenAddress::Tcp(address) => *address,
            ListenAddress::Unix(_) => unreachable!(),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        stream
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn ask(&self, request: &str) -> Answer {
        Answer::read(self.send(request))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    fn stats(&self) -> Value {
        serde_json::from_str(&self.get("/stats").body).unwrap()
    }
}

/// A response, read to the end of its connection.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    #[track_caller]
    fn read(mut stream: impl Read) -> Self {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer, and then an orderly end");
        let (head, body) = text.split_once("\r\n\r\n").expect("a complete head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = Self { status, head: head.to_owned(), body: body.to_owned() };
        let length = answer.header("Content-Length").parse::<usize>().unwrap();
        assert!(body.len() == length || body.is_empty(), "{answer:?}");
        answer
    }

    fn header(&self, name: &str) -> &str {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(found, _)| *found == name).map_or("", |(_, value)| value)
    }
}

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TEST_TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_path_answers_with_its_type() {
    let test = test(&[Answers, Answers]);
    let metrics = test.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert_eq!(metrics.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    let line = "evshard_shard_connections_total{shard=\"1\"} 11";
    assert!(metrics.body.contains(line), "{}", metrics.body);
    let stats = test.get("/stats");
    assert_eq!((stats.status, stats.header("Content-Type")), (200, "application/json"));
    assert_eq!(test.stats()["shards"][1]["connections"], 11);
    let full: Value = serde_json::from_str(&test.get("/stats?histograms").body).unwrap();
    assert_eq!(full["histograms"].as_array().unwrap().len(), 2);
    assert_eq!(test.get("/healthz").body, "alive\n");
    assert_eq!(test.get("/readyz").body, "ready\n");
}

#[test]
fn a_head_is_the_answer_without_its_body() {
    let test = test(&[Answers]);
    for path in ["/metrics", "/stats", "/healthz", "/readyz"] {
        let answer = test.ask(&format!("HEAD {path} HTTP/1.0\r\n\r\n"));
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
        assert_ne!(answer.header("Content-Length"), "0", "{path}");
    }
}

#[test]
fn what_there_is_not_is_answered_with_what_there_is() {
    let test = test(&[Answers]);
    let answer = test.get("/metric");
    assert_eq!(answer.status, 404);
    for path in ["/metrics", "/stats", "/healthz", "/readyz", "/drain"] {
        assert!(answer.body.contains(path), "{}", answer.body);
    }
    let answer = test.ask("DELETE /stats HTTP/1.1\r\n\r\n");
    assert_eq!((answer.status, answer.header("Allow")), (405, "GET, HEAD"));
}

#[test]
fn a_drain_is_begun_by_a_post_of_an_operator_alone() {
    let test = test(&[Answers]);
    let answer = test.get("/drain");
    assert_eq!((answer.status, answer.header("Allow")), (405, "POST"));
    let page = test.ask("POST /drain HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n");
    assert_eq!(page.status, 403);
    assert_eq!(test.seen.drains.load(Ordering::Relaxed), 0);
    let answer = test.ask("POST /drain HTTP/1.1\r\nContent-Length: 4\r\n\r\nnow!");
    assert_eq!(answer.status, 202);
    assert_eq!(test.seen.drains.load(Ordering::Relaxed), 1);
    let answer = test.get("/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.body.starts_with("draining"), "{answer:?}");
}

#[test]
fn a_server_that_accepts_no_connection_is_not_ready_and_reports_why() {
    let answer = rig_at("127.0.0.1:0", &[Answers], false).get("/readyz");
    assert!(answer.status == 503 && answer.body.starts_with("not accepting"), "{answer:?}");
    let answer = test(&[IsGone]).get("/readyz");
    assert!(answer.status == 503 && answer.body.starts_with("stuck"), "{answer:?}");
}

#[test]
fn a_thread_that_never_answers_is_reported_and_delays_no_other_request() {
    let test = test(&[Answers, IsStuck]);
    let waiting = test.send("GET /stats HTTP/1.1\r\n\r\n");
    assert_eq!(test.get("/healthz").status, 200);
    let stats: Value = serde_json::from_str(&Answer::read(waiting).body).unwrap();
    assert_eq!(stats["shards"][0]["answered"], true);
    assert_eq!(stats["shards"][1]["answered"], false);
    // A late answer finds no request, and the next count is not affected.
    test.seen.kept.lock().unwrap().drain(..).for_each(|question| question.answer(7));
    assert_eq!(test.stats()["shards"][1]["answered"], false);
}

#[test]
fn a_thread_that_is_gone_is_not_waited_for() {
    let test = test(&[IsGone, Answers]);
    let begun = Instant::now();
    let stats = test.stats();
    assert!(begun.elapsed() < Duration::from_secs(1), "it was waited for");
    assert_eq!(stats["shards"][0]["answered"], false);
    assert_eq!(stats["shards"][1]["answered"], true);
}

#[test]
fn a_stuck_thread_is_not_asked_for_ever() {
    let test = test(&[IsStuck]);
    for _ in 0..2 {
        let asking: Vec<_> = (0..32).map(|_| test.send("GET /stats HTTP/1.1\r\n\r\n")).collect();
        assert!(asking.into_iter().map(Answer::read).all(|answer| answer.status == 200));
    }
    assert_eq!(test.seen.asked.load(Ordering::Relaxed), 32);
    test.seen.kept.lock().unwrap().clear();
    test.stats();
    assert_eq!(test.seen.asked.load(Ordering::Relaxed), 33, "once it answers it is asked again");
}

#[test]
fn several_requests_at_once_each_get_their_own_answer() {
    let test = test(&[IsStuck]);
    let paths = ["/stats", "/metrics", "/readyz"];
    let mut waiting = Vec::new();
    for (index, path) in paths.into_iter().enumerate() {
        waiting.push(test.send(&format!("GET {path} HTTP/1.1\r\n\r\n")));
        eventually("asked", || test.seen.asked.load(Ordering::Relaxed) == index + 1);
    }
    let kept = std::mem::take(&mut *test.seen.kept.lock().unwrap());
    for (index, question) in kept.into_iter().enumerate().rev() {
        question.answer(100 + index as u64);
    }
    let [stats, metrics, ready] =
        waiting.into_iter().map(Answer::read).collect::<Vec<_>>().try_into().unwrap();
    assert!(stats.body.contains("\"connections\":100"), "{stats:?}");
    assert!(metrics.body.contains("connections_total{shard=\"0\"} 101"), "{metrics:?}");
    assert_eq!(ready.body, "ready\n");
}

#[test]
fn a_client_that_closes_before_the_answer_is_forgotten() {
    let test = test(&[IsStuck]);
    for _ in 0..3 {
        drop(test.send("GET /stats HTTP/1.1\r\n\r\n"));
    }
    eventually("asked", || test.seen.asked.load(Ordering::Relaxed) == 3);
    test.seen.kept.lock().unwrap().drain(..).for_each(|question| question.answer(1));
    assert_eq!(test.get("/healthz").status, 200);
}

#[test]
fn malformed_http_is_answered_400_and_does_no_harm() {
    let test = test(&[Answers]);
    for garbage in ["\0\0\0\0", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "hello there\n\n"] {
        assert_eq!(test.ask(garbage).status, 400, "{garbage:?}");
    }
    let endless = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(20_000));
    assert_eq!(test.ask(&endless).status, 431);
    drop(test.connect());
    assert_eq!(test.get("/healthz").status, 200);
}

#[test]
fn what_follows_a_request_is_ignored_without_a_reset() {
    let test = test(&[Answers]);
    let second = "GET /stats HTTP/1.1\r\n\r\n".repeat(2_000);
    let answer = test.ask(&format!("GET /healthz HTTP/1.1\r\n\r\n{second}"));
    assert_eq!(answer.body, "alive\n", "the first one, then the end");
    assert_eq!(answer.header("Connection"), "close");
}

#[test]
fn a_request_in_pieces_is_one_request() {
    let test = test(&[Answers]);
    let mut stream = test.connect();
    stream.set_nodelay(true).unwrap();
    for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(Answer::read(stream).body, "alive\n");
}

#[test]
fn a_request_that_does_not_come_is_given_up() {
    let test = hurried_rig(&[Answers]);
    assert_eq!(test.ask("GET /healthz HTTP/1.1\r\nHo").status, 408);
}

#[test]
fn a_connection_that_ends_while_threads_are_asked_takes_nothing_along() {
    let test = hurried_rig(&[IsStuck]);
    let mut text = String::new();
    test.send("GET /stats HTTP/1.1\r\n\r\n").read_to_string(&mut text).unwrap();
    assert_eq!(text, "", "it ends without an answer");
    // Another connection has its key when the answer comes.
    let mut idle = test.connect();
    test.seen.kept.lock().unwrap().drain(..).for_each(|question| question.answer(1));
    idle.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(Answer::read(idle).body, "alive\n");
}

#[test]
fn clients_that_never_complete_a_request_delay_no_other() {
    let test = test(&[Answers]);
    let mut idle: Vec<_> = (0..60).map(|_| test.connect()).collect();
    assert_eq!(test.get("/healthz").status, 200);
    let oldest = Answer::read(idle.remove(0));
    assert_eq!((oldest.status, oldest.body.as_str()), (408, "too many connections\n"));
}

#[test]
fn clients_that_were_answered_and_do_not_close_block_no_other() {
    let seen = Arc::new(Seen::default());
    let fake = Fake { habits: vec![IsStuck], accepts: true, seen: seen.clone() };
    let timeouts = Timeouts { connection: 2 * TEST_TIMEOUT, collect: TEST_TIMEOUT };
    let test = TestAdmin { admin: start(timeouts, "127.0.0.1:0", fake), seen };
    let mut open: Vec<_> = (0..32).map(|_| test.send("GET /stats HTTP/1.1\r\n\r\n")).collect();
    eventually("all have asked", || test.seen.asked.load(Ordering::Relaxed) == 32);
    let late = test.send("GET /healthz HTTP/1.1\r\n\r\n");
    test.seen.kept.lock().unwrap().drain(..).for_each(|question| question.answer(1));
    assert_eq!(Answer::read(late).status, 200, "it came while all slots waited");
    for stream in &mut open {
        assert!(stream.read_to_string(&mut String::new()).unwrap() > 0, "it was answered");
    }
    for _ in 0..32 {
        assert_eq!(test.get("/healthz").status, 200);
    }
}

/// evshard: the admin also accepted, and then refused, a client that came after all had asked.
#[test]
fn one_connection_too_many_waits_while_all_others_wait_for_their_answers() {
    let test = test(&[IsStuck]);
    let asking: Vec<_> = (0..32).map(|_| test.send("GET /stats HTTP/1.1\r\n\r\n")).collect();
    eventually("all have asked", || test.seen.asked.load(Ordering::Relaxed) == 32);
    let late = test.send("GET /healthz HTTP/1.1\r\n\r\n");
    assert_eq!(Answer::read(late).status, 200, "at last");
    drop(asking);
}

#[test]
fn a_page_of_another_server_whose_name_leads_here_is_not_answered() {
    let test = test(&[Answers]);
    let answer = test.ask("GET /stats HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(answer.status, 421);
    assert!(answer.body.contains("--admin-host"), "{}", answer.body);
    assert_eq!(test.ask("GET /stats HTTP/1.1\r\nHost: localhost:1\r\n\r\n").status, 200);
}

#[test]
fn a_unix_socket_answers_as_well() {
    let folder = test_needs::folder();
    let path = folder.path().join("admin");
    let test = rig_at(&format!("unix:{}", path.display()), &[Answers], true);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(Answer::read(stream).status, 200);
    drop(test);
    assert!(!path.exists());
}

#[test]
fn a_dropped_admin_answers_no_more() {
    let test = test(&[Answers]);
    let address = test.address();
    drop(test);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// Set when the test runs in a process of its own, with few descriptors.
const EXHAUSTED: &str = "EVSHARD_TEST_EXHAUSTED";

#[test]
fn an_admin_is_reached_when_descriptors_have_run_out() {
    if std::env::var_os(EXHAUSTED).is_none() {
        let name = "server::admin::tests::an_admin_is_reached_when_descriptors_have_run_out";
        let script = format!("ulimit -n 64; exec \"$0\" --exact {name}");
        let mut again = std::process::Command::new("sh");
        again.args(["-c", &script]).arg(std::env::current_exe().unwrap()).env(EXHAUSTED, "1");
        let output = again.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let test = test(&[Answers]);
    let open = || ProcessStats::read().open_fds;
    let at_rest = open();
    for _ in 0..3 {
        let mut taken = Vec::new();
        taken.extend(std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()));
        taken.pop().expect("one for the client");
        let answer = test.get("/metrics");
        assert_eq!(answer.status, 200);
        assert!(!answer.body.contains("process_open_fds"), "there was none left to look with");
        drop(taken);
        eventually("the next one finds a reserve again", || open() == at_rest);
    }
}

/// Threads with event bases, as workers are.
#[derive(Debug)]
struct Bases(Vec<Remote<u64>>);

impl Source for Bases {
    type Part = u64;

    fn threads(&self) -> usize {
        self.0.len()
    }

    fn ask(&mut self, thread: usize, question: Question<u64>) {
        // If the base is gone, the question is dropped with the closure, which reports that.
        let _ = self.0[thread].post(move |_, count| question.answer(*count));
    }

    fn assemble(&mut self, parts: Vec<Option<u64>>) -> ServerStats {
        let shard = |part: Option<u64>| ShardStats {
            answered: part.is_some(),
            reads: part.unwrap_or(0),
            ..Default::default()
        };
        ServerStats { shards: parts.into_iter().map(shard).collect(), ..Default::default() }
    }

    fn drain(&mut self) {
        self.0.iter().for_each(|remote| {
            remote.loop_exit();
        });
    }

    fn reload(&mut self, _: ReloadRequest) {}
}

#[test]
fn event_bases_answer_until_they_are_gone() {
    let mut remotes = Vec::new();
    let mut threads = Vec::new();
    for number in 1..=2 {
        let mut base = EventBase::<u64>::new(Config::default()).unwrap();
        remotes.push(base.remote());
        threads.push(thread::spawn(move || {
            let mut count = number;
            base.run_with(&mut count, LoopFlags::NO_EXIT_ON_EMPTY).unwrap();
        }));
    }
    let config = AdminConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        allow_remote: false,
        hosts: Vec::new(),
    };
    let admin =
        Admin::start(&config, Config::default(), Bases(remotes), &Failures::none()).unwrap();
    let ListenAddress::Tcp(address) = *admin.address() else { unreachable!() };
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        Answer::read(stream)
    };
    let body = ask("GET /stats HTTP/1.1\r\n\r\n").body;
    assert!(body.contains("\"reads\":1") && body.contains("\"reads\":2"), "{body}");
    assert_eq!(ask("POST /drain HTTP/1.1\r\n\r\n").status, 202);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let answered = ask("GET /stats HTTP/1.1\r\n\r\n").body.matches("\"answered\":false").count();
    assert_eq!(answered, 2);
}

#[test]
fn a_reload_is_answered_when_the_program_has_done_it() {
    let test = test(&[Answers]);
    for (reloaded, status, body) in [
        (Some(Ok("idle-timeout: applied\n".to_owned())), 200, "idle-timeout: applied\n"),
        (Some(Err("a.toml:1:2: no\n".to_owned())), 409, "a.toml:1:2: no\n"),
        (None, 503, "the server is about to end\n"),
    ] {
        let stream = test.send("POST /reload HTTP/1.1\r\n\r\n");
        eventually("the program is asked", || !test.seen.reloads.lock().unwrap().is_empty());
        // Meanwhile others are answered.
        assert_eq!(test.get("/healthz").status, 200);
        let request = test.seen.reloads.lock().unwrap().remove(0);
        match reloaded {
            Some(reloaded) => request.answer(reloaded),
            None => drop(request),
        }
        let answer = Answer::read(stream);
        assert_eq!((answer.status, answer.body.as_str()), (status, body));
    }
    assert_eq!(test.get("/reload").status, 405);
    let page = test.ask("POST /reload HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n");
    assert_eq!(page.status, 403);
    assert!(test.seen.reloads.lock().unwrap().is_empty());
}

#[test]
fn a_client_that_leaves_before_the_reload_is_done_takes_nothing_along() {
    let test = hurried_rig(&[Answers]);
    let mut text = String::new();
    test.send("POST /reload HTTP/1.1\r\n\r\n").read_to_string(&mut text).unwrap();
    assert_eq!(text, "", "it ends without an answer");
    let mut idle = test.connect();
    test.seen.reloads.lock().unwrap().remove(0).answer(Ok("late\n".to_owned()));
    idle.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(Answer::read(idle).body, "alive\n");
}
