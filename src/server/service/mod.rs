//! Services: what a server does with the bytes it receives. Implement [`Service`] for a protocol of
//! your own.

mod chargen;
mod discard;
mod echo;
mod host;
mod outlet;
mod peer;
mod pending_output;
mod work;

pub use chargen::Chargen;
pub use discard::Discard;
pub use echo::Echo;
pub use host::in_service_callback;
pub(super) use host::{Host, Hosted};
pub(super) use outlet::NextStep;
pub use outlet::Outlet;
pub use peer::{Peer, PeerAddress};
pub(super) use pending_output::OutputFailure;
pub use work::{TimeDistribution, Work, WorkKind};

/// A protocol of a server. Each shard has a clone of the service that the server was started with,
/// so a service needs no lock.
///
/// The server reads, calls [`receive`](Self::receive), and sends what the service gave its
/// [`Outlet`]. While a peer does not read its output, the server does not read from it, so memory
/// stays bounded. If a service panics, the connection of that call is reset. The shard continues
/// with the others, and with the service as the panic left it.
///
/// ```
/// use std::io::{BufRead, BufReader, Write};
/// use evshard::server::{ListenAddress, Outlet, Peer, Server, ServerConfig, Service};
///
/// /// Counts the words of each line.
/// #[derive(Clone)]
/// struct WordCount;
///
/// impl Service for WordCount {
///     type Session = ();
///
///     fn open(&mut self, _: &Peer<'_>, _: &mut Outlet<'_>) {}
///
///     fn receive(&mut self, (): &mut (), input: &[u8], out: &mut Outlet<'_>) -> usize {
///         let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
///         let line = String::from_utf8_lossy(&input[..end]);
///         out.send(format!("{}\n", line.split_whitespace().count()).as_bytes());
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
    /// The state of each connection.
    type Session: Send + 'static;

    /// A connection begins. With the PROXY protocol its header has already been read.
    fn open(&mut self, peer: &Peer<'_>, out: &mut Outlet<'_>) -> Self::Session;

    /// Bytes arrived. Returns how many of them are consumed: one message or several. The others are
    /// passed again at once. If none of those is consumed, they are passed again together with
    /// later bytes, at most [`Limits::buffer_bytes`](super::Limits::buffer_bytes) of them for at
    /// most [`Limits::message`](super::Limits::message). After a pause, after pending output was
    /// sent, and after a byte rate delayed reading, they are passed once more. A service that
    /// returns more than `input` has bytes panics.
    fn receive(&mut self, session: &mut Self::Session, input: &[u8], out: &mut Outlet<'_>)
    -> usize;

    /// The time of [`Outlet::pause_for`] is over, or the output of [`Outlet::continue_when_sent`]
    /// was sent.
    fn resume(&mut self, _session: &mut Self::Session, _out: &mut Outlet<'_>) {}

    /// The peer has ended its stream; `rest` is the unconsumed input. By default the connection is
    /// closed once everything is sent.
    fn end(&mut self, _session: &mut Self::Session, _rest: &[u8], out: &mut Outlet<'_>) {
        out.close();
    }

    /// The server starts to drain, or the connection has reached its
    /// [maximum age](super::Limits::age). A service may notify its peer, or close. A connection
    /// that is quiet is closed soon after.
    fn drain(&mut self, _session: &mut Self::Session, _out: &mut Outlet<'_>) {}

    /// The connection is closed, for whatever reason.
    fn close(&mut self, _session: Self::Session) {}
}
