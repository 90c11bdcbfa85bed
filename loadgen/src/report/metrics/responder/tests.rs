//! Scrapers get the text whatever others do, and the thread ends when its owner drops it.

use super::*;

/// A responder with this text.
fn responder(text: &str) -> Responder {
    Responder::start("127.0.0.1:0", text.to_owned()).unwrap()
}

/// A connection that has sent these bytes.
fn send(responder: &Responder, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(responder.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream
}

/// What comes back, to the end. A reset after the response is its end, too.
fn received(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

const SCRAPE: &str = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_scrape_gets_the_latest_text_and_the_connection_ends() {
    let responder = responder("a 1\n");
    let response = received(send(&responder, SCRAPE));
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains("Content-Length: 4\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\na 1\n"), "{response}");
    responder.publish("a 2\n".to_owned());
    assert!(received(send(&responder, SCRAPE)).ends_with("\r\n\r\na 2\n"));
}

#[test]
fn what_is_no_scrape_is_refused_with_the_remedy() {
    let responder = responder("a 1\n");
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(REQUEST_BYTES_MAX));
    for (request, status, said) in [
        ("GET / HTTP/1.1\r\n\r\n", "404", "at /metrics"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405", "use GET"),
        ("\0\0\0\r\n\r\n", "400", "no request"),
        (&long, "431", "too long"),
    ] {
        let response = received(send(&responder, request));
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {response}");
        assert!(response.contains(said), "{response}");
        assert!(!response.contains("a 1"), "{response}");
    }
}

#[test]
fn a_scraper_that_sends_one_byte_at_a_time_gets_its_answer() {
    let responder = responder("a 1\n");
    let mut slow = send(&responder, "");
    slow.set_nodelay(true).unwrap();
    for byte in SCRAPE.bytes() {
        slow.write_all(&[byte]).unwrap();
        // Others are answered meanwhile.
        if byte == b'/' {
            assert!(received(send(&responder, SCRAPE)).ends_with("a 1\n"));
        }
    }
    assert!(received(slow).ends_with("\r\n\r\na 1\n"));
}

#[test]
fn a_hundred_scrapers_at_once_are_all_answered() {
    let text = "a 1\n".repeat(5_000);
    let responder = responder(&text);
    let scrapers: Vec<TcpStream> = (0..100).map(|_| send(&responder, SCRAPE)).collect();
    for scraper in scrapers {
        assert!(received(scraper).ends_with(&text));
    }
}

#[test]
fn scrapers_that_stay_silent_or_read_nothing_are_closed_and_others_get_their_turn() {
    // More than any socket buffers.
    let text = "a 1\n".repeat(4_000_000);
    let responder = responder(&text);
    let silent: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| send(&responder, "GET")).collect();
    let unread: Vec<TcpStream> = (0..4).map(|_| send(&responder, SCRAPE)).collect();
    let response = received(send(&responder, SCRAPE));
    assert_eq!(response.len() - response.find("\r\n\r\n").unwrap() - 4, text.len());
    for scraper in silent {
        assert_eq!(received(scraper), "");
    }
    drop(unread);
}

#[test]
fn the_thread_ends_while_scrapers_are_connected() {
    let responder = responder("a 1\n");
    let scraper = send(&responder, "GET");
    drop(responder);
    assert_eq!(received(scraper), "");
}
