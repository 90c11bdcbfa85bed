//! nginx, Apache, Caddy, Python's and Node's servers of HTTP have got the requests that the record
//! counts, where they are installed.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::*;

/// A server in a folder of its own, stopped with the test.
pub(crate) struct HttpServer {
    child: Child,
    folder: TempDir,
    target: String,
}

impl HttpServer {
    /// nginx with these locations, which logs method, path, status and length of the body, or time
    /// and path.
    pub(crate) fn nginx(locations: &str) -> Option<Self> {
        let folder = test_needs::folder();
        // root: elsewhere than in its own folder, no user that nginx would become may read.
        let configuration = format!(
            "user root root; daemon off; master_process off; pid nginx.pid; error_log stderr;
            events {{ worker_connections 64; }}
            http {{
                log_format short '$request_method $request_uri $status $http_content_length';
                log_format timed '$msec $request_uri';
                access_log log short; keepalive_requests 1000000; root .;
                client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t;
                uwsgi_temp_path t; scgi_temp_path t;
                server {{ listen unix:socket; {locations} }}
            }}"
        );
        fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        let mut command = Command::new(test_needs::program("nginx")?);
        command.args(["-p", ".", "-c", "nginx.conf", "-e", "stderr"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let target = format!("unix:{}", folder.path().join("socket").display());
        let child = command.stdin(Stdio::null()).current_dir(folder.path()).spawn().unwrap();
        let server = Self { child, folder, target };
        until(|| UnixStream::connect(server.folder.path().join("socket")).is_ok());
        Some(server)
    }

    /// Apache, which logs as nginx does, compresses `/text`, and ends each connection after so many
    /// requests (0: never).
    fn apache(requests_per_connection: u32) -> Option<Self> {
        let program = test_needs::program("apache2")?;
        let folder = test_needs::folder();
        // root gives itself up for a user who must read the pages.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("page"), "a page\n").unwrap();
        fs::write(folder.path().join("text"), "many equal lines\n".repeat(10_000)).unwrap();
        let target = unused_address();
        let modules = "/usr/lib/apache2/modules";
        let configuration = format!(
            "Listen {target}
            ServerName localhost
            User www-data
            Group www-data
            PidFile pid
            DefaultRuntimeDir .
            ErrorLog error
            LoadModule mpm_event_module {modules}/mod_mpm_event.so
            LoadModule authz_core_module {modules}/mod_authz_core.so
            LoadModule alias_module {modules}/mod_alias.so
            LoadModule deflate_module {modules}/mod_deflate.so
            LoadModule filter_module {modules}/mod_filter.so
            DocumentRoot \"{root}\"
            Redirect /moved /page
            <Location /text>
                SetOutputFilter DEFLATE
            </Location>
            KeepAlive On
            MaxKeepAliveRequests {requests_per_connection}
            LogFormat \"%m %U%q %>s %{{Content-Length}}i\" short
            CustomLog log short
            ",
            root = folder.path().display()
        );
        fs::write(folder.path().join("apache.conf"), configuration).unwrap();
        let mut command = Command::new(program);
        // One process: it ends when it is killed.
        command.args(["-X", "-f"]).arg(folder.path().join("apache.conf"));
        command.arg("-d").arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { child: command.spawn().unwrap(), folder, target };
        until(|| TcpStream::connect(server.target()).is_ok());
        Some(server)
    }

    /// Caddy, which logs JSON and compresses `/text`.
    fn caddy() -> Option<Self> {
        let program = test_needs::program("caddy")?;
        let folder = test_needs::folder();
        fs::write(folder.path().join("text"), "many equal lines\n".repeat(10_000)).unwrap();
        let target = unused_address();
        let configuration = format!(
            "{{
                admin off
                auto_https off
            }}
            http://{target} {{
                log {{
                    output file log
                }}
                encode gzip
                root * .
                respond /made made 201
                redir /moved /text
                file_server /text
                respond /none none 404
            }}
            "
        );
        fs::write(folder.path().join("Caddyfile"), configuration).unwrap();
        let mut command = Command::new(program);
        command.args(["run", "--config", "Caddyfile"]).current_dir(folder.path());
        command.env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { child: command.spawn().unwrap(), folder, target };
        until(|| TcpStream::connect(server.target()).is_ok());
        Some(server)
    }

    /// A script of a program, if that is installed.
    fn script(program: &'static str, arguments: &[&str], text: &str) -> Option<Self> {
        let command = Command::new(test_needs::program(program)?);
        Some(Self::script_by(command, arguments, text))
    }

    /// A script that prints its port as its first line.
    pub(crate) fn script_by(mut command: Command, arguments: &[&str], text: &str) -> Self {
        let folder = test_needs::folder();
        fs::write(folder.path().join("script"), text).unwrap();
        command.args(arguments).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let target = format!("127.0.0.1:{}", port.trim());
        Self { child, folder, target }
    }

    /// Where it listens.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the folder of the server; returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A short load with these flags: its record, which has no errors.
    #[track_caller]
    fn load(&self, flags: &[&str]) -> Value {
        let short = "--protocol http --duration 300ms --warmup 50ms --json -";
        let words = ["run", &self.target].into_iter().chain(short.split(' '));
        let finished = loadgen(&words.chain(flags.iter().copied()).collect::<Vec<_>>());
        expect_no_errors(&finished);
        let record = finished.json();
        expect_conserved(&record);
        assert_eq!(count(&record, "completed"), count(&record, "sent"), "{record}");
        assert!(count(&record, "sent") > 20, "{record}");
        record
    }

    /// How often the server has logged each line, once it has logged `count` of them.
    fn logged(&self, count: u64) -> BTreeMap<String, u64> {
        self.logged_as(count, str::to_owned)
    }

    /// The same, with what `read` makes of each line.
    fn logged_as(&self, count: u64, read: impl Fn(&str) -> String) -> BTreeMap<String, u64> {
        let text = || fs::read_to_string(self.path().join("log")).unwrap_or_default();
        until(|| text().lines().count() as u64 >= count);
        let mut counts = BTreeMap::new();
        for line in text().lines() {
            *counts.entry(read(line)).or_default() += 1;
        }
        counts
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often each of these lines comes if `total` are taken in turn.
fn in_turn(lines: &[&str], total: u64) -> BTreeMap<String, u64> {
    let length = lines.len() as u64;
    let count = |index: u64| total / length + u64::from(index < total % length);
    let counted = (0..).zip(lines).map(|(index, line)| (line.to_string(), count(index)));
    counted.filter(|(_, count)| *count > 0).collect()
}

const LOCATIONS: &str = "
    location /a { return 200 page; } location /b { return 404 none; }
    location /c { return 201 made; } location /d { return 202 head; }
    location /e { return 203 put; } location /f { return 204; } location /g { return 302 /a; }";

const REQUESTS: &str = r#"
/a/1
/b/2?c=d
{"path": "/c", "method": "POST", "body": "twelve bytes"}
{"path": "/d", "method": "HEAD"}
{"path": "/e", "method": "PUT", "body": "in chunks", "chunked": true}
/f
/g
"#;

#[test]
fn nginx_has_logged_each_request_of_a_file_as_often_as_the_sequence_says() {
    let Some(server) = HttpServer::nginx(LOCATIONS) else { return };
    let requests = server.file("requests", REQUESTS);
    let record =
        server.load(&["-c", "1", "--requests", &requests, "--expect-status", "2xx,302,404"]);
    let lines = [
        "GET /a/1 200 -",
        "GET /b/2?c=d 404 -",
        "POST /c 201 12",
        "HEAD /d 202 -",
        "PUT /e 203 -",
        "GET /f 204 -",
        "GET /g 302 -",
    ];
    let sent = count(&record, "sent");
    assert_eq!(server.logged(sent), in_turn(&lines, sent));
    assert_eq!(record["args"]["http"]["requests"], 7);
    assert_eq!(record["args"]["http_path"], Value::Null);
}

#[test]
fn nginx_has_logged_each_status_as_often_as_the_record_says() {
    let Some(server) = HttpServer::nginx(LOCATIONS) else { return };
    let requests = server.file("requests", REQUESTS);
    for order in ["sequential", "random", "zipf:1"] {
        let _ = fs::write(server.path().join("log"), "");
        let flags = ["-c", "7", "-t", "2", "--pipeline", "3", "--order", order];
        let more = ["--requests", &requests, "--expect-status", "2xx,302,404"];
        let record = server.load(&[&flags[..], &more].concat());
        let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
        for (line, count) in server.logged(count(&record, "sent")) {
            *statuses.entry(line.split(' ').nth(2).unwrap().to_owned()).or_default() += count;
        }
        assert_eq!(record["statuses"]["codes"], serde_json::json!(statuses), "{order}");
        assert_eq!(statuses.len(), 7, "{order}");
    }
}

#[test]
fn nginx_has_logged_the_values_of_the_data() {
    let Some(server) = HttpServer::nginx(LOCATIONS) else { return };
    let data = server.file("data.csv", "id,text\n1,a\n22,\"b, c\"\n333,\n");
    let flags = ["-c", "1", "--http-path", "/a/{id}", "--http-method", "POST"];
    let more = ["--http-body", "<{text}>", "--data", &data];
    let record = server.load(&[&flags[..], &more].concat());
    let sent = count(&record, "sent");
    let lines = ["POST /a/1 200 3", "POST /a/22 200 6", "POST /a/333 200 2"];
    assert_eq!(server.logged(sent), in_turn(&lines, sent));
    assert_eq!(record["args"]["http"]["data_rows"], 3);
}

/// Requests of a file that servers send compressed and as it is.
const TEXT_REQUESTS: &str = r#"
{"path": "/text?gzip", "headers": ["Accept-Encoding: gzip"]}
{"path": "/text", "expect_body": "length:170000"}
{"path": "/text", "method": "HEAD"}
"#;

#[test]
fn apache_has_logged_each_request_and_its_compressed_chunks_are_whole() {
    let Some(server) = HttpServer::apache(0) else { return };
    let requests = server.file(
        "requests",
        &[
            "/page?c=d\n/none\n/moved\n",
            TEXT_REQUESTS,
            r#"{"path": "/page", "method": "POST", "body": "in chunks", "chunked": true}"#,
            "\n",
            r#"{"path": "/page", "method": "PUT", "body": "refused"}"#,
        ]
        .concat(),
    );
    let expected = ["--requests", &requests, "--expect-status", "200,302,404,405"];
    let record = server.load(&[&["-c", "1"], &expected[..]].concat());
    let lines = [
        "GET /page?c=d 200 -",
        "GET /none 404 -",
        "GET /moved 302 -",
        "GET /text?gzip 200 -",
        "GET /text 200 -",
        "HEAD /text 200 -",
        "POST /page 200 -",
        "PUT /page 405 7",
    ];
    let sent = count(&record, "sent");
    assert_eq!(server.logged(sent), in_turn(&lines, sent));
    assert_eq!(count(&record, "connects"), 1, "{record}");
}

#[test]
fn connections_that_apache_ends_after_ten_requests_lose_none() {
    let Some(server) = HttpServer::apache(10) else { return };
    let record = server.load(&["-c", "3", "--http-path", "/page", "--expect-body", "length:7"]);
    let sent = count(&record, "sent");
    assert_eq!(server.logged(sent), in_turn(&["GET /page 200 -"], sent));
    assert_eq!(count(&record, "closed_by_server"), 0);
    // It does not count the first request of a connection.
    assert!(count(&record, "connects") >= sent / 11, "{record}");
}

#[test]
fn caddy_has_logged_each_request_and_its_compressed_chunks_are_whole() {
    let Some(server) = HttpServer::caddy() else { return };
    let requests = server.file(
        "requests",
        &[
            "/none\n/moved\n",
            TEXT_REQUESTS,
            r#"{"path": "/made", "method": "POST", "body": "in chunks", "chunked": true}"#,
            "\n",
            r#"{"path": "/made", "method": "PUT", "body": "twelve bytes"}"#,
        ]
        .concat(),
    );
    let expected = ["--requests", &requests, "--expect-status", "2xx,302,404"];
    let record = server.load(&[&["-c", "1"], &expected[..]].concat());
    let lines = [
        "GET /none 404",
        "GET /moved 302",
        "GET /text?gzip 200",
        "GET /text 200",
        "HEAD /text 200",
        "POST /made 201",
        "PUT /made 201",
    ];
    let short = |line: &str| {
        let logged: Value = serde_json::from_str(line).unwrap();
        let request = &logged["request"];
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        format!("{} {} {}", word(&request["method"]), word(&request["uri"]), logged["status"])
    };
    let sent = count(&record, "sent");
    assert_eq!(server.logged_as(sent, short), in_turn(&lines, sent));
    assert_eq!(count(&record, "connects"), 1, "{record}");
}

/// A server of HTTP/1.0: its replies end with the connection.
const PYTHON: &str = r#"
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("log", "a") as log:
            log.write(f"{self.command} {self.path} {len(body)}\n")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

#[test]
fn replies_of_python_that_end_with_the_connection_are_whole() {
    let Some(server) = HttpServer::script("python3", &["script"], PYTHON) else { return };
    let body = server.file("body", "a body from a file\n");
    let hash = &format!("sha256:{}", "0".repeat(64));
    let wrong = ["-c", "2", "--http-method", "POST", "--http-body", "x", "--expect-body", hash];
    let words = ["run", &server.target, "--protocol", "http", "--duration", "100ms"];
    let finished = loadgen(&[&words[..], &wrong].concat());
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let _ = fs::remove_file(server.path().join("log"));
    let at_file = format!("@{body}");
    let flags = ["-c", "2", "--http-method", "POST", "--http-body", &at_file];
    let record = server.load(&[&flags[..], &["--expect-body", "substring:from a file"]].concat());
    let sent = count(&record, "sent");
    assert_eq!(server.logged(sent), in_turn(&["POST / 19"], sent));
    // Each connection has one reply, and only then ends: no request is lost with it.
    assert_eq!(count(&record, "closed_by_server"), 0);
    assert!(count(&record, "connects") >= sent, "{record}");
}

/// A server whose replies come in chunks, with trailers, and whose requests may, too.
const NODE: &str = r#"
const http = require("http"), fs = require("fs");
const server = http.createServer((request, reply) => {
    const parts = [];
    request.on("data", part => parts.push(part));
    request.on("end", () => {
        const body = Buffer.concat(parts);
        const coding = request.headers["transfer-encoding"] || "none";
        fs.appendFileSync("log", `${request.method} ${request.url} ${body.length} ${coding}\n`);
        reply.writeHead(200, {Trailer: "X-Length"});
        reply.write("you sent ");
        reply.write(body.length ? body : "nothing");
        reply.addTrailers({"X-Length": String(body.length)});
        reply.end();
    });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"#;

#[test]
fn node_has_read_chunks_and_its_own_are_whole() {
    let Some(server) = HttpServer::script("node", &["script"], NODE) else { return };
    let requests = server.file(
        "requests",
        &[
            r#"{"path": "/a", "method": "POST", "body": "chunks", "chunked": true,"#,
            r#" "expect_body": "length:15"}"#,
            "\n",
            r#"{"path": "/b", "method": "PUT", "body": "sized", "expect_body": "length:14","#,
            r#" "headers": ["Expect: 100-continue"]}"#,
            "\n",
            r#"{"path": "/c", "expect_body": "substring:nothing"}"#,
        ]
        .concat(),
    );
    let record = server.load(&["-c", "1", "--requests", &requests]);
    let sent = count(&record, "sent");
    let lines = ["POST /a 6 chunked", "PUT /b 5 none", "GET /c 0 none"];
    assert_eq!(server.logged(sent), in_turn(&lines, sent));
    assert_eq!(count(&record, "connects"), 1);
}
