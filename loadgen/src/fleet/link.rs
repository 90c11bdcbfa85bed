//! The stream to one agent, as the coordinator has it: a thread reads, a thread writes, and the
//! coordinator waits for neither.

use std::io::{BufRead, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use super::message::{self, FromAgent, ToAgent};
use super::process::AgentProcess;
use crate::clock::Clock;

/// Messages that wait to be written to one agent. An agent that reads nothing gets no more.
const OUTGOING_MAX: usize = 64;

/// What comes from an agent, or becomes of it.
#[derive(Debug)]
pub(super) struct Event {
    /// Number of the link.
    pub(super) link: usize,
    /// By the clock of the coordinator.
    pub(super) received_ns: u64,
    pub(super) news: News,
}

#[derive(Debug)]
pub(super) enum News {
    Message(FromAgent),
    /// The stream has ended, for this reason if it is known.
    Ended(Option<String>),
}

/// What is at the other end.
#[derive(Debug)]
pub(super) enum Peer {
    Process(AgentProcess),
    Socket(TcpStream),
}

/// The stream to one agent. The agent ends when this is dropped.
#[derive(Debug)]
pub(super) struct Link {
    /// What the agent is called in errors.
    pub(super) name: String,
    /// Nothing once the stream is closed.
    outgoing: Option<SyncSender<ToAgent>>,
    reader: JoinHandle<()>,
    peer: Peer,
}

impl Link {
    /// Begins to read and to write. `number` is that of the link in its events.
    pub(super) fn open(
        number: usize,
        name: String,
        mut reader: impl BufRead + Send + 'static,
        mut writer: impl Write + Send + 'static,
        peer: Peer,
        events: &SyncSender<Event>,
        clock: Clock,
    ) -> Self {
        let (outgoing, messages) = mpsc::sync_channel(OUTGOING_MAX);
        let events = events.clone();
        let reader = thread::spawn(move || {
            loop {
                let news = match message::read_of_agent(&mut reader) {
                    Ok(Some(message)) => News::Message(message),
                    Ok(None) => News::Ended(None),
                    Err(error) => News::Ended(Some(error.to_string())),
                };
                let is_end = matches!(news, News::Ended(_));
                let received_ns = clock.now_ns();
                // Sending fails when the coordinator has no more use for it.
                let failed = events.send(Event { link: number, received_ns, news }).is_err();
                if is_end || failed {
                    return;
                }
            }
        });
        thread::spawn(move || {
            for mut message in messages {
                if let ToAgent::Ping { sent_ns } = &mut message {
                    *sent_ns = clock.now_ns();
                }
                // The reader finds out that the agent has gone.
                if message::write(&mut writer, &message).is_err() {
                    return;
                }
            }
        });
        Self { name, outgoing: Some(outgoing), reader, peer }
    }

    /// Sends a message. An agent that takes none is found by its silence.
    pub(super) fn send(&self, message: ToAgent) {
        if let Some(outgoing) = &self.outgoing {
            let _ = outgoing.try_send(message);
        }
    }

    /// Asks the agent to end.
    pub(super) fn end(&mut self) {
        self.send(ToAgent::End);
        self.outgoing = None;
    }

    /// Whether the stream of the agent has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.reader.is_finished()
    }

    /// Ends the agent at once; it was lost.
    pub(super) fn cut(&mut self) {
        self.outgoing = None;
        match &mut self.peer {
            Peer::Process(process) => process.kill(),
            // An agent that has gone needs no end.
            Peer::Socket(socket) => _ = socket.shutdown(Shutdown::Both),
        }
    }

    /// What the agent's program has said last, as a further sentence of an error; empty if nothing.
    pub(super) fn last_words(&self) -> String {
        match &self.peer {
            Peer::Process(process) => process.last_words(),
            Peer::Socket(_) => String::new(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.outgoing = None;
        match &mut self.peer {
            // The end of its standard input is the end of the agent, wherever it runs.
            Peer::Process(process) => process.end(),
            Peer::Socket(socket) => _ = socket.shutdown(Shutdown::Write),
        }
    }
}
