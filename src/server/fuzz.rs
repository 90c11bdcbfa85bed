//! Functions that take any bytes as they come from outside, and panic unless the parser keeps what
//! it promises. A fuzzer calls them (`fuzz/`), and so do the tests here.
//!
//! They exist with `--cfg fuzzing` only, which cargo-fuzz sets.

pub use super::admin::fuzz::admin_request;
pub use super::proxy_protocol::fuzz::proxy_header;
pub use super::upgrade::fuzz::upgrade_message;

use super::listen_address::{ListenAddress, Parsed, parse};

/// Panics unless a listen address keeps what it promises for this text. No host is looked up.
pub fn listen_address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse(&text) {
        Ok(Parsed::Address(address)) => {
            let written = address.to_string();
            let again = parse(&written);
            assert!(matches!(&again, Ok(Parsed::Address(it)) if *it == address), "{again:?}");
            if let ListenAddress::Unix(path) = &address {
                assert!(std::os::unix::net::SocketAddr::from_pathname(path).is_ok(), "{path:?}");
            }
        }
        Ok(Parsed::Host { host, port }) => {
            let (before, after) = text.rsplit_once(':').expect("a port");
            assert_eq!((before, after.parse()), (host, Ok(port)));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;
    use test_inputs::like;

    use super::*;

    const PROXY_HEADERS: &[&[u8]] = &[
        b"PROXY TCP4 192.0.2.1 192.0.2.2 54321 443\r\n",
        b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xC0\0\x02\x01\xC0\0\x02\x02\xD4\x31\x01\xBB",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        // Recorded from HAProxy, with a checksum.
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\x7F\0\0\x01\x7F\0\0\x01\xD8\xA4\xA5\x15\
          \x03\0\x04\x18\x49\xB5\x0C",
        b"hello\r\n",
    ];

    const ADMIN_REQUESTS: &[&[u8]] = &[
        b"GET /stats?histograms HTTP/1.1\r\nHost: localhost:9100\r\nAccept: */*\r\n\r\n",
        b"HEAD http://127.0.0.1:9100/metrics HTTP/1.0\r\n\r\n",
        b"POST /drain HTTP/1.1\r\nHost: [::1]\r\nOrigin: http://a.example\r\n\r\nnow",
        b"DELETE /readyz HTTP/1.1\nhost: db7.example\n\n",
        b"A: b\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xFC\x03\x03",
    ];

    const UPGRADE_MESSAGES: &[&[u8]] = &[
        b"{\"take_over\":{\"version\":1}}\n",
        b"{\"sockets\":253}\n",
        b"\"ready\"\n",
        b"\"leaving\"\n",
        b"{\"refused\":\"another server is taking over just now\"}\n",
        b"{\"listeners\":{\"upgrade\":{\"address\":{\"unix\":\"/run/u\"},\"sockets\":1,\
          \"origin\":\"own\",\"name\":null,\"file\":null},\"listeners\":[\
          {\"address\":{\"tcp\":\"[fe80::1%2]:80\"},\"sockets\":3,\"origin\":\"shared\",\
          \"name\":\"web\",\"file\":null}]}}\n",
    ];

    const ADDRESSES: &[&[u8]] = &[
        b"127.0.0.1:5555",
        b"[::1]:0",
        b"[::ffff:127.0.0.1]:80",
        b"[fe80::1%lo]:80",
        b"localhost:80",
        b"*:80",
        b"unix:/run/evshard.sock",
        b"unix:@web",
    ];

    proptest! {
        #[test]
        fn any_bytes_are_a_proxy_header_or_none(bytes in like(PROXY_HEADERS)) {
            proxy_header(&bytes);
        }

        #[test]
        fn any_bytes_are_a_request_to_the_admin_or_are_refused(bytes in like(ADMIN_REQUESTS)) {
            admin_request(&bytes);
        }

        #[test]
        fn any_bytes_are_messages_of_an_upgrade_or_an_error(bytes in like(UPGRADE_MESSAGES)) {
            upgrade_message(&bytes);
        }

        #[test]
        fn any_text_is_a_listen_address_or_an_error(bytes in like(ADDRESSES)) {
            listen_address(&bytes);
        }
    }

    #[test]
    fn every_example_is_one_input() {
        PROXY_HEADERS.iter().for_each(|bytes| proxy_header(bytes));
        ADMIN_REQUESTS.iter().for_each(|bytes| admin_request(bytes));
        UPGRADE_MESSAGES.iter().for_each(|bytes| upgrade_message(bytes));
        ADDRESSES.iter().for_each(|bytes| listen_address(bytes));
    }
}
