//! The admin's page in a browser, with a real server and with statistics that are made up.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use common::ServerProcess;
use serde_json::{Value, json};

/// The document as the browser has it after some seconds of its own clock, which runs ahead while
/// the browser has nothing to do. `None` if there is no browser.
fn document(address: &str) -> Option<String> {
    let browser = test_needs::program("chromium")?;
    let profile = test_needs::folder();
    let mut command = Command::new(browser);
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).arg("--dump-dom");
    let output = command.arg(format!("http://{address}/")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A server with an admin, and the admin's address.
fn server(flags: &[&str]) -> (ServerProcess, String) {
    let mut server = ServerProcess::start(&[&["--admin", "127.0.0.1:0"], flags].concat());
    let line = server.next_line();
    let address = line.strip_prefix("admin on ").unwrap().to_owned();
    (server, address)
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Serves the page of a real server, and these statistics, one after the other; the last again and
/// again. Without statistics it closes the connection.
fn fake_admin(statistics: Vec<Value>) -> SocketAddr {
    let (_server, address) = server(&[]);
    let page = get(&address, "/");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut statistics = statistics.into_iter().peekable();
        let mut last = None;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            lines.find(String::is_empty);
            if first.starts_with("GET / ") {
                let _ = stream.write_all(page.as_bytes());
                continue;
            }
            assert_eq!(first, "GET /stats?histograms HTTP/1.1");
            last = statistics.next().or(last);
            if let Some(statistics) = &last {
                let body = statistics.to_string();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}", body.len());
                let _ = write!(stream, "{head}\r\nConnection: close\r\n\r\n{body}");
            }
        }
    });
    address
}

/// Statistics of one shard after so many seconds and reads.
fn statistics(uptime_s: u32, reads: u32, lag: Value) -> Value {
    json!({
        "version": "1.2.3", "uptime_s": uptime_s, "draining": false, "failed": null,
        "listeners": ["unix:<b>a</b>"],
        "shards": [{
            "shard": 0, "core": 3, "answered": true, "open": 12, "queued": 0, "busy_share": 0.25,
            "connections": 40, "reads": reads, "bytes_in": 0, "bytes_out": 0, "wakes_sent": 0,
            "errors": { "idle": 3, "broken": 0 }
        }],
        "acceptors": [{ "accepted": 40, "paused": null }],
        "process": {
            "pid": 42, "cpu_ns": uptime_s * 500_000_000, "open_fds": 9, "max_fds": 100,
            "resident_bytes": 2_097_152
        },
        "histograms": [{
            "loop_lag_ns": lag, "callback_ns": [], "handoff_ns": [], "handshake_ns": []
        }]
    })
}

#[test]
fn the_page_shows_how_many_connections_are_open() {
    let (server, address) = server(&["--workers", "2"]);
    let open: Vec<TcpStream> = (0..7).map(|_| server.connect()).collect();
    common::eventually("all are open", || get(&address, "/stats").contains(r#""accepted":7"#));
    let Some(document) = document(&address) else { return };
    assert!(document.contains("<title>7 open – evshard</title>"), "{document}");
    assert!(document.contains(r#"<p id="state" class="good">accepts connections</p>"#));
    assert!(document.contains(&server.address.to_string()), "{document}");
    let rows = document.split("<tbody id=\"shards\">").nth(1).unwrap();
    assert_eq!(rows.split("</tbody>").next().unwrap().matches("<tr>").count(), 2);
    drop(open);
}

#[test]
fn rates_and_percentiles_are_those_between_two_answers() {
    let before = statistics(5, 10, json!([[1_000, 500]]));
    let now = statistics(7, 4_010, json!([[1_000, 500], [20_000, 99], [3_000_000, 1]]));
    let address = fake_admin(vec![before, now]);
    let Some(document) = document(&address.to_string()) else { return };
    assert!(document.contains("<td>2.00k</td>"), "reads per second: {document}");
    let lag = "100 times, p50&nbsp;20.0&nbsp;µs, p99&nbsp;20.0&nbsp;µs, max&nbsp;3.00&nbsp;ms";
    assert!(document.contains(lag), "{document}");
    for fact in ["0.50 cores", "2.00&nbsp;MiB", "9 of 100", "Errors since the start: idle 3"] {
        assert!(document.contains(fact), "{fact}: {document}");
    }
    assert!(document.contains("unix:&lt;b&gt;a&lt;/b&gt;"), "markup is shown as text: {document}");
}

#[test]
fn the_state_says_what_prevents_the_server_from_serving() {
    let changed = |pointer: &str, value: Value| {
        let mut statistics = statistics(7, 20, json!([]));
        *statistics.pointer_mut(pointer).unwrap() = value;
        statistics
    };
    for (pointer, value, expected) in [
        ("/draining", json!(true), "draining"),
        ("/failed", json!("thread worker-1 ended"), "failed: thread worker-1 ended"),
        ("/shards/0/answered", json!(false), "no answer from shard 0"),
        ("/acceptors/0/paused", json!("at_limit"), "accepting pauses: at_limit"),
    ] {
        let before = statistics(5, 10, json!([]));
        let address = fake_admin(vec![before, changed(pointer, value)]);
        let Some(document) = document(&address.to_string()) else { return };
        assert!(document.contains(&format!(">{expected}</p>")), "{expected}: {document}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_said_to_be_silent() {
    let address = fake_admin(Vec::new());
    let Some(document) = document(&address.to_string()) else { return };
    assert!(document.contains(r#"class="unknown">no answer: "#), "{document}");
    assert!(document.contains("the numbers are old"), "{document}");
}
