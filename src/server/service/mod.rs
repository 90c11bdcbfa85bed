//! Services: what a server does with the bytes it gets. A protocol of your own is a [`Service`].

mod chargen;
mod discard;
mod echo;
mod host;
mod outlet;
mod peer;
mod work;

pub use chargen::Chargen;
pub use discard::Discard;
pub use echo::Echo;
pub use host::in_service_callback;
pub(super) use host::{Host, Hosted};
pub use outlet::Outlet;
pub(super) use outlet::{NextStep, OutletFailure, PendingOutput, would_wait};
pub use peer::{Peer, PeerAddress};
pub use work::{TimeDistribution, Work, WorkKind};

/// A protocol: bytes in, bytes out, close, pause. A server has one for each shard, a clone of the
/// one it was started with; so what a service keeps needs no lock.
///
/// The server reads, calls [`receive`](Self::receive), and sends what the service gave its
/// [`Outlet`]. While a peer does not read what it was sent, it is not read from, and its memory
/// stays bounded. A service that panics loses the connection it was called for, which is reset;
/// the shard goes on with the others, and with the service as the panic left it.
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
    /// What is kept of each connection.
    type Session: Send + 'static;

    /// A connection begins. With the PROXY protocol its header has been read.
    fn open(&mut self, peer: &Peer<'_>, out: &mut Outlet<'_>) -> Self::Session;

    /// Bytes came; returns how many of them are done with, a message or several. The others are
    /// offered again at once; if then none is consumed, together with what comes after them, at
    /// most [`Limits::buffer_bytes`](super::Limits::buffer_bytes) of them for at most
    /// [`Limits::message`](super::Limits::message). After a pause, and when the peer has read what
    /// it was sent, they are offered once more.
    fn receive(&mut self, session: &mut Self::Session, input: &[u8], out: &mut Outlet<'_>)
    -> usize;

    /// What was asked for by [`Outlet::pause_for`] or [`Outlet::continue_when_sent`] has come.
    fn resume(&mut self, _session: &mut Self::Session, _out: &mut Outlet<'_>) {}

    /// The peer sends no more; `rest` is what was not consumed. By default the connection is
    /// closed once everything is sent.
    fn end(&mut self, _session: &mut Self::Session, _rest: &[u8], out: &mut Outlet<'_>) {
        out.close();
    }

    /// The server is about to leave: a service may say so to its peer, or close. A connection that
    /// is quiet is closed soon after.
    fn drain(&mut self, _session: &mut Self::Session, _out: &mut Outlet<'_>) {}

    /// The connection is gone, however it ended.
    fn close(&mut self, _session: Self::Session) {}
}
