//! Sockets of each kind and pipes: short reads and writes, full ones, ends and resets.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use evshard::Buffer;
use test_needs::Need;

use super::{buffer_of, bytes_of};

/// A connected pair of each kind of stream: what is written to the first is read from the second.
fn streams() -> Vec<(&'static str, OwnedFd, OwnedFd)> {
    let tcp = |address| {
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // Otherwise the kernel may take megabytes.
        socket2::SockRef::from(&client).set_send_buffer_size(50_000).unwrap();
        (client.into(), listener.accept().unwrap().0.into())
    };
    let (unix, unix_peer) = UnixStream::pair().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let (client, server) = tcp("127.0.0.1:0");
    let mut streams = vec![
        ("unix", unix.into(), unix_peer.into()),
        ("pipe", writer.into(), reader.into()),
        ("tcp", client, server),
    ];
    if !test_needs::missing_for_part(Need::Ipv6) {
        let (client, server) = tcp("[::1]:0");
        streams.push(("tcp6", client, server));
    }
    for (_, writer, reader) in &streams {
        for fd in [writer, reader] {
            rustix::io::ioctl_fionbio(fd, true).unwrap();
        }
    }
    streams
}

fn numbered(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i / 7 % 251) as u8).collect()
}

#[test]
fn bytes_pass_in_order_through_streams_that_fill_up() {
    const LENGTH: usize = 3_000_000;
    for (kind, writer, reader) in streams() {
        let (mut output, mut input) = (Buffer::new(), Buffer::new());
        // Many chunks, so that writes take several slices and end within one.
        numbered(LENGTH).chunks(777).for_each(|part| output.append_shared(part.to_vec()));
        let mut was_full = false;
        while input.len() < LENGTH {
            let before = output.len();
            match output.write_to(&writer, usize::MAX) {
                Ok(n) => assert_eq!(output.len(), before - n, "{kind}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{kind}");
                    assert_eq!(output.len(), before, "{kind}");
                    was_full = true;
                    while let Ok(n) = input.read_from(&reader, 100_000) {
                        assert!(n > 0 && n <= 100_000, "{kind}");
                    }
                }
            }
            if output.is_empty() {
                let _ = input.read_from(&reader, 10_000);
            }
        }
        assert!(was_full, "{kind}");
        assert!(bytes_of(&input) == numbered(LENGTH), "{kind}");
    }
}

#[test]
fn a_read_takes_no_more_than_it_may() {
    for (kind, writer, reader) in streams() {
        let mut output = buffer_of(&numbered(50_000));
        let mut input = Buffer::new();
        while !output.is_empty() {
            output.write_to(&writer, 20_000).unwrap();
            for max in [0, 1, 10, 1000, 5000, 70_000] {
                let before = input.len();
                if let Ok(n) = input.read_from(&reader, max) {
                    assert!(n <= max, "{kind}: {n} of {max}");
                    assert_eq!(input.len(), before + n, "{kind}");
                }
            }
        }
        while input.len() < 50_000 {
            let _ = input.read_from(&reader, 50_000);
        }
        assert!(bytes_of(&input) == numbered(50_000), "{kind}");
    }
}

#[test]
fn an_empty_stream_is_an_error_and_a_closed_one_an_end() {
    for (kind, writer, reader) in streams() {
        let mut input = buffer_of(b"before");
        let error = input.read_from(&reader, 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{kind}");
        drop(writer);
        while input.read_from(&reader, 100).is_err() {}
        assert_eq!(input.read_from(&reader, 100).unwrap(), 0, "{kind}");
        assert_eq!(bytes_of(&input), b"before", "{kind}");
    }
}

#[test]
fn a_write_to_a_closed_stream_is_an_error_and_removes_nothing() {
    for (kind, writer, reader) in streams() {
        drop(reader);
        let mut output = buffer_of(&[b'x'; 10]);
        // A TCP peer's kernel resets the connection when the first bytes arrive.
        let error = loop {
            match output.write_to(&writer, 1) {
                Ok(_) => output.append(b"x"),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
            "{kind}: {error}"
        );
        assert_eq!(output.len(), 10, "{kind}");
    }
}

#[test]
fn a_reset_is_an_error_and_keeps_what_was_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut server = listener.accept().unwrap().0;
    server.write_all(b"hello").unwrap();
    let mut input = Buffer::new();
    while input.len() < 5 {
        input.read_from(&client, 2).unwrap();
    }
    socket2::SockRef::from(&server).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(server);
    let error = input.read_from(&client, 100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(bytes_of(&input), b"hello");
}

#[test]
fn a_datagram_is_read_at_once_into_room_and_a_new_chunk() {
    let [sender, receiver] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    let mut input = buffer_of(&[1; 5000]);
    let datagram = numbered(50_000);
    sender.send(&datagram).unwrap();
    assert_eq!(input.read_from(&receiver, 60_000).unwrap(), 50_000);
    input.drain(5000);
    assert!(bytes_of(&input) == datagram);
}

#[test]
fn an_empty_buffer_makes_no_system_call() {
    let file = tempfile::tempfile().unwrap();
    let read_only = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(Buffer::new().write_to(&read_only, 100).unwrap(), 0);
    assert_eq!(buffer_of(b"x").write_to(&read_only, 0).unwrap(), 0);
    assert_eq!(buffer_of(b"x").read_from(&file, 0).unwrap(), 0);
    buffer_of(b"x").write_to(&read_only, 100).unwrap_err();
}

#[test]
fn what_a_read_returns_can_be_written_on_without_being_copied() {
    let (mut client, server) = UnixStream::pair().unwrap();
    let mut input = Buffer::new();
    client.write_all(&numbered(30_000)).unwrap();
    while input.len() < 30_000 {
        input.read_from(&server, 30_000).unwrap();
    }
    let address = input.peek(..).next().unwrap().as_ptr();
    let mut output = Buffer::new();
    output.append_buffer(&mut input);
    assert_eq!(output.peek(..).next().unwrap().as_ptr(), address);
    while !output.is_empty() {
        output.write_to(&server.as_fd(), usize::MAX).unwrap();
    }
    let mut back = vec![0; 30_000];
    client.read_exact(&mut back).unwrap();
    assert!(back == numbered(30_000));
}
