//! What holds for a request to the admin.

use super::hosts::Hosts;
use super::request::{HEAD_BYTES_MAX, Head, Method, Request, parse};
use super::response::{Response, Status};
use super::route::{Route, route};

/// Panics unless the admin keeps what it promises for a client that sends these bytes.
pub fn admin_request(bytes: &[u8]) {
    // A connection reads no more.
    let bytes = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let whole = parse(bytes);
    // Byte by byte, a verdict comes once, and stays as it is.
    let mut decided = None;
    for length in prefixes(bytes.len()) {
        let now = shown(&parse(&bytes[..length]));
        if let Some((at, earlier)) = &decided {
            assert_eq!(&now, earlier, "{at} bytes, then {length}");
        } else if now.is_some() {
            decided = Some((length, now));
        }
    }
    match whole {
        Head::Partial => assert!(bytes.len() < HEAD_BYTES_MAX),
        Head::Bad(response) => check_response(response),
        Head::Complete(request) => check_request(&request),
    }
}

/// Every length of short heads; of long ones the last.
fn prefixes(length: usize) -> impl Iterator<Item = usize> {
    const EVERY_MAX: usize = 600;
    (0..=length.min(EVERY_MAX)).chain(length.saturating_sub(EVERY_MAX).max(EVERY_MAX)..=length)
}

/// A verdict that can be compared. The text of an error may name what comes first.
fn shown(head: &Head) -> Option<Result<Request, Status>> {
    match head {
        Head::Partial => None,
        Head::Complete(request) => Some(Ok(request.clone())),
        Head::Bad(response) => Some(Err(response.status)),
    }
}

fn check_request(request: &Request) {
    let written = written(request);
    match parse(written.as_bytes()) {
        Head::Complete(again) => assert_eq!(&again, request, "{written:?}"),
        other => panic!("{written:?} is {other:?}"),
    }
    for hosts in [Hosts::Any, Hosts::Named(vec!["db7.example".to_owned()])] {
        let _ = hosts.accept(request.host.as_deref());
    }
    match route(request) {
        Route::Answer(response) => check_response(response),
        Route::Show(_) => assert!(matches!(request.method, Method::Get | Method::Head)),
        Route::Drain | Route::Reload => {
            assert!(request.method == Method::Post && !request.is_from_a_page);
        }
    }
}

fn written(request: &Request) -> String {
    let method = match request.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Other => "OTHER",
    };
    let host = request.host.as_ref().map(|host| format!("Host: {host}\r\n")).unwrap_or_default();
    let origin = if request.is_from_a_page { "Origin: null\r\n" } else { "" };
    format!("{method} {}?{} HTTP/1.1\r\n{host}{origin}\r\n", request.path, request.query)
}

/// The response has one head, with the length of its body.
fn check_response(response: Response) {
    let (body, bytes) = (response.body.clone(), response.into_bytes(false));
    let text = String::from_utf8(bytes).expect("a response is text");
    let (head, rest) = text.split_once("\r\n\r\n").expect("it has a head");
    assert_eq!(rest, body);
    assert!(head.starts_with("HTTP/1.1 "), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    assert!(head.split("\r\n").all(|line| !line.contains(['\r', '\n'])), "{head}");
}
