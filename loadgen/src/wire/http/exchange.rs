//! One connection's HTTP requests, and the replies to them.

use std::collections::VecDeque;

use super::super::mismatch::{Fault, Mismatch, server_message};
use super::super::payload::SLICE_BYTES_MAX;
use super::super::reply::{Reply, UnexpectedReply};
use super::reply_decoder::{DecodedReply, ReplyDecoder};
use super::traffic::{Draws, HttpTraffic, Request};

/// One connection's position in its requests.
///
/// No message is stored. A request that was made is a few numbers, from which its bytes are made
/// each time they are needed; and there are no more of them than may be outstanding.
#[derive(Debug)]
pub(crate) struct HttpExchange {
    connection: u32,
    draws: Draws,
    /// Number of the next request to be made.
    next: u64,
    /// Requests that are made and not wholly sent, oldest first. Only the first can be partly sent.
    unsent: VecDeque<Request>,
    /// Bytes of the first of them that were sent.
    sent_bytes: u64,
    /// Requests whose first byte was sent, without a reply, oldest first.
    outstanding: VecDeque<Request>,
    decoder: ReplyDecoder,
}

impl HttpExchange {
    /// The beginning of connection number `connection`.
    pub(in crate::wire) fn new(traffic: &HttpTraffic, connection: u32) -> Self {
        Self {
            connection,
            draws: traffic.draws(connection),
            next: 0,
            unsent: VecDeque::new(),
            sent_bytes: 0,
            outstanding: VecDeque::new(),
            decoder: ReplyDecoder::new(connection),
        }
    }

    /// Whether a request is partly sent.
    pub(in crate::wire) fn is_mid_request(&self) -> bool {
        self.sent_bytes > 0
    }

    /// Whether a complete reply has announced the end of the connection.
    pub(in crate::wire) fn wants_close(&self) -> bool {
        self.decoder.wants_close()
    }

    /// Assembles the bytes to send next: the rest of a request already begun, then up to `new`
    /// further ones.
    pub(in crate::wire) fn assemble(
        &mut self,
        traffic: &HttpTraffic,
        new: usize,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        let count = new + usize::from(self.is_mid_request());
        let mut skip = self.sent_bytes;
        for index in 0..count {
            if out.len() >= SLICE_BYTES_MAX {
                return;
            }
            if index == self.unsent.len() {
                self.unsent.push_back(traffic.make(&self.draws, self.next));
                self.next += 1;
            }
            traffic.append(&self.unsent[index], skip, out, SLICE_BYTES_MAX);
            skip = 0;
        }
    }

    /// Advances by the first `sent` assembled bytes. Returns how many requests begin with them.
    pub(in crate::wire) fn advance_sent(&mut self, traffic: &HttpTraffic, sent: usize) -> usize {
        let mut left = sent as u64;
        let mut begun = 0;
        while left > 0
            && let Some(request) = self.unsent.front()
        {
            if self.sent_bytes == 0 {
                self.outstanding.push_back(*request);
                begun += 1;
            }
            let rest = traffic.bytes(request) - self.sent_bytes;
            if left < rest {
                self.sent_bytes += left;
                break;
            }
            left -= rest;
            self.sent_bytes = 0;
            self.unsent.pop_front();
        }
        begun
    }

    /// Parses and checks received bytes. Calls `on_reply` for each complete reply. An error is the
    /// first byte that cannot be understood.
    pub(in crate::wire) fn verify_received(
        &mut self,
        traffic: &HttpTraffic,
        bytes: &[u8],
        mut on_reply: impl FnMut(Reply),
    ) -> Result<(), Mismatch> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let Some(&request) = self.outstanding.front() else {
                let next = self.unsent.front().map_or(self.next, |request| request.number);
                let fault = Fault::at(rest, 0, None, server_message(rest));
                return Err(self.mismatch(next, fault));
            };
            let read = self.decoder.verify_received(rest, &traffic.rules(&request));
            let (taken, decoded) = match read {
                Ok(read) => read,
                Err(fault) => return Err(self.mismatch(request.number, fault)),
            };
            at += taken;
            if let Some(decoded) = decoded {
                self.outstanding.pop_front();
                on_reply(self.reply(request.number, decoded));
            }
        }
        Ok(())
    }

    /// The reply that ends because the server has ended the connection.
    pub(in crate::wire) fn end_of_stream(&mut self, traffic: &HttpTraffic) -> Option<Reply> {
        let request = *self.outstanding.front()?;
        let decoded = self.decoder.end_of_stream(&traffic.rules(&request))?;
        self.outstanding.pop_front();
        Some(self.reply(request.number, decoded))
    }

    /// Drops the unanswered requests: a new connection has replaced the old one.
    pub(in crate::wire) fn restart(&mut self) {
        if self.is_mid_request() {
            self.unsent.pop_front();
            self.sent_bytes = 0;
        }
        self.outstanding.clear();
        self.decoder.restart();
    }

    fn reply(&self, request: u64, decoded: DecodedReply) -> Reply {
        match decoded {
            DecodedReply::Right { status } => Reply::Right { status: Some(status) },
            DecodedReply::Unexpected { status, words } => {
                let quote = words.map(|words| {
                    Box::new(UnexpectedReply {
                        connection: self.connection,
                        request,
                        first_line: words.first_line,
                        body_line: words.body_line,
                    })
                });
                Reply::Unexpected { status: Some(status), quote }
            }
            DecodedReply::BodyChanged { status, change } => {
                Reply::BodyChanged { status, change: Box::new(self.mismatch(request, change)) }
            }
        }
    }

    fn mismatch(&self, request: u64, fault: Fault) -> Mismatch {
        let Fault { offset_bytes, expected, got, note } = fault;
        Mismatch { connection: self.connection, request, offset_bytes, expected, got, note }
    }
}
