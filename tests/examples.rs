//! The examples, run as users run them: each prints what its documentation promises.
//!
//! `cargo test` builds them. Before `cargo test --test examples`, run `cargo build --examples`.

mod common;

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(feature = "bufferevent")]
use common::TEST_TIMEOUT;
use common::example::{Example, sources};

/// The milliseconds in the word at this index of a line.
fn ms(line: &str, place: usize) -> f64 {
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words.get(place + 1), Some(&"ms"), "{line:?}");
    words[place].parse().expect("a number")
}

#[test]
fn every_example_has_a_test() {
    for entry in fs::read_dir(sources()).expect("there are examples").flatten() {
        let path = entry.path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let starts_it = format!("::start(\"{name}\"");
        let tests = [
            include_str!("examples.rs"),
            include_str!("chat/sessions.rs"),
            include_str!("resp_store.rs"),
        ];
        assert!(tests.iter().any(|test| test.contains(&starts_it)), "no test runs {name}");
    }
}

#[test]
fn timer_ticks_as_often_as_asked_and_never_early() {
    let ticks = Example::start("timer", &["2"]).rest();
    assert_eq!(ticks.len(), 2, "{ticks:?}");
    assert!(ticks.iter().all(|tick| tick.starts_with("tick after ")), "{ticks:?}");
    // A tick after a late one may seem early; together they are not. Each is printed rounded.
    let elapsed_ms: f64 = ticks.iter().map(|tick| ms(tick, 2)).sum();
    assert!(elapsed_ms >= 999.8, "{ticks:?}");
}

#[test]
fn timer_prints_its_usage() {
    for wrong in ["0", "often"] {
        let words = Example::start("timer", &[wrong]).failure();
        assert!(words.contains("usage: timer [TICKS]"), "{words}");
    }
}

#[test]
fn signal_ends_after_the_third() {
    let example = Example::start("signal", &[]);
    assert_eq!(example.line(), "press Ctrl-C three times");
    for count in 1..=3 {
        example.signal("INT");
        assert_eq!(example.line(), format!("got signal 2, {count} of 3"));
    }
    assert!(example.rest().is_empty());
}

#[test]
fn embed_poll_does_both_things_in_turns() {
    let lines = Example::start("embed_poll", &[]).rest();
    let expected = (1..=3)
        .flat_map(|tick| ["the base ticks".to_owned(), format!("the loop received: tick {tick}")]);
    assert_eq!(lines, expected.collect::<Vec<_>>());
}

/// A path for one test, unique also among processes that run the same test.
struct OwnPath(PathBuf);

impl OwnPath {
    fn new(name: &str) -> Self {
        let name = format!("{name}.{}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("the path is UTF-8")
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn fifo_reader_prints_what_every_writer_writes_and_leaves_no_pipe() {
    let path = OwnPath::new("printed.fifo");
    let name = path.name();
    let example = Example::start("fifo_reader", &[name]);
    let instructions = "write to it from another shell, end with Ctrl-C";
    assert_eq!(example.line(), format!("reading {name}; {instructions}"));
    for words in ["hello", "again"] {
        assert!(fs::metadata(name).unwrap().file_type().is_fifo());
        fs::write(name, format!("{words}\n")).expect("write to the pipe");
        assert_eq!(example.line(), format!("6 bytes: \"{words}\\n\""));
    }
    example.signal("INT");
    assert_eq!(example.rest(), [format!("removed {name}")]);
    assert!(!path.0.exists());
}

#[test]
fn fifo_reader_uses_an_existing_pipe() {
    let path = OwnPath::new("there.fifo");
    assert!(Command::new("mkfifo").arg(&path.0).status().unwrap().success());
    let example = Example::start("fifo_reader", &[path.name()]);
    assert!(example.line().starts_with("reading "));
    example.signal("INT");
    assert_eq!(example.rest().len(), 1);
    assert!(!path.0.exists());
}

#[test]
fn fifo_reader_does_not_change_a_file_that_is_no_pipe() {
    let path = OwnPath::new("file.txt");
    fs::write(&path.0, "precious").unwrap();
    let words = Example::start("fifo_reader", &[path.name()]).failure();
    assert!(words.contains("is no named pipe; give another path"), "{words}");
    assert_eq!(fs::read_to_string(&path.0).unwrap(), "precious");
}

#[test]
fn cross_thread_post_waits_for_every_result() {
    let mut lines = Example::start("cross_thread_post", &[]).rest();
    assert_eq!(lines.pop().unwrap(), "4 results, 2643 primes in all");
    lines.sort(); // they come as the threads finish
    let below = ["1007 primes below 8000", "303 primes below 2000"];
    assert_eq!(lines[..2], below);
    assert_eq!(lines[2..], ["550 primes below 4000", "783 primes below 6000"]);
}

#[test]
fn watch_timing_separates_waiting_from_working() {
    let lines = Example::start("watch_timing", &[]).rest();
    let [title, waited, too_late, handlers] = &lines[..] else { panic!("{lines:?}") };
    assert!(title.ends_with(" turns, mean and longest:"), "{lines:?}");
    assert!(waited.starts_with("  waited ") && ms(waited, 1) > 0.0, "{lines:?}");
    assert!(too_late.starts_with("  too late "), "{lines:?}");
    // Each call of the load's handler takes 5 ms, and nearly every turn has one.
    assert!(handlers.starts_with("  handlers ") && ms(handlers, 3) >= 5.0, "{lines:?}");
}

#[test]
fn priorities_let_the_alarm_pass() {
    let lines = Example::start("priorities", &[]).rest();
    assert_eq!(lines, ["bulk 1", "bulk 2 raises an alarm", "alarm", "bulk 3"]);
}

#[test]
fn toggle_write_costs_nothing_with_the_deferred_changelist() {
    let immediate = Example::start("toggle_write", &["immediate"]).rest();
    assert_eq!(immediate, ["10000 turns, 20000 changes made in the kernel"]);
    let deferred = Example::start("toggle_write", &["deferred"]).rest();
    assert_eq!(deferred, ["10000 turns, 1 changes made in the kernel"]);
    let words = Example::start("toggle_write", &[]).failure();
    assert!(words.contains("usage: toggle_write immediate|deferred"), "{words}");
}

/// The examples on bufferevents.
#[cfg(feature = "bufferevent")]
mod buffered {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::{Example, OwnPath, TEST_TIMEOUT};

    /// Starts an example that listens; returns the address that it prints.
    fn start(name: &'static str, example: &Example) -> String {
        let line = example.line();
        let address =
            line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{name}: {line}"));
        address.split(' ').next().expect("an address").to_owned()
    }

    fn connect(address: &str) -> TcpStream {
        let client = TcpStream::connect(address).expect("connect");
        client.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        client
    }

    /// Sends everything before it reads anything; returns what came back.
    fn send_then_read(client: TcpStream, bytes: Vec<u8>) -> Vec<u8> {
        let mut writer = client.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            writer.write_all(&bytes).expect("send");
            writer.shutdown(Shutdown::Write).expect("end the stream");
        });
        let mut back = Vec::new();
        (&client).read_to_end(&mut back).expect("all comes back");
        writing.join().unwrap();
        back
    }

    #[test]
    fn buffered_echo_sends_everything_back_before_it_closes() {
        let example = Example::start("buffered_echo", &["127.0.0.1:0"]);
        let client = connect(&start("buffered_echo", &example));
        let name = client.local_addr().unwrap();
        assert_eq!(example.line(), format!("{name} connected"));
        let sent = vec![7; 5_000_000];
        assert!(send_then_read(client, sent.clone()) == sent, "the bytes differ");
        assert_eq!(example.line(), format!("{name} closed"));
    }

    #[test]
    fn chat_sends_each_line_to_all_others() {
        let example = Example::start("chat", &["127.0.0.1:0"]);
        let address = start("chat", &example);
        let mut first = connect(&address);
        assert_eq!(example.line(), "guest 1 joined, 1 here");
        let mut second = connect(&address);
        assert_eq!(example.line(), "guest 2 joined, 2 here");
        second.write_all(b"hello\nto all\n").unwrap();
        second.shutdown(Shutdown::Write).unwrap();
        assert_eq!(example.line(), "guest 2 left, 1 here");
        let expected =
            "you are guest 1\nguest 2 joined\nguest 2: hello\nguest 2: to all\nguest 2 left\n";
        let mut seen = vec![0; expected.len()];
        first.read_exact(&mut seen).expect("all lines");
        assert_eq!(String::from_utf8(seen).unwrap(), expected);
    }

    #[test]
    fn proxy_passes_both_directions_through_slow_sides() {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = target.local_addr().unwrap().port();
        let example = Example::start("proxy", &["127.0.0.1:0", &format!("127.0.0.1:{port}")]);
        let client = connect(&start("proxy", &example));
        let name = client.local_addr().unwrap();
        assert_eq!(example.line(), format!("{name} connected"));
        // The target reads nothing until the client has sent all that fits, and then echoes.
        let echoing = std::thread::spawn(move || {
            let (mut served, _) = target.accept().unwrap();
            let mut all = Vec::new();
            served.read_to_end(&mut all).expect("read to the end");
            served.write_all(&all).expect("send all back");
        });
        let sent: Vec<u8> = (0..3_000_000_u32).map(|i| (i / 7) as u8).collect();
        assert!(send_then_read(client, sent.clone()) == sent, "the bytes differ");
        echoing.join().unwrap();
        assert_eq!(example.line(), format!("{name} done"));
    }

    #[test]
    fn proxy_ends_its_client_if_nothing_listens_at_the_target() {
        let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let example = Example::start("proxy", &["127.0.0.1:0", &unused]);
        let mut client = connect(&start("proxy", &example));
        assert!(example.line().ends_with(" connected"));
        let failure = example.line();
        assert!(failure.contains(&unused) && failure.contains("refused"), "{failure}");
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn zlib_echo_answers_compressed() {
        let example = Example::start("zlib_echo", &["127.0.0.1:0"]);
        let client = connect(&start("zlib_echo", &example));
        let sent: Vec<u8> = (0..200_000_u32).map(|i| (i / 9) as u8).collect();
        let mut compressing = flate2::write::ZlibEncoder::new(
            client.try_clone().unwrap(),
            flate2::Compression::fast(),
        );
        compressing.write_all(&sent).unwrap();
        compressing.finish().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        // The server ends no zlib stream, so the decoder misses its end after all bytes.
        let _ = flate2::read::ZlibDecoder::new(client).read_to_end(&mut back);
        assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
        assert!(example.line().ends_with(" bytes"));
    }

    #[test]
    fn zlib_echo_names_the_fault_of_a_client_that_does_not_speak_zlib() {
        let example = Example::start("zlib_echo", &["127.0.0.1:0"]);
        let mut client = connect(&start("zlib_echo", &example));
        client.write_all(b"plain text").unwrap();
        let fault = example.line();
        assert!(fault.contains("deflate") || fault.contains("corrupt"), "{fault}");
    }

    #[test]
    fn download_sends_the_whole_file_at_its_rate() {
        let path = OwnPath::new("downloaded");
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i / 3) as u8).collect();
        std::fs::write(path.name(), &bytes).unwrap();
        let example = Example::start("download", &[path.name(), "200000", "127.0.0.1:0"]);
        let mut client = connect(&start("download", &example));
        let begin = std::time::Instant::now();
        let mut file = Vec::new();
        client.read_to_end(&mut file).expect("the server ends the connection");
        assert!(file == bytes, "the bytes differ");
        // The first second's bytes come at once, the others when its tick is over.
        assert!(begin.elapsed().as_millis() >= 500, "{:?}", begin.elapsed());
        assert!(example.line().ends_with("gets 300000 bytes"));
        assert!(example.line().ends_with("has them"));
    }
}

/// Examples that need the feature `server`.
#[cfg(feature = "server")]
mod of_the_server {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn echo_serves_one_client_while_another_is_silent() {
        let example = Example::start("echo", &["127.0.0.1:0"]);
        let line = example.line();
        let address = line.strip_prefix("listening on ").expect("it says where");
        let silent = TcpStream::connect(address).expect("connect");
        let silent_address = silent.local_addr().unwrap();
        assert_eq!(example.line(), format!("{silent_address} connected"));
        let mut client = TcpStream::connect(address).expect("connect");
        client.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        assert_eq!(example.line(), format!("{} connected", client.local_addr().unwrap()));
        for words in [b"hello", b"again"] {
            client.write_all(words).unwrap();
            let mut echo = [0; 5];
            client.read_exact(&mut echo).expect("the words come back");
            assert_eq!(&echo, words);
        }
        drop(silent);
        assert_eq!(example.line(), format!("{silent_address} closed"));
    }

    #[test]
    fn echo_names_the_address_that_it_cannot_listen_on() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let words = Example::start("echo", &[&address]).failure();
        assert!(words.contains(&address), "{words}");
    }

    #[test]
    fn line_protocol_answers_line_by_line_and_says_good_bye() {
        let mut example = Example::start("line_protocol", &["127.0.0.1:0"]);
        let line = example.line();
        let address = line.strip_prefix("listening on ").expect("it says where");
        let mut client = TcpStream::connect(address).expect("connect");
        client.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        for piece in [&b"set colour gr"[..], b"een\r\nget col", b"our\nget shape\nwhat?\nquit\n"] {
            client.write_all(piece).unwrap();
        }
        let mut answers = String::new();
        client.read_to_string(&mut answers).expect("the server ends the connection");
        let answers: Vec<&str> = answers.lines().collect();
        assert_eq!(answers[..3], ["ok", "green", "none"]);
        assert!(answers[3].starts_with("error: write"), "{answers:?}");
        assert_eq!(answers[4], "bye after 5 requests");

        let mut other = TcpStream::connect(address).expect("connect");
        other.write_all(b"get colour\n").unwrap();
        let mut answer = [0; 6];
        other.read_exact(&mut answer).expect("the store outlives connections");
        assert_eq!(&answer, b"green\n");
        example.signal("INT");
        let mut words = String::new();
        other.read_to_string(&mut words).expect("an orderly end");
        assert_eq!(words, "the server drains\n");
        let (status, errors) = example.end();
        assert!(status.success(), "{errors}");
    }

    #[test]
    fn balancer_passes_bytes_both_ways() {
        let backend = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = backend.local_addr().unwrap().to_string();
        let every = ["--check-every", "3600000", "127.0.0.1:0", &address];
        let mut example = Example::start("balancer", &every);
        let line = example.line();
        let (check, _) = backend.accept().unwrap();
        assert_eq!(common::read_to_end(check), Ok(Vec::new()));
        let listening = line.strip_prefix("listening on ").expect("it says where");
        let mut client = TcpStream::connect(listening).expect("connect");
        let (mut server, _) = backend.accept().unwrap();
        for (from, to) in [(true, b"question"), (false, b"answer..")] {
            let (from, to_read) =
                if from { (&mut client, &mut server) } else { (&mut server, &mut client) };
            from.write_all(to).unwrap();
            let mut read = [0; 8];
            to_read.read_exact(&mut read).unwrap();
            assert_eq!(&read, to);
        }
        drop((client, server));
        example.signal("INT");
        let (status, errors) = example.end();
        assert!(status.success(), "{errors}");
    }

    /// A client of `thread_pool`.
    fn pool_client(example: &Example) -> TcpStream {
        let line = example.line();
        let address = line.strip_prefix("listening on ").expect("it says where");
        let client = TcpStream::connect(address).expect("connect");
        client.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        client
    }

    #[test]
    fn thread_pool_answers_in_any_order_and_all_after_the_client_has_ended_its_stream() {
        let example = Example::start("thread_pool", &["--threads", "2", "127.0.0.1:0"]);
        let mut client = pool_client(&example);
        client.write_all(b"sleep 300\nprimes 10000\nwhat?\nsleep 99999\n").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).expect("an orderly end");
        let mut lines: Vec<&str> = answers.lines().collect();
        assert_eq!(lines.last(), Some(&"1 slept 300 ms"), "{answers}");
        lines.sort_unstable();
        assert_eq!(lines[1], "2 1229 primes below 10000");
        assert!(lines[2].starts_with("3 error: write `sleep MILLISECONDS`"), "{answers}");
        assert_eq!(lines[3], "4 error: sleep at most 10000 ms");
    }

    #[test]
    fn thread_pool_answers_busy_when_its_queue_is_full() {
        let pool = ["--threads", "1", "--queue", "1", "127.0.0.1:0"];
        let example = Example::start("thread_pool", &pool);
        let mut client = pool_client(&example);
        client.write_all(b"sleep 300\nsleep 300\nsleep 300\nsleep 300\n").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).expect("an orderly end");
        let (busy, slept): (Vec<&str>, Vec<&str>) =
            answers.lines().partition(|line| line.ends_with(" busy"));
        // One sleeps, and one waits in the queue if the first was taken soon enough.
        assert!(busy.len() >= 2 && !slept.is_empty(), "{answers}");
        assert_eq!(busy.len() + slept.len(), 4, "{answers}");
    }

    #[test]
    fn thread_pool_answers_what_it_has_before_the_drain_ends() {
        let mut example = Example::start("thread_pool", &["127.0.0.1:0"]);
        let mut client = BufReader::new(pool_client(&example));
        client.get_mut().write_all(b"sleep 500\nwhat?\n").unwrap();
        let mut answers = String::new();
        client.read_line(&mut answers).expect("the second request is answered first");
        example.signal("INT");
        client.read_to_string(&mut answers).expect("an orderly end");
        assert!(answers.starts_with("2 error: ") && answers.ends_with("\n1 slept 500 ms\n"));
        let (status, errors) = example.end();
        assert!(status.success(), "{errors}");
    }

    #[test]
    fn thread_pool_names_what_is_wrong_on_its_command_line() {
        for (arguments, what) in [
            (
                &["--threads", "none"][..],
                "--threads none: give a number from 1; usage: thread_pool",
            ),
            (&["--fast"], "there is no flag --fast; usage: thread_pool"),
            (&["127.0.0.1:0", "127.0.0.1:0"], "usage: thread_pool"),
            (&["here"], "here: "),
        ] {
            let words = Example::start("thread_pool", arguments).failure();
            assert!(words.contains(what), "{arguments:?}: {words}");
        }
    }
}

/// The example of TLS.
#[cfg(feature = "tls")]
mod tls {
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    use super::{Example, OwnPath};

    /// A certificate for localhost and its key, in two files.
    fn files() -> (OwnPath, OwnPath) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (OwnPath::new("tls_echo.pem"), OwnPath::new("tls_echo.key"));
        fs::write(&certificate.0, made.cert.pem()).unwrap();
        fs::write(&key.0, made.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    #[test]
    fn tls_echo_serves_openssl_and_reports_a_client_without_tls() {
        let Some(openssl) = test_needs::program("openssl") else { return };
        let (certificate, key) = files();
        let example = Example::start("tls_echo", &[certificate.name(), key.name(), "127.0.0.1:0"]);
        let line = example.line();
        let address = line.strip_prefix("listening on ").expect("an address");
        let mut client = Command::new(openssl)
            .args(["s_client", "-quiet", "-verify_return_error", "-connect", address, "-CAfile"])
            .args([certificate.name(), "-verify_hostname", "localhost"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        client.stdin.as_mut().unwrap().write_all(b"over TLS\n").unwrap();
        let mut back = String::new();
        BufReader::new(client.stdout.take().unwrap()).read_line(&mut back).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
        assert_eq!(back, "over TLS\n");
        let connected = example.line();
        assert!(connected.contains(" connected: TLS 1.3, TLS_"), "{connected}");
        let killed = example.line();
        assert!(killed.contains("truncated"), "{killed}");

        let mut plain = std::net::TcpStream::connect(address).unwrap();
        plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let refused = example.line();
        assert!(refused.contains("TLS handshake: "), "{refused}");
    }

    #[test]
    fn tls_echo_names_a_file_that_it_cannot_use_and_its_usage() {
        let words = Example::start("tls_echo", &["/nowhere.pem", "/nowhere.key"]).failure();
        assert!(words.contains("/nowhere.pem"), "{words}");
        let words = Example::start("tls_echo", &[]).failure();
        assert!(words.contains("usage: tls_echo CERTIFICATES KEY [ADDRESS]"), "{words}");
    }
}
