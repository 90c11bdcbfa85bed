//! The pages of `EVSHARD_ADMIN`: a C program that does what its input says, and its page.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use test_needs::{Need, missing};

use crate::library::{Library, compile};

/// No condition takes longer unless something is wrong.
const TIME: Duration = Duration::from_secs(30);

/// The library and the program `observed.c`.
struct Setup {
    library: Library,
    program: PathBuf,
}

/// A running program.
struct Observed {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    socket: PathBuf,
}

impl Setup {
    /// `None` if the machine lacks what the test needs.
    fn new() -> Option<Self> {
        if missing(Need::Libevent) {
            return None;
        }
        let library = Library::new();
        let program = compile("observed.c", library.folder());
        Some(Self { library, program })
    }

    /// Starts the program with pages on a socket of this name.
    fn start(&self, socket: &str) -> Observed {
        self.start_with(socket, &[])
    }

    fn start_with(&self, socket: &str, environment: &[(&str, &str)]) -> Observed {
        let socket = self.library.folder().join(socket);
        let mut command = Command::new(&self.program);
        command.env("LD_LIBRARY_PATH", self.library.folder());
        command.env("EVSHARD_ADMIN", format!("unix:{}", socket.display()));
        command.envs(environment.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let socket = socket.display().to_string().replace("%p", &child.id().to_string());
        Observed { child, input, output, socket: socket.into() }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        // It has ended already if the test has ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Observed {
    fn send(&mut self, commands: &str) {
        let input = self.input.as_mut().expect("not ended");
        input.write_all(commands.as_bytes()).expect("the program reads commands");
    }

    /// The next line that the program prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    /// Ends the program, which must succeed; what it printed until then.
    fn end(mut self) -> String {
        drop(self.input.take());
        let mut printed = String::new();
        self.output.read_to_string(&mut printed).expect("text");
        assert!(self.child.wait().expect("its status").success(), "{printed}");
        printed
    }

    /// The statistics, once they are as expected.
    #[track_caller]
    fn stats_when(&self, condition: impl Fn(&Value) -> bool) -> Value {
        stats_when(&self.socket, condition)
    }
}

/// The body of a response, or why there is none.
pub(crate) fn get(socket: &Path, path: &str) -> Result<String, String> {
    let text = exchange(socket, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no head")?;
    if head.starts_with("HTTP/1.0 200 OK\r\n") { Ok(body.to_owned()) } else { Err(head.to_owned()) }
}

/// What the server answers to any bytes.
fn exchange(socket: &Path, bytes: &[u8]) -> Result<String, String> {
    let text = |error: std::io::Error| format!("{}: {error}", socket.display());
    let mut stream = UnixStream::connect(socket).map_err(text)?;
    stream.set_read_timeout(Some(TIME)).map_err(text)?;
    stream.write_all(bytes).map_err(text)?;
    let mut response = String::new();
    stream.read_to_string(&mut response).map_err(text)?;
    Ok(response)
}

#[track_caller]
pub(crate) fn stats_when(socket: &Path, condition: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let got = get(socket, "/stats");
        let stats = got.as_ref().ok().map(|text| serde_json::from_str::<Value>(text));
        if let Some(Ok(stats)) = stats
            && condition(&stats)
        {
            return stats;
        }
        assert!(begin.elapsed() < TIME, "the condition did not come true: {got:?}");
        thread::yield_now();
    }
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn slow<'a>(stats: &'a Value, name: &str) -> Option<&'a Value> {
    stats["slow_callbacks"].as_array()?.iter().find(|call| call["function"] == name)
}

fn function<'a>(stats: &'a Value, name: &str) -> Option<&'a Value> {
    stats["functions"].as_array()?.iter().find(|function| function["function"] == name)
}

#[test]
fn a_slow_callback_is_counted_listed_with_its_function_and_logged() {
    let Some(setup) = Setup::new() else { return };
    let mut program = setup.start_with("socket", &[("EVSHARD_SLOW_CALLBACK_MS", "40")]);
    program.send("s");
    // The end of a call becomes visible step by step.
    let stats = program.stats_when(|stats| {
        let is_counted = function(stats, "sleep_50_ms").is_some()
            && number(&stats["bases"][0]["slow_callbacks"]) > 0;
        is_counted && slow(stats, "sleep_50_ms").is_some()
    });
    let slow = slow(&stats, "sleep_50_ms").expect("it is listed");
    assert_eq!((&slow["base"], &slow["reason"]), (&1.into(), &"activation".into()));
    let took_ns = number(&slow["took_ns"]);
    assert!(took_ns >= 50_000_000, "{slow}");
    let of = function(&stats, "sleep_50_ms").expect("it is listed");
    assert_eq!((&of["calls"], &of["max_ns"]), (&1.into(), &slow["took_ns"]));
    assert_eq!(stats["bases"][0]["calls"]["activation"], 1);
    assert_eq!(stats["bases"][0]["calls"]["read"], 1, "{}", stats["bases"][0]);
    // On a busy machine, another callback may be slow, too.
    let count = number(&stats["bases"][0]["slow_callbacks"]);
    assert!((1..=2).contains(&count), "{stats}");
    let page = get(&program.socket, "/").expect("a page");
    assert!(page.contains(&format!("Callbacks of 40.0 ms or more: {count}\n")), "{page}");
    let metrics = get(&program.socket, "/metrics").expect("metrics");
    for line in [
        &*format!("evshard_base_slow_callbacks_total{{base=\"1\"}} {count}"),
        "evshard_base_callback_seconds_bucket{base=\"1\",le=\"+Inf\"} 2",
        "evshard_base_calls_total{base=\"1\",reason=\"activation\"} 1",
        "evshard_function_calls_total{function=\"sleep_50_ms\"} 1",
    ] {
        assert!(metrics.lines().any(|known| known == line), "no {line} in\n{metrics}");
    }
    let printed = program.end();
    let expected =
        format!("event_base_loop: sleep_50_ms took {} ms (activation", took_ns / 1_000_000);
    // One line a second is logged.
    assert!(count > 1 || printed.contains(&expected), "{printed}");
    assert!(printed.contains("\nlog: event_base_loop: "), "{printed}");
}

#[test]
fn slow_callbacks_are_logged_also_if_there_are_no_pages() {
    let Some(setup) = Setup::new() else { return };
    let mut command = Command::new(&setup.program);
    command.env("LD_LIBRARY_PATH", setup.library.folder()).env("EVSHARD_SLOW_CALLBACK_MS", "40");
    command.env_remove("EVSHARD_ADMIN").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"s").expect("the program reads commands");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let logged = output.find_map(|line| line.ok().filter(|line| line.starts_with("log: ")));
    assert!(logged.expect("a message").starts_with("log: event_base_loop: "));
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("tasks").count();
    assert_eq!(tasks, 1, "no thread serves pages");
    drop(input);
    assert!(child.wait().expect("its status").success());
}

#[test]
fn the_log_has_slow_callbacks_only_if_their_limit_was_set() {
    let Some(setup) = Setup::new() else { return };
    let mut program = setup.start("socket");
    program.send("h");
    program.stats_when(|stats| {
        let base = &stats["bases"][0];
        base["state"] == "calling" && number(&base["state_ns"]) > 100_000_000
    });
    program.send("x");
    program.stats_when(|stats| slow(stats, "hang_until_input").is_some());
    assert_eq!(program.end(), "ready\nend\n");
}

#[test]
fn the_page_of_a_program_that_hangs_names_the_function() {
    let Some(setup) = Setup::new() else { return };
    let mut program = setup.start("socket");
    program.send("h");
    let hangs = |stats: &Value| {
        let base = &stats["bases"][0];
        base["state"] == "calling" && base["running"]["function"] == "hang_until_input"
    };
    let first = program.stats_when(hangs);
    let first_ns = number(&first["bases"][0]["state_ns"]);
    let later =
        program.stats_when(|stats| number(&stats["bases"][0]["state_ns"]) > first_ns + 10_000_000);
    assert!(hangs(&later), "{later}");
    assert!(number(&later["bases"][0]["callback_ns"]) >= first_ns + 10_000_000, "{later}");
    let page = get(&program.socket, "/").expect("a page");
    assert!(page.contains("in hang_until_input for "), "{page}");
    let metrics = get(&program.socket, "/metrics").expect("metrics");
    let age = metrics.lines().find_map(|line| {
        line.strip_prefix("evshard_base_callback_age_seconds{base=\"1\"} ")?.parse::<f64>().ok()
    });
    assert!(age.expect("the metric") >= 0.01, "{metrics}");
    program.send("x");
    program.stats_when(|stats| stats["bases"][0]["state"] == "waiting");
    program.end();
}

#[test]
fn a_timer_that_a_callback_delays_is_late_by_that_time() {
    let Some(setup) = Setup::new() else { return };
    let mut program = setup.start_with("socket", &[("EVENT_PRECISE_TIMER", "1")]);
    program.send("t");
    let stats = program.stats_when(|stats| stats["bases"][0]["calls"]["timeout"] == 1);
    let late = &stats["bases"][0]["timer_lateness"];
    assert_eq!(late["count"], 1);
    // Due after 1 ms, while another callback runs for 50.
    assert!(number(&late["max_ns"]) >= 49_000_000, "{late}");
    program.end();
}

#[test]
fn each_base_has_its_thread_its_times_and_its_events() {
    let Some(setup) = Setup::new() else { return };
    let mut program = setup.start("socket");
    program.send("2");
    let stats = program.stats_when(|stats| stats["bases"][1]["state"] == "waiting");
    let bases = stats["bases"].as_array().expect("a list");
    assert_eq!((bases.len(), &bases[0]["base"], &bases[1]["base"]), (2, &1.into(), &2.into()));
    assert_eq!(bases[0]["thread"], program.child.id());
    let tasks = format!("/proc/{}/task/{}", program.child.id(), bases[1]["thread"]);
    assert!(Path::new(&tasks).exists() && bases[1]["thread"] != bases[0]["thread"]);
    assert_eq!(
        (&bases[0]["events"]["descriptors"], &bases[0]["events"]["added"]),
        (&1.into(), &1.into())
    );
    assert_eq!(bases[1]["events"]["added"], 0);
    program.stats_when(|later| {
        let (before, after) = (&stats["bases"][1]["waiting_ns"], &later["bases"][1]["waiting_ns"]);
        number(after) > number(before)
    });
}

#[test]
fn a_child_that_runs_a_loop_has_a_page_of_its_own() {
    let Some(setup) = Setup::new() else { return };
    let mut program = setup.start("socket.%p");
    assert_eq!(program.line(), "ready");
    program.send("s");
    program.stats_when(|stats| function(stats, "sleep_50_ms").is_some());
    program.send("f");
    let line = program.line();
    let pid = line.strip_prefix("child ").expect("its id");
    let of_child = setup.library.folder().join(format!("socket.{pid}"));
    let stats = stats_when(&of_child, |stats| stats["bases"][0]["state"] == "waiting");
    assert_eq!(stats["pid"].to_string(), pid);
    let base = &stats["bases"][0];
    assert_eq!(
        base["callbacks"], 1,
        "the one that forked, and none of the parent's before: {base}"
    );
    assert_eq!(base["thread"].to_string(), pid);
    let functions = stats["functions"].as_array().expect("a list");
    assert_eq!((functions.len(), &functions[0]["function"]), (1, &"on_command".into()));
    assert_eq!(stats["children_have_pages"], true);
    let parent = program.stats_when(|stats| stats["bases"][0]["state"] == "waiting");
    assert_eq!(parent["pid"], program.child.id());
    assert_eq!(program.end(), "end\n");
}

#[test]
fn a_child_of_a_process_whose_path_has_no_id_is_silent_and_its_parent_says_so() {
    let Some(setup) = Setup::new() else { return };
    let mut program = setup.start("socket");
    assert_eq!(program.line(), "ready");
    program.send("f");
    assert!(program.line().starts_with("child "));
    let page = get(&program.socket, "/").expect("the parent's page");
    assert!(page.contains("Children of this process have no pages"), "{page}");
    let stats = program.stats_when(|stats| stats["bases"][0]["state"] == "waiting");
    assert_eq!(stats["pid"], program.child.id());
    assert_eq!(program.end(), "end\n", "no message");
}

#[test]
fn a_program_that_replaces_itself_by_exec_has_a_page_again() {
    let Some(setup) = Setup::new() else { return };
    let mut program = setup.start("socket");
    assert_eq!(program.line(), "ready");
    program.stats_when(|stats| stats["bases"][0]["turns"] == 1);
    program.send("x");
    assert_eq!(program.line(), "ready");
    let stats = program.stats_when(|stats| stats["bases"][0]["state"] == "waiting");
    assert_eq!(
        (&stats["pid"], &stats["bases"][0]["callbacks"]),
        (&program.child.id().into(), &0.into())
    );
    assert_eq!(program.end(), "end\n", "the socket was closed, and no message says otherwise");
}

#[test]
fn the_socket_of_a_dead_process_is_replaced_and_that_of_a_living_one_is_not() {
    let Some(setup) = Setup::new() else { return };
    let mut first = setup.start("socket");
    first.stats_when(|_| true);
    assert_eq!(fs::metadata(&first.socket).expect("a socket").mode() & 0o777, 0o600);
    let mut second = setup.start("socket");
    let message = second.line();
    let path = first.socket.display();
    let expected = format!("log: EVSHARD_ADMIN: no pages on {path}: another process listens there");
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(second.end(), "ready\nend\n", "it goes on");
    first.child.kill().expect("it runs");
    first.child.wait().expect("its status");
    assert!(first.socket.exists());
    let third = setup.start("socket");
    third.stats_when(|stats| stats["pid"] == third.child.id());
    let socket = third.socket.clone();
    assert_eq!(third.end(), "ready\nend\n");
    assert!(!socket.exists(), "it is removed at exit");
}

#[test]
fn a_path_that_cannot_be_bound_is_a_warning_and_the_program_goes_on() {
    let Some(setup) = Setup::new() else { return };
    for (path, why) in [("no/folder", "bind: No such file"), (&*"a".repeat(200), "bind: ")] {
        let printed = setup.start(path).end();
        let (warning, others) = printed.split_once('\n').expect("lines");
        assert!(warning.starts_with("log: EVSHARD_ADMIN: no pages on "), "{warning}");
        assert!(warning.contains(why), "{warning}");
        assert_eq!(others, "ready\nend\n");
    }
    let wrong = setup.start_with("socket", &[("EVSHARD_ADMIN", "/run/socket")]).end();
    assert!(wrong.starts_with("log: EVSHARD_ADMIN=/run/socket: set unix:"), "{wrong}");
}

#[test]
fn strangers_neither_stop_the_pages_nor_the_program() {
    let Some(setup) = Setup::new() else { return };
    let mut program = setup.start("socket");
    program.stats_when(|_| true);
    for garbage in [&b"\0\xff\r\n\r\n"[..], &[b'a'; 20_000], b"PUT / HTTP/1.1\r\n\r\n"] {
        // The server may end the connection before it has all of it.
        let response = exchange(&program.socket, garbage);
        assert!(
            response.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.0 4")) || response.is_err()
        );
    }
    // Some send nothing, some only a part, some never read.
    let clients: Vec<UnixStream> = (0..60)
        .map(|number| {
            let mut client = UnixStream::connect(&program.socket).expect("a connection");
            let request = ["", "GET / HT", "GET / HTTP/1.0\r\n\r\n"][number % 3];
            client.write_all(request.as_bytes()).expect("the kernel takes it");
            client
        })
        .collect();
    // The oldest of them had to leave.
    get(&program.socket, "/").expect("a page");
    drop(clients);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for path in ["/", "/stats", "/metrics"].iter().cycle().take(60) {
                    get(&program.socket, path).expect("a page");
                }
            });
        }
    });
    assert!(get(&program.socket, "/none").is_err_and(|head| head.starts_with("HTTP/1.0 404")));
    program.send("s");
    program.stats_when(|stats| function(stats, "sleep_50_ms").is_some());
    assert_eq!(program.end(), "ready\nend\n");
}

#[test]
fn the_thread_blocks_signals_and_its_descriptors_are_closed_on_exec() {
    let Some(setup) = Setup::new() else { return };
    let mut program = setup.start("socket");
    assert_eq!(program.line(), "ready");
    program.stats_when(|_| true);
    let process = PathBuf::from(format!("/proc/{}", program.child.id()));
    let tasks = fs::read_dir(process.join("task")).expect("tasks").map(|task| task.unwrap().path());
    let thread = tasks
        .filter_map(|task| fs::read_to_string(task.join("status")).ok())
        .find(|status| status.contains("evshard-admin"))
        .expect("the thread");
    let blocked = thread.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).expect("a mask");
    // All but SIGKILL, SIGSTOP and the two that glibc uses itself.
    assert_eq!(u64::from_str_radix(blocked, 16), Ok(!(1 << 8 | 1 << 18 | 1 << 31 | 1 << 32)));
    let mut checked = 0;
    for fd in fs::read_dir(process.join("fd")).expect("descriptors").map(|fd| fd.unwrap()) {
        let target = fs::read_link(fd.path()).unwrap_or_default().display().to_string();
        // Others are what this test has inherited.
        if target.starts_with("socket:") || target.starts_with("anon_inode:") {
            let info = fs::read_to_string(process.join("fdinfo").join(fd.file_name()));
            let info = info.expect("a descriptor");
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t"));
            let flags = u32::from_str_radix(flags.expect("flags"), 8).expect("octal");
            assert!(flags & 0o2_000_000 != 0, "{target}: {info}");
            checked += 1;
        }
    }
    assert!(checked >= 5, "two bases with an eventfd, and a socket: {checked}");
    assert_eq!(program.end(), "end\n");
}

#[test]
fn without_the_variables_there_is_no_thread_and_no_socket() {
    let Some(setup) = Setup::new() else { return };
    let mut command = Command::new(&setup.program);
    command.env("LD_LIBRARY_PATH", setup.library.folder()).env_remove("EVSHARD_ADMIN");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    output.read_line(&mut line).expect("text");
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("tasks").count();
    drop(child.stdin.take());
    assert!(child.wait().expect("its status").success());
    assert_eq!((&*line, tasks), ("ready\n", 1));
}
