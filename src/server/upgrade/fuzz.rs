//! What holds for the messages of an upgrade, from either side.

use std::io;

use super::message::Message;

/// The longest line in these checks.
const LINE_BYTES_MAX: usize = 512;

/// Panics unless the messages keep what they promise for a peer that sends these bytes.
pub fn upgrade_message(bytes: &[u8]) {
    let whole = received([bytes]);
    for length in [1, 7, 256] {
        assert_eq!(received(bytes.chunks(length)), whole, "in parts of {length} bytes");
    }
    let (messages, _) = whole;
    for message in messages {
        if let Message::Listeners(listing) = &message {
            // It bounds what a successor waits for.
            let _ = listing.sockets();
        }
        let mut line = message.line().expect("what was a line is one again");
        assert!(line.ends_with(b"\n") && !line[..line.len() - 1].contains(&b'\n'));
        let length = line.len();
        let again = Message::take(&mut line, length).unwrap();
        assert_eq!(again.as_ref(), Some(&message));
        assert!(line.is_empty());
    }
}

/// The messages in these parts of a stream, and whether an error ended it.
fn received<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message>, bool) {
    let (mut buffer, mut messages) = (Vec::new(), Vec::new());
    for part in parts {
        buffer.extend_from_slice(part);
        match take_all(&mut buffer, &mut messages) {
            Ok(()) => assert!(buffer.len() <= LINE_BYTES_MAX, "more than a line waits for its end"),
            Err(_) => return (messages, true),
        }
    }
    (messages, false)
}

fn take_all(buffer: &mut Vec<u8>, messages: &mut Vec<Message>) -> io::Result<()> {
    while let Some(message) = Message::take(buffer, LINE_BYTES_MAX)? {
        messages.push(message);
    }
    Ok(())
}
