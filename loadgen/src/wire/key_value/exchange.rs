//! One connection's requests with keys, and the replies to them.

use std::collections::VecDeque;

use super::super::mismatch::{Fault, Mismatch, server_message};
use super::super::payload::SLICE_BYTES_MAX;
use super::super::reply::{ErrorWord, Outcome, Reply, UnexpectedReply, WrongValue};
use super::super::traffic::Traffic;
use super::reply_check::{Complaint, ReplyCheck};
use super::reply_reader::ReplyReader;
use super::request::Request;
use super::traffic::{Draws, KeyValueTraffic};

/// Of so many kinds of errors, a connection quotes the first.
const QUOTED_MAX: usize = 8;

/// One connection's position in its requests.
///
/// No message is stored. A request that was made is a few numbers, from which its bytes are made
/// each time they are needed; and there are no more of them than may be outstanding.
#[derive(Debug)]
pub(crate) struct KeyValueExchange {
    connection: u32,
    source: Source,
    /// Number of the next request to be made.
    next: u64,
    /// Requests that are made and not wholly sent, oldest first. Only the first can be partly sent.
    unsent: VecDeque<Request>,
    /// Bytes of the first of them that were sent.
    sent_bytes: u64,
    /// Requests whose first byte was sent, without a reply, oldest first.
    outstanding: VecDeque<Request>,
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
            next: 0,
            unsent: VecDeque::new(),
            sent_bytes: 0,
            outstanding: VecDeque::new(),
            reader: ReplyReader::new(traffic.dialect),
            check: ReplyCheck::new(),
            quoted: Vec::new(),
            has_described: false,
        }
    }

    /// Whether a request is partly sent.
    pub(in crate::wire) fn is_mid_request(&self) -> bool {
        self.sent_bytes > 0
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
        out.clear();
        let count = new + usize::from(self.is_mid_request());
        let mut skip = self.sent_bytes;
        for index in 0..count {
            if out.len() >= SLICE_BYTES_MAX {
                return;
            }
            if index == self.unsent.len() {
                self.unsent.push_back(match &self.source {
                    Source::Drawn(draws) => shared.make(draws, self.next),
                    Source::Preload { first_key } => {
                        shared.make_preload(self.next, first_key + self.next as u32)
                    }
                });
                self.next += 1;
            }
            let request = &self.unsent[index];
            let template = &shared.command(request).template;
            template.append(request, skip, &shared.values, &traffic.payload, out, SLICE_BYTES_MAX);
            skip = 0;
        }
    }

    /// Advances by the first `sent` assembled bytes. Returns how many requests begin with them.
    pub(in crate::wire) fn advance_sent(&mut self, shared: &KeyValueTraffic, sent: usize) -> usize {
        let mut left = sent as u64;
        let mut begun = 0;
        while left > 0
            && let Some(request) = self.unsent.front()
        {
            if self.sent_bytes == 0 {
                self.outstanding.push_back(*request);
                begun += 1;
            }
            let rest = shared.command(request).template.bytes(request) - self.sent_bytes;
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
            let Some(&request) = self.outstanding.front() else {
                let fault = Fault::at(rest, 0, None, server_message(rest));
                return Err(self.mismatch(self.next, fault));
            };
            let check = &mut self.check;
            let read = self
                .reader
                .read(rest, |piece| check.take(piece, &request, shared, &traffic.payload));
            let (taken, is_whole) = match read {
                Ok(read) => read,
                Err(fault) => return Err(self.mismatch(request.number, fault)),
            };
            at += taken;
            if is_whole {
                let reply = self.conclude(&request, shared);
                self.outstanding.pop_front();
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
                        key: shared.command(request).template.key_name(request.key),
                        kind,
                        words,
                    })
                });
            }
            _ => {}
        }
        self.check.restart();
        Reply::Command { command: request.command, outcome }
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
        if self.is_mid_request() {
            self.unsent.pop_front();
            self.sent_bytes = 0;
        }
        self.outstanding.clear();
        self.reader.restart();
        self.check.restart();
    }

    fn mismatch(&self, request: u64, fault: Fault) -> Mismatch {
        let Fault { offset_bytes, expected, got, note } = fault;
        Mismatch { connection: self.connection, request, offset_bytes, expected, got, note }
    }
}
