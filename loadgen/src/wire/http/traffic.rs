//! What all connections of a run share: requests, data, and the bodies of the first replies.

use std::sync::Arc;

use super::super::order::{Chooser, Order, Turn};
use super::body_check::References;
use super::data_file::DataFile;
use super::reply_decoder::Rules;
use super::spec::{HttpSpec, PreparedRequest};
use crate::schedule::random;

/// Parts of a seed from which requests and rows are drawn.
const REQUESTS: u64 = 11 << 40;
const ROWS: u64 = 12 << 40;

/// Most bytes of the bodies that replies of one status are compared with.
const REFERENCE_BYTES_MAX: usize = 64 << 20;

/// What all connections of a run share.
#[derive(Debug)]
pub(in crate::wire) struct HttpTraffic {
    spec: Arc<HttpSpec>,
    requests: Chooser,
    rows: Chooser,
    /// For each request, the bodies of the first replies.
    references: Vec<References>,
    seed: u64,
}

/// One request of a connection: what it takes to make its bytes again, and to judge its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// Its number on the connection, from 0.
    pub(super) number: u64,
    /// Its number among the requests of the run.
    index: u32,
    /// The row of the data.
    row: u32,
}

/// From what the requests of a connection are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draws {
    connection: u32,
    requests: u64,
    rows: u64,
}

impl HttpTraffic {
    /// The traffic of a run, before its first reply.
    pub(in crate::wire) fn new(spec: &Arc<HttpSpec>, seed: u64) -> Self {
        let count = spec.requests.len();
        // A sequence of requests uses one row for all of them, so that each meets each row.
        let is_sequence = matches!(spec.order, Order::Sequential | Order::Timed);
        let passes = if is_sequence { count } else { 1 };
        let rows = spec.data.as_ref().map_or(1, |data| data.rows());
        let bytes_max = REFERENCE_BYTES_MAX / count;
        let weight = |number: u32| spec.requests[number as usize].weight;
        Self {
            requests: Chooser::new(spec.order, count as u32, 1, weight),
            rows: Chooser::new(spec.data_order, rows as u32, passes as u64, |_| 1),
            references: (0..count).map(|_| References::new(bytes_max)).collect(),
            spec: Arc::clone(spec),
            seed,
        }
    }

    /// From what the requests of a connection are drawn.
    pub(super) fn draws(&self, connection: u32) -> Draws {
        let key = |part: u64| random::key(self.seed, part + u64::from(connection));
        Draws { connection, requests: key(REQUESTS), rows: key(ROWS) }
    }

    /// Request `number` of a connection.
    pub(super) fn make(&self, draws: &Draws, number: u64) -> Request {
        let turn =
            Turn { connection: draws.connection, number, connections: self.spec.connections };
        Request {
            number,
            index: self.requests.choose(turn, draws.requests),
            row: self.rows.choose(turn, draws.rows),
        }
    }

    /// Length of a request.
    pub(super) fn bytes(&self, request: &Request) -> u64 {
        self.prepared(request).template.bytes(request.row as usize, self.data())
    }

    /// Appends a request from `offset` bytes on to `out`, until `out` has `limit` bytes.
    pub(super) fn append(&self, request: &Request, offset: u64, out: &mut Vec<u8>, limit: usize) {
        let template = &self.prepared(request).template;
        template.append(request.row as usize, self.data(), offset, out, limit);
    }

    /// What the reply to a request must be.
    pub(super) fn rules(&self, request: &Request) -> Rules<'_> {
        let prepared = self.prepared(request);
        Rules {
            is_head: prepared.is_head,
            verify: prepared.verify,
            expected: &self.spec.statuses,
            references: &self.references[request.index as usize],
            expect_body: &prepared.expect_body,
        }
    }

    fn prepared(&self, request: &Request) -> &PreparedRequest {
        &self.spec.requests[request.index as usize]
    }

    fn data(&self) -> Option<&DataFile> {
        self.spec.data.as_deref()
    }
}
