//! One exchange and the naive server at its other end.

use std::sync::Arc;

use super::peer::{self, SentReply};
use crate::wire::http::{ExpectedStatuses, HttpOptions, HttpSpec, RequestSpec, Requests};
use crate::wire::{
    Exchange, Mismatch, Order, Protocol, Reply, SLICE_BYTES_MAX, Setup, Traffic, TrafficSpec,
    Verify,
};

/// All protocols without keys.
pub(super) const PROTOCOLS: [Protocol; 8] = [
    Protocol::Raw,
    Protocol::Len32,
    Protocol::Line,
    Protocol::Http,
    Protocol::RespPing,
    Protocol::RespEcho,
    Protocol::Memcached,
    Protocol::WebSocket,
];

/// One of every kind of sizes, and the shortest.
pub(super) const SIZES: [&str; 5] = ["1", "64", "1..300", "5:3,700:1", "lognormal:60,1"];

/// All degrees of comparison.
pub(super) const VERIFY: [Verify; 3] = [Verify::Full, Verify::Length, Verify::None];

/// A run's traffic.
pub(super) fn traffic(protocol: Protocol, sizes: &str, verify: Verify) -> Traffic {
    Traffic::new(&spec(protocol, sizes, verify), 11)
}

/// The options of a run's traffic.
pub(in crate::wire) fn spec(protocol: Protocol, sizes: &str, verify: Verify) -> TrafficSpec {
    TrafficSpec {
        protocol,
        sizes: sizes.parse().unwrap(),
        verify,
        is_text: false,
        http: (protocol == Protocol::Http)
            .then(|| http(HttpOptions { verify: Some(verify), ..get() })),
        setup: Setup::Nothing,
        key_value: None,
    }
}

/// A `GET` of all connections.
pub(super) fn get() -> HttpOptions {
    HttpOptions {
        host: "example:80".to_owned(),
        requests: Requests::One(Box::new(RequestSpec::get("/path".to_owned()))),
        headers: vec!["Accept: */*".to_owned()],
        statuses: ExpectedStatuses::default(),
        order: None,
        data: None,
        data_order: Order::default(),
        verify: None,
        expect_body: None,
        connections: 1,
    }
}

/// These options, prepared.
pub(super) fn http(options: HttpOptions) -> Arc<HttpSpec> {
    Arc::new(HttpSpec::new(options).unwrap())
}

/// A run's traffic with these options.
pub(super) fn http_traffic(options: HttpOptions) -> Traffic {
    let verify = options.verify.unwrap_or_default();
    let spec = TrafficSpec { http: Some(http(options)), ..spec(Protocol::Http, "1", verify) };
    Traffic::new(&spec, 11)
}

/// A connection in memory.
#[derive(Debug)]
pub(super) struct Fixture<'a> {
    traffic: &'a Traffic,
    protocol: Protocol,
    connection: u32,
    pub(super) exchange: Exchange,
    scratch: Vec<u8>,
    /// Requests begun, by the exchange's account, and how many of them before the last restart.
    pub(super) begun: usize,
    begun_before: usize,
    pub(super) outstanding: usize,
    /// Bytes on the way to the server that are no whole request yet.
    arriving: Vec<u8>,
    /// Requests that the server got whole since the last restart.
    served: usize,
    /// Bytes of the connection's payload before the next request's.
    payload_before: u64,
    /// Replies on the way back, and how many bytes of the first have been read.
    pub(super) replies: Vec<SentReply>,
    read_bytes: usize,
}

impl<'a> Fixture<'a> {
    pub(super) fn new(traffic: &'a Traffic, protocol: Protocol, connection: u32) -> Self {
        Self {
            traffic,
            protocol,
            connection,
            exchange: Exchange::new(traffic, connection),
            scratch: Vec::new(),
            begun: 0,
            begun_before: 0,
            outstanding: 0,
            arriving: Vec::new(),
            served: 0,
            payload_before: 0,
            replies: Vec::new(),
            read_bytes: 0,
        }
    }

    /// Offers `new` requests to a socket that takes `write_max` bytes, and checks the books.
    pub(super) fn send(&mut self, new: usize, write_max: usize) {
        let was_inside = self.exchange.is_mid_request();
        let bytes = self.exchange.outgoing(self.traffic, new, &mut self.scratch);
        assert_eq!(bytes.is_empty(), new == 0 && !was_inside);
        assert!(bytes.len() <= SLICE_BYTES_MAX);
        let taken = bytes.len().min(write_max);
        let is_all = taken == bytes.len() && taken < SLICE_BYTES_MAX;
        self.arriving.extend_from_slice(&bytes[..taken]);
        let begun = self.exchange.advance_sent(self.traffic, taken);
        assert!(begun <= new);
        if is_all {
            assert_eq!((begun, self.exchange.is_mid_request()), (new, false));
        }
        self.begun += begun;
        self.outstanding += begun;
        self.serve();
        let at_the_server = self.served + usize::from(!self.arriving.is_empty());
        assert_eq!(self.begun - self.begun_before, at_the_server);
        assert_eq!(self.exchange.is_mid_request(), !self.arriving.is_empty());
    }

    /// The server takes what has come whole and replies.
    fn serve(&mut self) {
        loop {
            let size = self.size_of(self.begun_before + self.served);
            let Some(request) =
                peer::first_request(self.protocol, self.connection, size as usize, &self.arriving)
            else {
                return;
            };
            self.expect_payload(&request.payload, size);
            self.arriving.drain(..request.bytes);
            self.replies.push(peer::reply_to(self.protocol, &request, self.served));
            self.served += 1;
            self.payload_before += size;
        }
    }

    fn size_of(&self, request: usize) -> u64 {
        self.traffic.sizes.size_of(self.traffic.sizes_key(self.connection), request as u64)
    }

    /// The payload of a request is what seed, connection and number make it, whatever happened to
    /// the requests before.
    fn expect_payload(&self, payload: &[u8], size: u64) {
        let expected = match self.protocol {
            Protocol::Http | Protocol::RespPing => 0,
            Protocol::Line => size - 1,
            _ => size,
        };
        assert_eq!(payload.len() as u64, expected);
        let mut place = self.traffic.payload.start(self.connection).plus(self.payload_before);
        for piece in payload.chunks(SLICE_BYTES_MAX) {
            // No comparison that would print a mebibyte.
            assert!(piece == self.traffic.payload.slice(place, piece.len() as u64));
            place = place.plus(piece.len() as u64);
        }
    }

    /// The exchange reads up to `read_max` bytes; returns how many replies it says they complete,
    /// which must be as many as they do.
    pub(super) fn receive(&mut self, read_max: usize) -> usize {
        let stream: Vec<u8> = self.replies.iter().flat_map(|reply| reply.bytes.clone()).collect();
        let unread = &stream[self.read_bytes..];
        let bytes = &unread[..unread.len().min(read_max)];
        let mut completed = 0;
        let on_reply = |reply| {
            assert!(matches!(reply, Reply::Right { .. }), "{reply:?}");
            completed += 1;
        };
        let result = self.exchange.verify_received(self.traffic, bytes, self.outstanding, on_reply);
        assert_eq!(result, Ok(()), "{}", self.protocol);
        self.read_bytes += bytes.len();
        let mut whole = 0;
        while self.replies.first().is_some_and(|reply| reply.bytes.len() <= self.read_bytes) {
            self.read_bytes -= self.replies.remove(0).bytes.len();
            whole += 1;
        }
        assert_eq!(completed, whole, "{}", self.protocol);
        self.outstanding -= completed;
        completed
    }

    /// The connection is replaced.
    pub(super) fn restart(&mut self) {
        self.exchange.restart();
        self.payload_before +=
            (self.begun_before + self.served..self.begun).map(|k| self.size_of(k)).sum::<u64>();
        self.begun_before = self.begun;
        (self.outstanding, self.served, self.read_bytes) = (0, 0, 0);
        self.arriving.clear();
        self.replies.clear();
    }

    /// Gives the exchange these bytes in pieces of these lengths, over and over, up to the first
    /// reply that is not right. Returns how many right replies were completed before, and the first
    /// wrong byte.
    pub(super) fn read(&mut self, bytes: &[u8], pieces: &[usize]) -> (usize, Option<Mismatch>) {
        let (replies, mismatch) = self.replies_in(bytes, pieces);
        let right = replies.iter().take_while(|reply| matches!(reply, Reply::Right { .. })).count();
        let change = match replies.into_iter().nth(right) {
            Some(Reply::BodyChanged { change, .. }) => Some(*change),
            Some(other) => panic!("{other:?}"),
            None => None,
        };
        (right, change.or(mismatch))
    }

    /// Gives the exchange these bytes in pieces of these lengths, over and over. Returns the
    /// complete replies, and the byte at which the connection became useless.
    pub(super) fn replies_in(
        &mut self,
        bytes: &[u8],
        pieces: &[usize],
    ) -> (Vec<Reply>, Option<Mismatch>) {
        let mut left = bytes;
        let mut replies = Vec::new();
        for &piece in pieces.iter().cycle() {
            let (now, later) = left.split_at(piece.min(left.len()));
            let before = replies.len();
            let result =
                self.exchange.verify_received(self.traffic, now, self.outstanding, |reply| {
                    replies.push(reply);
                });
            self.outstanding -= replies.len() - before;
            match result {
                Err(mismatch) => return (replies, Some(mismatch)),
                Ok(()) if later.is_empty() => break,
                Ok(()) => left = later,
            }
        }
        (replies, None)
    }
}
