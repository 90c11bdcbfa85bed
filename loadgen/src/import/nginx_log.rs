//! Access logs of nginx and Apache: `[29/Nov/2026:21:10:11 +0000] "GET /path HTTP/1.1"` on each
//! line, as the formats common and combined have it.
//!
//! The log has whole seconds. The requests of a second are spread evenly over it, in the order of
//! the log. It has neither bodies nor most headers.

use std::io::BufRead;

use jiff::Timestamp;
use jiff::fmt::strtime;

use super::{Import, Imported};
use crate::wire::http::{Method, path};

const SECOND_NS: u64 = 1_000_000_000;

/// Longest line; nginx has a limit of 8 KiB for a request line, and others are not much longer.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Reads the first `most` requests of a log.
pub(super) fn read(mut input: impl BufRead, most: usize) -> Result<Import, String> {
    let mut import = Import::default();
    let (mut number, mut bytes) = (0_u64, Vec::new());
    while import.requests.len() < most {
        bytes.clear();
        let read = input.read_until(b'\n', &mut bytes).map_err(|error| {
            format!("{error}, after line {number}; can the file be read to its end?")
        })?;
        if read == 0 {
            break;
        }
        number += 1;
        if bytes.len() > LINE_BYTES_MAX {
            return Err(format!("line {number} has more than 1 MiB; is this an access log?"));
        }
        let line = String::from_utf8_lossy(&bytes);
        if line.trim().is_empty() {
            continue;
        }
        match request(&line) {
            Ok(request) => {
                if may_have_body(&request.method) {
                    import.left_out.add("bodies, which a log does not have", || at_line(number));
                }
                import.requests.push(request);
            }
            Err(reason) => import.left_out.add(reason, || at_line(number)),
        }
    }
    spread(&mut import.requests);
    Ok(import)
}

fn at_line(number: u64) -> String {
    format!("line {number}")
}

fn may_have_body(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

/// The request of a line. An error is why it has none.
fn request(line: &str) -> Result<Imported, &'static str> {
    let (at_ns, rest) =
        time(line).ok_or("lines without a time such as [29/Nov/2026:21:10:11 +0000]")?;
    let quoted = rest.split_once('"').map(|(_, rest)| unescaped(rest));
    let words = quoted.ok_or("lines without a request in quotation marks")?;
    let mut words = words.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_whole =
        words.next().is_some_and(|version| version.starts_with("HTTP/")) && words.next().is_none();
    if !is_whole {
        return Err("lines whose request is not one of HTTP");
    }
    if method.parse::<Method>().is_err() || !target.starts_with('/') {
        return Err("requests without a path");
    }
    let path = path(target).map_err(|_| "paths with bytes that a request cannot have")?;
    let method = method.to_owned();
    Ok(Imported { at_ns, method, path, headers: Vec::new(), body: Vec::new() })
}

/// The time in the first brackets that have one, and what follows.
fn time(line: &str) -> Option<(u64, &str)> {
    let mut rest = line;
    loop {
        let (_, after) = rest.split_once('[')?;
        let (inside, behind) = after.split_once(']')?;
        let parsed = strtime::parse("%d/%b/%Y:%H:%M:%S %z", inside);
        if let Ok(timestamp) = parsed.and_then(|time| time.to_timestamp()) {
            let second = u64::try_from(Timestamp::as_second(timestamp)).ok()?;
            return Some((second * SECOND_NS, behind));
        }
        rest = after;
    }
}

/// A text up to its closing quotation mark, without the escapes of nginx (`\x22`) and Apache
/// (`\"`).
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => match characters.next() {
                Some('x') => {
                    let digits: String = characters.by_ref().take(2).collect();
                    let byte = u8::from_str_radix(&digits, 16).unwrap_or(b'?');
                    out.push(char::from(byte));
                }
                Some(escaped) => out.push(escaped),
                None => {}
            },
            _ => out.push(character),
        }
    }
    out
}

/// Spreads the requests of each second evenly over it.
fn spread(requests: &mut [Imported]) {
    requests.sort_by_key(|request| request.at_ns);
    for of_second in requests.chunk_by_mut(|one, next| one.at_ns == next.at_ns) {
        let count = of_second.len() as u64;
        for (index, request) in (0..).zip(of_second) {
            request.at_ns += index * SECOND_NS / count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "127.0.0.1 - - [29/Nov/2026:21:10:11 +0000]";

    fn imported(log: &str) -> (Vec<(u64, String, String)>, String) {
        let import = read(log.as_bytes(), usize::MAX).unwrap();
        let first = import.requests.first().map_or(0, |request| request.at_ns);
        let of_request =
            |request: Imported| ((request.at_ns - first) / 1_000_000, request.method, request.path);
        (import.requests.into_iter().map(of_request).collect(), import.left_out.to_string())
    }

    #[test]
    fn the_requests_of_a_second_are_spread_over_it_in_order() {
        let later = HEAD.replace("21:10:11 +0000", "22:10:12 +0100");
        let log = format!(
            "{HEAD} \"GET /a HTTP/1.1\" 200 5 \"-\" \"curl \\\"x\\\"\"\n\n\
             {later} \"HEAD /c?x=[1] HTTP/1.0\" 404 0\n\
             name:80 {HEAD} \"GET /b HTTP/2.0\" 200 5\n"
        );
        let (requests, left_out) = imported(&log);
        let expected = [(0, "GET", "/a"), (500, "GET", "/b"), (1000, "HEAD", "/c?x=[1]")];
        let expected = expected.map(|(at, method, path)| (at, method.to_owned(), path.to_owned()));
        assert_eq!((requests, left_out.as_str()), (expected.to_vec(), ""));
    }

    #[test]
    fn what_is_no_request_is_left_out_and_counted() {
        let lines = [
            "\"\" 400 0",
            "\"\\x16\\x03\\x01\" 400 0",
            "\"CONNECT a:1 HTTP/1.1\" 405 0",
            "\"GET /\u{e9} HTTP/1.1\" 400 0",
            "\"GET /a\" 200 0",
            "none",
            "\"POST /p HTTP/1.1\" 200 0",
        ];
        let log =
            lines.map(|line| format!("{HEAD} {line}\n")).concat() + "no time \"GET / HTTP/1.1\"\n";
        let (requests, left_out) = imported(&log);
        assert_eq!(requests, [(0, "POST".to_owned(), "/p".to_owned())]);
        for said in [
            "lines whose request is not one of HTTP: 3 (the first: line 1)",
            "lines without a request in quotation marks: 1 (the first: line 6)",
            "lines without a time such as [29/Nov/2026:21:10:11 +0000]: 1",
            "requests without a path: 1 (the first: line 3)",
            "paths with bytes that a request cannot have: 1 (the first: line 4)",
            "bodies, which a log does not have: 1 (the first: line 7)",
        ] {
            assert!(left_out.contains(said), "{left_out}");
        }
    }

    #[test]
    fn a_file_that_is_no_log_has_no_request_and_a_line_without_end_is_an_error() {
        assert_eq!(imported("\x7fELF\n\n[[[\n").0, []);
        let endless = vec![b'x'; LINE_BYTES_MAX + 1];
        assert!(read(&endless[..], usize::MAX).unwrap_err().contains("is this an access log?"));
    }
}
