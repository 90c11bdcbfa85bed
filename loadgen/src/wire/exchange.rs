//! One connection's position in both directions: the next bytes to send, and the replies to them.

use super::framing::Direction;
use super::http::HttpExchange;
use super::key_value::KeyValueExchange;
use super::mismatch::Mismatch;
use super::reply::Reply;
use super::stream::Stream;
use super::traffic::Traffic;
use super::verify::ReplyCheck;
use super::websocket::WebSocketExchange;

/// One connection's position in the traffic.
///
/// No message is stored: the bytes that were sent and the bytes that are expected are generated
/// again, whatever the size of a message. Where replies are not known beforehand, a decoder stores
/// incomplete heads and lines.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// Requests that a connection makes by itself.
    Stream(StreamExchange),
    /// Requests with keys that all connections share.
    KeyValue(Box<KeyValueExchange>),
    /// HTTP requests.
    Http(Box<HttpExchange>),
    /// Messages of WebSocket.
    WebSocket(Box<WebSocketExchange>),
}

/// A position in requests and replies that do not depend on other connections.
#[derive(Debug)]
pub(crate) struct StreamExchange {
    requests: Stream,
    replies: ReplyCheck,
}

impl Exchange {
    /// The beginning of connection number `connection`.
    pub(crate) fn new(traffic: &Traffic, connection: u32) -> Self {
        match (&traffic.key_value, &traffic.http) {
            (Some(shared), _) => {
                Self::KeyValue(Box::new(KeyValueExchange::new(shared, connection)))
            }
            (None, Some(http)) => Self::Http(Box::new(HttpExchange::new(http, connection))),
            (None, None) if traffic.framing.is_websocket() => {
                Self::WebSocket(Box::new(WebSocketExchange::new(traffic, connection)))
            }
            (None, None) => Self::Stream(StreamExchange {
                requests: Stream::new(traffic, Direction::Request, connection),
                replies: ReplyCheck::new(traffic, connection),
            }),
        }
    }

    /// Whether a request is partly sent.
    pub(crate) fn is_mid_request(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.requests.is_inside(),
            Self::KeyValue(exchange) => exchange.is_mid_request(),
            Self::Http(exchange) => exchange.is_mid_request(),
            Self::WebSocket(exchange) => exchange.is_mid_request(),
        }
    }

    /// Whether bytes wait to be sent that belong to no new request: the rest of one, or the answer
    /// to a ping.
    pub(crate) fn has_unsent(&self) -> bool {
        let has_control_frames = match self {
            Self::WebSocket(exchange) => exchange.has_control_frames(),
            Self::Stream(_) | Self::KeyValue(_) | Self::Http(_) => false,
        };
        has_control_frames || self.is_mid_request()
    }

    /// Whether a complete reply has announced that the server closes the connection. The server
    /// answers no request that is sent on it from now on. Only HTTP servers announce this.
    pub(crate) fn wants_close(&self) -> bool {
        match self {
            Self::Http(exchange) => exchange.wants_close(),
            Self::Stream(_) | Self::KeyValue(_) | Self::WebSocket(_) => false,
        }
    }

    /// What the server has said to end the connection, which cannot be used any more. Only
    /// WebSocket has words for that.
    pub(crate) fn take_closed(&mut self) -> Option<String> {
        match self {
            Self::WebSocket(exchange) => exchange.take_closed(),
            Self::Stream(_) | Self::KeyValue(_) | Self::Http(_) => None,
        }
    }

    /// The bytes that end the connection in order, assembled in `scratch`. Only WebSocket has some.
    pub(crate) fn ending<'a>(&mut self, traffic: &Traffic, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        match self {
            Self::WebSocket(exchange) => exchange.assemble_end(traffic, scratch),
            Self::Stream(_) | Self::KeyValue(_) | Self::Http(_) => scratch.clear(),
        }
        scratch
    }

    /// The bytes to send next: the rest of a request already begun, the answers to pings, then up
    /// to `new` further requests; at most [`super::SLICE_BYTES_MAX`]. If they are no slice of the
    /// payload, they are assembled in `scratch`.
    pub(crate) fn outgoing<'a>(
        &mut self,
        traffic: &'a Traffic,
        new: usize,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        match (self, &traffic.key_value, &traffic.http) {
            (Self::Stream(stream), ..) if traffic.framing.is_raw() => {
                return stream.requests.payload_slice(traffic, new);
            }
            (Self::Stream(stream), ..) => stream.requests.assemble(traffic, new, scratch),
            (Self::KeyValue(exchange), Some(shared), _) => {
                exchange.assemble(traffic, shared, new, scratch);
            }
            (Self::Http(exchange), _, Some(http)) => exchange.assemble(http, new, scratch),
            (Self::WebSocket(exchange), ..) => exchange.assemble(traffic, new, scratch),
            (Self::KeyValue(_) | Self::Http(_), ..) => scratch.clear(),
        }
        scratch
    }

    /// Advances by the first `sent` bytes of [`Self::outgoing`], which the socket took. Returns
    /// how many requests begin with them.
    pub(crate) fn advance_sent(&mut self, traffic: &Traffic, sent: usize) -> usize {
        match (self, &traffic.key_value, &traffic.http) {
            (Self::Stream(stream), ..) => stream.requests.advance(traffic, sent).begun,
            (Self::KeyValue(exchange), Some(shared), _) => exchange.advance_sent(shared, sent),
            (Self::Http(exchange), _, Some(http)) => exchange.advance_sent(http, sent),
            (Self::WebSocket(exchange), ..) => exchange.advance_sent(traffic, sent),
            (Self::KeyValue(_) | Self::Http(_), ..) => 0,
        }
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
        match (self, &traffic.key_value, &traffic.http) {
            (Self::Stream(stream), ..) => {
                stream.replies.verify_received(traffic, bytes, outstanding, on_reply)
            }
            (Self::KeyValue(exchange), Some(shared), _) => {
                exchange.verify_received(traffic, shared, bytes, on_reply)
            }
            (Self::Http(exchange), _, Some(http)) => {
                exchange.verify_received(http, bytes, on_reply)
            }
            (Self::WebSocket(exchange), ..) => {
                exchange.verify_received(traffic, bytes, outstanding, on_reply)
            }
            (Self::KeyValue(_) | Self::Http(_), ..) => Ok(()),
        }
    }

    /// The reply that is complete because the server has ended the connection; nothing if no reply
    /// may end so. Only HTTP has such replies.
    pub(crate) fn end_of_stream(&mut self, traffic: &Traffic) -> Option<Reply> {
        match (self, &traffic.http) {
            (Self::Http(exchange), Some(http)) => exchange.end_of_stream(http),
            _ => None,
        }
    }

    /// Drops the unanswered requests: a new connection has replaced the old one. Its first request
    /// is the next that has not been begun.
    pub(crate) fn restart(&mut self) {
        match self {
            Self::Stream(stream) => {
                stream.requests.skip_rest();
                stream.replies.restart(&stream.requests);
            }
            Self::KeyValue(exchange) => exchange.restart(),
            Self::Http(exchange) => exchange.restart(),
            Self::WebSocket(exchange) => exchange.restart(),
        }
    }
}
