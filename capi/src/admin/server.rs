//! The thread that answers clients, on an event base of its own.
//!
//! It reads what bases record, calls nothing of the program, and writes no message: the program's
//! function for messages belongs to the program's threads.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::mem;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evshard::{
    BackendKind, Config, EventBase, EventId, EventSpec, Fired, Interest, Ready, Registry, Token,
};

use super::http::{self, Parsed, REQUEST_MAX, Response};
use super::observed::Observed;
use super::pages;
use super::snapshot::Names;

/// Clients at once. Another one replaces the oldest: one that has sent its request is not among
/// them, because it has its response.
const CLIENTS_MAX: usize = 16;
/// How long a client may take to send its request and to read the response.
const CLIENT_TIME: Duration = Duration::from_secs(5);
/// How long the server does not accept after the process was out of descriptors or memory.
const PAUSE: Duration = Duration::from_secs(1);

/// The context of the base's handlers.
pub(super) struct Server {
    listener: UnixListener,
    listening: EventId,
    resume: EventId,
    /// By their numbers, in the order in which they came.
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    observed: Arc<Observed>,
    names: Names,
}

struct Client {
    stream: UnixStream,
    event: EventId,
    deadline: Instant,
    input: Vec<u8>,
    /// The part of the response that is not sent yet.
    output: Vec<u8>,
}

/// Whether to go on with a client.
enum Next {
    Read,
    Write,
    Close,
}

/// The base of the thread and its context.
pub(super) struct Prepared {
    base: EventBase<Server>,
    server: Server,
}

impl Prepared {
    /// Opens the base. The program's thread does that, which may log why it failed.
    pub(super) fn new(listener: UnixListener, observed: Arc<Observed>) -> evshard::Result<Self> {
        let config = Config::default().ignore_environment().avoid(BackendKind::IoUring);
        let mut base = EventBase::new(config)?;
        let registry = base.registry();
        let spec = EventSpec::io(&listener, Interest::READ).persist();
        let listening = registry.create(spec, on_acceptable);
        registry.add(listening, None)?;
        let resume = registry.create(EventSpec::timer(), on_resume);
        let (clients, names) = (BTreeMap::new(), Names::default());
        let server =
            Server { listener, listening, resume, clients, next_client: 0, observed, names };
        Ok(Self { base, server })
    }

    /// Answers clients until the process ends.
    pub(super) fn run(mut self) {
        let ended = self.base.run_until_exit(&mut self.server);
        // It ends only if the program has closed the thread's descriptors. Others may have their
        // numbers now, so they must not be closed again.
        drop(ended);
        mem::forget(self);
    }
}

fn on_acceptable(registry: &mut Registry<Server>, server: &mut Server, _: Fired) {
    // Others are accepted in the next turn, after those who came before got their response.
    for _ in 0..CLIENTS_MAX {
        match server.listener.accept() {
            Ok((stream, _)) => add_client(registry, server, stream),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return,
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                _ => {
                    registry.del(server.listening);
                    // A timer needs no system call.
                    let _ = registry.add(server.resume, Some(PAUSE));
                    return;
                }
            },
        }
    }
}

fn on_resume(registry: &mut Registry<Server>, server: &mut Server, _: Fired) {
    if registry.add(server.listening, None).is_err() {
        // As in `on_acceptable`.
        let _ = registry.add(server.resume, Some(PAUSE));
    }
}

fn add_client(registry: &mut Registry<Server>, server: &mut Server, stream: UnixStream) {
    if stream.set_nonblocking(true).is_err() {
        return;
    }
    if server.clients.len() == CLIENTS_MAX
        && let Some((_, oldest)) = server.clients.pop_first()
    {
        registry.free(oldest.event);
    }
    let number = server.next_client;
    server.next_client += 1;
    let event = registry.create(client_spec(&stream, Interest::READ, number), on_client);
    let deadline = Instant::now() + CLIENT_TIME;
    let (input, output) = (Vec::new(), Vec::new());
    server.clients.insert(number, Client { stream, event, deadline, input, output });
    go_on(registry, server, number, &Next::Read);
}

fn client_spec(stream: &UnixStream, interest: Interest, number: u64) -> EventSpec {
    EventSpec::io(stream, interest).token(Token(number))
}

fn on_client(registry: &mut Registry<Server>, server: &mut Server, fired: Fired) {
    let Token(number) = fired.token;
    let Server { clients, observed, names, .. } = server;
    let Some(client) = clients.get_mut(&number) else { return };
    let next = if fired.ready.contains(Ready::READ) {
        client.read(|request| pages::respond(request, observed, names))
    } else if fired.ready.contains(Ready::WRITE) {
        client.write()
    } else {
        Next::Close
    };
    go_on(registry, server, number, &next);
}

/// Waits for what is next, until the client's time is over.
fn go_on(registry: &mut Registry<Server>, server: &mut Server, number: u64, next: &Next) {
    let Some(client) = server.clients.get_mut(&number) else { return };
    let left = client.deadline.saturating_duration_since(Instant::now());
    if matches!(next, Next::Write) {
        registry.free(client.event);
        client.event =
            registry.create(client_spec(&client.stream, Interest::WRITE, number), on_client);
    }
    if matches!(next, Next::Close) || registry.add(client.event, Some(left)).is_err() {
        registry.free(client.event);
        server.clients.remove(&number);
    }
}

impl Client {
    /// Reads, and responds to the request when it is complete.
    fn read(&mut self, respond: impl FnOnce(&http::Request<'_>) -> Response) -> Next {
        let mut bytes = [0; REQUEST_MAX];
        let room = REQUEST_MAX - self.input.len();
        match self.stream.read(&mut bytes[..room]) {
            Ok(0) => return Next::Close,
            Ok(count) => self.input.extend(&bytes[..count]),
            Err(error) => return or_close(&error, Next::Read),
        }
        self.output = match http::parse(&self.input) {
            Parsed::Part => return Next::Read,
            Parsed::Request(request) => respond(&request).into_bytes(request.is_head),
            Parsed::Refused(response) => response.into_bytes(false),
        };
        self.write()
    }

    fn write(&mut self) -> Next {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) => return or_close(&error, Next::Write),
            }
        }
        // A child that was forked meanwhile has the socket, too: closing it would not end it.
        let _ = self.stream.shutdown(Shutdown::Both);
        Next::Close
    }
}

/// Waits again after a transient error.
fn or_close(error: &std::io::Error, again: Next) -> Next {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => again,
        _ => Next::Close,
    }
}
