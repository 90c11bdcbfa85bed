//! Transports with TLS as the server uses them: by slices, and with the socket in view.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use super::{Transport, would_block};
use crate::buffer::Buffer;
use crate::tls::{Identity, TlsClient, TlsServer, TrustRoots};

/// A server and a client on one connection, whose handshake is done.
fn pair() -> [Transport; 2] {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let roots = TrustRoots::from_pem(certificate.as_bytes()).unwrap();
    let server = TlsServer::builder(identity).build().unwrap().connection().unwrap();
    let client = TlsClient::builder(roots).build().unwrap().connection("localhost").unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let mut ends = [near, far].map(|socket| {
        socket.set_nonblocking(true).unwrap();
        Transport::new(socket)
    });
    for (end, connection) in ends.iter_mut().zip([server, client]) {
        end.start_tls(connection, None, Buffer::new());
        assert!(end.is_tls() && end.tls_facts().is_none());
    }
    let mut done = [false; 2];
    while done != [true; 2] {
        for (end, done) in ends.iter().zip(&mut done) {
            *done = *done || end.handshake().unwrap();
        }
    }
    // The tickets of the server, which are no bytes for the client.
    assert!(would_block(&ends[1].read(&mut [0; 10]).unwrap_err()));
    ends
}

#[test]
fn slices_are_read_and_written_and_what_is_left_is_known() {
    let [server, client] = pair();
    assert_eq!(client.write(b"hello, server").unwrap(), 13);
    let mut hello = [0; 5];
    assert!(!server.has_received());
    assert_eq!(server.read(&mut hello).unwrap(), 5);
    assert_eq!(&hello, b"hello");
    // The socket has nothing any more.
    assert!(server.has_received());
    let mut others = Buffer::new();
    assert_eq!(server.read_to(&mut others, 100).unwrap(), 8);
    assert!(!server.has_received());
    assert!(would_block(&server.read(&mut hello).unwrap_err()));
}

#[test]
fn a_full_socket_leaves_bytes_unsent_that_the_next_write_sends_first() {
    let [server, client] = pair();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 3) as u8).collect();
    let mut written = 0;
    let refused = loop {
        match server.write(&sent[written..]) {
            Ok(n) => written += n,
            Err(error) => break error,
        }
    };
    assert!(would_block(&refused) && server.unsent() > 0);
    assert!(written < sent.len() && server.unsent() < 70_000, "{}", server.unsent());
    let mut received = Vec::new();
    let mut part = vec![0; 10_000];
    while received.len() < sent.len() {
        match client.read(&mut part) {
            Ok(n) => received.extend_from_slice(&part[..n]),
            Err(error) => assert!(would_block(&error), "{error}"),
        }
        match server.write(&sent[written..]) {
            Ok(n) => written += n,
            Err(error) => assert!(would_block(&error), "{error}"),
        }
    }
    assert!(received == sent, "the bytes differ");
    assert_eq!(server.unsent(), 0);
}

#[test]
fn an_end_is_read_again_and_again_and_nothing_is_sent_after_it() {
    let [server, client] = pair();
    server.write(b"last").unwrap();
    server.end_write().unwrap();
    server.end_write().unwrap();
    assert_eq!(server.write(b"too late").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut bytes = [0; 10];
    assert_eq!(client.read(&mut bytes).unwrap(), 4);
    for _ in 0..3 {
        assert_eq!(client.read(&mut bytes).unwrap(), 0);
    }
    // The other direction goes on.
    assert_eq!(client.write(b"still").unwrap(), 5);
    assert_eq!(server.read(&mut bytes).unwrap(), 5);
}

#[test]
fn a_peer_that_goes_away_is_a_truncated_stream_each_time_it_is_read() {
    let [server, client] = pair();
    client.write(b"half").unwrap();
    drop(client);
    let mut bytes = [0; 10];
    assert_eq!(server.read(&mut bytes).unwrap(), 4);
    for _ in 0..3 {
        let error = server.read(&mut bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    }
}

#[test]
fn bytes_before_the_handshake_are_sent_as_they_are() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let roots = TrustRoots::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = TlsClient::builder(roots).build().unwrap().connection("localhost").unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut transport = Transport::new(near);
    let mut first = Buffer::new();
    first.append(b"STARTTLS\r\n");
    transport.start_tls(client, None, first);
    assert!(!transport.handshake().unwrap());
    let mut sent = [0; 11];
    far.read_exact(&mut sent).unwrap();
    assert_eq!(&sent, b"STARTTLS\r\n\x16", "a handshake record follows");
    let early: io::Result<usize> = transport.write(b"before the handshake is done");
    assert_eq!(early.unwrap_err().kind(), ErrorKind::NotConnected);
    far.write_all(b"no TLS").unwrap();
    assert_eq!(transport.handshake().unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(transport.handshake().unwrap_err().kind(), ErrorKind::InvalidData);
}
