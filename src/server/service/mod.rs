//! Services: what a server does with the bytes it receives. Implement [`Service`] for a protocol of
//! your own.

mod chargen;
mod connection;
mod discard;
mod echo;
mod host;
mod messages;
mod shard;
mod work;

pub use chargen::Chargen;
pub use connection::Connection;
pub use discard::Discard;
pub use echo::Echo;
pub(super) use host::Host;
pub use host::in_service_callback;
pub use messages::{MessageSender, Missed, PostError};
pub use shard::Shard;
pub use work::{TimeDistribution, Work, WorkKind};

use crate::server::shard::call::Closed;
use crate::server::shard::dialing::DialError;
use crate::server::shard::service_timers::TimerId;

/// Whether a background job goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// It is called again in the next turn.
    More,
    /// It is not called again, unless it is [started](Shard::start_background) again.
    Done,
}

/// A protocol of a server. Each shard has a clone of the service that the server was started with,
/// so a service needs no lock.
///
/// The server reads, calls [`receive`](Self::receive), and sends what the service gave its
/// [`Connection`]. While a peer does not read its output, the server does not read from it, so
/// memory stays bounded. A callback may also send to other connections of its [`Shard`].
///
/// If a service panics in a callback of a connection, that connection is reset. The shard continues
/// with the others, and with the service as the panic left it.
///
/// ```
/// use std::io::{BufRead, BufReader, Write};
/// use evshard::server::{Connection, ListenAddress, Server, ServerConfig, Service};
///
/// /// Counts the words of each line.
/// #[derive(Clone)]
/// struct WordCount;
///
/// impl Service for WordCount {
///     type Session = ();
///     type Message = ();
///
///     fn open(&mut self, _: &mut Connection<'_, Self>) {}
///
///     fn receive(
///         &mut self,
///         (): &mut (),
///         input: &[u8],
///         connection: &mut Connection<'_, Self>,
///     ) -> usize {
///         let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
///         let line = String::from_utf8_lossy(&input[..end]);
///         let words = line.split_whitespace().count();
///         connection.send(format!("{words}\n").as_bytes());
///         end + 1
///     }
/// }
///
/// let listen = vec!["127.0.0.1:0".parse()?];
/// let server = Server::start(&ServerConfig { listen, ..ServerConfig::default() }, WordCount)?;
/// let ListenAddress::Tcp(address) = server.addresses()[0] else { unreachable!() };
/// let mut client = BufReader::new(std::net::TcpStream::connect(address)?);
/// client.get_mut().write_all(b"three little words\n")?;
/// let mut answer = String::new();
/// client.read_line(&mut answer)?;
/// assert_eq!(answer, "3\n");
/// # drop(client);
/// # server.drain()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Service: Clone + Send + 'static {
    /// The state of each connection. It is moved out of its place for each callback, so a large one
    /// is better boxed.
    type Session: Send + 'static;

    /// What the shards send to each other; `()` for a service whose shards do not.
    type Message: Send + 'static;

    /// How many messages may wait for a shard.
    const MESSAGES_MAX: usize = 4096;

    /// The shard starts. It has no connections yet. Called on its thread.
    fn start(&mut self, _shard: &mut Shard<'_, Self>) {}

    /// A connection begins. With the PROXY protocol its header has already been read, and with TLS
    /// the handshake is done.
    fn open(&mut self, connection: &mut Connection<'_, Self>) -> Self::Session;

    /// A connection begins that the service [dialed](Shard::dial). With TLS the handshake is done.
    fn connected(&mut self, _session: &mut Self::Session, _connection: &mut Connection<'_, Self>) {}

    /// A [dial](Shard::dial) led to no connection. For what [`stop`](Self::stop) dials this is
    /// called after it, with [`DialError::Draining`]. What this dials then has no outcome any more.
    fn dial_failed(
        &mut self,
        _session: Self::Session,
        _error: DialError,
        _shard: &mut Shard<'_, Self>,
    ) {
    }

    /// Bytes arrived. Returns how many of them are consumed: one message or several. The others are
    /// passed again at once. If none of those is consumed, they are passed again together with
    /// later bytes, at most [`Limits::buffer_bytes`](super::Limits::buffer_bytes) of them for at
    /// most [`Limits::message`](super::Limits::message). After a pause, after pending output was
    /// sent, and after a byte rate delayed reading, they are passed once more. A service that
    /// returns more than `input` has bytes panics.
    fn receive(
        &mut self,
        session: &mut Self::Session,
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize;

    /// The time of [`Connection::pause_for`] is over, or the output of
    /// [`Connection::continue_when_sent`] was sent. If this chooses no other step, the connection
    /// receives again.
    fn resume(&mut self, _session: &mut Self::Session, _connection: &mut Connection<'_, Self>) {}

    /// Output that was not sent at once is sent now: the connection has no unsent bytes. The socket
    /// did not take it at first, or another callback of the shard sent it and it was
    /// [collected](Shard::send). So a relay that finds [unsent](Shard::unsent) bytes of another
    /// connection can pause, and read again when this is called. What a callback sends to its own
    /// connection is sent when it returns, and followed by this only if the socket did not take
    /// all of it.
    fn sent(&mut self, _session: &mut Self::Session, _connection: &mut Connection<'_, Self>) {}

    /// A timer that the connection [started](Connection::start_timer) is due. It has ended.
    fn timer(
        &mut self,
        _session: &mut Self::Session,
        _timer: TimerId,
        _token: u64,
        _connection: &mut Connection<'_, Self>,
    ) {
    }

    /// A timer that the shard [started](Shard::start_timer) is due. It has ended.
    fn shard_timer(&mut self, _timer: TimerId, _token: u64, _shard: &mut Shard<'_, Self>) {}

    /// The peer has ended its stream; `rest` is the unconsumed input. By default the connection is
    /// closed once no [answer](Connection::answer_later) is due and everything is sent.
    /// [`Connection::pause`] keeps it open, to send more.
    fn end(
        &mut self,
        _session: &mut Self::Session,
        _rest: &[u8],
        connection: &mut Connection<'_, Self>,
    ) {
        connection.pause_until_answered();
    }

    /// The server starts to drain, or the connection has reached its
    /// [maximum age](super::Limits::age). A service may notify its peer, or close. A connection
    /// that is quiet is closed soon after. For one that begins in the drain this is called right
    /// after [`open`](Self::open) or [`connected`](Self::connected).
    fn drain(&mut self, _session: &mut Self::Session, _connection: &mut Connection<'_, Self>) {}

    /// The connection is closed, for whatever reason.
    fn close(&mut self, _session: Self::Session, _closed: Closed, _shard: &mut Shard<'_, Self>) {}

    /// A message arrived that a shard [posted](Shard::post), or a
    /// [`MessageSender`]. If the service panics here, no connection ends.
    fn message(&mut self, _message: Self::Message, _shard: &mut Shard<'_, Self>) {}

    /// The queue of the shard `full`, to which this shard could not [post](Shard::post), has room
    /// again, or the shard has ended.
    fn room(&mut self, _full: usize, _shard: &mut Shard<'_, Self>) {}

    /// Does a small part of the shard's background job, once a turn; see
    /// [`Shard::start_background`]. Connections wait as long as this takes.
    fn background(&mut self, _shard: &mut Shard<'_, Self>) -> Background {
        Background::Done
    }

    /// The server starts to drain. Called before [`drain`](Self::drain) of the connections.
    fn begin_drain(&mut self, _shard: &mut Shard<'_, Self>) {}

    /// The shard ends. It has no connections any more, and a dial fails.
    fn stop(&mut self, _shard: &mut Shard<'_, Self>) {}
}
