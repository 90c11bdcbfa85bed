//! The context of the admin's event base: its listen socket and its connections.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use slab::Slab;
use socket2::Socket;

use super::connection::{AdminConnection, ConnectionEvents, Phase};
use super::hosts::Hosts;
use super::listen_socket::AdminSocket;
use super::parts::{Form, PendingAnswer, Unanswered};
use super::request::{Head, Method, Request};
use super::response::{Response, Status};
use super::route::{Route, drain_begun, route};
use super::source::Source;
use crate::base::back_off::BackOff;
use crate::base::{EventBase, Registry, Remote};
use crate::error::Result;
use crate::event::{EventId, EventSpec, Fired, Interest, Ready, Token};
use crate::server::listener::Listener;

/// Maximum of open connections. The next one replaces the oldest that was answered, or else the
/// oldest whose request is not complete. If all wait for their responses, it waits in the kernel's
/// backlog.
const CONNECTIONS_MAX: usize = 32;
/// The first pause after an accept that failed. Operators do not notice it.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);

/// The longest pause, for a failure that another process must end.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Timeouts of the admin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For everything on a connection, from its acceptance on.
    pub(super) connection: Duration,
    /// For the answers of the threads. One that takes longer is reported as not answering.
    pub(super) collect: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connection: Duration::from_secs(5), collect: Duration::from_secs(1) }
    }
}

/// What clients send, and how they are answered.
#[derive(Debug)]
pub(super) enum Protocol {
    /// HTTP, with these names of the machine.
    Http(Hosts),
    /// HAProxy's agent check: a line for each connection, whatever the client sends.
    Agent,
}

impl Protocol {
    /// The name of its thread.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "admin",
            Self::Agent => "agent",
        }
    }
}

/// The context of the admin's base.
#[derive(Debug)]
pub(super) struct AdminServer<S: Source> {
    pub(super) source: S,
    protocol: Protocol,
    pub(super) started_at: Instant,
    listen_socket: AdminSocket,
    acceptable: EventId,
    accept_again: EventId,
    back_off: BackOff,
    pub(super) connections: Slab<AdminConnection>,
    /// By numbers that are never reused: a late answer finds nothing.
    pub(super) pending_answers: HashMap<u64, PendingAnswer<S::Part>>,
    pub(super) next_answer: u64,
    pub(super) unanswered: Unanswered,
    pub(super) timeouts: Timeouts,
    pub(super) remote: Remote<Self>,
}

impl<S: Source> AdminServer<S> {
    /// Answers on `listener` with the statistics of `source`. `registry` and `remote` are those of
    /// its base.
    pub(super) fn new(
        listener: Listener,
        protocol: Protocol,
        source: S,
        timeouts: Timeouts,
        remote: Remote<Self>,
        registry: &mut Registry<Self>,
    ) -> Result<Self> {
        let listen_socket = AdminSocket::new(listener);
        let acceptable = registry.create(listen_socket.event(), on_acceptable);
        registry.add(acceptable, None)?;
        let accept_again = registry.create(EventSpec::timer(), on_accept_again);
        // A connection waits for one response at a time, so a thread that answers has at most this
        // many questions.
        let unanswered = Unanswered::new(source.threads(), CONNECTIONS_MAX);
        Ok(Self {
            source,
            protocol,
            started_at: Instant::now(),
            listen_socket,
            acceptable,
            accept_again,
            back_off: BackOff::new(ACCEPT_PAUSE_MIN, ACCEPT_PAUSE_MAX),
            connections: Slab::new(),
            pending_answers: HashMap::new(),
            next_answer: 0,
            unanswered,
            timeouts,
            remote,
        })
    }

    /// Runs on the admin's thread.
    pub(super) fn run(mut base: EventBase<Self>, mut server: Self) -> Result<()> {
        base.run_until_exit(&mut server).map(|_| ())
    }

    fn add_connection(&mut self, registry: &mut Registry<Self>, socket: Socket) {
        let entry = self.connections.vacant_entry();
        let (key, token) = (entry.key(), Token(entry.key() as u64));
        let io = |interest| EventSpec::io(&socket, interest).persist().token(token);
        let events = ConnectionEvents {
            readable: registry.create(io(Interest::READ), on_readable),
            writable: registry.create(io(Interest::WRITE), on_writable),
            deadline: registry.create(EventSpec::timer().token(token), on_deadline),
        };
        entry.insert(AdminConnection::new(socket, events, registry.now()));
        self.add_or_remove(registry, key, events.readable, None);
        if self.connections.contains(key) {
            self.add_or_remove(registry, key, events.deadline, Some(self.timeouts.connection));
        }
        if matches!(self.protocol, Protocol::Agent) && self.connections.contains(key) {
            self.collect(registry, key, Form::Agent);
        }
    }

    /// Makes room for one more connection: ends a replaceable one if there are too many. Returns
    /// whether there is room.
    fn make_room(&mut self, registry: &mut Registry<Self>) -> bool {
        if self.connections.len() < CONNECTIONS_MAX {
            return true;
        }
        let replaceable = self.replaceable();
        if let Some(key) = replaceable {
            self.end(registry, key, "too many connections\n".to_owned());
        }
        replaceable.is_some()
    }

    /// The oldest connection that was answered, or else the one that has sent the longest without a
    /// complete request.
    fn replaceable(&self) -> Option<usize> {
        let oldest = |phase| {
            let in_phase = self.connections.iter().filter(|(_, open)| open.phase == phase);
            in_phase.min_by_key(|(_, open)| open.accepted_at).map(|(key, _)| key)
        };
        oldest(Phase::Closing).or_else(|| oldest(Phase::Reading))
    }

    /// Adds an event of a connection, or closes the connection if that fails.
    fn add_or_remove(
        &mut self,
        registry: &mut Registry<Self>,
        key: usize,
        event: EventId,
        timeout: Option<Duration>,
    ) {
        if let Err(error) = registry.add(event, timeout) {
            log::warn!(target: "admin", error:%; "a connection cannot be watched and is closed");
            self.remove(registry, key);
        }
    }

    /// Frees everything of a connection and closes its socket.
    fn remove(&mut self, registry: &mut Registry<Self>, key: usize) {
        let connection = self.connections.remove(key);
        let ConnectionEvents { readable, writable, deadline } = connection.events;
        [readable, writable, deadline].into_iter().for_each(|event| registry.free(event));
        if let Phase::Collecting(number) = connection.phase
            && let Some(pending) = self.pending_answers.remove(&number)
        {
            registry.free(pending.deadline);
        }
        drop(connection);
        self.listen_socket.reserve.refill();
        self.resume_accepting(registry);
    }

    fn resume_accepting(&mut self, registry: &mut Registry<Self>) {
        let has_room = self.connections.len() < CONNECTIONS_MAX || self.replaceable().is_some();
        if has_room && let Err(error) = registry.add(self.acceptable, None) {
            self.pause_accepting(registry, &error);
        }
    }

    /// Stops accepting for the back-off, and logs the reason at most once a second.
    fn pause_accepting(&mut self, registry: &mut Registry<Self>, why: &dyn Display) {
        let pause = self.back_off.next_pause();
        if self.back_off.is_time_to_log(Instant::now()) {
            log::warn!(
                target: "admin", error:% = why, pause_ms = pause.as_millis() as u64,
                address:% = self.listen_socket.address();
                "accepting pauses"
            );
        }
        registry.del(self.acceptable);
        registry.add(self.accept_again, Some(pause)).expect("a timer of our own");
    }

    fn read(&mut self, registry: &mut Registry<Self>, key: usize) {
        match self.connections[key].read_head() {
            Ok(Head::Partial) => {}
            Ok(Head::Complete(request)) => self.serve(registry, key, &request),
            Ok(Head::Bad(response)) => self.answer(registry, key, response.into_bytes(false)),
            Err(_) => self.remove(registry, key),
        }
    }

    fn serve(&mut self, registry: &mut Registry<Self>, key: usize, request: &Request) {
        let head_only = request.method == Method::Head;
        let response = match route(request) {
            _ if !self.may_call(request) => {
                let text =
                    "the name in Host is not one of this machine; allow it with --admin-host\n";
                Response::text(Status::Misdirected, text)
            }
            Route::Answer(response) => response,
            Route::Show(view) => {
                return self.collect(registry, key, Form::Http { view, head_only });
            }
            Route::Reload => return self.reload(registry, key),
            Route::Drain => {
                let address = self.listen_socket.address();
                log::info!(target: "admin", address:%; "asked to drain");
                self.source.drain();
                drain_begun()
            }
        };
        self.answer(registry, key, response.into_bytes(head_only));
    }

    /// Whether a request has a name that clients may call this machine by.
    fn may_call(&self, request: &Request) -> bool {
        match &self.protocol {
            Protocol::Http(hosts) => hosts.accept(request.host.as_deref()),
            Protocol::Agent => true,
        }
    }

    pub(super) fn answer(&mut self, registry: &mut Registry<Self>, key: usize, answer: Vec<u8>) {
        let connection = &mut self.connections[key];
        connection.set_answer(answer);
        registry.del(connection.events.readable);
        let writable = connection.events.writable;
        self.add_or_remove(registry, key, writable, None);
    }

    fn write(&mut self, registry: &mut Registry<Self>, key: usize) {
        let connection = &mut self.connections[key];
        match connection.write() {
            Ok(false) => {}
            Ok(true) if connection.shutdown_write().is_ok() => {
                let ConnectionEvents { readable, writable, .. } = connection.events;
                registry.del(writable);
                self.add_or_remove(registry, key, readable, None);
                // Another connection may take its slot from now on.
                self.resume_accepting(registry);
            }
            Ok(true) | Err(_) => self.remove(registry, key),
        }
    }

    fn discard(&mut self, registry: &mut Registry<Self>, key: usize) {
        if !self.connections[key].discard().unwrap_or(false) {
            self.remove(registry, key);
        }
    }

    /// Closes a connection, after a 408 response with this text if its request is incomplete. If it
    /// was answered, unread input is discarded first.
    fn end(&mut self, registry: &mut Registry<Self>, key: usize, text: String) {
        let connection = &mut self.connections[key];
        if connection.phase == Phase::Reading {
            connection.set_answer(Response::text(Status::Timeout, text).into_bytes(false));
            // What the kernel does not take now is lost.
            let _ = connection.write();
        } else if connection.phase == Phase::Closing {
            let _ = connection.discard();
        }
        self.remove(registry, key);
    }
}

fn on_acceptable<S: Source>(
    registry: &mut Registry<AdminServer<S>>,
    server: &mut AdminServer<S>,
    fired: Fired,
) {
    if fired.ready.contains(Ready::REFUSED) {
        return server.pause_accepting(registry, &"the kernel refuses to watch the socket");
    }
    if !server.make_room(registry) {
        // The next response or close resumes accepting.
        return registry.del(fired.id);
    }
    match server.listen_socket.accept() {
        Ok(Some(socket)) => {
            server.back_off.reset();
            server.add_connection(registry, socket);
        }
        Ok(None) => {}
        Err(error) => server.pause_accepting(registry, &error),
    }
}

fn on_accept_again<S: Source>(
    registry: &mut Registry<AdminServer<S>>,
    server: &mut AdminServer<S>,
    _fired: Fired,
) {
    server.listen_socket.reserve.refill();
    server.resume_accepting(registry);
}

fn on_readable<S: Source>(
    registry: &mut Registry<AdminServer<S>>,
    server: &mut AdminServer<S>,
    fired: Fired,
) {
    let key = fired.token.0 as usize;
    match server.connections[key].phase {
        Phase::Reading => server.read(registry, key),
        _ => server.discard(registry, key),
    }
}

fn on_writable<S: Source>(
    registry: &mut Registry<AdminServer<S>>,
    server: &mut AdminServer<S>,
    fired: Fired,
) {
    server.write(registry, fired.token.0 as usize);
}

fn on_deadline<S: Source>(
    registry: &mut Registry<AdminServer<S>>,
    server: &mut AdminServer<S>,
    fired: Fired,
) {
    let text = format!("no request within {:?}\n", server.timeouts.connection);
    server.end(registry, fired.token.0 as usize, text);
}
