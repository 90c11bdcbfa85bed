//! Requests that a server or a network has seen, as files that `loadgen run` can repeat.
//!
//! ```text
//! nginx_log   access logs of nginx and Apache
//! capture     packets: pcap and pcapng files
//!   tcp         what clients sent, put in order
//!   http        the requests in it
//! Imported    a request with its time
//! LeftOut     what could not be used, and why
//! ```

mod capture;
mod http;
mod left_out;
mod nginx_log;
mod tcp;

use std::io::BufRead;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::wire::http::without_placeholders;

pub(crate) use self::left_out::LeftOut;

/// Where requests come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Source {
    /// Access log of nginx or Apache, in the format common or combined
    NginxLog,
    /// Packets of HTTP/1.1 without TLS, as tcpdump -w and Wireshark store them: pcap or pcapng
    Pcap,
}

/// A request, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Imported {
    /// In nanoseconds, from any beginning.
    pub(crate) at_ns: u64,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Lines without their ends.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

/// All requests of a source, in order of time, and what was left out.
#[derive(Debug, Default)]
pub(crate) struct Import {
    pub(crate) requests: Vec<Imported>,
    pub(crate) left_out: LeftOut,
}

impl Import {
    /// Reads a source to its end. From packets, only what was sent to this port, if there is one.
    ///
    /// # Errors
    ///
    /// A sentence that says what cannot be read, and the remedy.
    pub(crate) fn read(
        source: Source,
        input: impl BufRead + Send,
        port: Option<u16>,
    ) -> Result<Self, String> {
        let mut import = match source {
            Source::NginxLog => nginx_log::read(input),
            Source::Pcap => capture::read(input, port),
        }?;
        import.requests.sort_by_key(|request| request.at_ns);
        Ok(import)
    }

    /// The time from the first request to the last, in nanoseconds.
    pub(crate) fn span_ns(&self) -> u64 {
        match (self.requests.first(), self.requests.last()) {
            (Some(first), Some(last)) => last.at_ns - first.at_ns,
            _ => 0,
        }
    }

    /// The lines of the file of requests. The first request is at 0.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let start_ns = self.requests.first().map_or(0, |first| first.at_ns);
        self.requests.iter().map(move |request| {
            let line = Line::of(request, start_ns);
            serde_json::to_string(&line).expect("texts and numbers are JSON")
        })
    }
}

/// A request in the file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    at: f64,
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
            at: (at_ns - start_ns) as f64 / 1e9,
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
        let import = Import { requests, left_out: LeftOut::default() };
        assert_eq!(import.span_ns(), 250_000_000);
        let lines: Vec<String> = import.lines().collect();
        let head = r#""method":"POST","path":"/a{{b}}{","headers":["A: b"]"#;
        assert_eq!(lines[0], format!(r#"{{"at":0.0,{head},"body":"{{}}"}}"#));
        assert_eq!(lines[1], format!(r#"{{"at":0.25,{head},"body_base64":"/w=="}}"#));
    }
}
