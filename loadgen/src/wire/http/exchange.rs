//! One connection's HTTP requests, and the replies to them.

use super::super::mismatch::{Fault, Mismatch, server_message};
use super::super::payload::SLICE_BYTES_MAX;
use super::super::reply::{Reply, UnexpectedReply};
use super::super::requests_in_flight::RequestsInFlight;
use super::reply_decoder::{DecodedReply, ReplyDecoder};
use super::traffic::{Draws, HttpTraffic, Request};

/// One connection's position in its requests.
#[derive(Debug)]
pub(crate) struct HttpExchange {
    connection: u32,
    draws: Draws,
    requests: RequestsInFlight<Request>,
    decoder: ReplyDecoder,
}

impl HttpExchange {
    /// The beginning of connection number `connection`.
    pub(in crate::wire) fn new(traffic: &HttpTraffic, connection: u32) -> Self {
        Self {
            connection,
            draws: traffic.draws(connection),
            requests: RequestsInFlight::default(),
            decoder: ReplyDecoder::new(connection),
        }
    }

    /// Whether a request is partly sent.
    pub(in crate::wire) fn is_mid_request(&self) -> bool {
        self.requests.is_mid_request()
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
        let append = |request: &Request, skip, out: &mut Vec<u8>| {
            traffic.append(request, skip, out, SLICE_BYTES_MAX);
        };
        self.requests.assemble(new, out, |number| traffic.make(&self.draws, number), append);
    }

    /// Advances by the first `sent` assembled bytes. Returns how many requests begin with them.
    pub(in crate::wire) fn advance_sent(&mut self, traffic: &HttpTraffic, sent: usize) -> usize {
        self.requests.advance_sent(sent, |request| traffic.bytes(request))
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
            let Some(request) = self.requests.awaited() else {
                let fault = Fault::at(rest, 0, None, server_message(rest));
                return Err(fault.of_reply(self.connection, self.requests.unbegun()));
            };
            let read = self.decoder.verify_received(rest, &traffic.rules(&request));
            let (taken, decoded) = match read {
                Ok(read) => read,
                Err(fault) => return Err(fault.of_reply(self.connection, request.number)),
            };
            at += taken;
            if let Some(decoded) = decoded {
                self.requests.answered();
                on_reply(self.reply(request.number, decoded));
            }
        }
        Ok(())
    }

    /// The reply that ends because the server has ended the connection.
    pub(in crate::wire) fn end_of_stream(&mut self, traffic: &HttpTraffic) -> Option<Reply> {
        let request = self.requests.awaited()?;
        let decoded = self.decoder.end_of_stream(&traffic.rules(&request))?;
        self.requests.answered();
        Some(self.reply(request.number, decoded))
    }

    /// Drops the unanswered requests: a new connection has replaced the old one.
    pub(in crate::wire) fn restart(&mut self) {
        self.requests.restart();
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
            DecodedReply::BodyChanged { status, change } => Reply::BodyChanged {
                status,
                change: Box::new(change.of_reply(self.connection, request)),
            },
        }
    }
}
