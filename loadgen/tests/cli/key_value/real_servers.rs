//! Counts agree with those of Redis and memcached themselves, where they are installed.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::*;

/// A server that listens on a unix socket in a folder of its own, and is stopped with the test.
pub(super) struct RealServer {
    child: Child,
    folder: TempDir,
}

impl RealServer {
    fn start(program: &'static str, arguments: &[&str]) -> Option<Self> {
        let folder = test_needs::folder();
        let mut command = Command::new(test_needs::program(program)?);
        command.args(arguments).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { child: command.spawn().unwrap(), folder };
        until(|| server.connect().is_ok());
        Some(server)
    }

    pub(super) fn redis(more: &[&str]) -> Option<Self> {
        let mut arguments = vec!["--port", "0", "--unixsocket", "socket", "--save", ""];
        arguments.extend_from_slice(more);
        Self::start("redis-server", &arguments)
    }

    fn memcached(more: &[&str]) -> Option<Self> {
        let mut arguments = vec!["-s", "socket", "-u", "root"];
        arguments.extend_from_slice(more);
        Self::start("memcached", &arguments)
    }

    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.folder.path().join("socket"))
    }

    /// Sends these bytes on a new connection; returns what came back up to `end`.
    pub(super) fn ask(&self, request: &str, end: &str) -> String {
        let mut stream = self.connect().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        while !text.ends_with(end) {
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "{text}");
            text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        text
    }

    /// A file in its folder.
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A short load with these flags: how it ended.
    pub(super) fn load(&self, flags: &str) -> Finished {
        let target = format!("unix:{}", self.path("socket"));
        let short = "--duration 300ms --warmup 50ms -c 8 -t 2 --json -";
        let words = ["run", &target].into_iter().chain(short.split(' '));
        loadgen(&words.chain(flags.split_whitespace()).collect::<Vec<_>>())
    }

    /// How often Redis has executed a command.
    pub(super) fn calls(&self, command: &str) -> u64 {
        // The reply ends with a line end behind the last line of the block.
        let stats = self.ask("*2\r\n$4\r\nINFO\r\n$12\r\ncommandstats\r\n", "\r\n\r\n");
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
        let calls = line.and_then(|line| line.split_once("calls=")?.1.split(',').next());
        calls.map_or(0, |calls| calls.parse().unwrap())
    }

    /// A number of memcached's `stats`.
    fn stat(&self, name: &str) -> u64 {
        let stats = self.ask("stats\r\n", "END\r\n");
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
        line.unwrap_or_else(|| panic!("{name}: {stats}")).parse().unwrap()
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The record of a load that went well.
#[track_caller]
pub(super) fn good_record(finished: &Finished) -> Value {
    expect_no_errors(finished);
    let record = finished.json();
    expect_conserved(&record);
    record
}

pub(super) fn number(record: &Value, pointer: &str) -> u64 {
    let value = record.pointer(pointer).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("{pointer}: {record}"))
}

#[test]
fn redis_has_executed_as_many_commands_as_the_record_says() {
    let Some(server) = RealServer::redis(&[]) else { return };
    let flags = "--protocol resp2 --mix get:6,set:3,delete:1 --keys 500 --key-dist zipf:0.99 \
                 --size 16..2000 --pipeline 16";
    let record = good_record(&server.load(flags));
    for (name, command) in [("get", "get"), ("set", "set"), ("delete", "del")] {
        let replies = number(&record, &format!("/key_value/commands/{name}"));
        assert!(replies > 0, "{name}");
        assert_eq!(replies, server.calls(command), "{name}");
    }
    let stats = server.ask("*2\r\n$4\r\nINFO\r\n$5\r\nstats\r\n", "\r\n\r\n");
    for (name, stat) in [("hits", "keyspace_hits:"), ("misses", "keyspace_misses:")] {
        let counted = stats.lines().find_map(|line| line.strip_prefix(stat)).unwrap();
        assert_eq!(number(&record, &format!("/key_value/{name}")).to_string(), counted, "{name}");
    }
    assert_eq!(record["key_value"]["hits"], record["key_value"]["verified_hits"]);
}

#[test]
fn memcached_has_executed_as_many_commands_as_the_record_says() {
    for protocol in ["memcached-text", "memcached-meta"] {
        let Some(server) = RealServer::memcached(&["-t", "2"]) else { return };
        let flags = format!(
            "--protocol {protocol} --mix get:6,set:3,delete:1 --keys 500 --size 16..2000 \
             --pipeline 16"
        );
        let record = good_record(&server.load(&flags));
        let replies = |name: &str| number(&record, &format!("/key_value/{name}"));
        assert_eq!(replies("commands/get"), server.stat("cmd_get"), "{protocol}");
        assert_eq!(replies("commands/set"), server.stat("cmd_set"), "{protocol}");
        assert_eq!(replies("hits"), server.stat("get_hits"), "{protocol}");
        assert_eq!(replies("misses"), server.stat("get_misses"), "{protocol}");
        let deletes = server.stat("delete_hits") + server.stat("delete_misses");
        assert_eq!(replies("commands/delete"), deletes, "{protocol}");
        assert_eq!(replies("hits"), replies("verified_hits"), "{protocol}");
    }
}

#[test]
fn a_memcached_that_evicts_has_misses_of_written_keys_and_no_errors() {
    let Some(server) = RealServer::memcached(&["-m", "4", "-t", "1"]) else { return };
    let flags = "--protocol memcached-text --mix get:1,set:1 --keys 20k --size 4KiB --pipeline 8 \
                 --duration 1s";
    let finished = server.load(flags);
    let record = good_record(&finished);
    assert!(number(&record, "/key_value/misses_of_written") > 0, "{}", record["key_value"]);
    assert!(finished.stderr.contains("of keys that this run had written"), "{}", finished.stderr);
}

#[test]
fn after_a_preload_every_read_finds_its_value_and_is_verified() {
    let Some(redis) = RealServer::redis(&[]) else { return };
    let Some(memcached) = RealServer::memcached(&["-t", "2"]) else { return };
    for (server, protocol) in
        [(&redis, "resp2"), (&memcached, "memcached-text"), (&memcached, "memcached-meta")]
    {
        let flags = format!("--protocol {protocol} --preload --keys 3k --size 16..3000");
        let finished = server.load(&flags);
        let record = good_record(&finished);
        assert_eq!(number(&record, "/key_value/preloaded"), 3_000);
        assert_eq!(number(&record, "/key_value/misses"), 0, "{protocol}");
        let verified = number(&record, "/key_value/verified_hits");
        assert_eq!(verified, number(&record, "/key_value/commands/get"), "{protocol}");
        assert!(finished.stderr.contains("3,000 keys written before the load"), "{finished:?}");
    }
    let text = redis.ask("*1\r\n$6\r\nDBSIZE\r\n", "\r\n");
    assert_eq!(text, ":3000\r\n");
}

#[test]
fn a_preload_that_the_server_refuses_ends_the_run_with_its_words() {
    let memory = ["--maxmemory", "1mb", "--maxmemory-policy", "noeviction"];
    let Some(server) = RealServer::redis(&memory) else { return };
    let finished = server.load("--protocol resp2 --preload --keys 100k --size 1KiB");
    expect_one_line(&finished, 1, "the server said '-OOM command not allowed");
    assert!(finished.stderr.contains("preload unix:"), "{finished:?}");
}

#[test]
fn a_connection_logs_in_speaks_resp3_and_uses_its_database() {
    let Some(server) = RealServer::redis(&["--requirepass", "secret"]) else { return };
    let flags = "--protocol resp3 --select-db 3 --keys 100 --preload --churn 50";
    let record = good_record(&server.load(&format!("{flags} --authenticate secret")));
    assert!(number(&record, "/counters/connects") > 8, "{record}");
    assert!(!record.to_string().contains("secret"));
    let auth = "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n";
    let select = "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n";
    let size = server.ask(&format!("{auth}{select}*1\r\n$6\r\nDBSIZE\r\n"), ":100\r\n");
    assert_eq!(size, "+OK\r\n+OK\r\n:100\r\n");
    for (credentials, said) in [
        ("--authenticate wrong", "log in: the server said '-WRONGPASS invalid username-password"),
        ("--authenticate x:secret", "are user and password of --authenticate right?"),
        ("", "HELLO 3: the server said '-NOAUTH"),
        ("--authenticate secret --select-db 99", "SELECT: the server said '-ERR DB index"),
    ] {
        for preload in ["--preload", ""] {
            let words = format!("--protocol resp3 --keys 100 {preload} {credentials}");
            let finished = server.load(&words);
            expect_one_line(&finished, 1, said);
        }
    }
    // The protocols without keys log in, too.
    let record = good_record(&server.load("--protocol resp-ping --authenticate secret"));
    assert!(number(&record, "/counters/completed") > 0);
}

#[test]
fn a_memcached_with_users_wants_the_right_password() {
    let folder = test_needs::folder();
    let users = folder.path().join("users");
    std::fs::write(&users, "me:secret\n").unwrap();
    let users = users.display().to_string();
    let Some(server) = RealServer::memcached(&["-Y", &users]) else { return };
    for protocol in ["memcached-text", "memcached"] {
        let flags = format!("--protocol {protocol} --size 32");
        good_record(&server.load(&format!("{flags} --authenticate me:secret")));
        let finished = server.load(&format!("{flags} --authenticate me:wrong"));
        expect_one_line(&finished, 1, "the server said 'CLIENT_ERROR authentication failure'");
    }
}

#[test]
fn redis_executes_the_commands_of_a_file_as_often_as_their_weights_say() {
    let Some(server) = RealServer::redis(&[]) else { return };
    let folder = test_needs::folder();
    let file = folder.path().join("commands.txt");
    let commands = "6 HSET h:__key__ name 'a __data__ b'\n3 HGETALL h:__key__\n\
                    2 INCR n\n1 GET h:__key__\nPING\n";
    std::fs::write(&file, commands).unwrap();
    let path = file.display();
    // GET of a key that is no hash yet would be no error.
    for key in 0..5 {
        let hset = "*4\r\n$4\r\nHSET\r\n$16\r\n";
        server.ask(&format!("{hset}h:lg:{key:011}\r\n$1\r\na\r\n$1\r\nb\r\n"), "\r\n");
    }
    for protocol in ["resp2", "resp3"] {
        let before = ["hset", "hgetall", "incr", "ping"].map(|name| server.calls(name));
        let finished = server.load(&format!(
            "--protocol {protocol} --commands {path} --keys 5 --size 16..300 --pipeline 8"
        ));
        let record = finished.json();
        expect_conserved(&record);
        for (name, before) in ["hset", "hgetall", "incr", "ping"].into_iter().zip(before) {
            let replies = number(&record, &format!("/key_value/commands/{name}"));
            assert_eq!(replies, server.calls(name) - before, "{protocol} {name}");
        }
        let share = |name: &str| number(&record, &format!("/key_value/commands/{name}")) as f64;
        let all = number(&record, "/counters/completed") as f64 + share("get");
        assert!((share("hset") / all - 6.0 / 13.0).abs() < 0.05, "{record}");
        // GET of a hash.
        let errors = record["key_value"]["errors"].as_array().unwrap();
        assert_eq!((errors.len(), &errors[0]["kind"]), (1, &"WRONGTYPE".into()));
        assert_eq!(errors[0]["count"], record["key_value"]["commands"]["get"]);
        let said = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        assert_eq!(errors[0]["words"], said);
        assert_eq!(finished.code, Some(1));
    }
    let value = server.ask("*2\r\n$5\r\nHVALS\r\n$16\r\nh:lg:00000000000\r\n", "\r\n");
    assert!(value.starts_with('*'), "{value}");
}

#[test]
fn memcached_executes_the_commands_of_a_file() {
    let Some(server) = RealServer::memcached(&[]) else { return };
    let folder = test_needs::folder();
    let file = folder.path().join("commands.txt");
    let commands = "4 set __key__ 0 60 __data__\n4 gets __key__ other\n1 stats\n\
                    2 ms __key__ __data__\n2 mg __key__ v t\n1 mn\n1 touch __key__ 30\n";
    std::fs::write(&file, commands).unwrap();
    let flags = format!("--protocol memcached-text --commands {} --keys 5", file.display());
    let record = good_record(&server.load(&format!("{flags} --pipeline 8")));
    let replies = |name: &str| number(&record, &format!("/key_value/commands/{name}"));
    assert_eq!(replies("set") + replies("ms"), server.stat("cmd_set"));
    assert_eq!(replies("touch"), server.stat("cmd_touch"));
    assert_eq!(record["args"]["verify"], "none");
}

#[test]
fn what_cannot_be_done_is_refused_with_the_remedy() {
    let folder = test_needs::folder();
    let file = folder.path().join("commands.txt");
    std::fs::write(&file, "GET __key__\nSUBSCRIBE a\n").unwrap();
    let path = file.display();
    for (flags, said) in [
        ("--mix get:1", "--mix has no effect on raw; use --protocol resp2"),
        ("--protocol resp2 --size 15", "--size must be at least 16 with resp2"),
        ("--protocol resp2 --verify length", "write full or none"),
        (
            "--protocol line --authenticate x",
            "--authenticate (LOADGEN_AUTHENTICATE) has no effect on line",
        ),
        ("--protocol memcached-text --select-db 1", "--select-db has no effect on memcached-text"),
        (&format!("--protocol resp2 --commands {path}"), "'SUBSCRIBE a': it has not one reply"),
        ("--protocol resp2 --commands /no/such", "name a file of commands"),
        ("--protocol resp2 --mix get --commands /no", "/no"),
    ] {
        let words = ["run", "127.0.0.1:1"].into_iter().chain(flags.split(' '));
        let finished = loadgen(&words.collect::<Vec<_>>());
        expect_one_line(&finished, 64, said);
    }
}
