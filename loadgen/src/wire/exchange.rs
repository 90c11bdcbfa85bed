//! One connection's position in both directions: the next bytes to send, and the replies to them.

use super::framing::Direction;
use super::mismatch::Mismatch;
use super::reply::Reply;
use super::stream::Stream;
use super::traffic::Traffic;
use super::verify::ReplyCheck;

/// One connection's position in the traffic.
///
/// No message is stored: the bytes that were sent and the bytes that are expected are generated
/// again, whatever the size of a message. HTTP replies are not known beforehand. For them, a
/// decoder stores incomplete heads.
#[derive(Debug)]
pub(crate) struct Exchange {
    requests: Stream,
    replies: ReplyCheck,
}

impl Exchange {
    /// The beginning of connection number `connection`.
    pub(crate) fn new(traffic: &Traffic, connection: u32) -> Self {
        Self {
            requests: Stream::new(traffic, Direction::Request, connection),
            replies: ReplyCheck::new(traffic, connection),
        }
    }

    /// Whether a request is partly sent.
    pub(crate) fn is_mid_request(&self) -> bool {
        self.requests.is_inside()
    }

    /// Whether a complete reply has announced that the server closes the connection. The server
    /// answers no request that is sent on it from now on. Only HTTP servers announce this.
    pub(crate) fn wants_close(&self) -> bool {
        self.replies.wants_close()
    }

    /// The bytes to send next: the rest of a request already begun, then up to `new` further ones;
    /// at most [`super::SLICE_BYTES_MAX`]. If they are no slice of the payload, they are assembled
    /// in `scratch`.
    pub(crate) fn outgoing<'a>(
        &self,
        traffic: &'a Traffic,
        new: usize,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        if traffic.framing.is_raw() {
            return self.requests.payload_slice(traffic, new);
        }
        self.requests.assemble(traffic, new, scratch);
        scratch
    }

    /// Advances by the first `sent` bytes of [`Self::outgoing`], which the socket took. Returns
    /// how many requests begin with them.
    pub(crate) fn advance_sent(&mut self, traffic: &Traffic, sent: usize) -> usize {
        self.requests.advance(traffic, sent).begun
    }

    /// Compares received bytes, in place, while `outstanding` requests are unanswered. Calls
    /// `on_reply` for each complete reply. An error is the first byte that is wrong: the connection
    /// cannot be used after it.
    pub(crate) fn verify_received(
        &mut self,
        traffic: &Traffic,
        bytes: &[u8],
        outstanding: usize,
        on_reply: impl FnMut(Reply),
    ) -> Result<(), Mismatch> {
        self.replies.verify_received(traffic, bytes, outstanding, on_reply)
    }

    /// Drops the unanswered requests: a new connection has replaced the old one. Its first request
    /// is the next that has not been begun.
    pub(crate) fn restart(&mut self) {
        self.requests.skip_rest();
        self.replies.restart(&self.requests);
    }
}
