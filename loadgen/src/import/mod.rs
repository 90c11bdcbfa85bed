//! Requests that a server or a network has seen, as files that `loadgen run` can repeat.
//!
//! ```text
//! nginx_log      access logs of nginx and Apache
//! capture        packets: pcap and pcapng files
//!   tcp            what clients sent, put in order
//!   http           the requests in it
//! redis_monitor  commands, as redis-cli MONITOR prints them
//! Import         what was found: requests of HTTP, or commands
//!   LeftOut        what could not be used, and why
//! ImportedFile   the lines of the file
//! ```

mod capture;
mod http;
mod left_out;
mod nginx_log;
mod redis_monitor;
mod tcp;

use std::io::BufRead;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::Value;

use self::left_out::LeftOut;
use crate::wire::http::without_placeholders;
use crate::wire::{BYTES_MAX, REQUESTS_MAX};

/// Where requests come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Source {
    /// Access log of nginx or Apache, in the format common or combined
    NginxLog,
    /// Packets of HTTP/1.1 without TLS, as tcpdump -w and Wireshark store them: pcap or pcapng
    Pcap,
    /// Commands of Redis, as redis-cli MONITOR prints them
    RedisMonitor,
}

/// What is imported of a source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Selection {
    /// From packets, only what was sent to this port.
    pub(crate) port: Option<u16>,
    /// From Redis, only the commands on this database; by default, on number 0.
    pub(crate) database: Option<u32>,
    /// Only so many requests, the first of the source.
    pub(crate) first: Option<usize>,
}

/// The file that `loadgen run` can repeat, and what is not in it.
#[derive(Debug)]
pub(crate) struct ImportedFile {
    /// A line for each request.
    pub(crate) text: String,
    pub(crate) count: usize,
    /// The time from the first request to the last, in nanoseconds.
    pub(crate) span_ns: u64,
    pub(crate) left_out: LeftOut,
}

impl ImportedFile {
    /// Reads a source to its end.
    ///
    /// # Errors
    ///
    /// A sentence that says what cannot be read, and the remedy.
    pub(crate) fn read(
        source: Source,
        input: impl BufRead + Send,
        selection: Selection,
    ) -> Result<Self, String> {
        // With one more than a run can send, there are too many.
        let most = selection.first.unwrap_or(REQUESTS_MAX + 1);
        match source {
            Source::NginxLog => nginx_log::read(input, most)?.into_file(),
            Source::Pcap => capture::read(input, selection.port, most)?.into_file(),
            Source::RedisMonitor => {
                redis_monitor::read(input, selection.database.unwrap_or(0), most)?.into_file()
            }
        }
    }
}

/// What can be imported.
trait Request {
    /// When it was made, in nanoseconds from any beginning.
    fn at_ns(&self) -> u64;

    /// How many bytes of it count towards what a run can have in memory.
    fn bytes(&self) -> usize;

    /// Its line in the file, whose first request is at `start_ns`.
    fn line(&self, start_ns: u64) -> String;
}

/// A request of HTTP, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Imported {
    /// In nanoseconds, from any beginning.
    at_ns: u64,
    method: String,
    path: String,
    /// Lines without their ends.
    headers: Vec<String>,
    body: Vec<u8>,
}

/// The requests of a source, and what was left out.
#[derive(Debug)]
struct Import<R = Imported> {
    requests: Vec<R>,
    left_out: LeftOut,
}

impl<R> Default for Import<R> {
    fn default() -> Self {
        Self { requests: Vec::new(), left_out: LeftOut::default() }
    }
}

impl<R: Request> Import<R> {
    /// The file, in order of time.
    fn into_file(self) -> Result<ImportedFile, String> {
        let Self { mut requests, left_out } = self;
        let bytes: usize = requests.iter().map(R::bytes).sum();
        let advice = format!(
            "the most that a run can send; import the first ones with --first N, where N is at \
             most {REQUESTS_MAX}"
        );
        if requests.len() > REQUESTS_MAX {
            return Err(format!("there are more than {REQUESTS_MAX} requests, {advice}"));
        }
        if bytes > BYTES_MAX {
            return Err(format!("the requests have {bytes} bytes, more than 1GiB, {advice}"));
        }
        requests.sort_by_key(R::at_ns);
        let start_ns = requests.first().map_or(0, R::at_ns);
        let span_ns = requests.last().map_or(0, R::at_ns) - start_ns;
        let (mut text, count) = (String::new(), requests.len());
        for request in requests {
            text.extend([&*request.line(start_ns), "\n"]);
        }
        Ok(ImportedFile { text, count, span_ns, left_out })
    }
}

impl Request for Imported {
    fn at_ns(&self) -> u64 {
        self.at_ns
    }

    fn bytes(&self) -> usize {
        self.body.len()
    }

    fn line(&self, start_ns: u64) -> String {
        let line = Line::of(self, start_ns);
        serde_json::to_string(&line).expect("texts and numbers are JSON")
    }
}

/// A time as the seconds after the first request.
fn at_s(at_ns: u64, start_ns: u64) -> Value {
    Value::from((at_ns - start_ns) as f64 / 1e9)
}

/// A request in the file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    at: Value,
    method: &'a str,
    path: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl<'a> Line<'a> {
    fn of(request: &'a Imported, start_ns: u64) -> Self {
        let Imported { at_ns, method, path, headers, body } = request;
        let (body, body_base64) = match str::from_utf8(body) {
            Ok("") => (None, None),
            Ok(text) => (Some(without_placeholders(text)), None),
            Err(_) => (None, Some(BASE64_STANDARD.encode(body))),
        };
        Self {
            at: at_s(*at_ns, start_ns),
            method,
            path: without_placeholders(path),
            headers: headers.iter().map(|line| without_placeholders(line)).collect(),
            body,
            body_base64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_from_the_first_request_and_keep_every_byte() {
        let request = |at_ns, body: &[u8]| Imported {
            at_ns,
            method: "POST".to_owned(),
            path: "/a{b}{".to_owned(),
            headers: vec!["A: b".to_owned()],
            body: body.to_vec(),
        };
        let requests = vec![request(5_000_000_000, b"{}"), request(5_250_000_000, b"\xff")];
        let file = Import { requests, left_out: LeftOut::default() }.into_file().unwrap();
        assert_eq!((file.count, file.span_ns), (2, 250_000_000));
        let lines: Vec<&str> = file.text.lines().collect();
        let head = r#""method":"POST","path":"/a{{b}}{","headers":["A: b"]"#;
        assert_eq!(lines[0], format!(r#"{{"at":0.0,{head},"body":"{{}}"}}"#));
        assert_eq!(lines[1], format!(r#"{{"at":0.25,{head},"body_base64":"/w=="}}"#));
    }

    #[test]
    fn more_requests_than_a_run_can_send_are_refused_with_the_remedy() {
        let log = "- [29/Nov/2026:21:10:11 +0000] \"GET / HTTP/1.1\" 200 5\n".repeat(30);
        let read = |first| {
            let selection = Selection { first, ..Selection::default() };
            ImportedFile::read(Source::NginxLog, log.as_bytes(), selection).unwrap()
        };
        assert_eq!((read(None).count, read(Some(7)).count), (30, 7));
        let request = Import::<Imported> {
            requests: nginx_log::read(log.as_bytes(), 1).unwrap().requests,
            left_out: LeftOut::default(),
        };
        let requests = vec![request.requests[0].clone(); REQUESTS_MAX + 1];
        let said = Import { requests, left_out: LeftOut::default() }.into_file().unwrap_err();
        assert!(
            said.contains("more than 1000000 requests") && said.contains("--first N"),
            "{said}"
        );
    }
}
