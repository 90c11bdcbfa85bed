//! The words of a connection's first reply with an unexpected status: its first line, and the first
//! line of its body.

use super::super::mismatch::printable_line;

/// Most bytes of a body in which its first line is searched.
const BODY_BYTES_MAX: usize = 512;

/// The words of a reply, made printable.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) first_line: String,
    pub(super) body_line: Option<String>,
}

/// Quotes one reply. Later ones are not quoted: it would cost the loader time for each.
#[derive(Debug, Default)]
pub(super) struct Quote {
    is_done: bool,
    first_line: Option<String>,
    /// The beginning of the body.
    body: Vec<u8>,
}

impl Quote {
    /// Begins with the head of an unexpected reply.
    pub(super) fn head(&mut self, head: &[u8]) {
        if !self.is_done {
            self.first_line = Some(printable_line(head));
        }
    }

    /// Adds bytes of the body, if the reply is to be quoted.
    pub(super) fn body(&mut self, bytes: &[u8]) {
        if self.first_line.is_some() {
            let room = BODY_BYTES_MAX - self.body.len();
            self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// The words of the reply, which is complete, if it is the first one.
    pub(super) fn take(&mut self) -> Option<Words> {
        let first_line = self.first_line.take()?;
        self.is_done = true;
        let body = std::mem::take(&mut self.body);
        let mut lines = body.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        Some(Words {
            first_line,
            body_line: lines.find(|line| !line.is_empty()).map(printable_line),
        })
    }

    /// Drops the words of a reply that is not complete.
    pub(super) fn restart(&mut self) {
        self.first_line = None;
        self.body = Vec::new();
    }
}
