//! Commands that Redis has executed once, as its own monitor shows them, are executed again.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::real_servers::{RealServer, number};
use crate::program::*;

/// `redis-cli MONITOR` on a server, which prints into a file.
struct Monitor {
    child: Child,
    file: String,
}

impl Monitor {
    fn start(server: &RealServer, name: &str) -> Option<Self> {
        let file = server.path(name);
        let mut command = Command::new(test_needs::program("redis-cli")?);
        command.args(["-s", &server.path("socket"), "MONITOR"]);
        command.stdin(Stdio::null()).stdout(File::create(&file).unwrap()).stderr(Stdio::null());
        let monitor = Self { child: command.spawn().unwrap(), file };
        until(|| monitor.text().starts_with("OK\n"));
        Some(monitor)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command in RESP.
fn resp(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend([word, &b"\r\n"[..]].concat());
    }
    bytes
}

/// Has the server execute these commands on one connection, and then the one that ends the list.
fn execute(server: &RealServer, commands: &[&[&[u8]]]) {
    let mut stream = server.connect().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut bytes: Vec<u8> = commands.iter().flat_map(|words| resp(words)).collect();
    bytes.extend(resp(&[b"ECHO", b"the end"]));
    stream.write_all(&bytes).unwrap();
    let (mut replies, mut buffer) = (Vec::new(), [0; 4096]);
    while !replies.ends_with(b"$7\r\nthe end\r\n") {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{}", replies.escape_ascii());
        replies.extend_from_slice(&buffer[..count]);
    }
}

fn ask(server: &RealServer, words: &[&str]) -> String {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    server.ask(std::str::from_utf8(&resp(&words)).unwrap(), "\r\n")
}

/// The commands of a file that was imported.
fn commands_of(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["command"].clone();
    text.lines().map(line).collect()
}

#[test]
fn a_monitored_session_leaves_the_same_data_when_it_is_replayed() {
    let Some(server) = RealServer::redis(&["--enable-debug-command", "local"]) else { return };
    let Some(monitor) = Monitor::start(&server, "monitor") else { return };
    let long = b"a \"long\" value\\ ".repeat(10_000);
    let every_byte: Vec<u8> = (0..=255).collect();
    let script = b"return redis.call('INCR', KEYS[1])";
    execute(
        &server,
        &[
            &[b"SET", b"a key", b"va\x00lue"],
            &[b"set", b"__key__", b"{key} __data__"],
            &[b"SET", b"\"quoted\" '\\x41'", &every_byte],
            &[b"APPEND", b"a key", b"\xff\xfe \xc3\xa9"],
            &[b"SET", b"long", &long],
            &[b"LPUSH", b"list", b"", b" ", b"\r\n", b"\x07\x08\t"],
            &[b"LPUSH", b"list", b"again"],
            &[b"HSET", b"hash", &every_byte, b"1"],
            &[b"INCR", b"n"],
            &[b"INCR", b"a key"],
            &[b"EVAL", script, b"1", b"n"],
            &[b"MULTI"],
            &[b"INCRBY", b"n", b"40"],
            &[b"EXEC"],
            &[b"GET", b"a key"],
            &[b"GET", b"none"],
            &[b"SELECT", b"1"],
            &[b"SET", b"elsewhere", b"1"],
            &[b"SELECT", b"0"],
        ],
    );
    let digest = ask(&server, &["DEBUG", "DIGEST"]);
    until(|| monitor.text().ends_with("\"the end\"\n"));
    let file = server.path("commands.jsonl");
    let imported = loadgen(&["import", "redis-monitor", &monitor.file, "-o", &file]);
    drop(monitor);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert!(imported.stderr.contains("loadgen: 15 commands within "), "{}", imported.stderr);
    for said in [
        "commands of scripts, which EVAL, EVALSHA and FCALL execute again: 1",
        "sent one by one: 2",
        "commands on other databases (--select-db): 1",
        "RESET, QUIT: 2",
    ] {
        assert!(imported.stderr.contains(said), "{said}: {}", imported.stderr);
    }

    assert_eq!(ask(&server, &["FLUSHALL"]), "+OK\r\n");
    assert_ne!(ask(&server, &["DEBUG", "DIGEST"]), digest);
    assert_eq!(ask(&server, &["CONFIG", "RESETSTAT"]), "+OK\r\n");
    let target = format!("unix:{}", server.path("socket"));
    let flags = "--protocol resp2 --order timed --speed 1000 -c 1 --json -";
    let words = ["run", &target, "--commands", &file].into_iter();
    let finished = loadgen(&words.chain(flags.split(' ')).collect::<Vec<_>>());
    // One command was refused the first time, too.
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    let replies = record["key_value"]["commands"].as_object().unwrap();
    assert_eq!(replies.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 15);
    for (name, count) in replies {
        // The script calls one more.
        let of_script = u64::from(name == "incr");
        assert_eq!(count.as_u64().unwrap() + of_script, server.calls(name), "{name}");
    }
    assert_eq!((number(&record, "/key_value/hits"), number(&record, "/key_value/misses")), (1, 1));
    let errors = &record["key_value"]["errors"];
    assert_eq!((&errors[0]["kind"], &errors[0]["count"]), (&"ERR".into(), &1.into()), "{errors}");
    let said = "-ERR value is not an integer or out of range";
    assert_eq!(errors[0]["words"], said);
    assert_eq!(record["args"]["key_value"]["order"], "timed");

    // What was left out is all that is missing.
    execute(&server, &[&[b"SELECT", b"1"], &[b"SET", b"elsewhere", b"1"]]);
    assert_eq!(ask(&server, &["DEBUG", "DIGEST"]), digest);
}

#[test]
fn commands_in_sequence_are_executed_in_the_order_of_their_file_again_and_again() {
    let Some(server) = RealServer::redis(&[]) else { return };
    let file = server.path("commands.jsonl");
    let line = |number: usize| match number % 3 {
        0 => format!("{{\"command\":[\"SET\",\"{number}\",{{\"base64\":\"/wA=\"}}]}}\n"),
        1 => format!("{{\"command\":[\"GET\",\"{}\"]}}\n", number - 1),
        _ => "{\"command\":[\"INCR\",\"n\"]}\n".to_owned(),
    };
    fs::write(&file, (0..31).map(line).collect::<String>()).unwrap();
    let Some(monitor) = Monitor::start(&server, "monitor") else { return };
    let flags = format!("--protocol resp2 --commands {file} --order sequential -c 1 -t 1");
    let finished = server.load(&flags);
    expect_no_errors(&finished);
    let replies = count(&finished.json(), "completed") as usize;
    assert!(replies > 31, "{replies}");
    until(|| monitor.text().lines().count() == replies + 1);
    let again = server.path("again.jsonl");
    let imported = loadgen(&["import", "redis-monitor", &monitor.file, "-o", &again]);
    assert_eq!((imported.code, imported.stderr.lines().count()), (Some(0), 1), "{imported:?}");
    let (asked, executed) = (commands_of(&file), commands_of(&again));
    assert_eq!(executed.len(), replies);
    assert!(executed.iter().eq(asked.iter().cycle().take(replies)), "another order");
}

#[test]
fn a_monitor_that_cannot_be_imported_is_named_with_the_remedy() {
    let folder = test_needs::folder();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let log = file("log", "127.0.0.1 - - [29/Nov/2026:21:10:11 +0000] \"GET / HTTP/1.1\" 200 5\n");
    let monitor = file("monitor", "1700000000.5 [0 1.2.3.4:5] \"GET\" \"a\"\n");
    for (code, words, said) in [
        (1, format!("import redis-monitor {log}"), "no command was found; is it what redis-cli"),
        (1, format!("import redis-monitor {monitor} --select-db 3"), "other databases"),
        (64, format!("import redis-monitor {monitor} --port 80"), "--port is for packets"),
        (64, format!("import nginx-log {log} --select-db 3"), "--select-db is for commands"),
        (64, format!("import nginx-log {log} --first 0"), "--first"),
    ] {
        let finished = loadgen(&words.split(' ').collect::<Vec<_>>());
        expect_one_line(&finished, code, said);
    }
}
