//! One connection's requests with keys, and the replies to them.

use super::super::mismatch::{Fault, Mismatch, server_message};
use super::super::payload::SLICE_BYTES_MAX;
use super::super::reply::{ErrorWord, Outcome, Reply, UnexpectedReply, WrongValue};
use super::super::requests_in_flight::RequestsInFlight;
use super::super::traffic::Traffic;
use super::reply_check::{Complaint, ReplyCheck};
use super::reply_reader::ReplyReader;
use super::request::Request;
use super::traffic::{Draws, KeyValueTraffic};

/// Of so many kinds of errors, a connection quotes the first.
const QUOTED_MAX: usize = 8;

/// One connection's position in its requests.
#[derive(Debug)]
pub(crate) struct KeyValueExchange {
    connection: u32,
    source: Source,
    requests: RequestsInFlight<Request>,
    reader: ReplyReader,
    check: ReplyCheck,
    quoted: Vec<ErrorWord>,
    /// Whether a wrong value has been described.
    has_described: bool,
}

/// Which requests there are.
#[derive(Debug)]
enum Source {
    /// Those of a connection, drawn.
    Drawn(Draws),
    /// A write of each key from this one on.
    Preload { first_key: u32 },
}

impl KeyValueExchange {
    /// The beginning of connection number `connection`.
    pub(in crate::wire) fn new(traffic: &KeyValueTraffic, connection: u32) -> Self {
        Self::with(traffic, connection, Source::Drawn(traffic.draws(connection)))
    }

    /// Writes each key from `first_key` on.
    pub(super) fn preloading(traffic: &KeyValueTraffic, first_key: u32) -> Self {
        Self::with(traffic, 0, Source::Preload { first_key })
    }

    fn with(traffic: &KeyValueTraffic, connection: u32, source: Source) -> Self {
        Self {
            connection,
            source,
            requests: RequestsInFlight::default(),
            reader: ReplyReader::new(traffic.dialect),
            check: ReplyCheck::new(),
            quoted: Vec::new(),
            has_described: false,
        }
    }

    /// Whether a request is partly sent.
    pub(in crate::wire) fn is_mid_request(&self) -> bool {
        self.requests.is_mid_request()
    }

    /// Assembles the bytes to send next: the rest of a request already begun, then up to `new`
    /// further ones.
    pub(in crate::wire) fn assemble(
        &mut self,
        traffic: &Traffic,
        shared: &KeyValueTraffic,
        new: usize,
        out: &mut Vec<u8>,
    ) {
        let source = &self.source;
        let make = |number| match source {
            Source::Drawn(draws) => shared.make(draws, number),
            Source::Preload { first_key } => shared.make_preload(number, first_key + number as u32),
        };
        let append = |request: &Request, skip, out: &mut Vec<u8>| {
            let template = &shared.command(request).template;
            template.append(request, skip, &shared.values, &traffic.payload, out, SLICE_BYTES_MAX);
        };
        self.requests.assemble(new, out, make, append);
    }

    /// Advances by the first `sent` assembled bytes. Returns how many requests begin with them.
    pub(in crate::wire) fn advance_sent(&mut self, shared: &KeyValueTraffic, sent: usize) -> usize {
        let bytes = |request: &Request| shared.command(request).template.bytes(request);
        self.requests.advance_sent(sent, bytes)
    }

    /// Reads and checks received bytes. Calls `on_reply` for each complete reply. An error is the
    /// first byte that cannot be understood.
    pub(in crate::wire) fn verify_received(
        &mut self,
        traffic: &Traffic,
        shared: &KeyValueTraffic,
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
            let check = &mut self.check;
            let read = self
                .reader
                .read(rest, |piece| check.take(piece, &request, shared, &traffic.payload));
            let (taken, is_whole) = match read {
                Ok(read) => read,
                Err(fault) => return Err(fault.of_reply(self.connection, request.number)),
            };
            at += taken;
            if is_whole {
                let reply = self.conclude(&request, shared);
                self.requests.answered();
                on_reply(reply);
            }
        }
        Ok(())
    }

    fn conclude(&mut self, request: &Request, shared: &KeyValueTraffic) -> Reply {
        let (mut outcome, complaint) = self.check.conclude(request, shared);
        match &mut outcome {
            Outcome::Error { word, quote } if self.is_new(*word) => {
                *quote = Some(Box::new(UnexpectedReply {
                    connection: self.connection,
                    request: request.number,
                    first_line: self.check.words(),
                    body_line: None,
                }));
            }
            Outcome::Wrong { found, .. } => {
                let complaint = complaint.filter(|_| !self.has_described);
                self.has_described |= complaint.is_some();
                *found = complaint.map(|Complaint { kind, words }| {
                    Box::new(WrongValue {
                        connection: self.connection,
                        request: request.number,
                        key: shared.key_name(request.key),
                        kind,
                        words,
                    })
                });
            }
            _ => {}
        }
        self.check.restart();
        Reply::Command { name: shared.command(request).name, outcome }
    }

    /// Whether no error of this kind has been quoted, and there is room for one.
    fn is_new(&mut self, word: ErrorWord) -> bool {
        let is_new = self.quoted.len() < QUOTED_MAX && !self.quoted.contains(&word);
        if is_new {
            self.quoted.push(word);
        }
        is_new
    }

    /// Drops the unanswered requests: a new connection has replaced the old one.
    pub(in crate::wire) fn restart(&mut self) {
        self.requests.restart();
        self.reader.restart();
        self.check.restart();
    }
}
